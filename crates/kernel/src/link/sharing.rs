//! Interfaces of which several share a parent: macvlan and ipvlan, as messages say them.

use tombolo_model::kinds::{IpvlanFlag, IpvlanMode, MacvlanMode};
use tombolo_plan::objects::LinkKind;

use super::apply::info;
use super::read::LinkInfo;
use crate::netlink::{Attribute, Message};
use crate::session::Links;

/// `IFLA_MACVLAN_MODE`, `IFLA_IPVLAN_MODE`, `IFLA_IPVLAN_FLAGS` of linux/if_link.h.
const MACVLAN_MODE: u16 = 1;
const IPVLAN_MODE: u16 = 1;
const IPVLAN_FLAGS: u16 = 2;

/// `MACVLAN_MODE_*`.
const MACVLAN_MODES: [(MacvlanMode, u32); 4] = [
    (MacvlanMode::Private, 1),
    (MacvlanMode::Vepa, 2),
    (MacvlanMode::Bridge, 4),
    (MacvlanMode::Passthru, 8),
];

/// `IPVLAN_MODE_*`.
const IPVLAN_MODES: [(IpvlanMode, u16); 3] = [
    (IpvlanMode::L2, 0),
    (IpvlanMode::L3, 1),
    (IpvlanMode::L3s, 2),
];

/// `IPVLAN_F_*`.
const IPVLAN_ALL_FLAGS: [(IpvlanFlag, u16); 3] = [
    (IpvlanFlag::Bridge, 0),
    (IpvlanFlag::Private, 1),
    (IpvlanFlag::Vepa, 2),
];

/// Says which sort it is, and how those on one parent see each other.
pub(super) fn put(message: &mut Message, kind: &LinkKind) {
    match kind {
        LinkKind::Macvlan { mode, .. } => info(message, "macvlan", |data| {
            data.put_u32(MACVLAN_MODE, number(&MACVLAN_MODES, *mode));
        }),
        LinkKind::Ipvlan { mode, flag, .. } => info(message, "ipvlan", |data| {
            data.put(IPVLAN_MODE, &number(&IPVLAN_MODES, *mode).to_ne_bytes());
            data.put(
                IPVLAN_FLAGS,
                &number(&IPVLAN_ALL_FLAGS, *flag).to_ne_bytes(),
            );
        }),
        _ => {}
    }
}

/// Whether those on one parent see each other otherwise than they should.
pub(super) fn differ(from: &LinkKind, to: &LinkKind) -> bool {
    match (from, to) {
        (LinkKind::Macvlan { mode: was, .. }, LinkKind::Macvlan { mode, .. }) => was != mode,
        (
            LinkKind::Ipvlan {
                mode: was,
                flag: saw,
                ..
            },
            LinkKind::Ipvlan { mode, flag, .. },
        ) => (was, saw) != (mode, flag),
        _ => false,
    }
}

/// The kernel's number of a mode, for those that are read.
pub(super) fn decode(kind: &str, data: &Attribute<'_>) -> Option<Mode> {
    let short = |number| {
        let bytes = data.find(number)?.data.get(..2)?;
        Some(u16::from_ne_bytes(bytes.try_into().ok()?))
    };
    match kind {
        "macvlan" => {
            let mode = data.find(MACVLAN_MODE)?.u32()?;
            Some(Mode::Macvlan(named(&MACVLAN_MODES, mode)?))
        }
        "ipvlan" => {
            let mode = named(&IPVLAN_MODES, short(IPVLAN_MODE)?)?;
            let flag = named(&IPVLAN_ALL_FLAGS, short(IPVLAN_FLAGS)?)?;
            Some(Mode::Ipvlan(mode, flag))
        }
        _ => None,
    }
}

/// How those on one parent see each other, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Macvlan(MacvlanMode),
    Ipvlan(IpvlanMode, IpvlanFlag),
}

/// An interface in a plan's words.
pub(super) fn kind(link: &LinkInfo, links: &Links) -> Option<LinkKind> {
    let parent = links.parent(link)?;
    let mark = super::read::mark(link);
    Some(match link.mode? {
        Mode::Macvlan(mode) => LinkKind::Macvlan {
            parent,
            mode,
            mark,
            mac: link.mac?,
            handed_over: false,
        },
        Mode::Ipvlan(mode, flag) => LinkKind::Ipvlan {
            parent,
            mode,
            flag,
            mark,
            handed_over: false,
        },
    })
}

fn number<M: PartialEq, N: Copy + Default>(known: &[(M, N)], mode: M) -> N {
    let found = known.iter().find(|(name, _)| *name == mode);
    found.map_or_else(N::default, |(_, number)| *number)
}

fn named<M: Copy, N: PartialEq>(known: &[(M, N)], number: N) -> Option<M> {
    let found = known.iter().find(|(_, known)| *known == number);
    found.map(|(mode, _)| *mode)
}

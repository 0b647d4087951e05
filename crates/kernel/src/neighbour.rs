//! Permanent neighbour entries: which link-layer address an address has.
//!
//! Every permanent entry on a link of ours is ours. What the kernel learns by itself, or makes for
//! multicast, is left alone; where it stands in the place of a planned entry it is replaced. The
//! messages have the form of those for forwarding entries too ([`crate::fdb`]).

use std::net::IpAddr;

use tombolo_model::{Family, MacAddr};
use tombolo_plan::{Key, Object};

use crate::error::KernelError;
use crate::netlink::{Message, attributes};
use crate::read::Scope;
use crate::route::{OUR_PROTOCOL_MARK, family_number};
use crate::session::Session;

/// `NDA_*`, `NUD_*` and `NTF_*` of linux/neighbour.h.
pub(crate) const DST: u16 = 1;
pub(crate) const LLADDR: u16 = 2;
const MASTER: u16 = 9;
const PROTOCOL: u16 = 12;
pub(crate) const PERMANENT: u16 = 0x80;
pub(crate) const NO_ARP: u16 = 0x40;
pub(crate) const SELF: u8 = 0x02;
const PROXY: u8 = 0x08;

/// `struct ndmsg`.
pub(crate) fn header(family: u8, index: u32, state: u16, flags: u8) -> [u8; 12] {
    let [a, b, c, d] = index.to_ne_bytes();
    let [low, high] = state.to_ne_bytes();
    [family, 0, 0, 0, a, b, c, d, low, high, flags, 0]
}

/// A neighbour or forwarding entry as the kernel tells of it.
pub(crate) struct NeighbourInfo {
    pub index: u32,
    pub state: u16,
    pub flags: u8,
    pub dst: Option<IpAddr>,
    pub mac: Option<MacAddr>,
    /// Who made it, where that is said.
    pub protocol: Option<u8>,
    /// The bridge that it is of.
    pub master: Option<u32>,
}

/// An entry from the body of an `RTM_NEWNEIGH`.
pub(crate) fn decode(body: &[u8]) -> Option<NeighbourInfo> {
    let header: [u8; 12] = body.get(..12)?.try_into().ok()?;
    let mut entry = NeighbourInfo {
        index: u32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
        state: u16::from_ne_bytes([header[8], header[9]]),
        flags: header[10],
        dst: None,
        mac: None,
        protocol: None,
        master: None,
    };
    for attribute in attributes(body.get(12..)?) {
        match attribute.kind {
            DST => entry.dst = attribute.ip(),
            LLADDR => entry.mac = attribute.mac(),
            PROTOCOL => entry.protocol = attribute.u8(),
            MASTER => entry.master = attribute.u32(),
            _ => {}
        }
    }
    Some(entry)
}

/// The permanent entries on links of ours, and those that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let message = Message::new(
            libc::RTM_GETNEIGH,
            0,
            &header(family_number(family), 0, 0, 0),
        );
        let entries = session.dump("neighbours", &message, |reply| {
            decode(reply.body).filter(|e| e.state & PERMANENT != 0 && e.flags & PROXY == 0)
        })?;
        for entry in entries {
            let (Some(address), Some(mac)) = (entry.dst, entry.mac) else {
                continue;
            };
            let Some(link) = session.links.name(entry.index) else {
                continue;
            };
            let key = Key::Neighbour {
                link: link.clone(),
                address,
            };
            if scope.planned(&key) || (scope.owns_link(&link) && !address.is_multicast()) {
                found.push((key, Object::Neighbour(mac)));
            }
        }
    }
    Ok(found)
}

/// The message that makes an entry or replaces what is there, learned or not.
pub(crate) fn create(address: IpAddr, mac: MacAddr, link: u32) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let family = family_number(Family::of(address));
    let mut message = Message::new(
        libc::RTM_NEWNEIGH,
        flags,
        &header(family, link, PERMANENT, 0),
    );
    message
        .put_ip(DST, address)
        .put(LLADDR, &mac.0)
        .put_u8(PROTOCOL, OUR_PROTOCOL_MARK);
    message
}

/// The message that removes an entry.
pub(crate) fn remove(address: IpAddr, link: u32) -> Message {
    let family = family_number(Family::of(address));
    let mut message = Message::new(libc::RTM_DELNEIGH, 0, &header(family, link, 0, 0));
    message.put_ip(DST, address);
    message
}

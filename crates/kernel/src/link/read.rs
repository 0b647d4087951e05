//! Reads interfaces, and says how they are in a plan's words.

use std::net::IpAddr;

use tombolo_model::{IfName, MacAddr, Mtu, Vni};
use tombolo_plan::naming::LINK_PREFIX;
use tombolo_plan::objects::{BridgePort, Link, LinkKind, Stations, Tunnel};

use super::sharing::{self, Mode};
use super::{TAGGED, attribute as a, header, tun, tunnel};
use crate::error::KernelError;
use crate::netlink::{Attribute, Message, attributes};
use crate::session::{Links, Session};

/// `RTEXT_FILTER_SKIP_STATS`: counters are most of a link's message, and not needed.
const SKIP_STATISTICS: u32 = 1 << 3;
/// `IFF_LOWER_UP` (linux/if.h).
const LOWER_UP: u32 = 1 << 16;

/// An interface as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub index: u32,
    pub name: String,
    /// `veth`, `bridge`, …; none for hardware.
    pub kind: Option<String>,
    pub mtu: u32,
    pub mac: Option<MacAddr>,
    pub up: bool,
    /// Index of the bridge that it is a port of.
    pub master: Option<u32>,
    pub hairpin: bool,
    pub isolated: bool,
    pub stations: Stations,
    pub vxlan: Option<Vxlan>,
    /// Which tunnel it is, as far as a plan could want it.
    pub tunnel: Option<Tunnel>,
    /// Whether it is a TUN device as a plan could want it.
    pub tun: bool,
    pub loopback: bool,
    /// Whether frames can leave and come (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Index of the interface that it stands on, or of its pair's other end, with the number of the
    /// namespace that that one is in, if it is another.
    pub parent: Option<(u32, Option<i32>)>,
    pub alias: Option<String>,
    /// How it and others on its parent see each other.
    pub mode: Option<Mode>,
    /// Number and protocol of a VLAN.
    pub vlan: Option<(u16, u16)>,
}

/// What only a VXLAN device has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Vxlan {
    vni: u32,
    port: u16,
    local: Option<IpAddr>,
    parent: u32,
    learning: bool,
}

/// All interfaces of a namespace.
pub(crate) fn read_links(session: &mut Session) -> Result<Vec<LinkInfo>, KernelError> {
    let mut message = Message::new(libc::RTM_GETLINK, 0, &header(0, 0));
    message.put_u32(a::EXT_MASK, SKIP_STATISTICS);
    session.dump("links", &message, |reply| decode(reply.body))
}

/// The interfaces on others that are in a namespace which the host knows by number. One that is gone
/// by now has none.
pub(crate) fn read_numbered(host: &mut Session, netns: i32) -> Vec<LinkInfo> {
    let mut found = Vec::new();
    for kind in ["macvlan", "ipvlan"] {
        let mut message = Message::new(libc::RTM_GETLINK, 0, &header(0, 0));
        message
            .put_u32(a::EXT_MASK, SKIP_STATISTICS)
            .put(a::TARGET_NETNSID, &netns.to_ne_bytes());
        message.nest(a::LINKINFO, |info| {
            info.put_text(a::INFO_KIND, kind);
        });
        let links = host.dump("links", &message, |reply| decode(reply.body));
        // A kernel that does not know the kind tells of all.
        let of_kind = |link: &LinkInfo| link.kind.as_deref() == Some(kind);
        found.extend(links.unwrap_or_default().into_iter().filter(of_kind));
    }
    found
}

/// An interface from the body of an `RTM_NEWLINK`.
pub(crate) fn decode(body: &[u8]) -> Option<LinkInfo> {
    let word = |at: usize| Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?));
    let flags = word(8)?;
    let mut link = LinkInfo {
        index: word(4)?,
        name: String::new(),
        kind: None,
        mtu: 0,
        mac: None,
        up: flags & libc::IFF_UP as u32 != 0,
        master: None,
        hairpin: false,
        isolated: false,
        stations: Stations::Learned,
        vxlan: None,
        tunnel: None,
        tun: false,
        loopback: flags & libc::IFF_LOOPBACK as u32 != 0,
        carrier: flags & LOWER_UP != 0,
        parent: None,
        alias: None,
        mode: None,
        vlan: None,
    };
    let mut parent_netns = None;
    for attribute in attributes(body.get(16..)?) {
        match attribute.kind {
            a::IFNAME => link.name = attribute.text()?.to_owned(),
            a::MTU => link.mtu = attribute.u32()?,
            a::ADDRESS => link.mac = attribute.mac(),
            a::MASTER => link.master = attribute.u32().filter(|index| *index != 0),
            a::LINK => link.parent = attribute.u32().map(|index| (index, None)),
            a::LINK_NETNSID => parent_netns = attribute.u32().map(u32::cast_signed),
            a::IFALIAS => link.alias = attribute.text().map(str::to_owned),
            a::LINKINFO => decode_info(&attribute, &mut link),
            _ => {}
        }
    }
    link.parent = link.parent.map(|(index, _)| (index, parent_netns));
    (!link.name.is_empty()).then_some(link)
}

fn decode_info(info: &Attribute<'_>, link: &mut LinkInfo) {
    link.kind = info
        .find(a::INFO_KIND)
        .and_then(|kind| kind.text())
        .map(str::to_owned);
    if link.kind.as_deref() == Some("vxlan") {
        link.vxlan = info.find(a::INFO_DATA).map(|data| decode_vxlan(&data));
    }
    let data = info.find(a::INFO_DATA);
    match link.kind.as_deref() {
        Some(kind @ ("macvlan" | "ipvlan")) => {
            link.mode = data.and_then(|data| sharing::decode(kind, &data));
        }
        Some("vlan") => link.vlan = data.and_then(|data| decode_vlan(&data)),
        Some("tun") => link.tun = data.is_some_and(|data| tun::is_ours(&data)),
        Some(kind) => link.tunnel = data.and_then(|data| tunnel::decode(kind, &data)),
        None => {}
    }
    let slave = info.find(a::INFO_SLAVE_KIND).and_then(|kind| kind.text());
    if slave == Some("bridge")
        && let Some(data) = info.find(a::INFO_SLAVE_DATA)
    {
        let flag = |kind| data.find(kind).and_then(|a| a.u8()).unwrap_or(0) != 0;
        link.hairpin = flag(a::PORT_HAIRPIN);
        link.isolated = flag(a::PORT_ISOLATED);
        link.stations = stations(
            flag(a::PORT_LEARNING),
            flag(a::PORT_FLOOD),
            flag(a::PORT_SUPPRESS),
        );
    }
}

/// What three flags of a port come to. Combinations that nobody plans are said to be another one
/// than any that a single change can have made them from.
fn stations(learning: bool, flood: bool, suppress: bool) -> Stations {
    match (learning, flood, suppress) {
        (true, true, false) => Stations::Learned,
        (false, false, false) => Stations::Told,
        (_, _, false) | (false, false, true) => Stations::Remote,
        (_, _, true) => Stations::Told,
    }
}

fn decode_vlan(data: &Attribute<'_>) -> Option<(u16, u16)> {
    let id = data.find(a::VLAN_ID)?.data.get(..2)?;
    let id = u16::from_ne_bytes(id.try_into().ok()?);
    Some((id, data.find(a::VLAN_PROTOCOL)?.be16()?))
}

fn decode_vxlan(data: &Attribute<'_>) -> Vxlan {
    let mut vxlan = Vxlan::default();
    for attribute in data.nested() {
        match attribute.kind {
            a::VXLAN_ID => vxlan.vni = attribute.u32().unwrap_or(0),
            a::VXLAN_LINK => vxlan.parent = attribute.u32().unwrap_or(0),
            a::VXLAN_LOCAL | a::VXLAN_LOCAL6 => vxlan.local = attribute.ip(),
            a::VXLAN_PORT => vxlan.port = attribute.be16().unwrap_or(0),
            a::VXLAN_LEARNING => vxlan.learning = attribute.u8() != Some(0),
            _ => {}
        }
    }
    vxlan
}

/// An interface in a plan's words. A device that a plan cannot want is said to be `Existing`, which
/// equals nothing that is to be made, so that it gives way.
pub(crate) fn object(link: &LinkInfo, links: &Links) -> Link {
    let port = link.master.and_then(|master| {
        Some(BridgePort {
            bridge: links.name(master)?,
            hairpin: link.hairpin,
            isolated: link.isolated,
            stations: link.stations,
        })
    });
    Link {
        kind: kind(link, links),
        mtu: Mtu::new(u64::from(link.mtu)).ok(),
        mac: link.mac,
        up: link.up,
        port,
    }
}

fn kind(link: &LinkInfo, links: &Links) -> LinkKind {
    match link.kind.as_deref() {
        // The kernel does not say enough of the other end to tell which of both it is.
        Some("veth") => LinkKind::VethEnd,
        Some("bridge") => LinkKind::Bridge,
        Some("vxlan") => link
            .vxlan
            .as_ref()
            .and_then(|vxlan| vxlan_kind(vxlan, links))
            .unwrap_or(LinkKind::Existing),
        Some("macvlan" | "ipvlan") => sharing::kind(link, links).unwrap_or(LinkKind::Existing),
        Some("vlan") => vlan_kind(link, links).unwrap_or(LinkKind::Existing),
        Some("tun") if link.tun => LinkKind::Tun,
        _ => link.tunnel.map_or(LinkKind::Existing, LinkKind::Tunnel),
    }
}

fn vlan_kind(link: &LinkInfo, links: &Links) -> Option<LinkKind> {
    let (id, _) = link.vlan.filter(|(_, protocol)| *protocol == TAGGED)?;
    let parent = links.parent(link)?;
    Some(LinkKind::Vlan { parent, id })
}

/// What an interface in a sandbox bears if it is ours.
pub(super) fn mark(link: &LinkInfo) -> Option<IfName> {
    // Until it is whole it is called by its mark.
    let unfinished = || Some(link.name.as_str()).filter(|name| name.starts_with("tbv"));
    let alias = link.alias.as_deref().or_else(unfinished)?;
    let shares_parent = matches!(link.kind.as_deref(), Some("macvlan" | "ipvlan"));
    let ours = shares_parent && alias.starts_with(LINK_PREFIX);
    IfName::new(alias).ok().filter(|_| ours)
}

/// Whether it was put into its sandbox by us, and not by somebody else.
pub(crate) fn is_marked(link: &LinkInfo) -> bool {
    mark(link).is_some()
}

fn vxlan_kind(vxlan: &Vxlan, links: &Links) -> Option<LinkKind> {
    let parent: IfName = links.underlay_name(vxlan.parent)?;
    if vxlan.learning {
        return None;
    }
    let vni = Vni::new(u64::from(vxlan.vni)).ok()?;
    Some(LinkKind::Vxlan {
        vni,
        port: vxlan.port,
        local: vxlan.local?,
        parent,
    })
}

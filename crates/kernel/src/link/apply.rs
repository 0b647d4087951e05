//! Writes the messages that make, change and remove interfaces.
//!
//! A pair is made in one message, its other end directly in its namespace. That end is set up right
//! after (while the pair is being made the kernel refuses, with `ENOTCONN`), so that routes there
//! need not wait for a second round. A bridge runs no spanning tree and forwards
//! without delay. A VXLAN device learns nothing; its outer packets over IPv4 carry no UDP checksum
//! (RFC 7348, section 5), those over IPv6 do; `df` stays unset, so that an underlay whose MTU is
//! smaller than configured costs speed and not reachability.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use tombolo_model::{IfName, MacAddr};
use tombolo_plan::objects::{BridgePort, Link, LinkKind, Stations, VethPeer};

use super::{TAGGED, attribute as a, header, sharing, tunnel};
use crate::error::KernelError;
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::session::Links;

const UP: u32 = libc::IFF_UP as u32;

/// The messages that make an interface. `peer` is the namespace of a pair's other end.
pub(crate) fn create(
    name: &IfName,
    link: &Link,
    links: &Links,
    peer: Option<&NetnsHandle>,
) -> Result<Vec<Message>, KernelError> {
    if link.kind == LinkKind::Tun {
        return Ok(vec![finish_tun(name, link)]);
    }
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    // A port goes up when it is one, so that it never speaks outside of its bridge.
    let up = if link.up && link.port.is_none() && !link.kind.shares_parent() {
        UP
    } else {
        0
    };
    let mut message = Message::new(libc::RTM_NEWLINK, flags, &header(0, up));
    message.put_text(a::IFNAME, name.as_str());
    // A bridge that is made with an MTU would still take that of its ports.
    if let Some(mtu) = link.mtu
        && link.kind != LinkKind::Bridge
    {
        message.put_u32(a::MTU, mtu.get());
    }
    if let Some(mac) = first_mac(link) {
        message.put(a::ADDRESS, &mac.0);
    }
    if let Some(parent) = link.kind.stands_on() {
        let (index, host) = match links.underlay(parent) {
            // The host's own, in whose sight it was judged.
            Some((index, Some(host))) => (index, Some(host)),
            _ => (
                super::check(&format!("create link {name}"), parent, links)?,
                None,
            ),
        };
        message.put_u32(a::LINK, index);
        if let Some(host) = host {
            message.put(a::LINK_NETNSID, &host.to_ne_bytes());
        }
    }
    describe(&mut message, (name, link), links, peer)?;
    let mut messages = vec![message];
    if let (LinkKind::Bridge, Some(mtu)) = (&link.kind, link.mtu) {
        messages.push(set(name, 0, |message| {
            message.put_u32(a::MTU, mtu.get());
        }));
    }
    let is_inside = links.looks_outside();
    if link.kind.shares_parent() && !is_inside {
        messages.push(finish(0, name, link));
    }
    if let Some(port) = &link.port {
        enslave(name, port, links, &mut messages)?;
        messages.push(set(name, if link.up { UP } else { 0 }, |_| {}));
    }
    Ok(messages)
}

/// What is left to do to a TUN device, which is made by then.
fn finish_tun(name: &IfName, link: &Link) -> Message {
    set(name, if link.up { UP } else { 0 }, |message| {
        if let Some(mtu) = link.mtu {
            message.put_u32(a::MTU, mtu.get());
        }
    })
}

/// Says what sort of device it is.
fn describe(
    message: &mut Message,
    (name, link): (&IfName, &Link),
    links: &Links,
    peer: Option<&NetnsHandle>,
) -> Result<(), KernelError> {
    match &link.kind {
        LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. } => sharing::put(message, &link.kind),
        LinkKind::Vlan { id, .. } => info(message, "vlan", |data| {
            data.put(a::VLAN_ID, &id.to_ne_bytes())
                .put_be16(a::VLAN_PROTOCOL, TAGGED);
        }),
        LinkKind::Veth(end) => info(message, "veth", |data| veth(data, end, link, peer)),
        LinkKind::Bridge => info(message, "bridge", |data| {
            data.put_u32(a::BRIDGE_STP_STATE, 0)
                .put_u32(a::BRIDGE_FORWARD_DELAY, 0);
        }),
        LinkKind::Vxlan { parent, .. } => {
            let (index, host) = links.underlay(parent).ok_or_else(|| KernelError::NoLink {
                operation: format!("create link {name}"),
                netns: "host".to_owned(),
                link: parent.to_string(),
            })?;
            if let Some(host) = host {
                message.put(a::LINK_NETNSID, &host.to_ne_bytes());
            }
            info(message, "vxlan", |data| vxlan(data, &link.kind, index));
        }
        LinkKind::Tunnel(kind) => info(message, kind.name(), |data| tunnel::put(data, kind)),
        LinkKind::VethEnd | LinkKind::Tun | LinkKind::Existing => {
            return Err(KernelError::Impossible {
                operation: format!("create link {name}"),
                reason: "it cannot be made by itself: whoever owns it has to make it",
            });
        }
    }
    Ok(())
}

/// The link-layer address that an interface starts with, if it is said.
fn first_mac(link: &Link) -> Option<MacAddr> {
    match &link.kind {
        LinkKind::Macvlan { mac, .. } => Some(*mac),
        _ => link.mac,
    }
}

/// The message that makes an interface whole that stands on another one: the kernel takes its mark
/// only of one that is there, and its address, where it has the parent for itself, as well. By its
/// index it is given its name too.
pub(crate) fn finish(index: u32, name: &IfName, link: &Link) -> Message {
    let up = if link.up { UP } else { 0 };
    let mut message = Message::new(libc::RTM_NEWLINK, 0, &header(index, up));
    message.put_text(a::IFNAME, name.as_str());
    if let Some(mac) = first_mac(link) {
        message.put(a::ADDRESS, &mac.0);
    }
    if let Some(mark) = link.kind.mark() {
        message.put(a::IFALIAS, mark.as_str().as_bytes());
    }
    message
}

/// The messages that turn an interface as it is into one as it should be.
pub(crate) fn change(
    name: &IfName,
    from: &Link,
    to: &Link,
    links: &Links,
) -> Result<Vec<Message>, KernelError> {
    let mut messages = Vec::new();
    if to.mac.is_some() && to.mac != from.mac {
        messages.push(set(name, 0, |message| {
            message.put(a::ADDRESS, &to.mac.map(|mac| mac.0).unwrap_or_default());
        }));
    }
    if to.kind != LinkKind::Existing && to.port != from.port {
        match &to.port {
            Some(port) => enslave(name, port, links, &mut messages)?,
            None => messages.push(set(name, 0, |message| {
                message.put_u32(a::MASTER, 0);
            })),
        }
    }
    if sharing::differ(&from.kind, &to.kind) {
        messages.push(set(name, 0, |message| sharing::put(message, &to.kind)));
    }
    // Behind the bridge: joining one may change the MTU.
    if let Some(mtu) = to.mtu.filter(|mtu| from.mtu != Some(*mtu)) {
        messages.push(set(name, 0, |message| {
            message.put_u32(a::MTU, mtu.get());
        }));
    }
    if to.up && !from.up {
        messages.push(set(name, UP, |_| {}));
    }
    Ok(messages)
}

/// The message that removes an interface.
pub(crate) fn remove(name: &IfName) -> Message {
    let mut message = Message::new(libc::RTM_DELLINK, 0, &header(0, 0));
    message.put_text(a::IFNAME, name.as_str());
    message
}

/// The message that removes an interface in a namespace that is known by its number only.
pub(crate) fn remove_numbered(name: &IfName, netns: i32) -> Message {
    let mut message = remove(name);
    message.put(a::TARGET_NETNSID, &netns.to_ne_bytes());
    message
}

/// The message that sets an interface up.
pub(crate) fn up(name: &IfName) -> Message {
    set(name, UP, |_| {})
}

fn set(name: &IfName, flags: u32, fill: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message::new(libc::RTM_NEWLINK, 0, &header(0, flags));
    message.put_text(a::IFNAME, name.as_str());
    fill(&mut message);
    message
}

/// Joins a bridge, then says how: the second is refused where the first has not happened.
fn enslave(
    name: &IfName,
    port: &BridgePort,
    links: &Links,
    messages: &mut Vec<Message>,
) -> Result<(), KernelError> {
    let bridge = links
        .index(&port.bridge)
        .ok_or_else(|| KernelError::NoLink {
            operation: format!("make {name} a port of {}", port.bridge),
            netns: "host".to_owned(),
            link: port.bridge.to_string(),
        })?;
    messages.push(set(name, 0, |message| {
        message.put_u32(a::MASTER, bridge);
    }));
    messages.push(set(name, 0, |message| {
        message.nest(a::LINKINFO, |info| {
            info.put_text(a::INFO_SLAVE_KIND, "bridge")
                .nest(a::INFO_SLAVE_DATA, |data| {
                    let told = port.stations.are_told();
                    let remote = port.stations == Stations::Remote;
                    data.put_u8(a::PORT_HAIRPIN, u8::from(port.hairpin))
                        .put_u8(a::PORT_LEARNING, u8::from(!told))
                        .put_u8(a::PORT_FLOOD, u8::from(!told))
                        .put_u8(a::PORT_SUPPRESS, u8::from(remote))
                        .put_u8(a::PORT_ISOLATED, u8::from(port.isolated));
                });
        });
    }));
    Ok(())
}

pub(super) fn info(message: &mut Message, kind: &str, fill: impl FnOnce(&mut Message)) {
    message.nest(a::LINKINFO, |info| {
        info.put_text(a::INFO_KIND, kind).nest(a::INFO_DATA, fill);
    });
}

fn veth(data: &mut Message, end: &VethPeer, link: &Link, peer: Option<&NetnsHandle>) {
    data.nest(a::VETH_PEER, |message| {
        message
            .raw(&header(0, 0))
            .put_text(a::IFNAME, end.name.as_str());
        message.put(a::ADDRESS, &end.mac.0);
        if let Some(mtu) = link.mtu {
            message.put_u32(a::MTU, mtu.get());
        }
        if let Some(netns) = peer {
            let fd = std::os::fd::AsFd::as_fd(netns).as_raw_fd();
            message.put(a::NET_NS_FD, &fd.to_ne_bytes());
        }
    });
}

fn vxlan(data: &mut Message, kind: &LinkKind, parent: u32) {
    let LinkKind::Vxlan {
        vni, port, local, ..
    } = kind
    else {
        return;
    };
    data.put_u32(a::VXLAN_ID, vni.get())
        .put_u32(a::VXLAN_LINK, parent);
    data.put_ip(
        if local.is_ipv4() {
            a::VXLAN_LOCAL
        } else {
            a::VXLAN_LOCAL6
        },
        *local,
    );
    data.put_be16(a::VXLAN_PORT, *port)
        .put_u8(a::VXLAN_LEARNING, 0);
    match local {
        IpAddr::V4(_) => data.put_u8(a::VXLAN_UDP_CSUM, 0),
        IpAddr::V6(_) => data
            .put_u8(a::VXLAN_ZERO_CSUM6_TX, 0)
            .put_u8(a::VXLAN_ZERO_CSUM6_RX, 0),
    };
}

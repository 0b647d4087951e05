//! What the transports that put packets into packets have in common: a device for all peers, and for
//! each block at a peer a route that says what goes around its packets.
//!
//! ```text
//!   link   tbi4                                              takes packets from any node
//!   route  10.244.3.0/26 via 10.244.3.0 dev tbi4 onlink encap ip src 192.168.0.2 dst 192.168.0.3
//! ```
//!
//! The gateway stands there so that the kernel keeps one neighbour for each peer, and not one for each
//! container. It asks nobody for its link-layer address: these devices have none.

use std::net::IpAddr;

use tombolo_model::{Family, IfName, Mtu};

use super::{Destination, Peer, Site};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{
    Encap, Key, Link, LinkKind, MAIN_TABLE, NextHop, Object, Place, Route, Tunnel,
};

/// A tunnel's device.
pub(super) struct Device {
    pub name: IfName,
    pub tunnel: Tunnel,
    pub mtu: u32,
}

/// Why a transport asks for what it does: one rule for the device, one for the node's address.
pub(super) type Rules = (&'static str, &'static str);

/// Wants a device, and on it the node's own addresses in the network.
pub(super) fn want_device<'a>(
    site: &Site,
    device: &Device,
    addresses: impl Iterator<Item = &'a IpAddr>,
    (rule, of_address): Rules,
    plan: &mut HostPlan,
) {
    let link = Link {
        kind: LinkKind::Tunnel(device.tunnel),
        mtu: Mtu::new(u64::from(device.mtu)).ok(),
        mac: None,
        up: true,
        port: None,
    };
    let place = Place::host(Key::Link(device.name.clone()));
    plan.want(place, Object::Link(link), site.origin(rule));
    for address in addresses {
        let key = Key::Address {
            link: device.name.clone(),
            net: Family::host_net(*address),
        };
        plan.want(Place::host(key), Object::Address, site.origin(of_address));
    }
}

/// Wants the way to a destination.
pub(super) fn want_way(
    site: &Site,
    destination: &Destination,
    next: NextHop,
    mtu: Option<u32>,
    plan: &mut HostPlan,
) {
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: destination.net,
        metric: 0,
    };
    let route = Route {
        next,
        source: site.tunnel(Family::of_net(destination.net)),
        mtu,
    };
    let place = Place::host(key);
    plan.want(place, Object::Route(route), destination.origin.clone());
}

/// The way through a device that asks the route for its other end. There is none to a peer that has
/// no address of its own yet.
pub(super) fn through(
    peer: &Peer,
    link: IfName,
    inner: Family,
    key: Option<u32>,
) -> Option<NextHop> {
    let gateway = match inner {
        Family::V4 => peer.tunnel.iter().copied().find(IpAddr::is_ipv4)?,
        Family::V6 => naming::tunnel_mac(peer.node, &link).link_local().into(),
    };
    let encap = Encap {
        from: peer.path.here.address.addr(),
        to: peer.path.there.address.addr(),
        key,
    };
    Some(NextHop::Tunnel {
        gateway,
        link,
        encap,
    })
}

//! The host's own interface among its containers on a physical segment, and the ways through it.

use std::net::IpAddr;

use tombolo_model::kinds::{MacvlanMode, Purpose};
use tombolo_model::{Family, IfName};

use super::{knows_v6, link, mtu, no_advertisements, route};
use crate::attachment::{Plug, Site};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{Key, Link, LinkKind, MAIN_TABLE, NextHop, Object, Place};

/// Wants the shim, and the ways between the host and one container. Without an address of its own on
/// the segment the host would have no way back; the agent sees to one.
pub(super) fn want(site: &Site, plug: &Plug, parent: &IfName, plan: &mut HostPlan) {
    let own = own_addresses(site);
    if own.is_empty() {
        return;
    }
    let shim = naming::shim(site.network.name());
    want_device(site, &shim, parent, plan);
    for address in &own {
        let net = Family::host_net(*address);
        let link = shim.clone();
        plan.want(
            Place::host(Key::Address { link, net }),
            Object::Address,
            site.origin("attachment/macvlan: the host's own address on the segment"),
        );
        want_ways(site, plug, (&shim, *address), plan);
    }
}

fn want_device(site: &Site, shim: &IfName, parent: &IfName, plan: &mut HostPlan) {
    let mac = naming::shim_mac(site.me.name(), site.network.name());
    let kind = LinkKind::Macvlan {
        parent: parent.clone(),
        mode: MacvlanMode::Bridge,
        mark: None,
        mac,
        handed_over: false,
    };
    let device = Link {
        mac: Some(mac),
        ..link(kind, mtu(site))
    };
    plan.want(
        Place::host(Key::Link(shim.clone())),
        Object::Link(device),
        site.origin("attachment/macvlan: the host's own interface on the segment"),
    );
    if knows_v6(site) {
        plan.want(
            Place::host(no_advertisements(shim)),
            Object::Sysctl("0".to_owned()),
            site.origin("attachment/macvlan: routers' advertisements are not heard"),
        );
    }
}

/// The ways of one family: to the container, and from it to the addresses that the host has on the
/// segment besides, which it would look for on the wire in vain.
fn want_ways(site: &Site, plug: &Plug, (shim, own): (&IfName, IpAddr), plan: &mut HostPlan) {
    let endpoint = &plug.endpoint.spec;
    let is_of_family = |address: &IpAddr| address.is_ipv4() == own.is_ipv4();
    let to = |address: IpAddr| Key::Route {
        table: MAIN_TABLE,
        dst: Family::host_net(address),
        metric: 0,
    };
    for address in endpoint.addresses.iter().copied().filter(is_of_family) {
        plan.want(
            Place::host(to(address)),
            Object::Route(route(NextHop::Link(shim.clone()), Some(own))),
            plug.origin("attachment/macvlan: the host's way to its container"),
        );
    }
    let here = site
        .me
        .spec
        .addresses
        .iter()
        .map(|here| here.address.addr());
    let on_segment = |address: &IpAddr| site.ranges().any(|range| range.contains(address));
    for address in here.filter(is_of_family).filter(on_segment) {
        let next = NextHop::Via {
            gateway: own,
            link: endpoint.interface.clone(),
            onlink: true,
        };
        plan.want(
            plug.inside(to(address)),
            Object::Route(route(next, None)),
            plug.origin("attachment/macvlan: the container's way to its host"),
        );
    }
}

/// The addresses that this host has for itself in the network.
fn own_addresses(site: &Site) -> Vec<IpAddr> {
    let me = site.me.name();
    let blocks = site.world.blocks.values();
    let blocks = blocks.filter(|block| site.network.spec.pools.contains(&block.spec.pool));
    let held = blocks.flat_map(|block| block.spec.in_use());
    held.filter(|(_, held)| held.purpose == Purpose::Tunnel && held.node == *me)
        .map(|(address, _)| address)
        .collect()
}

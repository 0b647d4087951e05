//! The host's own interface among its containers on a physical segment, and the ways through it.

use std::net::IpAddr;

use tombolo_model::kinds::{MacvlanMode, Physical, PhysicalSort, Purpose};
use tombolo_model::{Family, IfName};

use super::{knows_v6, link, mtu, no_advertisements, route};
use crate::attachment::{Plug, Site};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{Key, Link, LinkKind, MAIN_TABLE, NextHop, Object, Place};

/// Wants the shim, and the ways between the host and one container. Without an address of its own on
/// the segment the host would have no way back; the agent sees to one.
pub(super) fn want(site: &Site, plug: &Plug, on: (&IfName, &Physical), plan: &mut HostPlan) {
    let own = own_addresses(site);
    if own.is_empty() {
        return;
    }
    let shim = naming::shim(site.network.name());
    want_device(site, &shim, on, plan);
    for address in &own {
        let net = Family::host_net(*address);
        let link = shim.clone();
        plan.want(
            Place::host(Key::Address { link, net }),
            Object::Address,
            site.origin("attachment/physical: the host's own address on the segment"),
        );
        want_way_there(plug, (&shim, *address), plan);
        // Where the host routes what a container sends it routes it to itself too.
        if !on.1.sort.is_routed() {
            want_way_back(site, plug, *address, plan);
        }
    }
}

fn want_device(
    site: &Site,
    shim: &IfName,
    (parent, spec): (&IfName, &Physical),
    plan: &mut HostPlan,
) {
    let mac = naming::shim_mac(site.me.name(), site.network.name());
    let parent = parent.clone();
    let (kind, mac) = match spec.sort {
        PhysicalSort::Macvlan(_) => {
            let kind = LinkKind::Macvlan {
                parent,
                mode: MacvlanMode::Bridge,
                mark: None,
                mac,
                handed_over: false,
            };
            (kind, Some(mac))
        }
        PhysicalSort::Ipvlan(mode, flag) => {
            let kind = LinkKind::Ipvlan {
                parent,
                mode,
                flag,
                mark: None,
                handed_over: false,
            };
            (kind, None)
        }
    };
    let device = Link {
        mac,
        ..link(kind, mtu(site))
    };
    plan.want(
        Place::host(Key::Link(shim.clone())),
        Object::Link(device),
        site.origin("attachment/physical: the host's own interface on the segment"),
    );
    if knows_v6(site) {
        plan.want(
            Place::host(no_advertisements(shim)),
            Object::Sysctl("0".to_owned()),
            site.origin("attachment/physical: routers' advertisements are not heard"),
        );
    }
}

/// The host's ways of one family to a container.
fn want_way_there(plug: &Plug, (shim, own): (&IfName, IpAddr), plan: &mut HostPlan) {
    for address in of_family(plug.endpoint.spec.addresses.iter().copied(), own) {
        plan.want(
            Place::host(to(address)),
            Object::Route(route(NextHop::Link(shim.clone()), Some(own))),
            plug.origin("attachment/physical: the host's way to its container"),
        );
    }
}

/// The container's ways to the addresses that the host has on the segment besides, which it would look
/// for on the wire in vain.
fn want_way_back(site: &Site, plug: &Plug, own: IpAddr, plan: &mut HostPlan) {
    let here = site.me.spec.addresses.iter();
    let here = here.map(|here| here.address.addr());
    let on_segment = |address: &IpAddr| site.ranges().any(|range| range.contains(address));
    for address in of_family(here, own).filter(on_segment) {
        let next = NextHop::Via {
            gateway: own,
            link: plug.endpoint.spec.interface.clone(),
            onlink: true,
        };
        plan.want(
            plug.inside(to(address)),
            Object::Route(route(next, None)),
            plug.origin("attachment/physical: the container's way to its host"),
        );
    }
}

fn to(address: IpAddr) -> Key {
    Key::Route {
        table: MAIN_TABLE,
        dst: Family::host_net(address),
        metric: 0,
    }
}

/// Those of the family of one of them.
fn of_family(all: impl Iterator<Item = IpAddr>, one: IpAddr) -> impl Iterator<Item = IpAddr> {
    all.filter(move |address| address.is_ipv4() == one.is_ipv4())
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

//! Containers directly on a physical network: each has an interface of its own on one of the
//! host's, and is not behind the host. Three drivers do it, which differ in what that interface is:
//! `macvlan` (a link-layer address of its own), `ipvlan` (its parent's, for switches that allow one at
//! a port), `vlan` (a macvlan on a VLAN of a trunk).
//!
//! ```text
//!   sandbox  eth0 192.0.2.10/24 ──┐ macvlan or ipvlan
//!   sandbox  eth0 192.0.2.11/24 ──┤
//!                                 ├── eth1 ─────── the physical network
//!   host     tbm… 192.0.2.12/32 ──┘ the shim, where hostAccess asks for it
//! ```
//!
//! The pool is the subnet of the segment, so addresses have its prefix length, and the default route
//! is the segment's own router. The kernel hands nothing over between an interface and those on it:
//! a host does not reach its own containers. Where it shall, it gets an interface among them, the
//! shim, with an address of its own, and a route to each of its containers through it
//! (docs/decisions/0015-macvlan-shim.md).
//!
//! With ipvlan's modes `l3` and `l3s` a container is no station of the segment: its addresses are its
//! alone, all its packets go to the interface, the host routes them, and the routers on the segment
//! must be told which host has which blocks.
//!
//! To see it: `ip -d link` in the sandbox and on the host; `ip route get ADDRESS` on the host.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{MtuChoice, Physical as Spec, PhysicalSort};
use tombolo_model::{Endpoint, Family, IfName, Mtu, Name, Network, Resource, World};

use super::{Attachment, ContainerView, Guard, Passing, Plug, Site};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{Key, Link, LinkKind, MAIN_TABLE, Netns, NextHop, Object, Place, Route};

mod obstacle;
mod shim;

/// Containers directly on a physical network.
pub struct Physical;

impl Attachment for Physical {
    fn plan_network(&self, site: &Site, plan: &mut HostPlan) {
        let pools = site.network.spec.pools.iter();
        for pool in pools.filter_map(|name| site.world.pools.get(name)) {
            if pool.spec.nat_outgoing {
                let message = format!(
                    "natOutgoing has no effect: packets of network {} do not pass the host, which \
                     could translate them; set it to false",
                    site.network.name()
                );
                plan.problem(pool.key(), message);
            }
        }
    }

    fn plan_endpoint(&self, site: &Site, plug: &Plug, plan: &mut HostPlan) {
        let Some(spec) = &site.network.spec.physical() else {
            let driver = &site.network.spec.driver;
            let message = format!(
                "its network has driver {driver}, but no spec.{driver}; name a parent there"
            );
            return plan.problem(plug.endpoint.key(), message);
        };
        let goes_first = |other: &_| obstacle::is_before(other, plug.endpoint);
        if let Some(why) = obstacle::of(site.world, plug.endpoint, spec, goes_first) {
            return plan.problem(plug.endpoint.key(), why);
        }
        if let Some(why) = obstacle::ports(&plug.endpoint.spec, &site.network.spec.driver) {
            plan.problem(plug.endpoint.key(), why);
        }
        plug.want_loopback(plan);
        let parent = want_parent(site, spec, plan);
        want_interface(site, plug, (&parent, spec), plan);
        for address in &plug.endpoint.spec.addresses {
            want_address(site, plug, *address, plan);
        }
        want_ways(site, plug, spec, plan);
        if spec.host_access {
            shim::want(site, plug, (&parent, spec), plan);
        }
    }

    fn view(&self, world: &World, endpoint: &Endpoint) -> ContainerView {
        let network = world.networks.get(&endpoint.network);
        let routed = network.is_some_and(|network| is_routed(&network.spec));
        let gateway = |family| {
            let network = network.filter(|_| !routed)?;
            network.spec.way_out(family)
        };
        let addresses = endpoint.addresses.iter();
        let view = |address: &IpAddr| {
            (
                on_segment(world, &endpoint.network, *address),
                gateway(Family::of(*address)),
            )
        };
        ContainerView {
            addresses: addresses.map(view).collect(),
        }
    }

    /// Who is there already stays.
    fn obstacle(&self, world: &World, endpoint: &Resource<Endpoint>) -> Option<String> {
        let network = world.networks.get(&endpoint.spec.network)?;
        let spec = network.spec.physical()?;
        obstacle::ports(&endpoint.spec, &network.spec.driver)
            .or_else(|| obstacle::of(world, endpoint, &spec, |_| true))
    }

    /// Its frames do not pass the host: its own namespace judges. Where the runtime makes that one
    /// itself, nobody does.
    fn guard(&self, _: &Name, endpoint: &Resource<Endpoint>) -> Option<Guard> {
        let spec = &endpoint.spec;
        spec.handover.is_none().then(|| Guard {
            netns: Netns::Sandbox(spec.sandbox.clone()),
            passing: Passing::Own,
            interface: spec.interface.clone(),
            port: None,
        })
    }

    fn reserved(&self) -> (u32, u32) {
        (0, 0)
    }

    /// What is others' on the segment: its routers, the nodes themselves where it is the underlay too,
    /// the subnet's own address (RFC 919; for IPv6 the routers' anycast address, RFC 4291), and for
    /// IPv4 its broadcast address.
    fn kept(&self, world: &World, network: &Network) -> Vec<IpAddr> {
        let mut kept = network.gateway.clone();
        let pools = network.pools.iter();
        for pool in pools.filter_map(|name| world.pools.get(name)) {
            let range = pool.spec.cidr;
            let nodes = world.nodes.values().flat_map(|node| &node.spec.addresses);
            let nodes = nodes.map(|own| own.address.addr());
            kept.extend(nodes.filter(|address| range.contains(address)));
            kept.push(range.network());
            kept.extend(Some(range.broadcast()).filter(IpAddr::is_ipv4));
        }
        kept
    }

    fn passes_host(&self) -> bool {
        false
    }
}

/// Whether the host routes what the network's containers send.
fn is_routed(network: &Network) -> bool {
    let spec = network.physical();
    spec.is_some_and(|spec| spec.sort.is_routed())
}

/// An address with the prefix length of its segment.
fn on_segment(world: &World, network: &Name, address: IpAddr) -> IpNet {
    let spec = world.networks.get(network).map(|network| &network.spec);
    if spec.is_some_and(is_routed) {
        return Family::host_net(address);
    }
    match world.pool_of(world.space_of(network), address) {
        Some(pool) => IpNet::new_assert(address, pool.spec.cidr.prefix_len()),
        None => Family::host_net(address),
    }
}

/// The interface that containers stand on: the parent, or a VLAN of it, which is ours.
fn want_parent(site: &Site, spec: &Spec, plan: &mut HostPlan) -> IfName {
    let Some(id) = spec.vlan else {
        return spec.parent.clone();
    };
    let name = naming::vlan(&spec.parent, id);
    let parent = spec.parent.clone();
    let link = link(LinkKind::Vlan { parent, id }, None);
    plan.want(
        Place::host(Key::Link(name.clone())),
        Object::Link(link),
        site.origin("attachment/physical: the VLAN of the parent"),
    );
    name
}

fn want_interface(site: &Site, plug: &Plug, on: (&IfName, &Spec), plan: &mut HostPlan) {
    let (parent, spec) = on;
    let endpoint = &plug.endpoint.spec;
    let parent = parent.clone();
    let mark = Some(plug.host_end.clone());
    let handed_over = endpoint.handover.is_some();
    let kind = match spec.sort {
        PhysicalSort::Macvlan(mode) => LinkKind::Macvlan {
            parent,
            mode,
            mark,
            mac: endpoint.mac,
            handed_over,
        },
        PhysicalSort::Ipvlan(mode, flag) => LinkKind::Ipvlan {
            parent,
            mode,
            flag,
            mark,
            handed_over,
        },
    };
    let mut interface = link(kind, mtu(site));
    let place = match &endpoint.handover {
        // The runtime takes it from here, and sets it up where it puts it.
        Some(name) => {
            interface.up = false;
            Place::host(Key::Link(name.clone()))
        }
        None => plug.inside(Key::Link(endpoint.interface.clone())),
    };
    plan.want(
        place,
        Object::Link(interface),
        plug.origin("attachment/physical: the container's interface"),
    );
    if knows_v6(site) {
        plan.want(
            plug.inside(no_advertisements(&endpoint.interface)),
            Object::Sysctl("0".to_owned()),
            plug.origin("attachment/physical: routers' advertisements are not heard"),
        );
    }
}

fn want_address(site: &Site, plug: &Plug, address: IpAddr, plan: &mut HostPlan) {
    let link = plug.endpoint.spec.interface.clone();
    let net = on_segment(site.world, site.network.name(), address);
    plan.want(
        plug.inside(Key::Address { link, net }),
        Object::Address,
        plug.origin("attachment/physical: the container's address"),
    );
}

/// The container's routes: everybody on the segment directly, all else by the segment's router. Where
/// the host routes what it sends, only the interface is said.
fn want_ways(site: &Site, plug: &Plug, spec: &Spec, plan: &mut HostPlan) {
    let endpoint = &plug.endpoint.spec;
    for family in Family::ALL {
        if !endpoint.addresses.iter().any(|a| Family::of(*a) == family) {
            continue;
        }
        for range in site.ranges().filter(|r| Family::of_net(*r) == family) {
            want_way(plug, range, NextHop::Link(endpoint.interface.clone()), plan);
        }
        if spec.sort.is_routed() {
            if plug.is_default && !site.network.spec.internal {
                let next = NextHop::Link(endpoint.interface.clone());
                want_way(plug, family.default_net(), next, plan);
            }
            continue;
        }
        if let Some(gateway) = site
            .network
            .spec
            .way_out(family)
            .filter(|_| plug.is_default)
        {
            let next = NextHop::Via {
                gateway,
                link: endpoint.interface.clone(),
                onlink: true,
            };
            want_way(plug, family.default_net(), next, plan);
        }
    }
}

fn want_way(plug: &Plug, dst: IpNet, next: NextHop, plan: &mut HostPlan) {
    let rule = match next {
        NextHop::Via { .. } => "attachment/physical: the segment's router",
        _ if dst.prefix_len() == 0 => "attachment/physical: the host routes the rest",
        _ => "attachment/physical: the container's segment",
    };
    let place = plug.inside(Key::Route {
        table: MAIN_TABLE,
        dst,
        metric: 0,
    });
    plan.want(place, Object::Route(route(next, None)), plug.origin(rule));
}

/// The MTU, if it is not to be the parent's, which the kernel takes by itself.
fn mtu(site: &Site) -> Option<Mtu> {
    match site.network.spec.mtu {
        MtuChoice::Fixed(mtu) => Some(mtu),
        MtuChoice::Auto => None,
    }
}

fn link(kind: LinkKind, mtu: Option<Mtu>) -> Link {
    Link {
        kind,
        mtu,
        mac: None,
        up: true,
        port: None,
    }
}

fn route(next: NextHop, source: Option<IpAddr>) -> Route {
    Route {
        next,
        source,
        mtu: None,
    }
}

/// Addresses and routes are the plan's to give. Of a router on the segment that advertises itself
/// (RFC 4861) the kernel would take more.
fn no_advertisements(interface: &IfName) -> Key {
    Key::Sysctl(format!("net/ipv6/conf/{interface}/accept_ra"))
}

/// Whether the host is known to have IPv6: without, its settings are not there.
fn knows_v6(site: &Site) -> bool {
    site.ranges()
        .any(|range| Family::of_net(range) == Family::V6)
        || site.me.spec.address(Family::V6).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_others_on_the_segment_is_kept() {
        let text = include_str!("../../tests/cases/24-macvlan-shim/world.yaml");
        let world = tombolo_model::parse::world("world.yaml", text).unwrap();
        let network = world.networks.values().next().unwrap();
        let mut kept = Physical.kept(&world, &network.spec);
        kept.sort();
        kept.dedup();
        let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let v4 = [
            "192.0.2.0",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.254",
            "192.0.2.255",
        ];
        let v6 = ["2001:db8::", "2001:db8::1", "2001:db8::ff"];
        assert_eq!(kept, [&v4[..], &v6].concat());
    }
}

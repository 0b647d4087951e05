//! A pair of its own for each container, routed: the host is the gateway, nothing is bridged.
//!
//! ```text
//!   sandbox  eth0 10.244.1.5/32 ─────────── tbv…  host
//!            default via 169.254.1.1        10.244.1.5/32 dev tbv…
//! ```
//!
//! The gateway's address is link-local and the same everywhere, so it takes none of the pool's; its
//! link-layer address is fixed and set as a permanent neighbour, so that it is never asked for and
//! a container can send its first packet at once. The host asks for the container's address as
//! usual: a plugin behind us may change the MAC.
//!
//! To see it: `ip route get 10.244.1.5` on the host; `ip route`, `ip neigh` in the sandbox.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tombolo_model::{Block, Endpoint, Family, Name, Resource, World};

use super::{Attachment, ContainerView, Guard, Passing, Plug, Site, host_end};
use crate::host_plan::HostPlan;
use crate::naming::{self, GATEWAY_MAC};
use crate::objects::{
    Key, Link, LinkKind, MAIN_TABLE, Netns, NextHop, Object, Place, Route, VethPeer,
};

/// A pair of its own for each container, routed.
pub struct Routed;

/// The gateway of every container (RFC 3927, RFC 4291 section 2.5.6).
#[must_use]
pub(super) fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

impl Attachment for Routed {
    fn plan_network(&self, site: &Site, plan: &mut HostPlan) {
        // The only address of a block of one, if it is held, has a way of its own.
        let has_room = |block: &Block| block.size() > 1 || block.allocations.is_empty();
        for block in site.own_blocks().filter(|block| has_room(&block.spec)) {
            let key = Key::Route {
                table: MAIN_TABLE,
                dst: block.spec.cidr,
                metric: 0,
            };
            let route = Route {
                next: NextHop::Blackhole,
                source: None,
                mtu: None,
            };
            let origin = crate::host_plan::Origin {
                resource: block.key(),
                rule: "attachment/routed: no way out for addresses of the block that nobody holds",
            };
            plan.want(Place::host(key), Object::Route(route), origin);
        }
    }

    fn plan_endpoint(&self, site: &Site, plug: &Plug, plan: &mut HostPlan) {
        plug.want_loopback(plan);
        want_pair(site, plug, None, plan);
        let endpoint = &plug.endpoint.spec;
        for address in &endpoint.addresses {
            let family = Family::of(*address);
            let own = Family::host_net(*address);
            want_way(site, plug, own, plan);
            plan.want(
                plug.inside(Key::Address {
                    link: endpoint.interface.clone(),
                    net: own,
                }),
                Object::Address,
                plug.origin("attachment/routed: the container's address"),
            );
            plan.want(
                plug.inside(Key::Neighbour {
                    link: endpoint.interface.clone(),
                    address: gateway(family),
                }),
                Object::Neighbour(GATEWAY_MAC),
                plug.origin("attachment/routed: the gateway's link-layer address"),
            );
            want_ways_out(site, plug, family, gateway(family), plan);
            want_gateway(plug, family, plan);
        }
    }

    fn view(&self, _: &World, endpoint: &Endpoint) -> ContainerView {
        let addresses = endpoint
            .addresses
            .iter()
            .map(|a| (Family::host_net(*a), Some(gateway(Family::of(*a)))))
            .collect();
        ContainerView { addresses }
    }

    fn guard(&self, _: &Name, endpoint: &Resource<Endpoint>) -> Option<Guard> {
        Some(Guard {
            netns: Netns::Host,
            passing: Passing::Routed,
            interface: host_end(endpoint),
            port: None,
        })
    }

    fn reserved(&self) -> (u32, u32) {
        (0, 0)
    }
}

/// The gateway's address on the host's end, so that whoever asks for it is answered: a container
/// whose MAC is changed forgets its neighbours, permanent ones too. For IPv6 the host itself needs
/// it: it asks for a container's link-layer address from a link-local one, and its own is of no use
/// for the second that it takes to check that nobody else has it (RFC 4862, section 5.4); this one
/// is set without that check.
fn want_gateway(plug: &Plug, family: Family, plan: &mut HostPlan) {
    let length = match family {
        Family::V4 => 32,
        Family::V6 => 64,
    };
    let net = IpNet::new_assert(gateway(family), length);
    plan.want(
        Place::host(Key::Address {
            link: plug.host_end.clone(),
            net,
        }),
        Object::Address,
        plug.origin("attachment/routed: the gateway's address"),
    );
}

/// The host's route to the container.
fn want_way(site: &Site, plug: &Plug, own: IpNet, plan: &mut HostPlan) {
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: own,
        metric: 0,
    };
    let route = Route {
        next: NextHop::Link(plug.host_end.clone()),
        source: source(site, Family::of_net(own)),
        mtu: None,
    };
    plan.want(
        Place::host(key),
        Object::Route(route),
        plug.origin("attachment/routed: way to the container"),
    );
}

/// The host's own packets to a container come from its underlay address, not from the gateway's.
fn source(site: &Site, family: Family) -> Option<IpAddr> {
    match family {
        Family::V4 => site.me.spec.address(family).map(|here| here.address.addr()),
        Family::V6 => None,
    }
}

/// The pair: one end on the host, the other in the sandbox, or on the host too where the runtime
/// puts it there.
pub(super) fn want_pair(
    site: &Site,
    plug: &Plug,
    port: Option<crate::objects::BridgePort>,
    plan: &mut HostPlan,
) {
    let endpoint = &plug.endpoint.spec;
    let peer = match &endpoint.handover {
        // The runtime takes it from here.
        Some(name) => VethPeer {
            netns: Netns::Host,
            name: name.clone(),
            mac: endpoint.mac,
            handed_over: true,
        },
        None => VethPeer {
            netns: Netns::Sandbox(endpoint.sandbox.clone()),
            name: endpoint.interface.clone(),
            mac: endpoint.mac,
            handed_over: false,
        },
    };
    // Of a port of a bridge the host is not the gateway, so it has an address of its own.
    let mac = match &port {
        Some(_) => naming::port_mac(&plug.host_end),
        None => GATEWAY_MAC,
    };
    let host = Link {
        kind: LinkKind::Veth(peer),
        mtu: Some(site.mtu),
        mac: Some(mac),
        up: true,
        port,
    };
    plan.want(
        plug.host_place(),
        Object::Link(host),
        plug.origin("attachment: the host's end"),
    );
    let inside = Link {
        kind: LinkKind::VethEnd,
        mtu: Some(site.mtu),
        mac: None,
        up: true,
        port: None,
    };
    plan.want(
        plug.inside(Key::Link(endpoint.interface.clone())),
        Object::Link(inside),
        plug.origin("attachment: the container's end"),
    );
}

/// The routes of a sandbox through an endpoint: the default one if it is the sandbox's first, else
/// those to the network's own ranges.
pub(super) fn want_ways_out(
    site: &Site,
    plug: &Plug,
    family: Family,
    gateway: IpAddr,
    plan: &mut HostPlan,
) {
    let destinations = if plug.is_default {
        vec![family.default_net()]
    } else {
        site.ranges()
            .filter(|range| Family::of_net(*range) == family)
            .collect()
    };
    for dst in destinations {
        let next = NextHop::Via {
            gateway,
            link: plug.endpoint.spec.interface.clone(),
            onlink: true,
        };
        plan.want(
            plug.inside(Key::Route {
                table: MAIN_TABLE,
                dst,
                metric: 0,
            }),
            Object::Route(Route {
                next,
                source: None,
                mtu: None,
            }),
            plug.origin("attachment: the container's way out"),
        );
    }
}

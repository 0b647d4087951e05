//! A bridge for each network and host: its containers share a segment, the host is the gateway.
//!
//! ```text
//!   sandbox  eth0 10.88.0.5/26 ── tbv… ┐
//!   sandbox  eth0 10.88.0.6/26 ── tbv… ┤ tbb… 10.88.0.1/26  host
//! ```
//!
//! Each block that the host hands addresses out of has its first address as the gateway, on the
//! bridge. Ports are in hairpin mode, so that a container reaches itself through a published port.
//! The bridge's link-layer address is fixed.
//!
//! To see it: `bridge link`, `ip addr show tbb…`.

use ipnet::IpNet;
use tombolo_model::{Block, Endpoint, Family, IfName, Name, Resource, World};

use super::routed::{want_pair, want_ways_out};
use super::{Attachment, ContainerView, Guard, Passing, Plug, Site, host_end};
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    BridgePort, Key, Link, LinkKind, MAIN_TABLE, Netns, NextHop, Object, Place, Route, Stations,
};

/// A bridge for each network and host.
pub struct Bridge;

impl Attachment for Bridge {
    fn plan_network(&self, site: &Site, plan: &mut HostPlan) {
        let name = naming::bridge(site.network.name());
        let me = site.me.name();
        let blocks: Vec<_> = present_blocks(site).collect();
        if blocks.is_empty() {
            return;
        }
        let link = Link {
            kind: LinkKind::Bridge,
            mtu: Some(site.mtu),
            mac: Some(naming::bridge_mac(me, site.network.name())),
            up: true,
            port: None,
        };
        let origin = site.origin("attachment/bridge: the network's bridge");
        plan.want(
            Place::host(Key::Link(name.clone())),
            Object::Link(link),
            origin,
        );
        if blocks
            .iter()
            .any(|block| Family::of_net(block.spec.cidr) == Family::V6)
        {
            let origin = site.origin("attachment/bridge: an address to ask neighbours from");
            plan.want(
                Place::host(Key::Address {
                    link: name.clone(),
                    net: IpNet::new_assert(super::routed::gateway(Family::V6), 64),
                }),
                Object::Address,
                origin,
            );
        }
        for block in blocks {
            want_segment(&name, block, plan);
        }
    }

    fn plan_endpoint(&self, site: &Site, plug: &Plug, plan: &mut HostPlan) {
        plug.want_loopback(plan);
        let bridge = naming::bridge(site.network.name());
        let port = BridgePort {
            bridge,
            hairpin: true,
            isolated: false,
            stations: Stations::Learned,
        };
        want_pair(site, plug, Some(port), plan);
        let endpoint = &plug.endpoint.spec;
        for address in &endpoint.addresses {
            let Some(block) = site.world.block_of(&endpoint.network, *address) else {
                continue;
            };
            let prefix = block.spec.cidr.prefix_len();
            plan.want(
                plug.inside(Key::Address {
                    link: endpoint.interface.clone(),
                    net: IpNet::new_assert(*address, prefix),
                }),
                Object::Address,
                plug.origin("attachment/bridge: the container's address"),
            );
            let segment = Route {
                next: NextHop::Link(endpoint.interface.clone()),
                source: None,
                mtu: None,
            };
            plan.want(
                plug.inside(Key::Route {
                    table: MAIN_TABLE,
                    dst: block.spec.cidr,
                    metric: 0,
                }),
                Object::Route(segment),
                plug.origin("attachment/bridge: the container's segment"),
            );
            let gateway = gateway_net(&block.spec).addr();
            want_ways_out(site, plug, Family::of(*address), gateway, plan);
        }
    }

    fn view(&self, world: &World, endpoint: &Endpoint) -> ContainerView {
        let addresses = endpoint
            .addresses
            .iter()
            .map(
                |address| match world.block_of(&endpoint.network, *address) {
                    Some(block) => (
                        IpNet::new_assert(*address, block.spec.cidr.prefix_len()),
                        Some(gateway_net(&block.spec).addr()),
                    ),
                    None => (Family::host_net(*address), None),
                },
            )
            .collect();
        ContainerView { addresses }
    }

    fn guard(&self, _: &Name, endpoint: &Resource<Endpoint>) -> Option<Guard> {
        Some(Guard {
            netns: Netns::Host,
            passing: Passing::Routed,
            interface: naming::bridge(&endpoint.spec.network),
            port: Some(host_end(endpoint)),
        })
    }

    /// The network's own address and the gateway's, and the broadcast address (which IPv6 has not,
    /// but one of 64 is not worth a difference).
    fn reserved(&self) -> (u32, u32) {
        (2, 1)
    }
}

/// The gateway of one block on the bridge, and the way to its containers.
fn want_segment(name: &IfName, block: &Resource<Block>, plan: &mut HostPlan) {
    if block.spec.size() < 4 {
        plan.problem(
            block.key(),
            format!(
                "{} has no room for a gateway and containers; set blockSize of IPPool {} to at most {}",
                block.spec.cidr,
                block.spec.pool,
                block.spec.cidr.max_prefix_len() - 2
            ),
        );
        return;
    }
    let origin = |rule| Origin {
        resource: block.key(),
        rule,
    };
    let net = gateway_net(&block.spec);
    plan.want(
        Place::host(Key::Address {
            link: name.clone(),
            net,
        }),
        Object::Address,
        origin("attachment/bridge: gateway of the block"),
    );
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: block.spec.cidr,
        metric: 0,
    };
    let route = Route {
        next: NextHop::Link(name.clone()),
        source: Some(net.addr()),
        mtu: None,
    };
    plan.want(
        Place::host(key),
        Object::Route(route),
        origin("attachment/bridge: way to the segment"),
    );
}

/// Blocks that the host hands addresses out of, or has borrowed one from.
fn present_blocks<'a>(site: &'a Site<'_>) -> impl Iterator<Item = &'a Resource<Block>> {
    let me = site.me.name();
    site.world
        .blocks
        .values()
        .filter(|block| site.network.spec.pools.contains(&block.spec.pool))
        .filter(move |block| {
            block.spec.node.as_ref() == Some(me)
                || block.spec.allocations.values().any(|a| a.node == *me)
        })
}

/// The gateway of a block's segment: its first address after the network's own.
fn gateway_net(block: &Block) -> IpNet {
    IpNet::new_assert(block.address(1), block.cidr.prefix_len())
}

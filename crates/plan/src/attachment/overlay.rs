//! A bridge for each network and host, which together are one segment over all hosts.
//!
//! ```text
//!   sandbox  eth0 10.5.0.7/24 ── tbv… ┐                    ┌ tbx… ── other hosts
//!   sandbox  eth0 10.5.0.9/24 ── tbv… ┤ tbb… in namespace  ┤
//!   host  tbg… 10.5.0.1/24 ───── tbp… ┘ tbn…               ┘
//! ```
//!
//! The segment is in a network namespace of its own: what filters the host's packets does not see
//! its frames, and two networks with the same addresses cannot meet. The bridge learns nothing: it
//! is told where every station is, here for those of this host and in [`crate::segment`] for those
//! of others, and answers for their addresses itself.
//!
//! The gateway is a pair between the segment and the host, with the same address and the same
//! link-layer address on every host, so a container's gateway is always its own host. How packets
//! go on from there is in [`crate::egress`].
//!
//! To see it: `ip netns exec tbn… bridge fdb`, `ip netns exec tbn… ip neigh`, `ip addr show tbg…`.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Endpoint, Family, IfName, IpPool, MacAddr, Name, Network, Resource, World};

use super::routed::{want_pair, want_ways_out};
use super::{Attachment, ContainerView, Guard, Passing, Plug, Site, host_end};
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    BridgePort, Key, Link, LinkKind, MAIN_TABLE, Netns, NextHop, Object, Place, Route, Stations,
    VethPeer,
};

/// A bridge for each network and host, which together are one segment.
pub struct Overlay;

impl Attachment for Overlay {
    fn plan_network(&self, site: &Site, plan: &mut HostPlan) {
        let me = site.me.name();
        if !site.members.iter().any(|member| member.spec.node == *me) {
            return;
        }
        let network = site.network.name();
        let segment = naming::segment(me, network);
        plan.want(
            Place::host(Key::Namespace(segment.clone())),
            Object::Namespace,
            site.origin("attachment/overlay: the segment's namespace"),
        );
        let bridge = Link {
            kind: LinkKind::Bridge,
            mtu: Some(site.mtu),
            mac: Some(naming::bridge_mac(me, network)),
            up: true,
            port: None,
        };
        plan.want(
            Place::segment(&segment, Key::Link(naming::bridge(network))),
            Object::Link(bridge),
            site.origin("attachment/overlay: the segment's bridge"),
        );
        if !site.network.spec.internal {
            want_gateway(site, &segment, plan);
        }
    }

    fn plan_endpoint(&self, site: &Site, plug: &Plug, plan: &mut HostPlan) {
        plug.want_loopback(plan);
        let bridge = naming::bridge(site.network.name());
        want_pair(site, plug, Some(port(&bridge, Stations::Told)), plan);
        let endpoint = &plug.endpoint.spec;
        let segment = naming::segment(site.me.name(), site.network.name());
        let origin = || plug.origin("attachment/overlay: where the container is");
        want_station(
            &segment,
            &bridge,
            (endpoint.mac, &plug.host_end),
            origin(),
            plan,
        );
        let gateway_link = naming::gateway(site.network.name());
        for address in &endpoint.addresses {
            let Some(pool) = pool_of(site.world, site.network, *address) else {
                continue;
            };
            want_neighbour(&segment, &bridge, (*address, endpoint.mac), origin(), plan);
            plan.want(
                plug.inside(Key::Address {
                    link: endpoint.interface.clone(),
                    net: IpNet::new_assert(*address, pool.spec.cidr.prefix_len()),
                }),
                Object::Address,
                plug.origin("attachment/overlay: the container's address"),
            );
            let route = Route {
                next: NextHop::Link(endpoint.interface.clone()),
                source: None,
                mtu: None,
            };
            plan.want(
                plug.inside(Key::Route {
                    table: MAIN_TABLE,
                    dst: pool.spec.cidr,
                    metric: 0,
                }),
                Object::Route(route),
                plug.origin("attachment/overlay: the container's segment"),
            );
            if !site.network.spec.internal {
                let gateway = gateway(&site.network.spec, &pool.spec);
                want_ways_out(site, plug, Family::of(*address), gateway, plan);
                let key = Key::Neighbour {
                    link: gateway_link.clone(),
                    address: *address,
                };
                let neighbour = Object::Neighbour(endpoint.mac);
                plan.want(Place::host(key), neighbour, origin());
            }
        }
    }

    fn view(&self, world: &World, endpoint: &Endpoint) -> ContainerView {
        let Some(network) = world.networks.get(&endpoint.network) else {
            return ContainerView::default();
        };
        let address = |address: &IpAddr| match pool_of(world, network, *address) {
            Some(pool) => {
                let gateway = gateway(&network.spec, &pool.spec);
                let net = IpNet::new_assert(*address, pool.spec.cidr.prefix_len());
                (net, Some(gateway).filter(|_| !network.spec.internal))
            }
            None => (Family::host_net(*address), None),
        };
        ContainerView {
            addresses: endpoint.addresses.iter().map(address).collect(),
        }
    }

    fn guard(&self, node: &Name, endpoint: &Resource<Endpoint>) -> Option<Guard> {
        let network = &endpoint.spec.network;
        Some(Guard {
            netns: self.outside(node, network),
            passing: Passing::Bridged,
            interface: naming::bridge(network),
            port: Some(host_end(endpoint)),
        })
    }

    fn reserved(&self) -> (u32, u32) {
        (0, 0)
    }

    /// Of each pool the network's own address, the gateway's, and for IPv4 the broadcast address.
    fn kept(&self, world: &World, network: &Network) -> Vec<IpAddr> {
        let pools = network
            .pools
            .iter()
            .filter_map(|name| world.pools.get(name));
        let mut kept = Vec::new();
        for pool in pools {
            let cidr = pool.spec.cidr;
            kept.extend([cidr.network(), gateway(network, &pool.spec)]);
            kept.extend(Some(cidr.broadcast()).filter(IpAddr::is_ipv4));
        }
        kept
    }

    fn outside(&self, node: &Name, network: &Name) -> Netns {
        Netns::Segment(naming::segment(node, network))
    }
}

/// The gateway of a pool's addresses: the network's if it lies there, else the first.
#[must_use]
pub(crate) fn gateway(network: &Network, pool: &IpPool) -> IpAddr {
    let given = network.gateway.iter().copied();
    let mut given = given.filter(|gateway| pool.cidr.contains(gateway));
    given.next().unwrap_or_else(|| match pool.cidr.network() {
        IpAddr::V4(base) => IpAddr::from((base.to_bits() + 1).to_be_bytes()),
        IpAddr::V6(base) => IpAddr::from((base.to_bits() + 1).to_be_bytes()),
    })
}

/// The pools of a network that are there.
pub(crate) fn pools<'a>(
    world: &'a World,
    network: &'a Resource<Network>,
) -> impl Iterator<Item = &'a Resource<IpPool>> {
    let names = network.spec.pools.iter();
    names.filter_map(|name| world.pools.get(name))
}

/// A port of the segment's bridge.
pub(crate) fn port(bridge: &IfName, stations: Stations) -> BridgePort {
    BridgePort {
        bridge: bridge.clone(),
        hairpin: false,
        isolated: false,
        stations,
    }
}

/// Says which port of the bridge a station is behind.
pub(crate) fn want_station(
    segment: &Name,
    bridge: &IfName,
    (mac, port): (MacAddr, &IfName),
    origin: Origin,
    plan: &mut HostPlan,
) {
    let key = Key::Station {
        bridge: bridge.clone(),
        mac,
    };
    let object = Object::Station(port.clone());
    plan.want(Place::segment(segment, key), object, origin);
}

/// Says which link-layer address an address has, for the bridge to answer with.
pub(crate) fn want_neighbour(
    segment: &Name,
    bridge: &IfName,
    (address, mac): (IpAddr, MacAddr),
    origin: Origin,
    plan: &mut HostPlan,
) {
    let key = Key::Neighbour {
        link: bridge.clone(),
        address,
    };
    plan.want(Place::segment(segment, key), Object::Neighbour(mac), origin);
}

fn pool_of<'a>(
    world: &'a World,
    network: &'a Resource<Network>,
    address: IpAddr,
) -> Option<&'a Resource<IpPool>> {
    pools(world, network).find(|pool| pool.spec.cidr.contains(&address))
}

/// The pair that joins the host to the segment, with the gateway's addresses.
fn want_gateway(site: &Site, segment: &Name, plan: &mut HostPlan) {
    let network = site.network.name();
    let bridge = naming::bridge(network);
    let (link, inside) = (naming::gateway(network), naming::gateway_port(network));
    let mac = naming::gateway_mac(network);
    let origin = || site.origin("attachment/overlay: the gateway");
    let peer = VethPeer {
        netns: Netns::Host,
        name: link.clone(),
        mac,
        handed_over: false,
    };
    let pair = Link {
        kind: LinkKind::Veth(peer),
        mtu: Some(site.mtu),
        mac: Some(naming::port_mac(&inside)),
        up: true,
        port: Some(port(&bridge, Stations::Told)),
    };
    plan.want(
        Place::segment(segment, Key::Link(inside.clone())),
        Object::Link(pair),
        origin(),
    );
    let end = Link {
        kind: LinkKind::VethEnd,
        mtu: Some(site.mtu),
        mac: Some(mac),
        up: true,
        port: None,
    };
    plan.want(
        Place::host(Key::Link(link.clone())),
        Object::Link(end),
        origin(),
    );
    want_station(segment, &bridge, (mac, &inside), origin(), plan);
    for pool in pools(site.world, site.network) {
        let gateway = gateway(&site.network.spec, &pool.spec);
        want_neighbour(segment, &bridge, (gateway, mac), origin(), plan);
        let net = IpNet::new_assert(gateway, pool.spec.cidr.prefix_len());
        let key = Key::Address {
            link: link.clone(),
            net,
        };
        plan.want(Place::host(key), Object::Address, origin());
    }
}

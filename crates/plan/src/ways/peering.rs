//! How this host reaches its peers, for those who look whether it is so: addresses and sizes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, Mtu, Name, Network, Node, Resource, World};

use super::Ways;
use crate::driver::{self, Reach};

/// How this host reaches a peer in one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peering {
    /// The network.
    pub network: Name,
    /// The peer.
    pub node: Name,
    /// The transport that packets go by.
    pub transport: Name,
    /// Its UDP port, where it has one.
    pub port: Option<u16>,
    /// This host's interface on the underlay.
    pub interface: IfName,
    /// The peer's address on the underlay.
    pub underlay: IpAddr,
    /// The largest packet that goes there on the underlay, in bytes, its IP header included.
    pub outer: u32,
    /// The peer's own address in the network, where the transport ends there.
    pub tunnel: Option<IpAddr>,
    /// The largest packet that containers send there, in bytes.
    pub inner: u32,
}

/// How a node reaches its peers, network by network and family by family.
#[must_use]
pub fn peerings(world: &World, node: &Name) -> Vec<Peering> {
    let Some(me) = world.nodes.get(node) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for network in world.networks.values() {
        let Some(driver) = driver::find(&network.spec.driver).filter(|d| d.spans_nodes()) else {
            continue;
        };
        let ways = Ways::new(world, me, network, driver);
        let Some(mtu) = ways.endpoint_mtu() else {
            continue;
        };
        if driver.reach == Reach::Segment {
            found.extend(
                ways.peers()
                    .filter_map(|peer| by_segment(&ways, network, peer, mtu)),
            );
            continue;
        }
        let tunnels = ways.tunnels();
        let held = ways.destinations();
        for peer in ways.peers() {
            for family in Family::ALL.into_iter().filter(|f| ways.carries(*f)) {
                let nets = held.get(peer.name()).into_iter().flatten();
                let nets = nets.map(|(net, _)| *net);
                let learned = ways.learned(nets.filter(|net| Family::of_net(*net) == family));
                let Ok(Some(choice)) = ways.choose(peer, family, learned) else {
                    continue;
                };
                let Some(way) = choice.now else { continue };
                let overhead = way.transport.overhead(&way.spec, way.path.family());
                let inner = mtu.get().min(way.path.mtu().saturating_sub(overhead));
                let mut own = tunnels.get(peer.name()).into_iter().flatten().copied();
                let ends_there = way.transport.encapsulates();
                found.push(Peering {
                    network: network.name().clone(),
                    node: peer.name().clone(),
                    transport: way.spec.name.clone(),
                    port: way.transport.port(&way.spec),
                    interface: way.path.here.interface.clone(),
                    underlay: way.path.there.address.addr(),
                    outer: inner + overhead,
                    tunnel: own.find(|a| ends_there && Family::of(*a) == family),
                    inner,
                });
            }
        }
    }
    found
}

/// How this host reaches a peer in a network that is one segment: always by its transport.
fn by_segment(
    ways: &Ways,
    network: &Resource<Network>,
    peer: &Resource<Node>,
    mtu: Mtu,
) -> Option<Peering> {
    let (spec, transport) = ways.present()?;
    let path = ways.path(peer)?;
    let overhead = transport.overhead(spec, path.family());
    let inner = mtu.get().min(path.mtu().saturating_sub(overhead));
    Some(Peering {
        network: network.name().clone(),
        node: peer.name().clone(),
        transport: spec.name.clone(),
        port: transport.port(spec),
        interface: path.here.interface.clone(),
        underlay: path.there.address.addr(),
        outer: inner + overhead,
        tunnel: None,
        inner,
    })
}

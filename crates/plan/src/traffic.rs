//! What a host must forward, as the first packets of connections: for those who ask whether it does.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, IfName, Name, Network, Resource, World};

use crate::driver::{self, Reach};
use crate::filter::Packet;
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{Key, Netns, Object};

/// One packet of each kind that a node's networks need forwarded: between containers and other nodes,
/// both ways, and from containers to the world.
#[must_use]
pub fn traffic(world: &World, node: &Name, plan: &HostPlan) -> Vec<Packet> {
    let mut found = Vec::new();
    for network in world.networks.values() {
        let Some(driver) = driver::find(&network.spec.driver).filter(|d| d.forwards()) else {
            continue;
        };
        let pools = network
            .spec
            .pools
            .iter()
            .filter_map(|pool| world.pools.get(pool));
        for pool in pools {
            let range = pool.spec.cidr;
            // Frames between its containers do not pass the host's own namespace.
            if driver.reach == Reach::Segment {
                let gateway = naming::gateway(network.name());
                let out = plan_interface(world, node, Family::of_net(range));
                if let Some(out) = out.filter(|_| !network.spec.internal) {
                    let from = range.hosts().nth(4).unwrap_or(range.addr());
                    found.push(packet(&gateway, out, from, outside(range)));
                }
                continue;
            }
            let container = container(world, node, network, range);
            for (link, far) in ways(plan, range) {
                let there = packet(&container.0, &link, container.1, far);
                found.push(packet(&link, &container.0, far, container.1));
                found.push(there);
            }
            let out = plan_interface(world, node, Family::of_net(range));
            if let Some(out) = out.filter(|_| pool.spec.nat_outgoing || driver.spans_nodes()) {
                found.push(packet(&container.0, out, container.1, outside(range)));
            }
        }
    }
    let mut seen = Vec::new();
    found.retain(|packet| {
        let is_new = !seen.contains(packet);
        if is_new {
            seen.push(packet.clone());
        }
        is_new
    });
    found
}

fn packet(input: &IfName, output: &IfName, source: IpAddr, destination: IpAddr) -> Packet {
    Packet {
        input: input.to_string(),
        output: output.to_string(),
        source,
        destination,
    }
}

/// The host's link and an address of a container of the network: one that is there, else as one
/// would be.
fn container(
    world: &World,
    node: &Name,
    network: &Resource<Network>,
    range: IpNet,
) -> (IfName, IpAddr) {
    let mut endpoints = world.endpoints.iter().filter(|(_, endpoint)| {
        endpoint.spec.node == *node && endpoint.spec.network == *network.name()
    });
    let present = endpoints.find_map(|((namespace, name), endpoint)| {
        let mut addresses = endpoint.spec.addresses.iter();
        let address = addresses.find(|address| range.contains(*address))?;
        Some((naming::host_end(namespace, name), *address))
    });
    let own = world
        .blocks
        .values()
        .find(|block| block.spec.node.as_ref() == Some(node) && range.contains(&block.spec.cidr));
    let (link, address) = present.unwrap_or_else(|| {
        let block = own.map_or(range, |block| block.spec.cidr);
        let nobody = network.name();
        (
            naming::host_end(nobody, nobody),
            block.hosts().nth(4).unwrap_or(block.addr()),
        )
    });
    if driver::find(&network.spec.driver).is_some_and(driver::Driver::has_bridge) {
        (naming::bridge(network.name()), address)
    } else {
        (link, address)
    }
}

/// The links by which the plan sends to other nodes, each with an address there.
fn ways(plan: &HostPlan, range: IpNet) -> Vec<(IfName, IpAddr)> {
    let mut seen = BTreeSet::new();
    let routes = plan.objects.iter().filter_map(|(place, planned)| {
        let (Netns::Host, Key::Route { dst, .. }, Object::Route(route)) =
            (&place.netns, &place.key, &planned.object)
        else {
            return None;
        };
        let link = route
            .next
            .link()
            .filter(|_| route.next.gateway().is_some())?;
        let far = || dst.hosts().nth(4).unwrap_or(dst.addr());
        range.contains(dst).then(|| (link.clone(), far()))
    });
    routes
        .filter(|(link, _)| seen.insert(link.clone()))
        .collect()
}

/// The underlay's interface of a family, which is where the world is, as far as is known.
fn plan_interface<'a>(world: &'a World, node: &Name, family: Family) -> Option<&'a IfName> {
    let node = world.nodes.get(node)?;
    node.spec.address(family).map(|address| &address.interface)
}

/// An address that is nobody's (RFC 5737, RFC 3849).
fn outside(range: IpNet) -> IpAddr {
    match range {
        IpNet::V4(_) => [203, 0, 113, 1].into(),
        IpNet::V6(_) => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_other_nodes_and_out_to_the_world() {
        let text = include_str!("../tests/cases/01-vxlan-two-nodes/world.yaml");
        let world = tombolo_model::parse::world("world.yaml", text).unwrap();
        let node = Name::new("a").unwrap();
        let plan = crate::plan(&world, &node).unwrap();
        let told: Vec<String> = traffic(&world, &node, &plan)
            .iter()
            .map(|p| format!("{} {} > {} {}", p.input, p.source, p.output, p.destination))
            .collect();
        assert_eq!(
            told,
            [
                "tbx4096 10.244.2.5 > tbv9281214c796 10.244.1.5",
                "tbv9281214c796 10.244.1.5 > tbx4096 10.244.2.5",
                "tbv9281214c796 10.244.1.5 > eth0 203.0.113.1",
            ]
        );
        let peerings = crate::peerings(&world, &node);
        assert_eq!(peerings.len(), 1, "{peerings:?}");
        let peering = &peerings[0];
        assert_eq!(
            (peering.outer, peering.inner, peering.port),
            (1500, 1450, Some(4789))
        );
        assert_eq!(peering.tunnel, Some("10.244.2.0".parse().unwrap()));
    }
}

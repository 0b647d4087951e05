//! A World as large as a cluster gets: what the planner and the agent are measured with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::json;
use tombolo_model::kinds::{NodeAddress, Purpose, Sharing, TransportSpec};
use tombolo_model::{
    Allocation, Block, ContainerId, Endpoint, Handle, IfName, IpPool, MacAddr, Mtu, Name, Network,
    Node, Resource, World,
};

fn name(text: impl Into<String>) -> Name {
    Name::new(text).expect("a name of the benchmark's own")
}

/// The name of the node of this number.
#[must_use]
pub fn node_name(number: u32) -> Name {
    name(format!("node{number:04}"))
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a value of the benchmark's own")
}

/// A cluster of so many nodes with so many endpoints on each, all on one routed network over VXLAN.
///
/// # Panics
/// There are more than 65,536 nodes, or more than 254 endpoints on each: a node has a /24.
#[must_use]
pub fn world(nodes: u32, endpoints_per_node: u32) -> World {
    assert!(
        nodes <= 65_536 && endpoints_per_node <= 254,
        "a node has a /24 of 10.0.0.0/8"
    );
    let mut world = World::default();
    let pool: IpPool = from_json(json!({"cidr": "10.0.0.0/8", "natOutgoing": true}));
    world.put(Resource::new(name("pool"), pool).into());
    let network: Network =
        from_json(json!({"driver": "routed", "transport": {"type": "vxlan"}, "pools": ["pool"]}));
    world.put(Resource::new(name("net"), network).into());
    for n in 0..nodes {
        add_node(&mut world, n, endpoints_per_node);
    }
    world
}

fn add_node(world: &mut World, n: u32, endpoints: u32) {
    let node = node_name(n);
    let address = NodeAddress {
        address: format!("172.16.{}.{}/16", n >> 8, n & 255)
            .parse()
            .expect("an address"),
        interface: IfName::new("eth0").expect("a name"),
        mtu: Mtu::new(1500).expect("an MTU"),
        reason: String::new(),
    };
    let mut resource = Resource::new(
        node.clone(),
        Node {
            addresses: vec![address],
            bgp: None,
        },
    );
    let vxlan: TransportSpec = from_json(json!({"type": "vxlan"}));
    let status = json!({"networks": {"net": {"sends": [vxlan], "receives": [vxlan]}}});
    resource.status = from_json(status);
    world.put(resource.into());
    add_block(world, n, &node, endpoints);
}

/// A node's block: its own address, and its endpoints with theirs.
fn add_block(world: &mut World, n: u32, node: &Name, endpoints: u32) {
    let cidr = format!("10.{}.{}.0/24", n >> 8, n & 255)
        .parse()
        .expect("a range");
    let mut block = Block {
        cidr,
        pool: name("pool"),
        space: None,
        node: Some(node.clone()),
        generation: 1,
        allocations: BTreeMap::new(),
        released: Vec::new(),
        sharing: Sharing::Closed,
    };
    for e in 0..=endpoints {
        let handle = Handle::resource_name(&name("net"), &format!("{n}/{e}"));
        let purpose = if e == 0 {
            Purpose::Tunnel
        } else {
            Purpose::Workload
        };
        let allocation = Allocation {
            handle: handle.clone(),
            generation: 1,
            node: node.clone(),
            purpose,
        };
        block.allocations.insert(e, allocation);
        let bound = Handle {
            network: name("net"),
            identity: format!("{node}:c{n}-{e}/eth0"),
            generation: 1,
            node: Some(node.clone()),
            endpoint: None,
            addresses: vec![block.address(e)],
        };
        world.put(Resource::new(handle.clone(), bound).into());
        if e > 0 {
            let endpoint = endpoint(n, e, node, handle, block.address(e));
            let mut resource = Resource::new(name(format!("e{n}-{e}")), endpoint);
            resource.metadata.namespace = Some(name("default"));
            world.put(resource.into());
        }
    }
    world.put(Resource::new(Block::resource_name(None, cidr), block).into());
}

fn endpoint(n: u32, e: u32, node: &Name, handle: Name, address: IpAddr) -> Endpoint {
    let [.., high, low] = n.to_be_bytes();
    let [.., last] = e.to_be_bytes();
    Endpoint {
        node: node.clone(),
        network: name("net"),
        container_id: ContainerId::new(format!("c{n}-{e}")).expect("an id"),
        configuration: None,
        sandbox_id: None,
        interface: IfName::new("eth0").expect("a name"),
        sandbox: format!("/run/netns/c{n}-{e}"),
        handover: None,
        handle,
        generation: 1,
        addresses: vec![address],
        mac: MacAddr::local([0, 0, high, low, last]),
        ports: Vec::new(),
        profiles: Vec::new(),
        named_ports: Vec::new(),
        boot_id: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_it_has_a_plan_with_its_peers_and_its_endpoints() {
        let planned = tombolo_plan::plan(&world(5, 3), &node_name(0)).expect("the node is there");
        assert!(planned.problems.is_empty(), "{:?}", planned.problems);
        let keys: Vec<String> = planned.objects.keys().map(|k| format!("{k:?}")).collect();
        let routes = |part: &str| {
            let found = keys
                .iter()
                .filter(|k| k.contains("Route") && k.contains(part));
            found.count()
        };
        for peer in 1..5 {
            assert_eq!(routes(&format!("10.0.{peer}.0/24")), 1, "{keys:#?}");
        }
        for endpoint in 1..=3 {
            assert_eq!(routes(&format!("10.0.0.{endpoint}/32")), 1, "{keys:#?}");
        }
    }
}

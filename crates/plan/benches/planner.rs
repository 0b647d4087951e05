//! How long the planner takes on a large cluster: 1,000 nodes, 20,000 endpoints.
//!
//! `cargo bench -p tombolo-plan` prints medians, and writes them to `target/bench/planner.json` as a
//! list of `{case, unit, ours, peer, peer_name, ratio, rounds}`; there is no peer to compare with.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use tombolo_model::kinds::{NodeAddress, Purpose, TransportSpec};
use tombolo_model::{
    Allocation, Block, ContainerId, Endpoint, Handle, IfName, IpPool, MacAddr, Mtu, Name, Network,
    Node, Resource, World,
};
use tombolo_plan::{Observed, diff, plan};

const NODES: u32 = 1_000;
const ENDPOINTS_PER_NODE: u32 = 20;
const ROUNDS: usize = 15;

fn name(text: impl Into<String>) -> Name {
    Name::new(text).expect("a name of the benchmark's own")
}

fn from_json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).expect("a value of the benchmark's own")
}

fn world() -> World {
    let mut world = World::default();
    let pool: IpPool = from_json(json!({"cidr": "10.0.0.0/8", "natOutgoing": true}));
    world.put(Resource::new(name("pool"), pool).into());
    let network: Network =
        from_json(json!({"driver": "routed", "transport": {"type": "vxlan"}, "pools": ["pool"]}));
    world.put(Resource::new(name("net"), network).into());
    for n in 0..NODES {
        add_node(&mut world, n);
    }
    world
}

fn add_node(world: &mut World, n: u32) {
    let node = name(format!("node{n:04}"));
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
        },
    );
    let vxlan: TransportSpec = from_json(json!({"type": "vxlan"}));
    let status = json!({"networks": {"net": {"sends": [vxlan], "receives": [vxlan]}}});
    resource.status = from_json(status);
    world.put(resource.into());
    add_block(world, n, &node);
}

/// A node's block: its own address, and its endpoints with theirs.
fn add_block(world: &mut World, n: u32, node: &Name) {
    let cidr = format!("10.{}.{}.0/24", n >> 8, n & 255)
        .parse()
        .expect("a range");
    let mut block = Block {
        cidr,
        pool: name("pool"),
        node: Some(node.clone()),
        generation: 1,
        allocations: BTreeMap::new(),
        released: Vec::new(),
        sharing: tombolo_model::kinds::Sharing::Closed,
    };
    for e in 0..=ENDPOINTS_PER_NODE {
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
        if e > 0 {
            let endpoint = endpoint(n, e, node, handle, block.address(e));
            let mut resource = Resource::new(name(format!("e{n}-{e}")), endpoint);
            resource.metadata.namespace = Some(name("default"));
            world.put(resource.into());
        }
    }
    world.put(Resource::new(Block::resource_name(cidr), block).into());
}

fn endpoint(n: u32, e: u32, node: &Name, handle: Name, address: std::net::IpAddr) -> Endpoint {
    let [.., high, low] = n.to_be_bytes();
    let [.., last] = e.to_be_bytes();
    Endpoint {
        node: node.clone(),
        network: name("net"),
        container_id: ContainerId::new(format!("c{n}-{e}")).expect("an id"),
        configuration: None,
        interface: IfName::new("eth0").expect("a name"),
        sandbox: format!("/run/netns/c{n}-{e}"),
        handle,
        generation: 1,
        addresses: vec![address],
        mac: MacAddr::local([0, 0, high, low, last]),
        ports: Vec::new(),
        boot_id: String::new(),
    }
}

/// The median of several runs, in milliseconds.
fn median_ms(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn main() {
    let world = world();
    let node = name("node0000");
    let planned = plan(&world, &node).expect("the node is there");
    let held: Observed = planned
        .objects
        .iter()
        .map(|(place, p)| (place.clone(), p.object.clone()))
        .collect();
    let objects = planned.objects.len();
    let cases = [
        (
            "plan from nothing, 1,000 nodes, 20,000 endpoints",
            median_ms(|| {
                std::hint::black_box(plan(&world, &node));
            }),
        ),
        (
            "diff with an empty kernel",
            median_ms(|| {
                std::hint::black_box(diff(&planned, &Observed::new()));
            }),
        ),
        (
            "diff with a kernel that is as planned",
            median_ms(|| {
                assert!(std::hint::black_box(diff(&planned, &held)).is_empty());
            }),
        ),
    ];
    println!("{objects} objects on the host; medians of {ROUNDS}\n");
    let mut rows = Vec::new();
    for (case, ms) in cases {
        println!("{case:<52}{ms:>10.2} ms");
        rows.push(json!({"case": case, "unit": "ms", "ours": ms, "peer": null,
                         "peer_name": null, "ratio": null, "rounds": ROUNDS}));
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    let text = serde_json::to_string_pretty(&rows).expect("rows are JSON");
    std::fs::create_dir_all(&folder).expect("the folder for figures can be made");
    std::fs::write(folder.join("planner.json"), text).expect("the figures can be written");
}

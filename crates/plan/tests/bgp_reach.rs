//! By the sessions that plans ask for, every node reaches every other node's blocks.
//!
//! Clusters of 2 to 7 nodes in one or two systems, some of them reflectors, with a mesh, without, or with
//! BGPPeers in its stead. Each node's plan becomes a speaker on a simulated wire, with the filters and
//! announcements that it says. What the speakers have told each other goes back into the Worlds, and a
//! packet is walked from every node to every block by the routes that are planned then.

#[path = "support/world.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod world;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::json;
use tombolo_bgp::Asn;
use tombolo_bgp::simulate::{self, Network, Wire};
use tombolo_model::{KindName, World};
use tombolo_plan::bgp::BGP_METRIC;
use tombolo_plan::objects::{MAIN_TABLE, NextHop};
use tombolo_plan::{Key, Object, Place, plan};

use world::{name, resource};

/// Who is in a cluster.
#[derive(Debug, Clone)]
struct Shape {
    /// Of each node: whether it is of the second system, and whether it is a reflector.
    nodes: Vec<(bool, bool)>,
    sessions: Sessions,
    seed: u64,
}

/// Who is told to speak with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    /// Nothing is said.
    Usual,
    /// A mesh, though there may be reflectors; those as a BGPPeer says.
    Mesh,
    /// Only what BGPPeers say: all with the first node, which reflects.
    Peers,
}

fn shapes() -> impl Strategy<Value = Shape> {
    let node = (prop::bool::weighted(0.25), prop::bool::weighted(0.3));
    let sessions = prop_oneof![
        2 => Just(Sessions::Usual),
        1 => Just(Sessions::Mesh),
        1 => Just(Sessions::Peers),
    ];
    let nodes = prop::collection::vec(node, 2..8);
    (nodes, sessions, any::<u64>()).prop_map(|(mut nodes, sessions, seed)| {
        if sessions == Sessions::Peers {
            nodes.iter_mut().for_each(|node| *node = (false, false));
            nodes[0].1 = true;
        }
        Shape {
            nodes,
            sessions,
            seed,
        }
    })
}

fn number(index: usize) -> u16 {
    u16::try_from(index).expect("few nodes") + 1
}

fn block(index: usize) -> IpNet {
    format!("10.244.{index}.0/26").parse().expect("a block")
}

fn world_of(shape: &Shape) -> World {
    let mut world = World::default();
    world.put(world::pool("p", "10.244.0.0/16", false));
    let transport = serde_json::from_value(json!({"type": "bgp"})).expect("a transport");
    world.put(world::network(
        "n",
        "routed",
        Some(&transport),
        &["p".to_owned()],
    ));
    for (index, (is_apart, reflects)) in shape.nodes.iter().enumerate() {
        let mut speaker = json!({});
        if *is_apart {
            speaker["asNumber"] = 64999.into();
        }
        if *reflects {
            speaker["routeReflectorClusterID"] = "244.0.0.1".into();
        }
        let address = format!("{}/16", simulate::address(number(index)));
        let value = json!({
            "metadata": {"name": format!("n{index}"), "labels": {"reflects": reflects.to_string()}},
            "spec": {"bgp": speaker, "addresses": [
                {"address": address, "interface": "eth0", "mtu": 1500}]},
        });
        world.put(resource(KindName::Node, value));
        world.put(world::block(
            &block(index).to_string(),
            "p",
            Some(index),
            &[],
        ));
    }
    let mesh = match shape.sessions {
        Sessions::Usual => return world,
        Sessions::Mesh => true,
        Sessions::Peers => false,
    };
    for (kind, called, spec) in [
        (
            KindName::BgpConfiguration,
            "default",
            json!({"nodeToNodeMeshEnabled": mesh}),
        ),
        (
            KindName::BgpPeer,
            "reflectors",
            json!({"peerSelector": "reflects == 'true'"}),
        ),
    ] {
        world.put(resource(
            kind,
            json!({"metadata": {"name": called}, "spec": spec}),
        ));
    }
    world
}

/// What every node has learned once all have said what they know.
fn converge(shape: &Shape, world: &World) -> Network {
    let mut network = Network::new(shape.seed, Wire::default());
    for index in 0..shape.nodes.len() {
        network.add(number(index), Asn(64512));
    }
    for index in 0..shape.nodes.len() {
        let plan = plan(world, &name(format!("n{index}"))).expect("a plan");
        let bgp = plan.bgp.expect("a speaker");
        network.configure(index, |config| config.clone_from(&bgp.config));
        network.originate(index, bgp.advertise.keys().copied());
    }
    network.run(Duration::from_secs(120));
    network
}

/// Puts what a node has learned into a World.
fn learn(world: &mut World, network: &Network, index: usize) {
    let route = |(prefix, paths): (&IpNet, &Arc<[tombolo_bgp::rib::Path]>)| {
        let hop = |path: &tombolo_bgp::rib::Path| {
            let address = path.next_hop.address();
            json!({"address": address, "interface": "eth0", "from": path.peer.to_string()})
        };
        let hops: Vec<_> = paths.iter().map(hop).collect();
        json!({"prefix": prefix, "nextHops": hops})
    };
    let routes: Vec<_> = network.table(index).iter().map(route).collect();
    let value = json!({
        "metadata": {"name": format!("n{index}")},
        "spec": {"settled": true, "routes": routes},
    });
    world.put(resource(KindName::Learned, value));
}

/// The node that a block's packets go to next from a node.
fn next(world: &World, nodes: usize, from: usize, to: usize) -> Option<usize> {
    let plan = plan(world, &name(format!("n{from}"))).expect("a plan");
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: block(to),
        metric: BGP_METRIC,
    };
    let Object::Route(route) = &plan.objects.get(&Place::host(key))?.object else {
        return None;
    };
    let gateway: IpAddr = match &route.next {
        NextHop::Via { gateway, .. } => *gateway,
        NextHop::Many(hops) => hops.first()?.gateway,
        _ => return None,
    };
    (0..nodes).find(|index| simulate::address(number(*index)) == gateway)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_node_reaches_every_block(shape in shapes()) {
        let mut world = world_of(&shape);
        let network = converge(&shape, &world);
        let nodes = shape.nodes.len();
        for index in 0..nodes {
            learn(&mut world, &network, index);
        }
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                let mut at = from;
                let mut hops = 0;
                while at != to {
                    let on = next(&world, nodes, at, to);
                    prop_assert!(on.is_some(), "from n{from} to n{to}: lost at n{at}");
                    at = on.expect("just looked at");
                    hops += 1;
                    prop_assert!(hops <= nodes, "from n{from} to n{to}: round in circles");
                }
            }
        }
    }
}

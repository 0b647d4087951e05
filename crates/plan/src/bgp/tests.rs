use tombolo_bgp::Outcome;
use tombolo_model::{Name, parse};

use super::*;
use crate::objects::{Key, MAIN_TABLE, Place};

/// A node whose block has one address at home, 10.244.1.5, and one at another node, 10.244.1.7, which
/// has a block of its own.
const WORLD: &str = "
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: p}, spec: {cidr: 10.244.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: n}, spec: {
  driver: routed, transport: {type: bgp}, pools: [p]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a}, spec: {
  addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: b}, spec: {
  addresses: [{address: 192.168.0.2/24, interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.244.1.0-26}, spec: {
  cidr: 10.244.1.0/26, pool: p, node: a, generation: 1, allocations: {
    5: {handle: h5, generation: 1, node: a}, 7: {handle: h7, generation: 1, node: b}}}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.244.2.0-26}, spec: {
  cidr: 10.244.2.0/26, pool: p, node: b, generation: 1, allocations: {
    5: {handle: h25, generation: 1, node: b}}}}
";

fn planned(more: &str) -> HostPlan {
    let text = format!("{WORLD}---\n{more}");
    let world = parse::world("w.yaml", &text).unwrap_or_else(|e| panic!("{e}"));
    crate::plan(&world, &Name::new("a").unwrap()).unwrap()
}

/// What node a has learned from b.
fn learned(settled: bool, prefixes: &[&str]) -> String {
    let from = if settled { ", from: 192.168.0.2" } else { "" };
    let routes: Vec<String> = prefixes
        .iter()
        .map(|p| format!("{{prefix: {p}, nextHops: [{{address: 192.168.0.2{from}}}]}}"))
        .collect();
    format!(
        "{{apiVersion: tombolo.dev/v1, kind: Learned, metadata: {{name: a}}, spec: {{settled: {settled}, routes: [{}]}}}}\n",
        routes.join(", ")
    )
}

fn configuration(spec: &str) -> String {
    format!(
        "{{apiVersion: tombolo.dev/v1, kind: BGPConfiguration, metadata: {{name: default}}, spec: {spec}}}\n"
    )
}

fn has_route(plan: &HostPlan, dst: &str) -> bool {
    let key = Key::Route {
        table: MAIN_TABLE,
        dst: dst.parse().unwrap(),
        metric: BGP_METRIC,
    };
    plan.objects.contains_key(&Place::host(key))
}

#[test]
fn what_lies_in_a_pool_is_held_against_the_blocks() {
    let prefixes = [
        "10.244.1.0/26", // our own block, come back
        "10.244.1.0/27", // a half of it
        "10.244.1.5/32", // an address that is here
        "10.244.1.7/32", // one that is at the other node
        "10.244.1.8/32", // one that nobody holds
        "10.244.2.5/32", // one that is at the other node with its block
        "10.244.9.0/26", // a block that nobody has
        "172.16.0.0/12", // none of ours
    ];
    let plan = planned(&learned(true, &prefixes));
    let let_in = prefixes.iter().filter(|prefix| has_route(&plan, prefix));
    let let_in: Vec<_> = let_in.collect();
    assert_eq!(let_in, [&"10.244.1.7/32", &"172.16.0.0/12"]);
    let told: Vec<_> = plan.problems.iter().map(|p| &p.message).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("announces 10.244.2.5/32 of IPPool p, but it is told with its block")
    );
    assert!(told[1].starts_with("announces 10.244.1.0/27 and 2 others of IPPool p"));
    assert_eq!(plan.problems[0].resource.to_string(), "Node b");

    let trusting = configuration("{import: {pools: true}}");
    let plan = planned(&format!("{trusting}---\n{}", learned(true, &prefixes)));
    assert!(has_route(&plan, "10.244.9.0/26") && has_route(&plan, "10.244.1.8/32"));
    assert!(!has_route(&plan, "10.244.1.0/26") && !has_route(&plan, "10.244.1.5/32"));
    assert_eq!(plan.problems, []);
}

#[test]
fn what_was_there_before_a_restart_is_kept_without_a_word() {
    let plan = planned(&learned(false, &["10.244.1.7/32", "172.16.0.0/12"]));
    assert!(has_route(&plan, "10.244.1.7/32") && has_route(&plan, "172.16.0.0/12"));
    assert_eq!(plan.problems, []);
    let kept = plan.objects.values().map(|planned| planned.origin.rule);
    let kept = kept.filter(|rule| *rule == "bgp: a route of before a restart is kept");
    assert_eq!(kept.count(), 1);
}

/// What comes in from node b, by the filter alone.
fn comes_in(plan: &HostPlan, prefix: &str) -> Result<(), String> {
    let peers = &plan.bgp.as_ref().unwrap().config.peers;
    let peer = &peers[&"192.168.0.2".parse().unwrap()];
    let (outcome, rule) = peer.import.decide(prefix.parse().unwrap(), true);
    match outcome {
        Outcome::Accept => Ok(()),
        Outcome::Reject => Err(rule.map_or_else(String::new, |rule| rule.reason.clone())),
    }
}

#[test]
fn a_filter_refuses_what_can_never_be_right() {
    let plan = planned(&configuration("{}"));
    for (prefix, words) in [
        ("0.0.0.0/0", "a default route"),
        ("::/0", "a default route"),
        ("128.0.0.0/1", "a default route"),
        ("2000::/3", "a default route"),
        ("128.0.0.0/2", ""),
        ("127.0.0.0/8", "loopback"),
        ("169.254.7.0/24", "one link only"),
        ("224.0.0.0/24", "multicast"),
        ("fe80::/64", "one link only"),
        ("::1/128", "loopback"),
        ("192.168.0.0/24", "underlay's own subnet"),
        ("192.168.0.2/32", "underlay's own subnet"),
        ("192.168.0.0/16", ""),
        ("10.0.0.0/8", "covers IPPool p"),
        ("10.244.0.0/16", "covers IPPool p"),
        ("10.244.1.0/26", "a block of this node itself"),
        ("10.244.1.0/28", "a block of this node itself"),
        ("10.244.1.7/32", ""),
        ("10.244.2.0/26", ""),
        ("172.16.0.0/12", ""),
        ("2001:db8::/32", ""),
    ] {
        match comes_in(&plan, prefix) {
            Ok(()) => assert_eq!(words, "", "{prefix} came in"),
            Err(why) => assert!(!words.is_empty() && why.contains(words), "{prefix}: {why}"),
        }
    }
    let open = planned(&configuration(
        "{import: {defaultRoute: true, pools: true}}",
    ));
    assert_eq!(comes_in(&open, "0.0.0.0/0"), Ok(()));
    assert_eq!(comes_in(&open, "10.0.0.0/8"), Ok(()));
    assert!(comes_in(&open, "127.0.0.0/8").is_err());
}

fn node(name: &str, number: u8) -> String {
    special_node(name, number, "{}")
}

fn reflector(name: &str, number: u8) -> String {
    special_node(name, number, "{routeReflectorClusterID: 244.0.0.1}")
}

fn special_node(name: &str, number: u8, speaker: &str) -> String {
    format!(
        "{{apiVersion: tombolo.dev/v1, kind: Node, metadata: {{name: {name}}}, spec: {{
  bgp: {speaker}, addresses: [{{address: 192.168.0.{number}/24, interface: eth0, mtu: 1500}}]}}}}\n"
    )
}

fn peers(plan: &HostPlan) -> Vec<String> {
    let peers = &plan.bgp.as_ref().unwrap().config.peers;
    peers.values().map(|peer| peer.name.clone()).collect()
}

#[test]
fn who_speaks_with_whom_depends_on_mesh_and_reflectors() {
    let with = |spec: &str| {
        planned(&format!(
            "{}---\n{}",
            reflector("r", 9),
            configuration(spec)
        ))
    };
    assert_eq!(peers(&planned(&configuration("{}"))), ["Node b"]);
    assert_eq!(peers(&with("{}")), ["Node r"]);
    assert_eq!(peers(&with("{nodeToNodeMeshEnabled: true}")), ["Node b"]);
    assert_eq!(peers(&with("{nodeToNodeMeshEnabled: false}")), [""; 0]);
    // Who is told of by a peer speaks with it, though only the other end was named.
    let told = "{apiVersion: tombolo.dev/v1, kind: BGPPeer, metadata: {name: p}, spec: {
  node: r, peerSelector: all()}}\n";
    let plan = planned(&format!(
        "{}---\n{}---\n{told}",
        reflector("r", 9),
        configuration("{nodeToNodeMeshEnabled: false}")
    ));
    assert_eq!(peers(&plan), ["Node r"]);
}

#[test]
fn a_large_mesh_is_advised_against() {
    let nodes = |count: usize| {
        let node = |n: usize| {
            format!(
                "{{apiVersion: tombolo.dev/v1, kind: Node, metadata: {{name: n{n}}}, spec: {{
  addresses: [{{address: 192.168.1.{n}/24, interface: eth0, mtu: 1500}}]}}}}\n"
            )
        };
        (1..=count).map(node).collect::<Vec<_>>().join("---\n")
    };
    let advised = |plan: &HostPlan| {
        let mut problems = plan.problems.iter();
        problems.any(|problem| problem.message.contains("routeReflectorClusterID"))
    };
    assert!(!advised(&planned(&nodes(97))));
    assert!(advised(&planned(&nodes(98))));
}

#[test]
fn a_node_without_such_a_network_and_peer_has_no_speaker() {
    let text = WORLD.replace("type: bgp", "type: vxlan");
    let world = parse::world("w.yaml", &text).unwrap_or_else(|e| panic!("{e}"));
    let plan = crate::plan(&world, &Name::new("a").unwrap()).unwrap();
    assert_eq!(plan.bgp, None);
}

/// What node a learned of b's block, each hop from a peer.
fn told_by(peers: &[&str]) -> String {
    let hops: Vec<String> = peers
        .iter()
        .map(|peer| format!("{{address: {peer}, interface: eth0, from: {peer}}}"))
        .collect();
    format!(
        "{{apiVersion: tombolo.dev/v1, kind: Learned, metadata: {{name: a}}, spec: {{settled: true, routes: [
  {{prefix: 10.244.2.0/26, nextHops: [{}]}}]}}}}\n",
        hops.join(", ")
    )
}

#[test]
fn a_block_of_a_node_that_is_spoken_with_is_nobody_elses_to_tell() {
    let way = |text: &str| {
        let plan = planned(text);
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: "10.244.2.0/26".parse().unwrap(),
            metric: BGP_METRIC,
        };
        let route = plan.objects.get(&Place::host(key));
        let told: Vec<_> = plan
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.resource, problem.message))
            .collect();
        (
            route.map(|planned| planned.object.to_string()),
            told.join("\n"),
        )
    };
    let (b, c, tor) = ("192.168.0.2", "192.168.0.3", "192.168.0.254");
    let rack = "{apiVersion: tombolo.dev/v1, kind: BGPPeer, metadata: {name: rack}, spec: {
  peerIP: 192.168.0.254, asNumber: 65001}}\n";
    let with = |more: &str, peers: &[&str]| {
        way(&format!(
            "{}---\n{rack}---\n{more}---\n{}",
            node("c", 3),
            told_by(peers)
        ))
    };
    let mesh = configuration("{}");
    // The holder itself, with or without another that claims the block too.
    let direct = with(&mesh, &[b]);
    assert!(direct.0.as_ref().unwrap().contains(b), "{direct:?}");
    assert_eq!(with(&mesh, &[b, c]).0, direct.0);
    let (route, told) = with(&mesh, &[c]);
    assert_eq!(route, None);
    assert!(
        told.contains("Node c: announces 10.244.2.0/26 of IPPool p, but its node is another"),
        "{told}"
    );
    // A router may be the only way there is, and so may a node where the holder is not spoken with.
    assert!(with(&mesh, &[tor]).0.unwrap().contains(tor));
    let peering = "{apiVersion: tombolo.dev/v1, kind: BGPPeer, metadata: {name: c}, spec: {
  node: a, peerIP: 192.168.0.3, asNumber: 64512}}\n";
    let apart = format!(
        "{}---\n{peering}",
        configuration("{nodeToNodeMeshEnabled: false}")
    );
    assert!(with(&apart, &[c]).0.unwrap().contains(c));
    // A reflector passes on what others told.
    let reflected = format!("{}---\n{}", reflector("r", 9), told_by(&["192.168.0.9"]));
    assert!(way(&reflected).0.unwrap().contains("192.168.0.9"));
}

#[test]
fn blocks_of_containers_that_share_the_underlays_interface_are_told() {
    let plan = |parent: &str, mode: &str| {
        planned(&format!(
            "{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: q}}, spec: {{cidr: 10.99.0.0/16}}}}
---
{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: shared}}, spec: {{
  driver: ipvlan, ipvlan: {{parent: {parent}, mode: {mode}}}, pools: [q]}}}}
---
{{apiVersion: tombolo.dev/v1, kind: Block, metadata: {{name: 10.99.1.0-26}}, spec: {{
  cidr: 10.99.1.0/26, pool: q, node: a, generation: 1}}}}
---
{{apiVersion: tombolo.dev/v1, kind: Block, metadata: {{name: 10.99.2.0-26}}, spec: {{
  cidr: 10.99.2.0/26, pool: q, node: b, generation: 1}}}}
---
{}",
            learned(true, &["10.99.2.0/26"])
        ))
    };
    for (parent, mode, announced, let_in) in [
        ("eth0", "l3", true, true),
        ("eth0", "l3s", true, true),
        // What comes in by another interface is not handed over.
        ("eth1", "l3", false, true),
        // Containers are stations of the segment, and answer for themselves.
        ("eth0", "l2", false, false),
    ] {
        let plan = plan(parent, mode);
        let told = &plan.bgp.as_ref().unwrap().advertise;
        let own = "10.99.1.0/26".parse().unwrap();
        assert_eq!(told.contains_key(&own), announced, "{parent} {mode}");
        assert_eq!(has_route(&plan, "10.99.2.0/26"), let_in, "{parent} {mode}");
    }
}

#[test]
fn peers_that_cannot_be_spoken_with_are_told() {
    let far = "{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: v6}, spec: {
  addresses: [{address: 'fd00::7/64', interface: eth0, mtu: 1500}]}}";
    let router = |more: &str| {
        format!(
            "{{apiVersion: tombolo.dev/v1, kind: BGPPeer, metadata: {{name: rack}}, spec: {{
  peerIP: 'fd00::fe', asNumber: 65001{more}}}}}"
        )
    };
    let told = |text: &str| {
        let plan = planned(text);
        let lines = plan.problems.iter();
        let lines: Vec<_> = lines
            .map(|p| format!("{}: {}", p.resource, p.message))
            .collect();
        (lines.join("\n"), peers(&plan))
    };
    let (problems, peers) = told(&format!("{far}\n---\n{}", router("")));
    assert!(
        problems.contains("Node v6: no session with it: the nodes have no underlay addresses"),
        "{problems}"
    );
    assert!(
        problems.contains("BGPPeer rack: no session with fd00::fe: node a has no ipv6 address"),
        "{problems}"
    );
    assert_eq!(peers, ["Node b"]);
    let (problems, peers) = told(&router(", sourceAddress: None"));
    assert_eq!(problems, "");
    assert_eq!(peers, ["Node b", "BGPPeer rack"]);
}

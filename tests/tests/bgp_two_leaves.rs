//! Hosts below two leaf switches each: packets go by both, and go on when a leaf dies or a cable is
//! pulled, though every host has another address on each wire.

#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing where something must be has failed"
)]

use tombolo_lab::{Lab, Topology};
use tombolo_tests::router::{Router, fabric};
use tombolo_tests::traffic::Traffic;
use tombolo_tests::{Cluster, Shape, lab};

const NETWORK: &str = "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: default}\nspec: {driver: routed, transport: {type: bgp}, pools: [default-v4, default-v6]}\n";

/// Each host peers with both of its leaves, from its address on the wire to each.
fn leaf_peers(lab: &Lab) -> String {
    let mut text = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {nodeToNodeMeshEnabled: false}\n".to_owned();
    for host in lab.layout().hosts {
        for interface in host.interfaces {
            let (segment, host) = (interface.segment, &host.name);
            let (leaf, system) = (format!("192.168.{}.1", 50 + segment), 65001 + segment);
            text += &format!(
                "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{name: {host}-{segment}}}\nspec: {{node: {host}, peerIP: {leaf}, asNumber: {system}, sourceAddress: None, bfd: true}}\n"
            );
        }
    }
    text
}

/// Another handle on a lab, so that routers can go on borrowing the first.
fn again(lab: &Lab) -> Lab {
    Lab::find(&lab.record().spec.name).unwrap()
}

fn shape() -> Shape {
    Shape::hosts(4).topology(Topology::DualLeafSpine)
}

/// A container on each host.
fn containers(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let hosts = cluster.lab.hosts().iter();
    let attach = |host: &String| {
        let addresses = cluster.container(host, "c1", "default");
        (format!("{host}/c1"), addresses)
    };
    hosts.map(attach).collect()
}

/// Waits until every host has so many ways to each other one's containers.
fn ways(cluster: &Cluster, containers: &[(String, Vec<String>)], host: &str, count: usize) {
    for (place, addresses) in containers
        .iter()
        .filter(|(place, _)| !place.starts_with(host))
    {
        for address in addresses {
            cluster.until(&format!("{host} has {count} ways to {place}"), || {
                let family = if address.contains(':') { "-6" } else { "-4" };
                let show = format!("ip {family} route show match {address} proto 84");
                let route = cluster.sh(host, &show);
                (route.matches("via ").count() == count).then_some(())
            });
        }
    }
}

fn without_loss(cluster: &Cluster, containers: &[(String, Vec<String>)], what: &str) {
    let [a, _, c, _] = containers else {
        panic!("there are four containers")
    };
    let traffic = Traffic::between(cluster, (&a.0, &a.1), (&c.0, &c.1));
    cluster.all_reach_all(containers);
    traffic.end_without_loss(what);
}

#[test]
fn traffic_goes_by_the_other_leaf_when_one_dies_and_by_both_when_it_returns() {
    let lab = lab("twoleaves", &shape());
    let routers = fabric::fabric(&lab);
    let cluster = Cluster::on(again(&lab), &shape());
    cluster.apply("a", &(NETWORK.to_owned() + "---\n" + &leaf_peers(&lab)));
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    for host in ["a", "b", "c", "d"] {
        ways(&cluster, &containers, host, 2);
        let problems = cluster.status(host)["problems"].clone();
        assert_eq!(problems, serde_json::json!([]), "on {host}");
    }
    // Each leaf was told the host's address on its own wire, in both families.
    let told = cluster.sh("leaf2", "ip route show; ip -6 route show");
    assert!(told.contains("via 192.168.51.11"), "{told}");
    assert!(told.contains("via fd50:1::b"), "{told}");
    // A host is no way between its leaves: what the one told it is not told to the other.
    let heard = routers["leaf2"].json("show bgp ipv4 unicast neighbors 192.168.51.11 routes json");
    let heard = heard["routes"].as_object().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    // The leaf of the second interfaces of `a`, whose other one leads to the first node and its store.
    lab.cut("leaf2").unwrap();
    for host in ["a", "b"] {
        ways(&cluster, &containers, host, 1);
    }
    // The hold timer is thirty times slower.
    let noticed = cluster.sh("a", "grep 'BFD: the peer is gone' /run/tombolo/agent.log");
    assert!(noticed.contains("192.168.51.1"), "{noticed}");
    cluster.until_all_reach_all(&containers);
    without_loss(&cluster, &containers, "one leaf was dead");
    lab.heal("leaf2").unwrap();
    for host in ["a", "b", "c", "d"] {
        ways(&cluster, &containers, host, 2);
    }
    cluster.until_all_reach_all(&containers);
    without_loss(&cluster, &containers, "both leaves were there again");
}

#[test]
fn a_pulled_cable_leaves_the_other_one() {
    let lab = lab("twocables", &shape());
    let mut routers = fabric::fabric(&lab);
    let cluster = Cluster::on(again(&lab), &shape());
    cluster.apply("a", &(NETWORK.to_owned() + "---\n" + &leaf_peers(&lab)));
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    let plug = |how: &str| {
        let argv = ["ip", "link", "set", "sw-c.1", how];
        lab.output(".", &argv).unwrap();
    };
    ways(&cluster, &containers, "c", 2);
    plug("down");
    ways(&cluster, &containers, "c", 1);
    cluster.until_all_reach_all(&containers);
    without_loss(&cluster, &containers, "one cable was pulled");
    plug("up");
    ways(&cluster, &containers, "c", 2);
    // A crash of the daemons: the leaf forwards what it knew, but tells nobody anything.
    let leaf: Router<'_> = routers.remove("leaf4").unwrap();
    leaf.kill();
    for host in ["c", "d"] {
        ways(&cluster, &containers, host, 1);
    }
    cluster.until_all_reach_all(&containers);
}

/// A cluster whose nodes are known by addresses on their loopbacks, which only BGP leads to: the first
/// node tells its own before others join.
fn routed_nodes(lab: &Lab, leaf: &Router<'_>) -> Cluster {
    let cluster = Cluster { lab: again(lab) };
    let underlay = [
        "--underlay",
        "cidr=10.255.0.0/24",
        "--underlay",
        "cidr=fd00:255::/64",
    ];
    for (host, number) in cluster.lab.hosts().iter().zip(11..) {
        let _ = cluster.sh(
            host,
            &format!(
                "ip addr add 10.255.0.{number}/32 dev lo; ip addr add fd00:255::{number}/128 dev lo"
            ),
        );
    }
    cluster.lab.init("a", &underlay).unwrap();
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    cluster.apply("a", &(NETWORK.to_owned() + "---\n" + &leaf_peers(lab)));
    leaf.knows("10.255.0.11/32");
    for host in ["b", "c", "d"] {
        let token = cluster.lab.token("a").unwrap();
        let join = cluster.lab.join(host, "10.255.0.11", &token, &underlay);
        join.unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
    }
    cluster.settle();
    cluster
}

#[test]
fn nodes_with_addresses_of_their_own_keep_their_store_when_a_leaf_dies() {
    let lab = lab("loopbacks", &shape());
    let routers = fabric::fabric(&lab);
    let cluster = routed_nodes(&lab, &routers["leaf3"]);
    let mut all = containers(&cluster);
    cluster.until_all_reach_all(&all);
    for host in ["a", "b", "c", "d"] {
        ways(&cluster, &all, host, 2);
        let problems = cluster.status(host)["problems"].clone();
        assert_eq!(problems, serde_json::json!([]), "on {host}");
    }
    assert!(cluster.fits("a/c1", &all[2].1[0], 1500));
    let check = cluster.try_sh("a", "tombolo check");
    let found = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.success(), "{found}");
    let to_store = cluster.sh("c", "ip route get 10.255.0.11; ip route get fd00:255::11");
    assert!(to_store.contains("src 10.255.0.13"), "{to_store}");
    assert!(to_store.contains("src fd00:255::13"), "{to_store}");
    // The leaf that `a`, where the store is, and its default route have at `eth0`.
    lab.cut("leaf1").unwrap();
    for host in ["a", "b"] {
        ways(&cluster, &all, host, 1);
    }
    cluster.until_all_reach_all(&all);
    // The store is reached: a new container is known to all, and at once.
    let new = cluster.container("c", "c2", "default");
    cluster.settle();
    all.push(("c/c2".to_owned(), new));
    cluster.all_reach_all(&all);
    lab.heal("leaf1").unwrap();
    for host in ["a", "b"] {
        ways(&cluster, &all, host, 2);
    }
    cluster.until_all_reach_all(&all);
}

//! Nodes beside the routers of a data centre: leaf switches that carry containers' packets, and what a
//! router may not say.

#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing where something must be has failed"
)]

use tombolo_lab::Topology;
use tombolo_tests::router::{Router, fabric};
use tombolo_tests::{Cluster, Shape, lab};

const NETWORK: &str = "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: default}\nspec: {driver: routed, transport: {type: bgp}, pools: [default-v4, default-v6]}\n";

/// Each host peers with the leaf of its rack, and with nobody else.
fn rack_peers(cluster: &Cluster) -> String {
    let mut text = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {nodeToNodeMeshEnabled: false}\n".to_owned();
    for (rack, host) in cluster.lab.hosts().iter().enumerate() {
        let (leaf, system) = (format!("192.168.{}.1", 50 + rack), 65001 + rack);
        text += &format!(
            "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{name: rack{rack}}}\nspec: {{node: {host}, peerIP: {leaf}, asNumber: {system}}}\n"
        );
    }
    text
}

#[test]
fn containers_behind_leaf_switches_reach_each_other_and_a_spine_may_die() {
    let shape = Shape::hosts(4).topology(Topology::LeafSpine);
    let lab = lab("bgpracks", &shape);
    let mut routers = fabric::fabric(&lab);
    // The cluster is another handle on the same lab, so that the routers can go on borrowing this one.
    let cluster = Cluster::on(
        tombolo_lab::Lab::find(&lab.record().spec.name).unwrap(),
        &shape,
    );
    cluster.apply("a", &(NETWORK.to_owned() + "---\n" + &rack_peers(&cluster)));
    let hosts = cluster.lab.hosts().to_vec();
    let containers: Vec<(String, Vec<String>)> = hosts
        .iter()
        .map(|host| {
            (
                format!("{host}/c1"),
                cluster.container(host, "c1", "default"),
            )
        })
        .collect();
    cluster.until_all_reach_all(&containers);
    // No tunnel is left that packets would need room for.
    cluster.until("packets are as large as the wires allow", || {
        cluster
            .fits("a/c1", &containers[2].1[0], 1500)
            .then_some(())
    });
    for host in &hosts {
        assert_eq!(
            cluster.status(host)["problems"],
            serde_json::json!([]),
            "on {host}"
        );
    }
    routers.remove("spine1").unwrap().kill();
    cluster.until_all_reach_all(&containers);
}

#[test]
fn what_a_router_may_not_say_is_refused_and_told() {
    let cluster = Cluster::alone(lab("bgprefuse", &Shape::hosts(2)));
    let peer = "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: odd}\nspec: {peerIP: 192.168.50.12, asNumber: 65002}\n";
    let container = cluster.container("a", "c1", "default");
    cluster.apply("a", &(NETWORK.to_owned() + peer));
    let own = cluster.sh("a", "ip route show type blackhole proto 84");
    let own = own.split_whitespace().nth(1).unwrap().to_owned();
    let told = [
        "0.0.0.0/0",
        "10.244.0.0/16",
        "10.0.0.0/8",
        "192.168.50.0/24",
        "192.168.50.11/32",
        "10.9.0.0/24",
        "10.244.77.0/26",
        &own,
    ];
    let statics: String = told
        .iter()
        .map(|net| format!("route {net} blackhole; "))
        .collect();
    let bird = Router::bird(
        &cluster.lab,
        "b",
        &format!(
            "router id 192.168.50.12;
            protocol device {{}}
            protocol static own {{ ipv4; {statics} }}
            protocol bgp ours {{
              local 192.168.50.12 as 65002; neighbor 192.168.50.11 as 64512;
              connect delay time 1; connect retry time 1; error wait time 1, 2;
              ipv4 {{ import all; export all; }};
            }}"
        ),
    );
    bird.established("192.168.50.11");
    bird.knows(&own);
    let routes = cluster.until("what is allowed has come", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        routes
            .contains("10.9.0.0/24 via 192.168.50.12")
            .then_some(routes)
    });
    for refused in told.iter().filter(|net| **net != "10.9.0.0/24") {
        assert!(
            !routes.contains(&format!("{refused} via")),
            "{refused}:\n{routes}"
        );
    }
    assert!(!routes.contains("default via"), "{routes}");
    let status = cluster.until("all is told", || {
        let status = cluster.status("a");
        let odd = status["problems"].to_string().contains("10.244.77.0/26");
        odd.then_some(status)
    });
    let refused = &status["bgp"]["sessions"][0]["prefixes"]["refused"];
    for word in [
        "default route",
        "covers IPPool",
        "underlay's own subnet",
        "this node itself",
    ] {
        assert!(refused.to_string().contains(word), "{word}: {refused}");
    }
    // The host's own way to its container is as it was.
    assert!(cluster.pings("a", &container[0]));
    // What the peer takes back is gone.
    bird.tell("disable own");
    cluster.until("the route is gone", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        (!routes.contains("10.9.0.0/24")).then_some(())
    });
}

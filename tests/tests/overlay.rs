//! One segment over many hosts: networks of driver `overlay`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use serde_json::json;
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

/// Two networks with the same addresses, and one without a way out.
const NETWORKS: &str = "
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue}
spec: {cidr: 10.5.0.0/24, space: blue, blockSize: 28, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue6}
spec: {cidr: 'fd05::/64', space: blue}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: red}
spec: {cidr: 10.5.0.0/24, space: red}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: blue}
spec: {driver: overlay, transport: {type: vxlan}, pools: [blue, blue6]}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: red}
spec: {driver: overlay, transport: {type: vxlan}, pools: [red], internal: true}
";

/// A container with an address of its choice.
fn with_address(cluster: &Cluster, host: &str, name: &str, network: &str, address: &str) {
    let mut config = Lab::config(network);
    config["runtimeConfig"] = json!({"ips": [address]});
    assert_eq!(cluster.container_with(host, name, &config), [address]);
}

#[test]
fn segments_of_the_same_addresses_never_meet() {
    let cluster = Cluster::up("overlay", &Shape::hosts(3));
    cluster.apply("a", NETWORKS);
    let blue: Vec<_> = ["a", "b", "c"]
        .map(|host| {
            (
                format!("{host}/blue"),
                cluster.container(host, "blue", "blue"),
            )
        })
        .into();
    cluster.all_reach_all(&blue);
    // Not a byte more than the underlay leaves.
    for address in &blue[1].1 {
        assert!(cluster.fits("a/blue", address, 1450));
        assert!(!cluster.fits("a/blue", address, 1451));
    }
    with_address(&cluster, "a", "red1", "red", "10.5.0.100");
    with_address(&cluster, "b", "red2", "red", "10.5.0.101");
    assert!(cluster.pings("a/red1", "10.5.0.101"));
    assert!(
        !cluster.pings("a/blue", "10.5.0.101"),
        "red is reached from blue"
    );
    assert!(
        !cluster.pings("a/red1", &blue[1].1[0]),
        "blue is reached from red"
    );
}

/// As `blue`, with a way out and the same addresses.
const GREEN: &str = "
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: green}
spec: {cidr: 10.5.0.0/24, space: green, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: green}
spec: {driver: overlay, transport: {type: vxlan}, pools: [green], gateway: [10.5.0.254]}
";

#[test]
fn the_gateway_is_the_same_everywhere() {
    let cluster = Cluster::up("egress", &Shape::hosts(2));
    cluster.apply("a", NETWORKS);
    cluster.apply("a", GREEN);
    let server = cluster.lab.address("b").unwrap().to_string();
    for host in ["a", "b"] {
        let name = |network: &str| format!("{network}-{host}");
        let own = if host == "a" {
            "10.5.0.10"
        } else {
            "10.5.0.11"
        };
        with_address(&cluster, host, &name("green"), "green", own);
        let mut config = Lab::config("blue");
        config["runtimeConfig"] = json!({"ips": [own]});
        let blue = cluster.container_with(host, &name("blue"), &config);
        assert_eq!(blue[0], own);
        with_address(&cluster, host, &name("red"), "red", own);
        for (network, gateway) in [("blue", "10.5.0.1"), ("green", "10.5.0.254")] {
            let from = format!("{host}/{}", name(network));
            assert!(cluster.pings(&from, gateway), "{from} to its gateway");
            assert!(cluster.pings(&from, &server), "{from} to the world");
        }
        assert!(
            !cluster.pings(&format!("{host}/{}", name("red")), &server),
            "red gets out"
        );
    }
    // Two containers of one address talk to one server from one port, at the same time.
    let echo = ["socat", "TCP4-LISTEN:7000,fork,reuseaddr", "EXEC:cat"];
    let _echo = cluster.lab.spawn("b", &echo).unwrap();
    let up = "until ss -lnt | grep -q ':7000 '; do :; done";
    let _ = cluster.sh("b", up);
    let said = std::thread::scope(|scope| {
        let talks = [("blue", "one"), ("green", "two")].map(|(network, word)| {
            let script = format!(
                "(echo {word}; read x; echo more; read x) | \
                 socat -t1 - TCP4:{server}:7000,sourceport=4000,reuseaddr"
            );
            let cluster = &cluster;
            scope.spawn(move || {
                let output = cluster.try_sh(&format!("a/{network}-a"), &script);
                String::from_utf8_lossy(&output.stdout)
                    .trim()
                    .replace('\n', " ")
            })
        });
        talks.map(|talk| talk.join().unwrap())
    });
    assert_eq!(said, ["one more", "two more"]);
}

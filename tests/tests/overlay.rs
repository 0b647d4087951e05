//! One segment over many hosts: networks of driver `overlay`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

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

//! Bridges, published ports, and the other drivers.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

const BRIDGE: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: br-v4}
spec: {cidr: 10.88.0.0/16, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: br-v6}
spec: {cidr: 'fd88::/64', natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: br}
spec: {DRIVER, pools: [br-v4, br-v6]}
";

fn published(network: &str) -> Value {
    let mut config = Lab::config(network);
    config["runtimeConfig"] = json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
        {"hostPort": 9090, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"}
    ]});
    config
}

/// A server in a container that answers with its client's address.
fn serve(cluster: &Cluster, place: &str) -> Vec<tombolo_lab::Running> {
    // Over UDP the question is read first: a program that ends with it unread gives no answer.
    let servers = [
        (
            "TCP4-LISTEN:80,fork,reuseaddr",
            "SYSTEM:echo $SOCAT_PEERADDR",
        ),
        (
            "TCP6-LISTEN:80,fork,reuseaddr,ipv6only=1",
            "SYSTEM:echo $SOCAT_PEERADDR",
        ),
        (
            "UDP4-RECVFROM:53,fork",
            "SYSTEM:read x; echo $SOCAT_PEERADDR",
        ),
    ];
    let running = servers.map(|(listen, answer)| {
        cluster
            .lab
            .spawn(place, &["socat", listen, answer])
            .expect("socat starts")
    });
    let up = "until [ $(ss -lntu | grep -cE ':(80|53) ') = 3 ]; do :; done";
    let _ = cluster.sh(place, up);
    running.into()
}

/// What the server answers. Over TCP nothing is sent: what a server has not read when it closes
/// makes its answer a reset.
fn ask(cluster: &Cluster, from: &str, to: &str) -> String {
    let script = if to.starts_with("UDP") {
        format!("echo | timeout 8 socat -t5 - {to}")
    } else {
        format!("timeout 8 socat -u {to} -")
    };
    let output = cluster.try_sh(from, &script);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Published ports are reached from everywhere.
fn ports_of(name: &str, driver: &str, network: &str) {
    let cluster = Cluster::up(name, &Shape::hosts(2));
    cluster.apply("a", &BRIDGE.replace("DRIVER", driver));
    let _ = cluster.container_with("a", "c1", &published(network));
    let _ = cluster.container("a", "c2", network);
    let _servers = serve(&cluster, "a/c1");
    for (from, to) in [
        ("b", "TCP4:192.168.50.11:8080"),
        ("b", "TCP6:[fd50::b]:8080"),
        ("b", "UDP4:192.168.50.11:5353"),
        ("a", "TCP4:192.168.50.11:8080"),
        ("a", "TCP4:127.0.0.1:8080"),
        ("a", "TCP4:127.0.0.1:9090"),
        ("a/c2", "TCP4:192.168.50.11:8080"),
        ("a/c2", "TCP6:[fd50::b]:8080"),
        ("a/c1", "TCP4:192.168.50.11:8080"),
        ("a/c1", "TCP6:[fd50::b]:8080"),
    ] {
        assert!(
            !ask(&cluster, from, to).is_empty(),
            "{driver}: {to} is not reached from {from}"
        );
    }
    assert_eq!(
        ask(&cluster, "b", "TCP4:192.168.50.11:8080"),
        "192.168.50.12",
        "the client's address"
    );
    assert_eq!(
        ask(&cluster, "b", "TCP4:192.168.50.11:9090"),
        "",
        "it is for 127.0.0.1 alone"
    );
    let _ = cluster.sh("a", "nft flush ruleset");
    cluster.until("the ports are back", || {
        (!ask(&cluster, "b", "TCP4:192.168.50.11:8080").is_empty()).then_some(())
    });
    cluster.lab.container("a", "c3").unwrap();
    let clash = cluster
        .lab
        .attach("a", "c3", &published(network))
        .unwrap_err()
        .to_string();
    assert!(
        clash.contains("8080/tcp of this host is published by container a-c1"),
        "{clash}"
    );
    cluster.lab.detach("a", "c1", &published(network)).unwrap();
    assert_eq!(ask(&cluster, "b", "TCP4:192.168.50.11:8080"), "");
    assert!(!cluster.sh("a", "nft list ruleset").contains("8080"));
}

#[test]
fn ports_on_a_bridge() {
    ports_of("ports", "driver: bridge", "br");
}

#[test]
fn ports_on_a_pair() {
    ports_of("ports-ptp", "driver: ptp", "br");
}

#[test]
fn ports_on_a_routed_network() {
    ports_of("ports-rt", "driver: bridge", "default");
}

#[test]
fn ports_on_a_segment() {
    let driver = "driver: overlay, transport: {type: vxlan}";
    ports_of("ports-seg", driver, "br");
}

#[test]
fn the_hosts_loopback_stays_the_hosts() {
    let cluster = Cluster::up("loopback", &Shape::hosts(1));
    let _ = cluster.container_with("a", "c1", &published("default"));
    let _secret = cluster
        .lab
        .spawn(
            "a",
            &[
                "socat",
                "TCP4-LISTEN:7777,bind=127.0.0.1,fork",
                "SYSTEM:echo leak",
            ],
        )
        .unwrap();
    let _ = cluster.sh("a", "until ss -ltn | grep -q :7777; do :; done");
    assert_eq!(ask(&cluster, "a", "TCP4:127.0.0.1:7777"), "leak");
    let _ = cluster.sh("a/c1", "ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 169.254.1.1 dev eth0 onlink; ip route del local 127.0.0.0/8 dev lo table local 2>/dev/null; true");
    assert_eq!(ask(&cluster, "a/c1", "TCP4:127.0.0.1:7777"), "");
}

#[test]
fn a_bridge_is_a_segment_with_a_gateway() {
    let cluster = Cluster::up("bridge", &Shape::hosts(1));
    cluster.apply("a", &BRIDGE.replace("DRIVER", "driver: bridge"));
    let first = cluster.container("a", "c1", "br");
    let mac = "ip -o link show type bridge | sed 's/.*ether //'";
    let before = cluster.sh("a", mac);
    let second = cluster.container("a", "c2", "br");
    for address in first.iter().chain(&second) {
        assert!(
            cluster.pings("a/c1", address) && cluster.pings("a/c2", address),
            "{address}"
        );
    }
    assert!(cluster.pings("a/c1", "203.0.113.1") && cluster.pings("a/c1", "2001:db8:113::1"));
    // Frames stay on the bridge: no hop in between.
    let trace = cluster.sh("a/c1", &format!("ping -c1 -W1 {}", second[0]));
    assert!(trace.contains("ttl=64"), "{trace}");
    assert_eq!(
        cluster.sh("a", mac),
        before,
        "the bridge's address changed with its ports"
    );
}

#[test]
fn drivers_without_an_interface() {
    let cluster = Cluster::up("noif", &Shape::hosts(1));
    for driver in ["none", "host", "container"] {
        cluster.apply("a", &format!("apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: {driver}}}\nspec: {{driver: {driver}}}\n"));
        assert_eq!(cluster.container("a", driver, driver), [""; 0]);
        let links = cluster.sh(&format!("a/{driver}"), "ip -o link");
        assert_eq!(links.lines().count(), 1, "{driver}: {links}");
        assert_eq!(links.contains("UP"), driver == "none", "{driver}: {links}");
        cluster
            .lab
            .detach("a", driver, &Lab::config(driver))
            .unwrap();
    }
}

//! Addresses: who gets which, who gets them again, and that none is lost.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::{Value, json};
use tombolo_lab::{CniVerb, Lab};
use tombolo_tests::{Cluster, Shape, addresses};

/// Attaches a container as a pod of this name.
fn pod(cluster: &Cluster, host: &str, container: &str, name: &str) -> Vec<String> {
    cluster.container_as(host, container, &format!("prod/{name}/eth0"))
}

#[test]
fn who_comes_back_has_its_address_again() {
    let cluster = Cluster::up("sticky", &Shape::hosts(3));
    let first = pod(&cluster, "a", "p1", "web-0");
    cluster
        .lab
        .tombolo("a", &["detach", "--container", "p1"])
        .unwrap();
    let other = pod(&cluster, "a", "p2", "other");
    assert_ne!(
        first, other,
        "the address was given to the next one at once"
    );
    assert_eq!(pod(&cluster, "a", "p3", "web-0"), first, "on the same node");
    cluster
        .lab
        .tombolo("a", &["detach", "--container", "p3"])
        .unwrap();
    assert_eq!(pod(&cluster, "b", "p4", "web-0"), first, "on another node");
    cluster.settle();
    let _ = cluster.container("c", "c1", "default");
    for address in &first {
        for from in ["a", "a/p2", "c/c1", "b"] {
            assert!(
                cluster.pings(from, address),
                "{address} is not reached from {from}"
            );
        }
    }
}

#[test]
fn who_is_in_use_elsewhere_is_not_robbed() {
    let cluster = Cluster::up("robbed", &Shape::hosts(2));
    let first = pod(&cluster, "a", "p1", "web-0");
    let second = pod(&cluster, "b", "p2", "web-0");
    assert_ne!(first, second);
    assert!(cluster.pings("b/p2", &first[0]));
}

#[test]
fn wishes_are_granted_or_refused() {
    let cluster = Cluster::up("wishes", &Shape::hosts(2));
    let wish = |ips: Value| {
        let mut config = Lab::config("default");
        config["runtimeConfig"] = json!({"ips": ips, "mac": "02:00:00:00:00:77"});
        config
    };
    let given = cluster.container_with(
        "a",
        "c1",
        &wish(json!(["10.244.77.7/32", "fd74:6f6d:626f::77/128"])),
    );
    assert_eq!(given, ["10.244.77.7", "fd74:6f6d:626f::77"]);
    assert!(
        cluster
            .sh("a/c1", "ip link show eth0")
            .contains("02:00:00:00:00:77")
    );
    cluster.lab.container("b", "c2").unwrap();
    let taken = cluster
        .lab
        .attach("b", "c2", &wish(json!(["10.244.77.7"])))
        .unwrap_err()
        .to_string();
    assert!(taken.contains("in use by"), "{taken}");
    let outside = cluster
        .lab
        .attach("b", "c2", &wish(json!(["192.0.2.1"])))
        .unwrap_err()
        .to_string();
    assert!(outside.contains("in no pool"), "{outside}");
    assert!(!cluster.sh("b", "ip -o link").contains("tbv"));
}

const SMALL: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: small}
spec: {cidr: 10.99.0.0/29, blockSize: 30}
---
apiVersion: tombolo.dev/v1
kind: IPReservation
metadata: {name: first}
spec: {reservedCIDRs: [10.99.0.0/31]}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: small}
spec: {driver: ptp, pools: [small]}
";

#[test]
fn a_pool_that_is_empty_says_so_and_leaks_nothing() {
    let cluster = Cluster::up("empty", &Shape::hosts(1));
    cluster.apply("a", SMALL);
    let mut given = Vec::new();
    for n in 0..6 {
        given.extend(cluster.container("a", &format!("s{n}"), "small"));
    }
    assert!(
        given.iter().all(|a| a != "10.99.0.0" && a != "10.99.0.1"),
        "reserved: {given:?}"
    );
    cluster.lab.container("a", "s6").unwrap();
    let config = Lab::config("small");
    let error = cluster
        .lab
        .attach("a", "s6", &config)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"code\":101") && error.contains("no ipv4 address is free"),
        "{error}"
    );
    let links = cluster.sh("a", "ip -o link").matches("tbv").count();
    assert_eq!(links, 6, "something was left of the one that failed");
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
    cluster.lab.detach("a", "s0", &config).unwrap();
    let again = addresses(&cluster.lab.cni(CniVerb::Add, "a", "s6", &config).unwrap());
    assert_eq!(
        again,
        [given[0].clone()],
        "the one that was given back is the only one"
    );
    let shown = cluster.sh("a", "tombolo ipam show");
    assert!(shown.contains("10.99.0.0/29"), "{shown}");
}

#[test]
fn an_address_is_given_back_by_hand() {
    let cluster = Cluster::up("release", &Shape::hosts(1));
    let given = cluster.container("a", "c1", "default");
    let refused = cluster
        .lab
        .tombolo("a", &["ipam", "release", &given[0]])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is used by"), "{refused}");
    cluster
        .lab
        .tombolo("a", &["ipam", "release", "--force", &given[0]])
        .unwrap();
    cluster.settle();
    assert!(!cluster.sh("a", "ip -o link").contains("tbv"));
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

/// Starts the agent of `a` anew, with a look for lost addresses every second.
fn sweeping(cluster: &Cluster) -> tombolo_lab::Running {
    cluster.lab.stop_agent("a").unwrap();
    let script = "TOMBOLO_SWEEP_SECONDS=1 exec tombolo agent 2>> /run/tombolo/agent.log";
    let agent = cluster.lab.spawn("a", &["sh", "-c", script]).unwrap();
    cluster.lab.ready("a").unwrap();
    agent
}

#[test]
fn addresses_of_a_container_that_vanished_are_freed() {
    let cluster = Cluster::up("vanished", &Shape::hosts(1));
    let _ = cluster.container("a", "stays", "default");
    let lost = cluster.container("a", "gone", "default");
    let _agent = sweeping(&cluster);
    cluster.lab.remove_container("a", "gone").unwrap();
    cluster.until("the addresses are freed", || {
        let endpoints = cluster.sh("a", "tombolo get endpoints");
        (!endpoints.contains(&lost[0])).then_some(())
    });
    let endpoints = cluster.sh("a", "tombolo get endpoints");
    assert!(
        endpoints.contains("a.a-stays.eth0"),
        "one that is there was freed:\n{endpoints}"
    );
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

#[test]
fn what_a_deleted_node_held_is_freed() {
    let cluster = Cluster::up("deleted", &Shape::hosts(2));
    let _ = cluster.container("b", "c1", "default");
    let _agent = sweeping(&cluster);
    cluster.lab.kill("b").unwrap();
    cluster.lab.tombolo("a", &["delete", "node", "b"]).unwrap();
    cluster.until("all is freed", || {
        let all = cluster.sh(
            "a",
            "tombolo get endpoints; tombolo get blocks; tombolo get handles",
        );
        (!all.contains("b.b-c1") && !all.lines().any(|l| l.contains(" b "))).then_some(())
    });
    cluster.until("the routes are gone", || {
        (!cluster
            .sh("a", "ip route show proto 84")
            .contains("dev tbx4096"))
        .then_some(())
    });
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

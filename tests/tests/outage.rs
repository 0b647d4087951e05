//! While the store is not reached: what was there stays, containers come and go, and afterwards the
//! store knows it all, with no address given twice.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, DEADLINE, Shape, addresses};

/// Every address of every endpoint that the store knows, as a node sees it.
fn known(cluster: &Cluster, host: &str) -> Vec<String> {
    let endpoints = cluster.json(host, &["get", "endpoints", "-o", "json"]);
    let items = endpoints["items"]
        .as_array()
        .or(endpoints.as_array())
        .cloned();
    let addresses = |endpoint: &Value| -> Vec<String> {
        let list = endpoint["spec"]["addresses"].as_array().unwrap();
        list.iter()
            .map(|address| address.as_str().unwrap().to_owned())
            .collect()
    };
    items.unwrap().iter().flat_map(addresses).collect()
}

/// Waits until the store knows exactly these addresses, and finds no fault with itself.
fn settled_with(cluster: &Cluster, expected: &[Vec<String>]) {
    let expected: BTreeSet<String> = expected.iter().flatten().cloned().collect();
    for host in cluster.lab.hosts() {
        cluster.until("the store knows everything", || {
            let known = known(cluster, host);
            let once: BTreeSet<String> = known.iter().cloned().collect();
            assert_eq!(
                once.len(),
                known.len(),
                "an address is there twice: {known:?}"
            );
            (once == expected).then_some(())
        });
    }
    cluster.settle();
    let check = cluster.json("a", &["ipam", "check", "-o", "json"]);
    assert_eq!(check.as_array().map(Vec::len), Some(0), "{check}");
}

/// Makes a container while the store is not reached.
fn alone(cluster: &Cluster, host: &str, name: &str) -> Vec<String> {
    let addresses = cluster.container(host, name, "default");
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    addresses
}

/// Stops a host's agent where it stands, or lets it go on: a store that hangs.
fn signal_agent(cluster: &Cluster, host: &str, signal: &str) {
    let script = format!(
        "for p in /proc/[0-9]*; do
           [ \"$(readlink $p/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ] || continue
           grep -qz '^agent$' $p/cmdline 2>/dev/null && [ \"$(cat $p/comm)\" = tombolo ] && kill -{signal} ${{p#/proc/}}
         done; true"
    );
    let _ = cluster.sh(host, &script);
}

fn detach(cluster: &Cluster, host: &str, name: &str) {
    cluster
        .lab
        .detach(host, name, &Lab::config("default"))
        .expect("DEL works without the store");
}

#[test]
fn containers_come_and_go_without_the_store() {
    let cluster = Cluster::up("outage", &Shape::hosts(2));
    let far = cluster.container("a", "c1", "default");
    let old = cluster.container("b", "c1", "default");
    let gone = cluster.container("b", "c2", "default");
    cluster.settle();
    let routes = cluster.sh("b", "ip route show proto 84 dev tbx4096");
    cluster.lab.kill_agent("a").expect("the store is killed");
    let new = alone(&cluster, "b", "c3");
    detach(&cluster, "b", "c2");
    detach(&cluster, "b", "c2");
    let short = alone(&cluster, "b", "c4");
    detach(&cluster, "b", "c4");
    assert!(new != gone && short != new, "{new:?} {gone:?} {short:?}");
    assert_eq!(
        cluster.sh("b", "ip route show proto 84 dev tbx4096"),
        routes
    );
    for address in far.iter().chain(&old) {
        assert!(cluster.pings("b/c3", address), "{address} is out of reach");
        assert!(cluster.pings("b/c1", address), "{address} is out of reach");
    }
    assert_eq!(cluster.status("b")["store"]["untold"], 4);
    // In the meantime nobody sees a difference in the kernel.
    let links = cluster.sh("b", "ip -br link show type veth | grep -c ' *tbv'");
    assert_eq!(links.trim(), "2");
    cluster.lab.start_agent("a", &[]).expect("it starts again");
    cluster.lab.ready("a").expect("it serves");
    settled_with(&cluster, &[far.clone(), old, new]);
    assert!(cluster.pings("a/c1", &far[0]));
    assert_eq!(
        cluster
            .sh("b", "ip -br link show type veth | grep -c ' *tbv'")
            .trim(),
        "2"
    );
}

#[test]
fn two_halves_of_a_cluster_give_no_address_twice() {
    let cluster = Cluster::up("halves", &Shape::hosts(2));
    let mut all = vec![
        cluster.container("a", "c1", "default"),
        cluster.container("b", "c1", "default"),
    ];
    cluster.settle();
    cluster.lab.cut_between("a", "b").expect("the wire is cut");
    for number in 2..6 {
        let name = format!("c{number}");
        all.push(cluster.container("a", &name, "default"));
        all.push(alone(&cluster, "b", &name));
    }
    cluster.lab.heal_between("a", "b").expect("it is mended");
    settled_with(&cluster, &all);
    for address in &all[0] {
        assert!(cluster.pings("b/c5", address), "{address} is out of reach");
    }
}

#[test]
fn a_store_that_hangs_is_not_waited_for() {
    let cluster = Cluster::up("hangs", &Shape::hosts(2));
    let first = cluster.container("b", "c1", "default");
    let gone = cluster.container("b", "c2", "default");
    cluster.settle();
    signal_agent(&cluster, "a", "STOP");
    let begun = Instant::now();
    let new = alone(&cluster, "b", "c3");
    detach(&cluster, "b", "c2");
    let took = begun.elapsed();
    signal_agent(&cluster, "a", "CONT");
    assert!(took < DEADLINE, "it took {took:?}");
    assert_ne!(gone, new);
    settled_with(&cluster, &[first, new]);
}

#[test]
fn an_agent_that_starts_without_the_store_lets_containers_go() {
    let cluster = Cluster::up("cold", &Shape::hosts(2));
    let kept = cluster.container("b", "c1", "default");
    let _ = cluster.container("b", "c2", "default");
    cluster.settle();
    let waiting = {
        cluster.lab.kill_agent("a").expect("the store is killed");
        alone(&cluster, "b", "c3")
    };
    cluster.lab.kill_agent("b").expect("the agent is killed");
    cluster.lab.start_agent("b", &[]).expect("it starts again");
    cluster.until("the agent answers", || {
        cluster
            .try_sh("b", "tombolo status")
            .status
            .success()
            .then_some(())
    });
    detach(&cluster, "b", "c2");
    cluster
        .lab
        .container("b", "c4")
        .expect("a container is made");
    let begun = Instant::now();
    let refused = cluster
        .lab
        .attach("b", "c4", &Lab::config("default"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("\"code\":11"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{refused}");
    assert!(cluster.pings("b/c1", &waiting[0]), "what was there is lost");
    let listed = cluster.try_sh("b", "tombolo get nodes");
    assert!(!listed.status.success(), "an empty list would be a lie");
    cluster.lab.start_agent("a", &[]).expect("it starts again");
    cluster.lab.ready("a").expect("it serves");
    settled_with(&cluster, &[kept, waiting.clone()]);
    assert!(cluster.pings("b/c1", &waiting[0]));
    let later = cluster
        .lab
        .attach("b", "c4", &Lab::config("default"))
        .expect("ADD works again");
    assert_eq!(addresses(&later).len(), 2);
}

#[test]
fn a_node_opens_a_block_when_another_one_asks() {
    let cluster = Cluster::up("lend", &Shape::hosts(2));
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: tiny}
spec: {cidr: 10.99.0.0/30, blockSize: 30}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: tiny}
spec: {driver: routed, transport: {type: direct}, pools: [tiny]}
",
    );
    let mut all = BTreeSet::from([cluster.container("a", "t1", "tiny")]);
    all.insert(cluster.container("b", "t2", "tiny"));
    cluster.lab.kill_agent("b").expect("the borrower is killed");
    cluster.lab.start_agent("b", &[]).expect("it starts again");
    all.insert(cluster.container("b", "t3", "tiny"));
    all.insert(cluster.container("a", "t4", "tiny"));
    assert_eq!(all.len(), 4, "{all:?}");
    cluster
        .lab
        .container("b", "t5")
        .expect("a container is made");
    let error = cluster
        .lab
        .attach("b", "t5", &Lab::config("tiny"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("4 in use"), "{error}");
}

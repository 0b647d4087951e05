//! Other stores than the embedded one, and a store's node that is killed.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::{Cluster, Shape, lab};

#[test]
fn a_cluster_on_an_etcd() {
    let lab = lab("etcd", &Shape::hosts(2));
    let server = lab.address("a").unwrap().to_string();
    let client = format!("http://{server}:2379");
    let etcd = [
        "etcd",
        "--data-dir",
        "/run/etcd",
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        "http://127.0.0.1:2380",
    ];
    let _etcd = lab.spawn("a", &etcd).expect("etcd starts");
    let health =
        format!("until ETCDCTL_API=3 etcdctl --endpoints {client} endpoint health; do :; done");
    lab.output("a", &["sh", "-c", &health])
        .expect("etcd is healthy");
    lab.init("a", &["--etcd", &client])
        .expect("the first node is made");
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").expect("the first node is ready");
    let token = lab.token("a").unwrap();
    lab.join("b", &server, &token, &[])
        .expect("the second node joins");
    lab.start_agent("b", &[]).unwrap();
    let cluster = Cluster { lab };
    cluster.settle();
    let here = cluster.container("a", "c1", "default");
    let there = cluster.container("b", "c1", "default");
    for (from, to) in here
        .iter()
        .map(|a| ("b/c1", a))
        .chain(there.iter().map(|a| ("a/c1", a)))
    {
        assert!(cluster.pings(from, to), "{from} does not reach {to}");
    }
    assert!(
        cluster.status("b")["store"]["place"]
            .as_str()
            .unwrap()
            .starts_with("etcd http")
    );
}

/// A file may hold more than the store takes at once, in whatever order; and is refused as a whole.
#[test]
fn a_large_file_is_applied_in_parts() {
    let cluster = Cluster::up("large", &Shape::hosts(1));
    let network = "---\napiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: late}\n\
                   spec: {driver: ptp, pools: [late]}\n";
    let pool = "---\napiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: late}\n\
                spec: {cidr: 10.99.0.0/16}\n";
    let sets: String = (0..300)
        .map(|n| {
            format!(
                "---\napiVersion: tombolo.dev/v1\nkind: GlobalNetworkSet\n\
                 metadata: {{name: set-{n}}}\nspec: {{nets: [192.0.2.{}/32]}}\n",
                n % 256
            )
        })
        .collect();
    let count = || {
        let list = cluster.json("a", &["get", "globalnetworksets", "-o", "json"]);
        list["items"].as_array().map_or(0, Vec::len)
    };
    let refused = cluster
        .try_apply("a", &format!("{network}{sets}"))
        .unwrap_err();
    assert!(refused.contains("there is no IPPool late"), "{refused}");
    assert_eq!(count(), 0);
    cluster.apply("a", &format!("{network}{sets}{pool}"));
    assert_eq!(count(), 300);
    assert!(!cluster.container("a", "c1", "late").is_empty());
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let cluster = Cluster::up("acked", &Shape::hosts(1));
    let script = "i=0; while tombolo attach --netns /run/netns/k$i --container k$i >> /run/acked 2>/dev/null; do i=$((i+1)); ip netns add k$i; done";
    let _ = cluster.sh("a", "ip netns add k0");
    let attaching = cluster.lab.spawn("a", &["sh", "-c", script]).unwrap();
    cluster.until("some are attached", || {
        (cluster
            .sh("a", "cat /run/acked 2>/dev/null | wc -l")
            .trim()
            .parse::<u32>()
            .ok()?
            > 10)
            .then_some(())
    });
    cluster.lab.kill_agent("a").unwrap();
    attaching.wait().unwrap();
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.settle();
    let endpoints = cluster.sh("a", "tombolo get endpoints -o wide");
    let acked = cluster.sh("a", "cat /run/acked");
    for line in acked.lines() {
        let name = line.split(':').next().unwrap();
        assert!(
            endpoints.contains(name),
            "{name} was acknowledged and is lost:\n{endpoints}"
        );
    }
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

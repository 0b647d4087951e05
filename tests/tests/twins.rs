//! Two of one name: nodes, state folders, and a node that is made anew.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::{Cluster, Shape, lab};

fn says(text: &str, signs: &[&str]) {
    for sign in signs {
        assert!(text.contains(sign), "{sign:?} is not said:\n{text}");
    }
}

/// Hosts of which only the first two are nodes.
fn two_of_three(name: &str) -> (Cluster, String) {
    let lab = lab(name, &Shape::hosts(3));
    lab.init("a", &[]).unwrap();
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").unwrap();
    let server = lab.address("a").unwrap().to_string();
    let token = lab.token("a").unwrap();
    lab.join("b", &server, &token, &[]).unwrap();
    lab.start_agent("b", &[]).unwrap();
    lab.ready("b").unwrap();
    (Cluster { lab }, server)
}

/// The row of a node in `get nodes`.
fn row(cluster: &Cluster, node: &str) -> String {
    let nodes = cluster.sh("a", "tombolo get nodes -o yaml");
    let mut rows = nodes
        .split("---")
        .filter(|r| r.contains(&format!("name: {node}\n")));
    rows.next().unwrap_or_default().to_owned()
}

/// Makes `c` a copy of `b`, as one does with the disk of a virtual machine.
fn copy_state(cluster: &Cluster) {
    let (from, to) = (
        cluster.file("b", "/var/lib/tombolo"),
        cluster.file("c", "/var/lib/tombolo"),
    );
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_second_host_of_the_same_name_does_not_get_in() {
    let (cluster, server) = two_of_three("twin-name");
    let there = cluster.container("b", "c1", "default");
    let token = cluster.lab.token("a").unwrap();
    for name in ["a", "b"] {
        let error = cluster
            .lab
            .join("c", &server, &token, &["--node", name])
            .expect_err("it got in")
            .to_string();
        says(&error, &[&format!("node {name}"), "--node"]);
    }
    cluster
        .lab
        .join("c", &server, &token, &[])
        .expect("under a name of its own it gets in");
    assert!(cluster.pings("a", &there[0]));
}

#[test]
fn a_copied_state_folder_does_not_make_a_second_node() {
    let (cluster, _) = two_of_three("twin-folder");
    let there = cluster.container("b", "c1", "default");
    cluster.lab.ready("a").unwrap();
    let before = row(&cluster, "b");
    copy_state(&cluster);
    // It waits until b gives a sign of life, and then gives up.
    let error = cluster
        .lab
        .tombolo("c", &["agent"])
        .unwrap_err()
        .to_string();
    says(&error, &["another host", "node b", "join"]);
    assert_eq!(row(&cluster, "b"), before, "the real one was changed");
    assert!(cluster.pings("a", &there[0]));
}

#[test]
fn of_two_that_start_at_once_one_is_the_node() {
    let lab = lab("twin-race", &Shape::hosts(3));
    lab.init("a", &[]).unwrap();
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").unwrap();
    let server = lab.address("a").unwrap().to_string();
    let token = lab.token("a").unwrap();
    lab.join("b", &server, &token, &[]).unwrap();
    let cluster = Cluster { lab };
    copy_state(&cluster);
    for host in ["b", "c"] {
        cluster.lab.start_agent(host, &[]).unwrap();
    }
    let refused = |host: &str| {
        cluster
            .sh(host, "cat /run/tombolo/agent.log")
            .contains("another host is node b")
    };
    cluster.until("one of both gives up", || {
        (refused("b") || refused("c")).then_some(())
    });
    let winner = if refused("b") { "c" } else { "b" };
    assert!(!refused(winner), "both gave up\n{}", cluster.logs());
    cluster.lab.ready(winner).unwrap();
    let _ = cluster.container(winner, "c1", "default");
}

#[test]
fn one_state_folder_serves_one_agent() {
    let cluster = Cluster::up("twin-agent", &Shape::hosts(2));
    for (host, signs) in [
        ("a", ["7463", "--metrics-listen"]),
        ("b", ["7463", "--metrics-listen"]),
    ] {
        let error = cluster
            .lab
            .tombolo(host, &["--socket", "/run/other.sock", "agent"])
            .unwrap_err()
            .to_string();
        says(&error, &signs);
    }
    // Another port, too: the store's file is what stops it then.
    let script = "cp -a /var/lib/tombolo /run/copy; rm /run/copy/store.redb; ln /var/lib/tombolo/store.redb /run/copy/store.redb || ln -s /var/lib/tombolo/store.redb /run/copy/store.redb; sed -i 's/:7463/:7473/' /run/copy/agent.json; exec tombolo --socket /run/other.sock agent --state-dir /run/copy";
    let output = cluster.try_sh("a", script);
    assert!(!output.status.success());
    says(
        &String::from_utf8_lossy(&output.stderr),
        &["is in use", "stop that agent"],
    );
    cluster.settle();
    let _ = cluster.container("a", "c1", "default");
}

#[test]
fn a_node_is_made_anew_under_its_name() {
    let (cluster, server) = two_of_three("twin-anew");
    let here = cluster.container("a", "c1", "default");
    let before = cluster.container("b", "c1", "default");
    assert!(cluster.pings("a/c1", &before[0]));
    cluster.lab.stop_agent("b").unwrap();
    cluster.lab.tombolo("a", &["delete", "node", "b"]).unwrap();
    // Its certificate is of no use any more, and it says so for as long as it is tried.
    cluster.lab.start_agent("b", &[]).unwrap();
    cluster.until("it is not let in", || {
        let said = cluster.sh("b", "cat /run/tombolo/agent.log");
        said.contains("does not answer").then_some(())
    });
    cluster.lab.kill_agent("b").unwrap();
    // Another machine in its place: nothing of the old one's kernel, folder or containers.
    cluster.lab.remove_container("b", "c1").unwrap();
    cluster.lab.tombolo("b", &["agent", "--cleanup"]).unwrap();
    let _ = cluster.sh("b", "rm -rf /var/lib/tombolo/*; mkdir -p /run/tombolo");
    let token = cluster.lab.token("a").unwrap();
    cluster
        .lab
        .join("b", &server, &token, &[])
        .expect("it joins anew");
    let sweeping = "TOMBOLO_SWEEP_SECONDS=1 exec tombolo agent 2> /run/tombolo/agent.log";
    let _agent = cluster.lab.spawn("b", &["sh", "-c", sweeping]).unwrap();
    cluster.lab.ready("b").unwrap();
    cluster.settle_some(&["a", "b"]);
    let after = cluster.container("b", "new", "default");
    cluster.settle_some(&["a", "b"]);
    for (from, to) in after
        .iter()
        .map(|address| ("a/c1", address))
        .chain(here.iter().map(|address| ("b/new", address)))
    {
        assert!(
            cluster.pings(from, to),
            "{from} does not reach {to}\n{}",
            cluster.logs()
        );
    }
    // One entry for each of its addresses: none of the old device is left.
    let fdb = cluster.sh("a", "bridge fdb show dev tbx4096 | grep -c dst");
    assert_eq!(
        fdb.trim(),
        "1",
        "{}",
        cluster.sh("a", "bridge fdb show dev tbx4096")
    );
    cluster.until("what the old one held is freed", || {
        let endpoints = cluster.sh("a", "tombolo get endpoints");
        (!endpoints.contains("b.b-c1.")).then_some(())
    });
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

//! Who gets in, and who does not.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::{Cluster, Shape, lab};

/// A first node, and a host that is none yet.
fn half(name: &str) -> (tombolo_lab::Lab, String) {
    let lab = lab(name, &Shape::hosts(2));
    lab.init("a", &[]).expect("the first node is made");
    lab.start_agent("a", &[]).expect("its agent starts");
    lab.ready("a").expect("it is ready");
    let server = lab.address("a").expect("a has an address").to_string();
    (lab, server)
}

fn refused(lab: &tombolo_lab::Lab, server: &str, token: &str, sign: &str) {
    let error = lab
        .join("b", server, token, &[])
        .expect_err("it got in")
        .to_string();
    assert!(error.contains(sign), "{sign:?} is not said: {error}");
    let left = lab
        .output("b", &["sh", "-c", "ls /var/lib/tombolo"])
        .expect("ls runs");
    assert!(
        !left.contains("agent.json"),
        "something was left behind: {left}"
    );
}

fn logged(lab: &tombolo_lab::Lab, sign: &str) {
    let log = lab
        .output("a", &["cat", "/run/tombolo/agent.log"])
        .expect("there is a log");
    assert!(log.contains(sign), "{sign:?} is not logged:\n{log}");
}

#[test]
fn a_token_that_is_wrong_gets_in_nowhere() {
    let (lab, server) = half("join-wrong");
    let token = lab.token("a").unwrap();
    refused(&lab, &server, "nonsense", "token");
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let flip = |text: &str| {
        let first = if text.starts_with('0') { "1" } else { "0" };
        format!("{first}{}", &text[1..])
    };
    parts[2] = flip(&parts[2]);
    refused(&lab, &server, &parts.join("."), "secret");
    logged(&lab, "secret");
    // A fingerprint of another CA: the new node does not even say its secret.
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[3] = flip(&parts[3]);
    refused(
        &lab,
        &server,
        &parts.join("."),
        "does not belong to the cluster",
    );
    lab.join("b", &server, &token, &[])
        .expect("the right one is still good");
}

#[test]
fn a_token_is_good_for_one_node() {
    let lab = lab("join-once", &Shape::hosts(3));
    lab.init("a", &[]).unwrap();
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").unwrap();
    let server = lab.address("a").unwrap().to_string();
    let token = lab.token("a").unwrap();
    lab.join("b", &server, &token, &[])
        .expect("the first one joins");
    let error = lab
        .join("c", &server, &token, &[])
        .expect_err("replayed")
        .to_string();
    assert!(error.contains("tombolo token create"), "{error}");
    let again = lab
        .join("b", &server, &token, &[])
        .expect_err("a node already")
        .to_string();
    assert!(again.contains("is a node already"), "{again}");
}

#[test]
fn a_token_that_is_over_is_no_token() {
    let (lab, server) = half("join-over");
    let revoked = lab.token("a").unwrap();
    let id = revoked.split('.').nth(1).unwrap().to_owned();
    lab.tombolo("a", &["token", "revoke", &id]).unwrap();
    refused(&lab, &server, &revoked, "revoked");
    logged(&lab, "revoked");
    let short = lab
        .tombolo("a", &["token", "create", "--ttl", "1s"])
        .unwrap()
        .trim()
        .to_owned();
    let id = short.split('.').nth(1).unwrap().to_owned();
    let begun = std::time::Instant::now();
    while begun.elapsed() < tombolo_tests::DEADLINE {
        let listed = lab.tombolo("a", &["token", "list"]).unwrap();
        if listed
            .lines()
            .any(|line| line.contains(&id) && line.contains("expired"))
        {
            break;
        }
    }
    refused(&lab, &server, &short, "expired");
    logged(&lab, "expired");
}

#[test]
fn there_is_nobody_to_join() {
    let lab = lab("join-nobody", &Shape::hosts(2));
    let token = format!(
        "tb1.{}.{}.{}",
        "0".repeat(8),
        "0".repeat(32),
        "0".repeat(64)
    );
    let server = lab.address("a").unwrap().to_string();
    refused(&lab, &server, &token, "7461");
}

#[test]
fn the_store_speaks_to_nodes_only() {
    let cluster = Cluster::up("join-store", &Shape::hosts(2));
    let etcdctl =
        "cd /var/lib/tombolo; ETCDCTL_API=3 etcdctl --command-timeout=2s --dial-timeout=2s";
    let ask = "get --prefix --keys-only /tombolo/v1/nodes/";
    let with =
        "--endpoints https://192.168.50.11:7460 --cacert ca.crt --cert node.crt --key node.key";
    let keys = cluster.sh("b", &format!("{etcdctl} {with} {ask}"));
    assert!(
        keys.contains("/tombolo/v1/nodes/a") && keys.contains("/tombolo/v1/nodes/b"),
        "{keys}"
    );
    for without in [
        "--endpoints http://192.168.50.11:7460",
        "--endpoints https://192.168.50.11:7460 --cacert ca.crt",
    ] {
        let answer = cluster.try_sh("b", &format!("{etcdctl} {without} {ask}"));
        assert!(!answer.status.success(), "{without} got in");
        assert!(
            !String::from_utf8_lossy(&answer.stdout).contains("/tombolo"),
            "{without}"
        );
    }
    let log = cluster.sh("a", "cat /run/tombolo/agent.log");
    assert!(log.contains("refused"), "no refusal is logged:\n{log}");
}

#[test]
fn a_deleted_node_is_out() {
    let cluster = Cluster::up("join-deleted", &Shape::hosts(2));
    // Its agent runs, and its connections stand.
    cluster
        .lab
        .tombolo("a", &["delete", "node", "b"])
        .expect("the node is deleted");
    cluster.until("its connection is cut", || {
        let log = cluster.sh("a", "cat /run/tombolo/agent.log");
        (log.contains("cut a connection") && log.contains("b is no node")).then_some(())
    });
    let pool = "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: late}\nspec: {cidr: 10.71.0.0/16}\n";
    assert!(
        cluster.try_apply("b", pool).is_err(),
        "a deleted node wrote to the store"
    );
    cluster.apply("a", pool);
    assert!(
        !cluster.sh("b", "tombolo get ippools").contains("late"),
        "it still learns what changes"
    );
    let nodes = cluster.sh("a", "tombolo get nodes");
    assert!(!nodes.lines().any(|line| line.starts_with("b ")), "{nodes}");
}

//! Clocks that jump: leases, addresses and traffic do not care; tokens and certificates do, and say so.
//!
//! The agent of the first node sees a clock of its own (libfaketime), read from a file at each look.
//! Only the date is false: what counts seconds (CLOCK_MONOTONIC) does not jump when an operator or
//! NTP sets the date, so it does not here.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_lab::Running;
use tombolo_tests::{Cluster, Shape};

/// A cluster whose first node's agent runs under a clock that is set by [`jump`].
fn under_a_clock(name: &str, hosts: usize) -> (Cluster, Running) {
    let cluster = Cluster::up(name, &Shape::hosts(hosts));
    cluster.lab.stop_agent("a").unwrap();
    jump(&cluster, "+0");
    let script = "lib=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1) || { echo 'libfaketime is missing: install faketime' >&2; exit 1; }; LD_PRELOAD=$lib FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 exec tombolo agent 2>> /run/tombolo/agent.log";
    let agent = cluster.lab.spawn("a", &["sh", "-c", script]).unwrap();
    cluster
        .lab
        .ready("a")
        .expect("the agent starts; is faketime installed?");
    cluster.settle();
    (cluster, agent)
}

fn jump(cluster: &Cluster, offset: &str) {
    std::fs::write(cluster.file("a", "/run/clock"), format!("{offset}\n")).unwrap();
}

/// The time that the agent's log has last, as the agent sees it.
fn day_of_the_log(cluster: &Cluster) -> String {
    let log = cluster.sh("a", "tail -n 1 /run/tombolo/agent.log");
    log.chars().take(10).collect()
}

/// Asserts that containers come, reach each other, and go, and that both nodes are alive.
fn all_is_well(cluster: &Cluster, name: &str) {
    let here = cluster.container("a", name, "default");
    let there = cluster.container("b", name, "default");
    cluster.settle();
    for (from, to) in here
        .iter()
        .map(|a| (format!("b/{name}"), a))
        .chain(there.iter().map(|a| (format!("a/{name}"), a)))
    {
        assert!(
            cluster.pings(&from, to),
            "{from} does not reach {to}\n{}",
            cluster.logs()
        );
    }
    cluster.until("both nodes are alive", || {
        let nodes = cluster.status("a")["nodes"].clone();
        nodes
            .as_array()?
            .iter()
            .all(|node| node["alive"] == true)
            .then_some(())
    });
    assert_eq!(cluster.status("b")["problems"], serde_json::json!([]));
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

#[test]
fn a_clock_that_jumps_forward_and_back_moves_no_packet_and_no_lease() {
    let (cluster, _agent) = under_a_clock("clock-jumps", 2);
    let today = day_of_the_log(&cluster);
    for (offset, name) in [("+3d", "later"), ("-3d", "earlier"), ("+0", "now")] {
        jump(&cluster, offset);
        all_is_well(&cluster, name);
        if offset != "+0" {
            assert_ne!(day_of_the_log(&cluster), today, "the clock did not jump");
        }
    }
}

#[test]
fn tokens_are_judged_by_the_clock_of_who_made_them() {
    let (cluster, _agent) = under_a_clock("clock-token", 2);
    let server = cluster.lab.address("a").unwrap().to_string();
    let join = |token: &str| {
        let _ = cluster.sh("b", "rm -rf /run/other");
        cluster.lab.join(
            "b",
            &server,
            token,
            &["--node", "other", "--state-dir", "/run/other"],
        )
    };
    let token = cluster.lab.token("a").unwrap();
    jump(&cluster, "+3d");
    let said = join(&token).unwrap_err().to_string();
    assert!(
        said.contains("expired") && said.contains("tombolo token create"),
        "{said}"
    );
    // Back where it was made it is good again: nothing was taken from it.
    jump(&cluster, "+0");
    let _ = join(&token).err().map(|error| {
        let said = error.to_string();
        // b's address is node b's, which is the only thing left to say against it.
        assert!(said.contains("belongs to node b"), "{said}");
    });
}

#[test]
fn a_certificate_that_is_not_valid_now_is_said_with_the_clock() {
    let (cluster, _agent) = under_a_clock("clock-cert", 2);
    let there = cluster.container("b", "c1", "default");
    let here = cluster.container("a", "c1", "default");
    cluster.settle();
    // Two years on, no certificate of the cluster is good in a's eyes. What stands, stands; b's
    // agent is started again and cannot come in.
    jump(&cluster, "+2y");
    cluster.lab.kill_agent("b").unwrap();
    cluster.lab.start_agent("b", &[]).unwrap();
    cluster.until("both sides say it", || {
        let here = cluster.sh("a", "cat /run/tombolo/agent.log");
        let there = cluster.sh("b", "cat /run/tombolo/agent.log");
        (here.contains("xpired") && there.contains("xpire")).then_some(())
    });
    for (from, to) in [("a/c1", &there[0]), ("b/c1", &here[0])] {
        assert!(cluster.pings(from, to), "{from} does not reach {to}");
    }
    jump(&cluster, "+0");
    all_is_well(&cluster, "after");
}

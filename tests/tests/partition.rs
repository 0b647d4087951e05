//! The store is down, cut off, or slow: what runs goes on, and what was missed is caught up with.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use tombolo_lab::measure::Flow;
use tombolo_tests::{Cluster, Shape, proxy};

const POOL: &str = "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {name: late}\nspec: {cidr: 10.71.0.0/16}\n";

/// A flow between containers on `b` and `c`, nodes that do not have the store.
fn flow(cluster: &Cluster) -> Flow {
    let _ = cluster.container("b", "c1", "default");
    let there = cluster.container("c", "c1", "default");
    cluster.settle();
    let address = there[0].parse().unwrap();
    Flow::start(&cluster.lab, "b/c1", "c/c1", address, 500).unwrap()
}

fn nothing_lost(flow: Flow) {
    let count = flow.stop().unwrap();
    assert!(count.sent > 50, "{} packets are too few", count.sent);
    assert_eq!(count.received, count.sent);
}

/// What the kernel of a host holds of ours, without what counts time.
fn kernel(cluster: &Cluster, host: &str) -> String {
    cluster.sh(
        host,
        "ip route show proto 84; ip -6 route show proto 84; bridge fdb show dev tbx4096 | sort; ip neigh show dev tbx4096 nud permanent | sort; nft list table inet tombolo",
    )
}

/// Waits until a node says that its store does not answer; it says so soon.
fn says_so(cluster: &Cluster, host: &str) {
    cluster.until("status says it", || {
        let begun = Instant::now();
        let status = cluster.status(host);
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "status waits for the store"
        );
        let said = status["store"]["connected"] == false
            && status["problems"].to_string().contains("192.168.50.11");
        said.then_some(())
    });
    cluster.until("the metric says it", || {
        metrics(cluster, host)
            .contains("tombolo_store_connected 0")
            .then_some(())
    });
    let log = cluster.sh(host, "cat /run/tombolo/agent.log");
    assert!(log.contains("going on with what is known"), "{log}");
}

fn metrics(cluster: &Cluster, host: &str) -> String {
    cluster.sh(host, "curl -s localhost:7463/metrics")
}

/// Makes a change on `a` and waits until the others know it.
fn caught_up(cluster: &Cluster) {
    cluster.apply("a", POOL);
    for host in ["b", "c"] {
        cluster.until("the change is known", || {
            cluster
                .sh(host, "tombolo get ippools")
                .contains("late")
                .then_some(())
        });
        cluster.until("the problem is over", || {
            let up = metrics(cluster, host).contains("tombolo_store_connected 1");
            (up && cluster.status(host)["store"]["connected"] == true).then_some(())
        });
    }
    cluster.settle();
    let _ = cluster.container("b", "after", "default");
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

#[test]
fn a_store_that_is_down_takes_nothing_away() {
    let cluster = Cluster::up("store-down", &Shape::hosts(3));
    let flow = flow(&cluster);
    let before = kernel(&cluster, "b");
    cluster.lab.kill_agent("a").unwrap();
    says_so(&cluster, "b");
    assert_eq!(kernel(&cluster, "b"), before, "something was taken away");
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    caught_up(&cluster);
    nothing_lost(flow);
}

#[test]
fn a_store_that_is_cut_off_takes_nothing_away() {
    let cluster = Cluster::up("store-cut", &Shape::hosts(3));
    let flow = flow(&cluster);
    let before = kernel(&cluster, "b");
    // Packets vanish, and nobody is told: the hardest way to lose a store.
    let drop = "nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority 0; }'; nft 'add chain inet cut out { type filter hook output priority 0; }'; nft add rule inet cut in tcp dport 7460 drop; nft add rule inet cut out tcp sport 7460 drop";
    let _ = cluster.sh("a", drop);
    says_so(&cluster, "b");
    assert_eq!(kernel(&cluster, "b"), before, "something was taken away");
    let _ = cluster.sh("a", "nft delete table inet cut");
    caught_up(&cluster);
    nothing_lost(flow);
}

#[test]
fn a_store_that_is_slow_is_waited_for() {
    let cluster = Cluster::up("store-slow", &Shape::hosts(3));
    let flow = flow(&cluster);
    // Whatever b and c say to the store, and it to them, arrives 50 ms later.
    let host = cluster.lab.host("a").unwrap().process.pid;
    let netns = format!("/proc/{host}/ns/net");
    proxy::delay(netns.as_ref(), 7999, 7460, Duration::from_millis(50));
    let redirect = "nft add table ip slow; nft 'add chain ip slow pre { type nat hook prerouting priority -100; }'; nft add rule ip slow pre tcp dport 7460 redirect to :7999";
    let _ = cluster.sh("a", redirect);
    for host in ["b", "c"] {
        // Connections that stand go on as they are.
        cluster.lab.kill_agent(host).unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
    }
    cluster.settle();
    let begun = Instant::now();
    let addresses = cluster.container("b", "slow", "default");
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(100) && took < Duration::from_secs(10),
        "{took:?}"
    );
    assert!(cluster.pings("c/c1", &addresses[0]));
    assert_eq!(cluster.status("b")["store"]["connected"], true);
    let _ = cluster.sh("a", "nft delete table ip slow");
    caught_up(&cluster);
    nothing_lost(flow);
}

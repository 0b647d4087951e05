//! What survives what: restarts, drift, a change of transport, all under running traffic.

use tombolo_tests::network::default_network;
use tombolo_tests::traffic::Traffic;
use tombolo_tests::{Cluster, Shape};

#[test]
fn an_agent_that_is_killed_loses_no_packet() {
    let cluster = Cluster::up("killed", &Shape::hosts(2));
    let traffic = Traffic::begin(&cluster);
    for host in ["b", "a"] {
        cluster.lab.kill_agent(host).expect("the agent is killed");
        cluster.lab.start_agent(host, &[]).expect("it starts again");
        cluster.settle();
    }
    traffic.end_without_loss("agents were killed and started");
}

#[test]
fn a_restart_changes_nothing() {
    let cluster = Cluster::up("restart", &Shape::hosts(2));
    let _ = cluster.container("b", "c1", "default");
    cluster.settle();
    let see = "ip -o link; ip addr show; ip route show table all; ip -6 route show table all; nft -a list ruleset";
    let scrub = |text: String| {
        text.lines()
            .filter(|l| !l.contains("expires") && !l.contains("eth0"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let before = scrub(cluster.sh("b", see));
    cluster
        .lab
        .stop_agent("b")
        .expect("the agent ends on SIGTERM");
    assert_eq!(
        scrub(cluster.sh("b", see)),
        before,
        "stopping the agent changed the kernel"
    );
    cluster.lab.start_agent("b", &[]).expect("it starts again");
    cluster.settle();
    assert_eq!(
        scrub(cluster.sh("b", see)),
        before,
        "starting the agent changed the kernel"
    );
}

#[test]
fn the_transport_changes_without_loss() {
    let cluster = Cluster::up("change", &Shape::hosts(2));
    let traffic = Traffic::begin(&cluster);
    let network = |transport: &str| default_network(&format!("transport: {transport}"));
    cluster.apply("a", &network("{type: direct}"));
    cluster.until("the tunnel is gone", || {
        let links = cluster.sh("a", "ip -o link") + &cluster.sh("b", "ip -o link");
        (!links.contains("tbx4096")).then_some(())
    });
    assert!(
        cluster
            .sh("a", "ip route show proto 84")
            .contains("dev eth0")
    );
    assert!(
        cluster
            .sh("a", "ip -o link show type veth")
            .contains("mtu 1500")
    );
    cluster.apply("a", &network("{type: vxlan, vni: 77}"));
    cluster.until("the tunnel is used", || {
        let routes =
            cluster.sh("a", "ip route show proto 84") + &cluster.sh("b", "ip route show proto 84");
        (routes.matches("via").count() == routes.matches("dev tbx77").count()).then_some(())
    });
    cluster.settle();
    traffic.end_without_loss("the transport was changed twice");
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let cluster = Cluster::up("foreign", &Shape::hosts(1));
    let _ = cluster.container("a", "c1", "default");
    let _ = cluster.sh(
        "a",
        "ip route add 198.51.100.0/24 via 192.168.50.1; nft add table inet other; nft add chain inet other c; ip link add foreign type veth peer name foreign2",
    );
    let _ = cluster.sh("a", "nft delete table inet tombolo");
    cluster.until("the table is back", || {
        cluster
            .sh("a", "nft list ruleset")
            .contains("masquerade")
            .then_some(())
    });
    let all = cluster.sh("a", "ip route; nft list ruleset; ip -o link");
    for sign in ["198.51.100.0/24", "table inet other", "foreign2"] {
        assert!(all.contains(sign), "{sign} was removed:\n{all}");
    }
}

#[test]
fn cleanup_removes_everything_of_ours() {
    let cluster = Cluster::up("cleanup", &Shape::hosts(2));
    let _ = cluster.container("a", "c1", "default");
    cluster.lab.stop_agent("a").expect("the agent ends");
    let _ = cluster
        .lab
        .tombolo("a", &["agent", "--cleanup"])
        .expect("cleanup succeeds");
    let all = cluster.sh(
        "a",
        "ip -o link; ip route show table all; ip -6 route show table all; nft list ruleset",
    );
    for sign in [" tb", "proto 84", "tombolo"] {
        assert!(!all.contains(sign), "{sign:?} was left behind:\n{all}");
    }
}

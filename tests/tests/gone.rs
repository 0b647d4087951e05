//! Network namespaces that are gone: before a container is attached, while it is, and while it is
//! detached.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

/// Asserts that nothing of containers is left on `a`: in the kernel, in the store.
fn nothing_is_left(cluster: &Cluster) {
    let all = cluster.sh(
        "a",
        "tombolo get endpoints; ip -o link; ip route show proto 84; ip -6 route show proto 84; tombolo ipam check",
    );
    for sign in ["a.a-", "tbv"] {
        assert!(!all.contains(sign), "{sign} is left:\n{all}");
    }
    let show = cluster.json("a", &["ipam", "show", "-o", "json"]);
    for pool in show["pools"].as_array().unwrap() {
        // The node's own, for its tunnel.
        assert_eq!(pool["inUse"], 1, "{show}");
    }
}

#[test]
fn a_namespace_that_is_not_there_is_said_and_costs_nothing() {
    let cluster = Cluster::up("gone-before", &Shape::hosts(1));
    let config = Lab::config("default");
    let error = cluster.lab.attach("a", "never", &config).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("no network namespace at /run/netns/never"),
        "{said}"
    );
    // A file that is no namespace is as good as none.
    let _ = cluster.sh("a", "mkdir -p /run/netns; touch /run/netns/plain");
    let said = cluster
        .lab
        .attach("a", "plain", &config)
        .unwrap_err()
        .to_string();
    assert!(said.contains("/run/netns/plain"), "{said}");
    nothing_is_left(&cluster);
    cluster.lab.detach("a", "never", &config).unwrap();
}

#[test]
fn a_namespace_that_goes_before_del_is_detached_all_the_same() {
    let cluster = Cluster::up("gone-between", &Shape::hosts(1));
    let _ = cluster.container("a", "c1", "default");
    cluster.lab.remove_container("a", "c1").unwrap();
    let config = Lab::config("default");
    cluster.lab.detach("a", "c1", &config).unwrap();
    nothing_is_left(&cluster);
    cluster.lab.detach("a", "c1", &config).unwrap();
}

#[test]
fn a_namespace_that_goes_hinders_nobody_else() {
    let cluster = Cluster::up("gone-during", &Shape::hosts(2));
    let stays = cluster.container("a", "stays", "default");
    let gone = cluster.container("a", "gone", "default");
    let there = cluster.container("b", "c1", "default");
    cluster.lab.remove_container("a", "gone").unwrap();
    // Passes are made: others come, and what somebody breaks is repaired.
    let new = cluster.container("a", "new", "default");
    let _ = cluster.sh(
        "a",
        "nft delete table inet tombolo; ip -6 route flush proto 84",
    );
    cluster.until("what was broken is repaired", || {
        let all = cluster.sh("a", "nft list ruleset; ip -6 route show proto 84");
        (all.contains("masquerade") && all.contains("dev tbx4096")).then_some(())
    });
    for address in stays.iter().chain(&new) {
        assert!(
            cluster.pings("b/c1", address),
            "{address}\n{}",
            cluster.logs()
        );
    }
    for address in &there {
        assert!(cluster.pings("a/new", address), "{address}");
    }
    let config = Lab::config("default");
    cluster.lab.detach("a", "gone", &config).unwrap();
    let endpoints = cluster.sh("a", "tombolo get endpoints");
    assert!(!endpoints.contains(&gone[0]), "{endpoints}");
    for name in ["stays", "new"] {
        cluster.lab.detach("a", name, &config).unwrap();
    }
    cluster.lab.detach("b", "c1", &config).unwrap();
    cluster.settle();
    assert!(!cluster.sh("a", "ip -o link").contains("tbv"));
    cluster
        .lab
        .tombolo("a", &["ipam", "check"])
        .expect("everything fits together");
}

/// As when a process has ended whose `/proc/PID/ns/net` was a sandbox, and its number is given to a
/// process of the host, or of another container.
#[test]
fn a_path_that_leads_elsewhere_by_now_is_nobodys_sandbox() {
    let cluster = Cluster::up("elsewhere", &Shape::hosts(1));
    let _ = cluster.container("a", "c1", "default");
    let _ = cluster.container("a", "c2", "default");
    let other = cluster.container("a", "c3", "default");
    cluster.settle();
    let see = |place: &str| cluster.sh(place, "ip route show default; ip -br addr show eth0");
    let (host, third) = (see("a"), see("a/c3"));
    let _ = cluster.sh(
        "a",
        "umount /run/netns/c1; mount --bind /proc/self/ns/net /run/netns/c1
         umount /run/netns/c2; mount --bind /run/netns/c3 /run/netns/c2",
    );
    // Passes of every sort: by the World, by an event, by looking everywhere.
    let refused = cluster.try_sh(
        "a",
        "tombolo attach --netns /run/netns/c1 --container c9 --interface net1",
    );
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("host's own network namespace"), "{said}");
    let _ = cluster.sh(
        "a",
        "ip link del tbx4096; ip addr flush dev tbx4096 2>/dev/null; true",
    );
    cluster.until("the event was seen", || {
        cluster
            .sh("a", "ip -br link")
            .contains("tbx4096")
            .then_some(())
    });
    cluster.lab.kill_agent("a").unwrap();
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    assert_eq!(see("a"), host, "the host was taken for a container");
    assert_eq!(see("a/c3"), third, "a container was taken for another one");
    assert!(cluster.pings("a", &other[0]));
}

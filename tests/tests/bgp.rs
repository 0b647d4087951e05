//! Transport `bgp` on the lab: no tunnel, no static routes, and nobody who has to be told where a
//! container is.

#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing where something must be has failed"
)]

use std::time::{Duration, Instant};

use serde_json::Value;
use tombolo_tests::network::default_network;
use tombolo_tests::traffic::Traffic;
use tombolo_tests::{Cluster, Shape};

/// Hosts whose network goes by BGP, all sessions of the mesh standing.
fn mesh(name: &str, hosts: usize) -> Cluster {
    let cluster = Cluster::up(name, &Shape::hosts(hosts));
    cluster.apply("a", &default_network("transport: {type: bgp}"));
    standing(&cluster, hosts - 1);
    cluster
}

/// Waits until each host has so many sessions, and all stand.
fn standing(cluster: &Cluster, sessions: usize) {
    cluster.settle();
    for host in cluster.lab.hosts() {
        stand(cluster, host, sessions);
    }
    cluster.settle();
}

/// Waits until a host has so many sessions, and all stand.
fn stand(cluster: &Cluster, host: &str, sessions: usize) {
    cluster.until(&format!("all sessions of {host} stand"), || {
        let states = states(cluster, host);
        let all = states.iter().all(|state| state == "Established");
        (all && states.len() == sessions).then_some(())
    });
}

fn states(cluster: &Cluster, host: &str) -> Vec<String> {
    let status = cluster.status(host);
    let sessions = status["bgp"]["sessions"].as_array().cloned();
    let state = |session: &Value| session["state"].as_str().unwrap_or_default().to_owned();
    sessions.unwrap_or_default().iter().map(state).collect()
}

/// A container on each host.
fn containers(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let hosts = cluster.lab.hosts().iter();
    hosts
        .map(|host| {
            (
                format!("{host}/c1"),
                cluster.container(host, "c1", "default"),
            )
        })
        .collect()
}

#[test]
fn a_mesh_carries_both_families_whole() {
    let cluster = mesh("bgpmesh", 3);
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    for address in &containers[1].1 {
        assert!(
            cluster.fits("a/c1", address, 1500),
            "1500 bytes do not get to {address}"
        );
    }
    for host in cluster.lab.hosts() {
        assert_eq!(
            cluster.status(host)["problems"],
            serde_json::json!([]),
            "on {host}"
        );
        assert!(
            !cluster.sh(host, "ip -o link").contains("tbx"),
            "a tunnel on {host}"
        );
    }
    let table = cluster
        .lab
        .tombolo("a", &["get", "bgppeers", "-o", "wide"])
        .unwrap();
    assert_eq!(table.matches("Established").count(), 2, "{table}");
    assert_eq!(table.matches("Node ").count(), 2, "{table}");
    let metrics = cluster.sh("a", "curl -s localhost:7463/metrics");
    for sign in [
        "tombolo_bgp_session_up{peer=\"192.168.50.12\"} 1",
        "tombolo_bgp_prefixes{peer=\"192.168.50.13\",family=\"ipv6\",what=\"best\"} 1",
        "tombolo_bgp_announced 2",
    ] {
        assert!(metrics.contains(sign), "{sign}: {metrics}");
    }
    // Somebody removes a route: it is back.
    let route = cluster.sh("a", "ip route show proto 84 | grep via | head -n 1");
    assert!(route.contains("via 192.168.50."), "{route}");
    let _ = cluster.sh("a", &format!("ip route del {}", route.trim()));
    cluster.until("the route is back", || {
        cluster
            .sh("a", "ip route show proto 84")
            .contains(route.trim())
            .then_some(())
    });
}

#[test]
fn an_agent_that_ends_loses_no_packet() {
    let cluster = mesh("bgpgone", 2);
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    let traffic = Traffic::between(
        &cluster,
        ("a/c1", &containers[0].1),
        ("b/c1", &containers[1].1),
    );
    for host in ["b", "a"] {
        cluster.lab.kill_agent(host).unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
        standing(&cluster, 1);
        cluster.lab.stop_agent(host).unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
        standing(&cluster, 1);
    }
    traffic.end_without_loss("agents were killed, stopped and started");
}

#[test]
fn a_reflector_and_all_others_restart_one_after_the_other_without_loss() {
    let cluster = mesh("bgproll", 3);
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1\nkind: Node\nmetadata: {name: c}\nspec: {bgp: {routeReflectorClusterID: 244.0.0.1}}\n",
    );
    let all_stand = || {
        cluster.settle();
        for (host, sessions) in [("a", 1), ("b", 1), ("c", 2)] {
            stand(&cluster, host, sessions);
        }
        cluster.settle();
    };
    all_stand();
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    let traffic = Traffic::between(
        &cluster,
        ("a/c1", &containers[0].1),
        ("b/c1", &containers[1].1),
    );
    for host in ["c", "a", "b"] {
        cluster.lab.kill_agent(host).unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
        all_stand();
    }
    for host in ["c", "a", "b"] {
        cluster.lab.stop_agent(host).unwrap();
        cluster.lab.start_agent(host, &[]).unwrap();
        all_stand();
    }
    traffic.end_without_loss("a reflector and its clients were killed and stopped in turn");
    cluster.until_all_reach_all(&containers);
}

#[test]
fn the_transport_changes_to_bgp_and_back_without_loss() {
    let cluster = Cluster::up("bgpchange", &Shape::hosts(2));
    let traffic = Traffic::begin(&cluster);
    let goes_by = |what: &str, is_there: &dyn Fn(&str) -> bool| {
        for host in ["a", "b"] {
            cluster.until(&format!("{what} on {host}"), || {
                let see = "ip route show proto 84; ip -6 route show proto 84; ip -o link";
                is_there(&cluster.sh(host, see)).then_some(())
            });
        }
        cluster.settle();
    };
    let by_bgp = |see: &str| see.matches("metric 2000").count() == 2 && !see.contains("tbx");
    cluster.apply("a", &default_network("transport: {type: bgp}"));
    goes_by("packets go by BGP", &by_bgp);
    cluster.apply("a", &default_network("transport: {type: direct}"));
    goes_by("packets go by static routes", &|see| {
        !see.contains("metric 2000") && see.contains("via")
    });
    cluster.apply("a", &default_network("transport: {type: bgp}"));
    goes_by("packets go by BGP again", &by_bgp);
    cluster.apply("a", &default_network("transport: {type: vxlan}"));
    goes_by("packets go by the tunnel", &|see| {
        !see.contains("metric 2000") && see.contains("dev tbx")
    });
    traffic.end_without_loss("the transport was changed to BGP and back, twice");
}

#[test]
fn a_node_that_is_lost_is_noticed_by_bfd() {
    let cluster = mesh("bgpbfd", 3);
    cluster.apply(
        "a",
        "apiVersion: tombolo.dev/v1\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {bfd: {interval: 200ms, multiplier: 3}}\n",
    );
    let containers = containers(&cluster);
    cluster.until_all_reach_all(&containers);
    cluster.until("BFD watches", || {
        let sessions = cluster.status("a")["bgp"]["sessions"].clone();
        let sessions = sessions.as_array().unwrap().clone();
        sessions
            .iter()
            .all(|session| session["bfd"] == "Up")
            .then_some(())
    });
    let block = cluster.sh("a", "ip route show proto 84 | grep 'via 192.168.50.13'");
    assert!(!block.is_empty(), "a has no route to c");
    let begun = Instant::now();
    cluster.lab.cut("c").unwrap();
    cluster.until("the route is gone", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        (!routes.contains("via 192.168.50.13")).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "only the hold timer noticed"
    );
    let table = cluster
        .lab
        .tombolo("a", &["get", "bgppeers", "-o", "wide"])
        .unwrap();
    assert!(table.contains("BFD"), "{table}");
    cluster.lab.heal("c").unwrap();
    standing(&cluster, 2);
    cluster.until_all_reach_all(&containers);
}

#[test]
fn a_container_that_moves_is_followed() {
    let cluster = mesh("bgpmove", 3);
    let mover = |host, name| cluster.container_as(host, name, "prod/mover/eth0");
    let addresses = mover("a", "m1");
    for (from, to) in [(("a", "m1"), ("b", "m2")), (("b", "m2"), ("a", "m3"))] {
        cluster
            .lab
            .tombolo(from.0, &["detach", "--container", from.1])
            .unwrap();
        assert_eq!(mover(to.0, to.1), addresses);
        for address in &addresses {
            for host in cluster.lab.hosts() {
                cluster.until(&format!("{host} reaches {address} on {}", to.0), || {
                    cluster.pings(host, address).then_some(())
                });
            }
        }
    }
    // At home again it is a part of its node's block, and nobody is told of it alone.
    for address in &addresses {
        cluster.until("the single address is withdrawn", || {
            let routes = cluster.sh("c", "ip route show proto 84; ip -6 route show proto 84");
            (!routes.contains(&format!("{address} via"))).then_some(())
        });
    }
}

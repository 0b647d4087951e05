//! Containers on several hosts, one network.

use tombolo_lab::Topology;
use tombolo_tests::network::default_network;
use tombolo_tests::{Cluster, Shape};

const VXLAN: &str = "transport: {type: vxlan}";
const CROSS_SUBNET: &str = "transport: {type: vxlan, crossSubnet: true}";
const DIRECT: &str = "transport: {type: direct}";

/// Two containers on each host, on the network `default`.
fn containers(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for host in cluster.lab.hosts() {
        for name in ["c1", "c2"] {
            all.push((
                format!("{host}/{name}"),
                cluster.container(host, name, "default"),
            ));
        }
    }
    all
}

/// A network of one transport over one topology: everybody reaches everybody in both families, and
/// the largest packet is as large as it can be.
fn reach(name: &str, shape: &Shape, transport: &str, mtu: u32) {
    let cluster = Cluster::up(name, shape);
    cluster.apply("a", &default_network(transport));
    cluster.settle();
    let containers = containers(&cluster);
    cluster.all_reach_all(&containers);
    let (first, _) = &containers[0];
    for address in &containers[2].1 {
        assert!(
            cluster.fits(first, address, mtu),
            "{mtu} bytes do not get to {address}"
        );
        assert!(
            !cluster.fits(first, address, mtu + 1),
            "{} bytes get to {address}",
            mtu + 1
        );
    }
    for host in cluster.lab.hosts() {
        assert_eq!(
            cluster.status(host)["problems"],
            serde_json::json!([]),
            "on {host}"
        );
    }
}

#[test]
fn vxlan_on_three_hosts() {
    reach("vxlan3", &Shape::hosts(3), VXLAN, 1450);
}

#[test]
fn direct_on_two_hosts() {
    reach("direct2", &Shape::hosts(2), DIRECT, 1500);
}

#[test]
fn vxlan_on_a_jumbo_underlay() {
    reach("jumbo", &Shape::hosts(2).mtu(9000), VXLAN, 8950);
}

#[test]
fn vxlan_on_a_narrow_underlay() {
    reach("narrow", &Shape::hosts(2).mtu(1400), VXLAN, 1350);
}

#[test]
fn vxlan_through_a_router() {
    reach(
        "router",
        &Shape::hosts(2).topology(Topology::Subnets),
        VXLAN,
        1450,
    );
}

#[test]
fn vxlan_only_across_subnets() {
    let cluster = Cluster::up("cross", &Shape::hosts(3).topology(Topology::Subnets));
    cluster.apply("a", &default_network(CROSS_SUBNET));
    cluster.settle();
    cluster.all_reach_all(&containers(&cluster));
    // Hosts alternate between the subnets: c is beside a, b is behind the router.
    let routes = cluster.sh("a", "ip route show proto 84");
    assert!(
        routes.contains("dev eth0"),
        "no direct route to c:\n{routes}"
    );
    assert!(
        routes.contains("dev tbx4096"),
        "no tunnelled route to b:\n{routes}"
    );
}

#[test]
fn direct_cannot_cross_a_router_and_says_so() {
    let cluster = Cluster::up("nodirect", &Shape::hosts(2).topology(Topology::Subnets));
    cluster.apply("a", &default_network(DIRECT));
    cluster.settle();
    let problems = cluster.until("the problem is told", || {
        let problems = cluster.status("a")["problems"].to_string();
        problems.contains("different subnets").then_some(problems)
    });
    assert!(problems.contains("use transport vxlan"), "{problems}");
}

#[test]
fn vxlan_on_a_line_of_hosts() {
    reach(
        "line",
        &Shape::hosts(3).topology(Topology::Line),
        VXLAN,
        1450,
    );
}

#[test]
fn the_host_reaches_containers_everywhere() {
    let cluster = Cluster::up("hosts", &Shape::hosts(2));
    let here = cluster.container("a", "c1", "default");
    let there = cluster.container("b", "c1", "default");
    for address in here.iter().chain(&there) {
        assert!(
            cluster.pings("a", address),
            "host a does not reach {address}"
        );
        assert!(
            cluster.pings("b", address),
            "host b does not reach {address}"
        );
    }
}

#[test]
fn packets_to_the_world_have_the_hosts_address() {
    let cluster = Cluster::up("natout", &Shape::hosts(2));
    let _ = cluster.container("a", "c1", "default");
    // The world has no route to the pools: an answer comes only to what was translated.
    assert!(cluster.pings("a/c1", "203.0.113.1"));
    assert!(cluster.pings("a/c1", "2001:db8:113::1"));
}

#[test]
fn the_underlay_is_chosen_and_the_choice_is_told() {
    let cluster = Cluster::up(
        "chosen",
        &Shape::hosts(1).init(&["--underlay", "interface=eth0"]),
    );
    let underlay = cluster.status("a")["underlay"].to_string();
    assert!(underlay.contains("interface=eth0 names eth0"), "{underlay}");
}

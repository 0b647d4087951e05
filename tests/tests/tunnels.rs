//! Networks whose packets travel in packets or in GRE, fans, and ipvlan: by the real agents, where the
//! kernel has what they need. Where it has not, what it lacks must be named, and it must go on; and all of
//! them run again on a kernel that has everything.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use serde_json::json;
use tombolo_lab::{Lab, Topology};
use tombolo_tests::network::default_network;
use tombolo_tests::{Cluster, Shape, machine};

/// Whether the kernel makes such devices, as `ip` sees it, in a namespace where nobody has one.
fn has(cluster: &Cluster, device: &str) -> bool {
    let add = "ip link add up0 type veth peer name up1; ip link add probe";
    let add = format!("unshare -n sh -c '{add} {device}'");
    cluster.try_sh("a", &add).status.success()
}

/// What lacks is told by every host, and is put right by choosing another transport.
fn lack_is_named(cluster: &Cluster, module: &str) {
    cluster.until("the lack is told", || {
        let told = cluster.status("a").to_string();
        told.contains(&format!("modprobe {module}")).then_some(())
    });
    cluster.apply("a", &default_network("transport: {type: vxlan}"));
    cluster.settle();
    cluster.until("nothing is wrong any more", || {
        let told = cluster.status("a").to_string();
        (!told.contains("modprobe")).then_some(())
    });
}

/// Everybody reaches everybody in both families, by packets as large as they can be; or what the
/// kernel lacks is named, which `devices` say with their modules.
fn reach(name: &str, shape: &Shape, words: &str, mtu: u32, devices: &[(&str, &str)]) {
    let cluster = Cluster::up(name, shape);
    cluster.apply("a", &default_network(words));
    if let Some((_, module)) = devices.iter().find(|(device, _)| !has(&cluster, device)) {
        return lack_is_named(&cluster, module);
    }
    cluster.settle();
    let mut containers = Vec::new();
    for host in cluster.lab.hosts() {
        let addresses = cluster.container(host, "c1", "default");
        containers.push((format!("{host}/c1"), addresses));
    }
    cluster.all_reach_all(&containers);
    let (from, to) = (&containers[0].0, &containers[1].1);
    for address in to {
        assert!(
            cluster.pings("a", address),
            "host a does not reach {address}"
        );
        assert!(
            cluster.fits(from, address, mtu),
            "{mtu} bytes do not get to {address}"
        );
        assert!(
            !cluster.fits(from, address, mtu + 1),
            "more than {mtu} bytes get to {address}"
        );
    }
    let problems = &cluster.status("a")["problems"];
    assert_eq!(*problems, json!([]));
}

const IPIP: &[(&str, &str)] = &[
    ("type ipip external", "ipip"),
    ("type sit local 192.0.2.9", "sit"),
];
const IP6TNL: &[(&str, &str)] = &[("type ip6tnl external", "ip6_tunnel")];
const GRE: &[(&str, &str)] = &[("type gre external", "ip_gre")];
const IP6GRE: &[(&str, &str)] = &[("type ip6gre external", "ip6_gre")];

#[test]
fn packets_in_packets_through_a_router() {
    let shape = Shape::hosts(2).topology(Topology::Subnets);
    reach("ipip", &shape, "transport: {type: ipip}", 1480, IPIP);
}

#[test]
fn packets_in_packets_over_ipv6() {
    let words = "underlay: ipv6\n  transport: {type: ipip}";
    reach("ipip6", &Shape::hosts(2), words, 1460, IP6TNL);
}

#[test]
fn gre_with_a_key() {
    let words = "transport: {type: gre, key: 7}";
    reach("gre", &Shape::hosts(2), words, 1472, GRE);
}

#[test]
fn gre_over_ipv6() {
    let words = "underlay: ipv6\n  transport: {type: gre}";
    reach("gre6", &Shape::hosts(2), words, 1456, IP6GRE);
}

#[test]
fn one_transport_after_the_other() {
    let cluster = Cluster::up("through", &Shape::hosts(2));
    let mut containers = Vec::new();
    for host in cluster.lab.hosts() {
        let addresses = cluster.container(host, "c1", "default");
        containers.push((format!("{host}/c1"), addresses));
    }
    for (words, devices) in [
        ("ipip", IPIP),
        ("gre", GRE),
        ("direct", &[][..]),
        ("gre, key: 1", GRE),
        ("ipip", IPIP),
        ("vxlan", &[]),
    ] {
        cluster.apply(
            "a",
            &default_network(&format!("transport: {{type: {words}}}")),
        );
        match devices.iter().find(|(device, _)| !has(&cluster, device)) {
            Some((_, module)) => lack_is_named(&cluster, module),
            None => cluster.settle(),
        }
        cluster.all_reach_all(&containers);
    }
    let links = cluster.sh("a", "ip -o link");
    assert!(!links.contains("tbi") && !links.contains("tbr"), "{links}");
}

const FAN: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: fan}
spec: {cidr: 250.0.0.0/8, blockSize: 24, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: fan}
spec: {driver: fan, fan: {underlay: 192.168.0.0/16}, pools: [fan], transport: {type: TRANSPORT}}
";

/// Where packets cannot travel in packets, they do by vxlan: what a fan is does not hang on it.
#[test]
fn an_address_in_a_fan_says_its_host() {
    let cluster = Cluster::up("fan", &Shape::hosts(2));
    let transport = if has(&cluster, "type ipip external") {
        "ipip"
    } else {
        "vxlan"
    };
    cluster.apply("a", &FAN.replace("TRANSPORT", transport));
    cluster.settle();
    let a = cluster.container("a", "c1", "fan");
    let b = cluster.container("b", "c1", "fan");
    assert!(a[0].starts_with("250.50.11."), "{a:?}");
    assert!(b[0].starts_with("250.50.12."), "{b:?}");
    cluster.all_reach_all(&[("a/c1".to_owned(), a), ("b/c1".to_owned(), b.clone())]);
    assert!(cluster.pings("a", &b[0]), "host a does not reach {b:?}");
    let narrow = FAN.replace("TRANSPORT", transport);
    let narrow = narrow.replace("192.168.0.0/16", "192.168.50.0/24");
    let refused = cluster.try_apply("a", &narrow).unwrap_err();
    assert!(
        refused.contains("set blockSize of the pool to 16"),
        "{refused}"
    );
}

const LAN: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: lan4}
spec: {cidr: 192.168.50.0/24, blockSize: 28}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: lan}
spec: {driver: ipvlan, ipvlan: {parent: eth0, hostAccess: true}, gateway: [192.168.50.1], pools: [lan4]}
";

#[test]
fn containers_share_the_link_layer_address_of_their_host() {
    let cluster = Cluster::up("ipvlan", &Shape::hosts(2));
    cluster.apply("a", LAN);
    cluster.settle();
    if !has(&cluster, "link up0 type ipvlan") {
        cluster.lab.container("a", "c1").unwrap();
        let refused = cluster
            .lab
            .attach("a", "c1", &Lab::config("lan"))
            .unwrap_err();
        assert!(refused.to_string().contains("modprobe ipvlan"), "{refused}");
        return;
    }
    let a = cluster.container("a", "c1", "lan");
    let b = cluster.container("b", "c1", "lan");
    cluster.all_reach_all(&[("a/c1".to_owned(), a.clone()), ("b/c1".to_owned(), b)]);
    assert!(cluster.pings("a", &a[0]), "host a does not reach {a:?}");
    let shown = |place| cluster.sh(place, "ip -d link show eth0");
    let (container, host) = (shown("a/c1"), shown("a"));
    assert!(container.contains("ipvlan"), "{container}");
    let address = |text: &str| {
        text.split("link/ether ")
            .nth(1)
            .map(|rest| rest[..17].to_owned())
    };
    assert_eq!(address(&container), address(&host), "{container}{host}");
}

const TRUNK: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: red4}
spec: {cidr: 10.30.0.0/24, blockSize: 28}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: red}
spec: {driver: vlan, vlan: {parent: eth0, id: 30}, pools: [red4]}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue4}
spec: {cidr: 10.31.0.0/24, blockSize: 28}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: blue}
spec: {driver: vlan, vlan: {parent: eth0, id: 31}, pools: [blue4]}
";

#[test]
fn networks_on_one_trunk_are_apart() {
    let cluster = Cluster::up("trunk", &Shape::hosts(2));
    cluster.apply("a", TRUNK);
    cluster.settle();
    if !has(&cluster, "link up0 type vlan id 30") {
        cluster.lab.container("a", "c1").unwrap();
        let config = Lab::config("red");
        let refused = cluster.lab.attach("a", "c1", &config).unwrap_err();
        assert!(refused.to_string().contains("modprobe 8021q"), "{refused}");
        return;
    }
    let mut members = Vec::new();
    for network in ["red", "blue"] {
        for host in ["a", "b"] {
            let name = format!("{network}1");
            let addresses = cluster.container(host, &name, network);
            members.push((format!("{host}/{name}"), addresses));
        }
    }
    let (red, blue) = members.split_at(2);
    cluster.all_reach_all(red);
    cluster.all_reach_all(blue);
    assert!(cluster.fits(&red[0].0, &red[1].1[0], 1500));
    for address in &blue[1].1 {
        assert!(!cluster.pings(&red[0].0, address), "red reaches blue");
    }
    let tags = cluster.sh("a", "ip -d link show type vlan");
    assert!(tags.contains("id 30") && tags.contains("id 31"), "{tags}");
}

#[test]
fn a_check_says_what_this_kernel_has() {
    let cluster = Cluster::up("features", &Shape::hosts(1));
    let told = cluster.try_sh("a", "tombolo check -o json");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let told = told.as_array().unwrap();
    for (kind, device) in [
        ("vxlan", "type vxlan id 7 dev up0 dstport 0"),
        ("ipip", "type ipip external"),
        ("sit", "type sit local 192.0.2.9"),
        ("ip6tnl", "type ip6tnl external"),
        ("gre", "type gre external"),
        ("ip6gre", "type ip6gre external"),
        ("ipvlan", "link up0 type ipvlan"),
        ("vlan", "link up0 type vlan id 30"),
    ] {
        let mut of_kind = told.iter().filter(|one| one["check"] == "features");
        let found = of_kind.find(|one| one["subject"] == kind);
        let found = found.unwrap_or_else(|| panic!("nothing of {kind}: {told:#?}"));
        let says = if has(&cluster, device) {
            "has it"
        } else {
            "has none"
        };
        let finding = found["finding"].as_str().unwrap();
        assert!(finding.contains(says), "{kind}: {finding}");
    }
}

#[test]
fn all_of_them_on_a_kernel_that_has_everything() {
    machine::others_on_full_kernel("all_of_them_on_a_kernel_that_has_everything", 9);
}

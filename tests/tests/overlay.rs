//! One segment over many hosts: networks of driver `overlay`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use serde_json::json;
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape};

/// Two networks with the same addresses, and one without a way out.
const NETWORKS: &str = "
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue}
spec: {cidr: 10.5.0.0/24, space: blue, blockSize: 28, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue6}
spec: {cidr: 'fd05::/64', space: blue}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: red}
spec: {cidr: 10.5.0.0/24, space: red}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: blue}
spec: {driver: overlay, transport: {type: vxlan}, pools: [blue, blue6]}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: red}
spec: {driver: overlay, transport: {type: vxlan}, pools: [red], internal: true}
";

/// A container with an address of its choice.
fn with_address(cluster: &Cluster, host: &str, name: &str, network: &str, address: &str) {
    let mut config = Lab::config(network);
    config["runtimeConfig"] = json!({"ips": [address]});
    assert_eq!(cluster.container_with(host, name, &config), [address]);
}

#[test]
fn segments_of_the_same_addresses_never_meet() {
    let cluster = Cluster::up("overlay", &Shape::hosts(3));
    cluster.apply("a", NETWORKS);
    let blue: Vec<_> = ["a", "b", "c"]
        .map(|host| {
            (
                format!("{host}/blue"),
                cluster.container(host, "blue", "blue"),
            )
        })
        .into();
    cluster.all_reach_all(&blue);
    // Not a byte more than the underlay leaves.
    for address in &blue[1].1 {
        assert!(cluster.fits("a/blue", address, 1450));
        assert!(!cluster.fits("a/blue", address, 1451));
    }
    with_address(&cluster, "a", "red1", "red", "10.5.0.100");
    with_address(&cluster, "b", "red2", "red", "10.5.0.101");
    assert!(cluster.pings("a/red1", "10.5.0.101"));
    assert!(
        !cluster.pings("a/blue", "10.5.0.101"),
        "red is reached from blue"
    );
    assert!(
        !cluster.pings("a/red1", &blue[1].1[0]),
        "blue is reached from red"
    );
}

/// As `blue`, with a way out and the same addresses.
const GREEN: &str = "
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: green}
spec: {cidr: 10.5.0.0/24, space: green, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: green}
spec: {driver: overlay, transport: {type: vxlan}, pools: [green], gateway: [10.5.0.254]}
";

#[test]
fn the_gateway_is_the_same_everywhere() {
    let cluster = Cluster::up("egress", &Shape::hosts(2));
    cluster.apply("a", NETWORKS);
    cluster.apply("a", GREEN);
    let server = cluster.lab.address("b").unwrap().to_string();
    for host in ["a", "b"] {
        let name = |network: &str| format!("{network}-{host}");
        let own = if host == "a" {
            "10.5.0.10"
        } else {
            "10.5.0.11"
        };
        with_address(&cluster, host, &name("green"), "green", own);
        let mut config = Lab::config("blue");
        config["runtimeConfig"] = json!({"ips": [own]});
        let blue = cluster.container_with(host, &name("blue"), &config);
        assert_eq!(blue[0], own);
        with_address(&cluster, host, &name("red"), "red", own);
        for (network, gateway) in [("blue", "10.5.0.1"), ("green", "10.5.0.254")] {
            let from = format!("{host}/{}", name(network));
            assert!(cluster.pings(&from, gateway), "{from} to its gateway");
            assert!(cluster.pings(&from, &server), "{from} to the world");
        }
        assert!(
            !cluster.pings(&format!("{host}/{}", name("red")), &server),
            "red gets out"
        );
    }
    // Two containers of one address talk to one server from one port, at the same time.
    let echo = ["socat", "TCP4-LISTEN:7000,fork,reuseaddr", "EXEC:cat"];
    let _echo = cluster.lab.spawn("b", &echo).unwrap();
    let up = "until ss -lnt | grep -q ':7000 '; do :; done";
    let _ = cluster.sh("b", up);
    let said = std::thread::scope(|scope| {
        let talks = [("blue", "one"), ("green", "two")].map(|(network, word)| {
            let script = format!(
                "(echo {word}; read x; echo more; read x) | \
                 socat -t1 - TCP4:{server}:7000,sourceport=4000,reuseaddr"
            );
            let cluster = &cluster;
            scope.spawn(move || {
                let output = cluster.try_sh(&format!("a/{network}-a"), &script);
                String::from_utf8_lossy(&output.stdout)
                    .trim()
                    .replace('\n', " ")
            })
        });
        talks.map(|talk| talk.join().unwrap())
    });
    assert_eq!(said, ["one more", "two more"]);
}

/// What a container has heard of what was sent to all or to a group.
fn heard(cluster: &Cluster, place: &str, group: &str) -> String {
    let file = format!("/run/heard-{group}-{}", place.replace('/', "-"));
    cluster.sh(place, &format!("cat {file} 2>/dev/null || true"))
}

#[test]
fn frames_for_all_go_to_members_and_to_nobody_else() {
    let cluster = Cluster::up("flood", &Shape::hosts(3));
    cluster.apply("a", NETWORKS);
    for host in ["a", "b"] {
        let _ = cluster.container(host, "blue", "blue");
    }
    // Node c has a container, but of another network.
    let _ = cluster.container("c", "red", "red");
    let listeners = [
        ("UDP4-RECVFROM:6000,broadcast,fork", "all"),
        (
            "UDP4-RECVFROM:6001,ip-add-membership=239.1.2.3:eth0,fork",
            "group",
        ),
    ];
    let mut running = Vec::new();
    for (listen, name) in listeners {
        for place in ["b/blue", "c/red"] {
            let file = format!("/run/heard-{name}-{}", place.replace('/', "-"));
            let write = format!("SYSTEM:cat >> {file}");
            running.push(
                cluster
                    .lab
                    .spawn(place, &["socat", listen, &write])
                    .unwrap(),
            );
        }
    }
    for place in ["b/blue", "c/red"] {
        let _ = cluster.sh(
            place,
            "until [ $(ss -lnu | grep -c ':600[01] ') = 2 ]; do :; done",
        );
    }
    let capture = ["tcpdump", "-nni", "any", "-l", "udp port 4789"];
    let strangers = cluster.lab.spawn("c", &capture).unwrap();
    let _ = cluster.sh(
        "c",
        "until [ -n \"$(cat /proc/net/packet | tail -n +2)\" ]; do :; done",
    );
    let sends = "echo hello | socat -u - UDP4-DATAGRAM:10.5.0.255:6000,broadcast; \
                 echo hello | socat -u - UDP4-DATAGRAM:239.1.2.3:6001,ip-multicast-if=$(hostname -I | cut -d' ' -f1); \
                 ping -c3 -i0.2 -b 10.5.0.255 >/dev/null 2>&1; true";
    let _ = cluster.sh("a/blue", sends);
    for name in ["all", "group"] {
        cluster.until(&format!("{name} is heard"), || {
            heard(&cluster, "b/blue", name)
                .contains("hello")
                .then_some(())
        });
        assert_eq!(
            heard(&cluster, "c/red", name),
            "",
            "{name} is heard in another network"
        );
    }
    let seen = strangers.stop(nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(
        !seen.contains("VXLAN"),
        "frames for all went to a host without members: {seen}"
    );
    drop(running);
}

#[test]
fn an_address_that_moves_is_right_everywhere() {
    let cluster = Cluster::up("moves", &Shape::hosts(3));
    cluster.apply("a", NETWORKS);
    let _ = cluster.container("c", "watcher", "blue");
    let mut macs = std::collections::BTreeSet::new();
    let mut config = Lab::config("blue");
    config["runtimeConfig"] = json!({"ips": ["10.5.0.77"]});
    for round in 0..4 {
        let host = ["a", "b"][round % 2];
        let name = format!("m{round}");
        assert_eq!(cluster.container_with(host, &name, &config)[0], "10.5.0.77");
        macs.insert(cluster.sh(
            &format!("{host}/{name}"),
            "ip -o link show eth0 | sed 's/.*ether //'",
        ));
        let begun = std::time::Instant::now();
        cluster.until("the address answers", || {
            cluster.pings("c/watcher", "10.5.0.77").then_some(())
        });
        assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
        cluster.lab.detach(host, &name, &config).unwrap();
        cluster.until("nobody answers", || {
            (!cluster.pings("c/watcher", "10.5.0.77")).then_some(())
        });
    }
    assert_eq!(
        macs.len(),
        4,
        "link-layer addresses are given anew: {macs:?}"
    );
}

#[test]
fn segments_that_cannot_be_are_refused() {
    let cluster = Cluster::up("badseg", &Shape::hosts(1));
    cluster.apply("a", NETWORKS);
    let network = |name: &str, rest: &str| {
        format!(
            "{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: {name}}}, spec: {{driver: overlay, {rest}}}}}"
        )
    };
    let pool = |name: &str, cidr: &str| {
        format!(
            "{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: {name}}}, spec: {{cidr: {cidr}, space: {name}, blockSize: 30}}}}"
        )
    };
    cluster.apply("a", &pool("x", "10.6.0.0/30"));
    let vni =
        cluster.json("a", &["get", "networks", "blue", "-o", "json"])["spec"]["transport"]["vni"]
            .clone();
    assert!(vni.as_u64().is_some_and(|vni| vni >= 1 << 16), "{vni}");
    for (text, why) in [
        (network("x", &format!("transport: {{type: vxlan, vni: {vni}}}, pools: [x]")), "is the VNI of network blue already"),
        (network("x", "transport: {type: direct}, pools: [x]"), "carries packets and no frames"),
        (network("x", "transport: {type: vxlan, crossSubnet: true}, pools: [x]"), "always travel by the transport"),
        (network("x", "transport: {type: vxlan}, pools: [x], gateway: [10.7.0.1]"), "lies in none of the network's pools"),
        (network("x", "transport: {type: vxlan}, pools: [x, blue]"), "belongs to network blue already"),
        (network("x", "transport: {type: vxlan}"), "needs addresses"),
        (format!(
                "{}\n---\n{}",
                pool("y", "192.168.50.0/24"),
                network("y", "transport: {type: vxlan}, pools: [y]")
            ), "by which node a is reached"),
        ("{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: r}, spec: {driver: routed, transport: {type: direct}, pools: [x]}}".to_owned(), "its addresses are of space x"),
    ] {
        let error = cluster.try_apply("a", &text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
    cluster.apply("a", &network("x", "transport: {type: vxlan}, pools: [x]"));
    let only = cluster.container("a", "c1", "x");
    assert_eq!(only, ["10.6.0.2"], "the others are the network's own");
    cluster.lab.container("a", "c2").unwrap();
    let error = cluster
        .lab
        .attach("a", "c2", &Lab::config("x"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("1 in use"), "{error}");
    let mut config = Lab::config("x");
    config["runtimeConfig"] = json!({"ips": ["10.6.0.1"]});
    let error = cluster
        .lab
        .attach("a", "c2", &config)
        .unwrap_err()
        .to_string();
    assert!(error.contains("10.6.0.1 is the network x's own"), "{error}");
    cluster.lab.detach("a", "c1", &Lab::config("x")).unwrap();
    let left = cluster.sh(
        "a",
        "ip -o link | grep -c ' tbg' ; ls /run/netns | grep -c tbn; ip rule | grep -c fwmark; true",
    );
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["0", "0", "0"]);
}

//! Networks whose packets go through the tunnel in user space: through routers, from behind address
//! translations, over ways that carry less than they seem to, while everything about them is replaced.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::json;
use tombolo_lab::{Running, Topology};
use tombolo_tests::traffic::Traffic;
use tombolo_tests::{Cluster, Shape};

fn network(words: &str) -> String {
    format!(
        "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: default}}\nspec:\n  driver: routed\n  {words}\n  pools: [default-v4, default-v6]\n"
    )
}

const UDP: &str = "transport: {type: udp}";

/// A cluster with a container on each host.
fn cluster(name: &str, shape: &Shape, words: &str) -> (Cluster, Vec<(String, Vec<String>)>) {
    let cluster = Cluster::up(name, shape);
    cluster.apply("a", &network(words));
    cluster.settle();
    let mut containers = Vec::new();
    for host in cluster.lab.hosts() {
        let addresses = cluster.container(host, "c1", "default");
        containers.push((format!("{host}/c1"), addresses));
    }
    (cluster, containers)
}

/// What `tombolo status` says of the tunnel to the first other node.
fn peer(cluster: &Cluster, host: &str) -> serde_json::Value {
    cluster.status(host)["tunnel"]["peers"][0].clone()
}

/// Waits until packets of exactly that size get from one container to another.
fn until_fits(cluster: &Cluster, from: &str, to: &[String], mtu: u32) {
    for address in to {
        cluster.until(
            &format!("{mtu} bytes get to {address}, and not more"),
            || {
                let fits =
                    cluster.fits(from, address, mtu) && !cluster.fits(from, address, mtu + 1);
                fits.then_some(())
            },
        );
    }
}

fn reach(name: &str, shape: &Shape, words: &str, mtu: u32) {
    let (cluster, containers) = cluster(name, shape, words);
    cluster.until_all_reach_all(&containers);
    for address in &containers[1].1 {
        assert!(
            cluster.pings("a", address),
            "host a does not reach {address}"
        );
    }
    until_fits(&cluster, &containers[0].0, &containers[1].1, mtu);
    let status = cluster.until("every node answers", || {
        let status = cluster.status("a");
        let all = status["tunnel"]["peers"].as_array()?;
        all.iter()
            .all(|peer| peer["up"] == json!(true))
            .then_some(status)
    });
    assert_eq!(status["problems"], json!([]));
    let words = status["tunnel"]["peers"][0]["words"].as_str().unwrap();
    assert!(
        words.contains("round trip") && words.contains("up for"),
        "{words}"
    );
}

#[test]
fn packets_through_user_space_on_three_hosts_with_a_router() {
    let shape = Shape::hosts(3).topology(Topology::Subnets);
    reach("udp", &shape, UDP, 1464);
}

#[test]
fn packets_through_user_space_over_ipv6() {
    let words = "underlay: ipv6\n  transport: {type: udp, port: 5000}";
    reach("udp6", &Shape::hosts(2), words, 1444);
}

#[test]
fn the_tunnel_comes_and_goes_without_loss() {
    let cluster = Cluster::up("udpswap", &Shape::hosts(2));
    let traffic = Traffic::begin(&cluster);
    for (words, device) in [
        ("udp", "tbu"),
        ("direct", "eth0"),
        ("udp", "tbu"),
        ("vxlan", "tbx"),
    ] {
        cluster.apply("a", &network(&format!("transport: {{type: {words}}}")));
        cluster.until(&format!("packets go by {words}"), || {
            let by = |host| {
                let routes = cluster.sh(host, "ip route show proto 84; ip -6 route show proto 84");
                let others = routes
                    .lines()
                    .filter(|line| line.contains("/26") || line.contains("/122"));
                let mut others = others.filter(|line| !line.contains("blackhole"));
                others.all(|line| line.contains(&format!("dev {device}")))
            };
            (by("a") && by("b")).then_some(())
        });
        cluster.settle();
    }
    traffic.end_without_loss("the transport was changed four times");
    cluster.until("nothing is left of the tunnel", || {
        let links = cluster.sh("a", "ip -o link") + &cluster.sh("b", "ip -o link");
        (!links.contains("tbu") && cluster.status("a")["tunnel"].is_null()).then_some(())
    });
}

#[test]
fn a_device_that_somebody_deletes_is_back_and_used() {
    let (cluster, containers) = cluster("udpdrift", &Shape::hosts(2), UDP);
    cluster.until_all_reach_all(&containers);
    let device = cluster.sh("b", "ip -o link show type tun | cut -d: -f2");
    let _ = cluster.sh("b", &format!("ip link del {}", device.trim()));
    cluster.until("packets get through again", || {
        cluster.pings("a/c1", &containers[1].1[0]).then_some(())
    });
    cluster.until_all_reach_all(&containers);
}

/// Starts a tunnel beside a host's agent, and waits until it is used.
fn beside(cluster: &Cluster, host: &str) -> Running {
    let before = cluster.status(host)["tunnel"]["process"].clone();
    let process = cluster.lab.spawn(host, &["tombolo", "tunnel"]).unwrap();
    cluster.until("the agent uses the tunnel beside it", || {
        let now = cluster.status(host)["tunnel"]["process"].clone();
        (now.is_u64() && now != before).then_some(())
    });
    process
}

/// Somebody asks a tunnel for all that it has and goes without it; somebody else talks rubbish.
fn half_a_takeover(cluster: &Cluster, host: &str) {
    let socket = cluster.file(host, "/run/tombolo/tunnel.sock");
    for line in ["\"handOver\"\n", "rubbish\n"] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        let mut first = [0; 1];
        let _ = stream.read(&mut first).unwrap();
    }
}

#[test]
fn agents_and_tunnels_are_replaced_without_a_lost_packet() {
    let (cluster, containers) = cluster("udpswaps", &Shape::hosts(2), UDP);
    let mut first = Vec::new();
    for host in ["a", "b"] {
        first.push(beside(&cluster, host));
    }
    cluster.until_all_reach_all(&containers);
    let ends = |at: usize| (containers[at].0.as_str(), containers[at].1.as_slice());
    let traffic = Traffic::between(&cluster, ends(0), ends(1));
    for host in ["b", "a"] {
        cluster.lab.kill_agent(host).expect("the agent is killed");
        cluster.lab.start_agent(host, &[]).expect("it starts again");
        cluster.settle();
    }
    half_a_takeover(&cluster, "a");
    let mut second = Vec::new();
    for host in ["b", "a"] {
        second.push(beside(&cluster, host));
    }
    // Those that were replaced have ended by themselves.
    for replaced in first {
        assert!(replaced.wait().unwrap().success());
    }
    cluster.settle();
    traffic.end_without_loss("agents and tunnels were replaced");
}

/// Puts host b behind the router's address, by a port of its own, and closes the other direction.
fn translate(cluster: &Cluster, port: u16) {
    let rules = format!(
        "table ip away {{
           chain out {{ type nat hook postrouting priority 100;
             ip saddr 192.168.51.0/24 udp sport 4799 masquerade to :{port}
             ip saddr 192.168.51.0/24 masquerade
           }}
           chain through {{ type filter hook forward priority 0;
             ip daddr 192.168.51.0/24 ct state new drop
           }}
         }}"
    );
    let script = format!("nft delete table ip away 2>/dev/null; nft -f - <<'END'\n{rules}\nEND");
    let _ = cluster.sh(".", &script);
}

#[test]
fn a_node_behind_a_translation_is_reached_and_found_again() {
    let shape = Shape::hosts(2).topology(Topology::Subnets);
    let cluster = Cluster::up("udpnat", &shape);
    translate(&cluster, 50001);
    cluster.apply("a", &network(UDP));
    cluster.settle();
    let mut containers = Vec::new();
    for host in ["a", "b"] {
        containers.push((
            format!("{host}/c1"),
            cluster.container(host, "c1", "default"),
        ));
    }
    cluster.until_all_reach_all(&containers);
    let seen = peer(&cluster, "a");
    assert_eq!(seen["behindNat"], json!(true), "{seen}");
    assert_eq!(seen["endpoint"], json!("192.168.50.1:50001"), "{seen}");
    let own = cluster.until("b knows of it", || {
        let own = peer(&cluster, "b");
        own["seenAs"].is_string().then_some(own)
    });
    assert_eq!(own["seenAs"], json!("192.168.50.1:50001"), "{own}");
    // The router forgets quickly, and then chooses another port.
    let _ = cluster.sh(
        ".",
        "echo 1 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout; \
         echo 1 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
    );
    translate(&cluster, 50002);
    cluster.until("the other mapping is known", || {
        (peer(&cluster, "a")["endpoint"] == json!("192.168.50.1:50002")).then_some(())
    });
    let _ = cluster.sh(
        ".",
        "echo 60 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout; \
         echo 120 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream",
    );
    cluster.until_all_reach_all(&containers);
}

/// Waits until the tunnel has found out what passes, while it is used, and the routes say so.
fn until_found(cluster: &Cluster, there: &str, mtu: u32) {
    cluster.until(&format!("the routes to b carry {mtu} bytes"), || {
        let _ = cluster.pings("a", there);
        let routes = cluster.sh("a", "ip route show proto 84; ip -6 route show proto 84");
        (routes.matches(&format!("mtu {mtu} ")).count() == 2).then_some(())
    });
}

#[test]
fn what_the_way_carries_is_found_out() {
    let shape = Shape::hosts(2).topology(Topology::Subnets);
    let (cluster, containers) = cluster("udpmtu", &shape, UDP);
    let (from, to) = (&containers[0].0, &containers[1].1);
    until_fits(&cluster, from, to, 1464);
    // A router whose next link takes less, and says so to nobody who listens.
    let _ = cluster.sh(".", "ip link set sw1 mtu 1400");
    until_found(&cluster, &to[0], 1364);
    until_fits(&cluster, from, to, 1364);
    // A way that swallows large packets without a word.
    let _ = cluster.sh(
        ".",
        "nft add table ip hole; \
         nft add chain ip hole f '{ type filter hook forward priority 0; }'; \
         nft add rule ip hole f ip daddr 192.168.51.0/24 ip length gt 1340 drop",
    );
    until_found(&cluster, &to[0], 1304);
    until_fits(&cluster, from, to, 1304);
    let words = peer(&cluster, "a")["words"].to_string();
    assert!(words.contains("packets up to 1304 bytes"), "{words}");
    // And comes back.
    let _ = cluster.sh(".", "nft delete table ip hole");
    assert_eq!(cluster.status("a")["problems"], json!([]));
}

#[test]
fn both_hosts_are_seen_on_the_way() {
    let (cluster, containers) = cluster("udphops", &Shape::hosts(2), UDP);
    cluster.until_all_reach_all(&containers);
    let address = &containers[1].1[0];
    let mut hops = Vec::new();
    for hop in 1..=3 {
        let script = format!("ping -n -c1 -W2 -t{hop} {address}");
        let told = cluster.try_sh("a/c1", &script);
        hops.push(String::from_utf8_lossy(&told.stdout).into_owned());
    }
    assert!(hops[0].contains("Time to live exceeded"), "{hops:?}");
    assert!(hops[1].contains("Time to live exceeded"), "{hops:?}");
    assert!(hops[2].contains("1 received"), "{hops:?}");
    let first = |told: &str| {
        told.lines()
            .find(|line| line.starts_with("From"))
            .map(str::to_owned)
    };
    assert_ne!(first(&hops[0]), first(&hops[1]), "{hops:?}");
}

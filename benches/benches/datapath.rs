//! What a packet pays: TCP throughput and round trips between containers on two hosts, over
//! `direct` and `vxlan`, ours beside the same built by hand with ip(8), and both as a share of
//! what the bare hosts do. Round trips are those of UDP datagrams between two waiting processes.
//!
//! Two labs of two hosts, each pair on a switch of its own: one is a cluster with its agents and all
//! that they put into the kernel, the other knows nothing of us, and gives the bare figures as well.
//! What is wrong with a packet (a checksum, a header, a fragment) is counted in every namespace
//! that takes part, and one such packet fails the run.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tombolo_benches::path::{Path, Question, Seen, answer};
use tombolo_benches::{Figure, Goal, Report, interleave, serve};
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape, lab};

const ROUNDS: usize = 15;

/// Counters of the kernel that grow when a packet is wrong (RFC 4293, RFC 4022, RFC 4113 and
/// Linux's own of TCP and UDP).
const FAULTS: [(&str, &str); 10] = [
    ("Ip:", "InHdrErrors"),
    ("Ip:", "FragCreates"),
    ("Ip:", "FragFails"),
    ("Ip:", "ReasmReqds"),
    ("Tcp:", "InErrs"),
    ("Tcp:", "InCsumErrors"),
    ("Udp:", "InErrors"),
    ("Udp:", "InCsumErrors"),
    ("Icmp:", "InCsumErrors"),
    ("IpExt:", "InCsumErrors"),
];

const NETWORKS: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: direct-v4}
spec: {cidr: 10.245.0.0/16, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: direct}
spec: {driver: routed, transport: {type: direct}, pools: [direct-v4]}
";

/// By hand, on one host: a container of each kind, the way to those of the other host, and
/// masquerading for what leaves, as ours has it: tracking connections is part of the price.
const BY_HAND: &str = r#"
set -e
me=$1 peer=$2 address=$3 other=$4
sysctl -qw net.ipv4.ip_forward=1
container() { # NAME SUBNET MTU
    ip netns add $1
    ip link add v$1 mtu $3 type veth peer name eth0 mtu $3 netns $1
    ip addr add $2.1/24 dev v$1
    ip link set v$1 up
    ip -n $1 link set lo up
    ip -n $1 addr add $2.2/24 dev eth0
    ip -n $1 link set eth0 up
    ip -n $1 route add default via $2.1
}
container direct 10.91.$me 1500
ip route add 10.91.$peer.0/24 via $other
ip link add vx0 address 02:00:00:00:00:0$me mtu 1450 type vxlan id 91 dstport 4789 local $address dev eth0 nolearning
ip addr add 10.93.0.$me/32 dev vx0
ip link set vx0 up
container vxlan 10.92.$me 1450
bridge fdb append 02:00:00:00:00:0$peer dev vx0 dst $other
ip neigh replace 10.93.0.$peer lladdr 02:00:00:00:00:0$peer dev vx0 nud permanent
ip route add 10.92.$peer.0/24 via 10.93.0.$peer dev vx0 onlink
nft add table ip by-hand
nft add chain ip by-hand out '{ type nat hook postrouting priority srcnat; }'
nft add rule ip by-hand out ip saddr 10.91.0.0-10.92.255.255 ip daddr != 10.91.0.0-10.93.255.255 masquerade
"#;

/// The sum of all counters of wrong packets in the namespaces of ours.
fn faults(lab: &Lab) -> Result<u64> {
    let mut sum = 0;
    for place in ["a", "b", "a/d1", "b/d1", "a/v1", "b/v1"] {
        let text = lab.output(place, &["cat", "/proc/net/snmp", "/proc/net/netstat"])?;
        for (table, counter) in FAULTS {
            sum += read(&text, table, counter)
                .with_context(|| format!("{place} has no counter {table} {counter}"))?;
        }
    }
    Ok(sum)
}

/// A counter of `/proc/net/snmp`: a line of names, and below it one of numbers.
fn read(text: &str, table: &str, counter: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let names = lines.next()?.split_ascii_whitespace();
    let values = lines.next()?.split_ascii_whitespace();
    names
        .zip(values)
        .find(|(name, _)| *name == counter)?
        .1
        .parse()
        .ok()
}

/// Ours: a container on each host for each network.
fn ours(cluster: &Cluster) -> Result<[Path<'_>; 2]> {
    cluster.apply("a", NETWORKS);
    let path = |network: &str, name: &str| {
        let _ = cluster.container("a", name, network);
        let there = cluster.container("b", name, network);
        cluster.settle();
        let address = there.first().context("the container has no address")?;
        Path::new(&cluster.lab, &format!("/{name}"), address.parse()?)
    };
    Ok([path("direct", "d1")?, path("default", "v1")?])
}

/// The other lab: bare, and by hand.
fn by_hand(lab: &Lab) -> Result<[Path<'_>; 3]> {
    let (a, b) = (lab.address("a")?.to_string(), lab.address("b")?.to_string());
    for (host, words) in [("a", ["1", "2", &a, &b]), ("b", ["2", "1", &b, &a])] {
        let mut argv = vec!["sh", "-c", BY_HAND, "by-hand"];
        argv.extend(words);
        lab.output(host, &argv)?;
    }
    Ok([
        Path::new(lab, "", lab.address("b")?)?,
        Path::new(lab, "/direct", "10.91.2.2".parse()?)?,
        Path::new(lab, "/vxlan", "10.92.2.2".parse()?)?,
    ])
}

/// Adds what was seen of one transport: ours beside the hand-built, and each as a share of the bare.
fn tell(report: &mut Report, transport: &str, [ours, hand, bare]: [&[Seen]; 3]) {
    type Of = fn(&Seen) -> f64;
    // As good as by hand, with room for the spread of such measurements.
    let rows: [(&str, &'static str, Of, Goal); 2] = [
        (
            "throughput",
            "Gbit/s",
            |s| s.gigabits,
            Goal::RatioAtLeast(0.95),
        ),
        (
            "round trip",
            "us",
            |s| s.microseconds,
            Goal::RatioAtMost(1.1),
        ),
    ];
    for (what, unit, of, goal) in rows {
        let all = |seen: &[Seen]| seen.iter().map(of).collect::<Vec<f64>>();
        let (ours, hand, bare) = (all(ours), all(hand), all(bare));
        let case = format!("{what}, {transport}");
        report.add(Figure::beside(&case, unit, &ours, ("ip(8)", &hand)).goal(goal));
        report.add(Figure::beside(&case, unit, &ours, ("bare hosts", &bare)));
        let case = format!("{what}, {transport} by ip(8)");
        report.add(Figure::beside(case, unit, &hand, ("bare hosts", &bare)));
    }
}

fn main() -> Result<ExitCode> {
    if let Some(code) = serve(|question: Question| answer(&question)) {
        return Ok(code);
    }
    let shape = Shape::hosts(2);
    let cluster = Cluster::up(
        "bench-path",
        &shape.clone().init(&["--pool", "10.244.0.0/16"]),
    );
    let plain = lab("bench-hand", &shape);
    let [mut direct, mut vxlan] = ours(&cluster)?;
    let [mut bare, mut hand_direct, mut hand_vxlan] = by_hand(&plain)?;
    for path in [
        &mut bare,
        &mut direct,
        &mut hand_direct,
        &mut vxlan,
        &mut hand_vxlan,
    ] {
        // The first packets of a way make its neighbours and its state.
        path.measure()?;
    }
    let before = faults(&cluster.lab)?;
    let [b, d, hd, v, hv] = interleave(
        ROUNDS,
        [
            &mut || bare.measure(),
            &mut || direct.measure(),
            &mut || hand_direct.measure(),
            &mut || vxlan.measure(),
            &mut || hand_vxlan.measure(),
        ],
    )?;
    let wrong = faults(&cluster.lab)? - before;
    let mut report = Report::new("datapath");
    tell(&mut report, "direct", [&d, &hd, &b]);
    tell(&mut report, "vxlan", [&v, &hv, &b]);
    #[expect(clippy::cast_precision_loss, reason = "it is to be none")]
    report.add(Figure::alone("wrong packets", "packets", &[wrong as f64]).goal(Goal::AtMost(0.0)));
    report.finish()?;
    if wrong > 0 {
        bail!("{wrong} packets were wrong: checksum, header or fragments");
    }
    Ok(ExitCode::SUCCESS)
}

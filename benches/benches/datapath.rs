//! What a packet pays: TCP throughput and round trips between containers on two hosts, over
//! `direct` and `vxlan`, ours beside the same built by hand with ip(8), and both as a share of
//! what the bare hosts do.
//!
//! Two labs of two hosts, each pair on a switch of its own: one is a cluster with its agents and all
//! that they put into the kernel, the other knows nothing of us, and gives the bare figures as well.
//! What is wrong with a packet (a checksum, a header, a fragment) is counted in every namespace
//! that takes part, and one such packet fails the run.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use tombolo_bench::{Figure, Goal, Report, interleave};
use tombolo_lab::{Lab, measure};
use tombolo_tests::{Cluster, Shape, lab};

const ROUNDS: usize = 15;
/// How long one TCP connection sends, in milliseconds.
const SEND: u32 = 800;
/// Round trips of one measurement.
const PINGS: u32 = 400;

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

/// By hand, on one host: a container of each kind, and the way to those of the other host.
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
"#;

/// A way from one place to another.
struct Path<'a> {
    lab: &'a Lab,
    from: String,
    to: String,
    address: IpAddr,
}

/// What was measured on it once.
#[derive(Clone, Copy)]
struct Seen {
    gigabits: f64,
    microseconds: f64,
}

impl Path<'_> {
    fn measure(&self) -> Result<Seen> {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let bits = measure::throughput(self.lab, from, to, self.address, SEND)?;
        let ping = measure::ping(self.lab, from, self.address, PINGS)?;
        ensure!(
            ping.received == ping.sent,
            "{} of {} packets were lost from {from} to {to}",
            ping.sent - ping.received,
            ping.sent
        );
        let microseconds = ping.median_us.context("a ping without answers")?;
        Ok(Seen {
            gigabits: bits / 1e9,
            microseconds,
        })
    }

    /// The sum of all counters of wrong packets, at both ends.
    fn faults(&self) -> Result<u64> {
        let mut sum = 0;
        for place in [self.from.as_str(), self.to.as_str()] {
            let text = self
                .lab
                .output(place, &["cat", "/proc/net/snmp", "/proc/net/netstat"])?;
            for (table, counter) in FAULTS {
                sum += read(&text, table, counter)
                    .with_context(|| format!("{place} has no counter {table} {counter}"))?;
            }
        }
        Ok(sum)
    }
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
        let address = there.first().context("the container has no address")?;
        Ok::<_, anyhow::Error>(Path {
            lab: &cluster.lab,
            from: format!("a/{name}"),
            to: format!("b/{name}"),
            address: address.parse()?,
        })
    };
    let paths = [path("direct", "d1")?, path("default", "v1")?];
    cluster.settle();
    Ok(paths)
}

/// The other lab: bare, and by hand.
fn by_hand(lab: &Lab) -> Result<[Path<'_>; 3]> {
    let (a, b) = (lab.address("a")?.to_string(), lab.address("b")?.to_string());
    for (host, words) in [("a", ["1", "2", &a, &b]), ("b", ["2", "1", &b, &a])] {
        let mut argv = vec!["sh", "-c", BY_HAND, "by-hand"];
        argv.extend(words);
        lab.output(host, &argv)?;
    }
    let path = |inside: &str, address: IpAddr| Path {
        lab,
        from: format!("a{inside}"),
        to: format!("b{inside}"),
        address,
    };
    Ok([
        path("", lab.address("b")?),
        path("/direct", "10.91.2.2".parse()?),
        path("/vxlan", "10.92.2.2".parse()?),
    ])
}

/// Adds what was seen of one transport, beside the hand-built and the bare.
fn tell(report: &mut Report, transport: &str, [ours, hand, bare]: [&[Seen]; 3]) {
    let fast = |seen: &[Seen]| seen.iter().map(|s| s.gigabits).collect::<Vec<_>>();
    let late = |seen: &[Seen]| seen.iter().map(|s| s.microseconds).collect::<Vec<_>>();
    let rows = [
        ("throughput", "Gbit/s", fast as fn(&[Seen]) -> Vec<f64>),
        ("round trip", "us", late),
    ];
    for (what, unit, of) in rows {
        // As good as by hand, with room for the spread of such measurements.
        let goal = if unit == "us" {
            Goal::RatioAtMost(1.05)
        } else {
            Goal::RatioAtLeast(0.95)
        };
        let case = format!("{what}, {transport}");
        let beside = ("ip(8)", &of(hand)[..]);
        report.add(Figure::beside(&case, unit, &of(ours), beside).goal(goal));
        report.add(Figure::beside(
            &case,
            unit,
            &of(ours),
            ("bare hosts", &of(bare)),
        ));
    }
}

fn main() -> Result<()> {
    let cluster = Cluster::up(
        "bench-path",
        &Shape::hosts(2).init(&["--pool", "10.244.0.0/16"]),
    );
    let plain = lab("bench-hand", &Shape::hosts(2));
    let [direct, vxlan] = ours(&cluster)?;
    let [bare, hand_direct, hand_vxlan] = by_hand(&plain)?;
    let ends = |path: &str| Path {
        lab: &cluster.lab,
        from: format!("a{path}"),
        to: format!("b{path}"),
        address: direct.address,
    };
    let counted = [ends(""), ends("/d1"), ends("/v1")];
    let faults = || counted.iter().map(Path::faults).sum::<Result<u64>>();
    for path in [&bare, &direct, &hand_direct, &vxlan, &hand_vxlan] {
        // The first packets of a way make its neighbours and its state.
        path.measure()?;
    }
    let before = faults()?;
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
    let wrong = faults()? - before;
    let mut report = Report::new("datapath");
    tell(&mut report, "direct", [&d, &hd, &b]);
    tell(&mut report, "vxlan", [&v, &hv, &b]);
    for (transport, hand) in [("direct", &hd), ("vxlan", &hv)] {
        let of = |seen: &[Seen]| seen.iter().map(|s| s.gigabits).collect::<Vec<_>>();
        let case = format!("throughput by hand, {transport}");
        report.add(Figure::beside(
            case,
            "Gbit/s",
            &of(hand),
            ("bare hosts", &of(&b)),
        ));
    }
    #[expect(clippy::cast_precision_loss, reason = "it is to be none")]
    report.add(Figure::alone("wrong packets", "packets", &[wrong as f64]).goal(Goal::AtMost(0.0)));
    report.finish()?;
    ensure!(
        wrong == 0,
        "{wrong} packets were wrong: checksum, header or fragments"
    );
    Ok(())
}

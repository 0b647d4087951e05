//! Nodes that speak BGP with each other: how soon a container that moves is followed, how soon a node that
//! is lost is noticed, and what a packet pays for a way without a tunnel.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tombolo_benches::path::{Path, Question, Seen};
use tombolo_benches::{Figure, Goal, Inside, Report, interleave};
use tombolo_tests::{Cluster, Shape, lab};

const NODES: usize = 20;
const MOVES: usize = 15;
const LOSSES: usize = 5;
const ROUNDS: usize = 15;
/// What none of this takes when it works.
const LIMIT: Duration = Duration::from_secs(30);

const NETWORK: &str = "apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, transport: {type: bgp}, pools: [default-v4]}
---
apiVersion: tombolo.dev/v1
kind: BGPConfiguration
metadata: {name: default}
spec: {bfd: true}
";

/// Containers have addresses that routers know, so nothing is translated; there is no policy, and nothing is
/// tracked for the first one.
const PLAIN: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: default-v4}
spec: {cidr: 10.244.0.0/16, natOutgoing: false}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: direct-v4}
spec: {cidr: 10.245.0.0/16, natOutgoing: false}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: direct}
spec: {driver: routed, transport: {type: direct}, pools: [direct-v4], isolation: none, tracking: needed}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, transport: {type: bgp}, pools: [default-v4], isolation: none, tracking: needed}
---
apiVersion: tombolo.dev/v1
kind: BGPConfiguration
metadata: {name: default}
spec: {bfd: true}
";

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let shape = Shape::hosts(NODES).init(&["--pool", "10.244.0.0/16"]);
    let cluster = Cluster::up("bench-bgp-nodes", &shape);
    cluster.apply("a", NETWORK);
    standing(&cluster, NODES - 1)?;
    moved(&cluster, report)?;
    lost(&cluster, report)?;
    drop(cluster);
    paths(report)
}

/// Waits until all sessions of all nodes stand, and BFD watches over each.
fn standing(cluster: &Cluster, sessions: usize) -> Result<()> {
    let begun = Instant::now();
    for host in cluster.lab.hosts() {
        loop {
            let status = cluster.status(host);
            let all = status["bgp"]["sessions"].as_array();
            let ready = all
                .into_iter()
                .flatten()
                .filter(|session| session["state"] == "Established" && session["bfd"] == "Up");
            if ready.count() == sessions {
                break;
            }
            ensure!(
                begun.elapsed() < LIMIT,
                "the sessions of {host} do not stand: {status}"
            );
        }
    }
    Ok(())
}

/// A container with an address of its own moves from node to node: how long from the beginning of its
/// attachment until the last of all nodes reaches it?
fn moved(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let hosts = cluster.lab.hosts();
    let probes = hosts
        .iter()
        .map(|host| Inside::start(&cluster.lab, host.as_str()));
    let mut probes = probes.collect::<Result<Vec<Inside>>>()?;
    let (mut last, mut each) = (Vec::new(), Vec::new());
    let mut address = None;
    for turn in 0..MOVES {
        let (host, name) = (&hosts[turn * 7 % NODES], format!("m{turn}"));
        cluster.lab.container(host, &name)?;
        let begin = || attach(cluster, host, &name);
        let times = match &address {
            // The first time there is no address yet to wait for.
            None => {
                address = Some(begin()?);
                Vec::new()
            }
            Some(known) => {
                let question = Question::Answered(known.parse()?);
                thread::scope(|scope| {
                    let asked: Vec<_> = probes
                        .iter_mut()
                        .map(|probe| scope.spawn(|| probe.ask::<f64>(&question)))
                        .collect();
                    let now = begin()?;
                    ensure!(now == *known, "it had {known}, and has {now}");
                    let answers = asked.into_iter();
                    answers
                        .map(|asked| asked.join().expect("a probe does not panic"))
                        .collect()
                })?
            }
        };
        last.extend(times.iter().copied().reduce(f64::max));
        each.extend(times);
        cluster
            .lab
            .tombolo(host, &["detach", "--container", &name])?;
    }
    let case = format!("a container that moves, {NODES} nodes");
    report.add(
        Figure::alone(format!("{case}: until the last reaches it"), "ms", &last)
            .goal(Goal::AtMost(200.0)),
    );
    report.add(Figure::alone(
        format!("{case}: until one reaches it"),
        "ms",
        &each,
    ));
    Ok(())
}

/// Attaches a container as the one that moves, and answers its address.
fn attach(cluster: &Cluster, host: &str, name: &str) -> Result<String> {
    let addresses = cluster.attach_as(host, name, "bench/mover/eth0");
    addresses.into_iter().next().context("it got no address")
}

/// A node's wire is cut: how long until its peers send nothing there any more?
fn lost(cluster: &Cluster, report: &mut Report) -> Result<()> {
    let victim = cluster.lab.hosts().last().context("there are hosts")?;
    let address = cluster.lab.address(victim)?;
    let _ = cluster.container(victim, "c1", "default");
    let way = format!("via {address} ");
    let is_there = || cluster.sh("a", "ip route show proto 84").contains(&way);
    let mut times = Vec::new();
    for _ in 0..LOSSES {
        let begun = Instant::now();
        while !is_there() {
            ensure!(begun.elapsed() < LIMIT, "there is no way to {victim}");
        }
        cluster.lab.cut(victim)?;
        let begun = Instant::now();
        while is_there() {
            ensure!(
                begun.elapsed() < LIMIT,
                "that {victim} is lost is not noticed"
            );
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        cluster.lab.heal(victim)?;
        standing(cluster, NODES - 1)?;
    }
    report
        .add(Figure::alone("a node that is lost, by BFD", "ms", &times).goal(Goal::AtMost(1000.0)));
    Ok(())
}

/// What a packet pays, beside the bare hosts of another lab.
fn paths(report: &mut Report) -> Result<()> {
    let shape = Shape::hosts(2);
    let cluster = Cluster::up(
        "bench-bgp-path",
        &shape.clone().init(&["--pool", "10.244.0.0/16"]),
    );
    cluster.apply("a", PLAIN);
    standing(&cluster, 1)?;
    let bare = lab("bench-bgp-bare", &shape);
    let path = |network: &str| {
        let _ = cluster.container("a", network, network);
        let there = cluster.container("b", network, network);
        cluster.settle();
        let address = there.first().context("the container has no address")?;
        Path::new(&cluster.lab, &format!("/{network}"), address.parse()?)
    };
    let (mut bgp, mut direct) = (path("default")?, path("direct")?);
    let mut bare = Path::new(&bare, "", bare.address("b")?)?;
    for path in [&mut bgp, &mut direct, &mut bare] {
        // The first packets of a way make its neighbours and its state.
        path.measure()?;
    }
    let [bgp, direct, bare] = interleave(
        ROUNDS,
        [&mut || bgp.measure(), &mut || direct.measure(), &mut || {
            bare.measure()
        }],
    )?;
    for (transport, ours) in [("bgp", &bgp), ("direct", &direct)] {
        let both = |of: fn(&Seen) -> f64| {
            let all = |seen: &[Seen]| seen.iter().map(of).collect::<Vec<f64>>();
            (all(ours), all(&bare))
        };
        let (ours, hosts) = both(|seen| seen.gigabits);
        let figure = Figure::beside(
            format!("throughput, {transport}"),
            "Gbit/s",
            &ours,
            ("bare hosts", &hosts),
        );
        report.add(figure.goal(Goal::RatioAtLeast(0.92)));
        let (ours, hosts) = both(|seen| seen.microseconds);
        let figure = Figure::beside(
            format!("round trip, {transport}"),
            "us",
            &ours,
            ("bare hosts", &hosts),
        );
        report.add(figure.goal(Goal::RatioAtMost(1.15)));
    }
    Ok(())
}

//! A table that comes in from one peer and goes into the kernel: ours as a whole agent, which takes it through
//! World, plan and diff, beside BIRD 2. GoBGP needs a zebra for it, and 3.10 panics at what that of FRR 8.4 says.
//!
//! Each turn has a lab of its own. The time runs from the first octet of the table until the kernel's forwarding
//! table has so many prefixes more.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tombolo_benches::{Figure, Goal, Inside, Report, interleave, peak};
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, Shape, lab};

use crate::scene::Scene;
use crate::{Cost, PREFIXES, Question, ROUNDS, apart, daemon, prepare};

/// Nobody takes longer.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at the kernel's count, which walks over all of its table.
const AGAIN: Duration = Duration::from_millis(5);

/// The speaker's system is that of the scenes ([`crate::scene::OURS`]).
const NETWORK: &str = "apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: default}
spec: {driver: routed, transport: {type: bgp}, pools: [default-v4]}
---
apiVersion: tombolo.dev/v1
kind: BGPConfiguration
metadata: {name: default}
spec: {asNumber: 65000}
";

/// How many prefixes the kernel is to have, and since when.
#[derive(Debug, Serialize, Deserialize)]
pub struct Awaited {
    prefixes: u32,
    /// Milliseconds of the system's clock.
    since: f64,
}

pub fn measure(report: &mut Report) -> Result<()> {
    let [ours, bird] = interleave(ROUNDS, [&mut ours, &mut bird])?;
    let (ours, bird) = (apart(&ours), apart(&bird));
    let case = "100,000 prefixes into the kernel";
    let time = Figure::beside(case, "ms", &ours.0, ("BIRD", &bird.0));
    report.add(time.goal(Goal::RatioAtMost(1.2)));
    let memory = format!("{case}, peak memory");
    report.add(Figure::beside(memory, "MB", &ours.1, ("BIRD", &bird.1)));
    Ok(())
}

fn scene(lab: &Lab) -> Result<Scene> {
    let IpAddr::V4(speaker) = lab.address("a")? else {
        bail!("the lab's hosts have no IPv4 address");
    };
    prepare(lab, speaker)?;
    Ok(Scene::feed(speaker, PREFIXES))
}

fn ours() -> Result<Cost> {
    let cluster = Cluster::alone(lab("bench-bgp-ours", &Shape::hosts(2)));
    let scene = scene(&cluster.lab)?;
    let peers = scene.parts.iter().map(|part| {
        let (address, asn) = (part.address, part.asn);
        format!(
            "---\napiVersion: tombolo.dev/v1\nkind: BGPPeer\nmetadata: {{name: feeder}}\n\
             spec: {{peerIP: {address}, asNumber: {asn}}}\n"
        )
    });
    let peers: String = peers.collect();
    cluster.apply("a", &format!("{NETWORK}{peers}"));
    // The speaker ends sessions when its system changes, and the feeder tells only once.
    cluster.settle_some(&["a"]);
    installed(&cluster.lab, &scene, "tombolo")
}

fn bird() -> Result<Cost> {
    let lab = lab("bench-bgp-bird", &Shape::hosts(2));
    let scene = scene(&lab)?;
    let kernel = "protocol kernel { ipv4 { export all; }; }\n";
    let command = "exec bird -f -c $0 -s /run/bench/control";
    let _daemon = daemon(
        &lab,
        ("bird", command),
        &format!("{}{kernel}", scene.bird()),
    )?;
    installed(&lab, &scene, "bird")
}

/// Lets the peer tell, and waits until the kernel has it all.
fn installed(lab: &Lab, scene: &Scene, program: &str) -> Result<Cost> {
    let before = prefixes(&lab.output("a", &["cat", STATISTICS])?)?;
    let mut feeder = Inside::start(lab, "b")?;
    let mut kernel = Inside::start(lab, "a")?;
    let since: f64 = feeder.ask(&Question::Tell(scene.clone()))?;
    let milliseconds = kernel.ask(&Question::Installed(Awaited {
        prefixes: before + PREFIXES,
        since,
    }))?;
    let megabytes = peak(lab, "a", program)?;
    println!("{program}, into the kernel: {milliseconds:.0} ms, {megabytes:.1} MB");
    Ok(Cost {
        milliseconds,
        megabytes,
    })
}

/// The statistics of the kernel's forwarding table (`net/ipv4/fib_trie.c`).
const STATISTICS: &str = "/proc/net/fib_triestat";

/// Waits until the kernel has so many prefixes: how long since then, in milliseconds?
pub fn wait(awaited: &Awaited) -> Result<f64> {
    let begun = Instant::now();
    loop {
        let text = std::fs::read_to_string(STATISTICS).context("read the kernel's statistics")?;
        let present = prefixes(&text)?;
        if present >= awaited.prefixes {
            return Ok(now()? - awaited.since);
        }
        ensure!(
            begun.elapsed() < LIMIT,
            "the kernel has {present} of {} prefixes",
            awaited.prefixes
        );
        std::thread::sleep(AGAIN);
    }
}

fn prefixes(statistics: &str) -> Result<u32> {
    let mut counts = statistics
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Prefixes:"));
    let most = counts
        .by_ref()
        .filter_map(|count| count.trim().parse().ok());
    most.max().context("the kernel counts no prefixes")
}

/// Milliseconds of the system's clock, which processes share.
pub fn now() -> Result<f64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(since.context("read the clock")?.as_secs_f64() * 1000.0)
}

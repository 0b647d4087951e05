//! What a speaker costs: a table of 100,000 prefixes that goes in from one peer and out to ten, ours beside
//! BIRD 2 and GoBGP, in time and in memory at the peak. Then what a reflector of 500 nodes takes that all
//! come at once, and simulated nodes, at two reflectors and all with all. Then the table once more, into the
//! kernel (`install.rs`). Last, whole nodes (`nodes.rs`).
//!
//! The speaker runs on one host of a lab, all its peers on another: threads that tell and count. Nobody
//! puts routes into the kernel but where it is said. Each round has a fresh process for each speaker.

mod install;
mod load;
mod nodes;
mod scene;
mod simulated;

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tombolo_benches::{Figure, Goal, Inside, Report, interleave, path, peak, serve};
use tombolo_bgp::rib::NextHops;
use tombolo_lab::{Lab, Running};
use tombolo_speaker::{Handle, Options, start};
use tombolo_tests::{Shape, lab};

use scene::{Scene, peer};

const ROUNDS: usize = 3;
const PREFIXES: u32 = 100_000;
const SINKS: u8 = 10;
const NODES: u16 = 500;
/// As many nodes as a mesh is for, and what comes after.
const MESHES: [u16; 2] = [100, 200];
/// How long all nodes of the mesh that has as many as the reflectors may work.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the processes in the lab are asked.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    /// To be the speaker of a scene.
    Speak(Scene),
    /// To be all its peers: how long did it take, in milliseconds?
    Play(Scene),
    /// To be the first peer of a scene, and to stay: when did it begin to tell?
    Tell(Scene),
    /// Of the kernel: since when does it have all prefixes?
    Installed(install::Awaited),
    /// Of a way that packets take.
    #[serde(untagged)]
    Path(path::Question),
}

/// Time and memory of one run.
struct Cost {
    milliseconds: f64,
    megabytes: f64,
}

fn main() -> ExitCode {
    let mut speaking: Option<Handle> = None;
    let mut telling: Option<load::Telling> = None;
    let answer = |question| match question {
        Question::Speak(scene) => {
            speaking = Some(speak(&scene)?);
            Ok(0.0)
        }
        Question::Play(scene) => load::run(&scene),
        Question::Tell(scene) => {
            let begun = telling.insert(load::tell(&scene)?).begun;
            Ok(begun)
        }
        Question::Installed(awaited) => install::wait(&awaited),
        Question::Path(question) => path::answer(&question),
    };
    if let Some(code) = serve(answer) {
        return code;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn speak(scene: &Scene) -> Result<Handle> {
    let mut options = Options::new(scene.config());
    options.next_hops = NextHops::everywhere();
    Ok(start(options)?)
}

fn measure() -> Result<()> {
    let lab = lab("bench-bgp", &Shape::hosts(2));
    let IpAddr::V4(speaker) = lab.address("a")? else {
        bail!("the lab's hosts have no IPv4 address");
    };
    prepare(&lab, speaker)?;
    let mut report = Report::new("bgp");
    beside(
        &lab,
        &Scene::table(speaker, PREFIXES, SINKS),
        "100,000 prefixes to 10",
        &mut report,
    )?;
    reflect(&lab, &Scene::reflector(speaker, NODES), &mut report)?;
    simulate(&mut report)?;
    drop(lab);
    install::measure(&mut report)?;
    nodes::measure(&mut report)?;
    report.finish()
}

/// Gives the second host an address for each peer, on the link of the first.
fn prepare(lab: &Lab, speaker: Ipv4Addr) -> Result<()> {
    let addresses = (0..NODES).map(|number| format!("addr add {}/32 dev eth0\n", peer(number)));
    let batch: String = addresses.collect();
    let script = "printf %s \"$1\" | ip -batch - && sysctl -qw net.ipv4.ip_nonlocal_bind=1";
    lab.output("b", &["sh", "-c", script, "prepare", &batch])?;
    // So that the speakers hold the peers for neighbours.
    lab.output("a", &["ip", "addr", "add", "10.99.0.1/16", "dev", "eth0"])?;
    let way = [
        "ip",
        "route",
        "replace",
        &format!("{speaker}/32"),
        "dev",
        "eth0",
    ];
    lab.output("b", &way)?;
    Ok(())
}

/// A scene with each of the speakers in turn.
fn beside(lab: &Lab, scene: &Scene, case: &str, report: &mut Report) -> Result<()> {
    let bird = "exec bird -f -c $0 -s /run/bench/control";
    let gobgp = "exec gobgpd -f $0 --pprof-disable --api-hosts 127.0.0.1:50051";
    let [ours, bird, gobgp] = interleave(
        ROUNDS,
        [
            &mut || ours(lab, scene),
            &mut || theirs(lab, scene, ("bird", bird), &scene.bird()),
            &mut || theirs(lab, scene, ("gobgpd", gobgp), &scene.gobgp()),
        ],
    )?;
    let (ours, bird, gobgp) = (apart(&ours), apart(&bird), apart(&gobgp));
    let memory = format!("{case}, peak memory");
    let time = |name, theirs: &[f64]| Figure::beside(case, "ms", &ours.0, (name, theirs));
    let peak =
        |name, theirs: &[f64]| Figure::beside(memory.as_str(), "MB", &ours.1, (name, theirs));
    report.add(time("BIRD", &bird.0).goal(Goal::RatioAtMost(1.2)));
    report.add(time("GoBGP", &gobgp.0).goal(Goal::RatioAtMost(1.0)));
    report.add(peak("BIRD", &bird.1));
    report.add(peak("GoBGP", &gobgp.1).goal(Goal::RatioAtMost(1.0)));
    Ok(())
}

/// Times and peaks.
fn apart(costs: &[Cost]) -> (Vec<f64>, Vec<f64>) {
    let pairs = costs.iter().map(|cost| (cost.milliseconds, cost.megabytes));
    pairs.unzip()
}

/// Our reflector, with real sockets.
fn reflect(lab: &Lab, scene: &Scene, report: &mut Report) -> Result<()> {
    let [costs] = interleave(ROUNDS, [&mut || ours(lab, scene)])?;
    let (times, peaks) = apart(&costs);
    let case = format!("reflector of {NODES} nodes");
    report.add(Figure::alone(format!("{case}, from cold"), "ms", &times));
    report.add(Figure::alone(format!("{case}, peak memory"), "MB", &peaks));
    Ok(())
}

fn ours(lab: &Lab, scene: &Scene) -> Result<Cost> {
    let program = std::env::current_exe().context("find this program")?;
    let name = program.file_name().context("this program has no name")?;
    vacate(lab)?;
    let mut speaker = Inside::start(lab, "a")?;
    let _: f64 = speaker.ask(&Question::Speak(scene.clone()))?;
    // The kernel keeps but 15 bytes of a name.
    let name: String = name.to_string_lossy().chars().take(15).collect();
    play(lab, scene, &name)
}

fn theirs(lab: &Lab, scene: &Scene, (name, command): (&str, &str), config: &str) -> Result<Cost> {
    vacate(lab)?;
    let _daemon = daemon(lab, (name, command), config)?;
    play(lab, scene, name)
}

/// Writes a configuration, and starts a daemon with it.
fn daemon(lab: &Lab, (name, command): (&str, &str), config: &str) -> Result<Running> {
    let file = format!("/run/bench/{name}.conf");
    let write = "mkdir -p /run/bench && cat > \"$0\"";
    let mut writing = lab.spawn("a", &["sh", "-c", write, &file])?;
    let mut input = writing.child.stdin.take().context("its input is piped")?;
    std::io::Write::write_all(&mut input, config.as_bytes()).context("write a configuration")?;
    drop(input);
    writing.finish()?;
    let command = format!("{command} >/dev/null 2>&1");
    Ok(lab.spawn("a", &["sh", "-c", &command, &file])?)
}

/// Waits until the speaker before has left the port: a process with much memory takes a while to end.
fn vacate(lab: &Lab) -> Result<()> {
    let script = "while ss -Hltn sport = :179 | grep -q .; do sleep 0.02; done";
    lab.output("a", &["timeout", "20", "sh", "-c", script])?;
    Ok(())
}

fn play(lab: &Lab, scene: &Scene, name: &str) -> Result<Cost> {
    let mut peers = Inside::start(lab, "b")?;
    let milliseconds = peers.ask(&Question::Play(scene.clone()))?;
    let megabytes = peak(lab, "a", name)?;
    println!("{name}: {milliseconds:.0} ms, {megabytes:.1} MB");
    Ok(Cost {
        milliseconds,
        megabytes,
    })
}

fn simulate(report: &mut Report) -> Result<()> {
    let cases = [(
        "500 simulated nodes, two reflectors".to_owned(),
        NODES,
        true,
    )];
    let meshes = MESHES.map(|nodes| (format!("{nodes} simulated nodes, full mesh"), nodes, false));
    for (case, nodes, reflected) in cases.into_iter().chain(meshes) {
        let mut times = (Vec::new(), Vec::new());
        for seed in 0..3 {
            let converged = match reflected {
                true => simulated::reflectors(nodes, seed)?,
                false => simulated::mesh(nodes, seed)?,
            };
            times.0.push(converged.virtual_time);
            times.1.push(converged.work);
        }
        report.add(Figure::alone(
            format!("{case}: virtual time"),
            "ms",
            &times.0,
        ));
        report.add(Figure::alone(
            format!("{case}: work of all"),
            "ms",
            &times.1,
        ));
    }
    let known = simulated::bounded_mesh(NODES, PATIENCE);
    report.add(Figure::alone(
        format!(
            "{NODES} simulated nodes, full mesh: known after {} s of work",
            PATIENCE.as_secs()
        ),
        "%",
        &[known * 100.0],
    ));
    Ok(())
}

//! Networks of Docker over several hosts: ours beside Swarm's overlay, on the same engines, in the
//! same rounds.
//!
//! Three hosts, each with an agent, the plugin and an engine; the engines form a swarm as well. Each
//! has one container on our network and one on Swarm's. Measured are TCP throughput and round trips
//! between two of them, beside the bare hosts; how long it takes from `docker run` to the first
//! ping that a container on another host answers, and from `docker run` until a third host reaches
//! the new container; and the memory that either takes on a host.

use std::net::IpAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use tombolo_benches::path::{Path, Question, Seen, answer};
use tombolo_benches::{
    Figure, Goal, Inside, Report, interleave, milliseconds, resident, resident_of, serve,
};
use tombolo_tests::Shape;
use tombolo_tests::docker::{Docker, IMAGE};

/// Rounds of what takes a second, and of what takes less.
const PATHS: usize = 15;
const STARTS: usize = 30;

/// One who connects containers.
#[derive(Clone, Copy)]
struct Contender {
    /// The network, and the container on it on each host.
    name: &'static str,
    /// The first two octets of its subnet.
    net: &'static str,
}

const OURS: Contender = Contender {
    name: "ours",
    net: "10.98",
};
const SWARM: Contender = Contender {
    name: "swarm",
    net: "10.99",
};

impl Contender {
    /// Makes the network, and a container on it on each host. The network is known to all once one
    /// has been started there.
    fn settle(self, docker: &Docker, words: &[&str]) -> Result<()> {
        let subnet = format!("{}.0.0/16", self.net);
        let mut all = vec!["network", "create", "--subnet", &subnet];
        all.extend(words);
        all.push(self.name);
        docker.engine("a").docker(&all);
        for engine in docker.engines() {
            engine.run(self.name, &["--network", self.name]);
            // An address that did not answer is asked for again after a second: too coarse here.
            let place = format!("{}/{}", engine.host, self.name);
            let script = "echo 5 > /proc/sys/net/ipv4/neigh/eth0/retrans_time_ms";
            docker
                .cluster
                .lab
                .output(place.as_str(), &["sh", "-c", script])?;
        }
        Ok(())
    }

    fn path(self, docker: &Docker) -> Result<Path<'_>> {
        let there = docker.engine("b").address(self.name, self.name);
        let place = format!("/{}", self.name);
        Path::new(&docker.cluster.lab, &place, there.parse()?)
    }

    /// `docker run` on `a` of what ends with the first answer of the container on `b`.
    fn first_ping(self, docker: &Docker, there: &str) -> Result<f64> {
        let script = format!("ping -i 0.005 -w 20 {there} | grep -qm1 from");
        let words = [
            "run",
            "--rm",
            "--network",
            self.name,
            IMAGE,
            "sh",
            "-c",
            &script,
        ];
        milliseconds(|| {
            docker
                .engine("a")
                .try_docker(&words)
                .map_err(|said| anyhow!(said))
        })
    }

    /// `docker run` on `a` of a container with this number, until the one on `c` reaches it.
    fn third_host(self, docker: &Docker, third: &mut Inside, number: usize) -> Result<f64> {
        let address = format!("{}.{}.{}", self.net, 1 + number / 200, 1 + number % 200);
        let there: IpAddr = address.parse()?;
        let engine = docker.engine("a");
        let begun = Instant::now();
        let reached = thread::scope(|scope| {
            let asked = scope.spawn(|| -> Result<f64> {
                let _: f64 = third.ask(&Question::Answered(there))?;
                Ok(begun.elapsed().as_secs_f64() * 1e3)
            });
            let words = ["--network", self.name, "--ip", &address];
            engine.run("new", &words);
            asked
                .join()
                .map_err(|_| anyhow!("the asking thread panicked"))?
        })
        .with_context(|| format!("reach {address} of {} from c", self.name))?;
        engine.docker(&["rm", "-f", "new"]);
        Ok(reached)
    }
}

/// The engines become a swarm whose manager is `a`.
fn swarm(docker: &Docker) -> Result<()> {
    let address = docker.cluster.lab.address("a")?.to_string();
    let a = docker.engine("a");
    a.docker(&["swarm", "init", "--advertise-addr", &address]);
    let token = a.docker(&["swarm", "join-token", "-q", "worker"]);
    for engine in docker.engines().skip(1) {
        engine.docker(&[
            "swarm",
            "join",
            "--token",
            &token,
            &format!("{address}:2377"),
        ]);
    }
    Ok(())
}

/// The memory of every host's engine.
fn engines(docker: &Docker) -> Result<Vec<f64>> {
    let lab = &docker.cluster.lab;
    docker
        .engines()
        .map(|engine| resident_of(lab, engine.host, "dockerd"))
        .collect()
}

/// Sets both up, and answers what either adds to a host's memory: ours the agent, the plugin and
/// what the engine grew by, Swarm what the engine grew by.
fn set_up(docker: &Docker) -> Result<[Vec<f64>; 2]> {
    for engine in docker.engines() {
        // What an engine needs for any container is nobody's.
        engine.docker(&["run", "--rm", IMAGE, "true"]);
    }
    let lab = &docker.cluster.lab;
    let before = engines(docker)?;
    OURS.settle(docker, &["--driver", "tombolo", "--ipam-driver", "tombolo"])?;
    let between = engines(docker)?;
    swarm(docker)?;
    SWARM.settle(docker, &["--driver", "overlay", "--attachable"])?;
    let after = engines(docker)?;
    let grown = |later: &[f64], sooner: &[f64]| -> Vec<f64> {
        later.iter().zip(sooner).map(|(l, s)| l - s).collect()
    };
    let mut ours = grown(&between, &before);
    for (sum, host) in ours.iter_mut().zip(lab.hosts()) {
        *sum += resident(lab, host)? + resident_of(lab, host, "tombolo-docker")?;
    }
    Ok([ours, grown(&after, &between)])
}

/// Throughput and round trips.
fn tell(report: &mut Report, [ours, swarm, bare]: [&[Seen]; 3]) {
    type Of = fn(&Seen) -> f64;
    let rows: [(&str, &'static str, Of, Goal); 2] = [
        (
            "throughput",
            "Gbit/s",
            |s| s.gigabits,
            Goal::RatioAtLeast(1.0),
        ),
        (
            "round trip",
            "us",
            |s| s.microseconds,
            Goal::RatioAtMost(1.0),
        ),
    ];
    for (what, unit, of, goal) in rows {
        let all = |seen: &[Seen]| seen.iter().map(of).collect::<Vec<f64>>();
        let (ours, swarm, bare) = (all(ours), all(swarm), all(bare));
        report.add(Figure::beside(what, unit, &ours, ("Swarm", &swarm)).goal(goal));
        report.add(Figure::beside(what, unit, &ours, ("bare hosts", &bare)));
        let case = format!("{what}, Swarm");
        report.add(Figure::beside(case, unit, &swarm, ("bare hosts", &bare)));
    }
}

fn main() -> Result<ExitCode> {
    if let Some(code) = serve(|question: Question| answer(&question)) {
        return Ok(code);
    }
    let docker = Docker::up("bench-docker", &Shape::hosts(3));
    let [memory, swarm_memory] = set_up(&docker)?;
    let lab = &docker.cluster.lab;
    let (mut blue, mut other) = (OURS.path(&docker)?, SWARM.path(&docker)?);
    let mut bare = Path::new(lab, "", lab.address("b")?)?;
    for path in [&mut blue, &mut other, &mut bare] {
        path.measure()?;
    }
    let [o, s, b] = interleave(
        PATHS,
        [&mut || blue.measure(), &mut || other.measure(), &mut || {
            bare.measure()
        }],
    )?;
    let mut report = Report::new("docker");
    tell(&mut report, [&o, &s, &b]);

    let on_b = |contender: Contender| docker.engine("b").address(contender.name, contender.name);
    let (ours_on_b, swarm_on_b) = (on_b(OURS), on_b(SWARM));
    let [o, s] = interleave(
        STARTS,
        [&mut || OURS.first_ping(&docker, &ours_on_b), &mut || {
            SWARM.first_ping(&docker, &swarm_on_b)
        }],
    )?;
    let goal = Goal::RatioAtMost(1.0);
    let case = "docker run to first ping";
    report.add(Figure::beside(case, "ms", &o, ("Swarm", &s)).goal(goal));

    let on_c = |contender: Contender| Inside::start(lab, format!("c/{}", contender.name).as_str());
    let (mut ours_on_c, mut swarm_on_c) = (on_c(OURS)?, on_c(SWARM)?);
    let (mut n, mut m) = (0, 0);
    let next = |contender: Contender, inside: &mut Inside, number: &mut usize| {
        *number += 1;
        contender.third_host(&docker, inside, *number)
    };
    let [o, s] = interleave(
        STARTS,
        [&mut || next(OURS, &mut ours_on_c, &mut n), &mut || {
            next(SWARM, &mut swarm_on_c, &mut m)
        }],
    )?;
    let case = "docker run to reach by a third host";
    report.add(Figure::beside(case, "ms", &o, ("Swarm", &s)).goal(goal));
    let case = "memory added to a host";
    report.add(Figure::beside(
        case,
        "MB",
        &memory,
        ("Swarm", &swarm_memory),
    ));
    report.finish()?;
    Ok(ExitCode::SUCCESS)
}

//! The traffic generator beside qperf and iperf3, on the same path: two bare hosts of the lab.
//!
//! Ours and theirs take turns, so that what else the machine does meets both alike, and the medians
//! of both are compared. A machine that is busy with other tests is not the same from one second to
//! the next: where the medians are more than a tenth apart, further rounds are added, up to a bound.
//! A generator that really differs by more stays apart however many there are.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::time::{Duration, Instant};

use serde_json::Value;
use tombolo_bench::{Kind, LARGEST, Measured};
use tombolo_lab::{Lab, Running};
use tombolo_tests::measuring::Measuring;
use tombolo_tests::{Shape, lab};

/// How long each turn measures: whole seconds, since qperf knows no less.
const SECONDS: u32 = 1;
const ROUNDS: usize = 5;
const MOST_ROUNDS: usize = 40;
/// How far apart medians may be.
const APART: f64 = 0.10;

/// Two hosts, and what measures between them.
struct Scene {
    ours: Measuring,
    lab: Lab,
}

impl Scene {
    fn new(name: &str) -> Scene {
        let lab = lab(name, &Shape::hosts(2));
        Scene {
            ours: Measuring::between_hosts(&lab),
            lab,
        }
    }

    fn ours(&mut self, kind: Kind, message: u32) -> Measured {
        let measured = self.ours.try_once(kind, message, SECONDS * 1000);
        measured.unwrap()
    }

    fn bandwidth(&mut self, kind: Kind, message: u32) -> f64 {
        match self.ours(kind, message) {
            Measured::Flow(flow) => flow.bytes_per_second * 8.0 / 1e9,
            other => panic!("{other:?}"),
        }
    }

    /// The mean of all round trips is what qperf tells, as half of it.
    fn latency(&mut self, kind: Kind, message: u32) -> f64 {
        match self.ours(kind, message) {
            #[expect(clippy::cast_precision_loss, reason = "a count of some thousands")]
            Measured::RoundTrips(trips) => 1e6 * f64::from(SECONDS) / trips.count as f64 / 2.0,
            other => panic!("{other:?}"),
        }
    }

    /// A server of theirs in `b`, and the moment at which it listens.
    fn serve(&self, argv: &[&str], port: u16) -> Running {
        let running = self.lab.spawn("b", argv).unwrap();
        let begun = Instant::now();
        let look = format!("ss -Hltn sport = :{port} | grep -q LISTEN");
        while !self
            .lab
            .exec("b", &["sh", "-c", &look])
            .unwrap()
            .status
            .success()
        {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{argv:?} does not listen"
            );
        }
        running
    }

    fn qperf(&self, test: &str, message: u32) -> Vec<(String, f64)> {
        let to = self.ours.server.ip().to_string();
        let (time, message) = (SECONDS.to_string(), message.to_string());
        let argv = ["qperf", "-uu", "-t", &time, "-m", &message, &to, test];
        let text = self.lab.output("a", &argv).unwrap();
        let figure = |line: &str| {
            let (name, value) = line.split_once('=')?;
            let value: String = value.chars().filter(|c| !matches!(c, ',' | '"')).collect();
            let value = value.split_whitespace().next()?.parse().ok()?;
            Some((name.trim().to_owned(), value))
        };
        text.lines().filter_map(figure).collect()
    }

    fn qperf_figure(&self, test: &str, message: u32, name: &str) -> f64 {
        let figures = self.qperf(test, message);
        let found = figures.iter().find(|(found, _)| found == name);
        found
            .unwrap_or_else(|| panic!("qperf {test} says no {name}: {figures:?}"))
            .1
    }

    fn iperf3(&self, words: &[&str], path: &str) -> f64 {
        let to = self.ours.server.ip().to_string();
        let time = SECONDS.to_string();
        let mut argv = vec!["iperf3", "-J", "-t", &time, "-c", &to];
        argv.extend(words);
        let answer: Value = serde_json::from_str(&self.lab.output("a", &argv).unwrap()).unwrap();
        answer
            .pointer(path)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{answer:#}"))
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Lets both take turns until their medians meet.
fn alike(
    scene: &mut Scene,
    what: &str,
    ours: &mut dyn FnMut(&mut Scene) -> f64,
    theirs: &mut dyn FnMut(&mut Scene) -> f64,
) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..MOST_ROUNDS {
        // Whoever begins has the other's leavings; so each begins every other time.
        if round % 2 == 0 {
            a.push(ours(scene));
            b.push(theirs(scene));
        } else {
            b.push(theirs(scene));
            a.push(ours(scene));
        }
        let ratio = median(&a) / median(&b);
        println!(
            "{what}: {:.2} beside {:.2}, medians' ratio {ratio:.3}",
            a[round], b[round]
        );
        if a.len() >= ROUNDS && (ratio - 1.0).abs() <= APART {
            return;
        }
    }
    panic!(
        "{what}: ours {} and theirs {} are apart",
        median(&a),
        median(&b)
    );
}

#[test]
fn ours_tells_what_qperf_tells() {
    let scene = &mut Scene::new("qperf");
    let _server = scene.serve(&["qperf"], 19765);
    alike(
        scene,
        "TCP, Gbit/s",
        &mut |scene| scene.bandwidth(Kind::TcpBandwidth, LARGEST),
        &mut |scene| scene.qperf_figure("tcp_bw", LARGEST, "bw") * 8.0 / 1e9,
    );
    for (name, kind) in [("tcp_lat", Kind::TcpLatency), ("udp_lat", Kind::UdpLatency)] {
        alike(
            scene,
            name,
            &mut |scene| scene.latency(kind, 1),
            &mut |scene| scene.qperf_figure(name, 1, "latency") / 1e3,
        );
    }
    alike(
        scene,
        "UDP that arrives, Gbit/s",
        &mut |scene| scene.bandwidth(Kind::UdpBandwidth, 1400),
        &mut |scene| scene.qperf_figure("udp_bw", 1400, "recv_bw") * 8.0 / 1e9,
    );
}

#[test]
fn ours_tells_what_iperf3_tells() {
    let scene = &mut Scene::new("iperf");
    let _server = scene.serve(&["iperf3", "-s"], 5201);
    alike(
        scene,
        "TCP, Gbit/s",
        &mut |scene| scene.bandwidth(Kind::TcpBandwidth, LARGEST),
        &mut |scene| {
            let path = "/end/sum_received/bits_per_second";
            scene.iperf3(&["-l", "65536"], path) / 1e9
        },
    );
}

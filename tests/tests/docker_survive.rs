//! Docker networks that span hosts while engines, agents, plugins and wires fail.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use tombolo_lab::measure::Flow;
use tombolo_tests::Shape;
use tombolo_tests::docker::Docker;

/// Longer than this, nobody waits for an engine.
const BOUND: Duration = Duration::from_secs(15);

/// How long the work takes, which must not be long.
fn bounded<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let taken = begun.elapsed();
    assert!(taken < BOUND, "{what} takes {taken:?}");
    done
}

/// Two hosts with a network over both, and a container on each that is always started again.
fn pair(name: &str, words: &[&str]) -> Docker {
    let docker = Docker::up_with(name, &Shape::hosts(2), words);
    let create = [
        "network",
        "create",
        "-d",
        "tombolo",
        "--ipam-driver",
        "tombolo",
        "blue",
    ];
    docker.engine("a").docker(&create);
    docker.know("blue");
    for engine in docker.engines() {
        engine.run("own", &["--network", "blue", "--restart", "always"]);
    }
    docker.cluster.settle();
    both_ways(&docker);
    docker
}

/// The containers of both hosts run, or are awaited, and reach each other.
fn both_ways(docker: &Docker) {
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    a.running("own");
    b.running("own");
    docker.reaches("a/own", &b.address("own", "blue"));
    docker.reaches("b/own", &a.address("own", "blue"));
}

/// A container can be started on an engine, reaches the other host's, and goes.
fn another(docker: &Docker, on: &str, other: &str) {
    let engine = docker.engine(on);
    engine.run("another", &["--network", "blue"]);
    let there = docker.engine(other).address("own", "blue");
    docker.reaches(&format!("{on}/another"), &there);
    engine.docker(&["rm", "-f", "another"]);
}

#[test]
fn what_runs_is_not_disturbed() {
    let docker = pair("dcalm", &["--live-restore"]);
    let (cluster, a) = (&docker.cluster, docker.engine("a"));
    let there = docker.engine("b").address("own", "blue");
    let flow = Flow::start(&cluster.lab, "a/own", "b/own", there.parse().unwrap(), 200).unwrap();

    a.plugin().kill();
    bounded("docker ps without the plugin", || a.docker(&["ps"]));
    a.plugin().start();
    another(&docker, "a", "b");

    cluster.lab.kill_agent("a").unwrap();
    // Nobody is there to connect it, and Docker is told so.
    let words = ["run", "--rm", "--network", "blue", "box", "true"];
    let said = bounded("docker run without the agent", || a.try_docker(&words));
    assert!(
        said.as_ref().is_err_and(|said| said.contains("agent")),
        "{said:?}"
    );
    bounded("docker ps without the agent", || a.docker(&["ps"]));
    cluster.lab.start_agent("a", &[]).unwrap();
    cluster.lab.ready("a").unwrap();
    another(&docker, "a", "b");

    a.kill();
    a.start(&["--live-restore"]);
    bounded("an engine's start", || a.ready());
    another(&docker, "a", "b");
    another(&docker, "b", "a");

    let count = flow.stop().unwrap();
    assert_eq!(count.lost(), 0, "{count:?}");
    let _ = cluster.lab.tombolo("a", &["ipam", "check"]).unwrap();
}

#[test]
fn containers_come_back_in_any_order() {
    let docker = pair("dback", &[]);
    let (lab, a) = (&docker.cluster.lab, docker.engine("a"));
    a.kill();
    a.start(&[]);
    bounded("an engine's start", || a.ready());
    both_ways(&docker);

    // The engine first, which waits for the plugin.
    a.kill();
    a.plugin().kill();
    a.start(&[]);
    a.plugin().start();
    bounded("an engine's start before the plugin's", || a.ready());
    both_ways(&docker);

    // Nobody connects containers that an engine finds at its start; it starts all the same.
    a.kill();
    lab.kill_agent("a").unwrap();
    a.start(&[]);
    bounded("an engine's start without the agent", || a.ready());
    assert!(a.lists("blue"));
    lab.start_agent("a", &[]).unwrap();
    lab.ready("a").unwrap();
    a.docker(&["start", "own"]);
    both_ways(&docker);

    // A container that ends is started again, by whoever is there.
    let _ = a.exec("own", &["kill", "-9", "-1"]);
    both_ways(&docker);
    a.docker(&["stop", "-t", "0", "own"]);
    a.docker(&["start", "own"]);
    both_ways(&docker);
    for engine in docker.engines() {
        engine.docker(&["rm", "-f", "own"]);
    }
    docker.cluster.settle();
    assert!(!docker.cluster.sh("a", "ip -o link").contains("tbv"));
    let _ = lab.tombolo("a", &["ipam", "check"]).unwrap();
}

#[test]
fn a_host_that_is_cut_off_is_itself_again_afterwards() {
    let docker = pair("dcut", &[]);
    let (cluster, b) = (&docker.cluster, docker.engine("b"));
    b.run("near", &["--network", "blue"]);
    cluster.lab.cut("b").unwrap();
    docker.reaches("b/own", &b.address("near", "blue"));
    // What cannot be done is refused, and nobody waits.
    let words = ["run", "--rm", "--network", "blue", "box", "true"];
    let _ = bounded("docker run on a host that is cut off", || {
        b.try_docker(&words)
    });
    bounded("docker rm on a host that is cut off", || {
        b.docker(&["rm", "-f", "near"]);
    });
    cluster.lab.heal("b").unwrap();
    both_ways(&docker);
    b.until("the store is back", || b.try_docker(&words).ok());
    another(&docker, "b", "a");
}

//! docker-compose with a network that is made elsewhere, and with one of its own, on two hosts.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::docker::{Docker, Engine};
use tombolo_tests::{Shape, runtime};

const FILE: &str = "version: '3.5'
services:
  SERVICE:
    image: box
    networks: [NETWORKS]
networks:
  shared:
    external: true
";

/// What the first host has besides, a network of compose's own.
const OWN: &str = "  own:
    driver: tombolo
    driver_opts: {mtu: '1400'}
    ipam: {driver: tombolo}
";

fn compose(docker: &Docker, engine: Engine<'_>, words: &[&str]) -> String {
    let mut argv = vec![
        "docker-compose",
        "-H",
        "unix:///run/docker.sock",
        "-p",
        "shop",
    ];
    argv.extend(["-f", "/run/docker-compose.yml"]);
    argv.extend(words);
    let said = docker.cluster.lab.output(engine.host, &argv);
    said.unwrap_or_else(|error| panic!("{error}\n{}", engine.log()))
}

#[test]
fn compose_on_two_hosts() {
    let docker = Docker::up("dcompose", &Shape::hosts(2));
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    a.docker(&[
        "network",
        "create",
        "-d",
        "tombolo",
        "--ipam-driver",
        "tombolo",
        "shared",
    ]);
    docker.know("shared");
    for (engine, networks, own) in [(a, "own, shared", OWN), (b, "shared", "")] {
        let file = FILE.replace("SERVICE", engine.host) + own;
        let file = file.replace("NETWORKS", networks);
        let path = "/run/docker-compose.yml";
        runtime::write(&docker.cluster.lab, engine.host, path, &file);
        compose(&docker, engine, &["up", "-d", engine.host]);
    }
    docker.know("shop_own");
    docker.cluster.settle();
    for (engine, other) in [(a, b), (b, a)] {
        let there = other.address(&name(other), "shared");
        let words = ["exec", "-T", engine.host, "ping", "-c1", &there];
        compose(&docker, engine, &words);
    }
    // Any other engine may use what compose made.
    b.run("guest", &["--network", "shop_own"]);
    docker.reaches("b/guest", &a.address(&name(a), "shop_own"));
    b.docker(&["rm", "-f", "guest"]);
    // As is: nothing is made anew.
    let id = a.look(&name(a), "{{.Id}}");
    compose(&docker, a, &["up", "-d", "a"]);
    assert_eq!(a.look(&name(a), "{{.Id}}"), id);
    // The own network is compose's to remove, once nobody is on it; the external one is not.
    for engine in [a, b] {
        compose(&docker, engine, &["rm", "-sf"]);
    }
    docker.cluster.settle();
    compose(&docker, a, &["down"]);
    docker.forget("shop_own");
    docker.know("shared");
}

fn name(engine: Engine<'_>) -> String {
    format!("shop_{}_1", engine.host)
}

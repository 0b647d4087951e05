//! Many containers at once: on each host at the same time as on the others.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::collections::BTreeSet;
use std::thread;

use tombolo_tests::Shape;
use tombolo_tests::docker::{Docker, Engine};

/// Containers on each host, if `TOMBOLO_DOCKER_CONTAINERS` says nothing else.
const EACH: usize = 20;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("many{number}")).collect()
}

/// Does something with every container of every host, all at once.
fn at_once(docker: &Docker, names: &[String], work: impl Fn(Engine<'_>, &str) + Sync) {
    thread::scope(|scope| {
        for engine in docker.engines() {
            for name in names {
                let work = &work;
                scope.spawn(move || work(engine, name));
            }
        }
    });
}

#[test]
fn many_containers_start_at_once() {
    let each = std::env::var("TOMBOLO_DOCKER_CONTAINERS").ok();
    let each = each.map_or(EACH, |text| text.parse().unwrap());
    let docker = Docker::up("dmany", &Shape::hosts(2));
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    let create = [
        "network",
        "create",
        "-d",
        "tombolo",
        "--ipam-driver",
        "tombolo",
        "blue",
    ];
    a.docker(&create);
    docker.know("blue");
    let names = names(each);
    at_once(&docker, &names, |engine, name| {
        let words = [
            "run",
            "-d",
            "--init",
            "--network",
            "blue",
            "--name",
            name,
            "box",
        ];
        engine.docker(&words);
    });
    let addresses = |engine: Engine<'_>| -> BTreeSet<String> {
        let template = "{{.NetworkSettings.Networks.blue.IPAddress}}";
        let mut words = vec!["inspect", "--format", template];
        words.extend(names.iter().map(String::as_str));
        engine.docker(&words).lines().map(str::to_owned).collect()
    };
    let all: BTreeSet<String> = addresses(a).union(&addresses(b)).cloned().collect();
    assert_eq!(all.len(), 2 * each, "each has an address of its own");
    docker.cluster.settle();
    for engine in [a, b] {
        for address in &all {
            // The first lost packet of one that was up a moment ago is no loss: it is asked twice.
            let said = engine.try_exec("many0", &["ping", "-c1", "-W2", address]);
            assert!(
                said.is_ok(),
                "many0 on {} does not reach {address}: {said:?}",
                engine.host
            );
        }
    }
    at_once(&docker, &names, |engine, name| {
        engine.docker(&["rm", "-f", name]);
    });
    docker.cluster.settle();
    for host in ["a", "b"] {
        assert!(
            !docker.cluster.sh(host, "ip -o link").contains("tbv"),
            "{host}"
        );
    }
    let _ = docker.cluster.lab.tombolo("a", &["ipam", "check"]).unwrap();
}

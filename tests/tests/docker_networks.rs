//! Networks of Docker that span hosts: made, found, used, told apart and removed, with real engines.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_tests::docker::{Docker, Engine};
use tombolo_tests::{Cluster, Shape};

/// What the lab has in place of the internet.
const INTERNET: &str = "203.0.113.1";

/// Two networks with one subnet, made by an operator: each has an address space of its own.
fn twins(a: &str, b: &str) -> String {
    let one = |name: &str, vni: u32| {
        format!(
            "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {{name: {name}-v4}}
spec: {{cidr: 10.77.0.0/24, blockSize: 28, space: {name}}}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {{name: {name}}}
spec: {{driver: overlay, transport: {{type: vxlan, vni: {vni}}}, pools: [{name}-v4], internal: true}}
"
        )
    };
    format!("{}---\n{}", one(a, 7001), one(b, 7002))
}

fn create(engine: Engine<'_>, name: &str, words: &[&str]) {
    let mut all = vec![
        "network",
        "create",
        "--driver",
        "tombolo",
        "--ipam-driver",
        "tombolo",
    ];
    all.extend(words);
    all.push(name);
    engine.docker(&all);
}

/// The reason that something is refused for.
fn refused(engine: Engine<'_>, words: &[&str]) -> String {
    match engine.try_docker(words) {
        Ok(said) => panic!("{words:?} is not refused: {said}"),
        Err(error) => error,
    }
}

#[test]
fn a_network_spans_hosts() {
    let docker = Docker::up("dspan", &Shape::hosts(3));
    let [a, b, c] = ["a", "b", "c"].map(|host| docker.engine(host));
    // Subnet and gateway are found, and are the same everywhere.
    create(a, "blue", &[]);
    docker.know("blue");
    a.run("one", &["--network", "blue"]);
    b.run("two", &["--network", "blue"]);
    c.run("three", &["--network", "blue"]);
    let ways = [(a, "one"), (b, "two"), (c, "three")];
    for (from, me) in ways {
        for (to, other) in ways {
            let address = to.address(other, "blue");
            docker.reaches(&format!("{}/{me}", from.host), &address);
        }
        docker.reaches(&format!("{}/{me}", from.host), INTERNET);
    }

    // A container comes and goes while the others run, in and out of a second network, whose gateway
    // is its own on every host.
    let words = ["--subnet", "10.66.0.0/16", "--gateway", "10.66.0.254"];
    create(
        b,
        "green",
        &[&words[..], &["-o", "egress=network"]].concat(),
    );
    docker.know("green");
    c.run(
        "four",
        &[
            "--network",
            "green",
            "--ip",
            "10.66.7.7",
            "--mac-address",
            "02:00:00:00:77:07",
        ],
    );
    assert_eq!(c.address("four", "green"), "10.66.7.7");
    assert_eq!(c.mac("four", "green"), "02:00:00:00:77:07");
    assert!(
        !docker.cluster.pings("a/one", "10.66.7.7"),
        "blue reaches green"
    );
    a.docker(&["network", "connect", "green", "one"]);
    docker.reaches("a/one", "10.66.7.7");
    docker.reaches("a/one", &b.address("two", "blue"));
    let link = docker.cluster.sh("a/one", "ip neigh show 10.66.7.7");
    assert!(link.contains("02:00:00:00:77:07"), "{link}");
    a.docker(&["network", "disconnect", "green", "one"]);
    assert!(
        !docker.cluster.pings("a/one", "10.66.7.7"),
        "one is still in green"
    );
    docker.reaches("a/one", &b.address("two", "blue"));

    // Its address moves to another host with it.
    c.docker(&["rm", "-f", "four"]);
    create_two_that_ask_for_one_address(&docker);
    removals(&docker);
}

fn gateway(docker: &Docker, engine: Engine<'_>, name: &str) -> String {
    let place = format!("{}/{name}", engine.host);
    let script = "ip -4 route show default | cut -d' ' -f3";
    docker.cluster.sh(&place, script).trim().to_owned()
}

/// One address is given to one container, wherever it is asked for.
fn create_two_that_ask_for_one_address(docker: &Docker) {
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    let words = ["--network", "green", "--ip", "10.66.7.7"];
    a.run("five", &words);
    docker.cluster.settle();
    let mut second = vec!["run", "-d", "--name", "six"];
    second.extend(words);
    second.push("box");
    let said = refused(b, &second);
    assert!(said.contains("10.66.7.7"), "{said}");
    b.docker(&["rm", "six"]);
    b.run("seven", &["--network", "green"]);
    docker.reaches("b/seven", "10.66.7.7");
    assert_eq!(gateway(docker, b, "seven"), "10.66.0.254");
    a.docker(&["rm", "-f", "five"]);
    // Freed there, it can be had here at once, and is found at once.
    b.run("eight", &words);
    docker.cluster.settle();
    docker.reaches("b/seven", "10.66.7.7");
}

/// Who uses a network keeps it, from wherever its removal is asked for.
fn removals(docker: &Docker) {
    let [a, b, c] = ["a", "b", "c"].map(|host| docker.engine(host));
    let said = refused(b, &["network", "rm", "green"]);
    assert!(said.contains("active endpoints"), "{said}");
    // It has none of green's containers, and hears who does: from Docker, or in its log.
    let said = a
        .try_docker(&["network", "rm", "green"])
        .err()
        .unwrap_or_else(|| a.log());
    assert!(said.contains("green") && said.contains("node b"), "{said}");
    docker.know("green");
    docker.reaches("b/seven", "10.66.7.7");
    b.docker(&["rm", "-f", "seven", "eight"]);
    docker.cluster.settle();
    a.docker(&["network", "rm", "green"]);
    docker.forget("green");

    create(c, "idle", &["--internal"]);
    docker.know("idle");
    // What nobody uses is pruned, everywhere; what somebody uses anywhere is not.
    a.docker(&["rm", "-f", "one"]);
    docker.cluster.settle();
    a.docker(&["network", "prune", "-f"]);
    docker.forget("idle");
    docker.know("blue");
    docker.reaches("b/two", &c.address("three", "blue"));
    b.docker(&["rm", "-f", "two"]);
    c.docker(&["rm", "-f", "three"]);
    docker.cluster.settle();
    c.docker(&["network", "rm", "blue"]);
    docker.forget("blue");
    nothing_left(&docker.cluster);
}

/// No address is in use but the nodes' own, and no host has an interface of a container.
fn nothing_left(cluster: &Cluster) {
    cluster.settle();
    for host in cluster.lab.hosts() {
        assert!(!cluster.sh(host, "ip -o link").contains("tbv"), "{host}");
    }
    let endpoints = cluster.json("a", &["get", "endpoints", "-o", "json"]);
    assert_eq!(
        endpoints["items"].as_array().unwrap().len(),
        0,
        "{endpoints}"
    );
}

#[test]
fn networks_are_told_apart() {
    let docker = Docker::up("dapart", &Shape::hosts(2));
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    // Made by an operator, they are Docker's too; the same addresses are in both.
    docker.cluster.apply("a", &twins("red", "black"));
    docker.know("red");
    docker.know("black");
    for network in ["red", "black"] {
        for (engine, last) in [(a, 5), (b, 6)] {
            let address = format!("10.77.0.{last}");
            engine.run(network, &["--network", network, "--ip", &address]);
        }
    }
    docker.cluster.settle();
    for (engine, other) in [(a, "10.77.0.6"), (b, "10.77.0.5")] {
        for network in ["red", "black"] {
            docker.reaches(&format!("{}/{network}", engine.host), other);
            assert!(
                !docker
                    .cluster
                    .pings(&format!("{}/{network}", engine.host), INTERNET),
                "{network} has a way out"
            );
        }
    }
    // Each is answered by its own: only black goes on when red's is gone.
    b.docker(&["rm", "-f", "red"]);
    docker.cluster.settle();
    assert!(
        !docker.cluster.pings("a/red", "10.77.0.6"),
        "red reaches black"
    );
    docker.reaches("a/black", "10.77.0.6");

    // Both families, and Docker's own networks beside ours.
    create(
        a,
        "six",
        &[
            "--ipv6",
            "--subnet",
            "10.66.0.0/16",
            "--subnet",
            "fd66::/64",
        ],
    );
    docker.know("six");
    a.run("dual", &["--network", "six"]);
    b.run("dual", &["--network", "six", "--ip6", "fd66::beef"]);
    assert_eq!(b.address6("dual", "six"), "fd66::beef");
    docker.reaches("a/dual", "fd66::beef");
    docker.reaches("b/dual", &a.address6("dual", "six"));
    docker.reaches("a/dual", &b.address("dual", "six"));
    a.run("own", &[]);
    docker.reaches("a/own", INTERNET);
    assert!(
        !docker.cluster.pings("a/own", &a.address("dual", "six")),
        "docker0 reaches six"
    );
    bad_words(&docker);
}

/// What is wrong is named, and leaves nothing behind.
fn bad_words(docker: &Docker) {
    let a = docker.engine("a");
    let networks = a.docker(&["network", "ls", "-q"]);
    let cases: [(&[&str], &str); 4] = [
        (&["-o", "drivr=overlay"], "drivr"),
        (&["-o", "driver=warp"], "warp"),
        (&["-o", "mtu=12"], "mtu"),
        // The hosts are on 192.168.50.0/24.
        (&["--subnet", "192.168.50.0/24"], "192.168.50.0/24"),
    ];
    for (words, named) in cases {
        let mut all = vec![
            "network",
            "create",
            "-d",
            "tombolo",
            "--ipam-driver",
            "tombolo",
        ];
        all.extend(words);
        all.push("bad");
        let said = refused(a, &all);
        assert!(said.contains(named), "{said}");
    }
    assert_eq!(a.docker(&["network", "ls", "-q"]), networks);
    let small = ["--subnet", "10.55.0.0/30"];
    create(a, "small", &small);
    docker.know("small");
    a.run("only", &["--network", "small"]);
    let said = refused(a, &["run", "--rm", "--network", "small", "box", "true"]);
    assert!(
        said.contains("small") || said.contains("10.55.0.0/30"),
        "{said}"
    );
}

#[test]
fn containers_stand_on_the_hosts_own_segment() {
    let docker = Docker::up("dmacvlan", &Shape::hosts(2));
    let [a, b] = ["a", "b"].map(|host| docker.engine(host));
    let words = [
        "--subnet",
        "192.168.50.0/24",
        "--ip-range",
        "192.168.50.128/25",
        "--gateway",
        "192.168.50.254",
        "-o",
        "driver=macvlan",
        "-o",
        "parent=eth0",
    ];
    create(a, "lan", &words);
    docker.know("lan");
    a.run("one", &["--network", "lan"]);
    b.run("two", &["--network", "lan"]);
    for address in [a.address("one", "lan"), b.address("two", "lan")] {
        let last = address.rsplit('.').next().unwrap().parse::<u8>().unwrap();
        assert!(last >= 128, "{address} is not of the range");
    }
    // The containers are machines of the segment: each other's, and the other host's.
    docker.reaches("a/one", &b.address("two", "lan"));
    let other_host = docker.cluster.lab.address("b").unwrap().to_string();
    docker.reaches("a/one", &other_host);
    let error = a.try_docker(&[
        "network",
        "create",
        "-d",
        "tombolo",
        "-o",
        "driver=macvlan",
        "-o",
        "parant=eth0",
        "x",
    ]);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("option parant is not known"), "{error}");
    a.docker(&["rm", "-f", "one"]);
    b.docker(&["rm", "-f", "two"]);
    a.docker(&["network", "rm", "lan"]);
    docker.forget("lan");
}

//! What goes over Docker networks that span hosts: to all, to groups, large packets, published ports;
//! and that Docker's own rules stay as they were.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_lab::Running;
use tombolo_tests::docker::{Docker, Engine};
use tombolo_tests::{Cluster, Shape};

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

/// Hears what is sent to a group or to all, on port 7000, into a file of the host.
fn listen(cluster: &Cluster, place: &str) -> Running {
    let file = format!("CREATE:{}", heard(place));
    let group = "UDP4-RECV:7000,ip-add-membership=239.1.2.3:eth0";
    let running = cluster.lab.spawn(place, &["socat", "-u", group, &file]);
    let _ = cluster.sh(place, "until ss -lnu | grep -q :7000; do :; done");
    running.unwrap()
}

fn heard(place: &str) -> String {
    format!("/run/heard-{}", place.split_once('/').unwrap().1)
}

#[test]
fn all_of_a_network_and_nobody_else_are_told() {
    let docker = Docker::up("dtell", &Shape::hosts(3));
    let cluster = &docker.cluster;
    let [a, b, c] = ["a", "b", "c"].map(|host| docker.engine(host));
    create(a, "blue", &["--subnet", "10.66.0.0/16"]);
    create(a, "red", &["--subnet", "10.67.0.0/16"]);
    docker.know("blue");
    docker.know("red");
    // c has nobody in blue.
    for (engine, name, network) in [
        (a, "from", "blue"),
        (a, "near", "blue"),
        (b, "far", "blue"),
        (b, "deaf", "red"),
        (c, "third", "red"),
    ] {
        engine.run(name, &["--network", network]);
    }
    cluster.settle();
    let _listeners: Vec<Running> = ["a/near", "b/far", "b/deaf", "c/third"]
        .iter()
        .map(|place| listen(cluster, place))
        .collect();
    let script =
        "exec tcpdump -nli eth0 --immediate-mode udp and dst host $1 > /run/seen 2> /run/ready";
    let address = cluster.lab.address("c").unwrap().to_string();
    let words = ["sh", "-c", script, "sh", &address];
    let _capture = cluster.lab.spawn("c", &words).unwrap();
    let _ = cluster.sh("c", "until grep -q listening /run/ready; do :; done");

    let from = a.address("from", "blue");
    for (to, words) in [
        ("10.66.255.255:7000,broadcast", "to-all"),
        // Docker's own bridge has the default route.
        (
            &format!("239.1.2.3:7000,ip-multicast-if={from}"),
            "to-group",
        ),
    ] {
        let script = format!("echo {words} | socat -u - UDP4-DATAGRAM:{to}");
        let _ = cluster.sh("a/from", &script);
    }
    for place in ["a/near", "b/far"] {
        let host = place.split_once('/').unwrap().0;
        cluster.until(&format!("{place} hears both"), || {
            let text = cluster.sh(host, &format!("cat {}", heard(place)));
            (text.contains("to-all") && text.contains("to-group")).then_some(())
        });
    }
    // What c saw of red shows that it would have seen the others, which were sent before.
    docker.reaches("b/deaf", &c.address("third", "red"));
    cluster.until("c has seen red's packets", || {
        cluster
            .sh("c", "cat /run/seen")
            .contains("ICMP")
            .then_some(())
    });
    let seen = cluster.sh("c", "cat /run/seen");
    assert!(!seen.contains("7000"), "c is told what is blue's: {seen}");
    for place in ["b/deaf", "c/third"] {
        let host = place.split_once('/').unwrap().0;
        assert_eq!(
            cluster.sh(host, &format!("cat {}", heard(place))),
            "",
            "{place}"
        );
    }
}

#[test]
fn packets_are_as_large_as_the_underlay_lets_them_be() {
    let docker = Docker::up("djumbo", &Shape::hosts(2).mtu(9000));
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    create(a, "jumbo", &[]);
    create(a, "plain", &["-o", "mtu=1500"]);
    // VXLAN over IPv4 takes 50 bytes, over IPv6 70.
    for (network, least) in [("jumbo", 8930), ("plain", 1500)] {
        docker.know(network);
        a.run(network, &["--network", network]);
        b.run(network, &["--network", network]);
        docker.cluster.settle();
        let place = format!("a/{network}");
        let mtu = a.exec(network, &["cat", "/sys/class/net/eth0/mtu"]);
        let mtu: u32 = mtu.parse().unwrap();
        assert!(mtu >= least, "{mtu}");
        let there = b.address(network, network);
        docker.reaches(&place, &there);
        assert!(
            docker.cluster.fits(&place, &there, mtu),
            "{mtu} bytes do not fit {network}"
        );
        assert!(!docker.cluster.fits(&place, &there, mtu + 1));
    }
    assert!(
        docker
            .cluster
            .fits("a/plain", &b.address("plain", "plain"), 1500)
    );
}

/// What a request to a published port of a host is answered.
fn ask(cluster: &Cluster, from: &str, to: &str) -> String {
    let script = if to.starts_with("UDP") {
        format!("echo | timeout 3 socat -t2 - {to}")
    } else {
        format!("timeout 3 socat -u {to} -")
    };
    let output = cluster.try_sh(from, &script);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Answers every request with the name of the place: TCP on 80 and 9000 to 9002, UDP on 53.
fn serve(cluster: &Cluster, place: &str) -> Vec<Running> {
    let tcp = [80, 9000, 9001, 9002].map(|port| format!("TCP4-LISTEN:{port},fork,reuseaddr"));
    let udp = "UDP4-RECVFROM:53,fork".to_owned();
    let answer = format!("SYSTEM:[ $SOCAT_SOCKPORT != 53 ] || read x; echo {place}");
    let all = tcp.into_iter().chain([udp]);
    let running = all.map(|listen| {
        cluster
            .lab
            .spawn(place, &["socat", &listen, &answer])
            .unwrap()
    });
    let running = running.collect();
    let up = "until [ $(ss -Hlntu | grep -cE ':(80|53|900[0-2]) ') = 5 ]; do :; done";
    let _ = cluster.sh(place, up);
    running
}

/// All rules of iptables and ip6tables, without their counters.
fn rules(cluster: &Cluster, host: &str) -> String {
    let script = "iptables-save; ip6tables-save";
    let text = cluster.sh(host, script);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| format!("{}\n", line.split(" [").next().unwrap_or_default()))
        .collect()
}

/// Publishes ports of a container on `a`, asks at them, and takes them back.
fn publish(docker: &Docker, network: &str, udp_from: &[&str]) {
    let (cluster, a) = (&docker.cluster, docker.engine("a"));
    let ports = ["8080:80", "5353:53/udp", "9000-9002:9000-9002"];
    let mut words = vec!["--network", network];
    words.extend(ports.iter().flat_map(|port| ["-p", *port]));
    a.run("web", &words);
    cluster.settle();
    let _servers = serve(cluster, "a/web");
    let there = cluster.lab.address("a").unwrap().to_string();
    // From another host, from the one that publishes, from Docker's own network, from the same one.
    for from in ["c", "a", "a/own", "b/peer"] {
        for port in [8080, 9000, 9001, 9002] {
            let said = ask(cluster, from, &format!("TCP4:{there}:{port}"));
            assert_eq!(said, "a/web", "{network} from {from}, port {port}");
        }
    }
    for from in udp_from {
        let said = ask(cluster, from, &format!("UDP4:{there}:5353"));
        assert_eq!(said, "a/web", "{network} from {from} by UDP");
    }
    assert_eq!(ask(cluster, "a", "TCP4:127.0.0.1:8080"), "a/web");
    let second = ["run", "--rm", "--network", network, "-p", "8080:80", "box"];
    let said = a.try_docker(&second).unwrap_err();
    assert!(said.contains("8080"), "{said}");
}

#[test]
fn ports_are_published_and_docker_keeps_its_rules() {
    let six = ["--ipv6", "--fixed-cidr-v6", "fd00:d0::/64"];
    let six = [&six[..], &["--experimental", "--ip6tables"]].concat();
    let docker = Docker::up_with("dports", &Shape::hosts(3), &six);
    let cluster = &docker.cluster;
    let (a, b) = (docker.engine("a"), docker.engine("b"));
    a.run_with("own", &["-p", "8081:80"], &["httpd", "-f", "-h", "/www"]);
    create(b, "docker", &["--subnet", "10.66.0.0/16"]);
    let words = ["--subnet", "10.67.0.0/16", "-o", "egress=network"];
    create(a, "ours", &words);
    docker.know("docker");
    docker.know("ours");
    docker.let_out();

    // Docker's own way out and in: what it adds to its rules is of its own bridge.
    a.docker(&["run", "--rm", "--network", "docker", "box", "true"]);
    let before = rules(cluster, "a");
    assert_eq!(before.matches(":FORWARD DROP").count(), 2, "{before}");
    b.run("peer", &["--network", "docker"]);
    // Its proxy answers a container on another bridge by another address than was asked.
    publish(&docker, "docker", &["c", "a", "b/peer"]);
    let shown = a.docker(&["port", "web"]);
    assert!(shown.contains("80/tcp -> 0.0.0.0:8080"), "{shown}");
    a.docker(&["rm", "-f", "web"]);
    assert_eq!(rules(cluster, "a"), before);
    b.docker(&["rm", "-f", "peer"]);

    // Ours: nothing is added.
    b.run("peer", &["--network", "ours"]);
    publish(&docker, "ours", &["c", "a", "a/own", "b/peer"]);
    assert_eq!(rules(cluster, "a"), before);
    let there = cluster.lab.address("a").unwrap().to_string();
    b.exec("peer", &["wget", "-qO-", &format!("http://{there}:8081/")]);
    a.docker(&["rm", "-f", "web"]);
    assert_eq!(ask(cluster, "c", &format!("TCP4:{there}:8080")), "");
}

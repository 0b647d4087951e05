//! Connections in the namespaces of overlays, with packets under way in both directions, are cut for
//! good: whoever sends next does not begin them anew.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;
use tombolo_lab::Lab;
use tombolo_tests::{Cluster, DEADLINE, Shape};

const NETWORK: &str = "
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: blue}
spec: {cidr: 10.5.0.0/24, space: blue}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: blue}
spec: {driver: overlay, transport: {type: vxlan}, pools: [blue]}
";

/// Servers take clients, and everybody may leave.
const POLICY: &str = "
apiVersion: tombolo.dev/v1
kind: NetworkPolicy
metadata: {namespace: default, name: server}
spec:
  selector: app == 'server'
  ingress:
    - {action: Allow, source: {selector: role == 'client'}}
";

/// A server that sends for ever, whether anybody asks or not.
fn stream(cluster: &Cluster, place: &str) {
    let listener = cluster.inside(place, || TcpListener::bind("0.0.0.0:80").unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || while connection.write_all(&[0; 1000]).is_ok() {});
        }
    });
}

/// Whether something comes still, after what was under way.
fn comes(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 65536];
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE / 4 {
        if !matches!(stream.read(&mut bytes), Ok(1..)) {
            return false;
        }
    }
    true
}

#[test]
fn a_stream_in_an_overlay_is_cut_for_good() {
    let cluster = Cluster::up("stream", &Shape::hosts(2));
    cluster.apply("a", NETWORK);
    let container = |place: &str, labels: serde_json::Value| {
        let (host, name) = place.split_once('/').unwrap();
        let mut config = Lab::config("blue");
        config["labels"] = labels;
        cluster.container_with(host, name, &config)
    };
    let server = container("a/server", json!({"app": "server"}));
    let clients = ["a/near", "b/far", "b/stays"];
    for place in clients {
        let _ = container(place, json!({"role": "client"}));
    }
    cluster.apply("b", POLICY);
    cluster.settle();
    stream(&cluster, "a/server");
    let connect = |place: &str| {
        let to = (server[0].as_str(), 80);
        let stream = cluster.inside(place, || TcpStream::connect(to).unwrap());
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        stream
    };
    let mut streams = clients.map(connect);
    let mut bytes = [0; 1000];
    for stream in &mut streams {
        stream.read_exact(&mut bytes).unwrap();
    }
    let _ = cluster.sh(
        "b",
        "tombolo label endpoint near role-; tombolo label endpoint far role-",
    );
    cluster.settle();
    let [near, far, stays] = &mut streams;
    assert!(!comes(near), "it is cut on one host");
    assert!(!comes(far), "and over two");
    assert!(comes(stays), "the other goes on");
    let to = (server[0].as_str(), 80);
    let far = cluster.inside("b/far", || {
        use std::net::ToSocketAddrs;
        let to = to.to_socket_addrs().unwrap().next().unwrap();
        TcpStream::connect_timeout(&to, Duration::from_millis(300))
    });
    assert!(far.is_err(), "nor does it begin another one");
}

#[test]
fn a_thousand_flips_of_a_label_end_as_the_last_says() {
    let cluster = Cluster::up("flips", &Shape::hosts(2));
    let container = |place: &str, labels: serde_json::Value| {
        let (host, name) = place.split_once('/').unwrap();
        let mut config = Lab::config("default");
        config["labels"] = labels;
        cluster.container_with(host, name, &config)
    };
    let server = container("a/server", json!({"app": "server"}));
    let _ = container("b/client", json!({"role": "client"}));
    cluster.apply("a", POLICY);
    cluster.settle();
    stream(&cluster, "a/server");
    let reaches = || {
        let to = format!("{}:80", server[0]).parse().unwrap();
        cluster.inside("b/client", || {
            TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok()
        })
    };
    assert!(reaches());
    // By the API itself, two flips at a time: a command for each would take minutes.
    let flip = |value: &str, times: usize| {
        let label = format!("'{{\"endpoint\":\"client\",\"labels\":{{\"role\":{value}}}}}'");
        format!(
            "for i in $(seq {times}); do curl -sf --unix-socket /run/tombolo/tombolo.sock -d {label} http://t/v1/label >/dev/null || exit 1; done"
        )
    };
    let both = |last: &str| {
        format!(
            "({}) & ({}) & wait; {}",
            flip("null", 250),
            flip("\"client\"", 249),
            flip(last, 1)
        )
    };
    let _ = cluster.sh("b", &both("null"));
    cluster.settle();
    assert!(!reaches(), "the last one took the label away");
    let _ = cluster.sh("a", &both("\"client\""));
    cluster.settle();
    assert!(reaches(), "the last one gave it back");
}

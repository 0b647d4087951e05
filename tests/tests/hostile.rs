//! Input that is meant to harm: files and requests. Each is refused in words, and nobody else
//! notices.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::json;
use tombolo_tests::{Cluster, DEADLINE, Shape};

const SOCKET: &str = "/run/tombolo/tombolo.sock";

fn one_host(name: &str) -> Cluster {
    Cluster::up(name, &Shape::hosts(1))
}

/// A connection to the agent.
fn connect(cluster: &Cluster) -> UnixStream {
    let stream = UnixStream::connect(cluster.file("a", SOCKET)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What the agent answers to bytes, up to the end of the connection. Bytes that it did not read are
/// no error.
fn answer(cluster: &Cluster, bytes: &[u8]) -> String {
    let mut stream = connect(cluster);
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    // An agent that closes while it is written to may reset the connection behind its answer.
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        text.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

fn line(text: &str) -> Vec<u8> {
    format!("{text} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").into_bytes()
}

fn well(cluster: &Cluster) {
    let begun = Instant::now();
    assert_eq!(cluster.status("a")["problems"], json!([]));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "the agent is slow after it"
    );
}

#[test]
fn files_that_are_meant_to_harm_are_refused() {
    let cluster = one_host("hostile-yaml");
    let before = cluster.sh("a", "tombolo get ippools -o yaml");
    let pool = |name: &str, spec: &str| {
        format!(
            "apiVersion: tombolo.dev/v1\nkind: IPPool\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        )
    };
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (one, next) in ('a'..'i').zip('b'..='i') {
        let nine = vec![format!("*{one}"); 9].join(", ");
        bomb.push_str(&format!("{next}: &{next} [{nine}]\n"));
    }
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(5000)
    );
    let names = format!("? {}\n: [{}]\n", "n".repeat(1 << 19), "1, ".repeat(200_000));
    let many: String = (0..25_000)
        .map(|n| pool(&format!("p{n}"), "{cidr: 10.0.0.0/24}") + "---\n")
        .collect();
    for (case, text, sign) in [
        ("deep lists", "[".repeat(200_000), "recursion limit"),
        ("deep blocks", "- ".repeat(200_000), "deep"),
        ("deep maps", "{a: ".repeat(200_000), "recursion limit"),
        ("aliases", bomb, "aliases add more than"),
        ("aliases of a long text", long, "aliases add more than"),
        ("long names", names, "names that are too long"),
        (
            "a long name",
            pool(&"p".repeat(3 << 20), "{cidr: 10.61.0.0/16}"),
            "metadata.name",
        ),
        (
            "a key twice",
            pool("x", "{cidr: 10.61.0.0/16, cidr: 10.62.0.0/16}"),
            "twice",
        ),
        ("a list for a map", pool("x", "[cidr]"), "spec"),
        ("a map for a text", pool("x", "{cidr: {}}"), "spec.cidr"),
        (
            "a text for a number",
            pool("x", "{cidr: 10.61.0.0/16, blockSize: many}"),
            "spec.blockSize",
        ),
        (
            "a huge number",
            pool("x", "{cidr: 10.61.0.0/16, blockSize: 99999999999999999999}"),
            "spec.blockSize",
        ),
        (
            "a control character",
            pool("x", "{cidr: \"10.61.0.0/16\\u0000\"}"),
            "spec.cidr",
        ),
        (
            "bytes",
            "\u{1}\u{2}\u{7f}".repeat(1000),
            "a resource is a map",
        ),
        ("25,000 pools", many, "length limit"),
    ] {
        std::fs::write(cluster.file("a", "/run/hostile.yaml"), text).unwrap();
        // Two GiB of address space and ten seconds are more than any of it may take.
        let output = cluster.try_sh(
            "a",
            "ulimit -v 2097152; timeout 10 tombolo apply -f /run/hostile.yaml",
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{case}: {said:.500}");
        assert!(said.contains(sign), "{case}: {said:.500}");
    }
    assert_eq!(cluster.sh("a", "tombolo get ippools -o yaml"), before);
    well(&cluster);
}

#[test]
fn requests_that_are_meant_to_harm_are_refused() {
    let cluster = one_host("hostile-api");
    let deep = format!("{{\"resources\":{}", "[".repeat(100_000));
    let huge = format!(
        "GET /v1/status HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let many = format!(
        "GET /v1/status HTTP/1.1\r\nHost: t\r\n{}\r\n",
        "X: y\r\n".repeat(5000)
    );
    let mut endless =
        b"POST /v1/apply HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..64 {
        endless.extend(b"10000\r\n");
        endless.extend([b' '; 0x10000]);
        endless.extend(b"\r\n");
    }
    let short = b"POST /v1/apply HTTP/1.1\r\nHost: t\r\nContent-Length: 50\r\n\r\n{}".to_vec();
    let twice =
        b"POST /v1/apply HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}"
            .to_vec();
    for (case, bytes, status) in [
        ("a huge header", huge.into_bytes(), "431"),
        ("many headers", many.into_bytes(), "431"),
        ("an endless body", endless, "400"),
        ("a body that is cut off", short, "400"),
        ("two lengths", twice, "400"),
        (
            "a body of 3 MiB",
            post("/v1/apply", &vec![b' '; 3 << 20]),
            "400",
        ),
        ("deep JSON", post("/v1/apply", deep.as_bytes()), "400"),
        ("no JSON", post("/v1/attach", b"\xff\xfe{"), "400"),
        (
            "JSON of another shape",
            post("/v1/attach", b"[1, 2]"),
            "400",
        ),
        (
            "a field that nobody knows",
            post("/v1/apply", b"{\"resources\": [], \"force\": 1}"),
            "400",
        ),
        ("a method that is none", line("BREW /v1/status"), "405"),
        ("a method of another path", line("PUT /v1/status"), "405"),
        (
            "a path that climbs",
            line("GET /v1/networks/../../etc/passwd"),
            "404",
        ),
        (
            "a path that climbs in code",
            line("GET /v1/networks/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
            "400",
        ),
        (
            "a name with a zero byte",
            line("GET /v1/networks/a%00b"),
            "400",
        ),
        (
            "a name of 20,000 bytes",
            line(&format!("GET /v1/networks/{}", "a".repeat(20_000))),
            "400",
        ),
        (
            "a query that is none",
            line("GET /v1/endpoints?namespace=%ff"),
            "400",
        ),
        ("another version", b"GET / HTTP/9.9\r\n\r\n".to_vec(), "400"),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
            "400",
        ),
    ] {
        let said = answer(&cluster, &bytes);
        let first = said.lines().next().unwrap_or_default();
        assert!(first.contains(status), "{case}: {said:.300}");
        assert!(!said.contains("root:"), "{case}: {said:.300}");
        well(&cluster);
    }
}

#[test]
fn slow_senders_hold_nobody_up() {
    let cluster = one_host("hostile-slow");
    // Some say nothing, some half a head, some a head and half a body.
    let begun = [
        &b""[..],
        b"GET /v1/status HT",
        b"POST /v1/apply HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n{\"res",
    ];
    let mut slow: Vec<UnixStream> = Vec::new();
    for words in begun.iter().cycle().take(300) {
        let mut stream = connect(&cluster);
        stream.write_all(words).unwrap();
        slow.push(stream);
    }
    // And some take all places for metrics, which every user of the host may ask for.
    let script = "for i in $(seq 100); do exec {fd}<>/dev/tcp/127.0.0.1/7463; printf 'GET /met' >&$fd; done; echo > /run/held; read -r never";
    let _holder = cluster.lab.spawn("a", &["bash", "-c", script]).unwrap();
    cluster.until("the places are taken", || {
        cluster.file("a", "/run/held").exists().then_some(())
    });
    let asked = Instant::now();
    well(&cluster);
    let _ = cluster.container("a", "c1", "default");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "the others waited"
    );
    // The slow ones are cut off, so that their places are free again.
    for mut stream in slow {
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.is_empty() || text.contains("did not come within") || text.contains(" 408 "),
            "{text}"
        );
    }
    let metrics = cluster.sh("a", "curl -s --max-time 15 localhost:7463/metrics");
    assert!(metrics.contains("tombolo_objects"), "{metrics:.300}");
}

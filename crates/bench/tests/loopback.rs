//! Client and server over loopback: every kind of trial, and everything that can be said wrongly.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tombolo_bench::{
    BenchError, Client, Flow, Kind, LARGEST, LARGEST_DATAGRAM, Measured, RoundTrips, Server,
    Station, Trial, Window, serve_station,
};

const TOKEN: &str = "a token";
const DEADLINE: Duration = Duration::from_secs(20);
const HELLO: &str =
    "{\"hello\":{\"protocol\":\"tombolo-bench\",\"version\":1,\"token\":\"a token\"}}\n";

fn server() -> Server {
    Server::start((Ipv4Addr::LOCALHOST, 0).into(), 0, TOKEN).unwrap()
}

fn trial(kind: Kind, message: u32) -> Trial {
    Trial {
        kind,
        message,
        streams: 1,
        window: Window {
            warm_up: 5,
            measured: 50,
        },
    }
}

fn flow(measured: Measured) -> Flow {
    match measured {
        Measured::Flow(flow) => flow,
        other => panic!("{other:?}"),
    }
}

fn round_trips(measured: Measured) -> RoundTrips {
    match measured {
        Measured::RoundTrips(trips) => trips,
        other => panic!("{other:?}"),
    }
}

/// What a server answers to lines that are sent as they are.
fn told(server: SocketAddr, lines: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // One that is cut off for what it said may lose the connection before all is sent or read.
    let _ = stream.write_all(lines.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let lines = BufReader::new(stream).lines();
    lines.map_while(Result::ok).collect()
}

/// Somebody who says the same to whoever comes.
fn somebody(says: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(says).unwrap();
        let _ = stream.read(&mut [0; 1024]);
    });
    (address, thread)
}

/// A client, once the one before has gone.
fn next_client(server: &Server) -> Client {
    let begun = Instant::now();
    loop {
        match Client::connect(server.address(), TOKEN) {
            Ok(client) => return client,
            Err(why) => assert!(begun.elapsed() < DEADLINE, "{why}"),
        }
    }
}

#[test]
fn streams_carry_messages_of_every_size() {
    let server = server();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    for message in [1, 1000, LARGEST] {
        let found = flow(client.measure(&trial(Kind::TcpBandwidth, message)).unwrap());
        assert!(found.bytes_per_second > 0.0, "{message}: {found:?}");
        assert!(found.cpu_seconds_per_gigabyte >= 0.0, "{found:?}");
        assert_eq!((found.packets_per_second, found.lost), (None, None));
    }
    let four = Trial {
        streams: 4,
        ..trial(Kind::TcpBandwidth, LARGEST)
    };
    assert!(flow(client.measure(&four).unwrap()).bytes_per_second > 0.0);
}

#[test]
fn datagrams_are_counted_and_so_are_those_that_are_lost() {
    let server = server();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    for (kind, message) in [
        (Kind::UdpBandwidth, 1),
        (Kind::UdpBandwidth, 8),
        (Kind::UdpBandwidth, LARGEST_DATAGRAM),
        (Kind::UdpPackets, 64),
    ] {
        let found = flow(client.measure(&trial(kind, message)).unwrap());
        let (packets, lost) = (found.packets_per_second.unwrap(), found.lost.unwrap());
        let bytes = packets * f64::from(message);
        let ratio = bytes / found.bytes_per_second;
        assert!((ratio - 1.0).abs() < 1e-9, "{kind} {message}: {found:?}");
        assert!(packets > 0.0 && (0.0..1.0).contains(&lost), "{found:?}");
    }
}

#[test]
fn round_trips_come_in_percentiles() {
    let server = server();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    for (kind, message) in [
        (Kind::TcpLatency, 1),
        (Kind::TcpLatency, LARGEST),
        (Kind::UdpLatency, 1),
        (Kind::UdpLatency, 8),
        (Kind::UdpLatency, LARGEST_DATAGRAM),
    ] {
        let found = round_trips(client.measure(&trial(kind, message)).unwrap());
        let t = &found;
        let rising = [t.min, t.p50, t.p90, t.p99, t.p999, t.max];
        assert!(
            rising.is_sorted() && t.min > 0.5 && t.count > 0,
            "{kind} {message}: {found:?}"
        );
    }
}

#[test]
fn connections_are_opened_asked_and_closed() {
    let server = server();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    match client.measure(&trial(Kind::Connections, 1)).unwrap() {
        Measured::Connections(rate) => assert!(rate > 0.0, "{rate}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_goes_over_ipv6_as_well() {
    let server = Server::start((Ipv6Addr::LOCALHOST, 0).into(), 0, TOKEN).unwrap();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    for kind in Kind::ALL {
        client.measure(&trial(kind, 64)).unwrap();
    }
}

#[test]
fn a_second_client_is_refused_in_words_until_the_first_has_gone() {
    let server = server();
    let first = Client::connect(server.address(), TOKEN).unwrap();
    let why = Client::connect(server.address(), TOKEN).unwrap_err();
    assert!(matches!(why, BenchError::Refused { .. }), "{why}");
    assert!(
        why.to_string().contains("it measures for 127.0.0.1:"),
        "{why}"
    );
    drop(first);
    next_client(&server);
}

#[test]
fn who_has_no_token_is_refused() {
    let server = server();
    let why = Client::connect(server.address(), "another").unwrap_err();
    assert!(why.to_string().contains("token"), "{why}");
    Client::connect(server.address(), TOKEN).unwrap();
}

#[test]
fn a_server_of_another_version_is_named() {
    let (address, thread) = somebody(b"{\"hello\":{\"version\":99,\"machine\":\"m\"}}\n");
    let why = Client::connect(address, TOKEN).unwrap_err();
    assert!(
        matches!(why, BenchError::Version { theirs: 99, .. }),
        "{why}"
    );
    thread.join().unwrap();
}

#[test]
fn a_client_of_another_version_is_told_ours() {
    let server = server();
    let answers = told(
        server.address(),
        &HELLO.replace("\"version\":1", "\"version\":99"),
    );
    assert!(answers[0].contains("\"version\":1"), "{answers:?}");
    assert!(answers[1].contains("the versions differ"), "{answers:?}");
}

#[test]
fn what_is_no_server_of_ours_is_said_to_be_none() {
    let (address, thread) = somebody(b"SSH-2.0-OpenSSH_9.2\r\n");
    let why = Client::connect(address, TOKEN).unwrap_err();
    assert!(matches!(why, BenchError::Gibberish { .. }), "{why}");
    assert!(why.to_string().contains("SSH-2.0"), "{why}");
    thread.join().unwrap();
}

#[test]
fn nobody_there_is_said_with_the_port() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let why = Client::connect(address, TOKEN).unwrap_err().to_string();
    assert!(why.contains(&format!("port {}", address.port())), "{why}");
}

#[test]
fn a_server_bears_what_strangers_say_and_serves_on() {
    let server = server();
    let prepare = "{\"prepare\":{\"kind\":\"udp-packets\",\"message\":0,\"streams\":1,\
                   \"window\":{\"warm_up\":0,\"measured\":1}}}\n";
    for lines in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\n".to_owned(),
        format!("{}\n", "x".repeat(200_000)),
        "\"mark\"\n".to_owned(),
        format!("{HELLO}{HELLO}"),
        format!("{HELLO}{{\"finish\":{{\"sent\":9}}}}\n\"mark\"\n"),
        format!("{HELLO}{prepare}"),
        String::new(),
    ] {
        for answer in told(server.address(), &lines) {
            let fits = answer.contains("refused") || answer.contains("hello");
            assert!(fits, "{lines:.60}: {answer}");
        }
    }
    let mut client = next_client(&server);
    client.measure(&trial(Kind::TcpLatency, 1)).unwrap();
}

#[test]
fn a_server_that_ends_in_the_middle_is_an_error_in_time() {
    let server = server();
    let mut client = Client::connect(server.address(), TOKEN).unwrap();
    let long = Trial {
        window: Window {
            warm_up: 0,
            measured: 1000,
        },
        ..trial(Kind::TcpBandwidth, LARGEST)
    };
    let begun = Instant::now();
    let measuring = std::thread::spawn(move || client.measure(&long));
    drop(server);
    let why = measuring.join().unwrap().unwrap_err();
    assert!(begun.elapsed() < DEADLINE, "{why}");
    let fits = matches!(why, BenchError::Lost { .. } | BenchError::Blocked { .. });
    assert!(fits, "{why}");
}

#[test]
fn a_station_serves_and_measures_by_lines() {
    // Each of the two has its program on the other side of a pair of sockets.
    let start = || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            serve_station(theirs.try_clone().unwrap(), theirs).unwrap();
        });
        (Station::new(ours.try_clone().unwrap(), ours), thread)
    };
    let (mut far, far_ends) = start();
    let (mut near, near_ends) = start();
    let address = far.serve(Ipv4Addr::LOCALHOST.into(), TOKEN).unwrap();
    for kind in [Kind::TcpLatency, Kind::UdpBandwidth] {
        near.measure(address, TOKEN, &trial(kind, 64)).unwrap();
    }
    let why = near.measure(address, TOKEN, &trial(Kind::TcpLatency, 0));
    let why = why.unwrap_err().to_string();
    assert!(why.contains("a message of 0 bytes is not allowed"), "{why}");
    // It goes on after an error, with a new connection, once the old one's turn has ended.
    let begun = Instant::now();
    while let Err(why) = near.measure(address, TOKEN, &trial(Kind::TcpLatency, 1)) {
        assert!(begun.elapsed() < DEADLINE, "{why}");
    }
    drop((near, far));
    near_ends.join().unwrap();
    far_ends.join().unwrap();
}

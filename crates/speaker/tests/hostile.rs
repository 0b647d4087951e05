//! Peers that do not behave: raw connections against a speaker.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use support::{DEADLINE, Host, Speaking, config, options, origins, peer, until};

/// The speaker and the peer are on one host, at addresses of its loopback.
const US: &str = "127.0.0.1";
const THEM: &str = "127.0.0.2";

struct Bout {
    host: Host,
    speaker: Speaking,
}

impl Bout {
    /// A speaker of 65001 whose peer, of 65002, is who connects from 127.0.0.2.
    fn new(passive: bool, prefixes: &[&str]) -> Bout {
        let host = Host::new();
        let mut them = peer(65002);
        them.passive = passive;
        them.local_address = Some(US.parse().unwrap());
        let mut options = options(config(65001, 1, &[(THEM, them)]), prefixes);
        options.listen = vec![US.parse().unwrap()];
        let speaker = host.start(options);
        Bout { host, speaker }
    }

    fn connect(&self, from: &str) -> TcpStream {
        let stream = self.host.netns.run(|| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            let from: std::net::SocketAddr = format!("{from}:0").parse().unwrap();
            socket.bind(&from.into()).unwrap();
            let to: std::net::SocketAddr = format!("{US}:179").parse().unwrap();
            socket.connect(&to.into()).unwrap();
            TcpStream::from(socket)
        });
        let stream = stream.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// The session stands, with a peer that is us.
    fn establish(&self) -> TcpStream {
        let mut stream = self.connect(THEM);
        stream.write_all(&open(65002)).unwrap();
        assert_eq!(message(&mut stream).0, 1, "an OPEN");
        assert_eq!(message(&mut stream).0, 4, "a KEEPALIVE");
        stream.write_all(&keepalive()).unwrap();
        self.speaker.established(THEM);
        stream
    }
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = 19 + body.len() as u16;
    [&[0xff; 16], &length.to_be_bytes()[..], &[kind], body].concat()
}

fn keepalive() -> Vec<u8> {
    framed(4, &[])
}

fn open(asn: u16) -> Vec<u8> {
    let [high, low] = asn.to_be_bytes();
    framed(1, &[4, high, low, 0, 90, 192, 0, 2, 9, 0])
}

/// The next message: its type and its body.
fn message(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 19];
    stream.read_exact(&mut head).unwrap();
    let length = u16::from_be_bytes([head[16], head[17]]);
    let mut body = vec![0; usize::from(length) - 19];
    stream.read_exact(&mut body).unwrap();
    (head[18], body)
}

/// The NOTIFICATION that comes next, and the end after it.
fn notification(stream: &mut TcpStream) -> (u8, u8) {
    loop {
        let (kind, body) = message(stream);
        if kind == 3 {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty());
            return (body[0], body[1]);
        }
    }
}

#[test]
fn garbage_is_answered_by_a_notification_that_arrives_before_the_end() {
    let bout = Bout::new(true, &[]);
    let mut stream = bout.connect(THEM);
    stream.write_all(&[7; 4000]).unwrap();
    assert_eq!(
        notification(&mut stream),
        (1, 1),
        "connection not synchronised"
    );
    bout.speaker.complains(THEM, "not BGP");
}

#[test]
fn a_malformed_message_of_each_kind_ends_the_session_with_its_code() {
    let mut bad_version = open(65002);
    bad_version[19] = 3;
    let table: [(Vec<u8>, (u8, u8)); 5] = [
        (framed(9, &[]), (1, 3)),
        (framed(4, &[0]), (1, 2)),
        (bad_version, (2, 1)),
        (open(65099), (2, 2)),
        (keepalive(), (5, 1)),
    ];
    for (bytes, code) in table {
        let bout = Bout::new(true, &[]);
        let mut stream = bout.connect(THEM);
        stream.write_all(&bytes).unwrap();
        assert_eq!(notification(&mut stream), code, "{bytes:02x?}");
    }
}

#[test]
fn messages_that_come_byte_by_byte_are_understood() {
    let bout = Bout::new(true, &[]);
    let mut stream = bout.connect(THEM);
    stream.set_nodelay(true).unwrap();
    for byte in open(65002).into_iter().chain(keepalive()) {
        stream.write_all(&[byte]).unwrap();
    }
    bout.speaker.established(THEM);
}

#[test]
fn a_stranger_is_closed_without_a_word() {
    let bout = Bout::new(true, &[]);
    let mut stream = bout.connect("127.0.0.3");
    let mut said = Vec::new();
    // The end may come as a reset.
    let _ = stream.read_to_end(&mut said);
    assert!(said.is_empty());
}

#[test]
fn a_peer_that_accepts_and_closes_is_tried_again() {
    let bout = Bout::new(false, &[]);
    let listening = bout
        .host
        .netns
        .run(|| TcpListener::bind((THEM, 179)).unwrap());
    let listening = listening.unwrap();
    for _ in 0..2 {
        drop(listening.accept().unwrap());
    }
    until("it says so", || {
        let trouble = bout.speaker.session(THEM).trouble;
        trouble
            .map(drop)
            .ok_or_else(|| "nothing is wrong".to_owned())
    });
}

#[test]
fn a_connection_that_is_reset_ends_the_session_and_another_one_begins() {
    let bout = Bout::new(true, &[]);
    let stream = bout.establish();
    // To close with this set sends a reset.
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    bout.speaker.parted(THEM);
    bout.speaker.complains(THEM, "reset");
    until("another session stands", || {
        let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bout.establish()));
        attempt.map(drop).map_err(|_| "refused".to_owned())
    });
}

#[test]
fn a_peer_that_does_not_read_is_told_the_last_state_once_it_reads() {
    let many: Vec<String> = (0..40_000_u32)
        .map(|n| format!("10.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255))
        .collect();
    let bout = Bout::new(true, &[]);
    let mut stream = bout.establish();
    SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    let all: Vec<&str> = many.iter().map(String::as_str).collect();
    bout.speaker.handle.originate(origins(&all));
    bout.speaker.handle.originate(origins(&["10.200.0.0/16"]));
    bout.speaker.handle.originate(origins(&["10.201.0.0/16"]));
    // An answer means that all before it has been taken, although nobody reads.
    assert!(bout.speaker.is_established(THEM));
    let mut known = std::collections::BTreeSet::new();
    let last = vec![16, 10, 201];
    while !known.contains(&last) || known.len() > 1 {
        let (kind, body) = message(&mut stream);
        if kind == 2 {
            let (withdrawn, announced) = prefixes(&body);
            for prefix in withdrawn {
                known.remove(&prefix);
            }
            known.extend(announced);
        }
    }
}

/// The prefixes of an UPDATE, as their bytes: withdrawn, announced.
fn prefixes(body: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let size = |at: usize| usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
    let withdrawn = size(0);
    let attributes = size(2 + withdrawn);
    let split = |mut bytes: &[u8]| {
        let mut found = Vec::new();
        while let Some(bits) = bytes.first() {
            let (prefix, rest) = bytes.split_at(1 + usize::from(*bits).div_ceil(8));
            found.push(prefix.to_vec());
            bytes = rest;
        }
        found
    };
    (
        split(&body[2..2 + withdrawn]),
        split(&body[4 + withdrawn + attributes..]),
    )
}

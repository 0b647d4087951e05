//! Our speaker with BIRD, FRR, GoBGP and ExaBGP, one after the other: sessions within one system and
//! between two, by either family, signed and checked; routes of both families both ways.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use tombolo_bgp::{AsSegment, Asn, Config, NextHop, Password, Ttl};
use tombolo_speaker::Stop;
use tombolo_tests::daemons::{DAEMONS, OTHER, OTHER6, PLAIN, Start, Terms, US, US6};
use tombolo_tests::speaker::{Speaking, address, config, options, peer};
use tombolo_tests::{Shape, lab};

/// Our end of the terms, and the addresses of both ends.
fn ours(terms: Terms) -> (Config, &'static str, &'static str) {
    let mut other = peer(terms.asn);
    other.password = terms.password.map(|text| Password::new(text).unwrap());
    if terms.near {
        other.ttl = Ttl::Security(1);
    }
    let (us, _) = terms.peers[0];
    let at = if us == US6 { OTHER6 } else { OTHER };
    (config(&[(at, other)]), us, at)
}

/// Raises a speaker of ours and a daemon, and lets routes of both families go both ways.
fn meet(name: &str, start: Start, terms: Terms) {
    let lab = lab(name, &Shape::hosts(2));
    let (config, us, at) = ours(terms);
    let ours = Speaking::start(&lab, "a", options(config));
    let other = start(&lab, terms);
    ours.established(at);
    other.established(us);
    for prefix in ["10.2.0.0/24", "fd10:2::/64"] {
        ours.knows(prefix);
    }
    for prefix in ["10.1.0.0/24", "fd10:1::/64"] {
        other.knows(prefix);
    }
    let through: Vec<AsSegment> = match terms.asn {
        65001 => Vec::new(),
        asn => vec![AsSegment::Sequence(vec![Asn(asn)])],
    };
    let path = &ours.paths("10.2.0.0/24")[0];
    assert_eq!(path.attributes.as_path.0, through, "{name}");
    match path.next_hop {
        NextHop::V4(hop) => assert_eq!(address(OTHER), hop, "{name}"),
        // Over IPv6 an IPv4 route may have a next hop of that family (RFC 8950).
        NextHop::V6 { global, .. } => assert_eq!(address(OTHER6), global, "{name}"),
    }
    match ours.paths("fd10:2::/64")[0].next_hop {
        NextHop::V6 { global, .. } if !name.ends_with("frr") => {
            assert_eq!(address(OTHER6), global, "{name}");
        }
        NextHop::V6 { .. } => {}
        NextHop::V4(hop) => panic!("{name}: {hop}"),
    }
    ours.tell(&["10.3.0.0/24"]);
    other.knows("10.3.0.0/24");
    other.forgets("10.1.0.0/24");
    other.forgets("fd10:1::/64");
    // Who stops takes the routes along, and says why.
    other.stop();
    let stopped = Instant::now();
    ours.forgets("10.2.0.0/24");
    ours.forgets("fd10:2::/64");
    assert!(stopped.elapsed() < Duration::from_secs(3), "{name}");
    ours.stop(Stop::Cease);
}

#[test]
fn between_two_systems() {
    for (name, start) in DAEMONS {
        meet(&format!("bgp-e-{name}"), start, PLAIN);
    }
}

#[test]
fn within_one_system() {
    let terms = Terms {
        asn: 65001,
        ..PLAIN
    };
    for (name, start) in DAEMONS {
        meet(&format!("bgp-i-{name}"), start, terms);
    }
}

#[test]
fn over_ipv6() {
    let terms = Terms {
        peers: &[(US6, 65001)],
        ..PLAIN
    };
    for (name, start) in DAEMONS {
        meet(&format!("bgp-6-{name}"), start, terms);
    }
}

#[test]
fn signed() {
    for (peers, family) in [(PLAIN.peers, "4"), (&[(US6, 65001)][..], "6")] {
        let terms = Terms {
            password: Some("tombolo"),
            peers,
            ..PLAIN
        };
        for (name, start) in DAEMONS {
            meet(&format!("bgp-md5-{family}-{name}"), start, terms);
        }
    }
}

#[test]
fn only_with_neighbours() {
    let terms = Terms {
        near: true,
        ..PLAIN
    };
    for (name, start) in DAEMONS {
        meet(&format!("bgp-ttl-{name}"), start, terms);
    }
}

#[test]
fn with_a_system_whose_number_needs_four_octets() {
    let terms = Terms {
        asn: 4_200_000_002,
        ..PLAIN
    };
    for (name, start) in DAEMONS {
        meet(&format!("bgp-as4-{name}"), start, terms);
    }
}

#[test]
fn a_wrong_password_is_no_session_until_it_is_right() {
    let lab = lab("bgp-md5-wrong", &Shape::hosts(2));
    let terms = Terms {
        password: Some("theirs"),
        ..PLAIN
    };
    let other = tombolo_tests::daemons::bird(&lab, terms);
    let wrong = Terms {
        password: Some("ours"),
        ..PLAIN
    };
    let speaking = Speaking::start(&lab, "a", options(ours(wrong).0));
    let counters = || {
        let text = lab.exec("a", &["cat", "/proc/net/netstat"]).unwrap().stdout;
        String::from_utf8(text).unwrap()
    };
    let begun = Instant::now();
    while counter(&counters(), "TCPMD5Failure") == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nothing was dropped"
        );
    }
    assert!(other.sessions().is_empty());
    speaking.configure(ours(terms).0);
    speaking.established(OTHER);
    other.established(US);
}

/// A counter of /proc/net/netstat: lines in pairs, names above numbers.
fn counter(text: &str, name: &str) -> u64 {
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
    let pair = lines
        .chunks(2)
        .find(|pair| pair[0].contains(&name))
        .unwrap();
    let at = pair[0].iter().position(|column| *column == name).unwrap();
    pair[1][at].parse().unwrap()
}

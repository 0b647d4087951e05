//! Sessions between two speakers, each in a namespace of its own.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::{Host, address, config, options, origins, peer, until, with_bfd};
use tombolo_bgp::{Bfd, Graceful, Password, Ttl};
use tombolo_speaker::{SpeakerError, Stop};

const A: &str = "10.9.0.1";
const B: &str = "10.9.0.2";

#[test]
fn routes_of_both_families_go_both_ways_and_are_withdrawn() {
    let [a, b] = Host::pair();
    let mut to_b = peer(65002);
    to_b.next_hops = vec![address("10.9.0.1"), address("fd09::1")];
    let mut to_a = peer(65001);
    to_a.next_hops = vec![address("10.9.0.2"), address("fd09::2")];
    let a = a.start(options(
        config(65001, 1, &[(B, to_b)]),
        &["10.1.0.0/24", "fd01::/64"],
    ));
    let b = b.start(options(
        config(65002, 2, &[(A, to_a)]),
        &["10.2.0.0/24", "fd02::/64"],
    ));
    a.established(B);
    b.established(A);
    a.knows("10.2.0.0/24");
    a.knows("fd02::/64");
    b.knows("10.1.0.0/24");
    b.knows("fd01::/64");
    b.handle.originate(origins(&["10.3.0.0/24"]));
    a.forgets("10.2.0.0/24");
    a.knows("10.3.0.0/24");
    let known = a.handle.routes().now();
    assert!(!known.best.contains_key(&"fd02::/64".parse().unwrap()));
}

#[test]
fn a_session_stands_over_ipv6_and_over_a_link_local_address() {
    let [a, b] = Host::pair();
    let local = |host: &Host| {
        let text = host.run("ip -6 -o addr show dev wire scope link");
        let address = text.split_whitespace().nth(3).unwrap().split('/').next();
        address.unwrap().to_owned()
    };
    let (ll_a, ll_b) = (format!("{}%wire", local(&a)), format!("{}%wire", local(&b)));
    // An address of a link is tentative for a second.
    for host in [&a, &b] {
        until("no address is tentative", || {
            let text = host.run("ip -6 addr show dev wire tentative");
            if text.is_empty() { Ok(()) } else { Err(text) }
        });
    }
    let a = a.start(options(
        config(65001, 1, &[("fd09::2", peer(65002)), (&ll_b, peer(65002))]),
        &["fd01::/64"],
    ));
    let b = b.start(options(
        config(65002, 2, &[("fd09::1", peer(65001)), (&ll_a, peer(65001))]),
        &["fd02::/64"],
    ));
    for at in ["fd09::2", &ll_b] {
        a.established(at);
    }
    a.knows("fd02::/64");
    b.knows("fd01::/64");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let host = Host::new();
    let other = host.netns.run(|| TcpListener::bind("0.0.0.0:179").unwrap());
    let refused = host.try_start(options(config(65001, 1, &[]), &[]));
    let error = refused.err().unwrap();
    assert_eq!(
        error,
        SpeakerError::PortTaken {
            address: "0.0.0.0:179".parse().unwrap()
        }
    );
    assert!(error.to_string().contains("0.0.0.0:179"));
    drop(other);
    let speaker = host.start(options(config(65001, 1, &[]), &[]));
    // Another port that is taken leaves everything as it was.
    let other = host
        .netns
        .run(|| TcpListener::bind("0.0.0.0:1179").unwrap());
    let mut elsewhere = config(65001, 1, &[]);
    elsewhere.port = 1179;
    let refused = speaker.handle.configure(elsewhere.clone()).wait().unwrap();
    assert!(matches!(refused, Err(SpeakerError::PortTaken { .. })));
    drop(other);
    assert_eq!(speaker.handle.configure(elsewhere).wait().unwrap(), Ok(()));
    // The former port is free now.
    drop(host.netns.run(|| TcpListener::bind("0.0.0.0:179").unwrap()));
}

#[test]
fn a_speaker_that_has_stopped_leaves_its_port_and_says_so() {
    let host = Host::new();
    let speaker = host.start(options(config(65001, 1, &[]), &[]));
    let late = speaker.handle.routes();
    speaker.handle.stop(Stop::Cease).wait().unwrap();
    assert!(late.has_ended(), "nobody publishes any more");
    drop(host.netns.run(|| TcpListener::bind("0.0.0.0:179").unwrap()));
}

fn with_password(asn: u32, password: &str) -> tombolo_bgp::Peer {
    let mut peer = peer(asn);
    peer.password = Some(Password::new(password).unwrap());
    peer
}

/// Waits until the kernel of a host drops packets for this reason.
fn drops(host: &Host, counter: &str) {
    until(counter, || match host.counter(counter) {
        0 => Err("none dropped".to_owned()),
        _ => Ok(()),
    });
}

#[test]
fn a_wrong_password_keeps_peers_apart_until_it_is_set_right() {
    let [host_a, host_b] = Host::pair();
    let a = host_a.start(options(
        config(65001, 1, &[(B, with_password(65002, "right"))]),
        &[],
    ));
    let b = host_b.start(options(
        config(65002, 2, &[(A, with_password(65001, "wrong"))]),
        &[],
    ));
    for host in [&host_a, &host_b] {
        drops(host, "TCPMD5Failure");
    }
    assert!(!a.is_established(B) && !b.is_established(A));
    let right = config(65002, 2, &[(A, with_password(65001, "right"))]);
    assert_eq!(b.handle.configure(right).wait().unwrap(), Ok(()));
    a.established(B);
    b.established(A);
}

#[test]
fn a_peer_without_a_password_is_not_listened_to_where_one_is_needed() {
    let [host_a, host_b] = Host::pair();
    let a = host_a.start(options(
        config(65001, 1, &[(B, with_password(65002, "right"))]),
        &[],
    ));
    let b = host_b.start(options(config(65002, 2, &[(A, peer(65001))]), &[]));
    drops(&host_a, "TCPMD5NotFound");
    assert!(!a.is_established(B) && !b.is_established(A));
    // A password is taken away in place as well.
    let none = config(65001, 1, &[(B, peer(65002))]);
    assert_eq!(a.handle.configure(none).wait().unwrap(), Ok(()));
    a.established(B);
}

/// `a` and `b` with a router between them; each knows the way to the other.
fn behind_a_router() -> [Host; 3] {
    let [a, router, b] = [Host::new(), Host::new(), Host::new()];
    a.wire(&router, "10.9.0", "fd09:");
    router.run("ip link set wire name west");
    router.wire(&b, "10.8.0", "fd08:");
    router.run("sysctl -qw net.ipv4.ip_forward=1");
    a.run("ip route add 10.8.0.0/24 via 10.9.0.2");
    b.run("ip route add 10.9.0.0/24 via 10.8.0.1");
    [a, router, b]
}

fn reached_by(asn: u32, ttl: Ttl) -> tombolo_bgp::Peer {
    let mut peer = peer(asn);
    peer.ttl = ttl;
    peer
}

#[test]
fn who_is_behind_a_router_is_reached_only_where_that_is_configured() {
    let [host_a, _router, host_b] = behind_a_router();
    let far = "10.8.0.2";
    let speak = |ttl| {
        (
            config(65001, 1, &[(far, reached_by(65002, ttl))]),
            config(65002, 2, &[(A, reached_by(65001, ttl))]),
        )
    };
    let (near_a, near_b) = speak(Ttl::Default);
    let a = host_a.start(options(near_a, &[]));
    let b = host_b.start(options(near_b, &[]));
    a.complains(far, "no way to the peer");
    let (far_a, far_b) = speak(Ttl::Multihop(2));
    assert_eq!(a.handle.configure(far_a).wait().unwrap(), Ok(()));
    assert_eq!(b.handle.configure(far_b).wait().unwrap(), Ok(()));
    a.established(far);
    b.established(A);
}

#[test]
fn ttl_security_drops_what_came_from_farther_away() {
    let [host_a, _router, host_b] = behind_a_router();
    let far = "10.8.0.2";
    let speak = |ttl| {
        (
            config(65001, 1, &[(far, reached_by(65002, ttl))]),
            config(65002, 2, &[(A, reached_by(65001, ttl))]),
        )
    };
    let (strict_a, strict_b) = speak(Ttl::Security(1));
    let a = host_a.start(options(strict_a, &[]));
    let b = host_b.start(options(strict_b, &[]));
    until("the kernel drops what came through a router", || {
        let dropped = host_a.counter("TCPMinTTLDrop") + host_b.counter("TCPMinTTLDrop");
        if dropped > 0 {
            Ok(())
        } else {
            Err("none dropped".to_owned())
        }
    });
    assert!(!a.is_established(far) && !b.is_established(A));
    let (right_a, right_b) = speak(Ttl::Security(2));
    assert_eq!(a.handle.configure(right_a).wait().unwrap(), Ok(()));
    assert_eq!(b.handle.configure(right_b).wait().unwrap(), Ok(()));
    a.established(far);
    b.established(A);
}

#[test]
fn ttl_security_lets_neighbours_through() {
    let [a, b] = Host::pair();
    let a = a.start(options(
        config(65001, 1, &[(B, reached_by(65002, Ttl::Security(1)))]),
        &[],
    ));
    let b = b.start(options(
        config(65002, 2, &[(A, reached_by(65001, Ttl::Security(1)))]),
        &[],
    ));
    a.established(B);
    b.established(A);
}

#[test]
fn bfd_ends_a_session_within_its_detection_time_when_the_wire_is_cut() {
    for (asn_b, (at_a, at_b)) in [
        (65002, (B, A)),
        (65001, (B, A)),
        (65002, ("fd09::2", "fd09::1")),
    ] {
        let [host_a, host_b] = Host::pair();
        let a = host_a.start(options(config(65001, 1, &[(at_a, with_bfd(asn_b))]), &[]));
        let b = host_b.start(options(
            config(asn_b, 2, &[(at_b, with_bfd(65001))]),
            &["10.2.0.0/24"],
        ));
        a.established(at_a);
        a.knows("10.2.0.0/24");
        a.detects(at_a);
        b.detects(at_b);
        // The far end loses its packets; this end's link stays up, which is the harder case.
        host_b.run("nft 'add table t; add chain t c { type filter hook input priority 0; policy drop; }; \
            add table ip6 t; add chain ip6 t c { type filter hook input priority 0; policy drop; }'");
        host_b.run(
            "nft 'add chain t d { type filter hook output priority 0; policy drop; }; \
            add chain ip6 t d { type filter hook output priority 0; policy drop; }'",
        );
        let cut = Instant::now();
        a.forgets("10.2.0.0/24");
        // The hold time is 90 seconds. Detection takes 500 ms; the rest is a machine that is busy.
        assert!(
            cut.elapsed() < Duration::from_secs(2),
            "{:?}",
            cut.elapsed()
        );
        assert!(!a.is_established(at_a));
        a.complains(at_a, "BFD");
        host_b.run("nft flush ruleset");
        a.established(at_a);
        a.knows("10.2.0.0/24");
    }
}

/// A session that came to stand after BFD was last heard is not taken for that of a restarted peer
/// for ever.
#[test]
fn a_wire_that_is_cut_as_the_session_comes_to_stand_ends_it() {
    let [host_a, host_b] = Host::pair();
    let slowly = |asn: u32| {
        let mut peer = peer(asn);
        peer.bfd = Some(Bfd {
            interval: Duration::from_secs(1),
            multiplier: 2,
        });
        peer
    };
    let chain = "add table t; add chain t c { type filter hook input priority 0; }";
    host_b.run(&format!(
        "nft '{chain}; add rule t c tcp dport 179 drop; \
        add rule t c tcp sport 179 drop'"
    ));
    let a = host_a.start(options(config(65001, 1, &[(B, slowly(65002))]), &[]));
    let _b = host_b.start(options(config(65002, 2, &[(A, slowly(65001))]), &[]));
    until("BFD is up", || {
        let status = a.handle.status().wait().unwrap();
        let state = status.bfd[&B.parse().unwrap()].state;
        (state == "Up").then_some(()).ok_or(state.to_owned())
    });
    host_b.run("nft flush chain t c");
    a.established(B);
    host_b.run("nft 'add rule t c drop'");
    a.complains(B, "BFD");
}

#[test]
fn bfd_that_one_side_switches_off_ends_no_session() {
    let [host_a, host_b] = Host::pair();
    let a = host_a.start(options(config(65001, 1, &[(B, with_bfd(65002))]), &[]));
    let b = host_b.start(options(config(65002, 2, &[(A, with_bfd(65001))]), &[]));
    a.established(B);
    a.detects(B);
    let without = config(65002, 2, &[(A, peer(65001))]);
    assert_eq!(b.handle.configure(without).wait().unwrap(), Ok(()));
    until("BFD is not up any more", || {
        let status = a.handle.status().wait().unwrap();
        let state = status.bfd.get(&B.parse().unwrap()).map(|bfd| bfd.state);
        if state == Some("Up") {
            Err("it is".to_owned())
        } else {
            Ok(())
        }
    });
    let (session, other) = (a.session(B), b.session(A));
    assert_eq!(
        (session.flaps, other.flaps),
        (0, 0),
        "{session:?} {other:?}"
    );
    a.established(B);
}

#[test]
fn a_speaker_that_leaves_takes_its_routes_with_it() {
    let [a, b] = Host::pair();
    let a = a.start(options(config(65001, 1, &[(B, peer(65002))]), &[]));
    let b = b.start(options(
        config(65002, 2, &[(A, peer(65001))]),
        &["10.2.0.0/24"],
    ));
    a.knows("10.2.0.0/24");
    b.handle.stop(Stop::Cease).wait().unwrap();
    a.forgets("10.2.0.0/24");
    a.complains(B, "shutdown");
}

#[test]
fn a_speaker_that_restarts_gracefully_keeps_its_routes_with_its_peers() {
    let [host_a, host_b] = Host::pair();
    let graceful = |mut config: tombolo_bgp::Config| {
        config.graceful = Some(Graceful::default());
        config
    };
    let config_b = graceful(config(65002, 2, &[(A, peer(65001))]));
    let a = host_a.start(options(
        graceful(config(65001, 1, &[(B, peer(65002))])),
        &["10.1.0.0/24"],
    ));
    let b = host_b.start(options(config_b.clone(), &["10.2.0.0/24", "10.3.0.0/24"]));
    a.knows("10.2.0.0/24");
    a.knows("10.3.0.0/24");
    b.knows("10.1.0.0/24");
    b.handle.stop(Stop::Graceful).wait().unwrap();
    a.parted(B);
    let kept = a.session(B).kept;
    assert!(!kept.is_empty(), "what is kept is shown");
    assert_eq!(a.handle.routes().now().best.len(), 2);
    let mut again = options(config_b, &["10.2.0.0/24"]);
    again.restarting = true;
    let b = host_b.start(again);
    assert!(!b.handle.routes().now().settled);
    b.routes("settled", |routes| routes.settled && routes.best.len() == 1);
    a.established(B);
    // What is not said again goes.
    a.forgets("10.3.0.0/24");
    a.knows("10.2.0.0/24");
    assert_eq!(a.session(B).kept, Vec::<String>::new());
}

#[test]
fn a_dropped_handle_ends_the_speaker() {
    let [a, b] = Host::pair();
    let a = a.start(options(config(65001, 1, &[(B, peer(65002))]), &[]));
    let b = b.start(options(
        config(65002, 2, &[(A, peer(65001))]),
        &["10.2.0.0/24"],
    ));
    a.knows("10.2.0.0/24");
    drop(b);
    a.forgets("10.2.0.0/24");
    a.complains(B, "closed");
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    let [a, _b] = Host::pair();
    let mut from_elsewhere = peer(65002);
    from_elsewhere.local_address = Some(address("10.77.0.1"));
    let a = a.start(options(config(65001, 1, &[(B, from_elsewhere)]), &[]));
    a.complains(B, "cannot connect from 10.77.0.1");
}

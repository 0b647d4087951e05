//! Peers that say what must not be said, written by hand, and ExaBGP with raw attributes: each class of
//! malformed message of RFC 4271 section 6 and RFC 7606, each state in which a connection may be reset. What
//! was wrong is said in words; a peer that behaves again is spoken with again.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_bgp::{Peer, SessionState, Ttl};
use tombolo_lab::Lab;
use tombolo_speaker::Stop;
use tombolo_tests::daemons::{OTHER, PLAIN, exabgp};
use tombolo_tests::raw::{AS_PATH, NEXT_HOP, ORIGIN, Raw, message, open, open_of, update};
use tombolo_tests::speaker::{Speaking, config, options, peer};
use tombolo_tests::{Shape, lab};

/// 10.66.0.0/24
const PREFIX: &[u8] = &[24, 10, 66, 0];

/// A speaker that waits for a peer of AS 65002 on host `b`.
fn waiting(lab: &Lab) -> Speaking {
    let passive = Peer {
        passive: true,
        ..peer(65002)
    };
    Speaking::start(lab, "a", options(config(&[(OTHER, passive)])))
}

/// How far a conversation is when the bad message comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    First,
    AfterOpen,
    Standing,
}
use Stage::{AfterOpen, First, Standing};

/// A bad message, what is answered, and a part of what is said of it.
type Case = (Stage, Vec<u8>, (u8, u8), &'static str);

/// Each case against a speaker of its own, since one that was wronged often waits before it listens.
fn each(name: &str, cases: Vec<Case>) {
    let lab = lab(name, &Shape::hosts(2));
    for (stage, bytes, code, words) in cases {
        let ours = waiting(&lab);
        let mut raw = Raw::connect(&lab, "b");
        match stage {
            First => {}
            AfterOpen => {
                raw.say(&open());
                assert_eq!(raw.hear().0, 1);
                assert_eq!(raw.hear().0, 4);
            }
            Standing => raw.confirm(&open()),
        }
        raw.say(&bytes);
        assert_eq!(raw.farewell(), code, "{words}: {bytes:02x?}");
        ours.complains(OTHER, words);
        // Once is forgiven, and the same peer is well.
        let again = Raw::established(&lab, "b");
        ours.established(OTHER);
        drop(again);
        ours.stop(Stop::Cease);
    }
}

#[test]
fn malformed_headers_are_told_of() {
    let mut marker = message(4, &[]);
    marker[3] = 0;
    let of_length = |length: u16, kind: u8| {
        let mut bytes = message(kind, &[]);
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let mut cases = vec![
        (First, marker.clone(), (1, 1), "not BGP"),
        (Standing, marker, (1, 1), "not BGP"),
        (Standing, of_length(18, 4), (1, 2), "of 18 bytes"),
        (Standing, of_length(4097, 2), (1, 2), "of 4097 bytes"),
        (
            Standing,
            message(4, &[0]),
            (1, 2),
            "a KEEPALIVE of 20 bytes",
        ),
        (
            Standing,
            message(2, &[0, 0, 0]),
            (1, 2),
            "an UPDATE of 22 bytes",
        ),
        (
            Standing,
            message(3, &[6]),
            (1, 2),
            "a NOTIFICATION of 20 bytes",
        ),
        (First, message(1, &[4; 9]), (1, 2), "an OPEN of 28 bytes"),
        (Standing, message(9, &[]), (1, 3), "a message of type 9"),
        (Standing, message(0, &[]), (1, 3), "a message of type 0"),
    ];
    cases.push((
        Standing,
        message(5, &[0, 1, 0, 1, 9]),
        (1, 2),
        "5 bytes instead of 4",
    ));
    each("bgp-bad-header", cases);
}

#[test]
fn malformed_opens_are_told_of() {
    let four = |asn: u32| [&[65, 4][..], &asn.to_be_bytes()].concat();
    let good = four(65002);
    let at = |place: usize, byte: u8| {
        let mut bytes = open();
        bytes[place] = byte;
        bytes
    };
    let mut no_id = open();
    no_id[24..28].fill(0);
    // Only IPv4 multicast is offered (AFI 1, SAFI 2).
    let other_family = [&[1, 4, 0, 1, 0, 2][..], &good].concat();
    each(
        "bgp-bad-open",
        vec![
            (First, at(19, 3), (2, 1), "the peer speaks BGP 3, not 4"),
            (First, open_of(0, 90, &four(0)), (2, 2), "system is 0"),
            (
                First,
                open_of(65009, 90, &four(65009)),
                (2, 2),
                "the peer says that it is AS 65009",
            ),
            (
                First,
                open_of(65002, 90, &four(65009)),
                (2, 2),
                "the peer says that it is AS 65009",
            ),
            // Without the long number, 23456 is nobody.
            (
                First,
                open_of(23456, 90, &[2, 0]),
                (2, 2),
                "the peer says that it is AS 23456",
            ),
            (First, no_id, (2, 3), "identifier is 0.0.0.0"),
            (First, at(29, 7), (2, 4), "optional parameter 7"),
            (
                First,
                at(28, 9),
                (2, 0),
                "optional parameters that do not add up",
            ),
            (
                First,
                open_of(65002, 1, &good),
                (2, 6),
                "a hold time of 1 s",
            ),
            (
                First,
                open_of(65002, 2, &good),
                (2, 6),
                "a hold time of 2 s",
            ),
            (
                First,
                open_of(65002, 90, &other_family),
                (2, 7),
                "nothing to talk about",
            ),
        ],
    );
}

#[test]
fn messages_out_of_turn_are_told_of() {
    let nothing = update(&[], &[], &[]);
    each(
        "bgp-bad-turn",
        vec![
            (
                First,
                message(4, &[]),
                (5, 1),
                "a KEEPALIVE, which has no place in state OpenSent",
            ),
            (First, nothing.clone(), (5, 1), "an UPDATE"),
            (
                AfterOpen,
                nothing,
                (5, 2),
                "an UPDATE, which has no place in state OpenConfirm",
            ),
            (
                AfterOpen,
                open(),
                (5, 2),
                "an OPEN, which has no place in state OpenConfirm",
            ),
            (
                Standing,
                open(),
                (5, 3),
                "an OPEN, which has no place in state Established",
            ),
        ],
    );
}

#[test]
fn updates_that_cannot_be_borne_end_the_session() {
    let told = [ORIGIN, AS_PATH, NEXT_HOP];
    let with = |more: &[u8]| update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, more], PREFIX);
    // fd66::/16 by an address of three bytes, and nothing that is withdrawn.
    let odd_hop = [0x80, 14, 11, 0, 2, 1, 3, 192, 168, 50, 0, 16, 0xfd, 0x66];
    let unreach = [0x80, 15, 3, 0, 1, 1];
    each(
        "bgp-bad-update",
        vec![
            (
                Standing,
                message(2, &[0, 9, 0, 0]),
                (3, 1),
                "fields are longer than itself",
            ),
            (
                Standing,
                message(2, &[0, 0, 0, 9]),
                (3, 1),
                "fields are longer than itself",
            ),
            (
                Standing,
                with(&[0x40, 99, 1, 0]),
                (3, 2),
                "well-known attribute 99",
            ),
            (
                Standing,
                update(&[], &told, &[33, 10, 66, 0, 0, 0]),
                (3, 10),
                "33 bits",
            ),
            (
                Standing,
                update(&[], &told, &[24, 10]),
                (3, 10),
                "cut short",
            ),
            (
                Standing,
                update(&[40, 10, 66, 0, 0, 0], &[], &[]),
                (3, 10),
                "40 bits",
            ),
            (
                Standing,
                update(&[], &[ORIGIN, AS_PATH, &odd_hop], &[]),
                (3, 9),
                "a next hop of 3 bytes",
            ),
            (
                Standing,
                update(&[], &[&unreach, &unreach], &[]),
                (3, 1),
                "MP_UNREACH_NLRI more than once",
            ),
            (
                Standing,
                update(&[], &[&[0x80, 15, 2, 0, 1]], &[]),
                (3, 9),
                "MP_UNREACH_NLRI",
            ),
            // Nothing says what it is about.
            (
                Standing,
                update(&[], &[&[0x40, 1, 1, 7]], &[]),
                (3, 6),
                "ORIGIN with the value 7",
            ),
        ],
    );
}

#[test]
fn attributes_that_are_malformed_cost_their_routes_and_are_said() {
    let lab = lab("bgp-bad-attribute", &Shape::hosts(2));
    let ours = waiting(&lab);
    let mut raw = Raw::established(&lab, "b");
    let good = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], PREFIX);
    let with = |more: &[u8]| update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, more], PREFIX);
    let instead = |one: &[u8]| {
        let mut all = [ORIGIN, AS_PATH, NEXT_HOP];
        *all.iter_mut().find(|other| other[1] == one[1]).unwrap() = one;
        update(&[], &all, PREFIX)
    };
    let withdrawn = [
        (instead(&[0x40, 1, 1, 3]), "ORIGIN with the value 3"),
        (instead(&[0x40, 1, 2, 0, 0]), "ORIGIN with 2 bytes"),
        (instead(&[0xC0, 1, 1, 0]), "ORIGIN with the flags 0xc0"),
        (
            instead(&[0x40, 2, 6, 9, 1, 0, 0, 0xFD, 0xEA]),
            "AS_PATH with a segment of type 9",
        ),
        (
            instead(&[0x40, 2, 2, 2, 0]),
            "AS_PATH with a segment of 0 systems",
        ),
        (
            instead(&[0x40, 2, 3, 2, 1, 0]),
            "AS_PATH with a segment of 1 systems",
        ),
        (instead(&[0x40, 3, 3, 10, 0, 0]), "NEXT_HOP with 3 bytes"),
        (update(&[], &[AS_PATH, NEXT_HOP], PREFIX), "no ORIGIN"),
        (update(&[], &[ORIGIN, NEXT_HOP], PREFIX), "no AS_PATH"),
        (update(&[], &[ORIGIN, AS_PATH], PREFIX), "no NEXT_HOP"),
        (with(&[0x80, 4, 3, 0, 0, 0]), "MULTI_EXIT_DISC with 3 bytes"),
        (
            with(&[0xC0, 4, 4, 0, 0, 0, 1]),
            "MULTI_EXIT_DISC with the flags 0xc0",
        ),
        (with(&[0xC0, 8, 3, 0, 0, 0]), "COMMUNITIES with 3 bytes"),
        (with(&[0xC0, 8, 0]), "COMMUNITIES"),
        (with(&[0xC0, 16, 7, 0, 0, 0, 0, 0, 0, 0]), "with 7 bytes"),
        (
            with(&[0xC0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            "with 11 bytes",
        ),
        // It ends beyond the field of all attributes.
        (with(&[0xC0, 8, 9, 0, 0, 0]), ""),
    ];
    for (bytes, words) in withdrawn {
        raw.say(&good);
        ours.knows("10.66.0.0/24");
        let before = ours.session(OTHER).borne;
        raw.say(&bytes);
        ours.forgets("10.66.0.0/24");
        let session = ours.session(OTHER);
        assert!(session.borne > before, "{words}: {session:?}");
        let last = session.last_borne.unwrap();
        assert!(last.contains(words), "{words}: {last}");
    }
    // These alone are taken off, and the route stays.
    let discarded: [(Vec<u8>, &str); 4] = [
        (with(&[0x40, 6, 1, 0]), "ATOMIC_AGGREGATE with 1 bytes"),
        (with(&[0xC0, 7, 3, 0, 0, 0]), "AGGREGATOR with 3 bytes"),
        (with(&[0x40, 5, 1, 0]), "LOCAL_PREF"),
        (with(&[0x40, 1, 1, 2]), "ORIGIN more than once"),
    ];
    for (bytes, words) in discarded {
        raw.say(&update(PREFIX, &[], &[]));
        ours.forgets("10.66.0.0/24");
        raw.say(&bytes);
        ours.knows("10.66.0.0/24");
        let last = ours.session(OTHER).last_borne.unwrap();
        assert!(last.contains(words), "{words}: {last}");
    }
    let session = ours.session(OTHER);
    assert_eq!(
        (session.flaps, session.state),
        (0, SessionState::Established)
    );
}

#[test]
fn a_reset_is_survived_in_every_state() {
    let lab = lab("bgp-resets", &Shape::hosts(2));
    // We connect, and nobody listens: Connect and Active.
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
    ours.complains(OTHER, "could not connect: the peer refuses the connection");
    let listener = Raw::listen(&lab, "b");
    // Before the OPEN, and behind it.
    Raw::accept(&listener).reset();
    ours.complains(OTHER, "reset");
    let mut raw = Raw::accept(&listener);
    assert_eq!(raw.hear().0, 1);
    let state = |wanted: SessionState| {
        ours.until(OTHER, &format!("it is {wanted}"), |session| {
            (session.state == wanted).then_some(())
        });
    };
    state(SessionState::OpenSent);
    raw.reset();
    let mut raw = Raw::accept(&listener);
    raw.say(&open());
    state(SessionState::OpenConfirm);
    raw.reset();
    let mut raw = Raw::accept(&listener);
    raw.confirm(&open());
    ours.established(OTHER);
    raw.say(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], PREFIX));
    ours.knows("10.66.0.0/24");
    // In the middle of a message.
    raw.say(&message(4, &[])[..7]);
    raw.reset();
    ours.forgets("10.66.0.0/24");
    ours.complains(OTHER, "reset");
    let mut raw = Raw::accept(&listener);
    raw.confirm(&open());
    ours.established(OTHER);
    assert_eq!(ours.session(OTHER).flaps, 1);
}

#[test]
fn a_path_with_our_system_or_another_first_is_refused_with_its_reason() {
    let lab = lab("bgp-loops", &Shape::hosts(2));
    // Next hops of a neighbour are on its link; one that is farther away may name others.
    let far = Peer {
        ttl: Ttl::Multihop(2),
        ..peer(65002)
    };
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, far)])));
    let other = exabgp(&lab, PLAIN);
    ours.knows("10.2.0.0/24");
    for (prefix, hop, path, reason) in [
        (
            "10.71.0.0/24",
            OTHER,
            "65002 65001",
            "our own system is in its AS path",
        ),
        (
            "10.72.0.0/24",
            OTHER,
            "65009 65002",
            "does not begin with the peer's system",
        ),
        (
            "10.73.0.0/24",
            "192.168.50.11",
            "65002",
            "its next hop is our own address",
        ),
    ] {
        other.tell(&format!(
            "announce route {prefix} next-hop {hop} as-path [ {path} ]"
        ));
        ours.until(OTHER, reason, |session| {
            let mut reasons = session.prefixes.refused.keys();
            reasons.any(|words| words.contains(reason)).then_some(())
        });
        assert!(ours.paths(prefix).is_empty(), "{prefix}");
    }
    // A next hop that nothing leads to is no fault: the route waits, and that is said.
    other.tell("announce route 10.74.0.0/24 next-hop 198.51.100.1");
    ours.until(OTHER, "it is told of the next hop", |session| {
        let hop = "198.51.100.1".parse().unwrap();
        (session.unreachable.get(&hop) == Some(&1)).then_some(())
    });
    assert!(ours.paths("10.74.0.0/24").is_empty());
    let mut hops = options(config(&[])).next_hops;
    hops.0.push(("198.51.100.0/24".parse().unwrap(), 10));
    ours.handle.set_next_hops(hops);
    ours.knows("10.74.0.0/24");
    assert!(ours.session(OTHER).unreachable.is_empty());
}

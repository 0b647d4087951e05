//! Two connections at once (RFC 4271 section 6.8), step by step and at random.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use std::time::Duration;

use proptest::prelude::*;
use stage::{Stage, open, open_graceful, seconds};
use tombolo_bgp::message::Message;
use tombolo_bgp::simulate::{Network, Wire};
use tombolo_bgp::{Asn, Peer, SessionState};

#[test]
fn rfc4271_6_8_1_the_connection_of_the_higher_identifier_stays() {
    for higher in [true, false] {
        let mut stage = Stage::new(|_| ());
        let ours = stage.answer();
        let theirs = stage.accept().unwrap();
        stage.say(ours, &Message::Open(open(higher)));
        assert_eq!(stage.closed, [], "nothing is known of the other one yet");
        stage.say(theirs, &Message::Open(open(higher)));
        let (stays, goes) = if higher {
            (theirs, ours)
        } else {
            (ours, theirs)
        };
        assert_eq!(stage.farewell_codes(goes), (6, 7));
        stage.say(stays, &Message::Keepalive);
        assert_eq!(stage.state(), SessionState::Established);
        assert_eq!(stage.status().trouble.map(|trouble| trouble.words), None);
    }
}

#[test]
fn rfc4271_6_8_2_identifiers_are_compared_as_numbers() {
    // As text, 10.0.0.10 would be less than 10.0.0.5.
    let mut stage = Stage::new(|_| ());
    let mut ten = open(true);
    ten.router_id = tombolo_bgp::RouterId([10, 0, 0, 10].into());
    let ours = stage.answer();
    let theirs = stage.accept().unwrap();
    stage.say(ours, &Message::Open(ten.clone()));
    stage.say(theirs, &Message::Open(ten));
    assert_eq!(stage.closed, [ours]);
}

#[test]
fn rfc4271_6_8_3_a_session_that_stands_is_not_given_up_for_a_new_connection() {
    let mut stage = Stage::new(|_| ());
    let ours = stage.answer();
    stage.establish(ours, open(true));
    stage.pass(seconds(20));
    let theirs = stage.accept().unwrap();
    stage.say(theirs, &Message::Open(open(true)));
    assert_eq!(stage.farewell_codes(theirs), (6, 7));
    assert_eq!(stage.state(), SessionState::Established);
    assert_eq!(stage.status().flaps, 0);
}

#[test]
fn rfc4271_6_8_4_connections_that_crossed_are_judged_though_one_stands_already() {
    let mut stage = Stage::new(|_| ());
    let ours = stage.answer();
    let theirs = stage.accept().unwrap();
    stage.establish(ours, open(true));
    stage.say(theirs, &Message::Open(open(true)));
    assert_eq!(stage.farewell_codes(ours), (6, 7));
    stage.say(theirs, &Message::Keepalive);
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn rfc4724_a_peer_that_survives_restarts_and_connects_has_lost_the_old_connection() {
    let mut stage = Stage::new(|_| ());
    let old = stage.answer();
    stage.establish(old, open_graceful(false, true, false));
    stage.tell(old, &["10.1.0.0/24"]);
    stage.pass(seconds(20));
    stage.hear(old);
    let new = stage.accept().unwrap();
    stage.say(new, &Message::Open(open_graceful(true, true, false)));
    assert_eq!(stage.closed, [old]);
    assert_eq!(
        stage.hear(old),
        [],
        "no NOTIFICATION is said to who is not there"
    );
    assert_eq!(stage.routes(), ["10.1.0.0/24*"]);
    stage.hear(new);
    stage.say(new, &Message::Keepalive);
    stage.tell(new, &["10.1.0.0/24"]);
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
}

#[test]
fn a_try_of_ours_is_given_up_when_the_peer_was_quicker() {
    let mut stage = Stage::new(|_| ());
    let ours = stage.await_dial(seconds(1));
    let theirs = stage.accept().unwrap();
    stage.establish(theirs, open(false));
    assert_eq!(stage.closed, [ours]);
}

#[test]
fn a_peer_that_begins_again_has_given_up_what_it_began_before() {
    let mut stage = Stage::new(|peer| peer.passive = true);
    let first = stage.accept().unwrap();
    let second = stage.accept().unwrap();
    assert_eq!(stage.closed, [first]);
    stage.establish(second, open(true));
}

/// What happens to two nodes, and then they are left alone.
#[derive(Debug, Clone)]
enum Blow {
    Cut,
    Part,
    Heal,
    Reset(usize, bool),
    Restart(usize, bool),
    Pass(u64),
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let node = 0..2_usize;
    let blow = prop_oneof![
        Just(Blow::Cut),
        Just(Blow::Part),
        Just(Blow::Heal),
        (node.clone(), any::<bool>()).prop_map(|(node, hard)| Blow::Reset(node, hard)),
        (node, any::<bool>()).prop_map(|(node, kept)| Blow::Restart(node, kept)),
        (1..5_000_u64).prop_map(Blow::Pass),
        (5_000..100_000_u64).prop_map(Blow::Pass),
    ];
    prop::collection::vec(blow, 0..12)
}

fn strike(network: &mut Network, blow: &Blow) {
    match *blow {
        Blow::Cut => network.cut(0, 1),
        Blow::Part => network.part(0, 1),
        Blow::Heal => network.heal(0, 1),
        Blow::Reset(node, hard) => {
            let peer = network.address(1 - node).into();
            network.drive(node, |speaker, now| speaker.reset(&peer, hard, now));
        }
        Blow::Restart(node, kept) => {
            network.kill(node);
            network.run(Duration::from_millis(300));
            network.start(node, kept);
        }
        Blow::Pass(millis) => network.run(Duration::from_millis(millis)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_speakers_that_are_left_alone_end_with_one_session(
        seed in any::<u64>(),
        graceful in any::<[bool; 2]>(),
        slow in any::<bool>(),
        piece in 1..200_usize,
        blows in blows(),
    ) {
        let latency = if slow { (1, 400) } else { (0, 3) };
        let latency = (Duration::from_millis(latency.0), Duration::from_millis(latency.1));
        let mut network = Network::new(seed, Wire { latency, piece });
        for number in 1..=2_u16 {
            let system = Asn(64511 + u32::from(number % 2));
            let node = network.add(number, system);
            if !graceful[node] {
                network.configure(node, |config| config.graceful = None);
            }
            network.originate(node, [format!("10.{number}.0.0/16").parse().unwrap()]);
        }
        network.join(0, 1, Peer::new("the other", Asn(0)));
        for blow in &blows {
            strike(&mut network, blow);
        }
        network.heal(0, 1);
        // The longest back-off, the hold time, and the time of a restart.
        network.run(Duration::from_secs(600));
        for node in 0..2 {
            let session = network.speaker(node).sessions(network.now()).remove(0);
            prop_assert_eq!(session.state, SessionState::Established, "{:?}", session);
            let prefix = format!("10.{}.0.0/16", 2 - node).parse().unwrap();
            prop_assert!(network.table(node).contains_key(&prefix));
            let mut rows = network.speaker(node).rib().table();
            prop_assert!(rows.all(|row| !row.stale));
            prop_assert!(network.speaker(node).settled());
        }
        let flaps = |network: &Network| network.speaker(0).sessions(network.now())[0].flaps;
        let before = flaps(&network);
        network.run(Duration::from_secs(3600));
        prop_assert_eq!(flaps(&network), before, "and it stays");
    }
}

//! Peers find each other, and how large a packet passes, over a wire in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{LIMIT, PORT, Wire, address, config, id, key, own, seconds};
use tombolo_tunnel::PeerId;
use tombolo_tunnel::control::{Control, Discard, Moment};

#[test]
fn two_nodes_find_each_other_at_once() {
    let mut wire = Wire::new(2);
    wire.run(Duration::from_millis(10));
    assert!(wire.is_up(0, 1) && wire.is_up(1, 0));
    let status = wire.status(0, 1);
    assert_eq!((status.mtu, status.mtu_confirmed), (LIMIT, true));
    assert_eq!(status.round_trip, Some(Duration::from_millis(2)));
    assert_eq!(status.seen_as, None);
    // And say little from then on: less than a hello and its answer in 15 seconds each.
    let before = wire.sent;
    wire.run(seconds(600));
    assert!(wire.sent - before <= 4 * 41, "{}", wire.sent - before);
}

#[test]
fn what_passes_is_found_to_the_byte() {
    for passes in [540, 800, 1279, 1280, 1281, 1364, 1414, 1463] {
        let mut wire = Wire::new(2);
        wire.passes.insert((0, 1), passes);
        wire.run(seconds(30));
        let status = wire.status(0, 1);
        assert_eq!((status.mtu, status.mtu_confirmed), (passes, true));
        // The way back is another one.
        assert_eq!(wire.way(1, 0).mtu, LIMIT);
    }
}

#[test]
fn a_way_that_begins_to_swallow_large_packets_is_noticed_within_seconds_where_it_is_used() {
    let mut wire = Wire::new(2);
    wire.run(seconds(60));
    wire.passes.insert((0, 1), 1300);
    let mut first = None;
    for _ in 0..100 {
        wire.nodes[0].active(&id(1), wire.now);
        wire.run(Duration::from_millis(100));
        if wire.way(0, 1).mtu <= 1300 && first.is_none() {
            first = Some(wire.now - seconds(60));
        }
    }
    assert!(first.unwrap() < seconds(5), "{first:?}");
    assert_eq!(wire.way(0, 1).mtu, 1300);
    assert!(wire.is_up(0, 1));
}

#[test]
fn a_way_that_is_not_used_is_looked_at_too() {
    let mut wire = Wire::new(2);
    wire.run(seconds(60));
    wire.passes.insert((0, 1), 1300);
    wire.run(seconds(30));
    assert_eq!(wire.way(0, 1).mtu, 1300);
}

#[test]
fn what_passes_again_is_used_again() {
    let mut wire = Wire::new(2);
    wire.passes.insert((0, 1), 1300);
    wire.run(seconds(20));
    assert_eq!(wire.way(0, 1).mtu, 1300);
    wire.passes.insert((0, 1), 1400);
    wire.run(seconds(60));
    assert_eq!(wire.way(0, 1).mtu, 1400);
    wire.passes.clear();
    wire.run(seconds(700));
    assert_eq!(wire.way(0, 1).mtu, LIMIT);
}

#[test]
fn interfaces_that_take_more_or_less_are_followed() {
    let mut wire = Wire::new(2);
    wire.run(seconds(5));
    let with_limit = |limit: u16| {
        let mut config = config(0, 2);
        config.peers.get_mut(&id(1)).unwrap().underlay_mtu = limit + 36;
        config
    };
    wire.nodes[0].configure(with_limit(1364), wire.now);
    assert_eq!(wire.way(0, 1).mtu, 1364);
    wire.run(seconds(5));
    wire.nodes[0].configure(with_limit(8964), wire.now);
    assert_eq!(wire.way(0, 1).mtu, 1364, "not before it has passed");
    wire.run(seconds(1));
    assert_eq!(wire.way(0, 1).mtu, 8964);
}

#[test]
fn what_the_kernel_refuses_need_not_be_waited_for() {
    let mut control = Control::new(config(0, 2), 1, Moment::ZERO);
    let mut peer = Control::new(config(1, 2), 2, Moment::ZERO);
    let mut now = Moment::ZERO;
    let mut out = Vec::new();
    for _ in 0..40 {
        control.tick(now, &mut out);
        for output in std::mem::take(&mut out) {
            if output.body.len() > 1400 {
                control.refused(&id(1), &output.body, now);
                continue;
            }
            let mut back = Vec::new();
            peer.receive((own(0), PORT), &output.body, now, &mut back)
                .unwrap();
            for output in back {
                let _ = control.receive((own(1), PORT), &output.body, now, &mut Vec::new());
            }
        }
        now += Duration::from_millis(1);
    }
    assert_eq!(control.ways()[&id(1)].mtu, 1400);
}

#[test]
fn a_peer_that_falls_silent_is_down_and_keeps_its_size() {
    let mut wire = Wire::new(2);
    wire.passes.insert((0, 1), 1400);
    wire.run(seconds(30));
    wire.cut.push(1);
    wire.run(seconds(60));
    assert!(!wire.is_up(0, 1));
    assert_eq!(wire.way(0, 1).mtu, 1400);
    wire.cut.clear();
    wire.run(seconds(21));
    assert!(wire.is_up(0, 1) && wire.is_up(1, 0));
    assert_eq!(wire.way(0, 1).mtu, 1400);
}

#[test]
fn a_node_behind_a_translation_is_reached_at_the_address_that_it_is_seen_at() {
    let mut wire = Wire::new(2);
    let seen = "198.51.100.7:40001".parse().unwrap();
    wire.translated.insert(0, seen);
    wire.run(Duration::from_millis(50));
    assert!(wire.is_up(0, 1) && wire.is_up(1, 0));
    assert_eq!(wire.way(1, 0).endpoint, seen);
    assert_eq!(wire.status(0, 1).seen_as, Some(seen));
    assert_eq!(wire.status(1, 0).seen_as, None);
    // Its words.
    let words = wire.status(1, 0).to_string();
    assert!(
        words.contains("behind a NAT (its own address is 10.0.0.1:4799)"),
        "{words}"
    );
}

#[test]
fn another_mapping_is_followed_within_seconds_and_back_again() {
    let mut wire = Wire::new(2);
    wire.translated
        .insert(0, "198.51.100.7:40001".parse().unwrap());
    wire.run(seconds(30));
    let other = "198.51.100.7:40002".parse().unwrap();
    wire.translated.insert(0, other);
    wire.run(seconds(6));
    assert_eq!(wire.way(1, 0).endpoint, other);
    wire.translated.clear();
    wire.run(seconds(6));
    assert_eq!(wire.way(1, 0).endpoint, own(0));
    assert!(wire.is_up(1, 0));
}

#[test]
fn what_was_recorded_moves_nobody() {
    let mut wire = Wire::new(2);
    wire.records = true;
    wire.run(seconds(30));
    let recorded = std::mem::take(&mut wire.recorded);
    wire.records = false;
    let thief = address("203.0.113.9");
    let before = wire.sent;
    for (_, to, body) in &recorded {
        wire.arrive(thief, *to, body);
        wire.run(Duration::from_millis(1));
    }
    wire.run(seconds(60));
    assert_eq!(wire.way(0, 1).endpoint, own(1));
    assert_eq!(wire.way(1, 0).endpoint, own(0));
    assert!(wire.is_up(0, 1) && wire.is_up(1, 0));
    assert!(wire.nodes[0].discards()[&Discard::Stale] > 0);
    // No more comes back than was sent, but for the hellos of a minute.
    assert!(wire.sent - before <= recorded.len() * 2 + 30);
}

#[test]
fn who_has_another_key_is_not_listened_to() {
    let mut wire = Wire::new(2);
    let mut wrong = config(0, 2);
    wrong.key = key(7);
    wire.nodes[0].configure(wrong, Moment::ZERO);
    wire.run(seconds(60));
    assert!(!wire.is_up(0, 1) && !wire.is_up(1, 0));
    assert!(wire.nodes[1].discards()[&Discard::Forged] > 0);
    let words = wire.status(1, 0).to_string();
    assert!(words.starts_with("never heard"), "{words}");
}

#[test]
fn a_message_for_another_node_is_none_for_this_one() {
    let mut wire = Wire::new(3);
    wire.records = true;
    wire.run(seconds(1));
    let (from, _, body) = (wire.recorded.iter())
        .find(|(from, to, _)| *from == own(0) && *to == own(1))
        .cloned()
        .unwrap();
    wire.arrive(from, own(2), &body);
    assert_eq!(wire.nodes[2].discards()[&Discard::Forged], 1);
}

#[test]
fn a_name_that_is_no_peer_and_bytes_that_are_no_message_are_counted() {
    let mut control = Control::new(config(0, 2), 1, Moment::ZERO);
    let mut out = Vec::new();
    let mut hear = |control: &mut Control, body: &[u8]| {
        control.receive((own(1), PORT), body, Moment::ZERO, &mut out)
    };
    assert_eq!(hear(&mut control, &[]), Err(Discard::Malformed));
    assert_eq!(hear(&mut control, &[0; 2000]), Err(Discard::Malformed));
    let mut stranger = Control::new(config(5, 6), 1, Moment::ZERO);
    let mut hellos = Vec::new();
    stranger.tick(Moment::ZERO, &mut hellos);
    assert_eq!(hear(&mut control, &hellos[0].body), Err(Discard::Stranger));
    assert!(out.is_empty());
}

#[test]
fn loss_delays_but_does_not_mislead() {
    for loss in [5, 10, 20] {
        let mut wire = Wire::new(2);
        wire.loss = loss;
        wire.passes.insert((0, 1), 1400);
        wire.run(seconds(3600));
        assert!(wire.is_up(0, 1), "{loss} %");
        let mtu = wire.way(0, 1).mtu;
        assert!((1280..=1400).contains(&mtu), "{mtu} at {loss} %");
        wire.loss = 0;
        wire.run(seconds(1300));
        assert_eq!(wire.way(0, 1).mtu, 1400);
    }
}

#[test]
fn a_long_way_is_not_taken_for_none() {
    let mut wire = Wire::new(2);
    wire.delay = Duration::from_millis(900);
    wire.run(seconds(30));
    assert!(wire.is_up(0, 1));
    assert_eq!(wire.way(0, 1).mtu, LIMIT);
}

#[test]
fn a_process_that_takes_over_goes_on_where_the_other_was() {
    let mut wire = Wire::new(2);
    wire.passes.insert((1, 0), 1400);
    let seen = "198.51.100.7:40001".parse().unwrap();
    wire.translated.insert(0, seen);
    wire.run(seconds(30));
    let ways = wire.nodes[1].ways();
    let mut next = Control::new(config(1, 2), 99, wire.now);
    next.resume(&ways, wire.now);
    assert_eq!(next.ways(), ways);
    wire.nodes[1] = next;
    wire.run(seconds(5));
    assert_eq!(wire.way(1, 0).endpoint, seen);
    assert_eq!(wire.way(1, 0).mtu, 1400);
    assert!(wire.is_up(1, 0) && wire.status(1, 0).mtu_confirmed);
}

#[test]
fn one_node_with_a_thousand_peers_costs_little() {
    let mut wire = Wire::new(2);
    wire.nodes[0] = Control::new(config(0, 1001), 3, Moment::ZERO);
    wire.run(seconds(60));
    // One of them answers, and a thousand are asked ever less often.
    assert!(wire.is_up(0, 1));
    let before = wire.sent;
    wire.run(seconds(600));
    let a_second = (wire.sent - before) / 600;
    assert!((45..80).contains(&a_second), "{a_second} hellos a second");
}

#[test]
fn peers_and_keys_survive_being_written_down() {
    let config = config(3, 5);
    for peer in config.peers.keys() {
        assert_eq!(peer.to_string().parse::<PeerId>().unwrap(), *peer);
    }
    assert!("node".parse::<PeerId>().is_err());
    assert!("node@10.0.0.1".parse::<PeerId>().is_err());
    assert!(
        !format!("{config:?}").contains("4, 4"),
        "a key shows itself"
    );
}

proptest! {
    /// Whatever arrives, from wherever: nobody panics, nobody moves, nobody is up.
    #[test]
    fn noise_changes_nothing(
        noise in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0_u16..3), 1..40)
    ) {
        let mut control = Control::new(config(0, 3), 1, Moment::ZERO);
        let before = control.ways();
        for (body, port) in noise {
            let mut out = Vec::new();
            let heard = control.receive((own(1), PORT + port), &body, Moment::ZERO, &mut out);
            prop_assert!(heard.is_err() && out.is_empty());
        }
        prop_assert_eq!(control.ways(), before);
    }

    /// A message with any one bit turned is not listened to.
    #[test]
    fn a_turned_bit_is_a_forgery(bit in 0_usize..400) {
        let mut peer = Control::new(config(1, 2), 2, Moment::ZERO);
        let mut out = Vec::new();
        peer.tick(Moment::ZERO, &mut out);
        let mut body = out.remove(0).body;
        let bits = body.len() * 8;
        body[bit % bits / 8] ^= 1 << (bit % 8);
        let mut control = Control::new(config(0, 2), 1, Moment::ZERO);
        let heard = control.receive((own(1), PORT), &body, Moment::ZERO, &mut Vec::new());
        prop_assert!(heard.is_err());
    }
}

//! Restarts that nobody notices: the helper's side and our own (RFC 4724, RFC 8538, RFC 9494).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use std::time::Duration;

use stage::{Stage, config, key, open, open_graceful, seconds};
use tombolo_bgp::message::{Capability, Message, Notification, Open, Refresh, RefreshKind};
use tombolo_bgp::simulate::{Network, Wire};
use tombolo_bgp::{Asn, ConnId, Family, Graceful, Peer, SessionState, Stop};

const NOTHING: [&str; 0] = [];

/// A session of a peer that survives restarts, with a route, at a speaker that helps.
fn helping(open: Open) -> (Stage, ConnId) {
    let mut long = config(|_| ());
    long.graceful = Some(Graceful {
        long_lived: Some(seconds(1000)),
        ..Graceful::default()
    });
    let mut stage = Stage::with(long, false);
    let conn = stage.answer();
    stage.establish(conn, open);
    stage.tell(conn, &["10.1.0.0/24", "10.2.0.0/24"]);
    stage.tell_end(conn);
    assert_eq!(stage.routes(), ["10.1.0.0/24", "10.2.0.0/24"]);
    (stage, conn)
}

/// The same open of a peer whose routes may be kept for long.
fn open_long(seconds: u32, forwarding: bool) -> Open {
    let mut open = open_graceful(false, forwarding, false);
    let families = [Family::Ipv4, Family::Ipv6];
    let each = families.map(|family| (family, forwarding, seconds));
    open.capabilities.push(Capability::LongLived(each.to_vec()));
    open
}

fn our_open(stage: &mut Stage, conn: ConnId) -> Open {
    match stage.hear(conn).remove(0) {
        Message::Open(open) => open,
        other => panic!("{other:?}"),
    }
}

fn graceful_of(open: &Open) -> tombolo_bgp::message::GracefulRestart {
    let mut found = open
        .capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::GracefulRestart(graceful) => Some(graceful.clone()),
            _ => None,
        });
    found.next().unwrap()
}

#[test]
fn what_a_peer_told_is_kept_while_it_restarts_and_swept_when_it_has_said_all() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    assert_eq!(stage.routes(), ["10.1.0.0/24*", "10.2.0.0/24*"]);
    assert!(stage.status().kept[0].contains("while the peer restarts"));
    stage.pass(seconds(30));
    let back = stage.accept().unwrap();
    stage.establish(back, open_graceful(true, true, false));
    assert_eq!(stage.routes(), ["10.1.0.0/24*", "10.2.0.0/24*"]);
    stage.tell(back, &["10.1.0.0/24"]);
    assert_eq!(stage.routes(), ["10.1.0.0/24", "10.2.0.0/24*"]);
    stage.tell_end(back);
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
    assert!(stage.status().kept.is_empty());
}

#[test]
fn who_does_not_return_in_its_restart_time_is_gone() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    stage.pass(seconds(59));
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(2));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn who_returns_without_having_forwarded_begins_anew() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    let back = stage.accept().unwrap();
    stage.establish(back, open_graceful(true, false, false));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn who_returns_and_does_not_survive_restarts_any_more_begins_anew() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    let back = stage.accept().unwrap();
    stage.establish(back, open(true));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn who_returns_and_never_says_all_has_the_stale_time() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    let back = stage.accept().unwrap();
    stage.establish(back, open_graceful(true, true, false));
    for _ in 0..5 {
        stage.pass(seconds(70));
        stage.say(back, &Message::Keepalive);
    }
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(20));
    assert_eq!(stage.routes(), NOTHING);
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn what_was_stale_before_another_loss_is_not_kept_twice() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    let back = stage.accept().unwrap();
    stage.establish(back, open_graceful(true, true, false));
    stage.tell(back, &["10.1.0.0/24"]);
    stage.lose(back);
    assert_eq!(stage.routes(), ["10.1.0.0/24*"]);
}

#[test]
fn rfc8538_after_a_notification_routes_are_kept_only_if_both_said_so() {
    for (notification, hard, kept) in [(false, false, 0), (true, false, 2), (true, true, 0)] {
        let (mut stage, conn) = helping(open_graceful(false, true, notification));
        let (subcode, data) = if hard {
            (9, vec![6, 2])
        } else {
            (4, Vec::new())
        };
        let told = Notification {
            code: 6,
            subcode,
            data,
        };
        stage.say(conn, &Message::Notification(told));
        assert_eq!(stage.routes().len(), kept, "{notification} {hard}");
    }
}

#[test]
fn rfc8538_a_peer_that_is_silent_keeps_its_routes_only_if_both_said_so() {
    for (notification, kept) in [(false, 0), (true, 2)] {
        let (mut stage, _) = helping(open_graceful(false, true, notification));
        stage.pass(seconds(91));
        assert_ne!(stage.state(), SessionState::Established);
        assert_eq!(stage.routes().len(), kept, "{notification}");
    }
}

#[test]
fn what_bfd_says_is_gone_is_not_kept() {
    let (mut stage, conn) = helping(open_graceful(false, true, true));
    stage.drive(|speaker, now| _ = speaker.bfd_failed(&key(), now, now));
    assert_eq!(stage.routes(), NOTHING);
    let farewell = stage.farewell(conn);
    assert_eq!((farewell.code, farewell.subcode), (6, 9), "a hard reset");
    assert_eq!(farewell.data[..2], [6, 10], "BFD down");
}

#[test]
fn bfd_that_stops_with_a_peer_that_restarts_changes_nothing() {
    let (mut stage, conn) = helping(open_graceful(false, true, true));
    stage.lose(conn);
    stage.drive(|speaker, now| _ = speaker.bfd_failed(&key(), now, now));
    assert_eq!(stage.routes().len(), 2);
}

#[test]
fn bfd_of_before_a_restart_does_not_end_the_session_after_it() {
    let (mut stage, conn) = helping(open_graceful(false, true, true));
    let heard = stage.drive(|_, now| now);
    stage.lose(conn);
    stage.pass(seconds(1));
    let conn = stage.accept().unwrap();
    stage.establish(conn, open_graceful(true, true, true));
    stage.drive(|speaker, now| _ = speaker.bfd_failed(&key(), heard, now));
    assert_eq!(stage.state(), SessionState::Established);
    assert_eq!(stage.routes().len(), 2);
    stage.drive(|speaker, now| _ = speaker.bfd_failed(&key(), now, now));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn rfc9494_after_the_restart_time_routes_are_a_last_resort() {
    let (mut stage, conn) = helping(open_long(300, true));
    stage.lose(conn);
    stage.pass(seconds(61));
    assert_eq!(stage.routes().len(), 2);
    assert!(
        stage.status().kept[0].contains("last resort"),
        "{:?}",
        stage.status().kept
    );
    stage.pass(seconds(298));
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(3));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn rfc9494_who_returns_after_long_is_swept_when_it_has_said_all() {
    for forwarding in [true, false] {
        let (mut stage, conn) = helping(open_long(3000, true));
        stage.lose(conn);
        stage.pass(seconds(500));
        let back = stage.accept().unwrap();
        stage.establish(back, open_long(3000, forwarding));
        assert_eq!(stage.routes().len(), if forwarding { 2 } else { 0 });
        stage.tell(back, &["10.2.0.0/24"]);
        stage.tell_end(back);
        assert_eq!(stage.routes(), ["10.2.0.0/24"]);
    }
}

#[test]
fn rfc9494_our_own_limit_holds_where_it_is_less() {
    let (mut stage, conn) = helping(open_long(100_000, true));
    stage.lose(conn);
    stage.pass(seconds(60 + 998));
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(4));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn a_fresh_speaker_does_not_say_that_it_forwarded_and_one_that_had_a_session_does() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    let first = graceful_of(&our_open(&mut stage, conn));
    assert!(!first.restarting && first.notification && first.time == 120);
    assert_eq!(
        first.families,
        [(Family::Ipv4, false), (Family::Ipv6, false)]
    );
    stage.establish(conn, open(true));
    stage.lose(conn);
    let back = stage.accept().unwrap();
    let second = graceful_of(&our_open(&mut stage, back));
    assert!(!second.restarting);
    assert_eq!(
        second.families,
        [(Family::Ipv4, true), (Family::Ipv6, true)]
    );
}

#[test]
fn a_peer_may_have_another_word_on_restarts_than_the_others() {
    let own = |restart, stale, long| Graceful {
        restart_time: seconds(restart),
        stale_time: seconds(stale),
        long_lived: Some(seconds(long)),
    };
    let mut config = config(|peer| peer.graceful = Some(own(30, 90, 50)));
    config.graceful = None;
    let mut stage = Stage::with(config, true);
    assert!(!stage.speaker.settled(), "it waits for the peer");
    let conn = stage.answer();
    assert_eq!(graceful_of(&our_open(&mut stage, conn)).time, 30);
    stage.establish(conn, open_long(100_000, true));
    stage.tell(conn, &["10.1.0.0/24"]);
    stage.tell_end(conn);
    assert!(stage.speaker.settled());
    stage.lose(conn);
    // The peer's restart time is 60 seconds, and its long time is bounded by ours.
    stage.pass(seconds(60 + 48));
    assert_eq!(stage.routes().len(), 1);
    stage.pass(seconds(4));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn a_restarted_speaker_says_so_and_chooses_when_all_have_said_all() {
    let mut stage = Stage::with(config(|_| ()), true);
    assert!(!stage.speaker.settled());
    let conn = stage.answer();
    let ours = graceful_of(&our_open(&mut stage, conn));
    assert!(ours.restarting);
    assert_eq!(ours.families, [(Family::Ipv4, true), (Family::Ipv6, true)]);
    stage.establish(conn, open_graceful(false, true, false));
    stage.tell(conn, &["10.1.0.0/24"]);
    assert_eq!(stage.speaker.changes().len(), 0, "it does not choose yet");
    assert_eq!(
        stage.hear(conn),
        [],
        "and says nothing, not even that it has said all"
    );
    stage.tell_end(conn);
    assert!(stage.speaker.settled());
    assert_eq!(stage.speaker.changes().len(), 1);
    assert!(!stage.hear(conn).is_empty());
}

#[test]
fn a_restarted_speaker_does_not_wait_for_who_restarts_itself_or_takes_no_part() {
    for open in [open(true), open_graceful(true, true, false)] {
        let mut stage = Stage::with(config(|_| ()), true);
        let conn = stage.answer();
        stage.establish(conn, open);
        assert!(stage.speaker.settled());
    }
}

#[test]
fn a_restarted_speaker_does_not_wait_for_ever() {
    // For a peer that never comes, but could not be found absent either.
    let mut stage = Stage::with(config(|peer| peer.passive = true), true);
    stage.pass(seconds(119));
    assert!(!stage.speaker.settled());
    stage.pass(seconds(2));
    assert!(stage.speaker.settled());
    // For one that comes and does not say all.
    let mut stage = Stage::with(config(|_| ()), true);
    let conn = stage.answer();
    let mut open = open_graceful(false, true, false);
    open.hold_time = 0;
    stage.establish(conn, open);
    stage.pass(seconds(358));
    assert!(!stage.speaker.settled());
    stage.pass(seconds(3));
    assert!(stage.speaker.settled());
}

#[test]
fn a_restarted_speaker_does_not_wait_for_who_is_not_there() {
    let mut stage = Stage::with(config(|_| ()), true);
    for _ in 0..2 {
        assert!(!stage.speaker.settled());
        let conn = stage.await_dial(seconds(6));
        stage.drive(|speaker, now| speaker.closed(conn, "no route to host", now));
    }
    stage.pass(seconds(6));
    assert!(stage.speaker.settled());
}

#[test]
fn a_speaker_that_stops_gracefully_says_nothing() {
    let (mut stage, conn) = helping(open_graceful(false, true, true));
    stage.drive(|speaker, now| speaker.stop(Stop::Graceful, now));
    assert_eq!(stage.hear(conn), []);
    assert_eq!(stage.closed, [conn]);
    assert_eq!(
        stage.routes().len(),
        2,
        "whoever is still asked answers as before"
    );
}

/// Four nodes of a mesh, of which one restarts: whoever watches sees no route change.
#[test]
fn nobody_notices_that_a_node_of_a_mesh_restarts() {
    for seed in 0..20 {
        let mut network = Network::new(seed, Wire::default());
        for number in 1..=4 {
            let node = network.add(number, Asn(64512));
            network.originate(node, [format!("10.{number}.0.0/16").parse().unwrap()]);
        }
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            network.join(a, b, Peer::new("a node", Asn(64512)));
        }
        network.run(seconds(20));
        let whole = |network: &Network| (0..4).all(|node| network.table(node).len() == 3);
        assert!(whole(&network), "seed {seed}");
        network.kill(2);
        for millis in 0..300 {
            network.run(Duration::from_millis(10));
            assert!(whole(&network), "seed {seed}: {millis}0 ms after the end");
        }
        network.start(2, true);
        for millis in 0..3000 {
            network.run(Duration::from_millis(10));
            assert!(whole(&network), "seed {seed}: {millis}0 ms after the start");
        }
        assert!(
            (0..4).all(|node| network.established(node) == 3),
            "seed {seed}"
        );
        assert!(network.speaker(2).settled(), "seed {seed}");
        let mut rows = (0..4).flat_map(|node| network.speaker(node).rib().table());
        assert!(rows.all(|row| !row.stale), "seed {seed}");
    }
}

#[test]
fn who_returns_after_long_and_never_says_all_has_what_was_left_of_its_time() {
    let (mut stage, conn) = helping(open_long(300, true));
    stage.lose(conn);
    stage.pass(seconds(60 + 250));
    let back = stage.accept().unwrap();
    stage.establish(back, open_long(300, true));
    stage.pass(seconds(45));
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(10));
    assert_eq!(stage.routes(), NOTHING);
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn rfc7313_what_is_stale_since_a_restart_waits_for_its_own_end() {
    let mut enhanced = open_graceful(true, true, false);
    enhanced.capabilities.push(Capability::EnhancedRefresh);
    let (mut stage, conn) = helping(enhanced.clone());
    stage.lose(conn);
    let back = stage.accept().unwrap();
    stage.establish(back, enhanced);
    for kind in [RefreshKind::Begin, RefreshKind::End] {
        let family = Family::Ipv4;
        stage.say(back, &Message::Refresh(Refresh { family, kind }));
    }
    assert_eq!(stage.routes(), ["10.1.0.0/24*", "10.2.0.0/24*"]);
    stage.tell_end(back);
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn rfc7313_what_is_not_said_again_in_a_refresh_goes() {
    let mut enhanced = open(true);
    enhanced.capabilities.push(Capability::EnhancedRefresh);
    let (mut stage, conn) = helping(enhanced);
    let family = Family::Ipv4;
    let kind = RefreshKind::Begin;
    stage.say(conn, &Message::Refresh(Refresh { family, kind }));
    stage.tell(conn, &["10.2.0.0/24"]);
    assert_eq!(stage.routes().len(), 2);
    let kind = RefreshKind::End;
    stage.say(conn, &Message::Refresh(Refresh { family, kind }));
    assert_eq!(stage.routes(), ["10.2.0.0/24"]);
}

#[test]
fn a_restarted_speaker_does_not_wait_long_for_who_came_and_went() {
    let mut stage = Stage::with(config(|peer| peer.passive = true), true);
    let conn = stage.accept().unwrap();
    stage.establish(conn, open_graceful(false, true, false));
    stage.lose(conn);
    stage.pass(seconds(119));
    assert!(!stage.speaker.settled());
    stage.pass(seconds(2));
    assert!(stage.speaker.settled());
}

#[test]
fn connections_that_cross_when_a_peer_returns_are_no_second_loss() {
    let (mut stage, conn) = helping(open_graceful(false, true, false));
    stage.lose(conn);
    let ours = stage.answer();
    let theirs = stage.accept().unwrap();
    stage.establish(theirs, open_graceful(true, true, false));
    stage.say(ours, &Message::Open(open_graceful(true, true, false)));
    assert!(
        stage.closed.contains(&theirs),
        "ours has the higher identifier"
    );
    assert_eq!(stage.routes(), ["10.1.0.0/24*", "10.2.0.0/24*"]);
    stage.hear(ours);
    stage.say(ours, &Message::Keepalive);
    stage.tell(ours, &["10.1.0.0/24"]);
    stage.tell_end(ours);
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
}

#[test]
fn rfc9494_the_long_time_is_not_begun_anew_by_a_peer_that_never_says_all() {
    let (mut stage, conn) = helping(open_long(300, true));
    stage.lose(conn);
    stage.pass(seconds(61));
    // The long time ends 300 s from here. The peer comes and goes, and says nothing of its routes.
    for _ in 0..3 {
        let conn = stage.accept().unwrap();
        stage.establish(conn, open_long(300, true));
        stage.pass(seconds(10));
        stage.lose(conn);
        stage.pass(seconds(61));
    }
    assert_eq!(stage.routes().len(), 2);
    stage.pass(seconds(100));
    assert_eq!(stage.routes(), NOTHING);
}

#[test]
fn each_peer_waits_as_long_as_it_is_told_to() {
    let mut network = Network::new(5, Wire::default());
    let [a, b, c] = [1, 2, 3].map(|number| network.add(number, Asn(64512)));
    for other in [b, c] {
        network.join(a, other, Peer::new("a node", Asn(64512)));
    }
    let of_c = tombolo_bgp::PeerKey::from(network.address(c));
    network.configure(a, |config| {
        let own = Graceful {
            restart_time: seconds(10),
            ..Graceful::default()
        };
        config.peers.get_mut(&of_c).unwrap().graceful = Some(own);
    });
    // It holds from the next session on.
    network.cut(a, c);
    let block = "10.1.0.0/24".parse().unwrap();
    network.originate(a, [block]);
    network.run(seconds(30));
    network.kill(a);
    network.run(seconds(9));
    assert!(network.table(b).contains_key(&block) && network.table(c).contains_key(&block));
    network.run(seconds(10));
    assert!(network.table(b).contains_key(&block), "120 s are not over");
    assert!(!network.table(c).contains_key(&block), "10 s are over");
    // Who was told longest is waited for after the return.
    network.start(a, true);
    network.run(seconds(30));
    assert_eq!(network.established(a), 2);
    assert!(network.table(c).contains_key(&block));
}

//! The state machine, sentence by sentence of RFC 4271 section 8.2.2 (`spec/rfc4271.toml`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use stage::{Stage, open, seconds};
use tombolo_bgp::message::{Message, Notification, Refresh, RefreshKind, Update};
use tombolo_bgp::{Family, SessionState, Stop};

fn notification(code: u8, subcode: u8) -> Message {
    Message::Notification(Notification {
        code,
        subcode,
        data: Vec::new(),
    })
}

fn refresh() -> Message {
    Message::Refresh(Refresh {
        family: Family::Ipv4,
        kind: RefreshKind::Request,
    })
}

fn withdrawal() -> Message {
    Message::Update(Update {
        withdrawn: stage::nlri(&["10.1.0.0/24"]),
        ..Update::default()
    })
}

/// The peer is refused so often that it is left alone for a while.
fn oscillate(stage: &mut Stage) {
    for _ in 0..3 {
        let Ok(conn) = stage.accept() else {
            return;
        };
        stage.say(conn, &Message::Keepalive);
    }
}

#[test]
fn rfc4271_8_1_idle_refuses_connections() {
    let mut stage = Stage::new(|_| ());
    oscillate(&mut stage);
    assert_eq!(stage.state(), SessionState::Idle);
    let why = stage.accept().unwrap_err();
    assert!(why.contains("left alone for a while"), "{why}");
}

#[test]
fn rfc4271_8_2_from_the_start_it_connects_and_listens() {
    let mut stage = Stage::new(|_| ());
    stage.await_dial(seconds(1));
    assert_eq!(stage.state(), SessionState::Connect);
    assert!(stage.accept().is_ok());
}

#[test]
fn rfc4271_8_3_who_is_passive_only_listens() {
    let mut stage = Stage::new(|peer| peer.passive = true);
    stage.pass(seconds(3600));
    assert_eq!(stage.dialed(), None);
    assert_eq!(stage.state(), SessionState::Active);
    assert!(stage.accept().is_ok());
}

#[test]
fn rfc4271_8_4_on_a_connection_an_open_is_sent() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    assert_eq!(stage.state(), SessionState::OpenSent);
    let said = stage.hear(conn);
    assert!(matches!(said.as_slice(), [Message::Open(_)]), "{said:?}");
}

#[test]
fn rfc4271_8_5_who_cannot_connect_waits_and_tries_again() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.await_dial(seconds(1));
    stage.drive(|speaker, now| speaker.closed(conn, "connection refused", now));
    assert_eq!(stage.state(), SessionState::Active);
    let trouble = stage.status().trouble.unwrap();
    assert_eq!(trouble.words, "could not connect: connection refused");
    let before = stage.now;
    stage.await_dial(seconds(6));
    let waited = (stage.now - before).as_millis();
    assert!((3750..=5000).contains(&waited), "{waited} ms");
}

#[test]
fn rfc4271_8_6_a_connection_that_does_not_come_about_is_given_up() {
    let mut stage = Stage::new(|_| ());
    let first = stage.await_dial(seconds(1));
    let second = stage.await_dial(seconds(20));
    assert!(stage.closed.contains(&first));
    assert_ne!(first, second);
}

#[test]
fn rfc4271_8_7_active_takes_connections() {
    let mut stage = Stage::new(|peer| peer.passive = true);
    let conn = stage.accept().unwrap();
    assert_eq!(stage.state(), SessionState::OpenSent);
    assert!(matches!(stage.hear(conn).as_slice(), [Message::Open(_)]));
}

#[test]
fn rfc4271_8_8_a_good_open_is_answered_with_a_keepalive() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.hear(conn);
    stage.say(conn, &Message::Open(open(true)));
    assert_eq!(stage.state(), SessionState::OpenConfirm);
    assert_eq!(stage.hear(conn), [Message::Keepalive]);
}

#[test]
fn rfc4271_8_9_a_bad_open_is_refused() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    let mut bad = open(true);
    bad.capabilities.clear();
    bad.asn = tombolo_bgp::Asn(7);
    stage.say(conn, &Message::Open(bad));
    assert_eq!(stage.farewell_codes(conn), (2, 2));
    assert_eq!(stage.state(), SessionState::Active);
}

#[test]
fn rfc4271_8_10_who_says_no_open_is_left_after_four_minutes() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.hear(conn);
    stage.pass(seconds(239));
    assert_eq!(stage.state(), SessionState::OpenSent);
    stage.pass(seconds(2));
    assert_eq!(stage.farewell_codes(conn), (4, 0));
}

#[test]
fn rfc4271_8_11_a_connection_that_is_lost_in_open_sent_is_made_again() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.lose(conn);
    assert_eq!(stage.state(), SessionState::Active);
    stage.await_dial(seconds(6));
}

#[test]
fn rfc4271_8_12_in_open_sent_only_an_open_may_come() {
    for (message, what) in [
        (Message::Keepalive, "a KEEPALIVE"),
        (withdrawal(), "an UPDATE"),
        (refresh(), "a ROUTE-REFRESH"),
    ] {
        let mut stage = Stage::new(|_| ());
        let conn = stage.answer();
        stage.say(conn, &message);
        assert_eq!(stage.farewell_codes(conn), (5, 1), "{what}");
        let words = stage.status().trouble.unwrap().words;
        assert!(
            words.contains(what) && words.contains("OpenSent"),
            "{words}"
        );
    }
}

#[test]
fn rfc4271_8_13_a_keepalive_confirms() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.say(conn, &Message::Open(open(true)));
    stage.say(conn, &Message::Keepalive);
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn rfc4271_8_14_who_does_not_confirm_is_left_after_the_hold_time() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.say(conn, &Message::Open(open(true)));
    stage.pass(seconds(91));
    assert_eq!(stage.farewell_codes(conn), (4, 0));
}

#[test]
fn rfc4271_8_15_keepalives_are_sent_while_the_peer_confirms() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.say(conn, &Message::Open(open(true)));
    stage.hear(conn);
    stage.pass(seconds(31));
    assert_eq!(stage.state(), SessionState::OpenConfirm);
    assert_eq!(stage.hear(conn), [Message::Keepalive]);
}

#[test]
fn rfc4271_8_16_a_notification_or_a_loss_ends_what_is_not_confirmed() {
    for told in [true, false] {
        let mut stage = Stage::new(|_| ());
        let conn = stage.answer();
        stage.say(conn, &Message::Open(open(true)));
        stage.hear(conn);
        match told {
            true => stage.say(conn, &notification(6, 5)),
            false => stage.lose(conn),
        }
        assert_eq!(stage.state(), SessionState::Active);
        assert_eq!(stage.hear(conn), [], "nothing is answered");
        stage.await_dial(seconds(6));
    }
}

#[test]
fn rfc4271_8_17_in_open_confirm_only_a_keepalive_may_come() {
    for message in [Message::Open(open(true)), withdrawal(), refresh()] {
        let mut stage = Stage::new(|_| ());
        let conn = stage.answer();
        stage.say(conn, &Message::Open(open(true)));
        stage.say(conn, &message);
        assert_eq!(stage.farewell_codes(conn), (5, 2), "{message:?}");
    }
}

#[test]
fn rfc4271_8_18_whatever_comes_shows_that_the_peer_is_there() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    for round in 0..10 {
        stage.pass(seconds(80));
        match round % 2 {
            0 => stage.say(conn, &Message::Keepalive),
            _ => stage.tell(conn, &["10.1.0.0/24"]),
        }
        assert_eq!(stage.state(), SessionState::Established, "round {round}");
        stage.hear(conn);
    }
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
}

#[test]
fn rfc4271_8_19_who_is_silent_for_the_hold_time_is_gone() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.1.0.0/24"]);
    stage.pass(seconds(89));
    assert_eq!(stage.state(), SessionState::Established);
    stage.pass(seconds(2));
    assert_eq!(stage.farewell_codes(conn), (4, 0));
    assert_eq!(stage.routes(), [] as [&str; 0]);
    let words = stage.status().trouble.unwrap().words;
    assert!(words.contains("hold time"), "{words}");
}

#[test]
fn rfc4271_8_20_an_update_that_cannot_be_borne_ends_the_session() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.1.0.0/24"]);
    // The withdrawn routes are longer than the message.
    let mut bytes = vec![0xFF; 16];
    bytes.extend_from_slice(&[0, 23, 2, 0xFF, 0xFF, 0, 0]);
    stage.say_bytes(conn, &bytes);
    assert_eq!(stage.farewell_codes(conn), (3, 1));
    assert_eq!(stage.routes(), [] as [&str; 0]);
}

#[test]
fn rfc4271_8_21_another_open_ends_the_session() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.say(conn, &Message::Open(open(true)));
    assert_eq!(stage.farewell_codes(conn), (5, 3));
}

#[test]
fn rfc4271_8_22_with_its_connection_a_peers_routes_go() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.1.0.0/24"]);
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
    stage.lose(conn);
    assert_eq!(stage.routes(), [] as [&str; 0]);
    assert_eq!(stage.status().flaps, 1);
    stage.await_dial(seconds(2));
}

#[test]
fn rfc4271_8_23_a_peer_that_says_goodbye_takes_its_routes_along() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.1.0.0/24"]);
    stage.say(conn, &notification(6, 2));
    assert_eq!(stage.routes(), [] as [&str; 0]);
    assert!(stage.closed.contains(&conn));
    assert_eq!(stage.hear(conn), [], "a NOTIFICATION is not answered");
    let words = stage.status().trouble.unwrap().words;
    assert_eq!(words, "the peer closed: cease: administrative shutdown");
}

#[test]
fn rfc4271_8_24_what_is_sent_puts_keepalives_off() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    for round in 0..20_u32 {
        stage.pass(seconds(20));
        stage.say(conn, &Message::Keepalive);
        let prefix = format!("10.2.{round}.0/24").parse().unwrap();
        let routes = [(prefix, tombolo_bgp::Origination::default())].into();
        stage.drive(|speaker, now| speaker.originate(routes, now));
        let said = stage.hear(conn);
        let updates = said
            .iter()
            .filter(|m| matches!(m, Message::Update(_)))
            .count();
        assert_eq!(updates, said.len(), "round {round}: {said:?}");
    }
    stage.pass(seconds(31));
    assert_eq!(stage.hear(conn), [Message::Keepalive]);
}

#[test]
fn rfc4271_4_4_3_keepalives_are_a_second_apart() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    let mut open = open(true);
    open.hold_time = 3;
    stage.establish(conn, open);
    stage.hear(conn);
    for round in 0..20 {
        stage.pass(seconds(1));
        stage.say(conn, &Message::Keepalive);
        let said = stage.hear(conn).len();
        assert!(said <= 1, "{said} in second {round}");
    }
    assert_eq!(stage.state(), SessionState::Established);
}

#[test]
fn rfc4271_8_25_without_a_hold_time_there_are_no_timers() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    let mut open = open(true);
    open.hold_time = 0;
    stage.establish(conn, open);
    stage.hear(conn);
    stage.pass(seconds(1_000_000));
    assert_eq!(stage.state(), SessionState::Established);
    assert_eq!(stage.hear(conn), []);
}

#[test]
fn rfc4271_8_26_a_stop_ceases_in_every_state() {
    for state in 0..3 {
        let mut stage = Stage::new(|_| ());
        let conn = stage.answer();
        if state > 0 {
            stage.say(conn, &Message::Open(open(true)));
        }
        if state > 1 {
            stage.say(conn, &Message::Keepalive);
        }
        stage.drive(|speaker, now| speaker.stop(Stop::Cease, now));
        assert_eq!(stage.farewell_codes(conn), (6, 2), "state {state}");
        stage.pass(seconds(10_000));
        assert_eq!(stage.dialed(), None);
        assert!(stage.accept().is_err());
    }
}

#[test]
fn rfc4271_8_27_faults_that_follow_each_other_are_paid_for() {
    let mut stage = Stage::new(|_| ());
    let mut waits = Vec::new();
    for _ in 0..8 {
        let before = stage.now;
        let conn = stage.answer();
        waits.push((stage.now - before).as_secs_f64());
        stage.say(conn, &Message::Keepalive);
        stage.hear(conn);
    }
    // The first fault is forgiven, then it doubles from 5 s to 120 s.
    for (wait, most) in waits
        .iter()
        .zip([0.2, 5.0, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0])
    {
        assert!(
            *wait <= most && *wait >= most * 0.7 || most < 1.0,
            "{waits:?}"
        );
    }
}

#[test]
fn rfc4271_8_28_what_a_peer_did_is_forgotten_when_it_holds() {
    let mut stage = Stage::new(|_| ());
    oscillate(&mut stage);
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.pass(seconds(70));
    stage.say(conn, &Message::Open(open(true)));
    assert_eq!(
        stage.state(),
        SessionState::Active,
        "it counts as the first fault"
    );
}

#[test]
fn rfc9687_a_peer_that_takes_nothing_is_left() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open(true));
    // It speaks, but reads nothing of what we say.
    let mut minutes = 0;
    while stage.state() == SessionState::Established {
        stage.pass(seconds(60));
        stage.say(conn, &Message::Keepalive);
        minutes += 1;
        assert!(minutes < 20, "the session stands for ever");
    }
    assert!(minutes >= 8, "after {minutes} minutes");
    assert_eq!(stage.farewell_codes(conn), (8, 0));
}

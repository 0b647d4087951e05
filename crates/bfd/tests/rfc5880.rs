//! The rules of RFC 5880 §6, one by one, under the numbers of their sections.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use std::time::Duration;

use support::{Wire, millis, session, timers};
use tombolo_bfd::{Diagnostic, Discard, Event, Moment, Packet, Session, State, TTL};

/// A packet of a neighbour with discriminator 9 for our session 1.
fn said(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        multiplier: 3,
        my_discriminator: 9,
        your_discriminator: 1,
        desired_min_tx: millis(100),
        required_min_rx: millis(100),
        required_min_echo_rx: Duration::ZERO,
    }
}

fn hears(session: &mut Session, packet: Packet, at: u64) -> Option<Event> {
    session.receive(&packet.encode(), TTL, millis(at)).unwrap()
}

fn sends(session: &mut Session, at: u64) -> Vec<Packet> {
    let mut packets = Vec::new();
    let _ = session.tick(millis(at), &mut packets);
    packets
        .iter()
        .map(|packet| Packet::decode(packet).unwrap())
        .collect()
}

fn up() -> Session {
    let mut session = session(1, timers(100, 100, 3));
    assert_eq!(hears(&mut session, said(State::Init), 0), Some(Event::Up));
    session
}

#[test]
fn section_6_2_two_sides_come_up_by_three_messages() {
    let mut wire = Wire::new(timers(100, 100, 3), timers(100, 100, 3));
    wire.run(millis(1100));
    for side in 0..2 {
        assert_eq!(wire.sides[side].state(), State::Up);
        let events: Vec<_> = wire.logs[side].events.iter().map(|(_, e)| *e).collect();
        assert_eq!(events, [Event::Up]);
    }
}

#[test]
fn section_6_2_the_table_of_the_state_machine() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Down, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Init, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
        (Up, AdminDown, Down),
    ];
    for (from, heard, to) in table {
        let mut session = session(1, timers(100, 100, 3));
        match from {
            Init => assert_eq!(hears(&mut session, said(Down), 0), None),
            Up => assert_eq!(hears(&mut session, said(Init), 0), Some(Event::Up)),
            Down | AdminDown => {}
        }
        assert_eq!(session.state(), from);
        let event = hears(&mut session, said(heard), 1);
        assert_eq!(session.state(), to, "{from:?} hears {heard:?}");
        let expected = match (from, to, heard) {
            (Up, Down, AdminDown) => Some(Event::SwitchedOff),
            (Up, Down, _) => Some(Event::Failed(Diagnostic::NEIGHBOUR_DOWN)),
            (Down | Init, Up, _) => Some(Event::Up),
            _ => None,
        };
        assert_eq!(event, expected, "{from:?} hears {heard:?}");
    }
}

#[test]
fn section_6_5_a_poll_is_answered_at_once_and_only_once() {
    let mut session = up();
    let _ = sends(&mut session, 1);
    let mut poll = said(State::Up);
    poll.poll = true;
    let _ = hears(&mut session, poll, 2);
    assert_eq!(session.timeout(), Some(Moment::ZERO));
    let answers = sends(&mut session, 2);
    assert_eq!(answers.len(), 1);
    assert!(answers[0].is_final && !answers[0].poll);
    assert!(sends(&mut session, 3).is_empty());
}

#[test]
fn section_6_5_a_poll_goes_on_until_it_is_answered() {
    let mut session = up();
    // Coming up changes the interval from a second to 100 ms, so a poll runs.
    for at in [0, 110, 220] {
        let packets = sends(&mut session, at);
        assert!(!packets.is_empty() && packets.iter().all(|packet| packet.poll));
    }
    let mut answer = said(State::Up);
    answer.is_final = true;
    let _ = hears(&mut session, answer, 230);
    let later = sends(&mut session, 340);
    assert!(!later.is_empty() && later.iter().all(|packet| !packet.poll));
}

#[test]
fn section_6_5_an_answer_to_an_older_question_does_not_end_the_newer_one() {
    let mut session = up();
    let _ = sends(&mut session, 0);
    session.set_timers(timers(400, 100, 3), millis(1));
    let mut answer = said(State::Up);
    answer.is_final = true;
    let _ = hears(&mut session, answer, 2);
    assert!(sends(&mut session, 2)[0].poll);
    assert_eq!(session.status().transmit_interval, millis(100));
    let _ = hears(&mut session, answer, 3);
    assert_eq!(session.status().transmit_interval, millis(400));
}

#[test]
fn section_6_6_a_neighbour_in_demand_mode_gets_no_periodic_packets() {
    let mut session = up();
    let _ = sends(&mut session, 0);
    let mut demand = said(State::Up);
    demand.demand = true;
    demand.is_final = true;
    let _ = hears(&mut session, demand, 1);
    assert!(sends(&mut session, 250).is_empty());
    // What it asks is answered nevertheless, and it is given up like any other.
    demand.poll = true;
    demand.is_final = false;
    let _ = hears(&mut session, demand, 260);
    assert_eq!(sends(&mut session, 260).len(), 1);
    assert_eq!(session.timeout(), Some(millis(560)));
}

#[test]
fn section_6_8_1_what_a_lost_neighbour_said_is_forgotten() {
    let mut session = up();
    let mut packets = Vec::new();
    let event = session.tick(millis(301), &mut packets);
    assert_eq!(event, Some(Event::Failed(Diagnostic::EXPIRED)));
    let status = session.status();
    assert_eq!(status.discriminators, (1, 0));
    assert_eq!(status.diagnostic, Diagnostic::EXPIRED);
    let told = Packet::decode(packets.last().unwrap()).unwrap();
    assert_eq!((told.state, told.your_discriminator), (State::Down, 0));
}

#[test]
fn section_6_8_2_packets_are_jittered_between_three_quarters_and_the_whole_interval() {
    let mut wire = Wire::new(timers(100, 100, 3), timers(100, 100, 3));
    wire.run(millis(3000));
    wire.forget();
    wire.run(millis(20_000));
    let times: Vec<Moment> = wire.logs[0].sent.iter().map(|(at, _)| *at).collect();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() > 190);
    assert!(
        gaps.iter()
            .all(|gap| (millis(75)..=millis(100)).contains(gap))
    );
    assert!(gaps.iter().any(|gap| *gap < millis(80)) && gaps.iter().any(|gap| *gap > millis(95)));
}

#[test]
fn section_6_8_2_with_a_multiplier_of_one_a_tenth_is_always_left() {
    let mut wire = Wire::new(timers(100, 100, 1), timers(100, 100, 3));
    wire.run(millis(3000));
    wire.forget();
    wire.run(millis(20_000));
    let times: Vec<Moment> = wire.logs[0].sent.iter().map(|(at, _)| *at).collect();
    let mut gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.all(|gap| (millis(75)..=millis(90)).contains(&gap)));
    assert_eq!(wire.sides[1].state(), State::Up);
}

#[test]
fn section_6_8_2_the_slower_of_both_sides_decides_the_interval() {
    let mut wire = Wire::new(timers(50, 50, 3), timers(50, 400, 3));
    wire.run(millis(5000));
    assert_eq!(wire.sides[0].status().transmit_interval, millis(400));
    assert_eq!(wire.sides[1].status().transmit_interval, millis(50));
    assert_eq!(wire.sides[1].status().detection_time, Some(millis(1200)));
}

#[test]
fn section_6_8_3_a_session_that_is_not_up_sends_at_most_about_once_a_second() {
    let mut alone = session(1, timers(10, 10, 3));
    let mut packets = Vec::new();
    for at in 0..10_000 {
        let _ = alone.tick(millis(at), &mut packets);
    }
    assert!((10..=14).contains(&packets.len()), "{}", packets.len());
    let packet = Packet::decode(&packets[0]).unwrap();
    assert_eq!(packet.desired_min_tx, Duration::from_secs(1));
}

#[test]
fn section_6_8_3_sending_less_often_waits_for_the_answer() {
    let mut wire = Wire::new(timers(100, 100, 3), timers(100, 100, 3));
    wire.run(millis(3000));
    let now = wire.now;
    wire.sides[0].set_timers(timers(900, 100, 3), now);
    assert_eq!(wire.sides[0].status().transmit_interval, millis(100));
    wire.run(millis(5));
    assert_eq!(wire.sides[0].status().transmit_interval, millis(900));
    wire.forget();
    wire.run(millis(20_000));
    assert!(wire.logs.iter().all(|log| log.events.is_empty()));
}

#[test]
fn section_6_8_3_expecting_packets_more_often_waits_for_the_answer() {
    let mut wire = Wire::new(timers(100, 900, 3), timers(100, 100, 3));
    wire.run(millis(5000));
    assert_eq!(wire.sides[0].status().detection_time, Some(millis(2700)));
    let now = wire.now;
    wire.sides[0].set_timers(timers(100, 100, 3), now);
    assert_eq!(wire.sides[0].status().detection_time, Some(millis(2700)));
    wire.forget();
    wire.run(millis(20_000));
    assert_eq!(wire.sides[0].status().detection_time, Some(millis(300)));
    assert!(wire.logs.iter().all(|log| log.events.is_empty()));
}

#[test]
fn section_6_8_3_a_neighbour_that_can_bear_more_is_served_at_once() {
    let mut session = up();
    let _ = sends(&mut session, 0);
    let mut slow = said(State::Up);
    slow.required_min_rx = millis(10_000);
    slow.is_final = true;
    let _ = hears(&mut session, slow, 1);
    assert!(sends(&mut session, 200).is_empty());
    let _ = hears(&mut session, said(State::Up), 201);
    assert_eq!(sends(&mut session, 201).len(), 1);
}

#[test]
fn section_6_8_4_a_silent_neighbour_is_given_up_after_its_own_multiplier() {
    let mut session = session(1, timers(100, 100, 7));
    let mut init = said(State::Init);
    init.multiplier = 5;
    let _ = hears(&mut session, init, 0);
    assert_eq!(session.tick(millis(499), &mut Vec::new()), None);
    let event = session.tick(millis(500), &mut Vec::new());
    assert_eq!(event, Some(Event::Failed(Diagnostic::EXPIRED)));
}

#[test]
fn section_6_8_6_who_restarts_takes_the_session_down_and_up_again() {
    let mut wire = Wire::new(timers(100, 100, 3), timers(100, 100, 3));
    wire.run(millis(3000));
    wire.forget();
    let now = wire.now;
    let mut restarted = session(77, timers(100, 100, 3));
    let _ = restarted.tick(Moment::ZERO, &mut Vec::new());
    wire.sides[1] = restarted;
    wire.run(millis(5000));
    assert_eq!(wire.sides[0].state(), State::Up);
    assert_eq!(wire.sides[0].status().discriminators, (1, 77));
    let events: Vec<_> = wire.logs[0].events.iter().map(|(_, e)| *e).collect();
    assert!(
        matches!(events[..], [Event::Failed(_), Event::Up]),
        "{events:?}"
    );
    assert!(wire.logs[0].events[0].0 < now + millis(400));
}

#[test]
fn section_6_8_7_who_bears_no_packets_gets_answers_only() {
    let mut session = up();
    let _ = sends(&mut session, 0);
    let mut quiet = said(State::Up);
    quiet.required_min_rx = Duration::ZERO;
    quiet.is_final = true;
    let _ = hears(&mut session, quiet, 1);
    assert!(sends(&mut session, 250).is_empty());
    quiet.poll = true;
    let _ = hears(&mut session, quiet, 251);
    assert_eq!(sends(&mut session, 251).len(), 1);
}

#[test]
fn section_6_8_16_a_session_that_is_switched_off_says_so_and_blames_nobody() {
    let mut wire = Wire::new(timers(100, 100, 3), timers(100, 100, 3));
    wire.run(millis(3000));
    wire.forget();
    let now = wire.now;
    assert_eq!(wire.sides[0].switch_off(now), Some(Event::SwitchedOff));
    wire.run(millis(5));
    assert_eq!(wire.sides[1].state(), State::Down);
    assert_eq!(
        wire.logs[1]
            .events
            .iter()
            .map(|(_, e)| *e)
            .collect::<Vec<_>>(),
        [Event::SwitchedOff]
    );
    wire.run(millis(10_000));
    assert_eq!(wire.sides[0].state(), State::AdminDown);
    assert!(wire.sides[0].status().discards.of("switched-off") > 0);
    let now = wire.now;
    wire.sides[0].switch_on(now);
    wire.run(millis(3000));
    assert_eq!(wire.sides[0].state(), State::Up);
    assert_eq!(wire.sides[1].state(), State::Up);
}

#[test]
fn rfc_5881_section_5_a_packet_that_came_through_a_router_is_discarded() {
    let mut session = session(1, timers(100, 100, 3));
    let refused = session.receive(&said(State::Down).encode(), 254, Moment::ZERO);
    assert_eq!(refused, Err(Discard::TimeToLive(254)));
    assert_eq!(session.state(), State::Down);
}

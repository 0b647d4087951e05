//! Packets that RFC 5880 §6.8.6 discards: each with its reason, which is counted, and without any
//! effect on the session.
#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

mod support;

use proptest::prelude::*;
use support::{millis, session, timers};
use tombolo_bfd::{Discard, Moment, Packet, Session, Sessions, State, TTL};

/// A packet that is fine: Down, from 9, to nobody yet.
fn fine() -> Vec<u8> {
    let mut bytes = vec![0x20, 0x40, 3, 24, 0, 0, 0, 9, 0, 0, 0, 0];
    for micros in [100_000_u32, 100_000, 0] {
        bytes.extend(micros.to_be_bytes());
    }
    bytes
}

fn with(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = fine();
    for (at, value) in changes {
        bytes[*at] = *value;
    }
    bytes
}

#[test]
fn each_malformed_packet_is_discarded_with_its_reason() {
    let mut longer_than_it_is = fine();
    longer_than_it_is[3] = 25;
    let table = [
        (
            vec![],
            Discard::Short {
                bytes: 0,
                needed: 24,
            },
        ),
        (
            fine()[..23].to_vec(),
            Discard::Short {
                bytes: 23,
                needed: 24,
            },
        ),
        (with(&[(0, 0x00)]), Discard::Version(0)),
        (with(&[(0, 0x40)]), Discard::Version(2)),
        (with(&[(3, 23)]), Discard::Length(23)),
        (with(&[(3, 0)]), Discard::Length(0)),
        (with(&[(1, 0x44), (3, 25)]), Discard::Length(25)),
        (
            longer_than_it_is,
            Discard::Short {
                bytes: 24,
                needed: 25,
            },
        ),
        (with(&[(2, 0)]), Discard::Multiplier),
        (with(&[(1, 0x41)]), Discard::Multipoint),
        (with(&[(7, 0)]), Discard::MyDiscriminator),
        (with(&[(1, 0x80)]), Discard::YourDiscriminator(State::Init)),
        (with(&[(1, 0xc0)]), Discard::YourDiscriminator(State::Up)),
        (with(&[(11, 5)]), Discard::Unknown(5)),
    ];
    for (bytes, reason) in table {
        let mut session = session(1, timers(100, 100, 3));
        let before = session.timeout();
        let result = session.receive(&bytes, TTL, Moment::ZERO);
        assert_eq!(result, Err(reason), "{bytes:02x?}");
        let status = session.status();
        assert_eq!(status.discards.of(reason.name()), 1);
        assert_eq!(status.discards.total(), 1);
        assert_eq!((session.state(), session.timeout()), (State::Down, before));
    }
    let mut fresh = session(1, timers(100, 100, 3));
    assert_eq!(fresh.receive(&fine(), TTL, Moment::ZERO), Ok(None));
    assert_eq!(fresh.state(), State::Init);
}

#[test]
fn an_authenticated_packet_is_discarded_where_no_authentication_is_configured() {
    let mut bytes = with(&[(1, 0x44), (3, 28)]);
    bytes.extend([1, 4, 1, b'x']);
    let mut session = session(1, timers(100, 100, 3));
    let result = session.receive(&bytes, TTL, Moment::ZERO);
    assert_eq!(result, Err(Discard::Authenticated));
}

#[test]
fn bytes_after_the_packet_do_not_matter() {
    let mut bytes = fine();
    bytes.extend([7; 40]);
    let mut session = session(1, timers(100, 100, 3));
    assert_eq!(session.receive(&bytes, TTL, Moment::ZERO), Ok(None));
}

#[test]
fn a_stranger_is_counted_where_it_belongs_to_no_session() {
    let mut sessions = Sessions::default();
    sessions.insert("neighbour", session(1, timers(100, 100, 3)));
    let refused = sessions.receive(&"stranger", &fine(), TTL, Moment::ZERO);
    assert_eq!(refused, Err(Discard::Unknown(0)));
    assert_eq!(sessions.discards().of("unknown-session"), 1);
    assert_eq!(
        sessions.get(&"neighbour").map(Session::state),
        Some(State::Down)
    );
}

#[test]
fn a_stranger_that_names_the_session_of_another_does_not_disturb_it() {
    let mut sessions = Sessions::default();
    sessions.insert("neighbour", session(1, timers(100, 100, 3)));
    let to_session = with(&[(11, 1)]);
    assert!(
        sessions
            .receive(&"stranger", &to_session, TTL, millis(5))
            .is_err()
    );
    let state = sessions.get(&"neighbour").map(Session::state);
    assert_eq!(state, Some(State::Down));
}

proptest! {
    #[test]
    fn what_is_understood_is_written_as_it_was(bytes in prop::collection::vec(any::<u8>(), 24..40)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            let again = packet.encode();
            prop_assert_eq!(Packet::decode(&again), Ok(packet));
            // Only the length may differ: trailing bytes are not ours to repeat.
            prop_assert_eq!(&again[..3], &bytes[..3]);
            prop_assert_eq!(&again[4..], &bytes[4..24]);
        }
    }
}

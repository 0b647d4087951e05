//! Peers that send garbage: nothing panics, the session ends with a word, and the next one works.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use proptest::prelude::*;
use stage::{Stage, open, seconds};
use tombolo_bgp::SessionState;
use tombolo_bgp::message::{Message, Update, encode};

/// A conversation as a good peer would lead it, in bytes.
fn conversation() -> Vec<u8> {
    let update = Update {
        announced: vec![(
            stage::attributes(),
            stage::nlri(&["10.1.0.0/24", "10.2.0.0/16"]),
        )],
        withdrawn: stage::nlri(&["10.3.0.0/24"]),
        ..Update::default()
    };
    let mut bytes = Vec::new();
    for message in [
        Message::Open(open(true)),
        Message::Keepalive,
        Message::Update(update),
        Message::Keepalive,
    ] {
        encode(&message, Some(&stage::context()), &mut bytes);
    }
    bytes
}

/// The next session of a peer works, whatever was.
fn works_again(stage: &mut Stage) {
    stage.pass(seconds(300));
    let conn = stage.accept().unwrap();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.9.0.0/24"]);
    assert_eq!(stage.routes(), ["10.9.0.0/24"]);
}

#[test]
fn who_speaks_something_else_is_told_so_at_once() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.say_bytes(conn, b"GET / HTTP/1.1\r\n");
    assert_eq!(stage.farewell_codes(conn), (1, 1));
    let words = stage.status().trouble.unwrap().words;
    assert!(words.contains("not BGP"), "{words}");
    works_again(&mut stage);
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    for byte in conversation() {
        stage.say_bytes(conn, &[byte]);
    }
    assert_eq!(stage.state(), SessionState::Established);
    assert_eq!(stage.routes(), ["10.1.0.0/24", "10.2.0.0/16"]);
}

#[test]
fn what_comes_after_the_end_is_not_listened_to() {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.say_bytes(conn, &[0; 40]);
    stage.hear(conn);
    stage.say_bytes(conn, &conversation());
    assert_eq!(stage.hear(conn), []);
    assert_eq!(stage.routes(), [] as [&str; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_that_are_flipped_cut_and_doubled_never_panic(
        strokes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        piece in 1..300_usize,
    ) {
        let mut bytes = conversation();
        for (at, value, kind) in strokes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, value),
                _ => bytes.extend_from_within(at..),
            }
        }
        let mut stage = Stage::new(|_| ());
        let conn = stage.answer();
        for piece in bytes.chunks(piece) {
            stage.say_bytes(conn, piece);
        }
        if stage.closed.contains(&conn) {
            let trouble = stage.status().trouble.unwrap();
            prop_assert!(!trouble.words.is_empty());
        } else {
            stage.lose(conn);
        }
        works_again(&mut stage);
    }
}

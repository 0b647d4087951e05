//! Peers that send garbage: nothing panics, the session ends with a word, and the next one works.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use std::time::Duration;

use proptest::prelude::*;
use stage::{Stage, open, seconds};
use tombolo_bgp::message::{Cease, Message, Notification, Refresh, RefreshKind, Update, encode};
use tombolo_bgp::{ConnId, Family, SessionState};

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

/// Something that a peer, an operator or the clock does.
#[derive(Debug, Clone)]
enum Deed {
    Accept,
    Answer,
    Refuse,
    Say(prop::sample::Index, Speech),
    Lose(prop::sample::Index),
    Pass(u16),
    Reset(bool),
    BfdDown,
    Filter(bool),
    Read,
}

/// What a peer says: mostly what it should.
#[derive(Debug, Clone, Copy)]
enum Speech {
    Open { higher: bool, graceful: bool },
    Keepalive,
    Routes,
    EndOfRib,
    Goodbye { hard: bool },
    Refresh,
    Noise(u8),
}

fn speeches() -> impl Strategy<Value = Speech> {
    prop_oneof![
        4 => any::<(bool, bool)>().prop_map(|(higher, graceful)| Speech::Open { higher, graceful }),
        4 => Just(Speech::Keepalive),
        3 => Just(Speech::Routes),
        1 => Just(Speech::EndOfRib),
        1 => any::<bool>().prop_map(|hard| Speech::Goodbye { hard }),
        1 => Just(Speech::Refresh),
        1 => any::<u8>().prop_map(Speech::Noise),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let which = any::<prop::sample::Index>;
    let deed = prop_oneof![
        2 => Just(Deed::Accept),
        3 => Just(Deed::Answer),
        1 => Just(Deed::Refuse),
        8 => (which(), speeches()).prop_map(|(which, speech)| Deed::Say(which, speech)),
        1 => which().prop_map(Deed::Lose),
        2 => any::<u16>().prop_map(Deed::Pass),
        1 => any::<bool>().prop_map(Deed::Reset),
        1 => Just(Deed::BfdDown),
        1 => any::<bool>().prop_map(Deed::Filter),
        3 => Just(Deed::Read),
    ];
    prop::collection::vec(deed, 0..40)
}

/// The stage, and the connections that were ever made on it.
struct Play {
    stage: Stage,
    connections: Vec<ConnId>,
}

impl Play {
    fn act(&mut self, deed: &Deed) {
        let stage = &mut self.stage;
        match deed {
            Deed::Accept => self.connections.extend(stage.accept()),
            Deed::Answer => {
                if let Some(conn) = stage.dialed() {
                    let local = stage::OUR_ADDRESS;
                    stage.drive(|speaker, now| speaker.connected(conn, local, now));
                    self.connections.push(conn);
                }
            }
            Deed::Refuse => {
                if let Some(conn) = stage.dialed() {
                    stage.lose(conn);
                }
            }
            Deed::Say(which, speech) => {
                if !self.connections.is_empty() {
                    say(stage, *which.get(&self.connections), *speech);
                }
            }
            Deed::Lose(which) => {
                if !self.connections.is_empty() {
                    let at = which.index(self.connections.len());
                    stage.lose(self.connections.swap_remove(at));
                }
            }
            Deed::Pass(tenths) => stage.pass(Duration::from_millis(u64::from(*tenths) * 10)),
            Deed::Reset(hard) => {
                stage.drive(|speaker, now| speaker.reset(&stage::key(), *hard, now));
            }
            Deed::BfdDown => {
                stage.drive(|speaker, now| _ = speaker.bfd_failed(&stage::key(), now, now))
            }
            Deed::Filter(client) => {
                let config = stage::config(|peer| peer.client = *client);
                stage.drive(|speaker, now| speaker.configure(config, now));
            }
            Deed::Read => {
                for conn in self.connections.clone() {
                    self.stage.hear(conn);
                }
            }
        }
    }
}

fn say(stage: &mut Stage, conn: ConnId, speech: Speech) {
    let message = match speech {
        Speech::Open { higher: true, .. } => Message::Open(open(true)),
        Speech::Open { graceful: true, .. } => {
            Message::Open(stage::open_graceful(false, true, true))
        }
        Speech::Open { .. } => Message::Open(open(false)),
        Speech::Keepalive => Message::Keepalive,
        Speech::Routes => return stage.tell(conn, &["10.1.0.0/24", "10.2.0.0/24"]),
        Speech::EndOfRib => return stage.tell_end(conn),
        Speech::Goodbye { hard } => Message::Notification(match hard {
            true => Notification::cease(Cease::Shutdown, "").hard_reset(),
            false => Notification::cease(Cease::Reset, "once more"),
        }),
        Speech::Refresh => Message::Refresh(Refresh {
            family: Family::Ipv4,
            kind: RefreshKind::Request,
        }),
        Speech::Noise(byte) => return stage.say_bytes(conn, &[byte; 25]),
    };
    stage.say(conn, &message);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_a_peer_does_the_next_session_works(deeds in deeds()) {
        let mut play = Play {
            stage: Stage::new(|_| ()),
            connections: Vec::new(),
        };
        for deed in &deeds {
            play.act(deed);
            let status = play.stage.status();
            let stands = status.state == SessionState::Established;
            prop_assert_eq!(stands, status.agreed.is_some());
            // Routes are there only with a session, or as stale ones.
            let fresh = play.stage.routes().into_iter().any(|route| !route.ends_with('*'));
            prop_assert!(stands || !fresh, "{:?}", play.stage.routes());
        }
        for conn in play.connections {
            play.stage.hear(conn);
            play.stage.lose(conn);
        }
        prop_assert_ne!(play.stage.state(), SessionState::Established);
        works_again(&mut play.stage);
    }
}

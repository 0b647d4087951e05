//! How a speaker is: each session of BGP, with the one of BFD beside it.

use std::collections::BTreeMap;

use serde::Serialize;
use tombolo_bgp::{Moment, PeerKey, SessionStatus, Speaker};

/// How a speaker is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Each configured session.
    pub sessions: Vec<SessionStatus>,
    /// The sessions of BFD, by peer.
    pub bfd: BTreeMap<PeerKey, BfdStatus>,
    /// What the kernel does not let the speaker do, in words.
    pub problems: Vec<String>,
    /// After a restart: whether all peers have said what they know, or enough time has passed.
    pub settled: bool,
}

/// A session of BFD.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdStatus {
    /// The state of our end, in the words of RFC 5880.
    pub state: &'static str,
    /// The state that the peer last told.
    pub remote_state: &'static str,
    /// Why it last left Up, in words.
    pub diagnostic: String,
    /// For how long it has been in its state, in seconds.
    pub since: f64,
    /// Between two packets of ours, before jitter, in seconds.
    pub interval: f64,
    /// How long the peer may be silent, in seconds; none while nothing was heard of it.
    pub detection_time: Option<f64>,
    /// Packets that were sent, and received.
    pub packets: (u64, u64),
    /// Packets that were discarded, by reason.
    pub discarded: BTreeMap<&'static str, u64>,
}

/// Asks a speaker, and BFD for each peer.
pub(crate) fn status_of(
    speaker: &Speaker,
    problems: Vec<String>,
    bfd: &BTreeMap<PeerKey, tombolo_bfd::Status>,
    now: Moment,
) -> Status {
    let sessions = speaker.sessions(now);
    let bfd = (sessions.iter())
        .filter_map(|session| {
            let status = bfd.get(&session.peer)?;
            Some((session.peer.clone(), BfdStatus::of(status, now)))
        })
        .collect();
    Status {
        sessions,
        bfd,
        problems,
        settled: speaker.settled(),
    }
}

impl BfdStatus {
    fn of(status: &tombolo_bfd::Status, now: Moment) -> BfdStatus {
        BfdStatus {
            state: name(status.state),
            remote_state: name(status.remote_state),
            diagnostic: status.diagnostic.to_string(),
            since: now.saturating_sub(status.since).as_secs_f64(),
            interval: status.transmit_interval.as_secs_f64(),
            detection_time: status.detection_time.map(|time| time.as_secs_f64()),
            packets: status.packets,
            discarded: status.discards.iter().collect(),
        }
    }
}

fn name(state: tombolo_bfd::State) -> &'static str {
    match state {
        tombolo_bfd::State::AdminDown => "AdminDown",
        tombolo_bfd::State::Down => "Down",
        tombolo_bfd::State::Init => "Init",
        tombolo_bfd::State::Up => "Up",
    }
}

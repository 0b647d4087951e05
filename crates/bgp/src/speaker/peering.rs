//! What is between us and one peer: its connections, when to try again, and what is kept of it.
//!
//! States of RFC 4271 section 8.2.2 that are not a connection's: Idle, while a fault is being paid for and
//! neither side may connect; Connect, while we are connecting; Active, while we wait for our next try or for
//! the peer's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Peer, PeerKey};
use crate::session::{Cause, Random, Session, Traffic};
use crate::types::{Family, Moment};

use super::stale::Stale;
use super::{ConnId, SessionState};

/// After a lost connection the next try comes soon: the peer may be back already.
const SOON: Duration = Duration::from_secs(1);
/// The greatest back-off (`DampPeerOscillations`, RFC 4271 section 8.1.1).
const MAX_PENALTY: Duration = Duration::from_secs(120);
/// The least back-off after a peer that told too many prefixes.
const TOO_MANY_PENALTY: Duration = Duration::from_secs(60);
/// A session that stood for so long is no oscillation.
const STEADY: Duration = Duration::from_secs(60);

/// A peer, as the speaker knows it.
#[derive(Debug)]
pub(super) struct Peering {
    pub(super) key: PeerKey,
    pub(super) config: Arc<Peer>,
    pub(super) connections: Vec<Connection>,
    /// When to connect; none while there is no need, or if the peer is to connect to us.
    pub(super) next_try: Option<Moment>,
    /// Until then neither side connects.
    pub(super) idle_until: Option<Moment>,
    /// What is kept though its session is gone.
    pub(super) stale: BTreeMap<Family, Stale>,
    /// When the speaker looks at it next.
    pub(super) alarm: Option<Moment>,
    pub(super) history: History,
}

/// What has been with a peer.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Since when the session stands, or does not.
    pub(super) since: Moment,
    /// Whether a session ever stood since we began.
    pub(super) established_before: bool,
    /// How often a session ended that had stood.
    pub(super) flaps: u64,
    /// Faults one after another.
    pub(super) failures: u32,
    /// How often we could not connect, one after another.
    pub(super) unreachable: u32,
    /// What was last wrong.
    pub(super) trouble: Option<Trouble>,
    /// Of connections that are gone.
    pub(super) traffic: Traffic,
    /// Malformed attributes that were borne (RFC 7606).
    pub(super) borne: u64,
    /// The last of them, in words.
    pub(super) last_borne: Option<String>,
}

/// What was wrong, and when.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) words: String,
    pub(super) at: Moment,
}

/// A connection to or from a peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnId,
    /// Whether we made it.
    pub(super) ours: bool,
    pub(super) stage: Stage,
}

/// How far a connection is.
#[derive(Debug)]
pub(super) enum Stage {
    /// We are connecting, at most until then.
    Dialing(Moment),
    /// BGP is spoken, since when the session stands if it does.
    Talking(Box<Session>, Option<Moment>),
}

impl Peering {
    pub(super) fn new(key: PeerKey, config: Peer, now: Moment) -> Peering {
        Peering {
            key,
            config: Arc::new(config),
            connections: Vec::new(),
            next_try: None,
            idle_until: None,
            stale: BTreeMap::new(),
            alarm: None,
            history: History {
                since: now,
                ..History::default()
            },
        }
    }

    pub(super) fn connection(&self, conn: ConnId) -> Option<&Connection> {
        self.connections
            .iter()
            .find(|connection| connection.id == conn)
    }

    pub(super) fn session(&self, conn: ConnId) -> Option<&Session> {
        self.connection(conn)?.session()
    }

    pub(super) fn session_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        let mut connections = self.connections.iter_mut();
        match &mut connections.find(|connection| connection.id == conn)?.stage {
            Stage::Talking(session, _) => Some(session),
            Stage::Dialing(_) => None,
        }
    }

    /// The connection whose session stands. There is never more than one.
    pub(super) fn established(&self) -> Option<(&Connection, &Session)> {
        let mut talking = (self.connections.iter()).filter_map(|c| Some((c, c.session()?)));
        talking.find(|(_, session)| session.established().is_some())
    }

    /// A connection's session has come to stand.
    pub(super) fn stands(&mut self, conn: ConnId, now: Moment) {
        self.history.since = now;
        self.history.established_before = true;
        self.next_try = None;
        for connection in self.connections.iter_mut().filter(|c| c.id == conn) {
            if let Stage::Talking(_, since) = &mut connection.stage {
                *since = Some(now);
            }
        }
    }

    /// The state that the peer is in, by the connection that is farthest.
    pub(super) fn state(&self) -> SessionState {
        let farthest = self.connections.iter().map(Connection::state).max();
        farthest.unwrap_or(match self.idle_until {
            Some(_) => SessionState::Idle,
            None => SessionState::Active,
        })
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let connections = self.connections.iter().filter_map(Connection::deadline);
        let stale = self.stale.values().map(Stale::until);
        let own = [self.next_try, self.idle_until].into_iter().flatten();
        connections.chain(stale).chain(own).min()
    }

    /// Decides when to connect again, after a connection ended for a cause.
    pub(super) fn schedule(&mut self, cause: Cause, random: &mut Random, now: Moment) {
        let retry = self.config.connect_retry;
        if let Some(penalty) = self.penalty(cause) {
            let until = now + random.jitter(penalty);
            self.idle_until = Some(until);
            self.next_try = None;
            return;
        }
        let wait = match cause {
            Cause::Lost if self.history.unreachable == 0 => SOON.min(retry),
            Cause::Wanted { .. } | Cause::Collision => SOON.min(retry),
            _ => retry,
        };
        self.try_after(wait, random, now);
    }

    /// Connects after about so long, unless the peer is to connect to us.
    pub(super) fn try_after(&mut self, wait: Duration, random: &mut Random, now: Moment) {
        self.next_try = (!self.config.passive).then(|| now + random.jitter(wait));
    }

    /// For how long neither side may connect, after a fault: longer with each one that follows another.
    fn penalty(&mut self, cause: Cause) -> Option<Duration> {
        match cause {
            Cause::TooMany => {
                self.history.failures += 1;
                let times = self.history.failures.min(8);
                Some((TOO_MANY_PENALTY * times).min(MAX_PENALTY * 4))
            }
            Cause::Fault | Cause::Silent | Cause::Told { cease: false, .. } => {
                self.history.failures += 1;
                // The first is forgiven: the other side may have been corrected meanwhile.
                let doublings = self.history.failures.checked_sub(2)?.min(7);
                Some((self.config.connect_retry * (1 << doublings)).min(MAX_PENALTY))
            }
            _ => None,
        }
    }

    /// A session ended that had stood: if it was a steady one, former faults are forgotten.
    pub(super) fn forgive(&mut self, stood_since: Moment, now: Moment) {
        if now.saturating_sub(stood_since) >= STEADY {
            self.history.failures = 0;
        }
    }
}

impl Connection {
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Talking(session, _) => Some(session),
            Stage::Dialing(_) => None,
        }
    }

    pub(super) fn stands_since(&self) -> Option<Moment> {
        match &self.stage {
            Stage::Talking(_, since) => *since,
            Stage::Dialing(_) => None,
        }
    }

    fn deadline(&self) -> Option<Moment> {
        match &self.stage {
            Stage::Dialing(until) => Some(*until),
            Stage::Talking(session, _) => session.deadline(),
        }
    }

    fn state(&self) -> SessionState {
        let Some(session) = self.session() else {
            return SessionState::Connect;
        };
        match (session.negotiated(), session.established()) {
            (None, _) => SessionState::OpenSent,
            (Some(_), None) => SessionState::OpenConfirm,
            (Some(_), Some(_)) => SessionState::Established,
        }
    }
}

//! Two connections between the same two speakers (RFC 4271 section 6.8).
//!
//! Both sides may connect at once. As soon as the OPEN on a connection is good, it is held against the
//! others: both sides come to the same answer by themselves, since both know who began which connection and
//! who has the higher identifier.
//!
//! A session that stands already is given up for a new connection in two cases. It has only just come to
//! stand: then the other side may not know it yet (`CollisionDetectEstablishedState`, section 8.1.1). Or the
//! peer survives restarts and connects: then it has lost the old connection (RFC 4724 section 5).

use std::cmp::Ordering;
use std::time::Duration;

use crate::message::Negotiated;
use crate::rib::PeerId;
use crate::session::{Ending, Session};
use crate::types::Moment;

use super::peering::{Connection, Peering};
use super::{ConnId, Speaker};

/// Within this time after a session came to stand, connections may still have crossed.
const JUST_NOW: Duration = Duration::from_secs(10);

/// What becomes of two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet.
    Both,
    /// The one whose OPEN came stays.
    New,
    /// The other one stays.
    Old,
    /// The one whose OPEN came stays, and the other one is dead.
    Replaced,
}

impl Speaker {
    /// The OPEN on a connection is good: at most one connection whose OPEN is good stays.
    pub(super) fn resolve_collision(&mut self, id: PeerId, conn: ConnId, now: Moment) {
        let Some(peering) = self.peers.get(&id) else {
            return;
        };
        let Some(new) = peering.connection(conn) else {
            return;
        };
        let others = peering.connections.iter().filter(|other| other.id != conn);
        let verdicts: Vec<(ConnId, Verdict)> =
            others.map(|old| (old.id, judge(new, old, now))).collect();
        for (old, verdict) in verdicts {
            let (loser, ending) = match verdict {
                Verdict::Both => continue,
                Verdict::New => (old, Ending::collision("another connection is used")),
                Verdict::Old => (conn, Ending::collision("another connection is used")),
                Verdict::Replaced => (
                    old,
                    Ending::lost("the peer is back with another connection"),
                ),
            };
            self.end(id, loser, ending, now);
        }
    }
}

fn judge(new: &Connection, old: &Connection, now: Moment) -> Verdict {
    let (Some(session), Some(other)) = (new.session(), old.session()) else {
        return Verdict::Both;
    };
    let (Some(negotiated), Some(before)) = (session.negotiated(), other.negotiated()) else {
        return Verdict::Both;
    };
    match old.stands_since() {
        None => by_identifier(new, old, session, negotiated),
        Some(since) if now.saturating_sub(since) < JUST_NOW && new.ours != old.ours => {
            by_identifier(new, old, session, negotiated)
        }
        Some(_) if before.graceful.is_some() && !new.ours => Verdict::Replaced,
        Some(_) => Verdict::Old,
    }
}

/// The connection that was begun by the one with the higher identifier stays; of the same identifier, the
/// one of the higher AS number (RFC 6286 section 2.3). Of two that the same one began, the newer.
fn by_identifier(
    new: &Connection,
    old: &Connection,
    session: &Session,
    negotiated: &Negotiated,
) -> Verdict {
    if new.ours == old.ours {
        return Verdict::New;
    }
    let terms = session.terms();
    let ours = (terms.router_id, terms.asn);
    let higher = ours.cmp(&(negotiated.peer_id, negotiated.peer_asn)) == Ordering::Greater;
    if new.ours == higher {
        Verdict::New
    } else {
        Verdict::Old
    }
}

impl Peering {
    /// Our own tries that have not come about: not needed once a session stands.
    pub(super) fn tries(&self) -> Vec<ConnId> {
        let dialing = self.connections.iter().filter(|c| c.session().is_none());
        dialing.map(|connection| connection.id).collect()
    }
}

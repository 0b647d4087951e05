//! What is kept of a peer that is away: the helper's part of graceful restart (RFC 4724 section 4.2) and
//! the long-lived one (RFC 9494 section 4.3).
//!
//! ```text
//!             the session is lost              it is back, and forwarded meanwhile
//!  fresh ────────────────────────► Awaited ────────────────────────► Returning ──End-of-RIB, time──► swept
//!                                     │ restart time                      ▲
//!                                     ├──► swept                          │ it is back
//!                                     └──► LongLived ─────────────────────┘
//!                                             └── stale time ──► swept
//! ```

use std::time::Duration;

use crate::message::Negotiated;
use crate::rib::{Down, PeerId};
use crate::session::Cause;
use crate::types::{Families, Family, Moment};

use super::Speaker;

/// How it stands with the kept routes of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stale {
    /// The peer has until then to return, and if it does not, its routes may stay for so much longer,
    /// but not beyond an end that was set before: it moves only once all was said again (RFC 9494
    /// section 4.2).
    Awaited {
        until: Moment,
        then: Option<Duration>,
        end: Option<Moment>,
    },
    /// They are a last resort, until then.
    LongLived { until: Moment },
    /// The peer is back, and has until then to say them again.
    Returning { until: Moment, end: Option<Moment> },
}

impl Stale {
    pub(super) fn until(&self) -> Moment {
        match self {
            Stale::Awaited { until, .. }
            | Stale::LongLived { until }
            | Stale::Returning { until, .. } => *until,
        }
    }
}

impl Stale {
    /// When they go though the peer may still come, if that is set.
    fn end(&self) -> Option<Moment> {
        match self {
            Stale::LongLived { until } => Some(*until),
            Stale::Awaited { end, .. } | Stale::Returning { end, .. } => *end,
        }
    }
}

impl Speaker {
    /// A session is gone whose routes are kept.
    pub(super) fn keep_stale(
        &mut self,
        id: PeerId,
        agreed: &Negotiated,
        cause: Cause,
        now: Moment,
    ) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let kept: Families = agreed
            .families
            .iter()
            .filter(|f| restores(agreed, *f))
            .collect();
        // What was stale before is not kept twice (RFC 4724 section 4.2), unless it may be for long. A
        // collision is no second loss.
        let before = peering.stale.clone();
        if cause != Cause::Collision {
            peering.stale.clear();
            let twice = before
                .keys()
                .filter(|family| long_time(agreed, **family).is_none());
            twice.for_each(|family| self.rib.end_stale(id, *family));
        }
        self.rib.peer_down(id, Down::KeepStale(kept));
        let restart_time = agreed.graceful.as_ref().map_or(0, |graceful| graceful.time);
        let until = now + Duration::from_secs(restart_time.into());
        for family in kept.iter() {
            let then = long_time(agreed, family);
            let end = before.get(&family).and_then(Stale::end);
            peering
                .stale
                .insert(family, Stale::Awaited { until, then, end });
        }
    }

    /// A peer is back: what it did not forward meanwhile is not kept, the rest until it has said all.
    pub(super) fn welcome_back(&mut self, id: PeerId, agreed: &Negotiated, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let graceful = self.config.graceful_with(&peering.config);
        let patience = graceful.map_or(Duration::ZERO, |graceful| graceful.stale_time);
        let before = std::mem::take(&mut peering.stale);
        for (family, stale) in before {
            let end = stale.end();
            let until = (now + patience).min(end.unwrap_or(Moment::MAX));
            if forwarded(agreed, family, &stale) {
                peering
                    .stale
                    .insert(family, Stale::Returning { until, end });
            } else {
                self.rib.end_stale(id, family);
            }
        }
    }

    /// A peer has said all of a family.
    pub(super) fn said_all(&mut self, id: PeerId, family: Family) {
        let peering = self.peers.get_mut(&id);
        if peering.is_some_and(|peering| peering.stale.remove(&family).is_some()) {
            self.rib.end_stale(id, family);
        }
        self.heard_all(id, family);
    }

    /// Sweeps what has been stale for too long.
    pub(super) fn ring_stale(&mut self, id: PeerId, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        for family in Family::ALL {
            let due = peering
                .stale
                .get(&family)
                .filter(|stale| stale.until() <= now)
                .copied();
            match due {
                None => {}
                Some(Stale::Awaited {
                    then: Some(long),
                    end,
                    ..
                }) => {
                    let until = (now + long).min(end.unwrap_or(Moment::MAX));
                    peering.stale.insert(family, Stale::LongLived { until });
                    self.rib.long_lived(id, family);
                }
                Some(_) => {
                    peering.stale.remove(&family);
                    self.rib.end_stale(id, family);
                }
            }
        }
    }
}

/// Whether the peer's routes of a family are worth to be kept: it said that it restores them.
fn restores(agreed: &Negotiated, family: Family) -> bool {
    let listed = |graceful: &crate::message::GracefulRestart| {
        graceful
            .families
            .iter()
            .any(|(restored, _)| *restored == family)
    };
    agreed.graceful.as_ref().is_some_and(listed) || long_time(agreed, family).is_some()
}

/// How long routes of a family may stay after the restart time.
fn long_time(agreed: &Negotiated, family: Family) -> Option<Duration> {
    let mut listed = agreed
        .long_lived
        .iter()
        .filter(|(kept, _, time)| *kept == family && *time > 0);
    listed
        .next()
        .map(|(_, _, time)| Duration::from_secs((*time).into()))
}

/// Whether a peer that is back says that it went on forwarding.
fn forwarded(agreed: &Negotiated, family: Family, stale: &Stale) -> bool {
    let graceful = agreed
        .graceful
        .iter()
        .flat_map(|graceful| &graceful.families);
    let short = graceful
        .clone()
        .any(|(restored, kept)| *restored == family && *kept);
    let long = (agreed.long_lived.iter()).any(|(restored, kept, _)| *restored == family && *kept);
    match stale {
        Stale::LongLived { .. } => long,
        Stale::Awaited { then: Some(_), .. } => short || long,
        Stale::Awaited { then: None, .. } | Stale::Returning { .. } => short,
    }
}

//! Our own restart (RFC 4724 section 4.1): routes are chosen only when all peers have said what they know.
//!
//! Meanwhile the kernel forwards by the routes of before, and the peers by what we told them. Who is not
//! waited for: peers that do not take part, peers that restart themselves, peers to which two connections
//! could not be made, and, once the time is over in which they would have waited for us, whoever has not
//! come. After the stale time nobody is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, Graceful};
use crate::message::Negotiated;
use crate::rib::PeerId;
use crate::types::{Families, Family, Moment};

use super::Speaker;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Restart {
    /// Until when peers may come that have not come yet.
    absent_until: Moment,
    /// Until when those that have come may talk (`Selection_Deferral_Timer`).
    until: Moment,
    /// Whose End-of-RIB is missing, and of which families.
    waiting: BTreeMap<PeerId, Awaited>,
}

#[derive(Debug, Clone, Copy)]
struct Awaited {
    families: Families,
    came: bool,
}

impl Restart {
    /// When something of it is over.
    pub(super) fn deadline(&self) -> Moment {
        let absent = self.waiting.values().any(|awaited| !awaited.came);
        if absent {
            self.absent_until.min(self.until)
        } else {
            self.until
        }
    }
}

impl Speaker {
    /// We were away, and what we told is still forwarded by.
    pub(super) fn begin_restart(&mut self, config: &Config, now: Moment) {
        let with_peers = (config.peers.values()).filter_map(|peer| config.graceful_with(peer));
        let all: Vec<Graceful> = config.graceful.into_iter().chain(with_peers).collect();
        // As long as the most patient peer.
        let longest = |time: fn(&Graceful) -> Duration| all.iter().map(time).max();
        let times = (
            longest(|graceful| graceful.restart_time.min(graceful.stale_time)),
            longest(|graceful| graceful.stale_time),
        );
        let (Some(absent), Some(stale)) = times else {
            return;
        };
        self.rib.hold();
        self.restart = Some(Restart {
            absent_until: now + absent,
            until: now + stale,
            waiting: BTreeMap::new(),
        });
    }

    /// A peer is configured from the beginning: it is waited for.
    pub(super) fn wait_for(&mut self, id: PeerId, families: Families) {
        if let Some(restart) = &mut self.restart {
            let awaited = Awaited {
                families,
                came: false,
            };
            restart.waiting.insert(id, awaited);
        }
    }

    /// A peer's session stands: its End-of-RIB is waited for, if it will send one.
    pub(super) fn await_routes(&mut self, id: PeerId, agreed: &Negotiated) {
        let Some(restart) = &mut self.restart else {
            return;
        };
        let takes_part = (agreed.graceful.as_ref()).is_some_and(|graceful| !graceful.restarting);
        match restart.waiting.get_mut(&id) {
            Some(awaited) if takes_part => {
                awaited.came = true;
                awaited.families = awaited.families.and(agreed.families);
            }
            _ => {
                restart.waiting.remove(&id);
            }
        }
    }

    /// A peer's session is gone before it has said all: it is as if it had not come.
    pub(super) fn lost_again(&mut self, id: PeerId) {
        if let Some(restart) = &mut self.restart
            && let Some(awaited) = restart.waiting.get_mut(&id)
        {
            awaited.came = false;
        }
    }

    /// A peer has said all of a family.
    pub(super) fn heard_all(&mut self, id: PeerId, family: Family) {
        let Some(restart) = &mut self.restart else {
            return;
        };
        if let Some(awaited) = restart.waiting.get_mut(&id) {
            awaited.families = awaited.families.iter().filter(|f| *f != family).collect();
            if awaited.families == Families::default() {
                restart.waiting.remove(&id);
            }
        }
    }

    /// A peer will not come.
    pub(super) fn do_not_wait_for(&mut self, id: PeerId, now: Moment) {
        if let Some(restart) = &mut self.restart {
            restart.waiting.remove(&id);
            self.check_restart(now);
        }
    }

    /// Chooses routes as soon as nobody is waited for any more.
    pub(super) fn check_restart(&mut self, now: Moment) {
        let Some(restart) = &mut self.restart else {
            return;
        };
        if restart.absent_until <= now {
            restart.waiting.retain(|_, awaited| awaited.came);
        }
        if restart.waiting.is_empty() || restart.until <= now {
            self.restart = None;
            self.rib.release();
        }
    }
}

//! What everybody may know of a tunnel, and word that something about it has changed.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::{Discard, PeerStatus};
use crate::{NodeId, PeerId, Reason, Sums};

/// How a tunnel is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// How often a way has changed.
    pub edition: u64,
    /// The process that runs it.
    pub process: u32,
    /// How each peer is.
    pub peers: BTreeMap<PeerId, PeerStatus>,
    /// What went to and came from each node.
    pub traffic: BTreeMap<NodeId, Sums>,
    /// Packets that were dropped, by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// Messages between tunnels that were not listened to, by reason.
    pub discards: BTreeMap<Discard, u64>,
    /// Why it is not as it was told to be, in words.
    pub problems: Vec<String>,
}

/// How often something has changed, for those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Board {
    edition: Mutex<u64>,
    changed: Condvar,
}

impl Board {
    pub fn edition(&self) -> u64 {
        *self.lock()
    }

    pub fn change(&self) {
        *self.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until the edition is another one, or the time is over.
    pub fn wait(&self, edition: u64, limit: Duration) {
        let same = |now: &mut u64| *now == edition;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, same);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// A number is whole whatever happened.
    fn lock(&self) -> MutexGuard<'_, u64> {
        self.edition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What a store tells by itself: events, watches, leases, its status.
//!
//! The second half of the words of `types`, with the same source: what is asked in a
//! request and answered at once is there, what goes on over time is here.

use std::time::Duration;

use bytes::Bytes;

use crate::key_range::KeyRange;
use crate::types::{KeyValue, LeaseId, Revision};

/// What happened to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The key after; of a deletion only key and `mod_revision` are set.
    pub kv: KeyValue,
    /// The key before, when asked for and still in history.
    pub prev_kv: Option<KeyValue>,
}

/// All changes of one revision that a watch asked for. Without events it is progress:
/// everything up to `revision` has been delivered (only where the watch asked for it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// The revision.
    pub revision: Revision,
    /// Its changes in the order in which the transaction made them.
    pub events: Vec<Event>,
}

/// Ask to be told of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchRequest {
    /// Of which keys.
    pub range: KeyRange,
    /// From which revision on, that one included; [`Revision::NONE`] for what comes next.
    pub start_revision: Revision,
    /// With the key as it was before.
    pub prev_kv: bool,
    /// With batches without events, which tell how far the watch has come.
    pub progress: bool,
}

impl WatchRequest {
    /// Watch `range` from the next revision on.
    pub fn new(range: KeyRange) -> WatchRequest {
        WatchRequest {
            range,
            ..WatchRequest::default()
        }
    }

    /// The same from `revision` on, that one included.
    #[must_use]
    pub fn starting(mut self, revision: Revision) -> WatchRequest {
        self.start_revision = revision;
        self
    }
}

/// A lease as it was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Its name.
    pub id: LeaseId,
    /// Its time to live; may be longer than asked (etcd has a minimum).
    pub ttl: Duration,
}

/// A lease as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    /// Its name.
    pub id: LeaseId,
    /// The time to live that a keep-alive gives it.
    pub granted: Duration,
    /// What is left.
    pub remaining: Duration,
    /// The keys bound to it, when asked for.
    pub keys: Vec<Bytes>,
}

/// How a store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// Its newest revision.
    pub revision: Revision,
    /// The bytes of its file; 0 where there is none.
    pub size: u64,
    /// A number that stays with this store for its life; another number is another store.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The version that it tells of itself.
    pub version: String,
    /// Why it takes no writes at present, if it does not: a full disk, or one that fails.
    pub problem: Option<String>,
}

//! The store as a state machine: a command and `now` go in, an answer and effects come out.
//!
//! Everything that makes the store etcd-shaped is decided here, once for memory and for
//! the embedded file: revisions, the history of each key, compares, transactions, ranges
//! at old revisions, compaction, leases, and what a watcher has missed. No clock, no lock,
//! no file, no task: time is an argument, and durability is somebody else's, who gets the
//! [`Effects`] of each command to write down.
//!
//! ```text
//!            check ──► path (compares against the state before) ──► write
//! Command ─►                                                          │
//!   (now)    lease: grant, keep alive, revoke, expire ──► write ──► Effects, Reply
//!            compact ─► history, log
//! ```
//!
//! A command that fails has changed nothing.

mod check;
mod compact;
mod history;
mod lease;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::history::KeyHistory;
use self::lease::Leases;
use crate::clock::Now;
use crate::error::StoreError;
use crate::told::{Event, EventKind, LeaseGrant, WatchBatch, WatchRequest};
use crate::types::{KeyValue, LeaseId, Revision, Txn, TxnResponse};

/// The revision of a store to which nothing was written yet, as in etcd.
pub const FIRST_REVISION: Revision = Revision(1);

/// Something that may change the store.
#[derive(Debug, Clone)]
pub enum Command {
    /// Do a transaction.
    Txn(Txn),
    /// Forget history before a revision.
    Compact(Revision),
    /// Make a lease.
    LeaseGrant {
        /// Its name; the caller chooses one that is free.
        id: LeaseId,
        /// Its time to live.
        ttl: Duration,
    },
    /// Give a lease its full time again.
    LeaseKeepAlive(LeaseId),
    /// End a lease.
    LeaseRevoke(LeaseId),
    /// End every lease whose time is over.
    Expire,
}

/// The answer to a command that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a transaction.
    Txn(TxnResponse),
    /// To a grant.
    LeaseGrant(LeaseGrant),
    /// To a keep-alive: the time that the lease has now.
    LeaseKeepAlive(Duration),
    /// To everything else.
    Done,
}

/// One change of one key, as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Put or delete.
    pub kind: EventKind,
    /// The key after; of a deletion only key and `mod_revision` are set.
    pub kv: KeyValue,
    /// The key before.
    pub prev_kv: Option<KeyValue>,
}

/// All changes of one revision, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The revision.
    pub revision: Revision,
    /// At most one change for each key.
    pub changes: Vec<Change>,
}

/// Where one change stands in history: its revision, and its place within it.
pub type Place = (Revision, u32);

/// What a command changed, for whoever makes it durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// The revisions that were made.
    pub committed: Vec<Arc<Committed>>,
    /// The leases that were made, with their time to live.
    pub leases_made: Vec<(LeaseId, Duration)>,
    /// The leases that ended.
    pub leases_ended: Vec<LeaseId>,
    /// The compaction, with the changes that history no longer needs.
    pub compacted: Option<(Revision, Vec<Place>)>,
}

impl Effects {
    /// Nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Effects::default()
    }
}

/// The state.
#[derive(Debug, Clone)]
pub struct Mvcc {
    keys: BTreeMap<Bytes, KeyHistory>,
    /// Every revision from the compaction on, for watchers that catch up.
    log: VecDeque<Arc<Committed>>,
    revision: Revision,
    compact_revision: Revision,
    leases: Leases,
}

impl Default for Mvcc {
    fn default() -> Mvcc {
        Mvcc {
            keys: BTreeMap::new(),
            log: VecDeque::new(),
            revision: FIRST_REVISION,
            compact_revision: Revision::NONE,
            leases: Leases::default(),
        }
    }
}

impl Mvcc {
    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read; [`Revision::NONE`] if nothing was compacted.
    pub fn compact_revision(&self) -> Revision {
        self.compact_revision
    }

    /// The leases.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Does a command, or fails and leaves everything as it was.
    pub fn apply(&mut self, command: Command, now: Now) -> Result<(Reply, Effects), StoreError> {
        let mut effects = Effects::default();
        let reply = match command {
            Command::Txn(txn) => Reply::Txn(self.txn(&txn, &mut effects)?),
            Command::Compact(revision) => {
                self.compact(revision, &mut effects)?;
                Reply::Done
            }
            Command::LeaseGrant { id, ttl } => {
                let grant = self.leases.grant(id, ttl, now)?;
                effects.leases_made.push((grant.id, grant.ttl));
                Reply::LeaseGrant(grant)
            }
            Command::LeaseKeepAlive(id) => Reply::LeaseKeepAlive(self.leases.keep_alive(id, now)?),
            Command::LeaseRevoke(id) => {
                self.end_lease(id, &mut effects)?;
                Reply::Done
            }
            Command::Expire => {
                for id in self.leases.expired(now) {
                    self.end_lease(id, &mut effects)?;
                }
                Reply::Done
            }
        };
        Ok((reply, effects))
    }

    /// Puts back what was written down earlier: revisions in order, from the oldest on.
    pub fn restore(&mut self, revision: Revision, changes: Vec<(EventKind, KeyValue)>) {
        self.revision = self.revision.max(revision);
        let mut committed = Committed {
            revision,
            changes: Vec::with_capacity(changes.len()),
        };
        for (kind, kv) in changes {
            let history = self.keys.entry(kv.key.clone()).or_default();
            let change = history.restore(kind, kv);
            history.place(write::place_of(&committed));
            committed.changes.push(change);
        }
        if revision >= self.compact_revision {
            self.log.push_back(Arc::new(committed));
        }
    }

    /// Puts back a compaction and a newest revision; before any revision is put back.
    pub fn restore_bounds(&mut self, compact_revision: Revision) {
        self.compact_revision = compact_revision;
        self.revision = self.revision.max(compact_revision);
    }

    /// Puts back a lease, with its full time; after its keys were put back.
    pub fn restore_lease(&mut self, id: LeaseId, ttl: Duration, now: Now) {
        let bound = |history: &KeyHistory| history.newest().is_some_and(|kv| kv.lease == id);
        let keys = self.keys.iter().filter(|(_, history)| bound(history));
        let keys = keys.map(|(key, _)| key.clone()).collect();
        self.leases.restore(id, ttl, keys, now);
    }

    /// What a watcher has missed: the batches of the revisions from `request.start_revision`
    /// to `visible`, at most `max` of them, and the revision from which to ask next.
    pub fn missed(
        &self,
        request: &WatchRequest,
        visible: Revision,
        max: usize,
    ) -> Result<(Vec<WatchBatch>, Revision), StoreError> {
        let requested = request.start_revision;
        if requested < self.compact_revision {
            let compact_revision = self.compact_revision;
            return Err(StoreError::Compacted {
                requested,
                compact_revision,
            });
        }
        let first = self
            .log
            .partition_point(|committed| committed.revision < requested);
        let mut batches = Vec::new();
        let mut next = requested;
        for committed in self
            .log
            .range(first..)
            .take_while(|c| c.revision <= visible)
        {
            if batches.len() == max {
                return Ok((batches, next));
            }
            next = committed.revision.next();
            let wanted = committed
                .changes
                .iter()
                .filter(|c| request.range.contains(&c.kv.key));
            let events: Vec<Event> = wanted.map(|change| change.event(request.prev_kv)).collect();
            if !events.is_empty() {
                batches.push(WatchBatch {
                    revision: committed.revision,
                    events,
                });
            }
        }
        Ok((batches, next.max(visible.next())))
    }

    fn end_lease(&mut self, id: LeaseId, effects: &mut Effects) -> Result<(), StoreError> {
        let keys = self.leases.revoke(id)?;
        effects.leases_ended.push(id);
        let mut committed = Committed {
            revision: self.revision.next(),
            changes: Vec::new(),
        };
        for key in keys {
            self.delete_key(&key, &mut committed);
        }
        self.finish(committed, effects);
        Ok(())
    }
}

impl Change {
    /// As a watcher sees it.
    pub fn event(&self, prev_kv: bool) -> Event {
        let prev_kv = if prev_kv { self.prev_kv.clone() } else { None };
        Event {
            kind: self.kind,
            kv: self.kv.clone(),
            prev_kv,
        }
    }
}

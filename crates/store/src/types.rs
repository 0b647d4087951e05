//! The words of the store: keys, revisions, transactions, events, leases.
//!
//! They have the meaning that etcd v3 gives them (its API reference, "etcdserverpb"
//! and "mvccpb"), as plain Rust values: what the wire leaves open (`range_end` tricks,
//! zero for "none", enums as integers) is decided here once. Keys and values are
//! [`Bytes`], so that a value is held once however many watchers see it.
//!
//! Nothing here knows what a key means to Tombolo.

use std::fmt;

use bytes::Bytes;

use crate::key_range::KeyRange;

/// The most compares, or operations in one branch, of a transaction: etcd's default
/// `--max-txn-ops`. Kept by every implementation, so that what works on one works on all.
pub const MAX_TXN_OPS: usize = 128;

/// The longest lease in seconds: etcd's `lease.MaxLeaseTTL`.
pub const MAX_LEASE_TTL_SECONDS: u64 = 9_000_000_000;

/// A point in the history of a store. Each transaction that writes makes the next one.
/// An empty store is at revision 1; 0 means "the newest" in requests, "none" in answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// "The newest" in a request, "none" in an answer.
    pub const NONE: Revision = Revision(0);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a lease. 0 is no lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// A key that belongs to no lease.
    pub const NONE: LeaseId = LeaseId(0);
}

impl fmt::Display for LeaseId {
    /// As `etcdctl` prints it: hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One key at one revision (`mvccpb.KeyValue`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// Its value; empty in the event of a deletion.
    pub value: Bytes,
    /// When this life of the key began.
    pub create_revision: Revision,
    /// When it was last written.
    pub mod_revision: Revision,
    /// How often it was written in this life: 1 after the first put, 0 when deleted.
    pub version: i64,
    /// The lease whose end deletes the key.
    pub lease: LeaseId,
}

/// How a compare relates what is stored (left) to what is given (right).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// Stored = given.
    Equal,
    /// Stored > given.
    Greater,
    /// Stored < given.
    Less,
    /// Stored ≠ given.
    NotEqual,
}

/// What of a key is compared, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// Its version; 0 for a key that does not exist.
    Version(i64),
    /// The revision of its creation; 0 for a key that does not exist.
    Create(Revision),
    /// The revision of its last write; 0 for a key that does not exist.
    Mod(Revision),
    /// Its value. Never holds for a key that does not exist.
    Value(Bytes),
    /// Its lease.
    Lease(LeaseId),
}

/// A condition. Over a range it holds when it holds for every key of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key or keys.
    pub key: KeyRange,
    /// What is compared.
    pub target: CompareTarget,
    /// How.
    pub op: CompareOp,
}

impl Compare {
    /// The key does not exist.
    pub fn absent(key: impl Into<Bytes>) -> Compare {
        let key = KeyRange::single(key);
        Compare {
            key,
            target: CompareTarget::Create(Revision::NONE),
            op: CompareOp::Equal,
        }
    }

    /// The key was last written at `revision`; with [`Revision::NONE`]: it does not exist.
    pub fn unchanged(key: impl Into<Bytes>, revision: Revision) -> Compare {
        let key = KeyRange::single(key);
        Compare {
            key,
            target: CompareTarget::Mod(revision),
            op: CompareOp::Equal,
        }
    }

    /// The key has exactly this value.
    pub fn value(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Compare {
        let key = KeyRange::single(key);
        Compare {
            key,
            target: CompareTarget::Value(value.into()),
            op: CompareOp::Equal,
        }
    }
}

/// Write one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// The lease to bind it to, or none.
    pub lease: LeaseId,
    /// Answer what was there before.
    pub prev_kv: bool,
    /// Keep the value that is there; the key must exist.
    pub ignore_value: bool,
    /// Keep the lease that is there; the key must exist.
    pub ignore_lease: bool,
}

/// Delete the keys of a range. Deleting nothing makes no revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Answer what was deleted.
    pub prev_kv: bool,
}

/// What the answer to a range is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key, byte by byte.
    #[default]
    Key,
    /// The version.
    Version,
    /// The revision of creation.
    Create,
    /// The revision of the last write.
    Mod,
    /// The value, byte by byte.
    Value,
}

/// Read the keys of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// As of when; [`Revision::NONE`] for the newest.
    pub revision: Revision,
    /// The most keys to answer; 0 for all. `more` tells whether there were others.
    pub limit: usize,
    /// What to sort by; ascending keys unless told.
    pub sort: SortTarget,
    /// The largest first.
    pub descending: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Only count.
    pub count_only: bool,
    /// Only keys last written at or after it; [`Revision::NONE`] for no bound. Likewise below.
    pub min_mod_revision: Revision,
    /// Only keys last written at or before it.
    pub max_mod_revision: Revision,
    /// Only keys created at or after it.
    pub min_create_revision: Revision,
    /// Only keys created at or before it.
    pub max_create_revision: Revision,
}

impl RangeRequest {
    /// The newest of every key in `range`.
    pub fn new(range: KeyRange) -> RangeRequest {
        RangeRequest {
            range,
            ..RangeRequest::default()
        }
    }

    /// The same as of `revision`.
    #[must_use]
    pub fn at(mut self, revision: Revision) -> RangeRequest {
        self.revision = revision;
        self
    }

    /// The same with at most `limit` keys.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> RangeRequest {
        self.limit = limit;
        self
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Write a key.
    Put(PutRequest),
    /// Delete keys.
    Delete(DeleteRequest),
    /// Read keys; sees the writes of the steps before it.
    Range(RangeRequest),
    /// A transaction inside; its compares look at the state before the outermost one.
    Txn(Txn),
}

impl Op {
    /// Write `value` under `key`.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
        Op::Put(PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        })
    }

    /// Write `value` under `key` until `lease` ends.
    pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Op {
        let (key, value) = (key.into(), value.into());
        Op::Put(PutRequest {
            key,
            value,
            lease,
            ..PutRequest::default()
        })
    }

    /// Delete `key`.
    pub fn delete(key: impl Into<Bytes>) -> Op {
        Op::Delete(DeleteRequest {
            range: KeyRange::single(key),
            prev_kv: false,
        })
    }

    /// Read `key`.
    pub fn get(key: impl Into<Bytes>) -> Op {
        Op::Range(RangeRequest::new(KeyRange::single(key)))
    }
}

/// If every compare holds then `success` else `failure`, all at one revision or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none always holds.
    pub compare: Vec<Compare>,
    /// The steps when all hold.
    pub success: Vec<Op>,
    /// The steps when one does not.
    pub failure: Vec<Op>,
}

impl Txn {
    /// The steps without a condition.
    pub fn of(success: Vec<Op>) -> Txn {
        Txn {
            success,
            ..Txn::default()
        }
    }

    /// The same under conditions.
    #[must_use]
    pub fn when(mut self, compare: Vec<Compare>) -> Txn {
        self.compare = compare;
        self
    }

    /// The same with steps for when a condition does not hold.
    #[must_use]
    pub fn or_else(mut self, failure: Vec<Op>) -> Txn {
        self.failure = failure;
        self
    }
}

/// The answer to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The revision of the store when it answered.
    pub revision: Revision,
    /// The keys, sorted as asked.
    pub kvs: Vec<KeyValue>,
    /// Keys were left out because of the limit.
    pub more: bool,
    /// How many keys the range holds, whatever the limit and the revision bounds.
    pub count: i64,
}

/// The answer to one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResponse {
    /// What was there before, when asked for.
    Put {
        /// The key before the put.
        prev_kv: Option<KeyValue>,
    },
    /// How many keys were deleted.
    Delete {
        /// Their number.
        deleted: i64,
        /// The keys before, when asked for.
        prev_kvs: Vec<KeyValue>,
    },
    /// What was read.
    Range(RangeResponse),
    /// What the inner transaction did.
    Txn(TxnResponse),
}

/// The answer to a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revision that it made, or the store's where it wrote nothing.
    pub revision: Revision,
    /// All compares held.
    pub succeeded: bool,
    /// One answer for each step of the branch that was taken.
    pub responses: Vec<OpResponse>,
}

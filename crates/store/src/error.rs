//! What can go wrong in a store, sorted by whose fault it is.
//!
//! A conflict is not here: a compare-and-swap that loses is an answer
//! (`TxnResponse::succeeded == false`), not an error. Everything here says what
//! failed, on what, why, and what to do about it. The variants decide what a
//! caller does next:
//!
//! - the caller's fault, do not repeat: [`StoreError::Invalid`],
//!   [`StoreError::FutureRevision`], [`StoreError::LeaseExists`];
//! - read anew, then go on: [`StoreError::Compacted`], [`StoreError::LeaseNotFound`];
//! - try again: [`StoreError::Unavailable`];
//! - somebody has to act: [`StoreError::Denied`], [`StoreError::InUse`],
//!   [`StoreError::Corrupt`], [`StoreError::Io`].
//!
//! Errors are `Clone`, because one failed disk commit answers many waiting callers.

use crate::types::{LeaseId, Revision};

/// The answer of a store that could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// History before `compact_revision` is gone. List anew, then watch from the list's revision.
    #[error(
        "revision {requested} is no longer kept: history before revision {compact_revision} was \
         compacted; list the keys anew and watch from the revision of that list"
    )]
    Compacted {
        /// The revision that was asked for.
        requested: Revision,
        /// The oldest revision that can still be read; 0 where the remote store does not tell.
        compact_revision: Revision,
    },
    /// A revision that the store has not reached.
    #[error("revision {requested} is in the future of this store; ask for 0 to read the newest")]
    FutureRevision {
        /// The revision that was asked for.
        requested: Revision,
    },
    /// The lease has expired, was revoked, or never was.
    #[error("lease {lease} does not exist (expired or revoked); grant a new one")]
    LeaseNotFound {
        /// The lease that was named.
        lease: LeaseId,
    },
    /// A lease of that id exists already.
    #[error("lease {lease} exists already; ask for another id, or for none to be given one")]
    LeaseExists {
        /// The lease that was named.
        lease: LeaseId,
    },
    /// No store answers now. Trying again later may work. A write that ends so may have happened.
    #[error("store at {endpoint} is not available: {cause}; try again")]
    Unavailable {
        /// Which store: an address, or a file name for an embedded store.
        endpoint: String,
        /// The reason as told by the network or the remote store.
        cause: String,
    },
    /// One side refused the other's certificate, or the hook refused the identity.
    #[error(
        "store at {endpoint} and this client refuse each other: {cause}; check the client \
         certificate, its expiry, and that both sides use the same CA"
    )]
    Denied {
        /// The address that was asked.
        endpoint: String,
        /// The refusal as told by the TLS library or the remote store.
        cause: String,
    },
    /// The file is held by another program.
    #[error(
        "store file {file} is in use: another process has it open, most likely a tombolo agent \
         that is already running on this host; stop that agent, or name another file"
    )]
    InUse {
        /// The path of the file.
        file: String,
    },
    /// The file is not a store, or it is damaged.
    #[error("store file {file} cannot be understood: {cause}; restore it from a copy")]
    Corrupt {
        /// The path of the file.
        file: String,
        /// What was wrong with it.
        cause: String,
    },
    /// The operating system failed a file operation.
    #[error("cannot {action} store file {file}: {cause}; check free space and permissions")]
    Io {
        /// What was attempted: `open`, `write`, …
        action: &'static str,
        /// The path of the file.
        file: String,
        /// The operating system's reason.
        cause: String,
    },
    /// The request makes no sense in itself.
    #[error("invalid store request: {0}")]
    Invalid(#[from] InvalidRequest),
}

/// Why a request was refused before anything was looked at or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// A resource of a kind that is of one agent's memory only.
    #[error("{0} is of one agent's memory and never in a store")]
    NotStored(String),
    /// etcd: `ErrGRPCEmptyKey`.
    #[error("the key is empty; every key has at least one byte")]
    EmptyKey,
    /// etcd: `ErrGRPCDuplicateKey`.
    #[error("a key is written twice in one transaction; keep one of the writes")]
    DuplicateKey,
    /// etcd: `ErrGRPCKeyNotFound`.
    #[error("the key does not exist, so that its value or lease cannot be kept; put it in full")]
    KeyNotFound,
    /// etcd: `ErrGRPCValueProvided`.
    #[error("a value is given together with `ignore_value`; leave one out")]
    ValueProvided,
    /// etcd: `ErrGRPCLeaseProvided`.
    #[error("a lease is given together with `ignore_lease`; leave one out")]
    LeaseProvided,
    /// etcd: `ErrGRPCTooManyOps`.
    #[error("more than {max} compares or operations in one transaction; split it")]
    TooManyOps {
        /// The most that a transaction may hold.
        max: usize,
    },
    /// etcd: `ErrGRPCLeaseTTLTooLarge`.
    #[error("the time to live is above {max_seconds} s; ask for less")]
    LeaseTtlTooLarge {
        /// The longest lease, in seconds.
        max_seconds: u64,
    },
    /// A request that the wire format allows but that means nothing.
    #[error("{0}")]
    Malformed(String),
}

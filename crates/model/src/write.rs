//! A change of a resource, with what it expects to find.
//!
//! Whoever decides (IPAM, a front, an operator) reads a World and answers with writes; whoever
//! commits them does so in one compare-and-swap transaction, so that a decision made from an old
//! World is refused as a whole and made again.

use crate::resource::{AnyResource, Kind, Resource, ResourceKey};

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// What is written.
    pub key: ResourceKey,
    /// How.
    pub change: Change,
    /// What must be in the store for the transaction to be valid.
    pub expected: Expected,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Puts a resource, without a version; the store gives it one.
    Put(Box<AnyResource>),
    /// Deletes it.
    Delete,
}

/// What must be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing under the key.
    Absent,
    /// The resource as of this revision: the `resourceVersion` of what was read.
    Version(i64),
}

impl Expected {
    /// What was read is still the newest.
    #[must_use]
    pub fn of<S: Kind>(read: Option<&Resource<S>>) -> Expected {
        match read.and_then(|r| r.metadata.resource_version) {
            Some(version) => Expected::Version(version),
            None => Expected::Absent,
        }
    }
}

impl Write {
    /// Puts a resource over what was read under its key; `None` if nothing was there.
    #[must_use]
    pub fn put(resource: AnyResource, read: Option<i64>) -> Write {
        let expected = read.map_or(Expected::Absent, Expected::Version);
        Write {
            key: resource.key(),
            change: Change::Put(Box::new(resource)),
            expected,
        }
    }

    /// Deletes a resource as of the revision at which it was read.
    #[must_use]
    pub fn delete(key: ResourceKey, version: i64) -> Write {
        Write {
            key,
            change: Change::Delete,
            expected: Expected::Version(version),
        }
    }
}

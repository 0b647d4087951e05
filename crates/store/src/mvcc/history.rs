//! The past of one key: its versions from the oldest that is kept to the newest.
//!
//! A key changes at most once in a revision (the check of a transaction sees to it), so
//! that the revision alone names a version. A deletion is a version too, until a
//! compaction passes it.

use bytes::Bytes;

use super::{Change, Place};
use crate::told::EventKind;
use crate::types::{KeyValue, LeaseId, Revision};

/// One version.
#[derive(Debug, Clone)]
struct Version {
    /// The place of the change within its revision.
    sub: u32,
    deleted: bool,
    kv: KeyValue,
}

/// All versions of one key that are kept.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyHistory {
    versions: Vec<Version>,
}

impl KeyHistory {
    /// The key as of `revision`, if it was there.
    pub(super) fn at(&self, revision: Revision) -> Option<&KeyValue> {
        let later = self
            .versions
            .partition_point(|v| v.kv.mod_revision <= revision);
        let version = self.versions[..later].last()?;
        (!version.deleted).then_some(&version.kv)
    }

    /// The key now, if it is there.
    pub(super) fn newest(&self) -> Option<&KeyValue> {
        self.versions
            .last()
            .filter(|version| !version.deleted)
            .map(|version| &version.kv)
    }

    /// Writes the key at `revision`. Its place is told by [`KeyHistory::place`].
    pub(super) fn put(
        &mut self,
        key: &Bytes,
        value: Bytes,
        lease: LeaseId,
        revision: Revision,
    ) -> Change {
        let prev_kv = self.newest().cloned();
        let (create_revision, version) = match &prev_kv {
            Some(prev) => (prev.create_revision, prev.version + 1),
            None => (revision, 1),
        };
        let key = prev_kv
            .as_ref()
            .map_or_else(|| key.clone(), |prev| prev.key.clone());
        let mod_revision = revision;
        let kv = KeyValue {
            key,
            value,
            create_revision,
            mod_revision,
            version,
            lease,
        };
        self.versions.push(Version {
            sub: 0,
            deleted: false,
            kv: kv.clone(),
        });
        Change {
            kind: EventKind::Put,
            kv,
            prev_kv,
        }
    }

    /// Deletes the key at `revision`; `None` if it was not there.
    pub(super) fn delete(&mut self, revision: Revision) -> Option<Change> {
        let prev = self.newest()?.clone();
        let kv = KeyValue {
            key: prev.key.clone(),
            mod_revision: revision,
            ..KeyValue::default()
        };
        self.versions.push(Version {
            sub: 0,
            deleted: true,
            kv: kv.clone(),
        });
        Some(Change {
            kind: EventKind::Delete,
            kv,
            prev_kv: Some(prev),
        })
    }

    /// Tells the newest version its place within its revision.
    pub(super) fn place(&mut self, sub: u32) {
        if let Some(version) = self.versions.last_mut() {
            version.sub = sub;
        }
    }

    /// Puts back a change that was written down earlier.
    pub(super) fn restore(&mut self, kind: EventKind, kv: KeyValue) -> Change {
        let prev_kv = self.newest().cloned();
        let deleted = kind == EventKind::Delete;
        self.versions.push(Version {
            sub: 0,
            deleted,
            kv: kv.clone(),
        });
        Change { kind, kv, prev_kv }
    }

    /// Drops what nobody can read once everything before `revision` is compacted, and
    /// answers the places of it. A deletion at `revision` itself stays, so that a watch
    /// from there sees it.
    pub(super) fn compact(&mut self, revision: Revision) -> Vec<Place> {
        let later = self
            .versions
            .partition_point(|v| v.kv.mod_revision <= revision);
        let Some(last) = later.checked_sub(1) else {
            return Vec::new();
        };
        let newest = &self.versions[last];
        let gone = newest.deleted && newest.kv.mod_revision < revision;
        let end = if gone { later } else { last };
        self.versions
            .drain(..end)
            .map(|v| (v.kv.mod_revision, v.sub))
            .collect()
    }

    /// No version is left.
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }
}

//! Doing a transaction that was checked: one new revision for all that it writes.
//!
//! The revision counts only if something changed; a transaction that reads, or deletes
//! what is not there, answers the revision that was.

use std::sync::Arc;

use bytes::Bytes;

use super::check::{self, Path};
use super::{Committed, Effects, Mvcc};
use crate::error::StoreError;
use crate::types::{
    DeleteRequest, KeyValue, LeaseId, Op, OpResponse, PutRequest, Revision, Txn, TxnResponse,
};

impl Mvcc {
    pub(super) fn txn(
        &mut self,
        txn: &Txn,
        effects: &mut Effects,
    ) -> Result<TxnResponse, StoreError> {
        check::form(txn)?;
        let path = self.path(txn);
        self.feasible(txn, &path)?;
        let mut committed = Committed {
            revision: self.revision.next(),
            changes: Vec::new(),
        };
        let mut response = self.run(txn, &path, &mut committed)?;
        self.finish(committed, effects);
        stamp(&mut response, self.revision);
        Ok(response)
    }

    fn run(
        &mut self,
        txn: &Txn,
        path: &Path,
        committed: &mut Committed,
    ) -> Result<TxnResponse, StoreError> {
        let mut inner_paths = path.inner.iter();
        let mut responses = Vec::new();
        for op in check::branch(txn, path.succeeded) {
            responses.push(match op {
                Op::Put(put) => self.put(put, committed),
                Op::Delete(delete) => self.delete(delete, committed),
                Op::Range(range) => {
                    // Its own writes are at the revision to come.
                    let wrote = !committed.changes.is_empty();
                    let newest = if wrote {
                        committed.revision
                    } else {
                        self.revision
                    };
                    OpResponse::Range(self.range(range, newest)?)
                }
                Op::Txn(inner) => {
                    let path = inner_paths
                        .next()
                        .expect("a path is made for each inner txn");
                    OpResponse::Txn(self.run(inner, path, committed)?)
                }
            });
        }
        Ok(TxnResponse {
            revision: committed.revision,
            succeeded: path.succeeded,
            responses,
        })
    }

    fn put(&mut self, put: &PutRequest, committed: &mut Committed) -> OpResponse {
        let before = self.newest(&put.key).cloned();
        let kept = before.clone().unwrap_or_default();
        let value = if put.ignore_value {
            kept.value
        } else {
            put.value.clone()
        };
        let lease = if put.ignore_lease {
            kept.lease
        } else {
            put.lease
        };
        let history = self.keys.entry(put.key.clone()).or_default();
        let change = history.put(&put.key, value, lease, committed.revision);
        history.place(place_of(committed));
        self.leases.rebind(&put.key, kept.lease, lease);
        committed.changes.push(change);
        OpResponse::Put {
            prev_kv: before.filter(|_| put.prev_kv),
        }
    }

    fn delete(&mut self, delete: &DeleteRequest, committed: &mut Committed) -> OpResponse {
        let now = committed.revision;
        let keys: Vec<Bytes> = self
            .live(&delete.range, now)
            .map(|kv| kv.key.clone())
            .collect();
        let mut prev_kvs: Vec<KeyValue> = Vec::new();
        let mut deleted = 0;
        for key in keys {
            let Some(before) = self.delete_key(&key, committed) else {
                continue;
            };
            deleted += 1;
            if delete.prev_kv {
                prev_kvs.push(before);
            }
        }
        OpResponse::Delete { deleted, prev_kvs }
    }

    /// Deletes one key and answers what it was, if it was there.
    pub(super) fn delete_key(
        &mut self,
        key: &Bytes,
        committed: &mut Committed,
    ) -> Option<KeyValue> {
        let history = self.keys.get_mut(key)?;
        let change = history.delete(committed.revision)?;
        history.place(place_of(committed));
        let before = change.prev_kv.clone()?;
        self.leases.rebind(key, before.lease, LeaseId::NONE);
        committed.changes.push(change);
        Some(before)
    }

    /// Makes the revision count, if anything changed at it.
    pub(super) fn finish(&mut self, committed: Committed, effects: &mut Effects) {
        if committed.changes.is_empty() {
            return;
        }
        let committed = Arc::new(committed);
        self.revision = committed.revision;
        self.log.push_back(Arc::clone(&committed));
        effects.committed.push(committed);
    }
}

/// Where the next change of a revision stands in it.
pub(super) fn place_of(committed: &Committed) -> u32 {
    u32::try_from(committed.changes.len()).expect("a txn that large would not fit in memory")
}

/// Every level of the answer tells the same revision.
fn stamp(response: &mut TxnResponse, revision: Revision) {
    response.revision = revision;
    for inner in &mut response.responses {
        match inner {
            OpResponse::Range(range) => range.revision = revision,
            OpResponse::Txn(txn) => stamp(txn, revision),
            OpResponse::Put { .. } | OpResponse::Delete { .. } => {}
        }
    }
}

//! Whether a transaction makes sense, and which way it goes; before anything is changed.
//!
//! Form first, over both branches of every level, as etcd's gRPC layer does: keys are
//! there, no key is written twice, not too many steps. Then the path: every compare, of
//! the inner transactions too, looks at the state before the outermost one. Then what
//! only matters on the path taken: leases that exist, revisions that can be read, values
//! that can be kept. After this nothing can fail, so nothing is ever half done.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;

use super::Mvcc;
use crate::error::{InvalidRequest, StoreError};
use crate::key_range::KeyRange;
use crate::types::{
    Compare, CompareOp, CompareTarget, KeyValue, LeaseId, MAX_TXN_OPS, Op, PutRequest, Revision,
    Txn,
};

/// The branch that a transaction takes, and those of the transactions in it, in order.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) succeeded: bool,
    pub(super) inner: Vec<Path>,
}

/// The keys that a list of steps writes or deletes, in whichever way it goes.
#[derive(Default)]
struct Footprint<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<&'a KeyRange>,
}

/// Checks the form of a transaction.
pub(super) fn form(txn: &Txn) -> Result<(), InvalidRequest> {
    shape(txn)?;
    footprint(&txn.success)?;
    footprint(&txn.failure)?;
    Ok(())
}

fn shape(txn: &Txn) -> Result<(), InvalidRequest> {
    let longest = txn
        .compare
        .len()
        .max(txn.success.len())
        .max(txn.failure.len());
    if longest > MAX_TXN_OPS {
        return Err(InvalidRequest::TooManyOps { max: MAX_TXN_OPS });
    }
    for compare in &txn.compare {
        compare.key.check()?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            Op::Put(put) => put_shape(put)?,
            Op::Delete(delete) => delete.range.check()?,
            Op::Range(range) => range.range.check()?,
            Op::Txn(inner) => shape(inner)?,
        }
    }
    Ok(())
}

fn put_shape(put: &PutRequest) -> Result<(), InvalidRequest> {
    if put.key.is_empty() {
        return Err(InvalidRequest::EmptyKey);
    }
    if put.ignore_value && !put.value.is_empty() {
        return Err(InvalidRequest::ValueProvided);
    }
    if put.ignore_lease && put.lease != LeaseId::NONE {
        return Err(InvalidRequest::LeaseProvided);
    }
    Ok(())
}

/// Finds what the steps write, or a key that is written twice. The two branches of an
/// inner transaction may write the same key, since only one of them happens.
fn footprint(ops: &[Op]) -> Result<Footprint<'_>, InvalidRequest> {
    let mut all = Footprint::default();
    for op in ops {
        if let Op::Delete(delete) = op {
            all.deletes.push(&delete.range);
        }
    }
    for op in ops {
        let Op::Txn(inner) = op else { continue };
        let (then, other) = (footprint(&inner.success)?, footprint(&inner.failure)?);
        for key in then.puts.union(&other.puts) {
            all.take(key)?;
        }
        for range in then.deletes.iter().chain(&other.deletes) {
            if all.puts.iter().any(|key| {
                let own = then.puts.contains(key) || other.puts.contains(key);
                !own && range.contains(key)
            }) {
                return Err(InvalidRequest::DuplicateKey);
            }
        }
        all.deletes.extend(then.deletes);
        all.deletes.extend(other.deletes);
    }
    for op in ops {
        if let Op::Put(put) = op {
            all.take(&put.key)?;
        }
    }
    Ok(all)
}

impl<'a> Footprint<'a> {
    fn take(&mut self, key: &'a [u8]) -> Result<(), InvalidRequest> {
        let deleted = self.deletes.iter().any(|range| range.contains(key));
        if deleted || !self.puts.insert(key) {
            return Err(InvalidRequest::DuplicateKey);
        }
        Ok(())
    }
}

impl Mvcc {
    /// Decides every branch from the state as it is.
    pub(super) fn path(&self, txn: &Txn) -> Path {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = branch(txn, succeeded);
        let inner = ops.iter().filter_map(|op| match op {
            Op::Txn(inner) => Some(self.path(inner)),
            _ => None,
        });
        Path {
            succeeded,
            inner: inner.collect(),
        }
    }

    /// Checks what the steps on the path ask of the state.
    pub(super) fn feasible(&self, txn: &Txn, path: &Path) -> Result<(), StoreError> {
        let mut inner_paths = path.inner.iter();
        for op in branch(txn, path.succeeded) {
            match op {
                Op::Put(put) => self.put_feasible(put)?,
                Op::Range(range) => self.readable(range.revision, self.revision)?,
                Op::Delete(_) => {}
                Op::Txn(inner) => {
                    let path = inner_paths
                        .next()
                        .expect("a path is made for each inner txn");
                    self.feasible(inner, path)?;
                }
            }
        }
        Ok(())
    }

    fn put_feasible(&self, put: &PutRequest) -> Result<(), StoreError> {
        let keeps = put.ignore_value || put.ignore_lease;
        if keeps && self.newest(&put.key).is_none() {
            return Err(InvalidRequest::KeyNotFound.into());
        }
        if put.lease != LeaseId::NONE && !self.leases.exists(put.lease) {
            return Err(StoreError::LeaseNotFound { lease: put.lease });
        }
        Ok(())
    }

    /// The key now, if it is there.
    pub(super) fn newest(&self, key: &Bytes) -> Option<&KeyValue> {
        self.keys.get(key).and_then(|history| history.newest())
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut kvs = self.live(&compare.key, self.revision).peekable();
        if kvs.peek().is_none() {
            // Nothing there compares as a key of zeros; only its value equals nothing.
            let has_value = matches!(compare.target, CompareTarget::Value(_));
            return !has_value && holds_for(compare, &KeyValue::default());
        }
        kvs.all(|kv| holds_for(compare, kv))
    }
}

/// The steps of the branch taken.
pub(super) fn branch(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded {
        &txn.success
    } else {
        &txn.failure
    }
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let Revision(created) = kv.create_revision;
    let ordering = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::Create(revision) => created.cmp(&revision.0),
        CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Value(value) => kv.value.cmp(value),
        CompareTarget::Lease(lease) => kv.lease.cmp(lease),
    };
    match compare.op {
        CompareOp::Equal => ordering == Ordering::Equal,
        CompareOp::Greater => ordering == Ordering::Greater,
        CompareOp::Less => ordering == Ordering::Less,
        CompareOp::NotEqual => ordering != Ordering::Equal,
    }
}

//! Reading: ranges as of a revision, filtered, sorted, limited.
//!
//! The order of the steps is etcd's: take what the range holds, count it, drop what the
//! revision bounds exclude, sort, then cut at the limit.

use super::Mvcc;
use crate::error::StoreError;
use crate::key_range::KeyRange;
use crate::types::{KeyValue, RangeRequest, RangeResponse, Revision, SortTarget};

impl Mvcc {
    /// Answers a range. `newest` is the newest revision that the reader may see; it is the
    /// state's own within a transaction, and the last durable one outside.
    pub fn range(
        &self,
        request: &RangeRequest,
        newest: Revision,
    ) -> Result<RangeResponse, StoreError> {
        request.range.check()?;
        self.readable(request.revision, newest)?;
        let at = if request.revision.0 <= 0 {
            newest
        } else {
            request.revision
        };
        let found: Vec<&KeyValue> = self.live(&request.range, at).collect();
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
        if request.count_only {
            return Ok(RangeResponse {
                revision: newest,
                kvs: Vec::new(),
                more: false,
                count,
            });
        }
        let mut found: Vec<&KeyValue> = found
            .into_iter()
            .filter(|kv| within_bounds(kv, request))
            .collect();
        sort(&mut found, request);
        let more = request.limit > 0 && found.len() > request.limit;
        if more {
            found.truncate(request.limit);
        }
        let kvs = found
            .into_iter()
            .map(|kv| shown(kv, request.keys_only))
            .collect();
        Ok(RangeResponse {
            revision: newest,
            kvs,
            more,
            count,
        })
    }

    /// Refuses revisions that are compacted or have not happened.
    pub(super) fn readable(&self, requested: Revision, newest: Revision) -> Result<(), StoreError> {
        if requested > newest {
            return Err(StoreError::FutureRevision { requested });
        }
        if requested.0 > 0 && requested < self.compact_revision {
            let compact_revision = self.compact_revision;
            return Err(StoreError::Compacted {
                requested,
                compact_revision,
            });
        }
        Ok(())
    }

    /// The keys of a range that were there at a revision, in order.
    pub(super) fn live(&self, range: &KeyRange, at: Revision) -> impl Iterator<Item = &KeyValue> {
        let bounds = range.bounds();
        let histories = bounds.map(|bounds| self.keys.range::<[u8], _>(bounds));
        histories
            .into_iter()
            .flatten()
            .filter_map(move |(_, history)| history.at(at))
    }
}

fn within_bounds(kv: &KeyValue, request: &RangeRequest) -> bool {
    let within = |value: Revision, min: Revision, max: Revision| {
        (min.0 == 0 || value >= min) && (max.0 == 0 || value <= max)
    };
    within(
        kv.mod_revision,
        request.min_mod_revision,
        request.max_mod_revision,
    ) && within(
        kv.create_revision,
        request.min_create_revision,
        request.max_create_revision,
    )
}

fn sort(found: &mut [&KeyValue], request: &RangeRequest) {
    // The keys are in order already, and the sort is stable: that is the tie-break.
    match request.sort {
        SortTarget::Key => {}
        SortTarget::Version => found.sort_by_key(|kv| kv.version),
        SortTarget::Create => found.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => found.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => found.sort_by(|a, b| a.value.cmp(&b.value)),
    }
    if request.descending {
        found.reverse();
    }
}

fn shown(kv: &KeyValue, keys_only: bool) -> KeyValue {
    let mut kv = kv.clone();
    if keys_only {
        kv.value.clear();
    }
    kv
}

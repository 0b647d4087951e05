//! Forgetting: what was superseded before a revision is dropped, what is current stays.
//!
//! Only the keys that changed since the last compaction are looked at (the log names
//! them), so that compacting often costs no more than compacting seldom.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Effects, Mvcc};
use crate::error::StoreError;
use crate::types::Revision;

impl Mvcc {
    pub(super) fn compact(
        &mut self,
        revision: Revision,
        effects: &mut Effects,
    ) -> Result<(), StoreError> {
        if revision > self.revision {
            return Err(StoreError::FutureRevision {
                requested: revision,
            });
        }
        if revision <= self.compact_revision {
            let compact_revision = self.compact_revision;
            return Err(StoreError::Compacted {
                requested: revision,
                compact_revision,
            });
        }
        let passed = self
            .log
            .partition_point(|committed| committed.revision <= revision);
        let changes = self
            .log
            .range(..passed)
            .flat_map(|committed| &committed.changes);
        let touched: BTreeSet<Bytes> = changes.map(|change| change.kv.key.clone()).collect();
        let mut dropped = Vec::new();
        for key in touched {
            let Some(history) = self.keys.get_mut(&key) else {
                continue;
            };
            dropped.extend(history.compact(revision));
            if history.is_empty() {
                self.keys.remove(&key);
            }
        }
        let kept_from = self
            .log
            .partition_point(|committed| committed.revision < revision);
        self.log.drain(..kept_from);
        self.compact_revision = revision;
        effects.compacted = Some((revision, dropped));
        Ok(())
    }
}

//! The one trait: what every store can do.
//!
//! It is the etcd v3 model (revisions, compare-and-swap transactions, watches from a
//! revision, leases) and nothing more, so that the embedded store, its remote form and
//! a real etcd are the same to everybody above. It is used as `Arc<dyn Store>`.
//!
//! What holds for every implementation, and is tested by one contract suite:
//! a transaction happens as a whole, at one revision, or not at all; an answer means that
//! it is durable (as far as the implementation is); a watch delivers every revision
//! once, in order, each as one batch, or ends with `Compacted`; a watcher that is slow
//! neither loses events nor holds up writers.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::StoreError;
use crate::key_range::KeyRange;
use crate::told::{LeaseGrant, LeaseInfo, StoreStatus, WatchBatch, WatchRequest};
use crate::types::{
    KeyValue, LeaseId, Op, OpResponse, RangeRequest, RangeResponse, Revision, Txn, TxnResponse,
};

/// The changes of a watch. After an error it ends.
pub type WatchStream = BoxStream<'static, Result<WatchBatch, StoreError>>;

/// A place where keys live.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads keys. The answer is never older than anything acknowledged before the call.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError>;

    /// Does a transaction. A compare that does not hold is an answer, not an error.
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError>;

    /// Begins a watch. When this returns, the watch stands: no later change escapes it.
    /// A start revision that is compacted is told by the stream, as its only item.
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError>;

    /// Forgets history before `revision`. What is current stays.
    async fn compact(&self, revision: Revision) -> Result<(), StoreError>;

    /// Makes a lease, under `id` or one that the store chooses. `ttl` counts in whole seconds.
    async fn lease_grant(
        &self,
        ttl: Duration,
        id: Option<LeaseId>,
    ) -> Result<LeaseGrant, StoreError>;

    /// Gives a lease its full time again and answers it.
    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError>;

    /// Ends a lease and deletes its keys, at one revision.
    async fn lease_revoke(&self, id: LeaseId) -> Result<(), StoreError>;

    /// What is left of a lease, with its keys when `keys` is set.
    async fn lease_time_to_live(&self, id: LeaseId, keys: bool) -> Result<LeaseInfo, StoreError>;

    /// Every lease, in order.
    async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError>;

    /// How the store is.
    async fn status(&self) -> Result<StoreStatus, StoreError>;

    /// The newest of one key.
    async fn get(&self, key: &[u8]) -> Result<Option<KeyValue>, StoreError> {
        let range = KeyRange::single(key.to_vec());
        let response = self.range(RangeRequest::new(range)).await?;
        Ok(response.kvs.into_iter().next())
    }

    /// Writes one key without a condition and answers the revision.
    async fn put(&self, key: &[u8], value: Bytes) -> Result<Revision, StoreError> {
        let response = self
            .txn(Txn::of(vec![Op::put(key.to_vec(), value)]))
            .await?;
        Ok(response.revision)
    }

    /// Deletes one key and answers whether it was there.
    async fn delete(&self, key: &[u8]) -> Result<bool, StoreError> {
        let response = self.txn(Txn::of(vec![Op::delete(key.to_vec())])).await?;
        Ok(matches!(
            response.responses[..],
            [OpResponse::Delete { deleted: 1.., .. }]
        ))
    }

    /// The newest of every key that begins with `prefix`, in order, with the revision
    /// after which a watch has to start.
    async fn list_prefix(&self, prefix: &[u8]) -> Result<RangeResponse, StoreError> {
        self.range(RangeRequest::new(KeyRange::prefix(prefix.to_vec())))
            .await
    }
}

//! A store that holds back its first writes until as many have come as were announced: so all of
//! them were decided upon before the first one happened, which is the worst race there can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Barrier;
use tombolo_store::{
    LeaseGrant, LeaseId, LeaseInfo, RangeRequest, RangeResponse, Revision, Store, StoreError,
    StoreStatus, Txn, TxnResponse, WatchRequest, WatchStream,
};

pub(super) struct Gate {
    inner: Arc<dyn Store>,
    barrier: Barrier,
    expected: usize,
    came: AtomicUsize,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn Store>, expected: usize) -> Gate {
        Gate {
            inner,
            barrier: Barrier::new(expected),
            expected,
            came: AtomicUsize::new(0),
        }
    }

    /// Returns when a write is held back.
    pub(super) async fn holds_one(&self) {
        while self.came.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Store for Gate {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        self.inner.range(request).await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        if self.came.fetch_add(1, Ordering::SeqCst) < self.expected {
            self.barrier.wait().await;
        }
        self.inner.txn(txn).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        self.inner.watch(request).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }

    async fn lease_grant(
        &self,
        ttl: Duration,
        id: Option<LeaseId>,
    ) -> Result<LeaseGrant, StoreError> {
        self.inner.lease_grant(ttl, id).await
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        self.inner.lease_keep_alive(id).await
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.inner.lease_revoke(id).await
    }

    async fn lease_time_to_live(&self, id: LeaseId, keys: bool) -> Result<LeaseInfo, StoreError> {
        self.inner.lease_time_to_live(id, keys).await
    }

    async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError> {
        self.inner.lease_list().await
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        self.inner.status().await
    }
}

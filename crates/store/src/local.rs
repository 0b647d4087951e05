//! The `Store` of everything that runs in this process: what it asks of the engine.
//!
//! Memory and embedded differ only in their journal, so that this is written once, for
//! every type that has an engine.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tokio::sync::watch;

use crate::engine::{Engine, Shared, Visible};
use crate::error::StoreError;
use crate::mvcc::{Command, Reply};
use crate::store::{Store, WatchStream};
use crate::told::{LeaseGrant, LeaseInfo, StoreStatus, WatchBatch, WatchRequest};
use crate::types::{LeaseId, RangeRequest, RangeResponse, Revision, Txn, TxnResponse};

/// The most batches that a watcher takes from the history at once.
const WATCH_STRIDE: usize = 256;

/// A store that has its engine in this process.
pub(crate) trait Local: Send + Sync + 'static {
    fn engine(&self) -> &Engine;
}

#[async_trait]
impl<T: Local> Store for T {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        let shared = self.engine().shared();
        let state = shared.state()?;
        state.range(&request, shared.revision())
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        match self.engine().dispatch(Command::Txn(txn)).await? {
            Reply::Txn(response) => Ok(response),
            other => Err(unexpected(self.engine(), &other)),
        }
    }

    async fn watch(&self, mut request: WatchRequest) -> Result<WatchStream, StoreError> {
        let shared = Arc::clone(self.engine().shared());
        let visible = shared.subscribe();
        if request.start_revision.0 <= 0 {
            request.start_revision = shared.revision().next();
        }
        let told = request.start_revision;
        let missed = VecDeque::new();
        let watcher = Watcher {
            shared,
            visible,
            request,
            missed,
            told,
            ended: false,
        };
        Ok(futures::stream::unfold(watcher, Watcher::step).boxed())
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.engine()
            .dispatch(Command::Compact(revision))
            .await
            .map(|_| ())
    }

    async fn lease_grant(
        &self,
        ttl: Duration,
        id: Option<LeaseId>,
    ) -> Result<LeaseGrant, StoreError> {
        loop {
            let chosen = id.unwrap_or_else(random_lease_id);
            let command = Command::LeaseGrant { id: chosen, ttl };
            match self.engine().dispatch(command).await {
                Ok(Reply::LeaseGrant(grant)) => return Ok(grant),
                Err(StoreError::LeaseExists { .. }) if id.is_none() => {}
                Ok(other) => return Err(unexpected(self.engine(), &other)),
                Err(error) => return Err(error),
            }
        }
    }

    async fn lease_keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        match self.engine().dispatch(Command::LeaseKeepAlive(id)).await? {
            Reply::LeaseKeepAlive(ttl) => Ok(ttl),
            other => Err(unexpected(self.engine(), &other)),
        }
    }

    async fn lease_revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.engine()
            .dispatch(Command::LeaseRevoke(id))
            .await
            .map(|_| ())
    }

    async fn lease_time_to_live(&self, id: LeaseId, keys: bool) -> Result<LeaseInfo, StoreError> {
        let shared = self.engine().shared();
        let state = shared.state()?;
        state.leases().info(id, shared.clock.now(), keys)
    }

    async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError> {
        Ok(self.engine().shared().state()?.leases().list())
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        let shared = self.engine().shared();
        Ok(StoreStatus {
            revision: shared.revision(),
            size: shared.size(),
            cluster_id: shared.config.cluster_id,
            member_id: shared.config.member_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            problem: shared.broken().map(|error| error.to_string()),
        })
    }
}

fn unexpected(engine: &Engine, reply: &Reply) -> StoreError {
    let file = engine.shared().config.name.clone();
    StoreError::Corrupt {
        file,
        cause: format!("the writer answered {reply:?} to another command"),
    }
}

/// A number that nobody guesses or meets twice: the hash seed of the process is random.
pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

fn random_lease_id() -> LeaseId {
    let positive = (random_number() >> 1).max(1);
    LeaseId(i64::try_from(positive).expect("the top bit was shifted out"))
}

/// A watch: where it is, and what it has taken but not told yet.
struct Watcher {
    shared: Arc<Shared>,
    visible: watch::Receiver<Visible>,
    /// Its start revision is the next one that it needs.
    request: WatchRequest,
    missed: VecDeque<WatchBatch>,
    /// Progress was told up to, not including, this revision.
    told: Revision,
    ended: bool,
}

impl Watcher {
    async fn step(mut self) -> Option<(Result<WatchBatch, StoreError>, Watcher)> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(batch) = self.missed.pop_front() {
                return Some((Ok(batch), self));
            }
            let Visible { revision, closed } = *self.visible.borrow_and_update();
            let step = if revision >= self.request.start_revision {
                self.take(revision)
            } else if self.request.progress && self.told < self.request.start_revision {
                self.told = self.request.start_revision;
                let reached = Revision(self.told.0 - 1);
                return Some((
                    Ok(WatchBatch {
                        revision: reached,
                        events: Vec::new(),
                    }),
                    self,
                ));
            } else if closed || self.visible.changed().await.is_err() {
                Err(self.shared.closed())
            } else {
                Ok(())
            };
            if let Err(error) = step {
                self.ended = true;
                return Some((Err(error), self));
            }
        }
    }

    fn take(&mut self, visible: Revision) -> Result<(), StoreError> {
        let state = self.shared.state()?;
        let (batches, next) = state.missed(&self.request, visible, WATCH_STRIDE)?;
        self.missed = batches.into();
        self.request.start_revision = next;
        Ok(())
    }
}

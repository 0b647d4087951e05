//! What the agent's tasks share: the World as last seen, and what the kernel holds of it.
//!
//! Each value has one writer. `follow` writes the World, `apply` writes what it applied; everybody
//! else reads, and waits for a revision where they need to.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::watch;
use tombolo_api::{Fault, FaultKind};
use tombolo_join::Fingerprint;
use tombolo_model::{Name, World, Write};
use tombolo_plan::HostPlan;
use tombolo_store::{Commit, Resources, Revision, StoreError};

use crate::apply::requests::Requests;
use crate::config::{Config, Files};
use crate::metrics::Metrics;

/// How long the World may take to show a revision that the store has.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How often a decision is made again after another writer was faster.
const ATTEMPTS: u32 = 100;

/// What the agent's tasks share.
pub(crate) struct Shared {
    pub config: Config,
    pub files: Files,
    pub resources: Resources,
    pub boot_id: String,
    /// The fingerprint of the cluster's CA, where this node lets others in.
    pub authority: Option<Fingerprint>,
    pub metrics: Metrics,
    view: RwLock<View>,
    /// The World's revision; 0 before the first list.
    pub seen: watch::Sender<Revision>,
    /// Why the store does not answer, if it does not.
    pub store_error: watch::Sender<Option<String>>,
    /// What the kernel holds.
    pub applied: watch::Sender<Arc<AppliedState>>,
    /// Every change of the World, for watchers of the API.
    pub changes: tokio::sync::broadcast::Sender<Arc<tombolo_store::WorldBatch>>,
    /// Asks for passes over the kernel.
    pub passes: Requests,
}

/// The World, and how often it was changed since the agent's start.
#[derive(Default)]
pub(crate) struct View {
    pub world: World,
    pub edition: u64,
}

/// What the kernel holds, after a pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct AppliedState {
    /// The World's revision that was planned from.
    pub revision: Revision,
    /// Its edition.
    pub edition: u64,
    /// What the kernel should hold.
    pub plan: Arc<HostPlan>,
    /// What it does not hold, by place, and why.
    pub failed: BTreeMap<String, String>,
    /// Why the kernel could not be read, if it could not.
    pub error: Option<String>,
}

/// The World while it is read.
pub(crate) struct WorldGuard<'a>(RwLockReadGuard<'a, View>);

impl std::ops::Deref for WorldGuard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0.world
    }
}

impl Shared {
    pub fn new(config: Config, files: Files, resources: Resources, boot_id: String) -> Shared {
        Shared {
            config,
            files,
            resources,
            boot_id,
            authority: None,
            metrics: Metrics::new(),
            view: RwLock::default(),
            seen: watch::Sender::new(Revision::NONE),
            store_error: watch::Sender::new(None),
            applied: watch::Sender::new(Arc::default()),
            changes: tokio::sync::broadcast::Sender::new(1024),
            passes: Requests::default(),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &Name {
        &self.config.node
    }

    /// The World as last seen. Not to be held across an await.
    pub fn world(&self) -> WorldGuard<'_> {
        WorldGuard(self.view())
    }

    /// The same with its edition.
    pub fn view(&self) -> RwLockReadGuard<'_, View> {
        // The writer only swaps whole resources: after a panic the World is still one.
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the World, and says that it is of a revision.
    pub fn update<T>(&self, revision: Revision, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            view.edition += 1;
            change(&mut view.world)
        };
        self.seen.send_replace(revision);
        self.passes.world_changed();
        changed
    }

    /// Waits until the World shows a revision.
    pub async fn wait_seen(&self, revision: Revision) -> Result<(), Fault> {
        let mut seen = self.seen.subscribe();
        let wait = seen.wait_for(|seen| *seen >= revision);
        match tokio::time::timeout(CATCH_UP, wait).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Fault::new(
                FaultKind::Unavailable,
                format!(
                    "the store's revision {revision} has not arrived; is the store overloaded or cut off? try again"
                ),
            )),
        }
    }

    /// Waits until the kernel holds a revision, and answers what it holds.
    pub async fn wait_applied(
        &self,
        revision: Revision,
        limit: Duration,
    ) -> Result<Arc<AppliedState>, Fault> {
        let mut applied = self.applied.subscribe();
        let wait = applied.wait_for(|state| state.revision >= revision);
        match tokio::time::timeout(limit, wait).await {
            Ok(Ok(state)) => Ok(Arc::clone(&state)),
            _ => Err(Fault::new(
                FaultKind::Unavailable,
                format!(
                    "the kernel does not hold revision {revision} yet; see `tombolo status` and the agent's log"
                ),
            )),
        }
    }

    /// Decides from the World and commits, and decides again when another writer was faster.
    /// Answers the revision of the commit with what was decided.
    pub async fn commit<T>(
        &self,
        mut decide: impl FnMut(&World) -> Result<(Vec<Write>, T), Fault>,
    ) -> Result<(Revision, T), Fault> {
        for _ in 0..ATTEMPTS {
            let (writes, decided) = decide(&self.world())?;
            if writes.is_empty() {
                return Ok((*self.seen.borrow(), decided));
            }
            match self
                .resources
                .commit(&writes)
                .await
                .map_err(|e| store_fault(&e))?
            {
                Commit::Done(revision) => return Ok((revision, decided)),
                Commit::Conflict => {
                    let newest = self.resources.newest().await.map_err(|e| store_fault(&e))?;
                    self.wait_seen(newest).await?;
                }
            }
        }
        Err(Fault::new(
            FaultKind::Unavailable,
            format!("other nodes changed the same resources {ATTEMPTS} times in a row; try again"),
        ))
    }
}

/// An error of the store, as a fault.
pub(crate) fn store_fault(error: &StoreError) -> Fault {
    let kind = match error {
        StoreError::Denied { .. } => FaultKind::Denied,
        StoreError::Invalid(_) => FaultKind::Invalid,
        _ => FaultKind::Unavailable,
    };
    Fault::new(kind, error.to_string())
}

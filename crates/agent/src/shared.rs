//! What the agent's tasks share: the World as last seen, and what the kernel holds of it.
//!
//! `follow` writes the World as the store has it, `attach` drafts into it what the store does not
//! know yet, `apply` writes what it applied; everybody else reads, and waits for a revision where
//! they need to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tombolo_api::{Fault, FaultKind};
use tombolo_join::Fingerprint;
use tombolo_model::kinds::bgp::Learned;
use tombolo_model::{Expected, KindName, Name, Resource, ResourceKey, World, Write};
use tombolo_plan::bgp::BGP_METRIC;
use tombolo_plan::{HostPlan, Key, Place, Planned};
use tombolo_store::{Commit, Resources, Revision, StoreError, Unreadable};

use crate::apply::requests::Requests;
use crate::attach::{alone, taken};
use crate::bgp::Speaking;
use crate::config::{Config, Files};
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::policy::denials::Denials;
use crate::tunnel::Tunnelling;

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
    /// Why the store does not answer, if it does not. Who follows it and who gives signs of life
    /// both notice.
    pub store_error: watch::Sender<Option<String>>,
    /// Resources of the store that this program cannot read, and why.
    pub unreadable: watch::Sender<BTreeMap<ResourceKey, Unreadable>>,
    /// What the kernel holds.
    pub applied: watch::Sender<Arc<AppliedState>>,
    /// Every change of the World, for watchers of the API.
    pub changes: tokio::sync::broadcast::Sender<Arc<tombolo_store::WorldBatch>>,
    /// How often it was looked what rules have counted.
    pub counted: watch::Sender<u64>,
    /// Asks for passes over the kernel.
    pub passes: Requests,
    /// Up to where connections that are not allowed any more are cut.
    pub cut: watch::Sender<CutState>,
    /// What policies denied on this node.
    pub denials: Denials,
    /// The BGP speaker.
    pub speaking: Speaking,
    /// The tunnel through user space.
    pub tunnelling: Tunnelling,
    /// What this node signs its tunnel's messages with.
    pub tunnel_key: String,
    /// What was done without the store.
    pub journal: Journal,
    /// Whose turn it is to do something without the store.
    pub alone: tokio::sync::Mutex<()>,
    /// Addresses that were taken without the store for endpoints to come.
    pub promised: std::sync::Mutex<taken::Promised>,
    /// Whether blocks are being given back, or may have been.
    pub giving_back: AtomicBool,
}

/// The World as this node takes it to be.
#[derive(Default)]
pub(crate) struct View {
    /// As the store has it, with what was done without the store.
    pub world: World,
    /// As the store has it, while the two differ.
    base: Option<World>,
    /// How often it was changed since the agent's start.
    pub edition: u64,
}

impl View {
    /// As the store has it.
    fn stored(&mut self) -> &mut World {
        self.base.as_mut().unwrap_or(&mut self.world)
    }
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
    /// How often packet filters were repaired: who came while they were not there was not judged.
    pub refiltered: u64,
    /// What it does not hold, by place, and why.
    pub failed: BTreeMap<String, String>,
    /// Why the kernel could not be read, if it could not.
    pub error: Option<String>,
}

impl AppliedState {
    /// Whether something that the node itself is to do is not done. What it was told by others, of
    /// destinations that are nobody's here, is their affair: a gateway that cannot be keeps this node
    /// from nothing else.
    pub fn is_held_up(&self) -> bool {
        let told = |(place, planned): (&Place, &Planned)| {
            let is_learned = matches!(place.key, Key::Route { metric, .. } if metric == BGP_METRIC);
            let is_theirs = planned.origin.resource.kind != KindName::Block;
            (is_learned && is_theirs).then(|| place.to_string())
        };
        if self.error.is_some() || self.failed.is_empty() {
            return self.error.is_some();
        }
        let told: BTreeSet<String> = self.plan.objects.iter().filter_map(told).collect();
        self.failed.keys().any(|place| !told.contains(place))
    }
}

/// How far the cutting of connections is.
#[derive(Debug, Clone, Default)]
pub(crate) struct CutState {
    /// What a World of this revision does not allow is cut.
    pub revision: Revision,
    /// Why connections cannot be cut, if they cannot.
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
    pub fn new(
        config: Config,
        files: Files,
        resources: Resources,
        boot_id: String,
    ) -> Result<Shared> {
        let journal = Journal::open(&files.journal())?;
        let tunnel_key = crate::tunnel::key(&files)?;
        Ok(Shared {
            config,
            files,
            resources,
            boot_id,
            authority: None,
            metrics: Metrics::new(),
            view: RwLock::default(),
            seen: watch::Sender::new(Revision::NONE),
            store_error: watch::Sender::new(None),
            unreadable: watch::Sender::default(),
            applied: watch::Sender::new(Arc::default()),
            changes: tokio::sync::broadcast::Sender::new(1024),
            passes: Requests::default(),
            counted: watch::Sender::default(),
            cut: watch::Sender::default(),
            denials: Denials::default(),
            speaking: Speaking::default(),
            tunnelling: Tunnelling::default(),
            tunnel_key,
            journal,
            alone: tokio::sync::Mutex::default(),
            promised: std::sync::Mutex::default(),
            giving_back: AtomicBool::new(false),
        })
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

    /// Changes the World as the store says, and says that it is of a revision.
    pub fn update(&self, revision: Revision, change: impl FnOnce(&mut World)) {
        self.change(|view| {
            change(view.stored());
            if view.base.is_some() || !self.journal.is_empty() {
                self.draft_anew(view);
            }
            // Before the pass that this asks for, which reads it.
            self.seen.send_replace(revision);
        });
    }

    /// Puts what this node has learned by BGP into the World, and answers its edition.
    pub fn learn(&self, learned: Learned) -> u64 {
        self.find_out(|known| {
            let passes = std::mem::take(&mut known.passes);
            *known = Learned {
                passes,
                ..learned.clone()
            };
        })
    }

    /// Puts how large a packet passes to other nodes into the World.
    pub fn learn_passes(&self, passes: &BTreeMap<SocketAddr, u32>) {
        self.find_out(|known| known.passes.clone_from(passes));
    }

    fn find_out(&self, change: impl Fn(&mut Learned)) -> u64 {
        self.change(|view| {
            let base = view.base.as_mut();
            for world in base.into_iter().chain([&mut view.world]) {
                let known = world.learned.remove(self.node());
                let mut known =
                    known.unwrap_or_else(|| Resource::new(self.node().clone(), Learned::default()));
                change(&mut known.spec);
                world.learned.insert(self.node().clone(), known);
            }
        })
    }

    /// Drafts what was done without the store into the World, and answers its edition.
    pub fn draft_all(&self) -> u64 {
        self.change(|view| self.draft_anew(view))
    }

    /// The same where only the newest entry is not drafted yet.
    pub fn draft_newest(&self) -> u64 {
        self.change(|view| {
            if view.base.is_none() {
                view.base = Some(view.world.clone());
            }
            if let Some((_, entry)) = self.journal.entries().last() {
                alone::draft(self, &mut view.world, entry);
            }
        })
    }

    fn draft_anew(&self, view: &mut View) {
        let entries = self.journal.entries();
        let base = std::mem::take(view.stored());
        if entries.is_empty() {
            view.world = base;
            view.base = None;
            return;
        }
        view.world = base.clone();
        view.base = Some(base);
        for (_, entry) in &entries {
            alone::draft(self, &mut view.world, entry);
        }
    }

    fn change(&self, change: impl FnOnce(&mut View)) -> u64 {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut view);
        view.edition += 1;
        self.passes.world_changed();
        view.edition
    }

    /// Whether the store has answered since the agent's start.
    pub fn knows_world(&self) -> bool {
        *self.seen.borrow() != Revision::NONE
    }

    /// Waits for the store's first answer.
    pub async fn first_world(&self, limit: Duration) -> Result<(), Fault> {
        let mut seen = self.seen.subscribe();
        let first = seen.wait_for(|seen| *seen != Revision::NONE);
        match tokio::time::timeout(limit, first).await {
            Ok(Ok(_)) => Ok(()),
            _ => self.may_give_alone(),
        }
    }

    /// Whether addresses may be given without the store.
    pub fn may_give_alone(&self) -> Result<(), Fault> {
        let why = if !self.knows_world() {
            "the store has not answered since the agent's start"
        } else if self.giving_back.load(Ordering::SeqCst) {
            "blocks were being given back when the store was last reached"
        } else {
            return Ok(());
        };
        let message = format!("{why}, so no address is known to be free; try again");
        Err(Fault::new(FaultKind::Unavailable, message))
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

    /// Waits until the World is as it should be.
    pub async fn wait_world(&self, reached: impl Fn(&World) -> bool) {
        let mut seen = self.seen.subscribe();
        loop {
            // Marked as seen and let go before the World is looked at: `update` sends while it
            // holds the World, so whoever looked at the World from within `wait_for`, which holds
            // the value sent, would wait for it as it waits for them.
            seen.mark_unchanged();
            if reached(&self.world()) {
                return;
            }
            if seen.changed().await.is_err() {
                return;
            }
        }
    }

    /// What the kernel holds, whenever that changes. What it holds already is the first news: a task
    /// that begins late would wait for ever where nothing more is to be done.
    pub fn news_of_applied(&self) -> watch::Receiver<Arc<AppliedState>> {
        let mut applied = self.applied.subscribe();
        applied.mark_changed();
        applied
    }

    /// Waits until the kernel holds a revision, and answers what it holds.
    pub async fn wait_applied(
        &self,
        revision: Revision,
        limit: Duration,
    ) -> Result<Arc<AppliedState>, Fault> {
        let what = format!("revision {revision}");
        self.wait_state(limit, &what, |state| state.revision >= revision)
            .await
    }

    /// Lets what rules have counted be looked at, and waits until that is done.
    pub async fn count(&self, limit: Duration) {
        let mut counted = self.counted.subscribe();
        self.passes.count();
        // Late counts are better than none.
        let _ = tokio::time::timeout(limit, counted.changed()).await;
    }

    /// Waits until connections that a revision does not allow are cut.
    pub async fn wait_cut(&self, revision: Revision, limit: Duration) {
        let mut cut = self.cut.subscribe();
        // What is in the way is shown among the problems.
        let done = cut.wait_for(|cut| cut.revision >= revision || cut.error.is_some());
        let _ = tokio::time::timeout(limit, done).await;
    }

    /// Waits until the kernel holds an edition of the World, and answers what it holds.
    pub async fn wait_edition(
        &self,
        edition: u64,
        limit: Duration,
    ) -> Result<Arc<AppliedState>, Fault> {
        self.wait_state(limit, "what was asked for", |state| {
            state.edition >= edition
        })
        .await
    }

    async fn wait_state(
        &self,
        limit: Duration,
        what: &str,
        reached: impl Fn(&AppliedState) -> bool,
    ) -> Result<Arc<AppliedState>, Fault> {
        let mut applied = self.applied.subscribe();
        let wait = applied.wait_for(|state| reached(state));
        match tokio::time::timeout(limit, wait).await {
            Ok(Ok(state)) => Ok(Arc::clone(&state)),
            _ => Err(Fault::new(
                FaultKind::Unavailable,
                format!(
                    "the kernel does not hold {what} yet; see `tombolo status` and the agent's log"
                ),
            )),
        }
    }

    /// Decides from the World as the store has it and commits, and decides again when another writer
    /// was faster. Answers the revision of the commit with what was decided.
    pub async fn commit<T>(
        &self,
        mut decide: impl FnMut(&World) -> Result<(Vec<Write>, T), Fault>,
    ) -> Result<(Revision, T), Fault> {
        if !self.knows_world() {
            let message = "the store has not answered since the agent's start; try again";
            return Err(Fault::new(FaultKind::Unavailable, message));
        }
        for _ in 0..ATTEMPTS {
            let (mut writes, decided) = {
                let view = self.view();
                decide(view.base.as_ref().unwrap_or(&view.world))?
            };
            self.over_unreadable(&mut writes);
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

impl Shared {
    /// What cannot be read is written over as what it is, not as what the World has instead.
    fn over_unreadable(&self, writes: &mut [Write]) {
        let unreadable = self.unreadable.borrow();
        for write in writes.iter_mut().filter(|_| !unreadable.is_empty()) {
            if let Some(what) = unreadable.get(&write.key) {
                write.expected = Expected::Version(what.revision.0);
            }
        }
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

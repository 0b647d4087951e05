//! World → plan → kernel: one thread that converges whenever the World or the kernel changes.
//!
//! After a change of the World it does what differs between what the kernel was last seen to hold
//! and the new plan, without reading what it knows; where somebody else changed something it reads
//! again, and every half minute it reads everything, so that what it remembers is never older than
//! that. See [`requests`] for when, and `tombolo_kernel::Look` for where.

pub(crate) mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tombolo_kernel::{Convergence, Kernel, Look, NetnsHandle, Ownership};
use tombolo_model::Name;
use tombolo_model::kinds::NodeNetworkStatus;
use tombolo_plan::{HostPlan, Place, order};
use tombolo_store::Revision;

use crate::policy::tally::Tally;
use crate::shared::{AppliedState, Shared};
use requests::Request;

/// Everything is read at least so often, give or take a fifth, so that nodes do not all do it at
/// once.
const FULL_PASS: Duration = Duration::from_secs(30);
/// What could not be done is tried again after this long, then twice as long, up to the above.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// So many operations of a pass are told one by one: a peer may announce a hundred thousand routes.
const TOLD: usize = 200;

/// Starts the passes, and the listening to the kernel. Both end with the process.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let kernel = Kernel::open(&here, Ownership::of(shared.node()))?;
    listen(&kernel, Arc::clone(shared))?;
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("apply".to_owned())
        .spawn(move || Applier::new(kernel, shared).run())
        .context("cannot start the apply thread")?;
    Ok(())
}

/// A number between 0.8 and 1.2 that differs from node to node and from pass to pass.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let byte = RandomState::new().hash_one(0).to_le_bytes()[0];
    f64::from(byte) / 255.0 * 0.4 + 0.8
}

fn listen(kernel: &Kernel, shared: Arc<Shared>) -> Result<()> {
    let mut watcher = kernel.watch()?;
    let listen = move || loop {
        match watcher.wait(None) {
            Ok(events) => {
                for event in events.iter().filter(|event| !event.own_process) {
                    tracing::debug!(kind = event.kind, what = event.what, "the kernel changed");
                    if event.is_of_underlay() {
                        shared.speaking.underlay.notify_one();
                    }
                    if event.look() != Look::nowhere() {
                        shared.passes.kernel_changed(event.look());
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot listen to the kernel; drift is found by time only");
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("watch-kernel".to_owned())
        .spawn(listen)
        .context("cannot start the thread that listens to the kernel")?;
    Ok(())
}

/// A plan, with the state of the World that it is of.
#[derive(Clone)]
struct Planned {
    revision: Revision,
    edition: u64,
    plan: Arc<HostPlan>,
}

struct Applier {
    kernel: Kernel,
    shared: Arc<Shared>,
    /// The plan of the last pass.
    last: Option<Planned>,
    /// Whether it left nothing undone.
    complete: bool,
    /// What the World asked for and could not be done yet.
    owed: BTreeSet<Place>,
    /// What the last plan tells the other nodes, until the World shows that they can know it.
    promised: Option<BTreeMap<Name, NodeNetworkStatus>>,
    everything_at: Instant,
    retry: Duration,
    tally: Tally,
    /// How often packet filters were repaired.
    refiltered: u64,
}

impl Applier {
    fn new(kernel: Kernel, shared: Arc<Shared>) -> Applier {
        Applier {
            kernel,
            shared,
            last: None,
            complete: false,
            owed: BTreeSet::new(),
            promised: None,
            everything_at: Instant::now() + FULL_PASS,
            retry: FIRST_RETRY,
            tally: Tally::default(),
            refiltered: 0,
        }
    }

    fn run(mut self) {
        loop {
            let request = self.shared.passes.next(self.everything_at);
            self.pass(&request);
        }
    }

    fn pass(&mut self, request: &Request) {
        if request.count || request.look.is_everywhere() {
            self.count();
        }
        if !request.world && request.look == Look::nowhere() {
            return;
        }
        let started = Instant::now();
        let next = match &self.last {
            // Settings alone need no new plan.
            Some(last) if !request.world => Some(last.clone()),
            _ => self.plan(),
        };
        let Some(next) = next else {
            self.everything_at = Instant::now() + FULL_PASS;
            return;
        };
        if request.world {
            self.shared.metrics.planned(started.elapsed());
        }
        let unchanged = self
            .last
            .as_ref()
            .is_some_and(|last| last.plan == next.plan);
        if unchanged && self.complete && request.look == Look::nowhere() {
            return self.publish(next, AppliedState::default());
        }
        let was_complete = self.complete;
        let outcome = self.converge(&next.plan, &request.look);
        self.complete = outcome.failed.is_empty() && outcome.error.is_none();
        self.promised = self.complete.then(|| next.plan.announce.clone());
        self.set_clock(&request.look);
        let refiltered = self.refiltered != self.shared.applied.borrow().refiltered;
        if request.world || !was_complete || !self.complete || refiltered {
            self.shared.metrics.passed(started.elapsed(), &next.plan);
            self.publish(next, outcome);
        }
    }

    /// Notes what the rules have counted since the last time.
    fn count(&mut self) {
        if let Some(last) = &self.last {
            match self.kernel.counters() {
                Ok(counters) => self.tally.add(&last.plan, &counters, &self.shared.metrics),
                Err(error) => tracing::warn!(%error, "cannot read what rules have counted"),
            }
        }
        self.shared.counted.send_modify(|times| *times += 1);
    }

    /// When everything is looked at next: sooner if something could not be done.
    fn set_clock(&mut self, looked: &Look) {
        let now = Instant::now();
        if self.complete {
            self.retry = FIRST_RETRY;
        }
        if looked.is_everywhere() {
            self.everything_at = now + FULL_PASS.mul_f64(jitter());
        }
        if !self.complete && self.everything_at > now + self.retry {
            self.everything_at = now + self.retry;
            self.retry = (self.retry * 2).min(FULL_PASS);
        }
    }

    /// The plan to make true.
    ///
    /// What this node told the others must be in the World before it does anything else: a plan
    /// from a World that is older than the node's own word would break it, and lose packets while a
    /// transport changes (`plan/tests/transition.rs` shows how). Until then the last plan holds.
    fn plan(&mut self) -> Option<Planned> {
        let revision = *self.shared.seen.borrow();
        if revision == Revision::NONE {
            return None;
        }
        let view = self.shared.view();
        let me = view.world.nodes.get(self.shared.node());
        if let (Some(promised), Some(last), Some(me)) = (&self.promised, &self.last, me)
            && me.status.networks != *promised
        {
            return Some(last.clone());
        }
        let Some(plan) = tombolo_plan::plan(&view.world, self.shared.node()) else {
            tracing::warn!("this node is not in the store; the kernel stays as it is");
            return None;
        };
        Some(Planned {
            revision,
            edition: view.edition,
            plan: Arc::new(plan),
        })
    }

    fn converge(&mut self, plan: &HostPlan, look: &Look) -> AppliedState {
        match self.kernel.converge_at(plan, look) {
            Ok(done) => {
                self.report(plan, &done);
                for (op, error) in &done.failed {
                    tracing::error!(%error, "cannot {op}");
                }
                let failed = done
                    .failed
                    .iter()
                    .map(|(op, error)| (op.place().to_string(), error.to_string()));
                AppliedState {
                    failed: failed.collect(),
                    ..AppliedState::default()
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the kernel");
                AppliedState {
                    error: Some(error.to_string()),
                    ..AppliedState::default()
                }
            }
        }
    }

    /// Says what was done. What the World did not ask for anew was changed by somebody else.
    fn report(&mut self, plan: &HostPlan, done: &Convergence) {
        let wanted = |plan: &HostPlan, place: &Place| {
            plan.objects
                .get(place)
                .map(|planned| planned.object.clone())
        };
        let last = self.last.as_ref().map(|last| Arc::clone(&last.plan));
        let owed = std::mem::take(&mut self.owed);
        let is_repair = |place: &Place| {
            !owed.contains(place)
                && (last.as_ref()).is_some_and(|last| wanted(last, place) == wanted(plan, place))
        };
        for (number, op) in done.done.iter().enumerate() {
            let kind = order::kind(&op.place().key);
            if is_repair(op.place()) {
                tracing::warn!(kind, "repaired: {op}");
                self.refiltered += u64::from(kind.starts_with("nft "));
                self.shared.metrics.repaired(kind);
            } else if number < TOLD {
                tracing::info!(kind, "{op}");
            } else {
                tracing::debug!(kind, "{op}");
            }
        }
        if done.done.len() > TOLD {
            let more = done.done.len() - TOLD;
            tracing::info!("and {more} more operations, told where the log's level is debug");
        }
        let failed = done.failed.iter().map(|(op, _)| op.place());
        self.owed = failed.filter(|place| !is_repair(place)).cloned().collect();
    }

    fn publish(&mut self, planned: Planned, outcome: AppliedState) {
        let state = AppliedState {
            revision: planned.revision,
            edition: planned.edition,
            plan: Arc::clone(&planned.plan),
            refiltered: self.refiltered,
            ..outcome
        };
        self.last = Some(planned);
        self.shared.applied.send_replace(Arc::new(state));
    }
}

//! World → plan → kernel: one thread that converges whenever the World or the kernel changes.
//!
//! It reads the kernel at every pass, so it never acts on a memory of what the kernel held. A pass
//! is asked for by a change of the World, by a change of the kernel that somebody else made, and by
//! time, with some jitter so that nodes do not all do it at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::Name;
use tombolo_model::kinds::NodeNetworkStatus;
use tombolo_plan::{HostPlan, Op, order};
use tombolo_store::Revision;

use crate::shared::{AppliedState, Shared};

/// A pass is made at least so often, give or take a fifth.
const FULL_PASS: Duration = Duration::from_secs(30);

/// Why a pass is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    World,
    Kernel,
    Time,
}

/// Starts the passes, and the listening to the kernel. Both end with the process.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let kernel = Kernel::open(&here, Ownership::default())?;
    let kernel_changed = Arc::new(tokio::sync::Notify::new());
    listen(&kernel, Arc::clone(&kernel_changed))?;
    let (passes, requests) = std::sync::mpsc::sync_channel(1);
    let worker = Arc::clone(shared);
    std::thread::Builder::new()
        .name("apply".to_owned())
        .spawn(move || {
            Applier {
                kernel,
                shared: worker,
                last: None,
                promised: None,
            }
            .run(&requests)
        })
        .context("cannot start the apply thread")?;
    tokio::spawn(request_passes(Arc::clone(shared), kernel_changed, passes));
    Ok(())
}

/// Turns changes and time into requests. The channel holds one: what comes while a pass is made is
/// one further pass.
async fn request_passes(
    shared: Arc<Shared>,
    kernel_changed: Arc<tokio::sync::Notify>,
    passes: std::sync::mpsc::SyncSender<Reason>,
) {
    loop {
        let jitter = f64::from(jitter()) / 255.0 * 0.4 + 0.8;
        let reason = tokio::select! {
            () = shared.wake.notified() => Reason::World,
            () = kernel_changed.notified() => Reason::Kernel,
            () = tokio::time::sleep(FULL_PASS.mul_f64(jitter)) => Reason::Time,
        };
        let passes = passes.clone();
        // Waits while two passes are ahead; a runtime's thread must not.
        let sent = tokio::task::spawn_blocking(move || passes.send(reason)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// A byte that differs from node to node and from pass to pass.
fn jitter() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}

fn listen(kernel: &Kernel, changed: Arc<tokio::sync::Notify>) -> Result<()> {
    let mut watcher = kernel.watch()?;
    let listen = move || loop {
        match watcher.wait(None) {
            Ok(events) => {
                for event in events.iter().filter(|event| !event.own_process) {
                    tracing::debug!(kind = event.kind, what = event.what, "the kernel changed");
                    changed.notify_one();
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

struct Applier {
    kernel: Kernel,
    shared: Arc<Shared>,
    /// The plan of the last pass, if it left nothing undone, and the revision that it is of.
    last: Option<(Revision, Arc<HostPlan>)>,
    /// What the last plan tells the other nodes, until the World shows that they can know it.
    promised: Option<BTreeMap<Name, NodeNetworkStatus>>,
}

impl Applier {
    fn run(mut self, requests: &std::sync::mpsc::Receiver<Reason>) {
        while let Ok(reason) = requests.recv() {
            self.pass(reason);
        }
    }

    fn pass(&mut self, reason: Reason) {
        let started = Instant::now();
        let Some((revision, plan)) = self.plan() else {
            return;
        };
        self.shared.metrics.planned(started.elapsed());
        let unchanged = self.last.as_ref().is_some_and(|(_, last)| **last == *plan);
        if reason == Reason::World && unchanged {
            self.last = Some((revision, Arc::clone(&plan)));
            return self.publish(revision, plan, AppliedState::default());
        }
        let outcome = self.converge(&plan, unchanged);
        let complete = outcome.failed.is_empty() && outcome.error.is_none();
        self.last = complete.then(|| (revision, Arc::clone(&plan)));
        self.promised = complete.then(|| plan.announce.clone());
        self.shared.metrics.passed(started.elapsed(), &plan);
        self.publish(revision, plan, outcome);
    }

    /// The plan to make true, with the revision that it is of.
    ///
    /// What this node told the others must be in the World before it does anything else: a plan
    /// from a World that is older than the node's own word would break it, and lose packets while a
    /// transport changes (`plan/tests/transition.rs` shows how). Until then the last plan holds.
    fn plan(&mut self) -> Option<(Revision, Arc<HostPlan>)> {
        let revision = *self.shared.seen.borrow();
        if revision == Revision::NONE {
            return None;
        }
        let world = self.shared.world();
        let me = world.nodes.get(self.shared.node());
        if let (Some(promised), Some(last), Some(me)) = (&self.promised, &self.last, me)
            && me.status.networks != *promised
        {
            return Some(last.clone());
        }
        let Some(plan) = tombolo_plan::plan(&world, self.shared.node()) else {
            tracing::warn!("this node is not in the store; the kernel stays as it is");
            return None;
        };
        Some((revision, Arc::new(plan)))
    }

    fn converge(&mut self, plan: &HostPlan, is_repair: bool) -> AppliedState {
        match self.kernel.converge(plan) {
            Ok(done) => {
                // What the World did not ask for anew was changed by somebody else.
                self.report(&done.done, is_repair);
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

    fn report(&self, done: &[Op], is_repair: bool) {
        for op in done {
            let kind = order::kind(&op.place().key);
            if is_repair {
                tracing::warn!(kind, "repaired: {op}");
                self.shared.metrics.repaired(kind);
            } else {
                tracing::info!(kind, "{op}");
            }
        }
    }

    fn publish(&self, revision: Revision, plan: Arc<HostPlan>, outcome: AppliedState) {
        let state = AppliedState {
            revision,
            plan,
            ..outcome
        };
        self.shared.applied.send_replace(Arc::new(state));
    }
}

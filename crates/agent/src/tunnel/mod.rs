//! The tunnel through user space on this node: what the plan says of it goes to who carries it, and how
//! large packets pass comes into the World.
//!
//! ```text
//!  applied plan ──► Task ──► Carrier ──► status ──► Task ──► World.learned.passes ──► plan ──► routes
//!                              └ this process, or `tombolo tunnel` beside it
//! ```
//!
//! A tunnel beside the agent is used wherever one serves: then packets go on while the agent is
//! restarted. Otherwise it runs in the agent. Others are told that this node receives by it only once it
//! does ([`is_received`]).

mod carrier;
mod key;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tombolo_model::kinds::{NodeNetworkStatus, TransportSpec};
use tombolo_model::{IfName, Name};
use tombolo_plan::naming;
use tombolo_plan::tunnel::TunnelPlan;
use tombolo_store::Revision;
use tombolo_tunnel::process::{Client, Status};

use crate::shared::Shared;
use carrier::Carrier;

pub(crate) use key::key;
pub(crate) use state::state;

/// What could not be done is tried again then, and it is looked at who carries.
const LOOK: Duration = Duration::from_secs(2);

/// The tunnel, for all who ask how it is.
#[derive(Default)]
pub(crate) struct Tunnelling {
    inner: Mutex<Inner>,
    /// The devices whose packets are received.
    received: watch::Sender<BTreeSet<IfName>>,
}

#[derive(Default)]
struct Inner {
    carrier: Option<Arc<Carrier>>,
    /// Why it is not as the plan says.
    problems: Vec<String>,
}

impl Tunnelling {
    fn inner<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // Each change is one assignment: after a panic it is whole.
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears of devices whose packets are received from now on.
    pub fn news_of_received(&self) -> watch::Receiver<BTreeSet<IfName>> {
        self.received.subscribe()
    }
}

/// What a node tells of a network, without what its tunnel does not receive yet.
pub(crate) fn is_received(
    shared: &Shared,
    network: &Name,
    status: &NodeNetworkStatus,
) -> NodeNetworkStatus {
    let mut status = status.clone();
    let is_tunnel = |spec: &TransportSpec| spec.name.as_str() == "udp";
    // What was said stays so: others send by it.
    let world = shared.world();
    let me = world.nodes.get(shared.node());
    let said = me.and_then(|me| me.status.networks.get(network));
    let was_said = said.is_some_and(|said| said.receives.iter().any(is_tunnel));
    let received = shared.tunnelling.received.borrow();
    if !was_said && !received.contains(&naming::tun(network)) {
        status.receives.retain(|spec| !is_tunnel(spec));
    }
    status
}

/// What keeps the tunnel from what the plan says, in words.
pub(crate) fn problems(shared: &Shared) -> Vec<String> {
    shared.tunnelling.inner(|inner| inner.problems.clone())
}

/// Takes what a tunnel beside this agent has found out, before the first pass over the kernel.
pub(crate) fn recall(shared: &Shared) {
    let client = Client::new(&carrier::socket(shared));
    if client.is_served()
        && let Ok(status) = client.status()
    {
        shared.learn_passes(&passes(&status));
    }
}

/// Ends a tunnel in this process. One beside it goes on.
pub(crate) fn stop(shared: &Shared) {
    shared.tunnelling.inner(|inner| inner.carrier = None);
}

/// How large packets pass, where it is less than the interfaces allow.
fn passes(status: &Status) -> BTreeMap<SocketAddr, u32> {
    let smaller = status
        .peers
        .iter()
        .filter(|(_, peer)| peer.mtu < peer.limit);
    smaller
        .map(|(id, peer)| (id.address, u32::from(peer.mtu)))
        .collect()
}

/// Follows plan and tunnel, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut applied = shared.news_of_applied();
    let (statuses, mut news) = mpsc::channel(4);
    let mut task = Task {
        shared: &shared,
        statuses,
        plan: None,
        told: None,
        passes: BTreeMap::new(),
        process: None,
    };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = applied.changed() => {
                if changed.is_err() {
                    return;
                }
                let state = Arc::clone(&applied.borrow_and_update());
                if state.revision != Revision::NONE {
                    task.follow(state.plan.tunnel.as_ref());
                }
            }
            Some(status) = news.recv() => task.learn(&status),
            _ = look.tick() => task.look(),
        }
    }
}

/// What is done for the tunnel, and what was done last.
struct Task<'a> {
    shared: &'a Shared,
    statuses: mpsc::Sender<Status>,
    /// What the plan last said.
    plan: Option<TunnelPlan>,
    /// What the carrier last took.
    told: Option<TunnelPlan>,
    passes: BTreeMap<SocketAddr, u32>,
    /// Whose the last status was.
    process: Option<u32>,
}

impl Task<'_> {
    fn follow(&mut self, plan: Option<&TunnelPlan>) {
        if self.plan.as_ref() != plan {
            self.plan = plan.cloned();
            self.adjust();
        }
    }

    /// Looks whether who carries is there, and is who should.
    fn look(&mut self) {
        let carrier = self.carrier();
        let is_right = carrier.is_some_and(|carrier| carrier.is_right(self.shared));
        if self.plan.is_some() && !is_right {
            self.shared.tunnelling.inner(|inner| inner.carrier = None);
            self.told = None;
        }
        if self.told != self.plan {
            self.adjust();
        }
    }

    fn carrier(&self) -> Option<Arc<Carrier>> {
        let tunnelling = &self.shared.tunnelling;
        tunnelling.inner(|inner| inner.carrier.clone())
    }

    /// Makes the tunnel as the plan says.
    fn adjust(&mut self) {
        let outcome = match &self.plan {
            None => {
                self.silence();
                Ok(())
            }
            Some(plan) => self.configure(plan),
        };
        match outcome {
            Ok(()) => self.told.clone_from(&self.plan),
            Err(error) => self.say(vec![format!("tunnel: {error}")]),
        }
    }

    fn configure(&self, plan: &TunnelPlan) -> Result<(), tombolo_tunnel::TunnelError> {
        let carrier = match self.carrier() {
            Some(carrier) => carrier,
            None => {
                let carrier = Arc::new(Carrier::find(self.shared)?);
                carrier.follow(&self.statuses)?;
                let kept = Arc::clone(&carrier);
                (self.shared.tunnelling).inner(|inner| inner.carrier = Some(kept));
                carrier
            }
        };
        let (config, mut problems) = carrier::config(plan, self.shared);
        // Devices and sockets are opened: other tasks do not wait for it.
        let status = tokio::task::block_in_place(|| {
            carrier.configure(config)?;
            carrier.status()
        })?;
        problems.extend(status.problems.iter().map(|why| format!("tunnel: {why}")));
        let works = problems.is_empty();
        self.say(problems);
        if works {
            let devices = plan.devices.keys().cloned().collect();
            self.shared.tunnelling.received.send_replace(devices);
        }
        Ok(())
    }

    /// There is to be no tunnel.
    fn silence(&mut self) {
        let carrier = self.shared.tunnelling.inner(|inner| {
            inner.problems.clear();
            inner.carrier.take()
        });
        if let Some(carrier) = carrier {
            // One beside the agent stays, and has nothing to do.
            let nothing = tombolo_tunnel::Config::default();
            let _ = tokio::task::block_in_place(|| carrier.configure(nothing));
        }
        self.shared.tunnelling.received.send_replace([].into());
        self.publish(BTreeMap::new());
    }

    fn say(&self, problems: Vec<String>) {
        self.shared.tunnelling.inner(|inner| {
            for problem in problems.iter().filter(|p| !inner.problems.contains(p)) {
                tracing::error!("{problem}");
            }
            inner.problems = problems;
        });
    }

    fn learn(&mut self, status: &Status) {
        // One that was started anew knows nothing; one that took over, all.
        if self.process.replace(status.process) != Some(status.process) {
            self.adjust();
        }
        if self.plan.is_some() {
            self.publish(passes(status));
        }
    }

    fn publish(&mut self, passes: BTreeMap<SocketAddr, u32>) {
        if self.passes != passes {
            for (address, mtu) in &passes {
                if self.passes.get(address) != Some(mtu) {
                    tracing::info!(%address, mtu, "a way carries smaller packets than its interfaces");
                }
            }
            self.shared.learn_passes(&passes);
            self.passes = passes;
        }
    }
}

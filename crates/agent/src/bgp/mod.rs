//! BGP on this node: what the plan says of it goes to the speaker, and what the speaker is told comes
//! into the World.
//!
//! ```text
//!  applied plan ──► Task ──► speaker ──► routes ──► Task ──► World.learned ──► plan ──► kernel
//!  the host's own routes ──────┘ (next hops) ───────┘
//! ```
//!
//! The speaker follows the plan that the kernel holds already, so nobody is told of an address before
//! packets for it arrive. After a start the routes that the kernel still holds stay in force until all
//! peers have spoken (RFC 4724): [`recall`] reads them before the first pass.

mod ends;
mod hops;
mod learn;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::IpNet;
use tokio::time::Instant;
use tombolo_bgp::rib::NextHops;
use tombolo_bgp::{Config, Origination, Password};
use tombolo_kernel::{NetnsHandle, Ownership, underlay};
use tombolo_model::kinds::bgp::{Learned, LearnedRoute};
use tombolo_plan::bgp::BgpPlan;
use tombolo_speaker::{Handle, Options, RoutesWatch, Stop};
use tombolo_store::Revision;

use crate::shared::Shared;
use ends::Ends;
use hops::Hops;
use learn::Reader;

pub(crate) use state::{problems, state};

/// The host's own routes are looked at at least so often; what could not be done is tried again then.
const LOOK: Duration = Duration::from_secs(10);
/// Changes of the host's own routes come in many events: so long they are gathered.
const GATHER: Duration = Duration::from_millis(20);
/// So long the kernel may take to hold what was learned, before the next is learned all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// The speaker, for all who ask how it is.
#[derive(Default)]
pub(crate) struct Speaking {
    inner: Mutex<Inner>,
    /// Told when the host's own routes or links have changed.
    pub underlay: tokio::sync::Notify,
}

#[derive(Default)]
struct Inner {
    handle: Option<Handle>,
    /// Why it is not as the plan says, by what is to be mended.
    problems: Vec<String>,
    /// What the kernel does not let it do, as it last said.
    refused: Vec<String>,
    /// Whether there was one before this agent's start, whose peers wait for its return.
    spoke: bool,
}

impl Speaking {
    fn inner<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // Each change is one assignment: after a panic it is whole.
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes what the kernel holds of an earlier run for what is learned, until the speaker knows better.
/// To be called before the first pass over the kernel.
pub(crate) fn recall(shared: &Shared) -> Result<()> {
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let protocol = Ownership::of(shared.node()).route_protocol;
    let routes = learn::recalled(&here, protocol).context("cannot read the host's routes")?;
    let spoke = !routes.is_empty() || spoke_before(shared);
    shared.speaking.inner(|inner| inner.spoke = spoke);
    shared.learn(Learned {
        settled: false,
        routes,
        ..Learned::default()
    });
    Ok(())
}

/// Whether this node announced what it has by BGP when it last told the others, and the host was not
/// restarted since: its kernel still forwards.
fn spoke_before(shared: &Shared) -> bool {
    let world = shared.world();
    let Some(me) = world.nodes.get(shared.node()) else {
        return false;
    };
    let mut networks = me.status.networks.values();
    me.status.boot_id == shared.boot_id
        && networks.any(|network| network.receives.iter().any(|by| by.name.as_str() == "bgp"))
}

/// Follows plan, speaker and the host's routes, for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut applied = shared.news_of_applied();
    let mut task = Task::new(&shared);
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let waits = task.waits();
        tokio::select! {
            changed = applied.changed() => {
                if changed.is_err() {
                    return;
                }
                let state = Arc::clone(&applied.borrow_and_update());
                if state.revision != Revision::NONE {
                    task.follow(state.plan.bgp.as_ref()).await;
                }
            }
            () = news(&mut task.routes), if !waits => task.learn(),
            () = tokio::time::sleep_until(task.patience), if waits => {}
            () = shared.speaking.underlay.notified() => {
                tokio::time::sleep(GATHER).await;
                task.look();
                task.retry().await;
            }
            _ = look.tick() => {
                task.look();
                task.retry().await;
            }
        }
    }
}

/// Ends the speaker. Peers keep our routes, since the kernel goes on to forward.
pub(crate) async fn stop(shared: &Shared) {
    if let Some(handle) = shared.speaking.inner(|inner| inner.handle.take()) {
        let _ = handle.stop(Stop::Graceful).await;
    }
}

/// Waits until a speaker has other routes; for ever where there is none.
async fn news(routes: &mut Option<RoutesWatch>) {
    if let Some(routes) = routes
        && routes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// What is done for the speaker, and what was done last.
struct Task<'a> {
    shared: &'a Shared,
    reader: Reader,
    ends: Ends,
    /// What the plan last said; nothing before there is one.
    plan: Option<Option<BgpPlan>>,
    /// What the speaker last took.
    config: Option<Config>,
    originate: BTreeMap<IpNet, Origination>,
    routes: Option<RoutesWatch>,
    /// What the kernel held at the start, until the speaker has settled.
    kept: Arc<[LearnedRoute]>,
    /// Whether a speaker that starts now is one that returns.
    returns: bool,
    learned: Learned,
    /// The World's edition that has it, and how long that is waited for.
    edition: u64,
    patience: Instant,
}

impl<'a> Task<'a> {
    fn new(shared: &'a Shared) -> Task<'a> {
        let world = shared.world();
        let learned = world.learned.get(shared.node());
        let learned = learned.map(|learned| learned.spec.clone());
        let learned = learned.unwrap_or_default();
        Task {
            shared,
            reader: Reader::default(),
            ends: Ends::default(),
            plan: None,
            config: None,
            originate: BTreeMap::new(),
            routes: None,
            kept: Arc::clone(&learned.routes),
            returns: shared.speaking.inner(|inner| inner.spoke),
            learned,
            edition: 0,
            patience: Instant::now(),
        }
    }

    /// Whether what was learned last is still on its way into the kernel. A large table comes in many
    /// pieces: what comes meanwhile goes the same way at once, and not each piece by itself.
    fn waits(&self) -> bool {
        self.shared.applied.borrow().edition < self.edition && Instant::now() < self.patience
    }

    /// Makes the speaker as a plan says.
    async fn follow(&mut self, plan: Option<&BgpPlan>) {
        if self.plan.as_ref().map(Option::as_ref) != Some(plan) {
            self.plan = Some(plan.cloned());
            self.retry().await;
        }
    }

    /// Makes the speaker as the last plan says, as far as it is not.
    async fn retry(&mut self) {
        let plan = match self.plan.clone() {
            None => return,
            Some(None) => return self.silence().await,
            Some(Some(plan)) => plan,
        };
        let (mut config, mut problems) = with_passwords(&plan);
        let told = plan.advertise.into_iter();
        let originate = told.map(|(net, told)| (net, told.origination)).collect();
        // One whose thread has died: the kernel goes on with what it told.
        if self.routes.as_ref().is_some_and(RoutesWatch::has_ended) {
            tracing::error!("the BGP speaker has died; starting another one");
            self.shared.speaking.inner(|inner| inner.handle = None);
            self.routes = None;
            self.kept = Arc::clone(&self.learned.routes);
            self.returns = true;
        }
        if self.routes.is_none() || Ends::are_wanted(&config) && self.ends == Ends::default() {
            self.look();
        }
        self.ends.complete(self.reader.hops(), &mut config);
        let outcome = match self.routes {
            None => self.start(config, originate),
            Some(_) => self.adjust(config, originate).await,
        };
        if let Err(error) = outcome {
            problems.push(format!("BGP: {error}"));
        }
        self.shared.speaking.inner(|inner| {
            for problem in problems.iter().filter(|p| !inner.problems.contains(p)) {
                tracing::error!("{problem}");
            }
            inner.problems = problems;
        });
    }

    /// There is to be no speaker.
    async fn silence(&mut self) {
        let handle = self.shared.speaking.inner(|inner| {
            inner.problems.clear();
            inner.handle.take()
        });
        if let Some(handle) = handle {
            let _ = handle.stop(Stop::Cease).await;
        }
        (self.config, self.routes) = (None, None);
        self.kept = Arc::default();
        self.returns = false;
        self.publish(Learned::default());
    }

    fn start(
        &mut self,
        config: Config,
        originate: BTreeMap<IpNet, Origination>,
    ) -> Result<(), tombolo_speaker::SpeakerError> {
        let options = Options {
            originate: originate.clone(),
            next_hops: NextHops(self.reader.hops().reach()),
            restarting: self.returns,
            ..Options::new(config.clone())
        };
        let handle = tombolo_speaker::start(options)?;
        tracing::info!(asn = %config.asn, id = %config.router_id, port = config.port, "speaking BGP");
        self.routes = Some(handle.routes());
        (self.config, self.originate) = (Some(config), originate);
        self.shared
            .speaking
            .inner(|inner| inner.handle = Some(handle));
        self.learn();
        Ok(())
    }

    async fn adjust(
        &mut self,
        config: Config,
        originate: BTreeMap<IpNet, Origination>,
    ) -> Result<(), tombolo_speaker::SpeakerError> {
        if self.originate != originate {
            self.with_handle(|handle| handle.originate(originate.clone()));
            self.originate = originate;
        }
        if self.config.as_ref() != Some(&config) {
            let reply = self.with_handle(|handle| handle.configure(config.clone()));
            if let Some(reply) = reply {
                reply.await??;
                self.config = Some(config);
            }
        }
        Ok(())
    }

    fn with_handle<T>(&self, work: impl FnOnce(&Handle) -> T) -> Option<T> {
        let speaking = &self.shared.speaking;
        speaking.inner(|inner| inner.handle.as_ref().map(work))
    }

    /// Looks at the host's own routes.
    fn look(&mut self) {
        let Some(Some(plan)) = &self.plan else {
            return;
        };
        let ends = Ends::are_wanted(&plan.config);
        match read_hops(self.shared, ends) {
            Ok((hops, ends)) if hops != *self.reader.hops() || ends != self.ends => {
                self.with_handle(|handle| handle.set_next_hops(NextHops(hops.reach())));
                (self.reader, self.ends) = (Reader::new(hops), ends);
                self.learn();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot see next hops"),
        }
    }

    /// Puts what the speaker knows into the World.
    fn learn(&mut self) {
        let Some(routes) = &mut self.routes else {
            return;
        };
        let routes = routes.take();
        let known = self.reader.read(&routes);
        // Whoever keeps them keeps the speaker from changing them in place.
        drop(routes);
        if known.settled {
            self.kept = Arc::default();
        }
        self.publish(learn::with_kept(known, &self.kept));
    }

    fn publish(&mut self, learned: Learned) {
        if self.learned != learned {
            self.learned = learned.clone();
            self.edition = self.shared.learn(learned);
            self.patience = Instant::now() + PATIENCE;
        }
    }
}

/// How next hops are reached, and the addresses of this host's links where somebody is told of them.
fn read_hops(shared: &Shared, with_ends: bool) -> Result<(Hops, Ends)> {
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let own = Ownership::of(shared.node());
    // A dump of all routes: other tasks do not wait for it.
    tokio::task::block_in_place(|| {
        let ways = underlay::ways(&here, own.route_protocol);
        let ways = ways.context("cannot read the host's routes")?;
        let ends = match with_ends {
            true => Ends::read(&here, &own.link_prefix),
            false => Ok(Ends::default()),
        };
        Ok((Hops::new(ways), ends.context("cannot list interfaces")?))
    })
}

/// A plan's configuration with the passwords that are in files. A peer whose password cannot be had
/// is left out: to speak without one is not what was asked for.
fn with_passwords(plan: &BgpPlan) -> (Config, Vec<String>) {
    let mut config = plan.config.clone();
    let mut problems = Vec::new();
    for (key, path) in &plan.password_files {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let password = text.and_then(|text| Password::new(text.trim_end_matches(['\r', '\n'])));
        match (password, config.peers.get_mut(key)) {
            (Ok(password), Some(peer)) => peer.password = Some(password),
            (Ok(_), None) => {}
            (Err(error), _) => {
                let owner = plan
                    .peers
                    .get(key)
                    .map(|origin| origin.resource.to_string());
                problems.push(format!(
                    "{}: the password for {key} cannot be read from {path}: {error}; until then there \
                     is no session",
                    owner.unwrap_or_default()
                ));
                config.peers.remove(key);
            }
        }
    }
    (config, problems)
}

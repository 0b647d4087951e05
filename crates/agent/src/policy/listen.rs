//! Listens to what the kernel denies: a thread for each namespace in which packets are judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use futures::executor::block_on;
use tombolo_api::Denial;
use tombolo_kernel::nflog::{Logged, Reader};
use tombolo_kernel::{KernelError, Ownership};
use tombolo_model::Name;
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_plan::policy::{LOG_GROUP, enforced};
use tombolo_plan::{HostPlan, Netns};

use super::denials::{Holders, denied_by, timestamp};
use super::places;
use crate::shared::Shared;

/// How long a silent namespace is listened to before it is asked whether that is still wanted.
const LOOK: Duration = Duration::from_secs(1);

/// Starts the thread that starts the others.
pub(super) fn start(shared: Arc<Shared>) -> Result<()> {
    std::thread::Builder::new()
        .name("denials".to_owned())
        .spawn(move || follow(&shared))
        .context("cannot start the thread that listens to denials")?;
    Ok(())
}

/// Those who listen, each with the word to stop.
type Listeners = BTreeMap<Netns, Arc<AtomicBool>>;

fn follow(shared: &Arc<Shared>) {
    let mut applied = shared.news_of_applied();
    let mut listeners = Listeners::new();
    while block_on(applied.changed()).is_ok() {
        let plan = Arc::clone(&applied.borrow_and_update().plan);
        // One that listens holds its namespace, and a sandbox is the runtime's to end: what is denied there
        // is counted, and not told.
        let mut places = enforced(&plan);
        places.retain(|netns| !matches!(netns, Netns::Sandbox(_)));
        listeners.retain(|netns, stop| {
            if !places.contains(netns) {
                stop.store(true, Ordering::Relaxed);
            }
            // One that has ended, with its namespace or by a fault, is started anew.
            !stop.load(Ordering::Relaxed)
        });
        for netns in places {
            if listeners.contains_key(&netns) {
                continue;
            }
            match listener(shared, &netns, &plan) {
                Ok(stop) => {
                    listeners.insert(netns, stop);
                }
                Err(error) => tracing::warn!(%error, %netns, "cannot listen to denials"),
            }
        }
    }
}

/// Begins to listen in a namespace.
fn listener(shared: &Arc<Shared>, netns: &Netns, plan: &HostPlan) -> Result<Arc<AtomicBool>> {
    let ownership = Ownership::of(shared.node());
    let handle = places::open(netns, plan, &ownership)?;
    let identity = handle.identity();
    let reader = Reader::open(&handle, LOG_GROUP)?;
    let stop = Arc::new(AtomicBool::new(false));
    let network = places::network(&shared.world(), shared.node(), netns).cloned();
    let listening = Listening {
        shared: Arc::clone(shared),
        // Where an address has a space of its own, only who is of the network is meant.
        network: network.filter(|network| shared.world().space_of(network).is_some()),
        holders: Holders::default(),
    };
    let (stopped, netns) = (Arc::clone(&stop), netns.clone());
    std::thread::Builder::new()
        .name("denied".to_owned())
        .spawn(move || {
            // A namespace that was made anew is another one.
            let is_same = || {
                let now = places::open(&netns, &HostPlan::default(), &ownership);
                now.is_ok_and(|now| now.identity() == identity)
            };
            if let Err(error) = listening.run(reader, &stopped, is_same) {
                tracing::debug!(%error, %netns, "listens to denials no more");
            }
            stopped.store(true, Ordering::Relaxed);
        })
        .context("cannot start a thread that listens to denials")?;
    Ok(stop)
}

struct Listening {
    shared: Arc<Shared>,
    network: Option<Name>,
    holders: Holders,
}

impl Listening {
    fn run(
        mut self,
        mut reader: Reader,
        stop: &AtomicBool,
        is_same: impl Fn() -> bool,
    ) -> Result<(), KernelError> {
        while !stop.load(Ordering::Relaxed) && is_same() {
            for logged in reader.next(LOOK)? {
                self.tell(logged);
            }
        }
        Ok(())
    }

    fn tell(&mut self, logged: Logged) {
        let Some(denied_by) = denied_by(&logged.prefix) else {
            let (source, destination) = (logged.source, logged.destination);
            tracing::info!(%source, %destination, protocol = %ProtocolMatch(logged.protocol), port = logged.destination_port, "{}", logged.prefix);
            return;
        };
        {
            let view = self.shared.view();
            self.holders.update(&view.world, view.edition);
        }
        let who = |address| self.holders.find(address, self.network.as_ref()).cloned();
        self.shared.denials.add(Denial {
            time: timestamp(SystemTime::now()),
            denied_by: denied_by.to_owned(),
            source: logged.source,
            destination: logged.destination,
            from: who(logged.source),
            to: who(logged.destination),
            protocol: ProtocolMatch(logged.protocol),
            source_port: logged.source_port,
            destination_port: logged.destination_port,
            icmp: logged.icmp,
        });
    }
}

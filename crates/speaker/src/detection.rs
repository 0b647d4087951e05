//! BFD beside BGP, in a thread of its own.
//!
//! ```text
//!  Driver ──follow, statuses, switch off──► Watch (thread "bfd") ──► Links ──► Sessions (pure)
//!     ▲                                        │
//!     └──────────── Loss, and a wake ──────────┘
//! ```
//!
//! A table of routes that comes in keeps the thread of BGP busy for longer than BFD may be silent. So
//! BFD does not wait for it: its thread does nothing that takes long, and first hears all that has
//! come before it takes anybody for gone. There is no such thread as long as no peer is configured
//! for BFD. It lives in the network namespace of who begins it, as do all of its sockets.

mod links;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::eventfd::EventFd;
use tombolo_bfd::Status;
use tombolo_bgp::{Config, Moment, PeerKey};

use crate::error::SpeakerError;
use watch::{Watch, Wish};

/// A peer that BFD has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loss {
    pub(crate) peer: PeerKey,
    /// When it was last heard while its session was up.
    pub(crate) heard: Moment,
}

/// All BFD sessions of a speaker, as its driver holds them.
#[derive(Debug)]
pub(crate) struct Detection {
    began: Instant,
    seed: u64,
    losses: (Sender<Loss>, Receiver<Loss>),
    /// Wakes the driver.
    driver: Arc<EventFd>,
    thread: Option<Thread>,
}

/// The thread, and how it is spoken to.
#[derive(Debug)]
struct Thread {
    wishes: Sender<Wish>,
    waker: Arc<EventFd>,
    /// None once it is joined.
    handle: Option<JoinHandle<()>>,
}

impl Detection {
    /// None yet. Moments count from `began`; `driver` is written to when there is a loss to be taken.
    pub(crate) fn new(seed: u64, began: Instant, driver: Arc<EventFd>) -> Detection {
        Detection {
            began,
            seed,
            losses: channel(),
            driver,
            thread: None,
        }
    }

    /// Follows the configuration. Gives what could not be done.
    pub(crate) fn follow(&mut self, config: &Config) -> Vec<SpeakerError> {
        let wanted = links::wanted(config);
        if wanted.is_empty() && self.thread.is_none() {
            return Vec::new();
        }
        if let Err(error) = self.begin() {
            return vec![error];
        }
        let failed = self.ask(|reply| Wish::Follow(wanted, reply));
        failed.unwrap_or_else(|| vec![SpeakerError::Stopped])
    }

    /// The peers that were lost since this was last asked.
    pub(crate) fn losses(&self) -> impl Iterator<Item = Loss> + '_ {
        self.losses.1.try_iter()
    }

    /// What an administrator wants to see of each session.
    pub(crate) fn statuses(&self) -> BTreeMap<PeerKey, Status> {
        self.ask(Wish::Statuses).unwrap_or_default()
    }

    /// Says to everybody that the sessions are switched off, so that nobody takes our end for a
    /// failure of the way.
    pub(crate) fn switch_off(&self) {
        self.ask(Wish::SwitchOff);
    }

    fn begin(&mut self) -> Result<(), SpeakerError> {
        if self.thread.is_some() {
            return Ok(());
        }
        let (wishes, receiver) = channel();
        let losses = self.losses.0.clone();
        let driver = Arc::clone(&self.driver);
        let (watch, waker) = Watch::open(self.seed, self.began, receiver, losses, driver)?;
        let thread = std::thread::Builder::new().name("bfd".to_owned());
        let handle = thread.spawn(move || watch.run());
        let handle = handle.map_err(|error| SpeakerError::Resources {
            operation: "start the thread of BFD",
            cause: error.to_string(),
        })?;
        self.thread = Some(Thread {
            wishes,
            waker,
            handle: Some(handle),
        });
        Ok(())
    }

    /// Waits for an answer: the thread has never more to do than takes a moment. None if there is no
    /// thread.
    fn ask<T>(&self, wish: impl FnOnce(Sender<T>) -> Wish) -> Option<T> {
        let thread = self.thread.as_ref()?;
        let (sender, reply) = channel();
        thread.wishes.send(wish(sender)).ok()?;
        let _ = thread.waker.write(1);
        reply.recv().ok()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // First nobody can wish for anything any more, then the thread looks, and sees that.
        self.wishes = channel().0;
        let _ = self.waker.write(1);
        if let Some(handle) = self.handle.take() {
            // Who waits for the end of a speaker may want its ports next.
            let _ = handle.join();
        }
    }
}

//! What the owner of a speaker holds.
//!
//! Wishes go to the speaker's thread and are carried out in their order; answers come back as a
//! [`Reply`], which can be awaited or waited for. The routes are there to be watched.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};

use ipnet::IpNet;
use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot;
use tombolo_bgp::rib::NextHops;
use tombolo_bgp::{Config, Origination, PeerKey, Stop};

use crate::driver::{Command, Driver};
use crate::error::SpeakerError;
use crate::routes::{Publisher, RoutesWatch};
use crate::status::Status;

/// What a speaker is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it is to be.
    pub config: Config,
    /// What begins here.
    pub originate: BTreeMap<IpNet, Origination>,
    /// Which next hops can be reached.
    pub next_hops: NextHops,
    /// The addresses that peers may connect to, at the port of the configuration. None to only
    /// connect to others.
    pub listen: Vec<IpAddr>,
    /// Whether the kernel still forwards by what a former run learned: peers are told that it was a
    /// restart (RFC 4724).
    pub restarting: bool,
    /// Where jitter and discriminators come from: another number at each start.
    pub seed: u64,
}

impl Options {
    /// A speaker that listens on all addresses, has nothing to tell, and was not there before.
    #[must_use]
    pub fn new(config: Config) -> Options {
        Options {
            config,
            originate: BTreeMap::new(),
            next_hops: NextHops::default(),
            listen: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            restarting: false,
            seed: RandomState::new().hash_one(0),
        }
    }
}

/// A running speaker. It ends when its handle is dropped, as by [`Stop::Graceful`].
#[derive(Debug)]
pub struct Handle {
    /// None once it is dropped.
    commands: Option<Sender<Command>>,
    waker: Arc<EventFd>,
    routes: RoutesWatch,
}

/// Starts a speaker in a thread of its own, in the network namespace of the calling thread. Needs no
/// runtime.
///
/// # Errors
/// A port is taken, or may not be listened on; the kernel has no more threads or descriptors.
pub fn start(options: Options) -> Result<Handle, SpeakerError> {
    let (commands, receiver) = channel();
    let (publisher, routes) = Publisher::new();
    let (driver, waker) = Driver::open(options, publisher, receiver)?;
    std::thread::Builder::new()
        .name("bgp".to_owned())
        .spawn(move || driver.run())
        .map_err(|error| SpeakerError::Resources {
            operation: "start a thread",
            cause: error.to_string(),
        })?;
    Ok(Handle {
        commands: Some(commands),
        waker,
        routes,
    })
}

impl Handle {
    /// Gives it another configuration. Sessions whose part did not change go on. The answer says
    /// whether it listens on the port; if not, the former configuration holds.
    pub fn configure(&self, config: Config) -> Reply<Result<(), SpeakerError>> {
        let (sender, reply) = oneshot::channel();
        self.send(Command::Configure(Box::new(config), sender));
        Reply(reply)
    }

    /// What begins here, all of it. What was there before and is not any more is withdrawn.
    pub fn originate(&self, routes: BTreeMap<IpNet, Origination>) {
        self.send(Command::Originate(routes));
    }

    /// Which next hops can be reached.
    pub fn set_next_hops(&self, hops: NextHops) {
        self.send(Command::NextHops(hops));
    }

    /// Ends a session, and begins it anew; `hard`: its routes go meanwhile, although it could be
    /// restarted gracefully (RFC 8538).
    pub fn reset(&self, peer: PeerKey, hard: bool) {
        self.send(Command::Reset(peer, hard));
    }

    /// Asks a peer to say everything again (RFC 2918).
    pub fn refresh(&self, peer: PeerKey) {
        self.send(Command::Refresh(peer));
    }

    /// How it is.
    pub fn status(&self) -> Reply<Status> {
        let (sender, reply) = oneshot::channel();
        self.send(Command::Status(sender));
        Reply(reply)
    }

    /// The best routes of all peers, as they change.
    #[must_use]
    pub fn routes(&self) -> RoutesWatch {
        self.routes.clone()
    }

    /// Ends it. The answer comes when the last connection is closed, at most two seconds later.
    pub fn stop(self, how: Stop) -> Reply<()> {
        let (sender, reply) = oneshot::channel();
        self.send(Command::Stop(how, sender));
        Reply(reply)
    }

    /// Where the thread has ended, the answer's sender is dropped, which the reply tells.
    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
            let _ = self.waker.write(1);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // First nobody can call any more, then the thread looks, and sees that.
        self.commands = None;
        let _ = self.waker.write(1);
    }
}

/// An answer that is to come: awaited, or waited for by [`Reply::wait`].
#[derive(Debug)]
#[must_use = "an answer that nobody waits for says nothing"]
pub struct Reply<T>(oneshot::Receiver<T>);

impl<T> Reply<T> {
    /// Blocks until the answer is there. Not to be called by a task of a runtime.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub fn wait(self) -> Result<T, SpeakerError> {
        self.0.blocking_recv().map_err(|_| SpeakerError::Stopped)
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, SpeakerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(context);
        polled.map(|answer| answer.map_err(|_| SpeakerError::Stopped))
    }
}

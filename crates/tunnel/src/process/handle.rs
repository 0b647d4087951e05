//! What the owner of a tunnel holds, and everybody else who may ask it something.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::board::{Board, Status};
use super::runner::{Event, Runner};
use crate::control::Way;
use crate::{Config, PeerId, Ports, TunnelError};

/// What a tunnel is started with.
#[derive(Debug)]
pub struct Options {
    /// How many queues a device has, and sockets an address: as many threads work in each direction.
    pub queues: usize,
    /// Where the numbers of messages come from: another one at each start, which nobody guesses.
    pub seed: u64,
}

impl Default for Options {
    /// A queue for each processor, up to four.
    fn default() -> Options {
        let processors = std::thread::available_parallelism();
        Options {
            queues: processors.map_or(1, |count| count.get().min(4)),
            seed: RandomState::new().hash_one(0),
        }
    }
}

/// A running tunnel. It ends when its handle is dropped.
#[derive(Debug)]
pub struct Handle {
    asker: Asker,
}

/// Whoever may ask a tunnel something.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    events: Sender<Event>,
    board: Arc<Board>,
}

/// All that a tunnel is, on its way to another process.
#[derive(Debug, Default)]
pub(super) struct Handed {
    pub config: Config,
    pub ways: BTreeMap<PeerId, Way>,
    pub ports: Ports,
}

/// Starts a tunnel in threads of its own, in the network namespace of the calling thread. It does nothing
/// until it is configured.
///
/// # Errors
/// The kernel has no more threads or descriptors.
pub fn start(options: &Options) -> Result<Handle, TunnelError> {
    start_with(options, Handed::default())
}

/// Starts one that goes on with what another one was.
pub(super) fn start_with(options: &Options, handed: Handed) -> Result<Handle, TunnelError> {
    let (events, receiver) = channel();
    let board = Arc::new(Board::default());
    let asker = Asker {
        events,
        board: Arc::clone(&board),
    };
    let mut runner = Runner::new(options, board, asker.events.clone());
    runner.take_over(handed);
    spawn("tunnel", move || runner.run(&receiver))?;
    Ok(Handle { asker })
}

pub(super) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, TunnelError> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    thread.map_err(|error| TunnelError::Resources {
        operation: "start a thread",
        errno: nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)),
    })
}

impl Handle {
    /// Makes the tunnel as a configuration says, as far as that is possible: what is not is told by its
    /// status.
    ///
    /// # Errors
    /// The tunnel has stopped.
    pub fn configure(&self, config: Config) -> Result<(), TunnelError> {
        self.asker.configure(config)
    }

    /// How it is.
    ///
    /// # Errors
    /// The tunnel has stopped.
    pub fn status(&self) -> Result<Status, TunnelError> {
        self.asker.status()
    }

    /// How it is once a way has changed since an edition, or the time is over.
    ///
    /// # Errors
    /// The tunnel has stopped.
    pub fn wait(&self, edition: u64, limit: Duration) -> Result<Status, TunnelError> {
        self.asker.wait(edition, limit)
    }

    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // One that has stopped needs no word; the devices and sockets close before the answer.
        let _ = self.asker.ask(Event::Stop);
    }
}

impl Asker {
    pub fn configure(&self, config: Config) -> Result<(), TunnelError> {
        self.ask(|reply| Event::Configure(Box::new(config), reply))
    }

    pub fn status(&self) -> Result<Status, TunnelError> {
        self.ask(Event::Status)
    }

    pub fn wait(&self, edition: u64, limit: Duration) -> Result<Status, TunnelError> {
        self.board.wait(edition, limit);
        self.status()
    }

    /// Takes everything from the tunnel, which rests from then on.
    pub fn hand_over(&self) -> Result<Handed, TunnelError> {
        self.ask(Event::HandOver)
    }

    /// Gives it back.
    pub fn take_back(&self, handed: Handed) -> Result<(), TunnelError> {
        self.ask(|reply| Event::TakeBack(Box::new(handed), reply))
    }

    pub fn ask<T>(&self, event: impl FnOnce(SyncSender<T>) -> Event) -> Result<T, TunnelError> {
        let (reply, answer): (SyncSender<T>, Receiver<T>) = sync_channel(1);
        let sent = self.events.send(event(reply));
        sent.map_err(|_| TunnelError::Stopped)?;
        answer.recv().map_err(|_| TunnelError::Stopped)
    }
}

//! The thread that carries a speaker: it waits, reads, lets the speaker think, writes, and waits again.
//!
//! ```text
//!          ┌──────────────────────────── wait: epoll ◄───────────────────────────┐
//!  calls ──┤                                                                     │
//!  bytes ──┼─► Speaker ─► actions: dial, close ─► pending: bytes out ─► routes ──┘
//!  losses ─┘      ▲ what time it is
//! ```
//!
//! One thread for all peers: what a speaker does is one thought after the other, and a thread that owns
//! it needs no lock. BFD alone, which cannot wait, has a thread beside it (`detection`), and says whom it
//! has lost. Bytes go out only as fast as the peer reads them: nothing is asked of the speaker
//! while bytes wait, so what changes meanwhile is told once, in its last state. The thread stays in the
//! network namespace of who started it, and so do all of its sockets.

mod accept;
mod command;
mod connection;
mod exchange;
mod losses;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot;
use tombolo_bgp::{Config, ConnId, Moment, PeerKey, Speaker};

use crate::detection::Detection;
use crate::error::SpeakerError;
use crate::handle::Options;
use crate::poller::{Poller, Ready, Token};
use crate::routes::Publisher;
use crate::socket::listener::Listener;
pub(crate) use command::Command;
use connection::Connection;

/// How long a connection may take to say its last words, and a speaker that ends all of them.
const LAST_WORDS: Duration = Duration::from_secs(1);
const ENDING: Duration = Duration::from_secs(2);
/// When sockets have been served for so long, timers, calls and losses have their turn.
const TURN: Duration = Duration::from_millis(50);
/// As much is read at once. A table comes in as a stream, and each turn has its price; but of many peers
/// that all tell one, each is heard again before its hold time is over.
const READ_BYTES: usize = 64 * 1024;

/// A speaker and all that it touches.
#[derive(Debug)]
pub(crate) struct Driver {
    began: Instant,
    poller: Poller,
    commands: Receiver<Command>,
    config: Config,
    speaker: Speaker,
    listen: Vec<IpAddr>,
    listeners: Vec<Listener>,
    connections: BTreeMap<ConnId, Connection>,
    detection: Detection,
    /// Peers that BFD lost before their session came to stand, and until when it may come back.
    doubts: BTreeMap<PeerKey, Moment>,
    publisher: Publisher,
    buffer: Vec<u8>,
    /// What the kernel does not let us do, in words.
    problems: Vec<String>,
    ending: Option<(Moment, Option<oneshot::Sender<()>>)>,
}

impl Driver {
    /// Opens the listeners and readies everything, in the namespace of the calling thread.
    pub(crate) fn open(
        options: Options,
        publisher: Publisher,
        commands: Receiver<Command>,
    ) -> Result<(Driver, Arc<EventFd>), SpeakerError> {
        let (began, now) = (Instant::now(), Moment::ZERO);
        let (poller, waker) = Poller::new()?;
        let listeners = listeners(&options.listen, &options.config, &poller)?;
        let mut speaker = Speaker::new(
            options.config.clone(),
            options.seed,
            options.restarting,
            now,
        );
        speaker.set_next_hops(options.next_hops, now);
        speaker.originate(options.originate, now);
        let mut driver = Driver {
            began,
            poller,
            commands,
            speaker,
            listen: options.listen,
            listeners,
            connections: BTreeMap::new(),
            detection: Detection::new(options.seed, began, Arc::clone(&waker)),
            doubts: BTreeMap::new(),
            publisher,
            buffer: vec![0; READ_BYTES],
            problems: Vec::new(),
            ending: None,
            config: options.config,
        };
        driver.follow();
        Ok((driver, waker))
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let (mut ready, mut waiting) = (Vec::new(), VecDeque::new());
        loop {
            let now = self.now();
            self.turn(now);
            if self.has_ended(now) {
                break;
            }
            // Who was ready and had no turn yet comes before all others.
            if waiting.is_empty() {
                let limit = self.due().map(|due| due.saturating_sub(self.now()));
                self.poller.wait(limit, &mut ready);
                waiting.extend(ready.drain(..));
            }
            let enough = self.now() + TURN;
            while let Some(next) = waiting.pop_front() {
                self.dispatch(next);
                if self.now() >= enough {
                    break;
                }
            }
        }
        // Whoever waits for the end may want the port next.
        let reply = self.ending.take().and_then(|(_, reply)| reply);
        drop(self);
        if let Some(reply) = reply {
            let _ = reply.send(());
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    /// Everything that is to be done before waiting again.
    fn turn(&mut self, now: Moment) {
        self.take_losses(now);
        self.obey(now);
        if self.speaker.timeout().is_some_and(|due| due <= now) {
            self.speaker.tick(now);
        }
        self.settle_doubts(now);
        self.listen_again(now);
        self.exchange(now);
        self.publisher.publish(&mut self.speaker, now);
    }

    fn due(&self) -> Option<Moment> {
        [
            self.speaker.timeout(),
            self.publisher.due(&self.speaker),
            self.next_deadline(),
            self.doubts.values().min().copied(),
            self.listeners.iter().filter_map(|l| l.rests_until).min(),
            self.ending.as_ref().map(|(deadline, _)| *deadline),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn dispatch(&mut self, ready: Ready) {
        let now = self.now();
        match ready.token {
            // What somebody wants, and what BFD has lost, is looked at in each turn.
            Token::Waker => {}
            // None of BFD's sockets is waited for here.
            Token::Ear(_) => {}
            Token::Listener(place) => self.accept(usize::from(place), now),
            Token::Connection(conn) => self.serve(conn, ready, now),
        }
    }

    fn has_ended(&self, now: Moment) -> bool {
        (self.ending.as_ref())
            .is_some_and(|(deadline, _)| self.connections.is_empty() || *deadline <= now)
    }

    /// Brings sockets in line with the configuration. What cannot be done is remembered.
    fn follow(&mut self) {
        self.problems.clear();
        for listener in &mut self.listeners {
            self.problems.extend(listener.follow(&self.config));
        }
        let failed = self.detection.follow(&self.config);
        let words = failed.iter().map(ToString::to_string);
        self.problems.extend(words);
        for problem in &self.problems {
            tracing::warn!("{problem}");
        }
    }
}

/// Listens on a port of all addresses. A kernel without one of the families does without.
fn listeners(
    addresses: &[IpAddr],
    config: &Config,
    poller: &Poller,
) -> Result<Vec<Listener>, SpeakerError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(*address, config.port);
        if let Some(listener) = Listener::open(address, config)? {
            let place = Token::Listener(listeners.len() as u8);
            poller.add(&listener.socket, place)?;
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

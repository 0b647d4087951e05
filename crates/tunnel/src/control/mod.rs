//! The tunnel's control: where each peer is reached, how large a packet gets there, and whether it is
//! there at all.
//!
//! Without sockets and clock: messages and the time come in, messages, news and the time of the next
//! look come out. So hours of it run in microseconds over a simulated wire.
//!
//! ```text
//!   hello (padded to the size in question) ──────────►  ack: the same number, and from where it came
//!     Peer: is it there, and where?      Search: how large a packet passes?
//! ```
//!
//! Nothing is believed but what answers: an ack repeats the number of a hello that we sent, under its
//! sender's key, so that one that was recorded and sent again says nothing. A hello by itself is only
//! answered; from an address that was unknown so far, it is answered with a hello of ours, and only
//! the ack to that moves the peer there. There is no session, so whoever is started again is at once
//! what it was before.

mod jitter;
mod message;
mod peer;
mod search;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Config, PeerId, overhead};
use jitter::Jitter;
use message::{Kind, Message};
use peer::Peer;
pub use status::{PeerStatus, Reach};

/// A point in time: how long after an origin that the caller chooses, the same for all calls.
pub type Moment = Duration;

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// For whom.
    pub peer: PeerId,
    /// Where to. It leaves from the port of the peer's configured address.
    pub to: SocketAddr,
    /// The body, to be put behind the tunnel's header. As long as the packet that it stands for.
    pub body: Vec<u8>,
}

/// Why a message was not listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discard {
    /// It is no message.
    Malformed,
    /// From a node that is no peer, by its name, or not by this port and family.
    Stranger,
    /// Not signed with its sender's key for this node.
    Forged,
    /// It answers nothing that was asked, or asked lately.
    Stale,
}

/// What was found out about a peer, as far as the data path must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where packets for it go.
    pub endpoint: SocketAddr,
    /// The largest inner packet.
    pub mtu: u16,
    /// Whether it answers.
    pub up: bool,
}

/// All peers of a node.
#[derive(Debug)]
pub struct Control {
    config: Config,
    peers: BTreeMap<PeerId, Peer>,
    /// When each peer is to be looked at.
    wakes: BTreeSet<(Moment, PeerId)>,
    jitter: Jitter,
    discards: BTreeMap<Discard, u64>,
    changed: bool,
}

impl Control {
    /// A node that says hello to all its peers at once. The seed must be one that nobody guesses: the
    /// numbers of hellos come from it.
    #[must_use]
    pub fn new(config: Config, seed: u64, now: Moment) -> Control {
        let mut control = Control {
            config: Config::default(),
            peers: BTreeMap::new(),
            wakes: BTreeSet::new(),
            jitter: Jitter::new(seed),
            discards: BTreeMap::new(),
            changed: true,
        };
        control.configure(config, now);
        control
    }

    /// Takes another configuration. Peers that stay keep what was found out about them.
    pub fn configure(&mut self, config: Config, now: Moment) {
        self.config = config;
        self.peers
            .retain(|id, _| self.config.peers.contains_key(id));
        let ours = Arc::from(self.config.addresses());
        for (id, told) in &self.config.peers {
            let limit = told.underlay_mtu.saturating_sub(overhead(id.address.ip()));
            let jitter = &mut self.jitter;
            let new = || Peer::new(id.address, limit, jitter.branch(), now);
            let peer = self.peers.entry(id.clone()).or_insert_with(new);
            peer.configure(limit, &ours, now);
        }
        let wakes = self.peers.iter().map(|(id, peer)| (peer.due(), id.clone()));
        self.wakes = wakes.collect();
        self.changed = true;
    }

    /// Takes what another process, which this one takes over from, had found out.
    pub fn resume(&mut self, ways: &BTreeMap<PeerId, Way>, now: Moment) {
        for (id, way) in ways {
            self.with(id, |peer| peer.resume(*way, now));
        }
        self.changed = true;
    }

    /// When [`Control::tick`] has something to do; a moment that has passed means at once.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Does what is due, and appends the messages that are to be sent.
    pub fn tick(&mut self, now: Moment, out: &mut Vec<Output>) {
        while let Some((_, id)) = self.wakes.first().filter(|(at, _)| *at <= now).cloned() {
            let mut hellos = Vec::new();
            self.with(&id, |peer| peer.tick(now, &mut hellos));
            for hello in hellos {
                let body = self
                    .message(&id, Kind::Hello, hello.number)
                    .body(hello.size);
                out.push(Output {
                    peer: id.clone(),
                    to: hello.to,
                    body,
                });
            }
        }
    }

    /// Takes the body of a message that came from an address to a port of this node.
    ///
    /// # Errors
    /// Why it was not listened to, which is counted as well.
    pub fn receive(
        &mut self,
        (from, port): (SocketAddr, u16),
        body: &[u8],
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), Discard> {
        let heard = self.hear((from, port), body, now, out);
        if let Err(reason) = heard {
            *self.discards.entry(reason).or_default() += 1;
        }
        heard
    }

    fn hear(
        &mut self,
        (from, port): (SocketAddr, u16),
        body: &[u8],
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), Discard> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let message = Message::parse(body).ok_or(Discard::Malformed)?;
        let mut found = (self.config.peers)
            .iter()
            .filter(|(id, _)| id.node == message.from && is_way(id, from, port));
        let (id, told) = found.next().ok_or(Discard::Stranger)?;
        if !message.is_signed(body, &told.key, &self.config.me) {
            return Err(Discard::Forged);
        }
        let id = id.clone();
        match message.kind {
            Kind::Hello => {
                let mut ack = self.message(&id, Kind::Ack, message.number);
                ack.observed = Some(from);
                out.push(Output {
                    peer: id.clone(),
                    to: from,
                    body: ack.body(0),
                });
                self.with(&id, |peer| peer.greeted(from, now));
                Ok(())
            }
            Kind::Ack => {
                let answered = |peer: &mut Peer| peer.answered(from, &message, now);
                self.with(&id, answered).ok_or(Discard::Stale)?
            }
        }
    }

    /// Told that the kernel refuses a message for its size: it is lost for sure.
    pub fn refused(&mut self, id: &PeerId, body: &[u8], now: Moment) {
        let Some(message) = Message::parse(body) else {
            return;
        };
        self.with(id, |peer| peer.refused(message.number, now));
    }

    /// Told that packets are sent to a peer: what concerns it must be noticed sooner.
    pub fn active(&mut self, id: &PeerId, now: Moment) {
        self.with(id, |peer| peer.active(now));
    }

    /// Whether a way has changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The way to each peer.
    #[must_use]
    pub fn ways(&self) -> BTreeMap<PeerId, Way> {
        let ways = self.peers.iter().map(|(id, peer)| (id.clone(), peer.way()));
        ways.collect()
    }

    /// How each peer is.
    #[must_use]
    pub fn status(&self, now: Moment) -> BTreeMap<PeerId, PeerStatus> {
        let peers = self.peers.iter();
        peers
            .map(|(id, peer)| (id.clone(), peer.status(now)))
            .collect()
    }

    /// Messages that were not listened to, by reason.
    #[must_use]
    pub fn discards(&self) -> &BTreeMap<Discard, u64> {
        &self.discards
    }

    /// What it was told.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn message(&self, to: &PeerId, kind: Kind, number: u64) -> message::Draft<'_> {
        message::Draft {
            kind,
            number,
            observed: None,
            from: &self.config.me,
            key: &self.config.key,
            to: to.node.clone(),
        }
    }

    /// Works on a peer, and keeps in mind when it is to be looked at next and whether its way changed.
    fn with<T>(&mut self, id: &PeerId, work: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        let peer = self.peers.get_mut(id)?;
        let (due, way) = (peer.due(), peer.way());
        let outcome = work(peer);
        self.changed |= way != peer.way();
        if due != peer.due() {
            self.wakes.remove(&(due, id.clone()));
            self.wakes.insert((peer.due(), id.clone()));
        }
        Some(outcome)
    }
}

/// Whether a message that came from an address to a port of ours came by the way to a peer.
fn is_way(id: &PeerId, from: SocketAddr, port: u16) -> bool {
    id.address.port() == port && id.address.is_ipv4() == from.is_ipv4()
}

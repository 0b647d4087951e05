//! A wire in virtual time: messages between nodes, with loss, delay, sizes that do not pass, and
//! address translation. What happens follows from the seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use tombolo_tunnel::control::{Control, Moment, Output, PeerStatus, Reach, Way};
use tombolo_tunnel::{Config, Key, NodeId, Peer, PeerId};

pub const PORT: u16 = 4799;
pub const LIMIT: u16 = 1464;

pub fn address(text: &str) -> SocketAddr {
    format!("{text}:{PORT}").parse().unwrap()
}

pub fn key(node: usize) -> Key {
    Key([u8::try_from(node % 250 + 1).unwrap(); 32])
}

pub fn id(node: usize) -> PeerId {
    PeerId {
        node: NodeId(format!("node{node}")),
        address: own(node),
    }
}

pub fn own(node: usize) -> SocketAddr {
    address(&format!("10.0.{}.{}", node / 250, node % 250 + 1))
}

/// The configuration of one of so many nodes which all know each other.
pub fn config(node: usize, nodes: usize) -> Config {
    let peer = |other: usize| {
        let told = Peer {
            key: key(other),
            underlay_mtu: LIMIT + 36,
        };
        (id(other), told)
    };
    Config {
        me: id(node).node,
        key: key(node),
        listen: [own(node)].into(),
        networks: BTreeMap::new(),
        peers: (0..nodes)
            .filter(|other| *other != node)
            .map(peer)
            .collect(),
    }
}

/// A message under way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    at: Moment,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    body: Vec<u8>,
}

pub struct Wire {
    pub now: Moment,
    pub nodes: Vec<Control>,
    /// What passes from one node to another, where less than all does.
    pub passes: BTreeMap<(usize, usize), u16>,
    /// Nodes behind a translation, with the address that others see.
    pub translated: BTreeMap<usize, SocketAddr>,
    /// Nodes that nothing comes from or goes to.
    pub cut: Vec<usize>,
    /// How many of a hundred messages are lost.
    pub loss: u64,
    pub delay: Duration,
    pub sent: usize,
    /// Everything that was ever sent, for those who record.
    pub recorded: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub records: bool,
    flying: BinaryHeap<Reverse<Flying>>,
    order: u64,
    random: u64,
}

impl Wire {
    pub fn new(nodes: usize) -> Wire {
        let node = |node| {
            let seed = 0x5eed + u64::try_from(node).unwrap();
            Control::new(config(node, nodes), seed, Moment::ZERO)
        };
        Wire {
            now: Moment::ZERO,
            nodes: (0..nodes).map(node).collect(),
            passes: BTreeMap::new(),
            translated: BTreeMap::new(),
            cut: Vec::new(),
            loss: 0,
            delay: Duration::from_millis(1),
            sent: 0,
            recorded: Vec::new(),
            records: false,
            flying: BinaryHeap::new(),
            order: 0,
            random: 7,
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let wakes = self.nodes.iter().filter_map(Control::timeout);
            let arrives = self.flying.peek().map(|Reverse(flying)| flying.at);
            let next = wakes.chain(arrives).min().unwrap_or(end).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            self.step();
        }
    }

    fn step(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].timeout().is_some_and(|at| at <= self.now) {
                let mut out = Vec::new();
                self.nodes[node].tick(self.now, &mut out);
                self.send(node, out);
            }
        }
        while self
            .flying
            .peek()
            .is_some_and(|Reverse(f)| f.at <= self.now)
        {
            let Some(Reverse(flying)) = self.flying.pop() else {
                return;
            };
            self.arrive(flying.from, flying.to, &flying.body);
        }
    }

    /// A message arrives from anywhere. Who it is for is found as a network finds it.
    pub fn arrive(&mut self, from: SocketAddr, to: SocketAddr, body: &[u8]) {
        let Some(node) = self.behind(to) else { return };
        let mut out = Vec::new();
        let _ = self.nodes[node].receive((from, PORT), body, self.now, &mut out);
        self.send(node, out);
    }

    fn behind(&self, to: SocketAddr) -> Option<usize> {
        let translated = self.translated.iter().find(|(_, seen)| **seen == to);
        let own = (0..self.nodes.len()).find(|node| own(*node) == to);
        // Nobody comes through a translation by the address behind it.
        translated
            .map(|(node, _)| *node)
            .or(own.filter(|node| !self.translated.contains_key(node)))
    }

    fn send(&mut self, node: usize, out: Vec<Output>) {
        for output in out {
            self.sent += 1;
            let from = self.translated.get(&node).copied().unwrap_or(own(node));
            if self.records {
                self.recorded.push((from, output.to, output.body.clone()));
            }
            let Some(to) = self.behind(output.to) else {
                continue;
            };
            let passes = self.passes.get(&(node, to)).copied().unwrap_or(u16::MAX);
            self.random = self
                .random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(1);
            let lost = (self.random >> 33) % 100 < self.loss;
            if lost
                || output.body.len() > usize::from(passes)
                || self.cut.contains(&node)
                || self.cut.contains(&to)
            {
                continue;
            }
            self.order += 1;
            self.flying.push(Reverse(Flying {
                at: self.now + self.delay,
                order: self.order,
                from,
                to: output.to,
                body: output.body,
            }));
        }
    }

    pub fn way(&self, node: usize, peer: usize) -> Way {
        self.nodes[node].ways()[&id(peer)]
    }

    pub fn status(&self, node: usize, peer: usize) -> PeerStatus {
        self.nodes[node].status(self.now).remove(&id(peer)).unwrap()
    }

    pub fn is_up(&self, node: usize, peer: usize) -> bool {
        self.status(node, peer).reach == Reach::Up
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

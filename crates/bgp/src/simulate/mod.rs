//! Speakers on a simulated wire, in virtual time: for tests and benchmarks, ours and yours.
//!
//! ```text
//!  Speaker ── actions, bytes ──► queue of events, in order of time ── bytes, closes, ticks ──► Speaker
//! ```
//!
//! Nothing here waits: the clock jumps to the next event, so that hours of protocol take milliseconds. What
//! happens depends on the seed alone. Each node keeps a [`table`](Network::table) of what its speaker said
//! of routes, as a kernel would.
//!
//! ```
//! use std::time::Duration;
//! use tombolo_bgp::simulate::{Network, Wire};
//! use tombolo_bgp::{Asn, Peer};
//!
//! let mut network = Network::new(7, Wire::default());
//! let [a, b] = [1, 2].map(|number| network.add(number, Asn(64512)));
//! network.join(a, b, Peer::new("the other", Asn(64512)));
//! network.originate(b, ["10.1.0.0/26".parse().unwrap()]);
//! network.run(Duration::from_secs(5));
//! assert!(network.table(a).contains_key(&"10.1.0.0/26".parse().unwrap()));
//! ```

mod agreement;
mod line;
mod shapes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Config, Graceful, Origination, Peer, PeerKey};
use crate::rib::{NextHops, Path};
use crate::session::Random;
use crate::speaker::{SessionState, Speaker, Stop};
use crate::types::{Asn, Moment, RouterId};

use line::{Event, Line};

pub use agreement::agreement;
pub use shapes::{SYSTEM, block};

/// How the wire is.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// The least and the greatest time that something takes.
    pub latency: (Duration, Duration),
    /// What is written at once arrives in pieces of at most so many octets.
    pub piece: usize,
}

/// Speakers, and what is between them.
#[derive(Debug)]
pub struct Network {
    now: Moment,
    wire: Wire,
    random: Random,
    nodes: Vec<Node>,
    by_address: BTreeMap<IpAddr, usize>,
    lines: Vec<Line>,
    queue: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    /// Pairs of nodes, the lower first, between which everything is lost.
    apart: BTreeSet<(usize, usize)>,
}

#[derive(Debug)]
struct Node {
    speaker: Speaker,
    config: Config,
    originated: BTreeMap<IpNet, Origination>,
    table: BTreeMap<IpNet, Arc<[Path]>>,
    alarm: Option<Moment>,
    running: bool,
    /// How often it was started.
    process: u32,
    lines: BTreeMap<crate::speaker::ConnId, (usize, usize)>,
}

impl Default for Wire {
    fn default() -> Wire {
        Wire {
            latency: (Duration::from_micros(200), Duration::from_millis(2)),
            piece: 4096,
        }
    }
}

impl Network {
    /// One without nodes. The seed is for everything that is left to chance.
    #[must_use]
    pub fn new(seed: u64, wire: Wire) -> Network {
        Network {
            now: Duration::ZERO,
            wire,
            random: Random::new(seed),
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            lines: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            apart: BTreeSet::new(),
        }
    }

    /// Adds a node of a system, with the addresses [`address`] and [`address6`] of a number, and says which
    /// it is. It takes part in graceful restarts.
    pub fn add(&mut self, number: u16, asn: Asn) -> usize {
        let config = Config {
            asn,
            router_id: RouterId(address4(number)),
            port: 179,
            cluster_id: None,
            multipath: 1,
            graceful: Some(Graceful::default()),
            peers: BTreeMap::new(),
        };
        let at = self.nodes.len();
        self.by_address.insert(address(number), at);
        self.by_address.insert(address6(number), at);
        let speaker = self.begin(config.clone(), false);
        self.nodes.push(Node {
            speaker,
            config,
            originated: BTreeMap::new(),
            table: BTreeMap::new(),
            alarm: None,
            running: true,
            process: 0,
            lines: BTreeMap::new(),
        });
        at
    }

    /// Makes two nodes peers of each other, over IPv4, with everything else as given; each is told the
    /// other's system.
    pub fn join(&mut self, a: usize, b: usize, peer: Peer) {
        self.acquaint(a, b, &peer);
        self.configure(a, |_| ());
        self.configure(b, |_| ());
    }

    /// Writes two nodes into each other's configuration, which does not come into force by that.
    fn acquaint(&mut self, a: usize, b: usize, peer: &Peer) {
        for (from, to) in [(a, b), (b, a)] {
            let key = PeerKey::from(self.address(to));
            let mut peer = peer.clone();
            peer.asn = self.nodes[to].config.asn;
            self.nodes[from].config.peers.insert(key, peer);
        }
    }

    /// Changes a node's configuration.
    pub fn configure(&mut self, node: usize, change: impl FnOnce(&mut Config)) {
        change(&mut self.nodes[node].config);
        let config = self.nodes[node].config.clone();
        self.drive(node, |speaker, now| speaker.configure(config, now));
    }

    /// A node's configuration.
    #[must_use]
    pub fn config(&self, node: usize) -> &Config {
        &self.nodes[node].config
    }

    /// Makes exactly these prefixes begin at a node.
    pub fn originate(&mut self, node: usize, prefixes: impl IntoIterator<Item = IpNet>) {
        let routes = prefixes
            .into_iter()
            .map(|prefix| (prefix, Origination::default()));
        let routes: BTreeMap<IpNet, Origination> = routes.collect();
        self.nodes[node].originated.clone_from(&routes);
        self.drive(node, |speaker, now| speaker.originate(routes, now));
    }

    /// Does something with a node's speaker, and what follows from it.
    pub fn drive<T>(&mut self, node: usize, act: impl FnOnce(&mut Speaker, Moment) -> T) -> T {
        let result = act(&mut self.nodes[node].speaker, self.now);
        self.follow(node);
        result
    }

    /// A node's speaker.
    #[must_use]
    pub fn speaker(&self, node: usize) -> &Speaker {
        &self.nodes[node].speaker
    }

    /// The routes of peers that a node uses.
    #[must_use]
    pub fn table(&self, node: usize) -> &BTreeMap<IpNet, Arc<[Path]>> {
        &self.nodes[node].table
    }

    /// A node's IPv4 address.
    #[must_use]
    pub fn address(&self, node: usize) -> IpAddr {
        self.nodes[node].config.router_id.0.into()
    }

    /// A node's IPv6 address.
    #[must_use]
    pub fn address6(&self, node: usize) -> IpAddr {
        let [_, _, high, low] = self.nodes[node].config.router_id.0.octets();
        address6(u16::from_be_bytes([high, low]))
    }

    /// How many sessions of a node stand.
    #[must_use]
    pub fn established(&self, node: usize) -> usize {
        let sessions = self.nodes[node].speaker.sessions(self.now);
        sessions
            .iter()
            .filter(|session| session.state == SessionState::Established)
            .count()
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self
            .queue
            .peek()
            .is_some_and(|Reverse(event)| event.at <= until)
        {
            if let Some(Reverse(event)) = self.queue.pop() {
                self.now = event.at;
                self.happen(event.what);
            }
        }
        self.now = until;
    }

    /// Lets time pass in small steps until something is so, at most as long as is given; says when that
    /// was, and none if it never was.
    pub fn wait(
        &mut self,
        limit: Duration,
        step: Duration,
        mut done: impl FnMut(&Network) -> bool,
    ) -> Option<Moment> {
        let until = self.now + limit;
        loop {
            if done(self) {
                return Some(self.now);
            }
            if self.now >= until {
                return None;
            }
            self.run(step);
        }
    }

    /// Ends a node's process: its connections are closed by its kernel, its routes stay.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].running = false;
        self.drop_lines(node);
    }

    /// Stops a node's speaker in good order, and ends its process when all has been said.
    pub fn stop(&mut self, node: usize, how: Stop) {
        self.drive(node, |speaker, now| speaker.stop(how, now));
        self.kill(node);
    }

    /// Starts a node's process again. `kept`: its routes are still there and used.
    pub fn start(&mut self, node: usize, kept: bool) {
        let speaker = self.begin(self.nodes[node].config.clone(), kept);
        let place = &mut self.nodes[node];
        place.speaker = speaker;
        place.running = true;
        place.process += 1;
        place.alarm = None;
        if !kept {
            place.table.clear();
        }
        let routes = place.originated.clone();
        self.drive(node, |speaker, now| speaker.originate(routes, now));
    }

    /// Everything between two nodes is lost from now on, without a word.
    pub fn part(&mut self, a: usize, b: usize) {
        self.apart.insert((a.min(b), a.max(b)));
    }

    /// Nothing is lost between two nodes any more; what was, stays so: connections that missed something
    /// are reset.
    pub fn heal(&mut self, a: usize, b: usize) {
        self.apart.remove(&(a.min(b), a.max(b)));
        self.reset_lines(a, b, true);
    }

    /// Resets all connections between two nodes.
    pub fn cut(&mut self, a: usize, b: usize) {
        self.reset_lines(a, b, false);
    }

    fn begin(&mut self, config: Config, restarting: bool) -> Speaker {
        let seed = self.random.next();
        let mut speaker = Speaker::new(config, seed, restarting, self.now);
        let everywhere = ["0.0.0.0/0", "::/0"]
            .into_iter()
            .filter_map(|net| net.parse().ok());
        speaker.set_next_hops(NextHops(everywhere.map(|net| (net, 0)).collect()), self.now);
        speaker
    }
}

/// The IPv4 address of a node by its number.
#[must_use]
pub fn address(number: u16) -> IpAddr {
    address4(number).into()
}

/// The IPv6 address of a node by its number.
#[must_use]
pub fn address6(number: u16) -> IpAddr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number).into()
}

fn address4(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(192, 168, high, low)
}

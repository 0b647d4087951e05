//! A speaker: all its peers, over one table of routes.
//!
//! ```text
//!   accepted, connected,          Speaker                       actions: connect, close
//!   received, closed,  ─────►  peers ─► sessions ─► Rib  ─────► transmit: bytes to write
//!   bfd, tick, configure                                        changes: best routes
//! ```
//!
//! It has no sockets and no clock: whoever drives it makes the connections that it asks for, brings it the
//! bytes that come, writes those that it gives, and says what time it is. After each call there may be
//! [`actions`](Speaker::actions), connections that have something to send ([`pending`](Speaker::pending)),
//! [`changes`](Speaker::changes) of routes, and another [`timeout`](Speaker::timeout).
//!
//! The states Idle, Connect and Active of RFC 4271 section 8.2.2 are a peer's (`peering`), the other three a
//! connection's (`session`). There is no `MinRouteAdvertisementInterval` (section 9.2.1.1): changes coalesce
//! as long as a peer does not take them, and containers should be reachable at once.

mod collision;
mod configure;
mod connect;
mod converse;
mod down;
mod peering;
mod restart;
mod stale;
mod status;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::{Config, Origination, Peer, PeerKey};
use crate::rib::{Local, NextHops, Path, PeerId, Rib};
use crate::session::Random;
use crate::types::Moment;

use peering::Peering;
use restart::Restart;

pub use status::{Agreed, SessionState, SessionStatus, TroubleStatus};

/// Which connection. Each number is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What has to be done for the speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect to a peer by TCP; then say [`Speaker::connected`] or [`Speaker::closed`].
    Connect {
        /// The connection's number from now on.
        conn: ConnId,
        /// Whereto.
        peer: PeerKey,
        /// Port, own address, hops, key.
        config: Box<Peer>,
    },
    /// Close a connection as soon as what [`Speaker::transmit`] still gives for it has been written, or
    /// after a second; then say [`Speaker::closed`].
    Close {
        /// Which one.
        conn: ConnId,
    },
}

/// How a speaker stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Connections are closed without a word, so that peers keep our routes until we are back (RFC 4724).
    Graceful,
    /// Peers are told that we leave, and drop our routes.
    Cease,
}

/// A BGP speaker.
#[derive(Debug)]
pub struct Speaker {
    config: Config,
    rib: Rib,
    ids: BTreeMap<PeerKey, PeerId>,
    peers: BTreeMap<PeerId, Peering>,
    connections: BTreeMap<ConnId, Owner>,
    alarms: BTreeSet<(Moment, PeerId)>,
    actions: VecDeque<Action>,
    next_connection: u64,
    random: Random,
    /// What is still waited for since our own restart.
    restart: Option<Restart>,
    /// Our forwarding went on while we were away.
    forwarding_kept: bool,
    stopped: Option<Stop>,
}

/// Whose a connection is.
#[derive(Debug)]
enum Owner {
    /// A peer's.
    Peer(PeerId),
    /// Nobody's any more: these are its last words.
    Closing(Vec<u8>),
}

impl Speaker {
    /// A speaker that begins. The seed is for jitter. `restarting`: its routes are still in the kernel, and
    /// peers that take part in graceful restarts still forward to it (RFC 4724 section 4.1).
    #[must_use]
    pub fn new(config: Config, seed: u64, restarting: bool, now: Moment) -> Speaker {
        let empty = Config {
            peers: BTreeMap::new(),
            ..config.clone()
        };
        let mut speaker = Speaker {
            rib: Rib::new(local(&empty)),
            config: empty,
            ids: BTreeMap::new(),
            peers: BTreeMap::new(),
            connections: BTreeMap::new(),
            alarms: BTreeSet::new(),
            actions: VecDeque::new(),
            next_connection: 0,
            random: Random::new(seed),
            restart: None,
            forwarding_kept: restarting,
            stopped: None,
        };
        if restarting {
            speaker.begin_restart(&config, now);
        }
        speaker.configure(config, now);
        speaker.check_restart(now);
        speaker
    }

    /// Says which prefixes begin here: all of them. Differences go out.
    pub fn originate(&mut self, routes: BTreeMap<IpNet, Origination>, _now: Moment) {
        self.rib.originate(routes);
    }

    /// Says what can be reached: routes whose next hop cannot be are not used.
    pub fn set_next_hops(&mut self, hops: NextHops, _now: Moment) {
        self.rib.set_next_hops(hops);
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let restart = self.restart.as_ref().map(Restart::deadline);
        alarm.into_iter().chain(restart).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Moment) {
        while let Some((at, id)) = self.alarms.first().copied() {
            if at > now {
                break;
            }
            self.alarms.remove(&(at, id));
            if let Some(peering) = self.peers.get_mut(&id) {
                peering.alarm = None;
            }
            self.ring(id, now);
            self.set_alarm(id, now);
        }
        self.check_restart(now);
    }

    /// What has to be done.
    pub fn actions(&mut self) -> Vec<Action> {
        self.actions.drain(..).collect()
    }

    /// The best routes that changed since this was last asked: none left where the list is empty.
    pub fn changes(&mut self) -> Vec<(IpNet, Arc<[Path]>)> {
        self.rib.changes()
    }

    /// As [`changes`](Self::changes), one after the other and in no order.
    pub fn take_changes(&mut self, each: impl FnMut(IpNet, Arc<[Path]>)) {
        self.rib.take_changes(each);
    }

    /// Whether best routes changed since they were last asked for.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.rib.has_changes()
    }

    /// All best routes that peers told.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, Arc<[Path]>)> {
        self.rib.routes()
    }

    /// The table of routes, to be looked at.
    #[must_use]
    pub fn rib(&self) -> &Rib {
        &self.rib
    }

    /// Whether nothing of our own restart is waited for any more: all peers have said what they know, or
    /// the time for it is over. Until then routes of before must not be taken away.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.restart.is_none()
    }

    fn next_connection(&mut self, owner: PeerId) -> ConnId {
        self.next_connection += 1;
        let conn = ConnId(self.next_connection);
        self.connections.insert(conn, Owner::Peer(owner));
        conn
    }

    fn owner(&self, conn: ConnId) -> Option<PeerId> {
        match self.connections.get(&conn)? {
            Owner::Peer(id) => Some(*id),
            Owner::Closing(_) => None,
        }
    }

    /// Sees that [`tick`](Self::tick) comes in time. An alarm that rings too early does no harm, so later
    /// ones are not moved for each message that came.
    fn set_alarm(&mut self, id: PeerId, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(at) = peering.deadline().map(|at| at.max(now)) else {
            return;
        };
        if peering.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(before) = peering.alarm.replace(at) {
            self.alarms.remove(&(before, id));
        }
        self.alarms.insert((at, id));
    }
}

/// What the table has to know of us.
fn local(config: &Config) -> Local {
    Local {
        asn: config.asn,
        router_id: config.router_id,
        cluster_id: config.cluster_id.unwrap_or(config.router_id),
        multipath: config.multipath,
    }
}

/// An address of IPv4 also where the kernel writes it as one of IPv6.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

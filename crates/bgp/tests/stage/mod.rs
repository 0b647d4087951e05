//! A speaker on a stage: the test plays its peer, its kernel and its clock.
#![allow(
    dead_code,
    reason = "each binary of tests uses its own part of the stage"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tombolo_bgp::message::{
    Capability, GracefulRestart, Message, Negotiated, Notification, Open, Update, decode, encode,
    frame,
};
use tombolo_bgp::rib::{NextHops, Standing};
use tombolo_bgp::simulate::agreement;
use tombolo_bgp::{
    Action, AsPath, AsSegment, Asn, Attributes, Config, ConnId, Family, Graceful, NextHop, Nlri,
    PathId, Peer, PeerKey, RouterId, SessionState, SessionStatus, Speaker,
};

/// The speaker's system and address.
pub const OURS: Asn = Asn(64512);
pub const OUR_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
/// The peer's.
pub const THEIRS: Asn = Asn(64513);
pub const THEIR_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// A speaker with one peer, which the test plays.
pub struct Stage {
    pub speaker: Speaker,
    pub config: Config,
    pub now: Duration,
    pub closed: Vec<ConnId>,
    dials: VecDeque<ConnId>,
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn key() -> PeerKey {
    PeerKey::from(THEIR_ADDRESS)
}

/// A configuration with the peer, which takes part in graceful restarts for two minutes.
pub fn config(change: impl FnOnce(&mut Peer)) -> Config {
    let mut peer = Peer::new("the peer", THEIRS);
    change(&mut peer);
    Config {
        asn: OURS,
        router_id: RouterId(Ipv4Addr::new(10, 0, 0, 5)),
        port: 179,
        cluster_id: None,
        multipath: 1,
        graceful: Some(Graceful::default()),
        peers: BTreeMap::from([(key(), peer)]),
    }
}

/// The OPEN of a peer that can what most can, with an identifier that is higher or lower than ours.
pub fn open(higher: bool) -> Open {
    Open {
        asn: THEIRS,
        hold_time: 90,
        router_id: RouterId(Ipv4Addr::new(10, 0, 0, if higher { 9 } else { 2 })),
        capabilities: vec![
            Capability::Multiprotocol(Family::Ipv4),
            Capability::Multiprotocol(Family::Ipv6),
            Capability::RouteRefresh,
            Capability::FourOctetAs(THEIRS),
        ],
    }
}

/// The same of one that survives restarts.
pub fn open_graceful(restarting: bool, forwarding: bool, notification: bool) -> Open {
    let mut open = open(false);
    open.capabilities
        .push(Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification,
            time: 60,
            families: vec![(Family::Ipv4, forwarding), (Family::Ipv6, forwarding)],
        }));
    open
}

impl Stage {
    /// The peer as it is usual, changed.
    pub fn new(change: impl FnOnce(&mut Peer)) -> Stage {
        Stage::with(config(change), false)
    }

    pub fn with(config: Config, restarting: bool) -> Stage {
        let mut speaker = Speaker::new(config.clone(), 11, restarting, Duration::ZERO);
        let everywhere = NextHops(vec![("0.0.0.0/0".parse().unwrap(), 0)]);
        speaker.set_next_hops(everywhere, Duration::ZERO);
        Stage {
            speaker,
            config,
            now: Duration::ZERO,
            closed: Vec::new(),
            dials: VecDeque::new(),
        }
    }

    /// Does something with the speaker.
    pub fn drive<T>(&mut self, act: impl FnOnce(&mut Speaker, Duration) -> T) -> T {
        let result = act(&mut self.speaker, self.now);
        for action in self.speaker.actions() {
            match action {
                Action::Connect { conn, .. } => self.dials.push_back(conn),
                Action::Close { conn } => self.closed.push(conn),
            }
        }
        result
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.speaker.timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.drive(Speaker::tick);
        }
        self.now = until;
    }

    /// The connection that the speaker asked for, if it did.
    pub fn dialed(&mut self) -> Option<ConnId> {
        self.drive(|_, _| ());
        self.dials.pop_front()
    }

    /// Waits until the speaker asks for a connection, and lets it come about.
    pub fn answer(&mut self) -> ConnId {
        let conn = self.await_dial(seconds(600));
        self.drive(|speaker, now| speaker.connected(conn, OUR_ADDRESS, now));
        conn
    }

    /// Waits until the speaker asks for a connection.
    pub fn await_dial(&mut self, limit: Duration) -> ConnId {
        let until = self.now + limit;
        loop {
            if let Some(conn) = self.dialed() {
                return conn;
            }
            let next = self.speaker.timeout().filter(|at| *at <= until);
            let next = next.expect("the speaker asks for a connection in time");
            self.pass(next.saturating_sub(self.now));
        }
    }

    /// The peer connects.
    pub fn accept(&mut self) -> Result<ConnId, String> {
        self.drive(|speaker, now| speaker.accepted(&key(), OUR_ADDRESS, now))
    }

    /// The peer says something.
    pub fn say(&mut self, conn: ConnId, message: &Message) {
        let mut bytes = Vec::new();
        encode(message, Some(&context()), &mut bytes);
        self.say_bytes(conn, &bytes);
    }

    pub fn say_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        self.drive(|speaker, now| speaker.received(conn, bytes, now));
    }

    /// What the speaker has to say on a connection.
    pub fn hear(&mut self, conn: ConnId) -> Vec<Message> {
        let mut bytes = Vec::new();
        while self.speaker.pending().contains(&conn) {
            self.speaker.transmit(conn, &mut bytes, 1 << 20, self.now);
        }
        let mut messages = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(length) = frame(rest).unwrap() {
            let (first, after) = rest.split_at(length);
            messages.push(decode(first, Some(&context())).unwrap());
            rest = after;
        }
        assert!(rest.is_empty(), "half a message was sent");
        messages
    }

    /// The last thing that the speaker said on a connection that it closes, which must be a NOTIFICATION.
    pub fn farewell(&mut self, conn: ConnId) -> Notification {
        assert!(self.closed.contains(&conn), "the connection is still open");
        match self.hear(conn).pop() {
            Some(Message::Notification(notification)) => notification,
            other => panic!("the last word was {other:?}"),
        }
    }

    /// Code and subcode of [`farewell`](Self::farewell).
    pub fn farewell_codes(&mut self, conn: ConnId) -> (u8, u8) {
        let notification = self.farewell(conn);
        (notification.code, notification.subcode)
    }

    /// Brings a connection to where the session stands, and gives what the speaker says then.
    pub fn establish(&mut self, conn: ConnId, open: Open) -> Vec<Message> {
        self.say(conn, &Message::Open(open));
        self.hear(conn);
        self.say(conn, &Message::Keepalive);
        assert_eq!(self.state(), SessionState::Established);
        self.hear(conn)
    }

    /// The peer tells routes to prefixes.
    pub fn tell(&mut self, conn: ConnId, prefixes: &[&str]) {
        let update = Update {
            announced: vec![(attributes(), nlri(prefixes))],
            ..Update::default()
        };
        self.say(conn, &Message::Update(update));
    }

    /// The peer has said all.
    pub fn tell_end(&mut self, conn: ConnId) {
        for family in Family::ALL {
            let update = Update {
                end_of_rib: Some(family),
                ..Update::default()
            };
            self.say(conn, &Message::Update(update));
        }
    }

    /// The connection is lost.
    pub fn lose(&mut self, conn: ConnId) {
        self.drive(|speaker, now| speaker.closed(conn, "connection reset by peer", now));
    }

    pub fn status(&self) -> SessionStatus {
        self.speaker.sessions(self.now).remove(0)
    }

    pub fn state(&self) -> SessionState {
        self.status().state
    }

    /// The prefixes that routes lead to, with a star where they are stale.
    pub fn routes(&self) -> Vec<String> {
        let name = |stale: bool| if stale { "*" } else { "" };
        let rows = self.speaker.rib().table();
        let best = rows.filter(|row| row.standing == Standing::Best && row.peer.is_some());
        let mut routes: Vec<String> = best
            .map(|row| format!("{}{}", row.prefix, name(row.stale)))
            .collect();
        routes.sort();
        routes
    }
}

pub fn nlri(prefixes: &[&str]) -> Vec<Nlri> {
    let each = prefixes.iter().map(|prefix| Nlri {
        prefix: prefix.parse().unwrap(),
        path: PathId(0),
    });
    each.collect()
}

pub fn attributes() -> Attributes {
    let next_hop = NextHop::from(THEIR_ADDRESS);
    let as_path = AsPath(vec![AsSegment::Sequence(vec![THEIRS])]);
    Attributes {
        as_path,
        ..Attributes::local(next_hop)
    }
}

/// As the peer understands what it reads and writes.
pub fn context() -> Negotiated {
    Negotiated {
        local_address: THEIR_ADDRESS,
        peer_address: OUR_ADDRESS,
        ..agreement(OURS, RouterId(Ipv4Addr::new(10, 0, 0, 5)))
    }
}

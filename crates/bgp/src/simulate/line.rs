//! The wire: connections between nodes, and what is under way on them.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::PeerKey;
use crate::speaker::{Action, ConnId};
use crate::types::Moment;

use super::Network;

/// How much is taken of a speaker at once.
const GULP: usize = 65536;

/// Something that will happen. Earlier ones, and of the same time those that were planned earlier, are less.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    pub(super) at: Moment,
    sequence: u64,
    pub(super) what: What,
}

/// What will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A node looks at its clock.
    Tick(usize),
    /// A connection that a node asked for arrives at the other one, or does not.
    Dial { from: Place, to: PeerKey },
    /// Its first end learns that it stands.
    Answer(usize),
    /// Bytes arrive at an end of a line.
    Bytes(usize, usize, Vec<u8>),
    /// An end of a line learns that it is closed.
    Gone(usize, usize, &'static str),
    /// A connection did not come about.
    Refused(Place, String),
}

/// Which connection of which process on which node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    node: usize,
    process: u32,
    conn: ConnId,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    ends: [End; 2],
    /// The address of its first end.
    address: IpAddr,
    /// Something on it was lost: it will never be right again.
    torn: bool,
}

#[derive(Debug)]
struct End {
    node: usize,
    conn: ConnId,
    open: bool,
    /// Nothing arrives before what was sent before it.
    last: Moment,
}

impl Network {
    pub(super) fn plan(&mut self, at: Moment, what: What) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Event { at, sequence, what }));
    }

    pub(super) fn happen(&mut self, what: What) {
        match what {
            What::Tick(node) => self.tick(node),
            What::Dial { from, to } => self.arrive(from, &to),
            What::Answer(line) => self.answer(line),
            What::Bytes(line, end, bytes) => {
                if let Some((node, conn)) = self.open_end(line, end) {
                    self.drive(node, |speaker, now| speaker.received(conn, &bytes, now));
                }
            }
            What::Gone(line, end, why) => {
                if let Some((node, conn)) = self.open_end(line, end) {
                    self.lines[line].ends[end].open = false;
                    self.nodes[node].lines.remove(&conn);
                    self.drive(node, |speaker, now| speaker.closed(conn, why, now));
                }
            }
            What::Refused(place, why) => {
                if self.lives(place) {
                    let conn = place.conn;
                    self.drive(place.node, |speaker, now| speaker.closed(conn, &why, now));
                }
            }
        }
    }

    /// Does what follows from what a speaker was told.
    pub(super) fn follow(&mut self, node: usize) {
        if !self.nodes[node].running {
            return;
        }
        self.send(node);
        loop {
            let actions = self.nodes[node].speaker.actions();
            if actions.is_empty() {
                break;
            }
            actions
                .into_iter()
                .for_each(|action| self.act(node, action));
        }
        let place = &mut self.nodes[node];
        for (prefix, paths) in place.speaker.changes() {
            match paths.is_empty() {
                true => place.table.remove(&prefix),
                false => place.table.insert(prefix, paths),
            };
        }
        if let Some(at) = place.speaker.timeout() {
            let at = at.max(self.now);
            if place.alarm.is_none_or(|alarm| at < alarm) {
                place.alarm = Some(at);
                self.plan(at, What::Tick(node));
            }
        }
    }

    /// A node's connections are closed by its kernel.
    pub(super) fn drop_lines(&mut self, node: usize) {
        let lines = std::mem::take(&mut self.nodes[node].lines);
        for (line, end) in lines.into_values() {
            self.hang_up(line, end, "closed by the peer");
        }
    }

    /// Resets the connections between two nodes: all of them, or those that lost something.
    pub(super) fn reset_lines(&mut self, a: usize, b: usize, only_torn: bool) {
        for line in self.between(a, b) {
            if only_torn && !self.lines[line].torn {
                continue;
            }
            for end in [0, 1] {
                let gone = What::Gone(line, end, "connection reset by peer");
                self.plan(self.now, gone);
            }
        }
    }

    fn between(&self, a: usize, b: usize) -> Vec<usize> {
        let lines = self.nodes[a].lines.values().map(|(line, _)| *line);
        let joins = |line: &usize| self.lines[*line].ends.iter().any(|end| end.node == b);
        lines.filter(joins).collect()
    }

    fn tick(&mut self, node: usize) {
        if self.nodes[node]
            .alarm
            .is_some_and(|alarm| alarm <= self.now)
        {
            self.nodes[node].alarm = None;
        }
        if self.nodes[node].running {
            self.drive(node, |speaker, now| speaker.tick(now));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Connect { conn, peer, .. } => {
                let at = self.now + self.latency();
                let process = self.nodes[node].process;
                let from = Place {
                    node,
                    process,
                    conn,
                };
                self.plan(at, What::Dial { from, to: peer });
            }
            Action::Close { conn } => {
                self.write(node, conn);
                if let Some((line, end)) = self.nodes[node].lines.remove(&conn) {
                    self.hang_up(line, end, "closed by the peer");
                }
                let speaker = &mut self.nodes[node].speaker;
                speaker.closed(conn, "closed", self.now);
            }
        }
    }

    fn arrive(&mut self, from: Place, to: &PeerKey) {
        let node = self.by_address.get(&to.address).copied();
        let node = node.filter(|node| self.nodes[*node].running);
        if !self.lives(from) || node.is_some_and(|node| self.is_apart(from.node, node)) {
            return;
        }
        let Some(node) = node else {
            self.refuse(from, "connection refused".to_owned());
            return;
        };
        let remote = PeerKey::from(self.own_address(from.node, to.address));
        let local = to.address;
        match self.drive(node, |speaker, now| speaker.accepted(&remote, local, now)) {
            Err(why) => self.refuse(from, why),
            Ok(conn) => self.lay(from, remote.address, (node, conn)),
        }
    }

    fn refuse(&mut self, from: Place, why: String) {
        let back = self.now + self.latency();
        self.plan(back, What::Refused(from, why));
    }

    /// Lays a line from a node that asked for it, with its address, to one that accepted it.
    fn lay(&mut self, from: Place, address: IpAddr, (node, conn): (usize, ConnId)) {
        let line = self.lines.len();
        let back = self.now + self.latency();
        let end = |node, conn, last| End {
            node,
            conn,
            open: true,
            last,
        };
        let ends = [end(from.node, from.conn, back), end(node, conn, self.now)];
        self.lines.push(Line {
            ends,
            address,
            torn: false,
        });
        self.nodes[from.node].lines.insert(from.conn, (line, 0));
        self.nodes[node].lines.insert(conn, (line, 1));
        self.plan(back, What::Answer(line));
        self.follow(node);
    }

    fn lives(&self, place: Place) -> bool {
        let node = &self.nodes[place.node];
        node.running && node.process == place.process
    }

    fn answer(&mut self, line: usize) {
        if let Some((node, conn)) = self.open_end(line, 0) {
            let local = self.lines[line].address;
            self.drive(node, |speaker, now| speaker.connected(conn, local, now));
        }
    }

    fn send(&mut self, node: usize) {
        for conn in self.nodes[node].speaker.pending() {
            self.write(node, conn);
        }
    }

    fn write(&mut self, node: usize, conn: ConnId) {
        let Some((line, end)) = self.nodes[node].lines.get(&conn).copied() else {
            return;
        };
        loop {
            let mut bytes = Vec::new();
            self.nodes[node]
                .speaker
                .transmit(conn, &mut bytes, GULP, self.now);
            if bytes.is_empty() {
                return;
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let most = 1 + self.random.below(self.wire.piece as u64);
                let (piece, after) =
                    rest.split_at(rest.len().min(usize::try_from(most).unwrap_or(1)));
                self.carry(line, 1 - end, |line, end| {
                    What::Bytes(line, end, piece.to_vec())
                });
                rest = after;
            }
        }
    }

    /// Brings something to an end of a line, behind what is under way to it.
    fn carry(&mut self, line: usize, end: usize, what: impl FnOnce(usize, usize) -> What) {
        let [a, b] = [0, 1].map(|end: usize| self.lines[line].ends[end].node);
        if self.is_apart(a, b) {
            self.lines[line].torn = true;
            return;
        }
        let at = (self.now + self.latency()).max(self.lines[line].ends[end].last);
        self.lines[line].ends[end].last = at;
        self.plan(at, what(line, end));
    }

    fn hang_up(&mut self, line: usize, end: usize, why: &'static str) {
        self.lines[line].ends[end].open = false;
        self.carry(line, 1 - end, |line, end| What::Gone(line, end, why));
    }

    fn open_end(&self, line: usize, end: usize) -> Option<(usize, ConnId)> {
        let end = &self.lines[line].ends[end];
        (end.open && self.nodes[end.node].running).then_some((end.node, end.conn))
    }

    fn is_apart(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&(a.min(b), a.max(b)))
    }

    /// A node's address of the same family as another one.
    fn own_address(&self, node: usize, like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => self.address(node),
            IpAddr::V6(_) => self.address6(node),
        }
    }

    fn latency(&mut self) -> Duration {
        let (least, most) = self.wire.latency;
        let spread = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(0);
        least + Duration::from_micros(self.random.below(spread + 1))
    }
}

//! What comes over connections, and what goes.

use crate::config::PeerKey;
use crate::message::{Message, Refresh, RefreshKind, Update};
use crate::rib::{PeerId, Role};
use crate::session::{Ending, Step};
use crate::types::Moment;

use super::{ConnId, Owner, Speaker};

/// Octets of a header; two of them, behind the marker, are the message's length (RFC 4271 section 4.1).
const HEADER: usize = 19;
const MARKER: usize = 16;

impl Speaker {
    /// Bytes came.
    pub fn received(&mut self, conn: ConnId, bytes: &[u8], now: Moment) {
        let Some(id) = self.owner(conn) else {
            return;
        };
        if let Some(session) = self.session(id, conn) {
            session.feed(bytes);
        }
        while let Some(step) = self.session(id, conn).and_then(|session| session.next(now)) {
            self.step(id, conn, step, now);
        }
        self.set_alarm(id, now);
        self.check_restart(now);
    }

    /// Connections that have something to send.
    pub fn pending(&mut self) -> Vec<ConnId> {
        let closing = self
            .connections
            .iter()
            .filter_map(|(conn, owner)| match owner {
                Owner::Closing(last) if !last.is_empty() => Some(*conn),
                _ => None,
            });
        let mut pending: Vec<ConnId> = closing.collect();
        for (id, peering) in &self.peers {
            for connection in &peering.connections {
                let has_more = connection.session().is_some_and(|session| {
                    let routes = session.established().is_some() && self.rib.has_more(*id);
                    session.has_more() || routes
                });
                if has_more {
                    pending.push(connection.id);
                }
            }
        }
        pending
    }

    /// Appends what a connection has to send: whole messages, until there are `limit` octets or nothing is
    /// left.
    pub fn transmit(&mut self, conn: ConnId, out: &mut Vec<u8>, limit: usize, now: Moment) {
        if let Some(Owner::Closing(last)) = self.connections.get_mut(&conn) {
            out.append(last);
            return;
        }
        let Some(id) = self.owner(conn) else {
            return;
        };
        let Some(session) = self
            .peers
            .get_mut(&id)
            .and_then(|peering| peering.session_mut(conn))
        else {
            return;
        };
        session.transmit(out);
        if session.established().is_some() {
            let before = out.len();
            self.rib.transmit(id, out, limit);
            let messages = count_messages(out.get(before..).unwrap_or_default());
            if messages > 0 {
                session.updates_sent(messages, now);
            }
        }
    }

    /// Asks a peer to say everything again (RFC 2918).
    pub fn refresh(&mut self, peer: &PeerKey, _now: Moment) {
        let Some(id) = self.ids.get(peer).copied() else {
            return;
        };
        let established = self
            .peers
            .get(&id)
            .and_then(|peering| peering.established());
        let Some((conn, agreed)) = established
            .and_then(|(connection, session)| Some((connection.id, session.established()?)))
            .filter(|(_, agreed)| agreed.refresh)
        else {
            return;
        };
        let families = agreed.families;
        for family in families.iter() {
            let kind = RefreshKind::Request;
            if let Some(session) = self.session(id, conn) {
                session.send(&Message::Refresh(Refresh { family, kind }));
            }
        }
    }

    fn session(&mut self, id: PeerId, conn: ConnId) -> Option<&mut crate::session::Session> {
        self.peers.get_mut(&id)?.session_mut(conn)
    }

    fn step(&mut self, id: PeerId, conn: ConnId, step: Step, now: Moment) {
        match step {
            Step::Stay => {}
            Step::Opened => self.resolve_collision(id, conn, now),
            Step::Established => self.establish(id, conn, now),
            Step::Update(update) => self.update(id, conn, update, now),
            Step::Refresh(refresh) => self.refreshed(id, refresh),
            Step::Borne(what) => self.bear(id, vec![what]),
            Step::End(ending) => self.end(id, conn, ending, now),
        }
    }

    fn bear(&mut self, id: PeerId, faults: Vec<String>) {
        if let Some(peering) = self.peers.get_mut(&id) {
            peering.history.borne += faults.len() as u64;
            peering.history.last_borne = faults
                .into_iter()
                .next_back()
                .or(peering.history.last_borne.take());
        }
    }

    fn establish(&mut self, id: PeerId, conn: ConnId, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let Some(session) = peering.session(conn) else {
            return;
        };
        let Some(agreed) = session.established().cloned() else {
            return;
        };
        let role = Role {
            key: peering.key.clone(),
            peer: (*peering.config).clone(),
            negotiated: agreed.clone(),
            local_asn: session.terms().asn,
        };
        peering.stands(conn, now);
        let tries = peering.tries();
        self.rib.peer_up(id, role);
        self.welcome_back(id, &agreed, now);
        self.await_routes(id, &agreed);
        for superfluous in tries {
            self.end(
                id,
                superfluous,
                Ending::collision("the peer was quicker"),
                now,
            );
        }
    }

    fn update(&mut self, id: PeerId, conn: ConnId, mut update: Update, now: Moment) {
        if !update.faults.is_empty() {
            self.bear(id, std::mem::take(&mut update.faults));
        }
        let end_of_rib = update.end_of_rib;
        if let Err(fault) = self.rib.update(id, update) {
            self.end(id, conn, Ending::fault(fault), now);
            return;
        }
        if let Some(family) = end_of_rib {
            self.said_all(id, family);
        }
    }

    fn refreshed(&mut self, id: PeerId, refresh: Refresh) {
        let Some(peering) = self.peers.get(&id) else {
            return;
        };
        let agreed = peering
            .established()
            .and_then(|(_, session)| session.established());
        let Some(agreed) = agreed.filter(|agreed| agreed.families.contains(refresh.family)) else {
            return;
        };
        // What is stale since a restart waits for its own End-of-RIB (RFC 7313 section 4).
        let returning = peering.stale.contains_key(&refresh.family);
        match refresh.kind {
            RefreshKind::Request => {
                let enhanced = agreed.enhanced_refresh;
                self.rib.resend(id, refresh.family, enhanced);
            }
            RefreshKind::Begin if !returning => self.rib.begin_refresh(id, refresh.family),
            RefreshKind::End if !returning => self.rib.end_refresh(id, refresh.family),
            RefreshKind::Begin | RefreshKind::End => {}
        }
    }
}

fn count_messages(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(&[high, low]) = bytes.get(MARKER..MARKER + 2) {
        let length = usize::from(u16::from_be_bytes([high, low])).max(HEADER);
        bytes = bytes.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

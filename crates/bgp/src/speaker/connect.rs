//! How connections come about: ours, which are tried again until they stand, and the peer's.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Peer, PeerKey, Ttl};
use crate::rib::PeerId;
use crate::session::{Cause, Ending, Session, Step, Terms};
use crate::types::Moment;

use super::peering::{Connection, Stage};
use super::{Action, ConnId, Owner, Speaker, plain};

/// How long a connection may take to come about, at least.
const DIAL: Duration = Duration::from_secs(10);
/// Peers are not connected to all at once, but within this.
const STAGGER: u64 = 200;

impl Speaker {
    /// A connection came from an address to one of ours.
    ///
    /// # Errors
    /// It is not wanted, and why, in words; close it.
    pub fn accepted(
        &mut self,
        remote: &PeerKey,
        local: IpAddr,
        now: Moment,
    ) -> Result<ConnId, String> {
        let id = self.admit(remote)?;
        self.supersede(id, now);
        let conn = self.next_connection(id);
        self.talk(id, conn, local, now);
        Ok(conn)
    }

    /// A connection that we asked for stands, with this address at our end.
    pub fn connected(&mut self, conn: ConnId, local: IpAddr, now: Moment) {
        let Some(id) = self.owner(conn) else {
            self.actions.push_back(Action::Close { conn });
            return;
        };
        if let Some(peering) = self.peers.get_mut(&id) {
            peering.history.unreachable = 0;
        }
        self.talk(id, conn, local, now);
    }

    /// A connection is gone, or did not come about, and why, in words. Also said after a close of ours.
    pub fn closed(&mut self, conn: ConnId, why: &str, now: Moment) {
        let id = self.owner(conn);
        self.connections.remove(&conn);
        let Some(id) = id else {
            return;
        };
        let dialing = (self
            .peers
            .get(&id)
            .and_then(|peering| peering.connection(conn)))
        .is_some_and(|connection| connection.session().is_none());
        if dialing {
            self.could_not_connect(id, now);
        }
        let words = if dialing {
            format!("could not connect: {why}")
        } else {
            format!("the connection is gone: {why}")
        };
        self.end(id, conn, Ending::lost(words), now);
    }

    /// Does what is due for one peer.
    pub(super) fn ring(&mut self, id: PeerId, now: Moment) {
        self.ring_connections(id, now);
        self.ring_stale(id, now);
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        if peering.idle_until.is_some_and(|until| until <= now) {
            peering.idle_until = None;
            peering.next_try = (!peering.config.passive).then_some(now);
        }
        if peering.next_try.is_some_and(|at| at <= now) {
            peering.next_try = None;
            if peering.connections.is_empty() && self.stopped.is_none() {
                self.dial(id, now);
            }
        }
    }

    /// Connects to a peer for the first time, not at the same moment as to all others.
    pub(super) fn begin(&mut self, id: PeerId, now: Moment) {
        let wait = Duration::from_millis(self.random.below(STAGGER));
        if let Some(peering) = self.peers.get_mut(&id) {
            peering.try_after(wait, &mut self.random, now);
        }
        self.set_alarm(id, now);
    }

    fn ring_connections(&mut self, id: PeerId, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let mut endings = Vec::new();
        for connection in &mut peering.connections {
            match &mut connection.stage {
                Stage::Dialing(until) if *until <= now => {
                    let words = unanswered(&peering.config);
                    endings.push((connection.id, Ending::lost(words)));
                }
                Stage::Dialing(_) => {}
                Stage::Talking(session, _) => {
                    if let Step::End(ending) = session.tick(now) {
                        endings.push((connection.id, ending));
                    }
                }
            }
        }
        for (conn, ending) in endings {
            if ending.cause == Cause::Lost {
                self.could_not_connect(id, now);
            }
            self.end(id, conn, ending, now);
        }
    }

    fn could_not_connect(&mut self, id: PeerId, now: Moment) {
        if let Some(peering) = self.peers.get_mut(&id) {
            peering.history.unreachable += 1;
            if peering.history.unreachable >= 2 {
                self.do_not_wait_for(id, now);
            }
        }
    }

    fn dial(&mut self, id: PeerId, now: Moment) {
        let conn = self.next_connection(id);
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let until = now + DIAL.max(peering.config.connect_retry);
        peering.connections.push(Connection {
            id: conn,
            ours: true,
            stage: Stage::Dialing(until),
        });
        self.actions.push_back(Action::Connect {
            conn,
            peer: peering.key.clone(),
            config: Box::new((*peering.config).clone()),
        });
    }

    fn admit(&self, remote: &PeerKey) -> Result<PeerId, String> {
        if self.stopped.is_some() {
            return Err("we are shutting down".to_owned());
        }
        let plainly = PeerKey {
            address: plain(remote.address),
            interface: remote.interface.clone(),
        };
        let id = (self.ids.get(&plainly))
            .ok_or_else(|| format!("no peer with the address {remote} is configured"))?;
        let idle = self
            .peers
            .get(id)
            .is_some_and(|peering| peering.idle_until.is_some());
        if idle {
            return Err(format!(
                "{remote} is left alone for a while after what it did"
            ));
        }
        Ok(*id)
    }

    /// A peer that connects again has given up what it began before.
    fn supersede(&mut self, id: PeerId, now: Moment) {
        let Some(peering) = self.peers.get(&id) else {
            return;
        };
        let given_up = peering.connections.iter().filter(|connection| {
            !connection.ours
                && connection
                    .session()
                    .is_some_and(|s| s.established().is_none())
        });
        let given_up: Vec<ConnId> = given_up.map(|connection| connection.id).collect();
        for conn in given_up {
            let ending = Ending::collision("the peer began another connection");
            self.end(id, conn, ending, now);
        }
    }

    /// TCP stands: speaks BGP over it.
    fn talk(&mut self, id: PeerId, conn: ConnId, local: IpAddr, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        let terms = Terms {
            asn: peering.config.local_asn.unwrap_or(self.config.asn),
            router_id: self.config.router_id,
            peer: peering.config.clone(),
            graceful: self.config.graceful_with(&peering.config),
            restarting: self.restart.is_some(),
            forwarding: self.forwarding_kept || peering.history.established_before,
            local: plain(local),
            remote: peering.key.address,
        };
        let session = Box::new(Session::new(terms, self.random.fork(), now));
        let stage = Stage::Talking(session, None);
        match peering
            .connections
            .iter_mut()
            .find(|connection| connection.id == conn)
        {
            Some(connection) => connection.stage = stage,
            None => peering.connections.push(Connection {
                id: conn,
                ours: false,
                stage,
            }),
        }
        self.connections.insert(conn, Owner::Peer(id));
        self.set_alarm(id, now);
    }
}

/// Why a connection may have come to nothing: kernels drop what is not signed as it should be, or has come
/// too far, without a word.
fn unanswered(peer: &Peer) -> String {
    let password = match peer.password {
        Some(_) => "its password may be another one",
        None => "it may be that it asks for a password",
    };
    let mut words =
        format!("could not connect: no answer; it may be down or behind a filter, {password}");
    if let Ttl::Security(hops) = peer.ttl {
        let plural = if hops == 1 { "" } else { "s" };
        words += &format!(", or its packets come from farther away than {hops} hop{plural}");
    }
    words
}

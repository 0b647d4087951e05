//! All sessions of a system, and whose a datagram is (RFC 5880 §6.3).
//!
//! A datagram that names a session of ours belongs to it, if it comes from the other side of that
//! session. One that names none yet belongs to the session with its sender. `Key` is what identifies
//! the sender to the caller: an address, or an address and an interface.

use std::collections::BTreeMap;

use crate::Moment;
use crate::discard::{Discard, Discards};
use crate::packet::{PACKET_BYTES, Packet};
use crate::session::{Event, Session};

/// All sessions, by whom they are with.
#[derive(Debug, Clone)]
pub struct Sessions<Key> {
    sessions: BTreeMap<Key, Session>,
    discards: Discards,
}

impl<Key> Default for Sessions<Key> {
    fn default() -> Self {
        Sessions {
            sessions: BTreeMap::new(),
            discards: Discards::default(),
        }
    }
}

impl<Key: Ord + Clone> Sessions<Key> {
    /// Adds a session. One that was with the same other side is given back.
    pub fn insert(&mut self, key: Key, session: Session) -> Option<Session> {
        self.sessions.insert(key, session)
    }

    /// Takes a session out.
    pub fn remove(&mut self, key: &Key) -> Option<Session> {
        self.sessions.remove(key)
    }

    /// The session with somebody.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Session> {
        self.sessions.get(key)
    }

    /// The session with somebody, to change it.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Session> {
        self.sessions.get_mut(key)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Session)> {
        self.sessions.iter()
    }

    /// Datagrams that belong to no session.
    #[must_use]
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    /// Takes a datagram from somebody.
    ///
    /// # Errors
    /// Why it was discarded. That is counted in the session, or here if it belongs to none.
    pub fn receive(
        &mut self,
        from: &Key,
        datagram: &[u8],
        ttl: u8,
        now: Moment,
    ) -> Result<Option<Event>, Discard> {
        if let Some(session) = self.sessions.get_mut(from) {
            return session.receive(datagram, ttl, now);
        }
        let reason = match Packet::decode(datagram) {
            Ok(packet) => Discard::Unknown(packet.your_discriminator),
            Err(reason) => reason,
        };
        self.discards.count(reason);
        Err(reason)
    }

    /// When [`Sessions::tick`] has something to do.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        self.sessions.values().filter_map(Session::timeout).min()
    }

    /// Does what is due in every session: calls `send` with each packet, and `tell` with each event.
    /// Every packet is to be sent with a time to live of [`crate::TTL`].
    pub fn tick(
        &mut self,
        now: Moment,
        mut send: impl FnMut(&Key, &[u8; PACKET_BYTES]),
        mut tell: impl FnMut(&Key, Event),
    ) {
        let mut packets = Vec::new();
        for (key, session) in &mut self.sessions {
            if session.timeout().is_none_or(|due| due > now) {
                continue;
            }
            if let Some(event) = session.tick(now, &mut packets) {
                tell(key, event);
            }
            for packet in packets.drain(..) {
                send(key, &packet);
            }
        }
    }
}

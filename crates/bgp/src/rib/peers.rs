//! The peers that a routing table knows.

use crate::config::{Peer, PeerKey, Ttl};
use crate::message::Negotiated;
use crate::types::Asn;

/// A peer, by a small number. The speaker gives it, and gives it again only after
/// [`forget`](super::Rib::forget).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u16);

/// An established session, as the routing table sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Who it is.
    pub key: PeerKey,
    /// How it is configured.
    pub peer: Peer,
    /// What was agreed on.
    pub negotiated: Negotiated,
    /// The system that we are to it.
    pub local_asn: Asn,
}

/// A peer that was up once and was not forgotten.
#[derive(Debug)]
pub(super) struct Member {
    pub role: Role,
    pub up: bool,
}

/// The peers, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Peers(Vec<Option<Member>>);

impl PeerId {
    /// Nobody: the route begins here.
    pub(super) const LOCAL: PeerId = PeerId(u16::MAX);

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Role {
    /// Whether it is of another system and on a link of ours.
    pub(super) fn is_neighbour(&self) -> bool {
        let near = match self.peer.ttl {
            Ttl::Default => true,
            Ttl::Multihop(hops) | Ttl::Security(hops) => hops <= 1,
        };
        near && !self.negotiated.internal
    }
}

impl Peers {
    pub fn insert(&mut self, peer: PeerId, role: Role) {
        if self.0.len() <= peer.index() {
            self.0.resize_with(peer.index() + 1, || None);
        }
        self.0[peer.index()] = Some(Member { role, up: true });
    }

    pub fn remove(&mut self, peer: PeerId) {
        if let Some(member) = self.0.get_mut(peer.index()) {
            *member = None;
        }
    }

    pub fn get(&self, peer: PeerId) -> Option<&Member> {
        self.0.get(peer.index())?.as_ref()
    }

    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut Member> {
        self.0.get_mut(peer.index())?.as_mut()
    }

    pub fn role(&self, peer: PeerId) -> Option<&Role> {
        self.get(peer).map(|member| &member.role)
    }

    /// The role of a peer whose session is up.
    pub fn up(&self, peer: PeerId) -> Option<&Role> {
        let member = self.get(peer)?;
        member.up.then_some(&member.role)
    }

    pub fn ids(&self) -> impl Iterator<Item = PeerId> {
        let numbers = (0u16..).zip(&self.0);
        numbers.filter_map(|(number, member)| member.as_ref().map(|_| PeerId(number)))
    }
}

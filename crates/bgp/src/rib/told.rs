//! Who was told of something, and who of what it is now.

use super::PeerId;
use super::peer_set::PeerSet;

/// Who was told of a path.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Who knows of it.
    peers: PeerSet,
    /// Who of them knows what it is now.
    current: PeerSet,
}

impl Told {
    /// A peer is told what it is now; whether it did not know of it.
    pub fn tell(&mut self, peer: PeerId) -> bool {
        self.current.insert(peer);
        self.peers.insert(peer)
    }

    /// A peer knows nothing of it any more; whether it did.
    pub fn forget(&mut self, peer: PeerId) -> bool {
        self.current.remove(peer);
        self.peers.remove(peer)
    }

    /// It has changed.
    pub fn outdate(&mut self) {
        self.current = PeerSet::default();
    }

    /// A peer is to be told again, even if nothing has changed.
    pub fn outdate_for(&mut self, peer: PeerId) {
        self.current.remove(peer);
    }

    /// Whether a peer knows of it, in whatever state.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// Whether a peer knows what it is now.
    pub fn is_current(&self, peer: PeerId) -> bool {
        self.current.contains(peer)
    }

    /// Whether nobody knows of it.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

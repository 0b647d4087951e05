//! A set of peers in as few bytes as possible: one is kept with every entry of a table.

use super::PeerId;

/// A set of peers. The first 64 need no memory of their own.
#[derive(Debug, Clone, Default)]
pub(super) struct PeerSet {
    first: u64,
    rest: Option<Box<Words>>,
}

type Words = Vec<u64>;

impl PeerSet {
    /// Adds a peer; whether it was not there.
    pub fn insert(&mut self, peer: PeerId) -> bool {
        let (index, bit) = place(peer);
        let word = self.word_mut(index);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes a peer out; whether it was there.
    pub fn remove(&mut self, peer: PeerId) -> bool {
        let found = self.contains(peer);
        if found {
            let (index, bit) = place(peer);
            *self.word_mut(index) &= !bit;
        }
        found
    }

    /// Whether a peer is in it.
    pub fn contains(&self, peer: PeerId) -> bool {
        let (index, bit) = place(peer);
        let word = match index {
            0 => self.first,
            _ => (self.rest.as_ref())
                .and_then(|rest| rest.get(index - 1))
                .copied()
                .unwrap_or(0),
        };
        word & bit != 0
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && (self.rest.iter()).all(|rest| rest.iter().all(|word| *word == 0))
    }

    fn word_mut(&mut self, index: usize) -> &mut u64 {
        if index == 0 {
            return &mut self.first;
        }
        let words = self.rest.get_or_insert_default();
        words.resize(words.len().max(index), 0);
        &mut words[index - 1]
    }
}

fn place(peer: PeerId) -> (usize, u64) {
    (usize::from(peer.0 / 64), 1 << (peer.0 % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_come_and_go_below_and_above_the_first_word() {
        let mut set = PeerSet::default();
        for peer in [0, 63, 64, 499].map(PeerId) {
            assert!(!set.contains(peer) && !set.remove(peer));
            assert!(set.insert(peer));
            assert!(!set.insert(peer) && set.contains(peer));
        }
        assert!(!set.contains(PeerId(65)) && !set.contains(PeerId(u16::MAX)));
        for peer in [0, 63, 64, 499].map(PeerId) {
            assert!(!set.is_empty());
            assert!(set.remove(peer));
        }
        assert!(set.is_empty());
    }

    #[test]
    fn a_set_takes_two_words() {
        assert_eq!(size_of::<PeerSet>(), 16);
    }
}

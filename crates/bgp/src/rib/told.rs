//! Who was told of something, and who of what it is now: two bits a peer. One is kept with every entry of
//! a table, so it takes as few bytes as possible.

use super::PeerId;

/// Who was told of a path. The first 64 peers need no memory of their own.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    first: Word,
    rest: Option<Box<Words>>,
}

/// Of 64 peers.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    /// Who knows of it.
    knows: u64,
    /// Who of them knows what it is now.
    current: u64,
}

type Words = Vec<Word>;

impl Told {
    /// A peer is told what it is now; whether it did not know of it.
    pub fn tell(&mut self, peer: PeerId) -> bool {
        let (index, bit) = place(peer);
        let word = self.word_mut(index);
        let is_new = word.knows & bit == 0;
        word.knows |= bit;
        word.current |= bit;
        is_new
    }

    /// A peer knows nothing of it any more; whether it did.
    pub fn forget(&mut self, peer: PeerId) -> bool {
        let knew = self.knows(peer);
        if knew {
            let (index, bit) = place(peer);
            let word = self.word_mut(index);
            word.knows &= !bit;
            word.current &= !bit;
        }
        knew
    }

    /// It has changed.
    pub fn outdate(&mut self) {
        self.first.current = 0;
        let rest = self.rest.iter_mut().flat_map(|rest| rest.iter_mut());
        rest.for_each(|word| word.current = 0);
    }

    /// A peer is to be told again, even if nothing has changed.
    pub fn outdate_for(&mut self, peer: PeerId) {
        if self.is_current(peer) {
            let (index, bit) = place(peer);
            self.word_mut(index).current &= !bit;
        }
    }

    /// Whether a peer knows of it, in whatever state.
    pub fn knows(&self, peer: PeerId) -> bool {
        let (index, bit) = place(peer);
        self.word(index).knows & bit != 0
    }

    /// Whether a peer knows what it is now.
    pub fn is_current(&self, peer: PeerId) -> bool {
        let (index, bit) = place(peer);
        self.word(index).current & bit != 0
    }

    /// Whether nobody knows of it.
    pub fn is_empty(&self) -> bool {
        let rest = self.rest.iter().flat_map(|rest| rest.iter());
        rest.chain([&self.first]).all(|word| word.knows == 0)
    }

    fn word(&self, index: usize) -> Word {
        match index.checked_sub(1) {
            None => self.first,
            Some(index) => {
                let word = self.rest.as_ref().and_then(|rest| rest.get(index));
                word.copied().unwrap_or_default()
            }
        }
    }

    fn word_mut(&mut self, index: usize) -> &mut Word {
        if index == 0 {
            return &mut self.first;
        }
        let words = self.rest.get_or_insert_default();
        words.resize(words.len().max(index), Word::default());
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
    fn peers_are_told_and_forgotten_below_and_above_the_first_word() {
        let mut told = Told::default();
        let peers = [0, 63, 64, 499].map(PeerId);
        for peer in peers {
            assert!(!told.knows(peer) && !told.forget(peer));
            assert!(told.tell(peer));
            assert!(!told.tell(peer) && told.is_current(peer));
        }
        assert!(!told.knows(PeerId(65)) && !told.knows(PeerId(u16::MAX)));
        told.outdate_for(PeerId(63));
        assert!(told.knows(PeerId(63)) && !told.is_current(PeerId(63)));
        told.outdate();
        for peer in peers {
            assert!(!told.is_empty() && !told.is_current(peer));
            assert!(told.forget(peer));
        }
        assert!(told.is_empty());
    }

    #[test]
    fn who_was_told_takes_three_words() {
        assert_eq!(size_of::<Told>(), 24);
    }
}

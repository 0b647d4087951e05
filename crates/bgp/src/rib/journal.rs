//! In which order entries of a table changed last.
//!
//! ```text
//!  slots   7  ·  3  ·  ·  1  4  9
//!                ▲              ▲
//!          a slow peer    who has read all
//! ```
//!
//! Each entry stands in it once, at its last change; where it stood before is a hole. A peer reads
//! from its cursor on and is told each entry as it is then, so a slow peer misses nothing, and of many
//! changes to one entry it is told the last. A new peer reads from the beginning. No peer has a queue
//! of its own, so what is held does not grow with their number.

/// A hole.
const HOLE: u32 = u32::MAX;

/// So many more holes than entries are borne. Few in tests, so that holes are closed there, too.
const BORNE: usize = if cfg!(test) { 4 } else { 1024 };

#[derive(Debug, Default)]
pub(super) struct Journal {
    slots: Vec<u32>,
    live: usize,
}

impl Journal {
    /// Behind its last slot: where the cursor of a peer stands that has read all.
    pub fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(HOLE)
    }

    /// Puts an entry at the end. It must not stand anywhere else.
    pub fn append(&mut self, entry: u32) -> u32 {
        let position = self.end();
        self.slots.push(entry);
        self.live += 1;
        position
    }

    /// Makes a hole of where an entry stands.
    pub fn leave(&mut self, position: u32) {
        if let Some(slot) = self.slots.get_mut(position as usize) {
            *slot = HOLE;
            self.live -= 1;
        }
    }

    /// The entry at a position, if it is no hole.
    pub fn at(&self, position: u32) -> Option<u32> {
        let slot = self.slots.get(position as usize).copied();
        slot.filter(|entry| *entry != HOLE)
    }

    /// Whether most of it is holes.
    pub fn is_wasteful(&self) -> bool {
        self.slots.len() > 2 * self.live + BORNE
    }

    /// Closes the holes. Says for each position, and for the end, what it is now.
    pub fn compact(&mut self) -> Vec<u32> {
        let mut moved = Vec::with_capacity(self.slots.len() + 1);
        let mut position = 0;
        for slot in &self.slots {
            moved.push(position);
            position += u32::from(*slot != HOLE);
        }
        moved.push(position);
        self.slots.retain(|slot| *slot != HOLE);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_closed_and_cursors_find_their_place() {
        let mut journal = Journal::default();
        let positions: Vec<u32> = (0..5).map(|entry| journal.append(entry)).collect();
        journal.leave(positions[1]);
        journal.leave(positions[3]);
        assert_eq!(journal.compact(), [0, 1, 1, 2, 2, 3]);
        let left: Vec<_> = (0..journal.end())
            .map(|position| journal.at(position))
            .collect();
        assert_eq!(left, [Some(0), Some(2), Some(4)]);
    }

    #[test]
    fn an_entry_that_changes_again_and_again_takes_bounded_room() {
        let mut journal = Journal::default();
        let mut position = journal.append(1);
        for _ in 0..100_000 {
            journal.leave(position);
            position = journal.append(1);
            if journal.is_wasteful() {
                position = journal.compact()[position as usize];
            }
        }
        assert!(journal.end() <= 7);
        assert_eq!(journal.at(position), Some(1));
    }
}

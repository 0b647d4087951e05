//! A list that grows without moving what is in it.
//!
//! A `Vec` that grows is for a moment there twice, and a table of routes is large. Here a new piece is
//! added, and the rest stays where it is.

use std::ops::{Index, IndexMut};

/// So many are in a piece. Few in tests, so that there are several, there, too.
const PIECE: usize = if cfg!(test) { 4 } else { 1024 };

#[derive(Debug)]
pub(super) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Chunks<T> {
    /// An empty one.
    pub fn new() -> Chunks<T> {
        Chunks(Vec::new())
    }

    pub fn len(&self) -> usize {
        let last = self.0.last().map_or(0, Vec::len);
        self.0.len().saturating_sub(1) * PIECE + last
    }

    pub fn push(&mut self, value: T) {
        match self.0.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(value),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(value);
                self.0.push(piece);
            }
        }
    }

    pub fn get(&self, index: u32) -> Option<&T> {
        let (piece, place) = split(index);
        self.0.get(piece)?.get(place)
    }

    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (piece, place) = split(index);
        self.0.get_mut(piece)?.get_mut(place)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        let (piece, place) = split(index);
        &self.0[piece][place]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        let (piece, place) = split(index);
        &mut self.0[piece][place]
    }
}

fn split(index: u32) -> (usize, usize) {
    (index as usize / PIECE, index as usize % PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_stays_where_it_is() {
        let mut chunks = Chunks::new();
        assert_eq!((chunks.len(), chunks.get(0)), (0, None));
        chunks.push(0);
        let first: *const usize = &raw const chunks[0];
        for value in 1..3 * PIECE {
            chunks.push(value);
            assert_eq!(chunks.len(), value + 1);
        }
        assert!(std::ptr::eq(first, &raw const chunks[0]));
        chunks[5] = 100;
        *chunks.get_mut(6).unwrap() = 101;
        let all: Vec<usize> = chunks.iter().copied().collect();
        assert_eq!(all[3..8], [3, 4, 100, 101, 7]);
        assert_eq!(chunks.get(3 * PIECE as u32), None);
    }
}

//! Numbers that look random, from a seed: hellos are told apart by them, and not all are sent at once.
//!
//! SplitMix64 (Steele, Lea and Flood, 2014): each of its states follows from a sum, so it needs no
//! more than one word.

use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another one, which goes its own way.
    pub fn branch(&mut self) -> Jitter {
        Jitter(self.next())
    }

    /// An interval, shortened by up to a quarter.
    pub fn of(&mut self, interval: Duration) -> Duration {
        let part = u32::try_from(self.next() % 1024).unwrap_or_default();
        interval - interval / 4 * part / 1024
    }
}

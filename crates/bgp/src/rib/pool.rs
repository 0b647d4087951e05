//! Attributes, each held once: of the many routes of a table most share theirs with others.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::attributes::Attributes;

/// Below this number nothing is thrown away. Small in tests, so that something is there, too.
const SMALL: usize = if cfg!(test) { 4 } else { 1024 };

/// Attributes, each held once.
#[derive(Debug)]
pub(super) struct Pool {
    held: HashSet<Arc<Attributes>, FixedState>,
    /// When so many are held, those that nobody else holds are thrown away.
    full: usize,
}

impl Pool {
    /// Holds nothing.
    pub fn new() -> Pool {
        Pool {
            held: HashSet::default(),
            full: SMALL,
        }
    }

    /// The one value that equals these.
    pub fn share(&mut self, attributes: Attributes) -> Arc<Attributes> {
        if let Some(held) = self.held.get(&attributes) {
            return held.clone();
        }
        if self.held.len() >= self.full {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.full = (2 * self.held.len()).max(SMALL);
        }
        let shared = Arc::new(attributes);
        self.held.insert(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::NextHop;

    fn attributes(med: u32) -> Attributes {
        Attributes {
            med: Some(med),
            ..Attributes::local(NextHop::V4([10, 0, 0, 1].into()))
        }
    }

    #[test]
    fn equal_attributes_are_one_value() {
        let mut pool = Pool::new();
        let first = pool.share(attributes(1));
        assert!(Arc::ptr_eq(&first, &pool.share(attributes(1))));
        assert!(!Arc::ptr_eq(&first, &pool.share(attributes(2))));
    }

    #[test]
    fn what_nobody_uses_is_thrown_away() {
        let mut pool = Pool::new();
        let kept = pool.share(attributes(0));
        for med in 1..100_000 {
            pool.share(attributes(med));
        }
        assert!(pool.held.len() <= SMALL);
        assert!(Arc::ptr_eq(&kept, &pool.share(attributes(0))));
    }
}

//! The paths to one prefix, as a table holds them: most prefixes have one, and it lies in the entry.

use std::sync::Arc;

use super::PeerId;
use super::import::Verdict;
use super::next_hops::FAR;
use crate::attributes::Attributes;
use crate::types::{Community, PathId};

/// What one peer told of a prefix, or that it begins here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub attributes: Arc<Attributes>,
    /// How far its next hop is.
    pub metric: u32,
    /// What the peer calls it.
    pub received: PathId,
    /// What peers that take several paths know it by. Stays while the peer tells of it.
    pub sent: PathId,
    pub source: PeerId,
    /// Whether it was let in. Refused ones are kept, so that a change of filters needs no refresh.
    pub verdict: Verdict,
    /// Its session is gone, or it was not said again yet.
    pub stale: bool,
}

/// Paths of one prefix.
#[derive(Debug, Clone, Default)]
pub(super) enum Paths {
    #[default]
    None,
    One(Held),
    // Boxed, so that the few prefixes of many paths cost those of one nothing.
    Many(Box<Several>),
}

type Several = Vec<Held>;

impl Held {
    /// Whether it can be chosen at all.
    pub fn is_usable(&self) -> bool {
        self.verdict == Verdict::Accepted && self.metric < FAR
    }

    /// Whether its session is long gone, here or with whom we have it from (RFC 9494).
    pub fn is_long_lived_stale(&self) -> bool {
        (self.attributes.communities).contains(&Community::LLGR_STALE)
    }
}

impl Paths {
    pub fn as_slice(&self) -> &[Held] {
        match self {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }

    pub fn as_mut_slice(&mut self) -> &mut [Held] {
        match self {
            Paths::None => &mut [],
            Paths::One(path) => std::slice::from_mut(path),
            Paths::Many(paths) => paths,
        }
    }

    pub fn find_mut(&mut self, source: PeerId, received: PathId) -> Option<&mut Held> {
        let mut paths = self.as_mut_slice().iter_mut();
        paths.find(|path| path.source == source && path.received == received)
    }

    pub fn has(&self, source: PeerId) -> bool {
        self.count(source) > 0
    }

    pub fn count(&self, source: PeerId) -> usize {
        let paths = self.as_slice().iter();
        paths.filter(|path| path.source == source).count()
    }

    pub fn push(&mut self, path: Held) {
        *self = match std::mem::take(self) {
            Paths::None => Paths::One(path),
            Paths::One(first) => Paths::Many(Box::new(vec![first, path])),
            Paths::Many(mut paths) => {
                paths.push(path);
                Paths::Many(paths)
            }
        };
    }

    /// Keeps those of which `keep` is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) {
        *self = match std::mem::take(self) {
            Paths::None => Paths::None,
            Paths::One(path) if keep(&path) => Paths::One(path),
            Paths::One(_) => Paths::None,
            Paths::Many(mut paths) => {
                paths.retain(keep);
                match paths.len() {
                    0 => Paths::None,
                    1 => paths.pop().map_or(Paths::None, Paths::One),
                    _ => Paths::Many(paths),
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_path_to_a_prefix_takes_four_words() {
        assert!(size_of::<Held>() <= 32);
        assert!(size_of::<Paths>() <= 32);
    }
}

//! Routes that outlive their session, or must be said again (RFC 4724, RFC 7313, RFC 9494).

use super::paths::Held;
use super::table::Table;
use super::{Judge, PeerId, Rib};
use crate::types::{Community, Families, Family};

/// What becomes of the routes of a peer whose session went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// They go, too.
    Forget,
    /// Those of these families are kept, as stale ones, until [`Rib::end_stale`].
    KeepStale(Families),
}

impl Rib {
    /// Whatever a peer told of a family is stale until it says it again.
    pub fn begin_stale(&mut self, peer: PeerId, family: Family) {
        let table = &mut self.tables[family as usize];
        for index in table.places() {
            let paths = table.entry_mut(index).paths.as_mut_slice().iter_mut();
            paths
                .filter(|path| path.source == peer)
                .for_each(|path| path.stale = true);
        }
    }

    /// A peer begins to say everything again (RFC 7313): once, until it has ended.
    pub fn begin_refresh(&mut self, peer: PeerId, family: Family) {
        let side = self.tables[family as usize].side_mut(peer);
        if !std::mem::replace(&mut side.refreshing, true) {
            self.begin_stale(peer, family);
        }
    }

    /// It has said everything again, if it had begun to.
    pub fn end_refresh(&mut self, peer: PeerId, family: Family) {
        let side = self.tables[family as usize].side_mut(peer);
        if std::mem::take(&mut side.refreshing) {
            self.end_stale(peer, family);
        }
    }

    /// What is still stale of a peer's routes goes.
    pub fn end_stale(&mut self, peer: PeerId, family: Family) {
        self.drop_paths(peer, family, |path| path.stale);
    }

    /// A peer did not return in time, and its stale routes are kept as a last resort (RFC 9494 section
    /// 4.2): they get `LLGR_STALE`, and those with `NO_LLGR` go.
    pub fn long_lived(&mut self, peer: PeerId, family: Family) {
        self.drop_paths(peer, family, |path| {
            path.stale && path.attributes.communities.contains(&Community::NO_LLGR)
        });
        let Rib {
            local,
            peers,
            pool,
            tables,
            ..
        } = self;
        let multipath = local.multipath;
        let judge = Judge { peers, multipath };
        let table = &mut tables[family as usize];
        for index in table.places() {
            let goes = |path: &&mut Held| path.source == peer && path.stale;
            if !table.has(index, peer) {
                continue;
            }
            table.alter(index, &judge, |paths| {
                for path in paths.as_mut_slice().iter_mut().filter(goes) {
                    let mut attributes = path.attributes.as_ref().clone();
                    attributes.communities.push(Community::LLGR_STALE);
                    attributes.communities.sort_unstable();
                    attributes.communities.dedup();
                    path.attributes = pool.share(attributes);
                }
            });
        }
    }

    pub(super) fn drop_paths(
        &mut self,
        peer: PeerId,
        family: Family,
        which: impl Fn(&Held) -> bool,
    ) {
        let judge = Judge {
            peers: &self.peers,
            multipath: self.local.multipath,
        };
        let table = &mut self.tables[family as usize];
        for index in table.places() {
            table.drop_paths(index, peer, &judge, &which);
        }
    }
}

impl Table {
    /// Whether an entry has paths of a peer.
    pub fn has(&self, index: u32, peer: PeerId) -> bool {
        self.entry(index).is_some_and(|entry| entry.paths.has(peer))
    }
}

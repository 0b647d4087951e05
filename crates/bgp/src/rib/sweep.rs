//! What is done to all entries of a table, or to all of one peer's.

use ipnet::IpNet;

use super::PeerId;
use super::decision::Judge;
use super::import::Verdict;
use super::next_hops::Resolver;
use super::paths::Held;
use super::table::Table;
use crate::attributes::Attributes;

impl Table {
    /// Asks once more for each path of a source whether it is let in.
    pub fn judge_again(
        &mut self,
        source: PeerId,
        judge: &Judge,
        verdict: impl Fn(IpNet, &Attributes) -> Verdict,
    ) {
        for index in self.places() {
            let Some(prefix) = self.entry(index).filter(|entry| entry.paths.has(source)) else {
                continue;
            };
            let prefix = prefix.prefix;
            let mut changes = Vec::new();
            self.alter(index, judge, |paths| {
                let paths = paths.as_mut_slice().iter_mut();
                for path in paths.filter(|path| path.source == source) {
                    let was =
                        std::mem::replace(&mut path.verdict, verdict(prefix, &path.attributes));
                    changes.push((was, path.verdict));
                }
            });
            for (was, is) in changes {
                self.tally(source, Some(was), Some(is));
            }
        }
    }

    /// Asks for each path once more how far its next hop is.
    pub fn resolve(&mut self, resolver: &mut Resolver, judge: &Judge) {
        for index in self.places() {
            // What begins here has no role.
            let mut metric = |path: &Held| match judge.peers.role(path.source) {
                None => path.metric,
                Some(role) => resolver.metric(path.attributes.next_hop, role),
            };
            let Some(entry) = self.entry(index) else {
                continue;
            };
            if entry
                .paths
                .as_slice()
                .iter()
                .all(|path| metric(path) == path.metric)
            {
                continue;
            }
            self.alter(index, judge, |paths| {
                let paths = paths.as_mut_slice().iter_mut();
                paths.for_each(|path| path.metric = metric(path));
            });
        }
    }

    /// Nobody remembers what a peer was told.
    pub fn forget_told(&mut self, peer: PeerId) {
        for index in self.places() {
            let entry = self.entry_mut(index);
            let mut was_told = entry.told.forget(peer);
            for (_, told) in entry.told_paths.iter_mut().flat_map(|told| told.iter_mut()) {
                was_told |= told.forget(peer);
            }
            entry.drop_untold();
            if was_told {
                self.vacate_if_idle(index);
            }
        }
        let side = self.side_mut(peer);
        side.advertised = 0;
        side.left_out = 0;
        side.too_long = 0;
        side.end_of_rib = false;
        side.refresh_begins = false;
        side.refresh_ends = false;
        side.rewound = false;
        side.refreshing = false;
    }

    /// Everything is to be told to a peer from the beginning.
    pub fn rewind(&mut self, peer: PeerId) {
        if std::mem::replace(&mut self.side_mut(peer).rewound, true) {
            return;
        }
        for index in self.places() {
            let entry = self.entry_mut(index);
            entry.told.outdate_for(peer);
            let told = entry.told_paths.iter_mut().flat_map(|told| told.iter_mut());
            told.for_each(|(_, told)| told.outdate_for(peer));
        }
        self.side_mut(peer).cursor = 0;
    }

    /// What others are told of a peer's paths is no more what they were told.
    pub fn outdate(&mut self, source: PeerId) {
        for index in self.places() {
            if self.has(index, source) {
                let entry = self.entry_mut(index);
                entry.told.outdate();
                let told = entry.told_paths.iter_mut().flat_map(|told| told.iter_mut());
                told.for_each(|(_, told)| told.outdate());
                self.touch(index);
            }
        }
    }
}

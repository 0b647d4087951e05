//! Paths that were let in and cannot be used, since nothing leads to their next hops.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::next_hops::UNREACHABLE;
use super::table::Table;
use super::{PeerId, Rib};
use crate::rib::import::Verdict;

/// As many next hops of a peer are named.
const NAMED: usize = 8;

impl Rib {
    /// Of each peer the next hops that cannot be reached, eight at most, with how many paths have them.
    /// Looks at every path.
    #[must_use]
    pub fn unreachable(&self) -> BTreeMap<PeerId, BTreeMap<IpAddr, u64>> {
        let mut unreachable: BTreeMap<PeerId, BTreeMap<IpAddr, u64>> = BTreeMap::new();
        let entries = self.tables.iter().flat_map(Table::entries);
        let paths = entries.flat_map(|entry| entry.paths.as_slice());
        let accepted = paths.filter(|held| held.verdict == Verdict::Accepted);
        for held in accepted.filter(|held| held.metric == UNREACHABLE) {
            let hops = unreachable.entry(held.source).or_default();
            let hop = held.attributes.next_hop.address();
            if hops.len() < NAMED || hops.contains_key(&hop) {
                *hops.entry(hop).or_default() += 1;
            }
        }
        unreachable
    }
}

//! The routing table as a child would write it: lists of what was told, and everything computed anew
//! from them whenever it is asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::filter::Outcome;
use crate::rib::export::Exporter;
use crate::rib::import;
use crate::rib::paths::Held;
use crate::types::Community;

#[derive(Debug, Clone)]
pub struct Told {
    pub attributes: Attributes,
    pub stale: bool,
}

/// A peer, whether its session is up, and what it told.
#[derive(Debug)]
pub struct Known {
    pub role: Role,
    pub up: bool,
    pub told: BTreeMap<Nlri, Told>,
}

#[derive(Debug)]
pub struct Naive {
    pub local: Local,
    pub hops: NextHops,
    pub originated: BTreeMap<IpNet, Origination>,
    pub peers: BTreeMap<PeerId, Known>,
}

impl Naive {
    /// What a peer should have heard: of each prefix every path that it is told, in order.
    pub fn heard(&self, peer: PeerId) -> BTreeMap<IpNet, Vec<String>> {
        let mut heard = BTreeMap::new();
        let role = &self.peers[&peer].role;
        let peers = self.members();
        let exporter = Exporter {
            local: &self.local,
            peers: &peers,
            peer,
            role,
        };
        for prefix in self.prefixes() {
            let family = Family::of(prefix);
            let usable = self.ranked(prefix);
            let several = role.negotiated.add_path_send.contains(family);
            let count = if several { usable.len() } else { 1 };
            let offers = usable.iter().take(count);
            let offers = offers.filter_map(|path| exporter.offer(prefix, path, family).ok());
            let mut offers: Vec<String> = offers.map(|offer| format!("{offer:?}")).collect();
            offers.sort();
            if role.negotiated.families.contains(family) && !offers.is_empty() {
                heard.insert(prefix, offers);
            }
        }
        heard
    }

    /// The best path of each prefix, if it is of a peer.
    pub fn best(&self) -> BTreeMap<IpNet, (PeerKey, Attributes)> {
        let best = |prefix| {
            let path = self.ranked(prefix).into_iter().next()?;
            let key = self.peers.get(&path.source)?.role.key.clone();
            Some((prefix, (key, Attributes::clone(&path.attributes))))
        };
        self.prefixes().into_iter().filter_map(best).collect()
    }

    /// How many paths of a family a peer told and how many of them are let in, and of how many
    /// prefixes its path is the best.
    pub fn counts(&self, peer: PeerId, family: Family) -> (usize, usize, usize) {
        let known = &self.peers[&peer];
        let told = || {
            known
                .told
                .iter()
                .filter(|(nlri, _)| Family::of(nlri.prefix) == family)
        };
        let let_in = |(nlri, told): &(&Nlri, &Told)| self.lets_in(known, nlri.prefix, told);
        let prefixes = self
            .prefixes()
            .into_iter()
            .filter(|prefix| Family::of(*prefix) == family);
        let best = prefixes.filter_map(|prefix| self.ranked(prefix).into_iter().next());
        (
            told().count(),
            told().filter(let_in).count(),
            best.filter(|path| path.source == peer).count(),
        )
    }

    /// Whether everything was said again since it became stale.
    fn lets_in(&self, known: &Known, prefix: IpNet, told: &Told) -> bool {
        let sound = import::judge(&told.attributes, &known.role, &self.local);
        let filter = known.role.peer.import.decide(prefix, true).0;
        sound == import::Verdict::Accepted && filter == Outcome::Accept
    }

    fn prefixes(&self) -> BTreeSet<IpNet> {
        let told = self.peers.values().flat_map(|known| known.told.keys());
        let told = told.map(|nlri| nlri.prefix);
        told.chain(self.originated.keys().copied()).collect()
    }

    /// The usable paths to a prefix, the best first, the others in no order that means anything.
    fn ranked(&self, prefix: IpNet) -> Vec<Held> {
        let mut paths = Vec::new();
        if let Some(given) = self.originated.get(&prefix) {
            let attributes = local::attributes(prefix, given);
            paths.push(self.path(PeerId::LOCAL, 0, attributes));
        }
        for (peer, known) in &self.peers {
            for (nlri, told) in known.told.iter().filter(|(nlri, _)| nlri.prefix == prefix) {
                if self.lets_in(known, prefix, told) {
                    paths.push(self.path(*peer, nlri.path.0, told.attributes.clone()));
                }
            }
        }
        paths.retain(Held::is_usable);
        let best = self.choose(&paths);
        if let Some(best) = best {
            paths.swap(0, best);
        }
        paths
    }

    fn path(&self, source: PeerId, received: u32, attributes: Attributes) -> Held {
        let hop = attributes.next_hop.address();
        let ranges = self.hops.0.iter().filter(|(net, _)| net.contains(&hop));
        let nearest = ranges.max_by_key(|(net, _)| net.prefix_len());
        // Who is of another system is a neighbour, and names itself or who is on a link of ours.
        let is_odd = |metric: u32| {
            let agreed = &self.peers[&source].role.negotiated;
            !agreed.internal && metric > 0 && agreed.peer_address != hop
        };
        let metric = match nearest {
            _ if source == PeerId::LOCAL => 0,
            Some((_, metric)) if !is_odd(*metric) => *metric,
            _ => u32::MAX,
        };
        Held {
            metric,
            attributes: attributes.into(),
            received: PathId(received),
            sent: PathId(0),
            source,
            verdict: import::Verdict::Accepted,
            stale: false,
        }
    }

    /// RFC 4271 section 9.1.2.2: whoever is not beaten by anybody left, step by step.
    fn choose(&self, paths: &[Held]) -> Option<usize> {
        let mut left: Vec<usize> = (0..paths.len()).collect();
        let internal = |path: &Held| self.peers[&path.source].role.negotiated.internal;
        type Key<'a> = Box<dyn Fn(&Held) -> u64 + 'a>;
        let steps: [Key; 11] = [
            Box::new(|path| u64::from(path.source != PeerId::LOCAL)),
            Box::new(|path| {
                u64::from(path.attributes.communities.contains(&Community::LLGR_STALE))
            }),
            Box::new(|path| u64::from(u32::MAX - path.attributes.local_pref.unwrap_or(100))),
            Box::new(|path| path.attributes.as_path.length() as u64),
            Box::new(|path| path.attributes.origin as u64),
            Box::new(|_| 0), // The MED, below.
            Box::new(|path| u64::from(internal(path))),
            Box::new(|path| u64::from(path.metric)),
            Box::new(|path| {
                let of_peer = || self.peers[&path.source].role.negotiated.peer_id;
                let id = path.attributes.originator_id.unwrap_or_else(of_peer);
                u64::from(u32::from(id.0))
            }),
            Box::new(|path| path.attributes.cluster_list.len() as u64),
            Box::new(|path| u64::from(path.source.0) << 32 | u64::from(path.received.0)),
        ];
        for (number, step) in steps.iter().enumerate() {
            if left.len() < 2 {
                break;
            }
            let least = left.iter().map(|path| step(&paths[*path])).min();
            left.retain(|path| Some(step(&paths[*path])) == least);
            if number == 5 {
                let med = |path: usize| paths[path].attributes.med.unwrap_or(0);
                let from = |path: usize| paths[path].attributes.as_path.neighbour();
                let all = left.clone();
                left.retain(|path| {
                    !all.iter()
                        .any(|by| from(*by) == from(*path) && med(*by) < med(*path))
                });
            }
        }
        left.first().copied()
    }

    fn members(&self) -> Peers {
        let mut peers = Peers::default();
        for (peer, known) in &self.peers {
            peers.insert(*peer, known.role.clone());
        }
        peers
    }
}

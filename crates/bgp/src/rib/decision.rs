//! Which of the paths to a prefix is the best (RFC 4271 section 9.1.2.2).
//!
//! [`Step::ORDER`] is the decision. Each step takes out the paths that another one beats in it; who is
//! left in the end is the best. Who was left before the steps that only break ties is as good, and is
//! used beside it where multipath allows it. The outcome depends on the set of paths alone, not on the
//! order in which they came, so the older of two equal paths is not preferred (RFC 5004 would have it).

use std::cmp::{Ordering, Reverse};

use super::PeerId;
use super::paths::Held;
use super::peers::Peers;
use crate::attributes::{NextHop, Origin};
use crate::config::PeerKey;
use crate::types::{Asn, RouterId};

/// A step of the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What begins here comes before what peers tell.
    Beginning,
    /// What is kept though its session is long gone is the last resort (RFC 9494 section 4.3).
    LongLivedStale,
    /// The highest `LOCAL_PREF`; 100 where there is none.
    LocalPreference,
    /// The shortest AS path (a).
    PathLength,
    /// IGP before EGP before the rest (b).
    Origin,
    /// The lowest `MULTI_EXIT_DISC` among those of one neighbouring system; 0 where there is none (c).
    Med,
    /// Paths of other systems before those of our own (d).
    External,
    /// The nearest next hop (e).
    Metric,
    /// The lowest router ID of who brought it into the system (f, RFC 4456 section 9).
    RouterId,
    /// The fewest reflectors on its way (RFC 4456 section 9).
    ClusterLength,
    /// The lowest address of the peer (g).
    Address,
    /// The lowest path ID, where one peer tells several.
    PathId,
}

/// Compares paths.
pub(super) struct Judge<'a> {
    pub peers: &'a Peers,
    /// At most so many paths are used at once.
    pub multipath: u8,
}

/// What became of the paths to a prefix, by their indices.
#[derive(Debug, Default)]
pub(super) struct Contest {
    /// Those that are used, the best first.
    pub chosen: Vec<usize>,
    /// Those that were beaten: in which step, and by whom.
    pub beaten: Vec<(usize, Step, usize)>,
}

impl Step {
    /// The decision: the steps in their order.
    pub const ORDER: [Step; 12] = [
        Step::Beginning,
        Step::LongLivedStale,
        Step::LocalPreference,
        Step::PathLength,
        Step::Origin,
        Step::Med,
        Step::External,
        Step::Metric,
        // Up to here paths differ in worth. The rest breaks ties.
        Step::RouterId,
        Step::ClusterLength,
        Step::Address,
        Step::PathId,
    ];

    /// How two paths compare in it: the lesser is the better.
    pub(super) fn compare(self, a: &Held, b: &Held, judge: &Judge) -> Ordering {
        let by = |rank: fn(&Held) -> usize| rank(a).cmp(&rank(b));
        match self {
            Step::Beginning => by(|path| usize::from(path.source != PeerId::LOCAL)),
            Step::LongLivedStale => by(|path| usize::from(path.is_long_lived_stale())),
            Step::LocalPreference => Reverse(preference(a)).cmp(&Reverse(preference(b))),
            Step::PathLength => by(|path| path.attributes.as_path.length()),
            Step::Origin => a.attributes.origin.cmp(&b.attributes.origin),
            Step::Med if neighbour(a) != neighbour(b) => Ordering::Equal,
            Step::Med => med(a).cmp(&med(b)),
            Step::External => judge.is_internal(a).cmp(&judge.is_internal(b)),
            Step::Metric => a.metric.cmp(&b.metric),
            Step::RouterId => judge.router_id(a).cmp(&judge.router_id(b)),
            Step::ClusterLength => by(|path| path.attributes.cluster_list.len()),
            Step::Address => judge.key(a).cmp(&judge.key(b)),
            Step::PathId => a.received.cmp(&b.received),
        }
    }

    /// Why the winner beats the loser in it, in words.
    pub(super) fn words(self, winner: &Held, loser: &Held, judge: &Judge) -> String {
        let over = |what: &str, a: String, b: String| format!("{what} ({a} over {b})");
        let both =
            |what: &str, show: &dyn Fn(&Held) -> String| over(what, show(winner), show(loser));
        match self {
            Step::Beginning => "it begins here".to_owned(),
            Step::LongLivedStale => "the other's session is long gone".to_owned(),
            Step::LocalPreference => both("a higher local preference", &|path| {
                preference(path).to_string()
            }),
            Step::PathLength => both("a shorter AS path", &|path| {
                path.attributes.as_path.length().to_string()
            }),
            Step::Origin => both("a better origin", &|path| origin(path).to_owned()),
            Step::Med => both("a lower MED of the same neighbouring system", &|path| {
                med(path).to_string()
            }),
            Step::External => "it comes from another system".to_owned(),
            Step::Metric => both("a nearer next hop", &|path| path.metric.to_string()),
            Step::RouterId => both("a lower router ID", &|path| {
                (judge.router_id(path)).map_or_else(String::new, |id| id.to_string())
            }),
            Step::ClusterLength => both("fewer reflectors on its way", &|path| {
                path.attributes.cluster_list.len().to_string()
            }),
            Step::Address => both("a lower address of the peer", &|path| {
                (judge.key(path)).map_or_else(String::new, ToString::to_string)
            }),
            Step::PathId => both("a lower path ID", &|path| path.received.0.to_string()),
        }
    }

    /// Paths are only held against each other within a group.
    fn group(self, path: &Held) -> Option<Asn> {
        match self {
            Step::Med => neighbour(path),
            _ => None,
        }
    }
}

impl Judge<'_> {
    /// Puts the paths that are used first, the best at the head, and says how many they are.
    pub fn select(&self, paths: &mut [Held]) -> u8 {
        if let [path] = paths {
            return u8::from(path.is_usable());
        }
        let mut chosen = self.contest(paths).chosen;
        for place in 0..chosen.len() {
            paths.swap(place, chosen[place]);
            let other = chosen[place];
            (chosen[place + 1..].iter_mut())
                .filter(|index| **index == place)
                .for_each(|index| *index = other);
        }
        u8::try_from(chosen.len()).unwrap_or(u8::MAX)
    }

    /// Holds paths against each other.
    pub fn contest(&self, paths: &[Held]) -> Contest {
        let mut left: Vec<usize> = (0..paths.len()).filter(|i| paths[*i].is_usable()).collect();
        let mut equals = Vec::new();
        let mut beaten = Vec::new();
        for step in Step::ORDER {
            if step == Step::RouterId {
                equals.clone_from(&left);
            }
            if left.len() > 1 {
                self.eliminate(step, paths, &mut left, &mut beaten);
            }
        }
        Contest {
            chosen: self.choose(paths, left, equals),
            beaten,
        }
    }

    fn eliminate(
        &self,
        step: Step,
        paths: &[Held],
        left: &mut Vec<usize>,
        beaten: &mut Vec<(usize, Step, usize)>,
    ) {
        let better = |a: usize, b: usize| step.compare(&paths[a], &paths[b], self).is_lt();
        let mut champions: Vec<(Option<Asn>, usize)> = Vec::new();
        for index in left.iter().copied() {
            let group = step.group(&paths[index]);
            match champions.iter_mut().find(|(of, _)| *of == group) {
                Some((_, champion)) if better(index, *champion) => *champion = index,
                Some(_) => {}
                None => champions.push((group, index)),
            }
        }
        left.retain(|index| {
            let group = step.group(&paths[*index]);
            let winner = champions
                .iter()
                .find(|(of, who)| *of == group && better(*who, *index));
            winner.inspect(|(_, who)| beaten.push((*index, step, *who)));
            winner.is_none()
        });
    }

    /// The best, and what else is used: equals with next hops of their own.
    fn choose(&self, paths: &[Held], best: Vec<usize>, mut equals: Vec<usize>) -> Vec<usize> {
        let mut chosen = best;
        if self.multipath <= 1 {
            chosen.truncate(1);
            return chosen;
        }
        equals.sort_by(|a, b| self.break_tie(&paths[*a], &paths[*b]));
        for index in equals {
            let hop = self.hop(&paths[index]);
            let known = |chosen: &usize| self.hop(&paths[*chosen]) == hop;
            if chosen.len() < usize::from(self.multipath) && !chosen.iter().any(known) {
                chosen.push(index);
            }
        }
        chosen
    }

    /// Where packets go by a path: an address of the link means another one on each.
    fn hop<'p>(&'p self, path: &Held) -> (NextHop, Option<&'p str>) {
        let hop = path.attributes.next_hop;
        let of_link = match hop {
            NextHop::V4(_) => false,
            NextHop::V6 { global, link_local } => {
                link_local.is_some() || global.is_unicast_link_local()
            }
        };
        let key = self.key(path).filter(|_| of_link);
        (hop, key.and_then(|key| key.interface.as_deref()))
    }

    fn break_tie(&self, a: &Held, b: &Held) -> Ordering {
        let steps = Step::ORDER
            .into_iter()
            .skip_while(|step| *step != Step::RouterId);
        let orders = steps.map(|step| step.compare(a, b, self));
        orders.fold(Ordering::Equal, Ordering::then)
    }

    fn is_internal(&self, path: &Held) -> bool {
        (self.peers.role(path.source)).is_some_and(|role| role.negotiated.internal)
    }

    fn router_id(&self, path: &Held) -> Option<RouterId> {
        let peer = || (self.peers.role(path.source)).map(|role| role.negotiated.peer_id);
        path.attributes.originator_id.or_else(peer)
    }

    fn key(&self, path: &Held) -> Option<&PeerKey> {
        self.peers.role(path.source).map(|role| &role.key)
    }
}

fn preference(path: &Held) -> u32 {
    path.attributes.local_pref.unwrap_or(100)
}

fn med(path: &Held) -> u32 {
    path.attributes.med.unwrap_or(0)
}

fn neighbour(path: &Held) -> Option<Asn> {
    path.attributes.as_path.neighbour()
}

fn origin(path: &Held) -> &'static str {
    match path.attributes.origin {
        Origin::Igp => "IGP",
        Origin::Egp => "EGP",
        Origin::Incomplete => "incomplete",
    }
}

//! Changes: which flows between endpoints another World would judge differently.
//!
//! Endpoints that no rule tells apart are asked about once, ports between two that rules name too, and
//! pairs of which nothing that is asked changes not at all. So the cost follows the change, and there
//! is a bound ([`MOST`]) after which the answer says that it is not complete.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tombolo_model::{Family, World};

use crate::crowd::{self, Crowd};
use crate::evaluator::Evaluator;
use crate::flow::{Flow, Party};
use crate::probes::{Probes, Traffic, joined};
use crate::trace::list;
use crate::verdict::Verdict;

/// How many flows are asked about at most.
const MOST: usize = 1_000_000;

/// The flows between endpoints of both Worlds that are judged differently.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// What changes, in order of names.
    pub changes: Vec<Change>,
    /// Whether everything was looked at; there may be more changes if not.
    pub complete: bool,
}

/// Flows that change in the same way for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Who sends.
    pub from: Vec<Party>,
    /// Who gets it.
    pub to: Vec<Party>,
    /// Only this family; any that both have if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// What is sent; everything if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traffic: Vec<Traffic>,
    /// Whether it is let through from now on.
    pub allowed: bool,
    /// What decides from now on, in words.
    pub because: String,
}

/// What changes between a pair of crowds.
type Found = BTreeMap<(Option<Family>, bool, String), Vec<Traffic>>;

/// Which flows between endpoints that are in both Worlds would be judged differently.
#[must_use]
pub fn changes(before: &World, after: &World) -> Changes {
    let (old, new) = (Evaluator::new(before), Evaluator::new(after));
    let mut probes = Probes::default();
    probes.add(before, &old.rulebook);
    probes.add(after, &new.rulebook);
    let comparison = Comparison {
        old,
        new,
        traffic: Family::ALL.map(|family| (family, probes.all(family))),
        // What networks are like concerns every pair; it is rare that it changes.
        everybody: before.networks != after.networks || before.pools != after.pools,
    };
    let crowds = crowd::crowds(&comparison.old, &comparison.new);
    let mut asked = 0;
    let mut complete = true;
    let mut grouped: BTreeMap<(Vec<usize>, String), (Found, Vec<usize>)> = BTreeMap::new();
    for (place, from) in crowds.iter().enumerate() {
        let mut by_change: BTreeMap<String, (Found, Vec<usize>)> = BTreeMap::new();
        for (other, to) in crowds.iter().enumerate() {
            if !comparison.concerns(from, to) {
                continue;
            }
            let Some(ends) = ends(from, to, place == other) else {
                continue;
            };
            if asked > MOST {
                complete = false;
                break;
            }
            let found = comparison.between(&ends, &mut asked);
            if !found.is_empty() {
                let entry = by_change.entry(format!("{found:?}"));
                entry.or_insert((found, Vec::new())).1.push(other);
            }
        }
        for (key, (found, to)) in by_change {
            let entry = grouped.entry((to, key));
            entry.or_insert((found, Vec::new())).1.push(place);
        }
    }
    let grouped = grouped.into_iter().flat_map(|((to, _), (found, from))| {
        let (from, to) = (parties(&crowds, &from), parties(&crowds, &to));
        found
            .into_iter()
            .map(move |(change, traffic)| (from.clone(), to.clone(), change, traffic))
    });
    let changes = grouped.map(|(from, to, (family, allowed, because), traffic)| Change {
        from,
        to,
        family,
        traffic,
        allowed,
        because,
    });
    let mut changes: Vec<Change> = changes.collect();
    changes.sort_by(|a, b| (&a.from, &a.to, &a.traffic).cmp(&(&b.from, &b.to, &b.traffic)));
    Changes { changes, complete }
}

/// One of each crowd; none if there are no two.
fn ends(from: &Crowd, to: &Crowd, is_same: bool) -> Option<(Party, Party)> {
    let party = |crowd: &Crowd, place: usize| {
        let (namespace, name) = crowd.members.get(place)?;
        Some(Party::Endpoint(namespace.clone(), name.clone()))
    };
    Some((party(from, 0)?, party(to, usize::from(is_same))?))
}

fn parties(crowds: &[Crowd], places: &[usize]) -> Vec<Party> {
    let members = places.iter().flat_map(|place| &crowds[*place].members);
    let mut parties: Vec<Party> = members
        .map(|(namespace, name)| Party::Endpoint(namespace.clone(), name.clone()))
        .collect();
    parties.sort();
    parties
}

/// Two Worlds.
struct Comparison<'a> {
    old: Evaluator<'a>,
    new: Evaluator<'a>,
    traffic: [(Family, Vec<Traffic>); 2],
    everybody: bool,
}

impl Comparison<'_> {
    /// Whether anything that is asked about flows of a pair changes.
    fn concerns(&self, from: &Crowd, to: &Crowd) -> bool {
        self.everybody || from.egress || to.ingress || from.moved || to.moved
    }

    /// What changes between two endpoints. What changes in the same way in every family that they have
    /// is told once.
    fn between(&self, ends: &(Party, Party), asked: &mut usize) -> Found {
        let mut by_family = Vec::new();
        for (family, traffic) in &self.traffic {
            let flow = Flow {
                family: Some(*family),
                ..Flow::of(
                    ends.0.clone(),
                    ends.1.clone(),
                    tombolo_model::kinds::policy::ProtocolMatch::TCP,
                )
            };
            if self.new.packet(&flow).is_err() {
                continue;
            }
            *asked += traffic.len();
            by_family.push((*family, self.in_family(&flow, *family, traffic)));
        }
        let everything = |family: Option<Family>, found: BTreeMap<(bool, String), Vec<Traffic>>| {
            let found = found.into_iter();
            found.map(move |((allowed, why), traffic)| ((family, allowed, why), traffic))
        };
        match &mut by_family[..] {
            [(_, only)] => everything(None, std::mem::take(only)).collect(),
            [(_, v4), (_, v6)] if is_alike(v4, v6) => {
                everything(None, std::mem::take(v4)).collect()
            }
            several => {
                let several = several.iter_mut();
                several
                    .flat_map(|(family, found)| everything(Some(*family), std::mem::take(found)))
                    .collect()
            }
        }
    }

    fn in_family(
        &self,
        flow: &Flow,
        family: Family,
        all: &[Traffic],
    ) -> BTreeMap<(bool, String), Vec<Traffic>> {
        let mut found: BTreeMap<(bool, String), Vec<Traffic>> = BTreeMap::new();
        for traffic in all {
            let (protocol, destination_port, icmp) = traffic.sample(family);
            let flow = Flow {
                protocol,
                destination_port,
                icmp,
                ..flow.clone()
            };
            let allowed = self.new.allows(&flow);
            if allowed != self.old.allows(&flow) {
                let because = because(&self.old.verdict(&flow), &self.new.verdict(&flow));
                found
                    .entry((allowed, because))
                    .or_default()
                    .push(traffic.clone());
            }
        }
        for traffic in found.values_mut() {
            *traffic = match traffic.len() == all.len() {
                true => Vec::new(),
                false => joined(traffic),
            };
        }
        found
    }
}

/// Whether two families change in the same way: an echo request is another type in each.
fn is_alike(
    a: &BTreeMap<(bool, String), Vec<Traffic>>,
    b: &BTreeMap<(bool, String), Vec<Traffic>>,
) -> bool {
    let words = |found: &BTreeMap<(bool, String), Vec<Traffic>>| {
        let entries = found.iter();
        let entries = entries.map(|(key, traffic)| {
            let traffic: Vec<_> = traffic.iter().map(ToString::to_string).collect();
            (key.clone(), traffic)
        });
        entries.collect::<Vec<_>>()
    };
    words(a) == words(b)
}

/// What decides now: what forbids it, or at the end that forbade it before, what allows it.
fn because(before: &Verdict, after: &Verdict) -> String {
    if let Some(obstacle) = after.obstacle() {
        return obstacle;
    }
    let mut pairs = [
        (&before.egress, &after.egress),
        (&before.ingress, &after.ingress),
    ]
    .into_iter();
    let now = pairs.find_map(|(before, after)| {
        let forbade = before.as_ref().is_some_and(|stage| !stage.allowed);
        after.as_ref().filter(|_| forbade)
    });
    now.map(|stage| stage.decision.to_string())
        .unwrap_or_default()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", list(&self.from), list(&self.to))?;
        if let Some(family) = self.family {
            write!(f, " {family}")?;
        }
        match self.traffic.is_empty() {
            true => write!(f, " everything")?,
            false => write!(f, " {}", list(&self.traffic))?,
        }
        let (before, after) = match self.allowed {
            true => ("denied", "allowed"),
            false => ("allowed", "denied"),
        };
        write!(f, ": {before} → {after} ({})", self.because)
    }
}

//! What the routing table holds, for whoever installs routes and whoever looks at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::decision::Judge;
use super::export::Exporter;
use super::next_hops::UNREACHABLE;
use super::paths::Held;
use super::table::{Entry, Table};
use super::{PeerId, Rib};
use crate::attributes::{Attributes, NextHop};
use crate::config::PeerKey;
use crate::types::{Family, PathId};

/// A path that is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Where packets go next.
    pub next_hop: NextHop,
    /// Who told it.
    pub peer: PeerKey,
    /// Whether its session is gone and it is kept until that returns.
    pub stale: bool,
    /// All that was told of it.
    pub attributes: Arc<Attributes>,
}

/// A path of the table, used or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The prefix.
    pub prefix: IpNet,
    /// Who told it; none if it begins here.
    pub peer: Option<PeerKey>,
    /// What the peer calls it.
    pub path: PathId,
    /// Whether it is used.
    pub standing: Standing,
    /// Whether its session is gone and it is kept until that returns.
    pub stale: bool,
    /// All that was told of it.
    pub attributes: Arc<Attributes>,
}

/// Whether a path is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is the best.
    Best,
    /// It is as good as the best, and used beside it.
    Beside,
    /// Another is better.
    Spare,
    /// Its next hop cannot be reached.
    Unreachable,
    /// It was not let in: why, in words.
    Refused(String),
}

/// How many routes there are of a peer, and of which kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Of IPv4.
    pub ipv4: FamilyCounts,
    /// Of IPv6.
    pub ipv6: FamilyCounts,
    /// Paths that were refused, by the reason in words.
    pub refused: BTreeMap<String, u64>,
}

/// How many routes there are of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyCounts {
    /// Paths that the peer told, refused ones too.
    pub received: u64,
    /// Those that were let in.
    pub accepted: u64,
    /// Prefixes whose best path is the peer's.
    pub best: u64,
    /// Paths that the peer was told.
    pub advertised: u64,
}

impl Counts {
    /// Those of a family.
    #[must_use]
    pub fn of(&self, family: Family) -> FamilyCounts {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl Rib {
    /// The prefixes whose paths in use changed since the last call, with those; none if the prefix is
    /// gone or begins here now. Nothing while it is [held](Rib::hold).
    pub fn changes(&mut self) -> Vec<(IpNet, Vec<Path>)> {
        if self.held {
            return Vec::new();
        }
        let mut changes = Vec::new();
        for family in Family::ALL {
            let changed = self.tables[family as usize].take_changed();
            let table = &self.tables[family as usize];
            let entry = |prefix| table.find(prefix).and_then(|index| table.entry(index));
            let paths = |prefix| entry(prefix).map_or_else(Vec::new, |entry| self.used(entry));
            changes.extend(changed.into_iter().map(|prefix| (prefix, paths(prefix))));
        }
        changes
    }

    /// All prefixes that peers' paths are used for, with those, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, Vec<Path>)> + '_ {
        let entries = self.tables.iter().flat_map(Table::entries);
        let routes = entries.map(|entry| (entry.prefix, self.used(entry)));
        routes.filter(|(_, paths)| !paths.is_empty())
    }

    /// All paths of all prefixes, in no order.
    pub fn table(&self) -> impl Iterator<Item = Row> + '_ {
        let entries = self.tables.iter().flat_map(Table::entries);
        entries.flat_map(|entry| self.rows(entry))
    }

    /// The paths to a prefix, the used ones first, each with why it stands where it stands, in words.
    #[must_use]
    pub fn explain(&self, prefix: IpNet) -> Vec<(Row, String)> {
        let table = &self.tables[Family::of(prefix) as usize];
        let Some(entry) = table.find(prefix).and_then(|index| table.entry(index)) else {
            return Vec::new();
        };
        let paths = entry.paths.as_slice();
        let judge = self.judge();
        let contest = judge.contest(paths);
        let why = |index: usize, row: &Row| match &row.standing {
            Standing::Best => "the best".to_owned(),
            Standing::Beside => "as good as the best, and used beside it".to_owned(),
            Standing::Unreachable => {
                format!(
                    "its next hop {} cannot be reached",
                    row.attributes.next_hop.address()
                )
            }
            Standing::Refused(reason) => format!("refused: {reason}"),
            Standing::Spare => match contest.beaten.iter().find(|(who, ..)| *who == index) {
                Some((_, step, by)) => format!(
                    "the path of {} is better: {}",
                    self.name(&paths[*by]),
                    step.words(&paths[*by], &paths[index], &judge)
                ),
                None => "as good as the best; no more paths are used at once".to_owned(),
            },
        };
        let rows = self.rows(entry).into_iter().enumerate();
        rows.map(|(index, row)| (index, why(index, &row), row))
            .map(|(_, why, row)| (row, why))
            .collect()
    }

    /// What a peer is told of a prefix now, or why nothing, in words.
    ///
    /// # Errors
    /// The peer is not told of it.
    pub fn explain_told(&self, peer: PeerId, prefix: IpNet) -> Result<Attributes, String> {
        let family = Family::of(prefix);
        let table = &self.tables[family as usize];
        let entry = table.find(prefix).and_then(|index| table.entry(index));
        let best = entry
            .and_then(Entry::best)
            .ok_or("there is no usable path to it")?;
        let role = self
            .peers
            .up(peer)
            .ok_or("there is no session with the peer")?;
        if !role.negotiated.families.contains(family) {
            return Err(format!("{family} is not spoken with the peer"));
        }
        let exporter = Exporter {
            local: &self.local,
            peers: &self.peers,
            peer,
            role,
        };
        exporter
            .offer(prefix, best, family)
            .map_err(|why| why.words().to_owned())
    }

    /// How many routes there are of a peer.
    #[must_use]
    pub fn counts(&self, peer: PeerId) -> Counts {
        let mut counts = Counts::default();
        let Some(role) = self.peers.role(peer) else {
            return counts;
        };
        for table in &self.tables {
            let Some(side) = table.side(peer) else {
                continue;
            };
            let refused = side.refused.iter().filter(|(_, count)| **count > 0);
            for (verdict, count) in refused.clone() {
                let reason = verdict.reason(&role.peer.import).unwrap_or_default();
                *counts.refused.entry(reason.into_owned()).or_default() += count;
            }
            let of_family = FamilyCounts {
                received: side.received,
                accepted: side.received - refused.map(|(_, count)| count).sum::<u64>(),
                best: side.best,
                advertised: side.advertised,
            };
            match table.family {
                Family::Ipv4 => counts.ipv4 = of_family,
                Family::Ipv6 => counts.ipv6 = of_family,
            }
        }
        counts
    }

    fn used(&self, entry: &Entry) -> Vec<Path> {
        let paths = entry.in_use().iter().filter(|_| !entry.is_local());
        let path = |held: &Held| {
            Some(Path {
                next_hop: held.attributes.next_hop,
                peer: self.peers.role(held.source)?.key.clone(),
                stale: held.stale,
                attributes: held.attributes.clone(),
            })
        };
        paths.filter_map(path).collect()
    }

    fn rows(&self, entry: &Entry) -> Vec<Row> {
        let paths = entry.paths.as_slice().iter().enumerate();
        let row = |(index, held): (usize, &Held)| {
            let role = self.peers.role(held.source);
            let reason = role.and_then(|role| held.verdict.reason(&role.peer.import));
            Row {
                prefix: entry.prefix,
                peer: role.map(|role| role.key.clone()),
                path: held.received,
                standing: match reason {
                    Some(reason) => Standing::Refused(reason.into_owned()),
                    None if held.metric == UNREACHABLE => Standing::Unreachable,
                    None if index == 0 => Standing::Best,
                    None if index < usize::from(entry.chosen) => Standing::Beside,
                    None => Standing::Spare,
                },
                stale: held.stale,
                attributes: held.attributes.clone(),
            }
        };
        paths.map(row).collect()
    }

    fn name(&self, path: &Held) -> String {
        let role = self.peers.role(path.source);
        role.map_or_else(|| "our own".to_owned(), |role| role.key.to_string())
    }

    pub(super) fn judge(&self) -> Judge<'_> {
        Judge {
            peers: &self.peers,
            multipath: self.local.multipath,
        }
    }
}

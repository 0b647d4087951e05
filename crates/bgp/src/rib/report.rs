//! What the routing table holds, for whoever installs routes and whoever looks at it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::decision::Judge;
use super::export::Exporter;
use super::next_hops::FAR;
use super::paths::Held;
use super::peers::Peers;
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
    /// Its next hop cannot be reached, or is farther away than that of such a peer may be.
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
    /// Paths that the peer told beyond the 32 to one prefix that are held of it, in this session. They
    /// count nowhere else.
    #[serde(default)]
    pub left_out: u64,
    /// How often the peer was not told of a path, in this session, since its attributes are more than a
    /// message can hold.
    #[serde(default)]
    pub too_long: u64,
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
    pub fn changes(&mut self) -> Vec<(IpNet, Arc<[Path]>)> {
        let mut changes = Vec::new();
        self.take_changes(|prefix, paths| changes.push((prefix, paths)));
        changes.sort_unstable_by_key(|(prefix, _)| *prefix);
        changes
    }

    /// As [`Rib::changes`], one after the other and in no order. Prefixes of the same single path mostly
    /// share it.
    pub fn take_changes(&mut self, mut each: impl FnMut(IpNet, Arc<[Path]>)) {
        if self.held {
            return;
        }
        let Rib { tables, peers, .. } = self;
        let mut shared: HashMap<(*const Attributes, PeerId), Arc<[Path]>, FixedState> =
            HashMap::default();
        for table in tables {
            table.take_changed(|entry| {
                let paths = match entry.in_use() {
                    _ if entry.is_local() => Arc::default(),
                    [path] => {
                        // The address is that of the path while it is held, and it is until the end.
                        let key = (Arc::as_ptr(&path.attributes), path.source);
                        let paths = shared.entry(key).or_insert_with(|| used(entry, peers));
                        Arc::clone(paths)
                    }
                    _ => used(entry, peers),
                };
                each(entry.prefix, paths);
            });
        }
    }

    /// Whether [`Rib::changes`] has something to give.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.held && self.tables.iter().any(Table::has_changed)
    }

    /// All prefixes that peers' paths are used for, with those, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (IpNet, Arc<[Path]>)> + '_ {
        let entries = self.tables.iter().flat_map(Table::entries);
        let routes = entries.map(|entry| (entry.prefix, used(entry, &self.peers)));
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
                let address = row.attributes.next_hop.address();
                match paths[index].metric {
                    FAR => format!(
                        "its next hop {address} is neither the peer, which is one hop away, nor on a \
                         link of ours"
                    ),
                    _ => format!("its next hop {address} cannot be reached"),
                }
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
            counts.left_out += side.left_out;
            counts.too_long += side.too_long;
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
                    None if held.metric >= FAR => Standing::Unreachable,
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

/// The paths of an entry that are used; none if it begins here.
fn used(entry: &Entry, peers: &Peers) -> Arc<[Path]> {
    let paths = entry.in_use().iter().filter(|_| !entry.is_local());
    let path = |held: &Held| {
        Some(Path {
            next_hop: held.attributes.next_hop,
            peer: peers.role(held.source)?.key.clone(),
            attributes: held.attributes.clone(),
        })
    };
    paths.filter_map(path).collect()
}

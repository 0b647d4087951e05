//! What is still to be told to a peer, as messages.
//!
//! A peer reads the journal from its cursor on. Each entry is told as it is now: announced if there is
//! something for the peer, withdrawn if there was. Prefixes with the same attributes share messages.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::export::Exporter;
use super::paths::Held;
use super::table::Table;
use super::told::Told;
use super::{PeerId, Rib};
use crate::attributes::Attributes;
use crate::message::{
    Message, Refresh, RefreshKind, encode, encode_announced, encode_end_of_rib, encode_withdrawn,
};
use crate::types::{Family, Nlri, PathId};

/// Roughly how many bytes attributes take in a message.
const ATTRIBUTES_SIZE: usize = 80;

impl Rib {
    /// Whether a peer is still to be told something.
    #[must_use]
    pub fn has_more(&self, peer: PeerId) -> bool {
        let families = self.peers.up(peer).map(|role| role.negotiated.families);
        let families = families.filter(|_| !self.held).unwrap_or_default();
        families
            .iter()
            .any(|family| self.tables[family as usize].has_more(peer))
    }

    /// Appends whole messages for a peer, until there are `limit` bytes or a few more, or nothing is
    /// left to be told.
    pub fn transmit(&mut self, peer: PeerId, out: &mut Vec<u8>, limit: usize) {
        let Some(role) = self.peers.up(peer).filter(|_| !self.held) else {
            return;
        };
        let exporter = Exporter {
            local: &self.local,
            peers: &self.peers,
            peer,
            role,
        };
        let mut families: Vec<Family> = role.negotiated.families.iter().collect();
        families.retain(|family| self.tables[*family as usize].has_more(peer));
        let mut left = families.len();
        for family in families {
            // One that has much to tell leaves room for the other.
            let share = limit.saturating_sub(out.len()) / left.max(1);
            self.tables[family as usize].transmit(&exporter, out, out.len() + share);
            left -= 1;
        }
    }
}

impl Table {
    fn has_more(&self, peer: PeerId) -> bool {
        self.side(peer).is_some_and(|side| {
            side.cursor < self.journal.end()
                || side.end_of_rib
                || side.refresh_begins
                || side.refresh_ends
        })
    }

    fn transmit(&mut self, exporter: &Exporter, out: &mut Vec<u8>, limit: usize) {
        let (peer, family) = (exporter.peer, self.family);
        let context = &exporter.role.negotiated;
        let refresh = |kind, out: &mut Vec<u8>| {
            encode(
                &Message::Refresh(Refresh { family, kind }),
                Some(context),
                out,
            );
        };
        while self.has_more(peer) && out.len() < limit {
            if std::mem::take(&mut self.side_mut(peer).refresh_begins) {
                refresh(RefreshKind::Begin, out);
            }
            let batch = self.gather(exporter, limit.saturating_sub(out.len()));
            self.write(batch, exporter, out);
            let end = self.journal.end();
            let side = self.side_mut(peer);
            if side.cursor == end && std::mem::take(&mut side.end_of_rib) {
                encode_end_of_rib(family, out);
            }
            if side.cursor == end && std::mem::take(&mut side.refresh_ends) {
                refresh(RefreshKind::End, out);
            }
        }
    }

    /// Reads on in the journal until there is about so much to be written.
    fn gather(&mut self, exporter: &Exporter, size: usize) -> Batch {
        let mut batch = Batch::new(self.family);
        let several = (exporter.role.negotiated.add_path_send).contains(self.family);
        let side = self.side_mut(exporter.peer);
        side.rewound = false;
        let mut cursor = side.cursor;
        while cursor < self.journal.end() && batch.size < size {
            match self.journal.at(cursor) {
                Some(index) if several => self.tell_all(index, exporter, &mut batch),
                Some(index) => self.tell_best(index, exporter, &mut batch),
                None => {}
            }
            cursor += 1;
        }
        self.side_mut(exporter.peer).cursor = cursor;
        batch
    }

    fn tell_best(&mut self, index: u32, exporter: &Exporter, batch: &mut Batch) {
        let entry = self.entry_mut(index);
        let nlri = Nlri {
            prefix: entry.prefix,
            path: PathId(0),
        };
        if entry.told.is_current(exporter.peer) {
            return;
        }
        let best = entry.best();
        if best.is_some_and(|path| batch.announce(nlri, path, exporter)) {
            let is_new = entry.told.tell(exporter.peer);
            self.side_mut(exporter.peer).advertised += u64::from(is_new);
        } else if entry.told.forget(exporter.peer) {
            batch.withdraw(nlri);
            self.side_mut(exporter.peer).advertised -= 1;
            self.vacate_if_idle(index);
        }
    }

    fn tell_all(&mut self, index: u32, exporter: &Exporter, batch: &mut Batch) {
        let peer = exporter.peer;
        let entry = self.entry_mut(index);
        let prefix = entry.prefix;
        let mut told = entry.told_paths.take().unwrap_or_default();
        let before = told.iter().filter(|(_, told)| told.knows(peer)).count();
        let mut names = Vec::new();
        for path in entry
            .paths
            .as_slice()
            .iter()
            .filter(|path| path.is_usable())
        {
            let place = told.iter().position(|(name, _)| *name == path.sent);
            let nlri = Nlri {
                prefix,
                path: path.sent,
            };
            if place.is_some_and(|place| told[place].1.is_current(peer)) {
                names.push(path.sent);
            } else if batch.announce(nlri, path, exporter) {
                names.push(path.sent);
                let place = place.unwrap_or_else(|| {
                    told.push((path.sent, Told::default()));
                    told.len() - 1
                });
                told[place].1.tell(peer);
            }
        }
        for (path, told) in told.iter_mut() {
            if !names.contains(path) && told.forget(peer) {
                batch.withdraw(Nlri {
                    prefix,
                    path: *path,
                });
            }
        }
        entry.told_paths = Some(told);
        entry.drop_untold();
        let side = self.side_mut(peer);
        side.advertised = side.advertised + names.len() as u64 - before as u64;
        self.vacate_if_idle(index);
    }

    fn write(&mut self, batch: Batch, exporter: &Exporter, out: &mut Vec<u8>) {
        let context = &exporter.role.negotiated;
        let mut withdrawn = batch.withdrawn;
        let mut written = Vec::new();
        for group in batch.groups {
            let Some(attributes) = group.attributes.filter(|_| !group.prefixes.is_empty()) else {
                continue;
            };
            let prefixes = &group.prefixes;
            if encode_announced(&attributes, self.family, prefixes, context, &mut written).is_err()
            {
                // No message can hold them: the peer is not told, and has nothing older of it.
                self.side_mut(exporter.peer).too_long += prefixes.len() as u64;
                for nlri in group.prefixes {
                    self.untell(nlri, exporter.peer);
                    withdrawn.push(nlri);
                }
            }
        }
        if !withdrawn.is_empty() {
            encode_withdrawn(self.family, &withdrawn, context, out);
        }
        out.append(&mut written);
    }

    fn untell(&mut self, nlri: Nlri, peer: PeerId) {
        let Some(index) = self.find(nlri.prefix) else {
            return;
        };
        let entry = self.entry_mut(index);
        let was_told = match entry.told_paths.as_deref_mut() {
            Some(told) if nlri.path != PathId(0) => {
                let mut told = told.iter_mut().filter(|(path, _)| *path == nlri.path);
                told.any(|(_, told)| told.forget(peer))
            }
            _ => entry.told.forget(peer),
        };
        entry.drop_untold();
        self.side_mut(peer).advertised -= u64::from(was_told);
    }
}

/// What is about to be written.
struct Batch {
    family: Family,
    withdrawn: Vec<Nlri>,
    groups: Vec<Group>,
    places: HashMap<Key, usize, FixedState>,
    last: usize,
    /// Roughly how many bytes it takes.
    size: usize,
}

/// What the peer is told depends on nothing else: the attributes, by their address, and the source.
type Key = (*const Attributes, PeerId);

/// Prefixes with the same attributes.
struct Group {
    key: Key,
    /// None: the peer is not told.
    attributes: Option<Attributes>,
    prefixes: Vec<Nlri>,
}

impl Batch {
    fn new(family: Family) -> Batch {
        Batch {
            family,
            withdrawn: Vec::new(),
            groups: Vec::new(),
            places: HashMap::default(),
            last: 0,
            size: 0,
        }
    }

    fn withdraw(&mut self, nlri: Nlri) {
        self.size += size(nlri.prefix);
        self.withdrawn.push(nlri);
    }

    /// Announces a path, unless the peer is not told of it.
    fn announce(&mut self, nlri: Nlri, path: &Held, exporter: &Exporter) -> bool {
        if !exporter.lets_out(nlri.prefix, path) {
            return false;
        }
        let group = self.group(path, exporter);
        let is_told = group.attributes.is_some();
        if is_told {
            group.prefixes.push(nlri);
            self.size += size(nlri.prefix);
        }
        is_told
    }

    fn group(&mut self, path: &Held, exporter: &Exporter) -> &mut Group {
        let key = (Arc::as_ptr(&path.attributes), path.source);
        if self
            .groups
            .get(self.last)
            .is_none_or(|group| group.key != key)
        {
            self.last = *self.places.entry(key).or_insert(self.groups.len());
        }
        if self.last == self.groups.len() {
            self.size += ATTRIBUTES_SIZE;
            self.groups.push(Group {
                key,
                attributes: exporter.attributes(path, self.family).ok(),
                prefixes: Vec::new(),
            });
        }
        &mut self.groups[self.last]
    }
}

fn size(prefix: IpNet) -> usize {
    1 + usize::from(prefix.prefix_len()).div_ceil(8)
}

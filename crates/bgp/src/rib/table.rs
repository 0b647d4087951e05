//! The routes of one family: Adj-RIB-In, Loc-RIB and Adj-RIB-Out in one.
//!
//! ```text
//!  index ─► entry  prefix · paths, those in use first · who was told · place in the journal
//! ```
//!
//! Every change goes through [`Table::alter`], which draws the consequences: it decides anew, and where
//! the outcome differs it writes the entry at the end of the journal, whence peers are told, and notes
//! the prefix for whoever installs routes.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ipnet::IpNet;

use super::PeerId;
use super::chunks::Chunks;
use super::decision::Judge;
use super::journal::Journal;
use super::paths::{Held, Paths};
use super::side::Side;
use super::told::Told;
use crate::attributes::Attributes;
use crate::types::{Family, PathId};

/// So many paths to a prefix are held of one peer. The standard names no limit (RFC 7911), but each is
/// held against all others.
pub(super) const MOST_PATHS: usize = 32;

/// The position of an entry that stands for no prefix now.
const VACANT: u32 = u32::MAX;

/// The routes of one family.
#[derive(Debug)]
pub(super) struct Table {
    pub family: Family,
    /// The places of entries, by their prefixes: these stand in the entries alone.
    index: HashTable<u32>,
    entries: Chunks<Entry>,
    vacant: Vec<u32>,
    pub journal: Journal,
    sides: Vec<Side>,
    /// The entries whose paths in use changed since they were last asked for. They stay until then.
    changed: Vec<u32>,
    /// How many peers are told several paths.
    pub several: usize,
}

/// A prefix.
#[derive(Debug)]
pub(super) struct Entry {
    pub prefix: IpNet,
    pub paths: Paths,
    /// So many of the first paths are in use.
    pub chosen: u8,
    pub is_changed: bool,
    pub position: u32,
    /// Who was told our best path.
    pub told: Told,
    /// Who was told which paths, of those that are told several.
    pub told_paths: Option<Box<ToldPaths>>,
}

/// Who was told which path.
pub(super) type ToldPaths = Vec<(PathId, Told)>;

/// A usable path by its name, to see whether it is another later.
type Usable = (PathId, Arc<Attributes>);

/// A path in use, to see whether it is another later.
type Choice = (PeerId, PathId, Arc<Attributes>);

impl Table {
    pub fn new(family: Family) -> Table {
        Table {
            family,
            index: HashTable::new(),
            entries: Chunks::new(),
            vacant: Vec::new(),
            journal: Journal::default(),
            sides: Vec::new(),
            changed: Vec::new(),
            several: 0,
        }
    }

    pub fn find(&self, prefix: IpNet) -> Option<u32> {
        let is_it = |index: &u32| self.entries[*index].prefix == prefix;
        self.index.find(hash(prefix), is_it).copied()
    }

    /// The entry at a place, if that is not vacant.
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        let entry = self.entries.get(index);
        entry.filter(|entry| entry.position != VACANT)
    }

    pub fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries[index]
    }

    /// All places of entries; some are vacant.
    pub fn places(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// The entries that are not vacant.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        let is_live = |entry: &&Entry| !matches!(entry.paths, Paths::None);
        self.entries.iter().filter(is_live)
    }

    pub fn side(&self, peer: PeerId) -> Option<&Side> {
        self.sides.get(peer.index())
    }

    pub fn side_mut(&mut self, peer: PeerId) -> &mut Side {
        if self.sides.len() <= peer.index() && peer != PeerId::LOCAL {
            self.sides.resize_with(peer.index() + 1, Side::default);
        }
        &mut self.sides[peer.index()]
    }

    /// Takes a path in, in place of what its source told under the same name. One that is too many of its
    /// source is left out.
    pub fn put(&mut self, prefix: IpNet, mut path: Held, judge: &Judge) {
        let index = self.find(prefix).unwrap_or_else(|| self.occupy(prefix));
        let (source, verdict) = (path.source, path.verdict);
        let entry = &mut self.entries[index];
        let known = entry.paths.find_mut(source, path.received);
        let was = known.as_ref().map(|known| known.verdict);
        if let Some(known) = known {
            path.sent = known.sent;
            let is_same = Arc::ptr_eq(&path.attributes, &known.attributes);
            if is_same && path.verdict == known.verdict && path.metric == known.metric {
                known.stale = path.stale;
                return;
            }
        } else if entry.paths.count(source) >= MOST_PATHS {
            self.side_mut(source).left_out += 1;
            return;
        } else {
            path.sent = entry.free_name();
        }
        self.alter(index, judge, |paths| {
            match paths.find_mut(source, path.received) {
                Some(known) => *known = path,
                None => paths.push(path),
            }
        });
        self.tally(source, was, Some(verdict));
    }

    /// Drops the paths of a source to a prefix that `which` is true of.
    pub fn drop_paths(
        &mut self,
        index: u32,
        source: PeerId,
        judge: &Judge,
        which: impl Fn(&Held) -> bool,
    ) {
        let goes = |path: &Held| path.source == source && which(path);
        let paths = self.entries[index].paths.as_slice().iter();
        let gone: Vec<_> = paths
            .filter(|path| goes(path))
            .map(|path| path.verdict)
            .collect();
        if gone.is_empty() {
            return;
        }
        self.alter(index, judge, |paths| paths.retain(|path| !goes(path)));
        for verdict in gone {
            self.tally(source, Some(verdict), None);
        }
    }

    /// Changes the paths of an entry and draws the consequences.
    pub fn alter(&mut self, index: u32, judge: &Judge, change: impl FnOnce(&mut Paths)) {
        let entry = &mut self.entries[index];
        if entry.position == VACANT {
            return;
        }
        let before = entry.choice();
        let usable_before = if self.several > 0 {
            entry.usable()
        } else {
            Vec::new()
        };
        change(&mut entry.paths);
        entry.chosen = judge.select(entry.paths.as_mut_slice());
        let differs = !entry.is_choice(&before);
        let best_differs = match (before.first(), entry.best()) {
            (Some(before), Some(now)) => !is_same(now, before),
            (None, None) => false,
            _ => true,
        };
        if differs && !entry.is_changed && !(is_local(&before) && entry.is_local()) {
            entry.is_changed = true;
            self.changed.push(index);
        }
        if best_differs {
            let now = entry.best().map(|path| path.source);
            self.tally_best(before.first().map(|(source, ..)| *source), now);
        }
        let usable_differs = self.several > 0 && self.outdate_paths(index, &usable_before);
        if best_differs {
            self.entry_mut(index).told.outdate();
        }
        if best_differs || usable_differs {
            self.touch(index);
        }
        self.vacate_if_idle(index);
    }

    /// Writes an entry at the end of the journal.
    pub fn touch(&mut self, index: u32) {
        let entry = &mut self.entries[index];
        self.journal.leave(entry.position);
        entry.position = self.journal.append(index);
        if self.journal.is_wasteful() {
            self.compact();
        }
    }

    /// Gives the place of an entry free that holds nothing and that nobody was told of, or knows not yet
    /// that it is gone.
    pub fn vacate_if_idle(&mut self, index: u32) {
        let entry = &mut self.entries[index];
        let known = !entry.told.is_empty() || entry.told_paths.is_some() || entry.is_changed;
        if !matches!(entry.paths, Paths::None) || known || entry.position == VACANT {
            return;
        }
        self.journal.leave(entry.position);
        entry.position = VACANT;
        let hash = hash(entry.prefix);
        if let Ok(place) = self.index.find_entry(hash, |other| *other == index) {
            place.remove();
        }
        self.vacant.push(index);
    }

    /// Whether paths in use changed since [`Table::take_changed`].
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Shows each entry whose paths in use changed since the last call.
    pub fn take_changed(&mut self, mut show: impl FnMut(&Entry)) {
        for index in std::mem::take(&mut self.changed) {
            let entry = self.entry_mut(index);
            entry.is_changed = false;
            show(entry);
            self.vacate_if_idle(index);
        }
    }

    /// Outdates the paths that changed; whether there are any, or others than there were.
    fn outdate_paths(&mut self, index: u32, before: &[Usable]) -> bool {
        let entry = self.entry_mut(index);
        let now = entry.usable();
        let stays = |name: PathId| {
            let find = |paths: &[Usable]| paths.iter().find(|path| path.0 == name).cloned();
            match (find(before), find(&now)) {
                (Some((.., before)), Some((.., now))) => Arc::ptr_eq(&before, &now),
                _ => false,
            }
        };
        for (name, told) in entry.told_paths.iter_mut().flat_map(|told| told.iter_mut()) {
            if !stays(*name) {
                told.outdate();
            }
        }
        now.len() != before.len() || !now.iter().all(|(name, _)| stays(*name))
    }

    fn occupy(&mut self, prefix: IpNet) -> u32 {
        // What comes and goes without ever being used leaves holes, too.
        if self.journal.is_wasteful() {
            self.compact();
        }
        let index = self.vacant.pop().unwrap_or_else(|| self.places().end);
        let entry = Entry {
            prefix,
            paths: Paths::None,
            chosen: 0,
            is_changed: false,
            position: self.journal.append(index),
            told: Told::default(),
            told_paths: None,
        };
        match self.entries.get_mut(index) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        let entries = &self.entries;
        let rehash = |index: &u32| hash(entries[*index].prefix);
        self.index.insert_unique(hash(prefix), index, rehash);
        index
    }

    fn compact(&mut self) {
        let moved = self.journal.compact();
        let place = |position: u32| moved.get(position as usize).copied().unwrap_or(0);
        for index in self.index.iter() {
            let entry = &mut self.entries[*index];
            entry.position = place(entry.position);
        }
        for side in &mut self.sides {
            side.cursor = place(side.cursor);
        }
    }
}

impl Entry {
    pub fn best(&self) -> Option<&Held> {
        self.in_use().first()
    }

    /// The paths in use, the best first.
    pub fn in_use(&self) -> &[Held] {
        &self.paths.as_slice()[..usize::from(self.chosen)]
    }

    /// Whether it begins here.
    pub fn is_local(&self) -> bool {
        self.best().is_some_and(|path| path.source == PeerId::LOCAL)
    }

    /// Forgets of the paths that nobody was told of.
    pub fn drop_untold(&mut self) {
        if let Some(told) = &mut self.told_paths {
            told.retain(|(_, told)| !told.is_empty());
            if told.is_empty() {
                self.told_paths = None;
            }
        }
    }

    fn usable(&self) -> Vec<Usable> {
        let paths = self.paths.as_slice().iter().filter(|path| path.is_usable());
        paths
            .map(|path| (path.sent, path.attributes.clone()))
            .collect()
    }

    fn choice(&self) -> Vec<Choice> {
        let choice = |path: &Held| (path.source, path.received, path.attributes.clone());
        self.in_use().iter().map(choice).collect()
    }

    fn is_choice(&self, choice: &[Choice]) -> bool {
        let now = self.in_use();
        now.len() == choice.len() && now.iter().zip(choice).all(|(now, was)| is_same(now, was))
    }

    /// A name for another path that none has, nor had when somebody was told of it.
    fn free_name(&self) -> PathId {
        let names = self.paths.as_slice().iter().map(|path| path.sent.0);
        let told = self
            .told_paths
            .iter()
            .flat_map(|told| told.iter().map(|(name, _)| name.0));
        PathId(names.chain(told).max().unwrap_or(0) + 1)
    }
}

fn hash(prefix: IpNet) -> u64 {
    FixedState::default().hash_one(prefix)
}

fn is_same(path: &Held, (source, received, attributes): &Choice) -> bool {
    path.source == *source
        && path.received == *received
        && Arc::ptr_eq(&path.attributes, attributes)
}

fn is_local(choice: &[Choice]) -> bool {
    matches!(choice, [(PeerId::LOCAL, ..), ..])
}

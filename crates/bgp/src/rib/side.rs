//! What a table keeps of each peer: how far it has read, and counts.

use std::collections::BTreeMap;

use super::PeerId;
use super::import::Verdict;
use super::table::Table;

/// A peer's side of a table.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The peer was told all that stands before this position of the journal.
    pub cursor: u32,
    /// End-of-RIB is to be sent when all was told (RFC 4724).
    pub end_of_rib: bool,
    /// That a refresh begins is to be sent first (RFC 7313).
    pub refresh_begins: bool,
    /// That it ends is to be sent when all was told.
    pub refresh_ends: bool,
    /// All is to be told again, and nothing of it was yet: who asks once more asks for the same.
    pub rewound: bool,
    /// It says everything again: what it does not is stale (RFC 7313).
    pub refreshing: bool,
    /// Paths that it told, refused ones too.
    pub received: u64,
    /// Those that were refused, by why.
    pub refused: BTreeMap<Verdict, u64>,
    /// Prefixes whose best path is its.
    pub best: u64,
    /// Paths that it told beyond those that are held to a prefix, in this session.
    pub left_out: u64,
    /// Paths that it was told.
    pub advertised: u64,
    /// Paths that it was not told since no message can hold them, in this session.
    pub too_long: u64,
}

impl Table {
    /// Counts that a path of a peer was something and is something now.
    pub fn tally(&mut self, source: PeerId, was: Option<Verdict>, is: Option<Verdict>) {
        if source == PeerId::LOCAL || was == is {
            return;
        }
        let side = self.side_mut(source);
        side.received += u64::from(is.is_some());
        side.received -= u64::from(was.is_some());
        if let Some(verdict) = is.filter(|verdict| *verdict != Verdict::Accepted) {
            *side.refused.entry(verdict).or_default() += 1;
        }
        if let Some(count) = was.and_then(|verdict| side.refused.get_mut(&verdict)) {
            *count -= 1;
        }
    }

    /// Counts that the best path to a prefix was of one peer and is of another.
    pub fn tally_best(&mut self, was: Option<PeerId>, is: Option<PeerId>) {
        if was == is {
            return;
        }
        if let Some(source) = was.filter(|source| *source != PeerId::LOCAL) {
            self.side_mut(source).best -= 1;
        }
        if let Some(source) = is.filter(|source| *source != PeerId::LOCAL) {
            self.side_mut(source).best += 1;
        }
    }
}

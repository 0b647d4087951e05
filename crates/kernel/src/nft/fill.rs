//! Sets, and what is in them, within a transaction.
//!
//! Elements come one by one or all of a set at once ([`Object::NftMembers`]). Of the latter only what
//! differs is sent. Where nobody knows what a set holds, because it is filled for the first time, or
//! because the kernel refused to go by what was thought to be in it, it is emptied first.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_plan::objects::{Datum, Members, NftName};
use tombolo_plan::{Key, Object, Op};

use super::apply::{Outcome, Work};
use super::interval::{self, Range, Space};
use super::transaction::Transaction;
use super::{Tables, set};
use crate::encode::made;
use crate::error::KernelError;

impl Tables {
    /// Sets and elements, in the order given. The elements of a set that goes are not named.
    pub(super) fn fill_sets(
        &mut self,
        work: &Work<'_>,
        transaction: &mut Transaction<'_>,
    ) -> Outcome {
        let sets = Sets::of(work);
        let mut intervals: BTreeMap<&NftName, Vec<usize>> = BTreeMap::new();
        for index in work.left {
            if let (Op::Remove { .. }, Key::NftMembers(name)) = work.at(*index)
                && !sets.going.contains(name)
            {
                transaction.flush(name, &[*index]);
            }
        }
        for index in work.left {
            match work.at(*index) {
                (Op::Remove { .. }, Key::NftSet(name)) => {
                    transaction.push(set::remove(transaction.table(name), &name.name), &[*index]);
                }
                (op, Key::NftSet(name)) => {
                    if let Some(Object::NftSet(made)) = made(op) {
                        let id = u32::try_from(*index).unwrap_or(u32::MAX);
                        let table = transaction.table(name);
                        transaction.push(set::create(table, &name.name, made, id), &[*index]);
                    }
                }
                (Op::Remove { .. }, Key::NftElement { set, .. }) if sets.going.contains(set) => {}
                (_, Key::NftElement { set, .. }) if sets.whole.contains(set) => {}
                (_, Key::NftElement { set, key }) if space_of(key).is_some() => {
                    intervals.entry(set).or_default().push(*index);
                }
                (op, Key::NftElement { set, key }) => {
                    let data = match made(op) {
                        Some(Object::NftElement(data)) => Some(data.as_slice()),
                        _ => None,
                    };
                    transaction.element(set, (key, data), *index);
                }
                (op, Key::NftMembers(name)) => members(op, name, *index, transaction),
                _ => {}
            }
        }
        for (name, of) in intervals {
            let is_new = sets.coming.contains(name);
            let wanted = self.ranges_after(name, work, &of, is_new)?;
            transaction.flush(name, &of);
            put_ranges(name, &wanted, of[0], transaction);
        }
        transaction.close();
        Ok(())
    }

    /// The keys that an interval set holds once operations are done.
    fn ranges_after(
        &mut self,
        name: &NftName,
        work: &Work<'_>,
        of: &[usize],
        is_new: bool,
    ) -> Result<BTreeSet<Datum>, KernelError> {
        let mut held = match self.remembered.intervals.get(name) {
            _ if is_new => BTreeSet::new(),
            Some(held) => held.clone(),
            None => self.unplanned_ranges(name)?,
        };
        for index in of {
            let (op, Key::NftElement { key, .. }) = work.at(*index) else {
                continue;
            };
            let [key] = key.as_slice() else { continue };
            if matches!(op, Op::Remove { .. }) {
                held.remove(key);
            } else {
                held.insert(key.clone());
            }
        }
        Ok(held)
    }
}

/// What happens to whole sets.
struct Sets<'a> {
    /// Those that are removed, also to be made anew.
    going: BTreeSet<&'a NftName>,
    /// Those that are made.
    coming: BTreeSet<&'a NftName>,
    /// Those of which all members are told.
    whole: BTreeSet<&'a NftName>,
}

impl<'a> Sets<'a> {
    fn of(work: &Work<'a>) -> Sets<'a> {
        let mut sets = Sets {
            going: BTreeSet::new(),
            coming: BTreeSet::new(),
            whole: BTreeSet::new(),
        };
        for index in work.left {
            match work.at(*index) {
                (Op::Remove { .. }, Key::NftSet(name)) => sets.going.insert(name),
                (_, Key::NftSet(name)) => sets.coming.insert(name),
                (Op::Create { .. } | Op::Change { .. }, Key::NftMembers(name)) => {
                    sets.whole.insert(name)
                }
                _ => continue,
            };
        }
        sets
    }
}

/// Everything in a set, or what differs from what was in it.
fn members(op: &Op, name: &NftName, of: usize, transaction: &mut Transaction<'_>) {
    let none = Members::default();
    let (from, to) = match op {
        Op::Change {
            from: Object::NftMembers(from),
            to: Object::NftMembers(to),
            ..
        } if !transaction.is_cautious() => (from, to),
        Op::Create {
            object: Object::NftMembers(to),
            ..
        }
        | Op::Change {
            to: Object::NftMembers(to),
            ..
        } => {
            transaction.flush(name, &[of]);
            (&none, to)
        }
        _ => return,
    };
    let mut all = from.iter().chain(to.iter());
    if all.next().is_some_and(|(key, _)| space_of(key).is_some()) {
        return member_ranges(name, (from, to), of, transaction);
    }
    let changes = from.changes(to);
    for (key, _) in changes.gone {
        transaction.element(name, (key, None), of);
    }
    for (key, data) in changes.new {
        transaction.element(name, (key, Some(data)), of);
    }
}

/// Prefixes, or ranges of ports: what differs of their unions.
fn member_ranges(
    name: &NftName,
    (from, to): (&Members, &Members),
    of: usize,
    transaction: &mut Transaction<'_>,
) {
    fn keys(members: &Members) -> impl Iterator<Item = &Datum> {
        members.iter().filter_map(|(key, _)| key.first())
    }
    for space in Space::ALL {
        let union = |members| interval::union(ranges(keys(members), space));
        let (held, wanted) = (union(from), union(to));
        for range in interval::only_in(&held, &wanted) {
            transaction.range(name, (space, *range), false, of);
        }
        for range in interval::only_in(&wanted, &held) {
            transaction.range(name, (space, *range), true, of);
        }
    }
}

/// The union of keys.
fn put_ranges(
    name: &NftName,
    keys: &BTreeSet<Datum>,
    of: usize,
    transaction: &mut Transaction<'_>,
) {
    for space in Space::ALL {
        for range in interval::union(ranges(keys.iter(), space)) {
            transaction.range(name, (space, range), true, of);
        }
    }
}

fn ranges<'a>(keys: impl Iterator<Item = &'a Datum>, space: Space) -> impl Iterator<Item = Range> {
    keys.filter(move |key| Space::of(key) == Some(space))
        .filter_map(interval::range)
}

/// Whether a key is one of an interval set.
pub(super) fn space_of(key: &[Datum]) -> Option<Space> {
    match key {
        [key] => Space::of(key),
        _ => None,
    }
}

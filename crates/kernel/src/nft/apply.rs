//! Changes our table: all operations of a list in one transaction.
//!
//! Within it the order is its own, since packets see only the whole: chains are made and emptied
//! first, so that no rule refers to what changes; then sets and elements in the order given; then
//! rules; removed chains last. If the kernel refuses an operation it refuses the transaction; then
//! what it refused is left out and the rest tried again. A removal of what is gone counts as done.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use tombolo_plan::objects::{
    Action, AddressMatch, Addresses, Chain, Match, NftName, PortSet, Rule, Table,
};
use tombolo_plan::{Key, Object, Op, Place};

use super::fill::space_of;
use super::message::{Ours, begin, end, kind, message};
use super::transaction::Transaction;
use super::{Remembered, Tables, chain};
use crate::encode::{made, verb};
use crate::error::{KernelError, NetlinkError};

pub(super) type Outcome = Result<(), KernelError>;

/// How often the rest is tried again without what was refused.
const ATTEMPTS: usize = 4;

/// What is left to do of a list of operations.
pub(super) struct Work<'a> {
    ops: &'a [&'a Op],
    /// By their place in the list.
    pub left: &'a [usize],
    /// Of each object that is made, the last operation that makes it.
    made: BTreeMap<&'a Place, usize>,
}

impl<'a> Work<'a> {
    fn new(ops: &'a [&'a Op], left: &'a [usize]) -> Work<'a> {
        let making = left.iter().filter(|index| made(ops[**index]).is_some());
        let made = making.map(|index| (ops[*index].place(), *index)).collect();
        Work { ops, left, made }
    }

    /// An operation, and what it is about.
    pub(super) fn at(&self, index: usize) -> (&'a Op, &'a Key) {
        let op = self.ops[index];
        (op, &op.place().key)
    }

    /// Whether an operation removes what a later one makes.
    fn is_made_again(&self, index: usize) -> bool {
        let op = self.ops[index];
        let later = self.made.get(op.place());
        matches!(op, Op::Remove { .. }) && later.is_some_and(|later| *later > index)
    }

    /// Chains that are made, changed or removed.
    fn chains(&self) -> impl Iterator<Item = (usize, &'a NftName, &'a Op)> {
        let named = self.left.iter().map(|index| (*index, self.ops[*index]));
        named.filter_map(|(index, op)| match &op.place().key {
            Key::NftChain(name) => Some((index, name, op)),
            _ => None,
        })
    }

    /// The tables in which something is done.
    fn tables(&self) -> BTreeSet<Table> {
        let names = self
            .left
            .iter()
            .filter_map(|index| name_of(self.ops[*index]));
        names.map(|name| name.table).collect()
    }
}

impl Tables {
    /// Carries operations out; one outcome for each.
    pub(crate) fn apply(&mut self, ops: &[&Op]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; ops.len()];
        let mut refusal = String::new();
        let mut one_by_one = false;
        for _ in 0..ATTEMPTS {
            let left: Vec<usize> = (0..ops.len())
                .filter(|index| outcomes[*index].is_none())
                .collect();
            if left.is_empty() {
                break;
            }
            match self.attempt(&Work::new(ops, &left), one_by_one) {
                Ok(refused) if refused.is_empty() => {
                    left.iter()
                        .for_each(|index| outcomes[*index] = Some(Ok(())));
                    left.iter().for_each(|index| self.remember(ops[*index]));
                }
                Ok(refused) => {
                    for (culprits, cause) in refused {
                        refusal = cause.to_string();
                        // What a set was thought to hold may be wrong: it is filled anew then.
                        let is_guess = |index: &usize| is_change_of_members(ops[*index]);
                        if one_by_one || !culprits.iter().any(is_guess) {
                            blame(ops, &culprits, &cause, &mut outcomes);
                        }
                    }
                    one_by_one = true;
                }
                Err(error) => {
                    left.iter()
                        .for_each(|index| outcomes[*index] = Some(Err(error.clone())));
                }
            }
        }
        self.remove_if_empty(ops);
        let aborted = |op: &Op| KernelError::Aborted {
            operation: verb(op),
            netns: op.place().netns.to_string(),
            cause: refusal.clone(),
        };
        let settled = outcomes.into_iter().zip(ops);
        settled
            .map(|(outcome, op)| outcome.unwrap_or_else(|| Err(aborted(op))))
            .collect()
    }

    /// One transaction. Gives the operations that the kernel refused, each list with its reason.
    fn attempt(
        &mut self,
        work: &Work<'_>,
        one_by_one: bool,
    ) -> Result<Vec<(Vec<usize>, NetlinkError)>, KernelError> {
        let name = self.name.clone();
        let mut transaction = Transaction::new(&name, one_by_one);
        transaction.push(begin(), &[]);
        for family in work.tables() {
            let table = Ours {
                family,
                name: &name,
            };
            transaction.push(message(kind::NEW_TABLE, libc::NLM_F_CREATE, table), &[]);
        }
        let forced = self.chains_to_rewrite(work);
        empty_chains(work, &forced, &mut transaction);
        self.fill_sets(work, &mut transaction)?;
        let mut rules = |name: &NftName, chain: &Chain, of: &[usize]| {
            let table = transaction.table(name);
            for rule in &chain.rules {
                transaction.push(chain::append(table, &name.name, rule), of);
            }
        };
        for name in &forced {
            rules(name, &self.remembered.chains[name], &[]);
        }
        for (index, name, op) in work.chains() {
            if let Some(Object::NftChain(chain)) = made(op) {
                rules(name, chain, &[index]);
            }
        }
        for (index, name, op) in work.chains() {
            if matches!(op, Op::Remove { .. }) && !work.is_made_again(index) {
                let table = transaction.table(name);
                transaction.push(chain::remove(table, &name.name), &[index]);
            }
        }
        transaction.push(end(), &[]);
        let refused = transaction.commit(self.socket()?);
        let netns = &self.netns;
        let ours = |(culprits, cause): &(Vec<usize>, NetlinkError)| {
            culprits
                .is_empty()
                .then(|| KernelError::refused("change the nftables table", netns, cause.clone()))
        };
        // A refusal that is nobody's (no privilege, no memory) is everybody's, unless it follows
        // from somebody's.
        match refused.iter().find_map(ours) {
            Some(error) if refused.iter().all(|(culprits, _)| culprits.is_empty()) => Err(error),
            _ => Ok(refused
                .into_iter()
                .filter(|(culprits, _)| !culprits.is_empty())
                .collect()),
        }
    }

    /// Notes what later operations build on.
    fn remember(&mut self, op: &Op) {
        match (&op.place().key, op) {
            (Key::NftChain(name), _) => match made(op) {
                Some(Object::NftChain(chain)) => self.remembered.chain(name, chain),
                _ => drop(self.remembered.chains.remove(name)),
            },
            (Key::NftSet(name) | Key::NftMembers(name), _) => {
                self.remembered.intervals.remove(name);
            }
            (Key::NftElement { set, key }, _) if space_of(key).is_some() => {
                let held = self.remembered.intervals.entry(set.clone()).or_default();
                if made(op).is_some() {
                    held.insert(key[0].clone());
                } else {
                    held.remove(&key[0]);
                }
            }
            _ => {}
        }
    }

    /// Chains that are as they should be, but use a set that is replaced: the set cannot go while
    /// a rule refers to it.
    fn chains_to_rewrite(&self, work: &Work<'_>) -> BTreeSet<NftName> {
        let replaced: BTreeSet<&NftName> = work
            .left
            .iter()
            .filter(|index| work.is_made_again(**index))
            .filter_map(|index| match work.at(*index).1 {
                Key::NftSet(name) => Some(name),
                _ => None,
            })
            .collect();
        if replaced.is_empty() {
            return BTreeSet::new();
        }
        let touched: BTreeSet<&NftName> = work.chains().map(|(_, name, _)| name).collect();
        let uses_one = |name: &NftName, chain: &Chain| {
            let mut used = chain.rules.iter().flat_map(sets_of);
            used.any(|set| replaced.contains(&name.beside(set)))
        };
        self.remembered
            .chains
            .iter()
            .filter(|(name, chain)| !touched.contains(name) && uses_one(name, chain))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A table with nothing in it goes, too.
    fn remove_if_empty(&mut self, ops: &[&Op]) {
        let families = |which: fn(&Op) -> bool| -> BTreeSet<Table> {
            let ops = ops.iter().filter(|op| which(op));
            ops.filter_map(|op| Some(name_of(op)?.table)).collect()
        };
        let touched = families(|op| matches!(op, Op::Remove { .. }));
        let kept = families(|op| !matches!(op, Op::Remove { .. }));
        for family in touched.difference(&kept).copied() {
            if !self.is_empty(family).unwrap_or(false) {
                continue;
            }
            let name = self.name.clone();
            let table = Ours {
                family,
                name: &name,
            };
            let mut transaction = Transaction::new(&name, false);
            transaction.push(begin(), &[]);
            transaction.push(message(kind::DEL_TABLE, 0, table), &[]);
            transaction.push(end(), &[]);
            if let Ok(socket) = self.socket() {
                // Somebody may be quicker, or have put something into it: then it is not ours to take.
                transaction.commit(socket);
            }
        }
    }
}

impl Remembered {
    /// Notes how a chain is.
    pub(super) fn chain(&mut self, name: &NftName, chain: &Chain) {
        if chain.rules.iter().flat_map(sets_of).next().is_some() {
            self.chains.insert(name.clone(), chain.clone());
        } else {
            self.chains.remove(name);
        }
    }
}

/// Makes chains, and empties those that are to change or go.
fn empty_chains(work: &Work<'_>, forced: &BTreeSet<NftName>, transaction: &mut Transaction<'_>) {
    for name in forced {
        transaction.push(chain::flush(transaction.table(name), &name.name), &[]);
    }
    for (index, name, op) in work.chains() {
        let table = transaction.table(name);
        if let Some(Object::NftChain(chain)) = made(op) {
            transaction.push(chain::create(table, &name.name, chain), &[index]);
        }
        transaction.push(chain::flush(table, &name.name), &[index]);
        if work.is_made_again(index) {
            transaction.push(chain::remove(table, &name.name), &[index]);
        }
    }
}

fn is_change_of_members(op: &Op) -> bool {
    matches!(op, Op::Change { .. }) && matches!(op.place().key, Key::NftMembers(_))
}

/// Settles the operations of a message that was refused.
fn blame(ops: &[&Op], culprits: &[usize], cause: &NetlinkError, outcomes: &mut [Option<Outcome>]) {
    // Of several the kernel did not say which one: they are tried one by one.
    let [index] = culprits else { return };
    let op = ops[*index];
    let gone = matches!(op, Op::Remove { .. }) && cause.errno == Errno::ENOENT;
    let refused = || KernelError::refused(verb(op), &op.place().netns, cause.clone());
    outcomes[*index] = Some(if gone { Ok(()) } else { Err(refused()) });
}

/// The name of what an operation is about.
fn name_of(op: &Op) -> Option<&NftName> {
    match &op.place().key {
        Key::NftSet(name)
        | Key::NftChain(name)
        | Key::NftMembers(name)
        | Key::NftElement { set: name, .. } => Some(name),
        _ => None,
    }
}

/// The sets that a rule uses.
fn sets_of(rule: &Rule) -> impl Iterator<Item = &str> {
    let of_action = match &rule.action {
        Action::TranslateDestination { map, .. } | Action::Dispatch { map, .. } => {
            Some(map.as_str())
        }
        _ => None,
    };
    rule.matches
        .iter()
        .filter_map(set_of_match)
        .chain(of_action)
}

fn set_of_match(condition: &Match) -> Option<&str> {
    match condition {
        Match::InSet { set, .. }
        | Match::Ports {
            ports: PortSet::Set(set),
            ..
        } => Some(set),
        Match::Source(AddressMatch {
            addresses: Addresses::Set(set),
            ..
        })
        | Match::Destination(AddressMatch {
            addresses: Addresses::Set(set),
            ..
        }) => Some(set),
        _ => None,
    }
}

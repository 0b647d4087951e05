//! Changes our table: all operations of a list in one transaction.
//!
//! Within it the order is its own, since packets see only the whole: chains are made and emptied
//! first, so that no rule refers to what changes; then sets and elements in the order given; then
//! rules; removed chains last. If the kernel refuses an operation it refuses the transaction; then
//! what it refused is left out and the rest tried again. A removal of what is gone counts as done.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use tombolo_plan::objects::{Action, AddressMatch, Addresses, Chain, Datum, Match, Rule};
use tombolo_plan::{Key, Object, Op};

use super::message::{begin, end, kind, message};
use super::transaction::Transaction;
use super::{Table, chain, set};
use crate::encode::{made, verb};
use crate::error::{KernelError, NetlinkError};

type Outcome = Result<(), KernelError>;

/// How often the rest is tried again without what was refused.
const ATTEMPTS: usize = 4;

impl Table {
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
            let attempt = self.attempt(ops, &left, one_by_one);
            match attempt {
                Ok(refused) if refused.is_empty() => {
                    left.iter()
                        .for_each(|index| outcomes[*index] = Some(Ok(())));
                    left.iter().for_each(|index| self.remember(ops[*index]));
                }
                Ok(refused) => {
                    one_by_one = true;
                    for (culprits, cause) in refused {
                        refusal = cause.to_string();
                        blame(ops, &culprits, &cause, &mut outcomes);
                    }
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
        ops: &[&Op],
        left: &[usize],
        one_by_one: bool,
    ) -> Result<Vec<(Vec<usize>, NetlinkError)>, KernelError> {
        let mut transaction = Transaction::new(one_by_one);
        transaction.push(begin(), &[]);
        transaction.push(
            message(kind::NEW_TABLE, libc::NLM_F_CREATE, &self.name),
            &[],
        );
        let forced = self.chains_to_rewrite(ops, left);
        self.empty_chains(ops, left, &forced, &mut transaction);
        self.fill_sets(ops, left, &mut transaction)?;
        let mut rules = |name: &str, chain: &Chain, of: &[usize]| {
            for rule in &chain.rules {
                transaction.push(chain::append(&self.name, name, rule), of);
            }
        };
        for name in &forced {
            rules(name, &self.chains[name], &[]);
        }
        for index in left {
            if let (Some(name), Some(Object::NftChain(chain))) =
                (chain_of(ops[*index]), made(ops[*index]))
            {
                rules(name, chain, &[*index]);
            }
        }
        for index in left {
            if let (Some(name), Op::Remove { .. }) = (chain_of(ops[*index]), ops[*index])
                && !is_made_again(ops, left, *index)
            {
                transaction.push(chain::remove(&self.name, name), &[*index]);
            }
        }
        transaction.push(end(), &[]);
        let refused = transaction.commit(self.socket()?);
        let ours = |(culprits, cause): &(Vec<usize>, NetlinkError)| {
            culprits
                .is_empty()
                .then(|| KernelError::refused("change the nftables table", "host", cause.clone()))
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

    /// Makes chains, and empties those that are to change or go.
    fn empty_chains(
        &self,
        ops: &[&Op],
        left: &[usize],
        forced: &BTreeSet<String>,
        transaction: &mut Transaction,
    ) {
        for name in forced {
            transaction.push(chain::flush(&self.name, name), &[]);
        }
        for index in left {
            let Some(name) = chain_of(ops[*index]) else {
                continue;
            };
            if let Some(Object::NftChain(chain)) = made(ops[*index]) {
                transaction.push(chain::create(&self.name, name, chain), &[*index]);
            }
            transaction.push(chain::flush(&self.name, name), &[*index]);
            if is_made_again(ops, left, *index) {
                transaction.push(chain::remove(&self.name, name), &[*index]);
            }
        }
    }

    /// Sets and elements, in the order given. The elements of a set that goes are not named.
    fn fill_sets(&mut self, ops: &[&Op], left: &[usize], transaction: &mut Transaction) -> Outcome {
        let going: BTreeSet<&str> = left
            .iter()
            .filter_map(|index| match (ops[*index], &ops[*index].place().key) {
                (Op::Remove { .. }, Key::NftSet(name)) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let mut intervals: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for index in left {
            let op = ops[*index];
            match (&op.place().key, op) {
                (Key::NftSet(name), Op::Remove { .. }) => {
                    self.intervals.remove(name);
                    transaction.push(set::remove(&self.name, name), &[*index]);
                }
                (Key::NftSet(name), _) => {
                    if let Some(Object::NftSet(made)) = made(op) {
                        let id = u32::try_from(*index).unwrap_or(u32::MAX);
                        transaction.push(set::create(&self.name, name, made, id), &[*index]);
                    }
                }
                (Key::NftElement { set, .. }, Op::Remove { .. })
                    if going.contains(set.as_str()) => {}
                (Key::NftElement { set, key }, _) if matches!(key.as_slice(), [Datum::Net(_)]) => {
                    intervals.entry(set).or_default().push(*index);
                }
                (Key::NftElement { set, key }, _) => {
                    let data = match made(op) {
                        Some(Object::NftElement(data)) => Some(data.as_slice()),
                        _ => None,
                    };
                    transaction.element(&self.name, set, (key, data), *index);
                }
                _ => {}
            }
        }
        for (name, of) in intervals {
            let wanted = self.prefixes_after(name, ops, &of)?;
            transaction.replace_interval(&self.name, name, &wanted, &of);
        }
        transaction.close();
        Ok(())
    }

    /// Notes what later operations build on.
    fn remember(&mut self, op: &Op) {
        match (&op.place().key, op) {
            (Key::NftChain(name), Op::Remove { .. }) => {
                self.chains.remove(name);
            }
            (Key::NftChain(name), _) => {
                if let Some(Object::NftChain(chain)) = made(op) {
                    self.chains.insert(name.clone(), chain.clone());
                }
            }
            (Key::NftElement { set, key }, _) => {
                if let [Datum::Net(net)] = key.as_slice() {
                    let held = self.intervals.entry(set.clone()).or_default();
                    if made(op).is_some() {
                        held.insert(*net)
                    } else {
                        held.remove(net)
                    };
                }
            }
            _ => {}
        }
    }

    /// Chains that are as they should be, but use a set that is replaced: the set cannot go while
    /// a rule refers to it.
    fn chains_to_rewrite(&self, ops: &[&Op], left: &[usize]) -> BTreeSet<String> {
        let replaced: BTreeSet<&str> = left
            .iter()
            .filter(|index| is_made_again(ops, left, **index))
            .filter_map(|index| match &ops[*index].place().key {
                Key::NftSet(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let touched: BTreeSet<&str> = left
            .iter()
            .filter_map(|index| chain_of(ops[*index]))
            .collect();
        self.chains
            .iter()
            .filter(|(name, _)| !touched.contains(name.as_str()))
            .filter(|(_, chain)| {
                chain
                    .rules
                    .iter()
                    .flat_map(sets_of)
                    .any(|s| replaced.contains(s))
            })
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A table with nothing in it goes, too.
    fn remove_if_empty(&mut self, ops: &[&Op]) {
        let only_removals = ops.iter().all(|op| matches!(op, Op::Remove { .. }));
        if !only_removals || !self.is_empty().unwrap_or(false) {
            return;
        }
        let mut transaction = Transaction::new(false);
        transaction.push(begin(), &[]);
        transaction.push(message(kind::DEL_TABLE, 0, &self.name), &[]);
        transaction.push(end(), &[]);
        if let Ok(socket) = self.socket() {
            // Somebody may be quicker, or have put something into it: then it is not ours to take.
            transaction.commit(socket);
        }
    }
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

fn chain_of(op: &Op) -> Option<&str> {
    match &op.place().key {
        Key::NftChain(name) => Some(name),
        _ => None,
    }
}

/// Whether an operation removes what a later one makes.
fn is_made_again(ops: &[&Op], left: &[usize], index: usize) -> bool {
    let op = ops[index];
    // Elements are many, and nothing refers to them.
    matches!(op, Op::Remove { .. })
        && !matches!(op.place().key, Key::NftElement { .. })
        && left.iter().any(|later| {
            *later > index && ops[*later].place() == op.place() && made(ops[*later]).is_some()
        })
}

/// The sets that a rule uses.
fn sets_of(rule: &Rule) -> impl Iterator<Item = &str> {
    let of_action = match &rule.action {
        Action::TranslateDestination { map, .. } => Some(map.as_str()),
        _ => None,
    };
    rule.matches
        .iter()
        .filter_map(set_of_match)
        .chain(of_action)
}

fn set_of_match(condition: &Match) -> Option<&str> {
    match condition {
        Match::InSet { set, .. } => Some(set),
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

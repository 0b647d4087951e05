//! Reads our table, and says what it holds in a plan's words.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tombolo_plan::objects::{Action, Chain, Datum, Hook, Members, NftName, NftSet, Rule, Table};
use tombolo_plan::{Key, Object};

use super::interval::{self, Range, Space};
use super::message::{DATA_VALUE, HEADER, OF, Ours, TABLE, kind, message};
use super::{Tables, chain, set};
use crate::error::KernelError;
use crate::netlink::{Attribute, Message, attributes};
use crate::read::Scope;

/// `NFTA_SET_ELEM_LIST_ELEMENTS`, `NFTA_SET_ELEM_KEY`, `_DATA`, `_FLAGS`.
pub(super) const ELEMENTS: u16 = 3;
pub(super) const KEY: u16 = 1;
pub(super) const DATA: u16 = 2;
pub(super) const FLAGS: u16 = 3;
/// `NFT_SET_ELEM_INTERVAL_END`.
pub(super) const INTERVAL_END: u32 = 1;

/// The families that there may be a table of.
pub(super) const FAMILIES: [Table; 2] = [Table::Inet, Table::Bridge];

/// A key, and what it is mapped to.
type Member = (Vec<Datum>, Vec<Datum>);

/// An element as it lies in the kernel.
pub(super) struct Element<'a> {
    pub key: &'a [u8],
    /// What it maps to.
    pub data: Option<Attribute<'a>>,
    pub is_end: bool,
}

impl Tables {
    /// Everything in our tables. Without nftables in the kernel there is nothing.
    pub(crate) fn read(&mut self, scope: &Scope<'_>) -> Result<Vec<(Key, Object)>, KernelError> {
        let mut found = Vec::new();
        self.remembered.intervals.clear();
        self.remembered.chains.clear();
        if self.socket.is_none() && self.socket().is_err() {
            return Ok(found);
        }
        let planned = Planned::of(scope);
        for (name, set) in self.sets()? {
            self.read_set(&name, &set, &planned, &mut found)?;
            found.push((Key::NftSet(name), Object::NftSet(set)));
        }
        for (name, chain) in self.read_chains(scope)? {
            self.remembered.chain(&name, &chain);
            found.push((Key::NftChain(name), Object::NftChain(chain)));
        }
        Ok(found)
    }

    /// What is in a set: elements one by one if the plan has such of it, else all at once.
    fn read_set(
        &mut self,
        name: &NftName,
        set: &NftSet,
        planned: &Planned<'_>,
        found: &mut Vec<(Key, Object)>,
    ) -> Result<(), KernelError> {
        // What could not have been made here cannot be told either.
        if set.key.is_empty() {
            return Ok(());
        }
        let elements = planned.elements.get(name);
        let members = planned.members.get(name).copied();
        let held: BTreeMap<Vec<Datum>, Vec<Datum>> = if set.interval {
            let of_members = members.iter().flat_map(|members| members.0.keys());
            let of_elements = elements
                .iter()
                .flat_map(|elements| elements.iter().copied());
            let planned = of_members.chain(of_elements);
            let held = self.read_interval(name, set, planned.filter_map(|key| key.first()))?;
            if elements.is_some() {
                self.remembered.intervals.insert(name.clone(), held.clone());
            }
            held.into_iter()
                .map(|key| (vec![key], Vec::new()))
                .collect()
        } else {
            self.elements(name, set)?.into_iter().collect()
        };
        if elements.is_some() {
            found.extend(held.into_iter().map(|(key, data)| {
                let set = name.clone();
                (Key::NftElement { set, key }, Object::NftElement(data))
            }));
        } else if members.is_some() || !held.is_empty() {
            let held = held.into_iter().collect();
            // One copy is enough of what is as planned.
            let held = members
                .filter(|members| **members == held)
                .cloned()
                .unwrap_or(held);
            found.push((Key::NftMembers(name.clone()), Object::NftMembers(held)));
        }
        Ok(())
    }

    /// Whether nothing is left in a table.
    pub(super) fn is_empty(&mut self, family: Table) -> Result<bool, KernelError> {
        Ok(self.sets_of(family)?.is_empty() && self.chain_heads(family)?.is_empty())
    }

    /// The keys that an interval set holds, seen from what is planned of it.
    fn read_interval<'a>(
        &mut self,
        name: &NftName,
        set: &NftSet,
        planned: impl Iterator<Item = &'a Datum>,
    ) -> Result<BTreeSet<Datum>, KernelError> {
        let space = match set.key.as_slice() {
            [field] => Space::of_field(*field),
            _ => None,
        };
        let Some(space) = space else {
            return Ok(BTreeSet::new());
        };
        let held = self.ranges(name, space)?;
        // What is there of a key that is not there as a whole is told as others, so that all of them
        // together are what the set holds.
        let there: BTreeMap<&Datum, Range> = planned
            .filter(|key| Space::of(key) == Some(space))
            .filter_map(|key| Some((key, interval::range(key)?)))
            .filter(|(_, range)| interval::covers(&held, *range))
            .collect();
        let mut keys: BTreeSet<Datum> = there.keys().copied().cloned().collect();
        let told = interval::union(there.into_values());
        for range in interval::difference(&held, &told) {
            keys.extend(space.keys(range));
        }
        Ok(keys)
    }

    /// The same of a set that was not read before: whatever it holds.
    pub(super) fn unplanned_ranges(
        &mut self,
        name: &NftName,
    ) -> Result<BTreeSet<Datum>, KernelError> {
        let sets = self.sets_of(name.table)?;
        match sets.into_iter().find(|(found, _)| found == name) {
            Some((_, set)) => self.read_interval(name, &set, std::iter::empty()),
            None => Ok(BTreeSet::new()),
        }
    }

    fn ranges(&mut self, name: &NftName, space: Space) -> Result<Vec<Range>, KernelError> {
        let ends = self.dump_elements(name, |element| {
            let number = element
                .key
                .iter()
                .fold(0, |n, byte| n << 8 | u128::from(*byte));
            (element.key.len() == space.bytes()).then_some((number, element.is_end))
        })?;
        Ok(interval::from_elements(ends, space))
    }

    fn elements(&mut self, name: &NftName, set: &NftSet) -> Result<Vec<Member>, KernelError> {
        self.dump_elements(name, |element| {
            let key = set::decode_values(element.key, &set.key)?;
            let data = match (&element.data, set.data.is_empty()) {
                (Some(data), false) => set::decode_data(data, &set.data)?,
                _ => Vec::new(),
            };
            Some((key, data))
        })
    }

    fn dump_elements<T>(
        &mut self,
        set: &NftName,
        decode: impl Fn(&Element<'_>) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        let name = self.name.clone();
        let table = Ours {
            family: set.table,
            name: &name,
        };
        let mut message = message(kind::GET_ELEMENT, 0, table);
        message.put_text(OF, &set.name);
        let lists = self.dump("nft elements", &message, |body| {
            let mut lists = body.filter(|attribute| attribute.kind == ELEMENTS);
            let elements = decode_elements(&lists.next()?);
            Some(
                elements
                    .filter_map(|element| decode(&element))
                    .collect::<Vec<T>>(),
            )
        })?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn sets(&mut self) -> Result<Vec<(NftName, NftSet)>, KernelError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            found.extend(self.sets_of(family)?);
        }
        Ok(found)
    }

    fn sets_of(&mut self, table: Table) -> Result<Vec<(NftName, NftSet)>, KernelError> {
        let message = self.question(kind::GET_SET, table);
        self.dump("nft sets", &message, |body| {
            let (name, set) = set::decode(body)?;
            Some((NftName { table, name }, set))
        })
    }

    fn chain_heads(&mut self, table: Table) -> Result<Vec<(NftName, Option<Hook>)>, KernelError> {
        let message = self.question(kind::GET_CHAIN, table);
        self.dump("nft chains", &message, |body| {
            let (name, hook) = chain::decode(body)?;
            Some((NftName { table, name }, hook))
        })
    }

    fn read_chains(&mut self, scope: &Scope<'_>) -> Result<Vec<(NftName, Chain)>, KernelError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let heads = self.chain_heads(family)?;
            if heads.is_empty() {
                continue;
            }
            let message = self.question(kind::GET_RULE, family);
            let rules = self.dump("nft rules", &message, |body| chain::decode_rule(body))?;
            let mut hashes: BTreeMap<String, Vec<Option<[u8; 16]>>> = BTreeMap::new();
            for (name, hash) in rules {
                hashes.entry(name).or_default().push(hash);
            }
            let none: &[Rule] = &[];
            found.extend(heads.into_iter().map(|(name, hook)| {
                let hashes = hashes.get(&name.name).map_or(&[][..], Vec::as_slice);
                let planned = match scope.object(&Key::NftChain(name.clone())) {
                    Some(Object::NftChain(chain)) => chain.rules.as_slice(),
                    _ => none,
                };
                let rules = same_or_other(hashes, planned);
                (name, Chain { hook, rules })
            }));
        }
        Ok(found)
    }

    /// A question for everything of a kind in one of our tables.
    pub(super) fn question(&self, kind: u16, family: Table) -> Message {
        let name = &self.name;
        message(kind, 0, Ours { family, name })
    }

    /// Goes through everything of a kind in our table.
    pub(super) fn dump<T>(
        &mut self,
        what: &'static str,
        message: &Message,
        decode: impl Fn(&mut dyn Iterator<Item = Attribute<'_>>) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        let found = RefCell::new(Vec::new());
        let table = self.name.clone();
        let outcome = self.socket()?.dump(
            message,
            &mut |reply| {
                let body = reply.body.get(HEADER..).unwrap_or_default();
                let name = attributes(body).find(|attribute| attribute.kind == TABLE);
                if name.and_then(|name| name.text()) == Some(&table) {
                    found.borrow_mut().extend(decode(&mut attributes(body)));
                }
            },
            &mut || found.borrow_mut().clear(),
        );
        match outcome {
            // There is no such table, or no longer such a set.
            Err(cause) if cause.errno == nix::errno::Errno::ENOENT => Ok(Vec::new()),
            Err(cause) => {
                let what = format!("read {what}");
                Err(KernelError::refused(what, &self.netns, cause))
            }
            Ok(()) => Ok(found.into_inner()),
        }
    }
}

/// What the plan wants to be in sets.
struct Planned<'a> {
    elements: BTreeMap<&'a NftName, Vec<&'a Vec<Datum>>>,
    members: BTreeMap<&'a NftName, &'a Members>,
}

impl<'a> Planned<'a> {
    fn of(scope: &Scope<'a>) -> Planned<'a> {
        let mut planned = Planned {
            elements: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for (key, object) in scope.objects() {
            match (key, object) {
                (Key::NftElement { set, key }, _) => {
                    planned.elements.entry(set).or_default().push(key);
                }
                (Key::NftMembers(set), Object::NftMembers(members)) => {
                    planned.members.insert(set, members);
                }
                _ => {}
            }
        }
        planned
    }
}

/// The planned rules if the hashes are theirs, else something that is not equal to them.
fn same_or_other(hashes: &[Option<[u8; 16]>], planned: &[Rule]) -> Vec<Rule> {
    let same = hashes.len() == planned.len()
        && hashes
            .iter()
            .zip(planned)
            .all(|(hash, rule)| *hash == Some(chain::hash(rule)));
    if same {
        planned.to_vec()
    } else if planned.is_empty() {
        vec![Rule::new([], Action::Return)]
    } else {
        Vec::new()
    }
}

pub(super) fn decode_elements<'a>(
    list: &Attribute<'a>,
) -> impl Iterator<Item = Element<'a>> + use<'a> {
    attributes(list.data).map(|element| {
        let mut decoded = Element {
            key: &[],
            data: None,
            is_end: false,
        };
        for attribute in element.nested() {
            match attribute.kind {
                KEY => {
                    let value = attribute.find(DATA_VALUE);
                    decoded.key = value.map_or(&[], |value| value.data);
                }
                DATA => decoded.data = Some(attribute),
                FLAGS => decoded.is_end = attribute.be32().unwrap_or(0) & INTERVAL_END != 0,
                _ => {}
            }
        }
        decoded
    })
}

//! Reads our table, and says what it holds in a plan's words.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use tombolo_model::Family;
use tombolo_plan::objects::{Action, Chain, Datum, Field, NftSet, Rule};
use tombolo_plan::{Key, Object};

use super::interval::{self, Range};
use super::message::{DATA_VALUE, HEADER, OF, TABLE, kind, message};
use super::{Table, chain, set};
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

/// An element as it lies in the kernel.
pub(super) struct Element {
    pub key: Vec<u8>,
    pub data: Vec<u8>,
    pub is_end: bool,
}

impl Table {
    /// Everything in our table. Without nftables in the kernel there is nothing.
    pub(crate) fn read(&mut self, scope: &Scope<'_>) -> Result<Vec<(Key, Object)>, KernelError> {
        let mut found = Vec::new();
        self.intervals.clear();
        self.chains.clear();
        if self.socket.is_none() && self.socket().is_err() {
            return Ok(found);
        }
        for (name, set) in self.sets()? {
            if set.interval {
                let planned = planned_prefixes(scope, &name);
                let prefixes = self.read_interval(&name, &set, &planned)?;
                found.extend(prefixes.iter().map(|net| {
                    let key = Key::NftElement {
                        set: name.clone(),
                        key: vec![Datum::Net(*net)],
                    };
                    (key, Object::NftElement(Vec::new()))
                }));
                self.intervals.insert(name.clone(), prefixes);
            } else if !set.key.is_empty() {
                for element in self.elements(&name)? {
                    let Some(key) = set::decode_values(&element.key, &set.key) else {
                        continue;
                    };
                    let Some(data) = set::decode_values(&element.data, &set.data) else {
                        continue;
                    };
                    let key = Key::NftElement {
                        set: name.clone(),
                        key,
                    };
                    found.push((key, Object::NftElement(data)));
                }
            }
            found.push((Key::NftSet(name), Object::NftSet(set)));
        }
        for (name, chain) in self.read_chains(scope)? {
            self.chains.insert(name.clone(), chain.clone());
            found.push((Key::NftChain(name), Object::NftChain(chain)));
        }
        Ok(found)
    }

    /// Whether nothing is left in the table.
    pub(super) fn is_empty(&mut self) -> Result<bool, KernelError> {
        Ok(self.sets()?.is_empty() && self.chain_heads()?.is_empty())
    }

    /// The prefixes that an interval set holds, seen from what is planned of it.
    pub(super) fn read_interval(
        &mut self,
        name: &str,
        set: &NftSet,
        planned: &BTreeSet<IpNet>,
    ) -> Result<BTreeSet<IpNet>, KernelError> {
        let family = match set.key.as_slice() {
            [Field::Ipv4] => Family::V4,
            [Field::Ipv6] => Family::V6,
            _ => return Ok(BTreeSet::new()),
        };
        let held = self.ranges(name, family)?;
        let mut prefixes: BTreeSet<IpNet> = planned
            .iter()
            .filter(|net| interval::covers(&held, net))
            .copied()
            .collect();
        let wanted = interval::union(planned.iter().map(interval::range));
        for range in interval::difference(&held, &wanted) {
            prefixes.extend(interval::prefixes(range, family));
        }
        Ok(prefixes)
    }

    /// The same of a set that was not read before: whatever it holds.
    pub(super) fn unplanned_prefixes(
        &mut self,
        name: &str,
    ) -> Result<BTreeSet<IpNet>, KernelError> {
        match self.sets()?.into_iter().find(|(found, _)| found == name) {
            Some((_, set)) => self.read_interval(name, &set, &BTreeSet::new()),
            None => Ok(BTreeSet::new()),
        }
    }

    fn ranges(&mut self, name: &str, family: Family) -> Result<Vec<Range>, KernelError> {
        let elements = self.elements(name)?;
        let ends = elements
            .iter()
            .filter_map(|element| {
                let number = element
                    .key
                    .iter()
                    .fold(0, |n, byte| n << 8 | u128::from(*byte));
                (element.key.len() * 8 == usize::from(family.bits()))
                    .then_some((number, element.is_end))
            })
            .collect();
        Ok(interval::from_elements(ends, family))
    }

    fn sets(&mut self) -> Result<Vec<(String, NftSet)>, KernelError> {
        let message = message(kind::GET_SET, 0, &self.name);
        self.dump("nft sets", &message, |body| set::decode(body))
    }

    fn elements(&mut self, set: &str) -> Result<Vec<Element>, KernelError> {
        let mut message = message(kind::GET_ELEMENT, 0, &self.name);
        message.put_text(OF, set);
        let lists = self.dump("nft elements", &message, |body| {
            let mut lists = body.filter(|attribute| attribute.kind == ELEMENTS);
            Some(decode_elements(&lists.next()?))
        })?;
        Ok(lists.into_iter().flatten().collect())
    }

    fn chain_heads(
        &mut self,
    ) -> Result<Vec<(String, Option<tombolo_plan::objects::Hook>)>, KernelError> {
        let message = message(kind::GET_CHAIN, 0, &self.name);
        self.dump("nft chains", &message, |body| chain::decode(body))
    }

    fn read_chains(&mut self, scope: &Scope<'_>) -> Result<Vec<(String, Chain)>, KernelError> {
        let heads = self.chain_heads()?;
        let message = message(kind::GET_RULE, 0, &self.name);
        let rules = self.dump("nft rules", &message, |body| chain::decode_rule(body))?;
        let mut hashes: BTreeMap<String, Vec<Option<[u8; 16]>>> = BTreeMap::new();
        for (name, hash) in rules {
            hashes.entry(name).or_default().push(hash);
        }
        let known = |name: &str| match scope.object(&Key::NftChain(name.to_owned())) {
            Some(Object::NftChain(chain)) => chain.rules.clone(),
            _ => Vec::new(),
        };
        Ok(heads
            .into_iter()
            .map(|(name, hook)| {
                let rules =
                    same_or_other(hashes.get(&name).map_or(&[], Vec::as_slice), known(&name));
                (name, Chain { hook, rules })
            })
            .collect())
    }

    /// Goes through everything of a kind in our table.
    fn dump<T>(
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
            Err(cause) => Err(KernelError::refused(format!("read {what}"), "host", cause)),
            Ok(()) => Ok(found.into_inner()),
        }
    }
}

/// The planned rules if the hashes are theirs, else something that is not equal to them.
fn same_or_other(hashes: &[Option<[u8; 16]>], planned: Vec<Rule>) -> Vec<Rule> {
    let same = hashes.len() == planned.len()
        && hashes
            .iter()
            .zip(&planned)
            .all(|(hash, rule)| *hash == Some(chain::hash(rule)));
    if same {
        planned
    } else if planned.is_empty() {
        vec![Rule {
            matches: Vec::new(),
            action: Action::Return,
        }]
    } else {
        Vec::new()
    }
}

pub(super) fn decode_elements(list: &Attribute<'_>) -> Vec<Element> {
    let bytes = |attribute: &Attribute<'_>| {
        attribute
            .find(DATA_VALUE)
            .map(|value| value.data.to_vec())
            .unwrap_or_default()
    };
    list.nested()
        .map(|element| {
            let mut decoded = Element {
                key: Vec::new(),
                data: Vec::new(),
                is_end: false,
            };
            for attribute in element.nested() {
                match attribute.kind {
                    KEY => decoded.key = bytes(&attribute),
                    DATA => decoded.data = bytes(&attribute),
                    FLAGS => decoded.is_end = attribute.be32().unwrap_or(0) & INTERVAL_END != 0,
                    _ => {}
                }
            }
            decoded
        })
        .collect()
}

fn planned_prefixes(scope: &Scope<'_>, name: &str) -> BTreeSet<IpNet> {
    scope
        .objects()
        .filter_map(|(key, _)| match key {
            Key::NftElement { set, key } if set == name => match key.as_slice() {
                [Datum::Net(net)] => Some(*net),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

//! What rules have counted.

use tombolo_plan::objects::{NftName, Table};
use tombolo_plan::{Key, Netns, Place};

use super::Tables;
use super::chain::{EXPRESSIONS, decode_rule};
use super::message::kind;
use super::read::FAMILIES;
use crate::error::KernelError;
use crate::netlink::{Attribute, attributes};

/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// `NFTA_COUNTER_BYTES`, `NFTA_COUNTER_PACKETS`.
const BYTES: u16 = 1;
const PACKETS: u16 = 2;

/// What a rule has counted since its chain was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// The chain.
    pub place: Place,
    /// The rule's place in it, from 0.
    pub rule: usize,
    /// Packets that came as far as its action.
    pub packets: u64,
    /// Their bytes, from the network header on.
    pub bytes: u64,
}

impl Tables {
    /// Of every counted rule in our tables.
    pub(crate) fn counters(&mut self) -> Result<Vec<Counter>, KernelError> {
        let mut found = Vec::new();
        for family in FAMILIES {
            let message = self.question(kind::GET_RULE, family);
            let rules = self.dump("nft counters", &message, |body| {
                let all: Vec<Attribute<'_>> = body.collect();
                let (chain, _) = decode_rule(all.iter().copied())?;
                let list = all.iter().find(|attribute| attribute.kind == EXPRESSIONS);
                Some((chain, list.and_then(decode)))
            })?;
            found.extend(numbered(&self.netns, family, rules));
        }
        Ok(found)
    }
}

/// The kernel tells the rules of a chain one behind the other.
fn numbered(netns: &Netns, table: Table, rules: Vec<(String, Option<(u64, u64)>)>) -> Vec<Counter> {
    let mut found = Vec::new();
    let (mut of, mut rule) = (None, 0);
    for (chain, counted) in rules {
        if of.as_ref() != Some(&chain) {
            rule = 0;
            of = Some(chain.clone());
        }
        if let Some((packets, bytes)) = counted {
            let key = Key::NftChain(NftName { table, name: chain });
            let netns = netns.clone();
            found.push(Counter {
                place: Place { netns, key },
                rule,
                packets,
                bytes,
            });
        }
        rule += 1;
    }
    found
}

/// Packets and bytes that one of a rule's expressions has counted.
pub(super) fn decode(expressions: &Attribute<'_>) -> Option<(u64, u64)> {
    let mut all = expressions.nested();
    let counter = all.find(|expression| {
        let name = expression.find(NAME);
        name.and_then(|name| name.text()) == Some("counter")
    })?;
    let number = |kind| {
        let data = counter.find(DATA)?;
        let bytes = attributes(data.data).find(|a| a.kind == kind)?.data;
        Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?))
    };
    Some((number(PACKETS)?, number(BYTES)?))
}

//! Chains, and the hash by which a rule is known again.
//!
//! Between writing a rule and reading it back the kernel reorders and completes its expressions, so
//! comparing them would need a decoder for all that anybody may write. Instead each rule carries, in
//! the user data that the kernel keeps for its maker, a hash of its typed form. A chain is as
//! planned if the hashes of its rules are those of the plan's, in order. A rule that somebody else
//! wrote or replaced has no hash, or not that one.

use tombolo_plan::objects::{Chain, ChainType, Hook, HookPoint, Policy, Rule};

use super::expr;
use super::message::{OF, Ours, kind, message};
use crate::netlink::{Attribute, Message};

/// `NFTA_CHAIN_*`.
pub(super) const NAME: u16 = 3;
const HOOK: u16 = 4;
const POLICY: u16 = 5;
const TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NFTA_RULE_*`.
pub(super) const EXPRESSIONS: u16 = 4;
const USERDATA: u16 = 7;
/// The type of our entry in a rule's user data; `nft` skips types that it does not know.
const HASH_ENTRY: u8 = 84;
/// Counted up whenever rules are encoded differently, so that old ones are written anew.
const ENCODING: &str = "1";

/// A rule's hash: FNV-1a, 128 bits, of its typed form. It guards against change, not against
/// malice: whoever can write rules needs no collision.
pub(super) fn hash(rule: &Rule) -> [u8; 16] {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = format!("{ENCODING} {rule:?}");
    let fold = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    text.bytes().fold(OFFSET, fold).to_be_bytes()
}

/// The message that makes a chain without its rules, or leaves the one that is there.
pub(super) fn create(table: Ours<'_>, name: &str, chain: &Chain) -> Message {
    let mut made = message(kind::NEW_CHAIN, libc::NLM_F_CREATE, table);
    made.put_text(NAME, name);
    if let Some(hook) = &chain.hook {
        made.nest(HOOK, |inner| {
            inner.put_be32(HOOK_NUMBER, hook_number(hook.point));
            inner.put(HOOK_PRIORITY, &hook.priority.to_be_bytes());
        });
        made.put_be32(POLICY, u32::from(hook.policy == Policy::Accept));
        made.put_text(TYPE, type_name(hook.chain_type));
    }
    made
}

/// The message that removes a chain without rules.
pub(super) fn remove(table: Ours<'_>, name: &str) -> Message {
    let mut message = message(kind::DEL_CHAIN, 0, table);
    message.put_text(NAME, name);
    message
}

/// The message that removes all rules of a chain.
pub(super) fn flush(table: Ours<'_>, name: &str) -> Message {
    let mut message = message(kind::DEL_RULE, 0, table);
    message.put_text(OF, name);
    message
}

/// The message that adds a rule behind the others.
pub(super) fn append(table: Ours<'_>, name: &str, rule: &Rule) -> Message {
    let mut made = message(
        kind::NEW_RULE,
        libc::NLM_F_CREATE | libc::NLM_F_APPEND,
        table,
    );
    made.put_text(OF, name)
        .nest(EXPRESSIONS, |list| expr::encode(table.family, rule, list));
    let mut entry = vec![HASH_ENTRY, 16];
    entry.extend_from_slice(&hash(rule));
    made.put(USERDATA, &entry);
    made
}

/// A chain's name and hook, as the kernel tells of it.
pub(super) fn decode<'a>(
    attributes: impl Iterator<Item = Attribute<'a>>,
) -> Option<(String, Option<Hook>)> {
    let (mut name, mut hook, mut policy, mut chain_type) = (None, None, Policy::Accept, None);
    for attribute in attributes {
        match attribute.kind {
            NAME => name = attribute.text(),
            HOOK => hook = Some(attribute),
            POLICY if attribute.be32() == Some(0) => policy = Policy::Drop,
            TYPE => chain_type = attribute.text(),
            _ => {}
        }
    }
    let hook = hook.and_then(|hook| {
        Some(Hook {
            chain_type: decode_type(chain_type?)?,
            point: decode_point(hook.find(HOOK_NUMBER)?.be32()?)?,
            priority: i32::from_be_bytes(hook.find(HOOK_PRIORITY)?.data.try_into().ok()?),
            policy,
        })
    });
    Some((name?.to_owned(), hook))
}

/// The chain of a rule and its hash, if it has one of ours.
pub(super) fn decode_rule<'a>(
    attributes: impl Iterator<Item = Attribute<'a>>,
) -> Option<(String, Option<[u8; 16]>)> {
    let (mut chain, mut hash) = (None, None);
    for attribute in attributes {
        match attribute.kind {
            OF => chain = attribute.text(),
            USERDATA => {
                if let [HASH_ENTRY, 16, rest @ ..] = attribute.data {
                    hash = rest.try_into().ok();
                }
            }
            _ => {}
        }
    }
    Some((chain?.to_owned(), hash))
}

fn type_name(chain_type: ChainType) -> &'static str {
    match chain_type {
        ChainType::Filter => "filter",
        ChainType::Nat => "nat",
        ChainType::Route => "route",
    }
}

fn decode_type(name: &str) -> Option<ChainType> {
    let all = [ChainType::Filter, ChainType::Nat, ChainType::Route];
    all.into_iter()
        .find(|chain_type| type_name(*chain_type) == name)
}

/// `NF_INET_*` of linux/netfilter.h.
fn hook_number(point: HookPoint) -> u32 {
    match point {
        HookPoint::Prerouting => 0,
        HookPoint::Input => 1,
        HookPoint::Forward => 2,
        HookPoint::Output => 3,
        HookPoint::Postrouting => 4,
    }
}

fn decode_point(number: u32) -> Option<HookPoint> {
    use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
    let all = [Prerouting, Input, Forward, Output, Postrouting];
    all.into_iter().find(|point| hook_number(*point) == number)
}

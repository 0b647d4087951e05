//! Chains and sets of tables that are not ours, read as far as a packet's fate needs it.
//!
//! The expressions of a rule are followed register by register. What is not understood becomes a
//! condition that may hold or not ([`tombolo_plan::filter`]); nothing is guessed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ipnet::IpNet;
use nix::errno::Errno;
use tombolo_model::Family;
use tombolo_plan::Key;
use tombolo_plan::explain::Mark;
use tombolo_plan::filter::{Base, FilterChain, FilterRule, Pattern, Test, Verdict};
use tombolo_plan::objects::NftName;

use super::message::{DATA_VALUE, HEADER, OF, TABLE, everything, kind};
use super::{chain, xtables};
use crate::error::KernelError;
use crate::netlink::{Attribute, Protocol, Socket, attributes};
use crate::netns::NetnsHandle;
use crate::survey::Entry;

/// `NFTA_RULE_EXPRESSIONS`; `NFTA_EXPR_NAME`, `_DATA`; `NFTA_SET_NAME`, `_FLAGS`.
const EXPRESSIONS: u16 = 4;
const NAME: u16 = 1;
const DATA: u16 = 2;
const SET_FLAGS: u16 = 3;
/// `NFT_SET_ANONYMOUS`.
const ANONYMOUS: u32 = 1;

/// Chains and sets of all tables, for those who ask what is there.
pub(crate) fn entries(netns: &NetnsHandle) -> Result<Vec<Entry>, KernelError> {
    let Ok(mut socket) = Socket::open(netns, Protocol::Netfilter) else {
        return Ok(Vec::new());
    };
    let entry = |key, text, family: &str, table: &str| Entry {
        key,
        text,
        mark: Mark::Table {
            family: family.to_owned(),
            name: table.to_owned(),
        },
    };
    let mut found = dump(&mut socket, kind::GET_CHAIN, |family, table, body| {
        let (name, hook) = chain::decode(attributes(body))?;
        let hook = hook.map(|hook| format!(", {hook}")).unwrap_or_default();
        let text = format!("in table {family} {table}{hook}");
        Some(entry(
            Key::NftChain(named(family, name)),
            text,
            family,
            table,
        ))
    })?;
    found.extend(dump(&mut socket, kind::GET_SET, |family, table, body| {
        let find = |wanted| attributes(body).find(|a| a.kind == wanted);
        let flags = find(SET_FLAGS).and_then(|a| a.be32()).unwrap_or(0);
        let name = find(OF)?.text()?.to_owned();
        let text = format!("in table {family} {table}");
        (flags & ANONYMOUS == 0)
            .then(|| entry(Key::NftSet(named(family, name)), text, family, table))
    })?);
    Ok(found)
}

/// What is asked for by a name in a table of a family.
fn named(family: &str, name: String) -> NftName {
    if family == "bridge" {
        NftName::bridge(name)
    } else {
        NftName::inet(name)
    }
}

/// Every chain of all tables but ours, with its rules.
pub(crate) fn chains(netns: &NetnsHandle, but: &str) -> Result<Vec<FilterChain>, KernelError> {
    // Without nftables in the kernel there are none.
    let Ok(mut socket) = Socket::open(netns, Protocol::Netfilter) else {
        return Ok(Vec::new());
    };
    let mut found = dump(&mut socket, kind::GET_CHAIN, |family, table, body| {
        let (name, hook) = chain::decode(attributes(body))?;
        let base = hook.map(|hook| Base {
            point: hook.point,
            policy: hook.policy,
        });
        Some(FilterChain {
            family: family.to_owned(),
            table: table.to_owned(),
            name,
            base,
            rules: Vec::new(),
        })
    })?;
    let is_ours = |family: &str| family == "inet" || family == "bridge";
    found.retain(|chain| chain.table != but || !is_ours(&chain.family));
    let rules = dump(&mut socket, kind::GET_RULE, |family, table, body| {
        let find = |wanted| attributes(body).find(|a| a.kind == wanted);
        let chain = find(OF)?.text()?.to_owned();
        let rule = find(EXPRESSIONS).map_or_else(FilterRule::default, |list| rule(family, &list));
        Some((family.to_owned(), table.to_owned(), chain, rule))
    })?;
    let mut by_chain: BTreeMap<_, Vec<FilterRule>> = BTreeMap::new();
    for (family, table, chain, rule) in rules {
        by_chain
            .entry((family, table, chain))
            .or_default()
            .push(rule);
    }
    for chain in &mut found {
        let key = (
            chain.family.clone(),
            chain.table.clone(),
            chain.name.clone(),
        );
        chain.rules = by_chain.remove(&key).unwrap_or_default();
    }
    Ok(found)
}

/// Goes through everything of a kind, with the table's family and name.
fn dump<T>(
    socket: &mut Socket,
    kind: u16,
    decode: impl Fn(&str, &str, &[u8]) -> Option<T>,
) -> Result<Vec<T>, KernelError> {
    let found = RefCell::new(Vec::new());
    let outcome = socket.dump(
        &everything(kind),
        &mut |reply| {
            let body = reply.body.get(HEADER..).unwrap_or_default();
            let family = reply.body.first().copied().map_or("", family_name);
            let table = attributes(body).find(|attribute| attribute.kind == TABLE);
            if let Some(table) = table.and_then(|table| table.text()) {
                found.borrow_mut().extend(decode(family, table, body));
            }
        },
        &mut || found.borrow_mut().clear(),
    );
    match outcome {
        // A kernel without nftables.
        Err(cause)
            if matches!(
                cause.errno,
                Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOENT
            ) =>
        {
            Ok(Vec::new())
        }
        Err(cause) => Err(KernelError::refused("read all nft tables", "host", cause)),
        Ok(()) => Ok(found.into_inner()),
    }
}

/// `NFPROTO_*` of linux/netfilter.h, as `nft` writes them.
fn family_name(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "?",
    }
}

/// What a register holds.
#[derive(Clone)]
struct Loaded {
    what: What,
    mask: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    InName,
    OutName,
    Family,
    Source,
    Destination,
    State,
    Unknown(&'static str),
}

/// A rule, followed expression by expression.
struct Reader {
    /// The family that packets are known to be of by now.
    family: Option<Family>,
    registers: BTreeMap<u32, Loaded>,
    rule: FilterRule,
}

pub(super) fn rule(family: &str, list: &Attribute<'_>) -> FilterRule {
    let mut reader = Reader {
        family: match family {
            "ip" => Some(Family::V4),
            "ip6" => Some(Family::V6),
            _ => None,
        },
        registers: BTreeMap::new(),
        rule: FilterRule::default(),
    };
    for element in list.nested() {
        let name = element
            .find(NAME)
            .and_then(|name| name.text())
            .unwrap_or_default();
        match element.find(DATA) {
            Some(data) => reader.expression(name, &data),
            None => reader.bare(name),
        }
    }
    reader.rule
}

impl Reader {
    fn other(&mut self, name: &str) {
        self.rule.tests.push(Test::Other(name.to_owned()));
    }

    /// An expression without attributes.
    fn bare(&mut self, name: &str) {
        match name {
            "counter" | "log" | "notrack" | "masq" | "objref" => {}
            "reject" => self.rule.verdict = Some(Verdict::Drop),
            other => self.other(other),
        }
    }

    fn expression(&mut self, name: &str, data: &Attribute<'_>) {
        let number = |kind| data.find(kind).and_then(|a| a.be32());
        match name {
            "meta" => {
                // `NFTA_META_DREG`, `_KEY`; `NFT_META_*`.
                let what = match number(2) {
                    Some(6) => What::InName,
                    Some(7) => What::OutName,
                    Some(15) => What::Family,
                    _ => What::Unknown("meta"),
                };
                self.load(number(1), what);
            }
            // `NFTA_CT_DREG`, `_KEY`; `NFT_CT_STATE`.
            "ct" if number(2) == Some(0) => self.load(number(1), What::State),
            "ct" => self.load(number(1), What::Unknown("ct")),
            "payload" => self.payload(data),
            "bitwise" => self.bitwise(data),
            "cmp" => self.compare(data),
            "immediate" => self.immediate(data),
            "fib" | "socket" | "rt" | "hash" | "numgen" | "byteorder" | "exthdr" | "osf" => {
                self.load(number(1), What::Unknown("a value"));
            }
            "match" => self.rule.tests.extend(xtables::condition(data)),
            "target" => self.rule.verdict = xtables::target(data),
            "queue" => self.rule.verdict = Some(Verdict::Other),
            other => self.bare(other),
        }
    }

    /// The four large registers are the small ones from 8 on, four each.
    fn register(number: u32) -> u32 {
        match number {
            1..=4 => 4 + number * 4,
            other => other,
        }
    }

    fn load(&mut self, register: Option<u32>, what: What) {
        if let Some(register) = register {
            let loaded = Loaded { what, mask: None };
            self.registers.insert(Self::register(register), loaded);
        }
    }

    /// `NFTA_PAYLOAD_DREG`, `_BASE`, `_OFFSET`, `_LEN`. A prefix that ends at a byte is loaded only as
    /// far as that.
    fn payload(&mut self, data: &Attribute<'_>) {
        let number = |kind| data.find(kind).and_then(|a| a.be32());
        const NETWORK_HEADER: u32 = 1;
        let what = match (self.family, number(2), number(3)) {
            (Some(Family::V4), Some(NETWORK_HEADER), Some(12))
            | (Some(Family::V6), Some(NETWORK_HEADER), Some(8)) => What::Source,
            (Some(Family::V4), Some(NETWORK_HEADER), Some(16))
            | (Some(Family::V6), Some(NETWORK_HEADER), Some(24)) => What::Destination,
            _ => What::Unknown("payload"),
        };
        self.load(number(1), what);
    }

    /// `NFTA_BITWISE_SREG`, `_DREG`, `_MASK`.
    fn bitwise(&mut self, data: &Attribute<'_>) {
        let number = |kind| data.find(kind).and_then(|a| a.be32());
        let (Some(from), Some(to)) = (number(1), number(2)) else {
            return self.other("bitwise");
        };
        let mask = data.find(4).and_then(|mask| mask.find(DATA_VALUE));
        let mut loaded = self.taken(from);
        loaded.mask = mask.map(|mask| mask.data.to_vec());
        self.registers.insert(Self::register(to), loaded);
    }

    fn taken(&self, register: u32) -> Loaded {
        let loaded = self.registers.get(&Self::register(register)).cloned();
        loaded.unwrap_or(Loaded {
            what: What::Unknown("a register"),
            mask: None,
        })
    }

    /// `NFTA_CMP_SREG`, `_OP`, `_DATA`.
    fn compare(&mut self, data: &Attribute<'_>) {
        let number = |kind| data.find(kind).and_then(|a| a.be32());
        let value = data.find(3).and_then(|value| value.find(DATA_VALUE));
        let (Some(register), Some(operation), Some(value)) = (number(1), number(2), value) else {
            return self.other("cmp");
        };
        let loaded = self.taken(register);
        // `NFT_CMP_EQ`, `NFT_CMP_NEQ`; the others are of numbers, and none of ours.
        let not = operation == 1;
        let test = if operation > 1 {
            None
        } else {
            self.test(&loaded, value.data, not)
        };
        match (test, loaded.what) {
            (Some(test), _) => {
                if let Test::Family(family, false) = test {
                    self.family = Some(family);
                }
                self.rule.tests.push(test);
            }
            (None, What::Unknown(name)) => self.other(name),
            (None, _) => self.other("cmp"),
        }
    }

    fn test(&self, loaded: &Loaded, value: &[u8], not: bool) -> Option<Test> {
        match loaded.what {
            What::InName => Some(Test::In(pattern(value, not)?)),
            What::OutName => Some(Test::Out(pattern(value, not)?)),
            What::Family => match value {
                [2] => Some(Test::Family(Family::V4, not)),
                [10] => Some(Test::Family(Family::V6, not)),
                _ => None,
            },
            What::State => {
                let mask = loaded.mask.as_ref()?;
                let zero = value.iter().all(|byte| *byte == 0);
                let mask = u32::from_ne_bytes(mask.as_slice().try_into().ok()?);
                // `& mask != 0` is how any of these is asked for.
                zero.then_some(Test::State(mask, !not))
            }
            What::Source => Some(Test::Source(self.net(loaded, value)?, not)),
            What::Destination => Some(Test::Destination(self.net(loaded, value)?, not)),
            What::Unknown(_) => None,
        }
    }

    fn net(&self, loaded: &Loaded, value: &[u8]) -> Option<IpNet> {
        let bytes = usize::from(self.family?.bits() / 8);
        let length = match &loaded.mask {
            None => u32::try_from(value.len()).ok()? * 8,
            Some(mask) => mask.iter().map(|byte| byte.count_ones()).sum(),
        };
        let mut whole = value.to_vec();
        whole.resize(bytes, 0);
        let address = crate::netlink::ip(&whole)?;
        IpNet::new(address, u8::try_from(length).ok()?).ok()
    }

    /// `NFTA_IMMEDIATE_DREG` (0 is the verdict), `_DATA`.
    fn immediate(&mut self, data: &Attribute<'_>) {
        const VERDICT: u16 = 2;
        let verdict = data.find(2).and_then(|value| value.find(VERDICT));
        let Some(verdict) = verdict else {
            let register = data.find(1).and_then(|a| a.be32());
            return self.load(register, What::Unknown("a constant"));
        };
        let code = verdict.find(1).and_then(|code| code.be32()).unwrap_or(0);
        let chain = verdict
            .find(2)
            .and_then(|chain| chain.text())
            .unwrap_or_default();
        // `NF_*` and `NFT_*` verdicts.
        self.rule.verdict = match code.cast_signed() {
            0 => Some(Verdict::Drop),
            1 => Some(Verdict::Accept),
            -1 => None,
            -3 => Some(Verdict::Jump(chain.to_owned())),
            -4 => Some(Verdict::Goto(chain.to_owned())),
            -5 => Some(Verdict::Return),
            _ => Some(Verdict::Other),
        };
    }
}

/// A name, or the beginning of one where no zero byte ends it.
pub(super) fn pattern(value: &[u8], not: bool) -> Option<Pattern> {
    let name = value.split(|byte| *byte == 0).next()?;
    Some(Pattern {
        name: std::str::from_utf8(name).ok()?.to_owned(),
        prefix: name.len() == value.len() && value.len() < 16,
        not,
    })
}

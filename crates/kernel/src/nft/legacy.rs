//! iptables' own tables, which nftables does not know: `filter`, read as a whole by the call that
//! `iptables-legacy` uses (linux/netfilter_ipv4/ip_tables.h and its sister of IPv6).
//!
//! Nothing is read where the table is not loaded, since asking for it would load it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use ipnet::IpNet;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tombolo_model::Family;
use tombolo_plan::filter::{Base, FilterChain, FilterRule, Test, Verdict};
use tombolo_plan::objects::{HookPoint, Policy};

use super::tables::pattern;
use super::xtables::{NAME_BYTES, condition_of, target_of};
use crate::error::KernelError;
use crate::netlink::ip;
use crate::netns::NetnsHandle;
use crate::sys::get_option;

/// `IPT_SO_GET_INFO`, `IPT_SO_GET_ENTRIES`; the same of IPv6.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// Bytes of a table's name, of `struct ipt_getinfo`, and of the head of `struct ipt_get_entries`.
const TABLE_NAME: usize = 32;
const INFO: usize = 84;
const ENTRIES_HEAD: usize = 40;
/// Where a match or target has its own data.
const XT_DATA: usize = 32;
const FORWARD: usize = 2;

/// Where things are in `struct ipt_entry` or `ip6t_entry`.
struct Shape {
    family: Family,
    name: &'static str,
    loaded: &'static str,
    level: libc::c_int,
    address: AddressFamily,
    /// `invflags`, `flags`, `target_offset`, and the first match.
    inverted: usize,
    flags: usize,
    target: usize,
    matches: usize,
}

const SHAPES: [Shape; 2] = [
    Shape {
        family: Family::V4,
        name: "iptables-legacy",
        loaded: "/proc/thread-self/net/ip_tables_names",
        level: libc::SOL_IP,
        address: AddressFamily::Inet,
        inverted: 83,
        flags: 82,
        target: 88,
        matches: 112,
    },
    Shape {
        family: Family::V6,
        name: "ip6tables-legacy",
        loaded: "/proc/thread-self/net/ip6_tables_names",
        level: libc::SOL_IPV6,
        address: AddressFamily::Inet6,
        inverted: 132,
        flags: 131,
        target: 140,
        matches: 168,
    },
];

/// The chains of the tables `filter`.
pub(crate) fn chains(netns: &NetnsHandle) -> Result<Vec<FilterChain>, KernelError> {
    let mut found = Vec::new();
    for shape in &SHAPES {
        let read = netns.run(|| {
            let names = std::fs::read_to_string(shape.loaded).unwrap_or_default();
            if names.lines().any(|name| name == "filter") {
                read(shape).map(Some)
            } else {
                Ok(None)
            }
        })?;
        let table = read.map_err(|errno| KernelError::Namespace {
            operation: "read the tables of iptables-legacy in",
            netns: netns.name().to_owned(),
            errno,
        })?;
        found.extend(table.iter().flat_map(|table| decode(shape, table)));
    }
    Ok(found)
}

/// A table as the kernel holds it.
struct Table {
    /// Where packets enter for `FORWARD`, and where its policy stands.
    entry: usize,
    policy: usize,
    entries: Vec<u8>,
}

fn read(shape: &Shape) -> Result<Table, Errno> {
    let socket = socket(
        shape.address,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut info = vec![0; INFO];
    info[..6].copy_from_slice(b"filter");
    get_option(socket.as_fd(), shape.level, GET_INFO, &mut info)?;
    let word = |at: usize| number(&info, at).unwrap_or(0);
    let size = word(INFO - 4);
    let mut entries = vec![0; ENTRIES_HEAD + size];
    entries[..6].copy_from_slice(b"filter");
    entries[TABLE_NAME..TABLE_NAME + 4].copy_from_slice(
        &u32::try_from(size)
            .map_err(|_| Errno::EOVERFLOW)?
            .to_ne_bytes(),
    );
    get_option(socket.as_fd(), shape.level, GET_ENTRIES, &mut entries)?;
    Ok(Table {
        entry: word(TABLE_NAME + 4 + 4 * FORWARD),
        policy: word(TABLE_NAME + 4 + 20 + 4 * FORWARD),
        entries: entries.split_off(ENTRIES_HEAD),
    })
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    usize::try_from(word).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_ne_bytes(
        bytes.get(at..at + 2)?.try_into().ok()?,
    )))
}

/// A chain's own verdict, before chains have names: a jump is to a place.
enum Raw {
    Plain(Verdict),
    Jump(usize, bool),
    Head(String),
    None,
}

/// A table that is taken apart, entry by entry.
#[derive(Default)]
struct Parts {
    /// Chains, each with the place of its first rule.
    chains: Vec<(usize, FilterChain)>,
    /// Of a chain's rule, the place that it jumps to, and whether for good.
    jumps: BTreeMap<(usize, usize), (usize, bool)>,
    /// Whether entries belong to the last chain; those of other hooks are passed over.
    inside: bool,
}

/// Takes the table apart: a chain of an operator's begins with an entry whose target is `ERROR`, with
/// its name; the others are known by where packets enter.
fn decode(shape: &Shape, table: &Table) -> Vec<FilterChain> {
    let mut parts = Parts::default();
    let mut at = 0;
    while let Some(next) = short(&table.entries, at + shape.target + 2).filter(|n| *n > 0) {
        let Some(entry) = table.entries.get(at..at + next) else {
            break;
        };
        if at == table.entry {
            let policy = match target(shape, at_policy(table)) {
                Raw::Plain(Verdict::Drop) => Policy::Drop,
                _ => Policy::Accept,
            };
            let point = HookPoint::Forward;
            parts.begin(shape, at, "FORWARD", Some(Base { point, policy }));
        }
        match target(shape, entry) {
            Raw::Head(name) => parts.begin(shape, at + next, &name, None),
            // The policy is no rule.
            _ if at == table.policy => parts.inside = false,
            raw if parts.inside => parts.rule(tests(shape, entry), raw),
            _ => {}
        }
        at += next;
    }
    name_jumps(parts.chains, &parts.jumps)
}

impl Parts {
    fn begin(&mut self, shape: &Shape, start: usize, name: &str, base: Option<Base>) {
        self.inside = true;
        let chain = FilterChain {
            family: shape.name.to_owned(),
            table: "filter".to_owned(),
            name: name.to_owned(),
            base,
            rules: Vec::new(),
        };
        self.chains.push((start, chain));
    }

    fn rule(&mut self, tests: Vec<Test>, raw: Raw) {
        let count = self.chains.len();
        let Some((_, chain)) = self.chains.last_mut() else {
            return;
        };
        let verdict = match raw {
            Raw::Plain(verdict) => Some(verdict),
            Raw::Jump(to, goto) => {
                self.jumps
                    .insert((count - 1, chain.rules.len()), (to, goto));
                None
            }
            Raw::Head(_) | Raw::None => None,
        };
        chain.rules.push(FilterRule { tests, verdict });
    }
}

fn at_policy(table: &Table) -> &[u8] {
    table.entries.get(table.policy..).unwrap_or_default()
}

fn name_jumps(
    mut chains: Vec<(usize, FilterChain)>,
    jumps: &BTreeMap<(usize, usize), (usize, bool)>,
) -> Vec<FilterChain> {
    let names: BTreeMap<usize, String> = chains
        .iter()
        .map(|(start, chain)| (*start, chain.name.clone()))
        .collect();
    for ((chain, rule), (to, goto)) in jumps {
        let name = names.get(to).cloned().unwrap_or_default();
        let verdict = if *goto {
            Verdict::Goto(name)
        } else {
            Verdict::Jump(name)
        };
        if let Some(rule) = chains
            .get_mut(*chain)
            .and_then(|(_, c)| c.rules.get_mut(*rule))
        {
            rule.verdict = Some(verdict);
        }
    }
    chains.into_iter().map(|(_, chain)| chain).collect()
}

/// The name in the head of a match or target.
fn xt_name(head: &[u8]) -> &str {
    let name = head.get(2..2 + NAME_BYTES).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default()
}

fn target(shape: &Shape, entry: &[u8]) -> Raw {
    /// `IPT_F_GOTO`, and what no condition means for `RETURN` (`XT_RETURN`).
    const GOTO: u8 = 2;
    const RETURN: i32 = -5;
    let head = short(entry, shape.target)
        .and_then(|at| entry.get(at..))
        .unwrap_or_default();
    let value = head
        .get(XT_DATA..XT_DATA + 4)
        .and_then(|bytes| bytes.try_into().ok());
    let value = value.map_or(0, i32::from_ne_bytes);
    let goto = entry
        .get(shape.flags)
        .is_some_and(|flags| flags & GOTO != 0);
    match xt_name(head) {
        "" => match value {
            RETURN => Raw::Plain(Verdict::Return),
            // Verdicts are kept as `-verdict - 1` (`NF_DROP` 0, `NF_ACCEPT` 1).
            -1 => Raw::Plain(Verdict::Drop),
            -2 => Raw::Plain(Verdict::Accept),
            to if to >= 0 => Raw::Jump(usize::try_from(to).unwrap_or_default(), goto),
            _ => Raw::Plain(Verdict::Other),
        },
        "ERROR" => {
            let name = head.get(XT_DATA..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            Raw::Head(String::from_utf8_lossy(name).into_owned())
        }
        other => target_of(other).map_or(Raw::None, Raw::Plain),
    }
}

/// The conditions of `struct ipt_ip` or `ip6t_ip6`, and of the matches behind the entry.
fn tests(shape: &Shape, entry: &[u8]) -> Vec<Test> {
    /// `IPT_INV_VIA_IN`, `_VIA_OUT`, `_SRCIP`, `_DSTIP`.
    const INVERTED: [u8; 4] = [0x01, 0x02, 0x08, 0x10];
    let inverted = entry.get(shape.inverted).copied().unwrap_or(0);
    let not = |bit: u8| inverted & bit != 0;
    let bytes = usize::from(shape.family.bits() / 8);
    let field = |at: usize, length: usize| entry.get(at..at + length).unwrap_or_default();
    let net = |at: usize| {
        let mask = field(at + 2 * bytes, bytes);
        let length: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        let length = u8::try_from(length).ok().filter(|length| *length > 0)?;
        IpNet::new(ip(field(at, bytes))?, length).ok()
    };
    let interface = |at: usize, not| {
        let mask = field(at + 32, 16);
        let used = mask.iter().take_while(|byte| **byte != 0).count();
        (used > 0).then(|| pattern(field(at, used), not)).flatten()
    };
    let names = 4 * bytes;
    let mut found: Vec<Test> = Vec::new();
    found.extend(interface(names, not(INVERTED[0])).map(Test::In));
    found.extend(interface(names + 16, not(INVERTED[1])).map(Test::Out));
    found.extend(net(0).map(|net| Test::Source(net, not(INVERTED[2]))));
    found.extend(net(bytes).map(|net| Test::Destination(net, not(INVERTED[3]))));
    if field(names + 64, 2) != [0, 0] {
        found.push(Test::Other("protocol".to_owned()));
    }
    let end = short(entry, shape.target).unwrap_or(0);
    let mut at = shape.matches;
    while let Some(head) = entry.get(at..end).filter(|head| head.len() >= XT_DATA) {
        let size = short(head, 0).unwrap_or(0).max(XT_DATA);
        let revision = u32::from(head[2 + NAME_BYTES]);
        let info = head.get(XT_DATA..size).unwrap_or_default();
        found.extend(condition_of(xt_name(head), revision, info));
        at += size;
    }
    found
}

/// Takes bytes apart as tables of both families, for the fuzz target.
pub(crate) fn decode_any(bytes: &[u8]) {
    let place = |at: usize| short(bytes, at).unwrap_or(0);
    for shape in &SHAPES {
        let table = Table {
            entry: place(0),
            policy: place(2),
            entries: bytes.get(4..).unwrap_or_default().to_vec(),
        };
        let _ = decode(shape, &table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever the kernel gives, taking it apart ends and does not panic.
        #[test]
        fn any_bytes_are_taken_apart(
            entries in proptest::collection::vec(proptest::num::u8::ANY, 0..900),
            places in (0_usize..1000, 0_usize..1000),
            length in 1_u16..300,
        ) {
            for shape in &SHAPES {
                let mut entries = entries.clone();
                // An entry that says how long it is, so that more than the first is looked at.
                if let Some(bytes) = entries.get_mut(shape.target + 2..shape.target + 4) {
                    bytes.copy_from_slice(&length.to_ne_bytes());
                }
                let table = Table { entry: places.0, policy: places.1, entries };
                let chains = decode(shape, &table);
                proptest::prop_assert!(chains.len() <= 1000);
            }
        }
    }
}

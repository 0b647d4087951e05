//! Other programs' packet filters, in the few words that matter to us, and what they do to a packet.
//!
//! An `accept` in our table does not override another table's drop: every base chain of a hook is
//! asked, and one that drops is enough. So whether our traffic passes depends on rules that are not
//! ours. They are read, never written, and only as far as they can be understood: a condition that
//! is not, may hold or not, and then the answer is unclear rather than wrong.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::Family;

use crate::objects::{HookPoint, Policy};

/// Every chain of a kernel that is not ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The chains.
    pub chains: Vec<FilterChain>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterChain {
    /// `ip`, `ip6`, `inet`, …; `iptables-legacy` where nftables does not know it.
    pub family: String,
    /// The table.
    pub table: String,
    /// The chain.
    pub name: String,
    /// Where packets enter it; none if it is only jumped to.
    pub base: Option<Base>,
    /// Its rules, in order.
    pub rules: Vec<FilterRule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The point in a packet's way.
    pub point: HookPoint,
    /// What happens to packets that no rule decided.
    pub policy: Policy,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterRule {
    /// All must hold.
    pub tests: Vec<Test>,
    /// What is decided then; none where the packet goes on to the next rule.
    pub verdict: Option<Verdict>,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The interface that it came in by: a name or the beginning of one.
    In(Pattern),
    /// The interface that it leaves by.
    Out(Pattern),
    /// Its source.
    Source(IpNet, bool),
    /// Its destination.
    Destination(IpNet, bool),
    /// Its family.
    Family(Family, bool),
    /// The state of its connection (`NF_CT_STATE_BIT`), any of these.
    State(u32, bool),
    /// Something that is not understood: its name.
    Other(String),
}

/// Which interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The name, or the beginning of it.
    pub name: String,
    /// It is a beginning.
    pub prefix: bool,
    /// Any interface but these.
    pub not: bool,
}

/// What a rule decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, as far as this hook's chain is concerned.
    Accept,
    /// It is dropped or refused.
    Drop,
    /// On in another chain, and back.
    Jump(String),
    /// On in another chain, and not back.
    Goto(String),
    /// Back.
    Return,
    /// Something that is not understood, as a queue.
    Other,
}

/// The first packet of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Packet {
    /// The interface that it comes in by.
    pub input: String,
    /// The interface that it leaves by.
    pub output: String,
    /// Its source.
    pub source: std::net::IpAddr,
    /// Its destination.
    pub destination: std::net::IpAddr,
}

/// What becomes of a packet in a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It passes.
    Passes,
    /// It passes only if a rule that is not understood lets it.
    Unclear,
    /// It is dropped.
    Dropped,
}

/// The bit of a new connection's state (`NF_CT_STATE_BIT(IP_CT_NEW)`).
const NEW: u32 = 8;
/// How deep chains may call each other (`NFT_JUMP_STACK_SIZE`).
const DEPTH: usize = 16;

/// Whether something holds of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    Maybe,
}

impl Filter {
    /// What every base chain at a point does to a packet.
    #[must_use]
    pub fn fates(&self, point: HookPoint, packet: &Packet) -> Vec<(&FilterChain, Fate)> {
        let family = Family::of(packet.source);
        let fate = |chain: &FilterChain, policy| {
            let mut walk = Walk {
                filter: self,
                packet,
                may_accept: false,
            };
            match walk.chain(chain, 0) {
                Some(Verdict::Accept) => Fate::Passes,
                Some(Verdict::Drop) => walk.dropped(),
                Some(_) => Fate::Unclear,
                None if policy == Policy::Drop => walk.dropped(),
                None => Fate::Passes,
            }
        };
        let chains = self
            .chains
            .iter()
            .filter(|chain| sees(&chain.family, family));
        let based = chains.filter_map(|chain| Some((chain, chain.base?)));
        based
            .filter(|(_, base)| base.point == point)
            .map(|(chain, base)| (chain, fate(chain, base.policy)))
            .collect()
    }

    /// Whether a table has a chain.
    #[must_use]
    pub fn has_chain(&self, family: &str, table: &str, name: &str) -> bool {
        let mut chains = self.chains.iter();
        chains.any(|c| c.family == family && c.table == table && c.name == name)
    }

    /// The names of the tables, with their families.
    #[must_use]
    pub fn tables(&self) -> BTreeSet<(String, String)> {
        let chains = self.chains.iter();
        chains
            .map(|c| (c.family.clone(), c.table.clone()))
            .collect()
    }
}

/// Whether a table sees packets of a family.
fn sees(table: &str, family: Family) -> bool {
    match family {
        Family::V4 => matches!(table, "ip" | "inet" | "iptables-legacy"),
        Family::V6 => matches!(table, "ip6" | "inet" | "ip6tables-legacy"),
    }
}

struct Walk<'a> {
    filter: &'a Filter,
    packet: &'a Packet,
    /// A rule that is not understood could have let it pass.
    may_accept: bool,
}

impl Walk<'_> {
    fn dropped(&self) -> Fate {
        if self.may_accept {
            Fate::Unclear
        } else {
            Fate::Dropped
        }
    }

    /// What a chain decides: `Accept`, `Drop` or `Other`; nothing if it decides nothing. A rule that
    /// may hold counts only where it lets the packet pass: many rules drop what is odd.
    fn chain(&mut self, chain: &FilterChain, depth: usize) -> Option<Verdict> {
        if depth > DEPTH {
            return Some(Verdict::Other);
        }
        for rule in &chain.rules {
            let holds =
                rule.tests
                    .iter()
                    .fold(Holds::Yes, |all, test| match (all, self.holds(test)) {
                        (Holds::No, _) | (_, Holds::No) => Holds::No,
                        (Holds::Maybe, _) | (_, Holds::Maybe) => Holds::Maybe,
                        _ => Holds::Yes,
                    });
            let Some(verdict) = rule.verdict.as_ref().filter(|_| holds != Holds::No) else {
                continue;
            };
            let (decided, ends) = match verdict {
                Verdict::Return => (None, true),
                Verdict::Jump(name) => (self.call(chain, name, depth), false),
                Verdict::Goto(name) => (self.call(chain, name, depth), true),
                other => (Some(other.clone()), true),
            };
            match holds {
                Holds::Yes if ends || decided.is_some() => return decided,
                Holds::Maybe if !matches!(decided, None | Some(Verdict::Drop)) => {
                    self.may_accept = true
                }
                _ => {}
            }
        }
        None
    }

    fn call(&mut self, from: &FilterChain, name: &str, depth: usize) -> Option<Verdict> {
        let filter = self.filter;
        let chain = filter.chains.iter().find(|chain| {
            chain.name == name && chain.table == from.table && chain.family == from.family
        });
        match chain {
            Some(chain) => self.chain(chain, depth + 1),
            // It was removed while it was read.
            None => Some(Verdict::Other),
        }
    }

    fn holds(&self, test: &Test) -> Holds {
        let packet = self.packet;
        let (holds, not) = match test {
            Test::In(pattern) => (pattern.fits(&packet.input), pattern.not),
            Test::Out(pattern) => (pattern.fits(&packet.output), pattern.not),
            Test::Source(net, not) => (net.contains(&packet.source), *not),
            Test::Destination(net, not) => (net.contains(&packet.destination), *not),
            Test::Family(family, not) => (Family::of(packet.source) == *family, *not),
            Test::State(mask, not) => (mask & NEW != 0, *not),
            Test::Other(_) => return Holds::Maybe,
        };
        if holds == not { Holds::No } else { Holds::Yes }
    }
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        if self.prefix {
            name.starts_with(&self.name)
        } else {
            name == self.name
        }
    }
}

#[cfg(test)]
mod tests;

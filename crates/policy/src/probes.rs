//! Traffic that rules tell apart: of all ports between two that some rule names, one stands for all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use tombolo_model::kinds::policy::{Direction, PortMatch, ProtocolMatch};
use tombolo_model::{Family, World};

use crate::rulebook::{Rule, Rulebook};

/// A protocol that stands for all that no rule names (RFC 3692: for experiments).
const OTHER: ProtocolMatch = ProtocolMatch(253);

/// Packets that no rule tells apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Traffic {
    /// A protocol with ports, and destination ports from the first to the last.
    Ports(ProtocolMatch, u16, u16),
    /// ICMP or ICMPv6: a type and code.
    Icmp(u8, u8),
    /// Another protocol.
    Protocol(ProtocolMatch),
    /// Every protocol that no rule names.
    OtherProtocols,
}

impl Traffic {
    /// One packet of it: protocol, destination port, type and code.
    pub(crate) fn sample(&self, family: Family) -> (ProtocolMatch, Option<u16>, Option<(u8, u8)>) {
        let icmp = match family {
            Family::V4 => ProtocolMatch::ICMP,
            Family::V6 => ProtocolMatch::ICMPV6,
        };
        match self {
            Traffic::Ports(protocol, first, _) => (*protocol, Some(*first), None),
            Traffic::Icmp(icmp_type, code) => (icmp, None, Some((*icmp_type, *code))),
            Traffic::Protocol(protocol) => (*protocol, None, None),
            Traffic::OtherProtocols => (OTHER, None, None),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Traffic::Ports(protocol, 0, u16::MAX) => write!(f, "{protocol}"),
            Traffic::Ports(protocol, first, last) if first == last => {
                write!(f, "{protocol} {first}")
            }
            Traffic::Ports(protocol, first, last) => write!(f, "{protocol} {first}-{last}"),
            Traffic::Icmp(8 | 128, 0) => f.write_str("ping"),
            Traffic::Icmp(icmp_type, code) => write!(f, "ICMP type {icmp_type} code {code}"),
            Traffic::Protocol(protocol) => write!(f, "protocol {protocol}"),
            Traffic::OtherProtocols => f.write_str("other protocols"),
        }
    }
}

/// What the rules of Worlds tell apart.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    /// By protocol, the ports at which a range begins.
    ports: BTreeMap<ProtocolMatch, BTreeSet<u16>>,
    protocols: BTreeSet<ProtocolMatch>,
    icmp: BTreeSet<(u8, u8)>,
}

impl Probes {
    /// Adds what the rules of a World name.
    pub(crate) fn add(&mut self, world: &World, rulebook: &Rulebook) {
        for protocol in [ProtocolMatch::TCP, ProtocolMatch::UDP] {
            self.ports.entry(protocol).or_default().insert(0);
        }
        for rule in rules(rulebook) {
            for protocol in rule.protocol.iter().chain(&rule.not_protocol) {
                self.add_protocol(*protocol);
            }
            for icmp in rule.icmp.iter().chain(&rule.not_icmp) {
                let code = icmp.code.unwrap_or_default();
                self.icmp
                    .extend(icmp.icmp_type.map(|icmp_type| (icmp_type, code)));
            }
            let ports = rule.destination.ports.iter();
            for port in ports.chain(rule.destination.not_ports) {
                if let (Some(protocol), PortMatch::Range(first, last)) = (rule.protocol, port) {
                    self.add_range(protocol, *first, *last);
                }
            }
        }
        let named = world.endpoints.values();
        for port in named.flat_map(|endpoint| &endpoint.spec.named_ports) {
            if self.ports.contains_key(&port.protocol) {
                self.add_range(port.protocol, port.port, port.port);
            }
        }
    }

    fn add_protocol(&mut self, protocol: ProtocolMatch) {
        if protocol.has_ports() {
            self.ports.entry(protocol).or_default().insert(0);
        } else if ![ProtocolMatch::ICMP, ProtocolMatch::ICMPV6].contains(&protocol) {
            self.protocols.insert(protocol);
        }
    }

    fn add_range(&mut self, protocol: ProtocolMatch, first: u16, last: u16) {
        let starts = self.ports.entry(protocol).or_default();
        starts.extend([0, first]);
        starts.extend(last.checked_add(1));
    }

    /// Everything that is told apart, for a family.
    pub(crate) fn all(&self, family: Family) -> Vec<Traffic> {
        let ports = self.ports.iter().flat_map(|(protocol, starts)| {
            let ends = starts.iter().skip(1).map(|next| next - 1);
            let ranges = starts.iter().zip(ends.chain([u16::MAX]));
            ranges.map(|(first, last)| Traffic::Ports(*protocol, *first, last))
        });
        let echo = match family {
            Family::V4 => (8, 0),
            Family::V6 => (128, 0),
        };
        let icmp: BTreeSet<_> = self.icmp.iter().copied().chain([echo]).collect();
        let icmp = icmp
            .into_iter()
            .map(|(kind, code)| Traffic::Icmp(kind, code));
        let protocols = self.protocols.iter().copied().map(Traffic::Protocol);
        let all = ports.chain(icmp).chain(protocols);
        all.chain([Traffic::OtherProtocols]).collect()
    }
}

/// Ranges of ports that follow each other become one.
pub(crate) fn joined(traffic: &[Traffic]) -> Vec<Traffic> {
    let mut joined: Vec<Traffic> = Vec::new();
    for next in traffic {
        if let (Some(Traffic::Ports(a, _, end)), Traffic::Ports(b, first, last)) =
            (joined.last_mut(), next)
            && a == b
            && end.checked_add(1) == Some(*first)
        {
            *end = *last;
        } else {
            joined.push(next.clone());
        }
    }
    joined
}

/// Every rule.
pub(crate) fn rules<'e, 'a>(rulebook: &'e Rulebook<'a>) -> impl Iterator<Item = &'e Rule<'a>> {
    let policies = rulebook.tiers.iter().flat_map(|tier| &tier.policies);
    let of_policies = policies.flat_map(|policy| {
        let rules = Direction::ALL.map(|direction| policy.rules(direction).unwrap_or_default());
        rules.into_iter().flatten()
    });
    let profiles = rulebook.profiles.values();
    let of_profiles = profiles.flat_map(|profile| profile.ingress.iter().chain(&profile.egress));
    of_policies.chain(of_profiles)
}

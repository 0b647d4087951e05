//! A policy's rules as those of a packet filter.
//!
//! One rule becomes as many as it has alternatives: a family, the addresses or the prefixes of those
//! whom a selector is about, ports by number or by name.

use tombolo_model::Family;
use tombolo_model::kinds::policy::{Direction, PortMatch, ProtocolMatch, RuleAction};
use tombolo_policy::{End, Group, Rule};

use super::LOG_GROUP;
use super::stacks::PASS;
use super::writer::Writer;
use crate::host_plan::Origin;
use crate::objects::{
    Action, AddressMatch, Addresses, Match, PacketField, PortSet, Rule as NftRule, Side,
};

/// The chain that a rule with the action Pass goes to.
const PASS_CHAIN: &str = "pass";
/// Denied packets that are told of, of each rule: so many a second, and so many more at once.
const TOLD: (u32, u32) = (10, 20);
/// The longest prefix of what is told (`NF_LOG_PREFIXLEN`).
const PREFIX_LENGTH: usize = 127;

/// Conditions that all hold, in as many ways as they can.
type Ways = Vec<Vec<Match>>;

impl<'a> Writer<'_, 'a> {
    /// The rules of a policy or profile in a direction, as a chain of this name.
    pub fn rule_chain(&mut self, name: &str, rules: &[Rule<'a>], origin: &Origin) {
        if self.has_chain(name) {
            return;
        }
        let mut written = Vec::new();
        for rule in rules {
            self.rule(rule, origin, &mut written);
        }
        self.chain(name, None, written, origin.clone());
    }

    fn rule(&mut self, rule: &Rule<'a>, origin: &Origin, written: &mut Vec<NftRule>) {
        let which = format!(
            "{}[{}] of {}",
            rule.id.direction, rule.id.index, origin.resource
        );
        for matches in self.ways(rule, origin) {
            match rule.action {
                RuleAction::Allow => written.push(NftRule::new(matches, Action::Accept)),
                RuleAction::Deny => written.extend(denial(&matches, &which)),
                RuleAction::Log => written.push(told(&matches, &format!("log {which}"))),
                RuleAction::Pass => {
                    self.want_pass(origin);
                    written.push(NftRule::new(matches, Action::Goto(PASS_CHAIN.to_owned())));
                }
            }
        }
    }

    /// The chain that notes that a rule passed the packet on.
    fn want_pass(&mut self, origin: &Origin) {
        if !self.has_chain(PASS_CHAIN) {
            let note = NftRule::new(
                [],
                Action::MarkBits {
                    mask: PASS,
                    value: PASS,
                },
            );
            self.chain(PASS_CHAIN, None, vec![note], origin.clone());
        }
    }

    /// In which ways a rule can match.
    fn ways(&mut self, rule: &Rule<'a>, origin: &Origin) -> Ways {
        let fits = |family: &Family| match (rule.family, rule.protocol) {
            (Some(wanted), _) if wanted != *family => false,
            (_, Some(ProtocolMatch::ICMP)) => *family == Family::V4,
            (_, Some(ProtocolMatch::ICMPV6)) => *family == Family::V6,
            _ => true,
        };
        let families: Vec<Family> = self.families.iter().copied().filter(fits).collect();
        let of_one_family = rule.family.is_some() || rule.icmp.is_some() || rule.not_icmp.is_some();
        let plain = !has_addresses(&rule.source) && !has_addresses(&rule.destination);
        if plain && !of_one_family {
            return self.ways_in(rule, None, origin);
        }
        let mut ways = Vec::new();
        for family in families {
            ways.extend(self.ways_in(rule, Some(family), origin));
        }
        ways
    }

    fn ways_in(&mut self, rule: &Rule<'a>, family: Option<Family>, origin: &Origin) -> Ways {
        let mut common = Vec::new();
        common.extend(family.map(Match::Family));
        let protocol = |protocol: Option<ProtocolMatch>, not| {
            protocol.map(|protocol| Match::ProtocolNumber {
                number: protocol.0,
                not,
            })
        };
        common.extend(protocol(rule.protocol, false));
        common.extend(protocol(rule.not_protocol, true));
        for (icmp, not) in [(rule.icmp, false), (rule.not_icmp, true)] {
            if let (Some(icmp_type), Some(family)) = (icmp.and_then(|icmp| icmp.icmp_type), family)
            {
                let code = icmp.and_then(|icmp| icmp.code);
                common.push(Match::Icmp {
                    family,
                    icmp_type,
                    code,
                    not,
                });
            }
        }
        let mut ways = vec![common];
        for (end, side) in [
            (&rule.source, Side::Source),
            (&rule.destination, Side::Destination),
        ] {
            let at = At {
                side,
                family,
                protocol: rule.protocol,
                origin,
            };
            let Some(more) = self.end(end, &at) else {
                return Vec::new();
            };
            ways = both(&ways, &more);
        }
        ways
    }

    /// The conditions on one end; none if it cannot hold in the family.
    fn end(&mut self, end: &End<'a>, at: &At<'_>) -> Option<Ways> {
        let mut ways: Ways = vec![Vec::new()];
        if let Some(family) = at.family {
            let in_family = |net: &&ipnet::IpNet| Family::of_net(**net) == family;
            let nets: Vec<_> = end
                .nets
                .iter()
                .filter(in_family)
                .map(ipnet::IpNet::trunc)
                .collect();
            if nets.is_empty() && !end.nets.is_empty() {
                return None;
            }
            if !nets.is_empty() && !nets.contains(&family.default_net()) {
                ways = both(&ways, &[vec![self.in_nets(&nets, at, family, false)]]);
            }
            let not_nets: Vec<_> = end
                .not_nets
                .iter()
                .filter(in_family)
                .map(ipnet::IpNet::trunc)
                .collect();
            if not_nets.contains(&family.default_net()) {
                return None;
            }
            if !not_nets.is_empty() {
                ways = both(&ways, &[vec![self.in_nets(&not_nets, at, family, true)]]);
            }
            if let Some(group) = end.group {
                ways = both(&ways, &self.in_group(group, at, family));
            }
            if let Some(group) = end.not_group {
                let none: Vec<Match> = self.not_in_group(group, at, family);
                ways = both(&ways, &[none]);
            }
        }
        if !end.ports.is_empty() {
            ways = both(&ways, &self.on_ports(end.ports, at, false));
        }
        if !end.not_ports.is_empty() {
            let none = self.on_ports(end.not_ports, at, true).concat();
            ways = both(&ways, &[none]);
        }
        Some(ways)
    }

    fn in_nets(&mut self, nets: &[ipnet::IpNet], at: &At<'_>, family: Family, not: bool) -> Match {
        let addresses = match nets {
            [net] => Addresses::Net(*net),
            nets => Addresses::Set(self.nets(nets, family, at.origin)),
        };
        at.address(family, addresses, not)
    }

    fn in_group(&mut self, group: Group<'a>, at: &At<'_>, family: Family) -> Ways {
        let sets = self.group(group, at.origin);
        let sets = [Some(sets.addresses(family)), sets.ranges(family)];
        let sets = sets.into_iter().flatten();
        sets.map(|set| vec![at.address(family, Addresses::Set(set), false)])
            .collect()
    }

    fn not_in_group(&mut self, group: Group<'a>, at: &At<'_>, family: Family) -> Vec<Match> {
        let sets = self.group(group, at.origin);
        let sets = [Some(sets.addresses(family)), sets.ranges(family)];
        let sets = sets.into_iter().flatten();
        sets.map(|set| at.address(family, Addresses::Set(set), true))
            .collect()
    }

    /// The ways in which a port is one of these, or the conditions that it is none of them.
    fn on_ports(&mut self, ports: &[PortMatch], at: &At<'_>, not: bool) -> Ways {
        let numbers: Vec<(u16, u16)> = ports
            .iter()
            .filter_map(|port| match port {
                PortMatch::Range(first, last) => Some((*first, *last)),
                PortMatch::Named(_) => None,
            })
            .collect();
        let mut ways = Vec::new();
        let set = match numbers.as_slice() {
            [] => None,
            [(first, last)] => Some(PortSet::Range(*first, *last)),
            many => Some(PortSet::Set(self.ports(many, at.origin))),
        };
        ways.extend(set.map(|ports| {
            vec![Match::Ports {
                side: at.side,
                ports,
                not,
            }]
        }));
        for port in ports {
            if let (PortMatch::Named(name), Some(family), Some(protocol)) =
                (port, at.family, at.protocol)
            {
                let set = self.named(name, protocol, family, at.origin);
                let (address, port) = match at.side {
                    Side::Source => (PacketField::Source(family), PacketField::SourcePort),
                    Side::Destination => (
                        PacketField::Destination(family),
                        PacketField::DestinationPort,
                    ),
                };
                let fields = vec![address, PacketField::Protocol, port];
                ways.push(vec![Match::InSet { fields, set, not }]);
            }
        }
        ways
    }
}

/// The end that is looked at.
struct At<'o> {
    side: Side,
    family: Option<Family>,
    protocol: Option<ProtocolMatch>,
    origin: &'o Origin,
}

impl At<'_> {
    fn address(&self, family: Family, addresses: Addresses, not: bool) -> Match {
        let wanted = AddressMatch {
            family,
            addresses,
            not,
        };
        match self.side {
            Side::Source => Match::Source(wanted),
            Side::Destination => Match::Destination(wanted),
        }
    }
}

/// Whether something is said that needs to know the family.
fn has_addresses(end: &End<'_>) -> bool {
    let named = |ports: &[PortMatch]| ports.iter().any(|port| matches!(port, PortMatch::Named(_)));
    !end.nets.is_empty()
        || !end.not_nets.is_empty()
        || end.group.is_some()
        || end.not_group.is_some()
        || named(end.ports)
        || named(end.not_ports)
}

/// Every way of the one with every way of the other.
fn both(some: &[Vec<Match>], more: &[Vec<Match>]) -> Ways {
    let pairs = some
        .iter()
        .flat_map(|a| more.iter().map(move |b| [a.as_slice(), b].concat()));
    pairs.collect()
}

/// Drops what matches: it is counted, and some of it told of.
pub(super) fn denial(matches: &[Match], why: &str) -> [NftRule; 2] {
    let drop = NftRule::new(matches.to_vec(), Action::Drop).counted();
    [told(matches, &format!("deny {why}")), drop]
}

fn told(matches: &[Match], prefix: &str) -> NftRule {
    let (per_second, burst) = TOLD;
    let mut matches = matches.to_vec();
    matches.push(Match::Limit { per_second, burst });
    let mut prefix = prefix.to_owned();
    // Names are letters, digits and signs of ASCII.
    prefix.truncate(PREFIX_LENGTH);
    NftRule::new(
        matches,
        Action::Log {
            group: LOG_GROUP,
            prefix,
        },
    )
}

/// Whether a rule of the list passes packets on.
pub(super) fn passes(rules: &[Rule<'_>]) -> bool {
    rules.iter().any(|rule| rule.action == RuleAction::Pass)
}

/// How a direction begins the names of its chains.
pub(super) fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

//! What the evaluator notes down while it judges: everything, or nothing where only the answer counts.

use tombolo_model::kinds::policy::{PortMatch, source_line, source_of};
use tombolo_model::{Metadata, Name, ResourceKey};

use crate::addresses::Place;
use crate::matching::{Condition, Packet, Part};
use crate::rulebook::{End, Group, Policy, Rule, Scope, Tier};
use crate::verdict::{RuleName, Step};

/// The policy or profile that a rule is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'e> {
    pub(crate) key: &'e ResourceKey,
    pub(crate) metadata: &'e Metadata,
}

/// Takes note of what is looked at.
pub(crate) trait Trace {
    fn tier(&mut self, tier: &Tier);
    fn policy(&mut self, policy: &Policy, rules: usize);
    fn profile(&mut self, name: &Name, exists: bool);
    fn rule(&mut self, origin: Origin, rule: &Rule, failed: Option<Condition>);
    fn tier_end(&mut self, tier: &Tier);
}

/// Notes nothing.
pub(crate) struct Silent;

impl Trace for Silent {
    fn tier(&mut self, _: &Tier) {}
    fn policy(&mut self, _: &Policy, _: usize) {}
    fn profile(&mut self, _: &Name, _: bool) {}
    fn rule(&mut self, _: Origin, _: &Rule, _: Option<Condition>) {}
    fn tier_end(&mut self, _: &Tier) {}
}

/// Notes everything, in words.
pub(crate) struct Notes<'e, 'a> {
    pub(crate) packet: &'e Packet<'a>,
    pub(crate) steps: Vec<Step>,
}

impl Trace for Notes<'_, '_> {
    fn tier(&mut self, tier: &Tier) {
        self.steps.push(Step::Tier(tier.name.clone()));
    }

    fn policy(&mut self, policy: &Policy, rules: usize) {
        self.steps.push(Step::Policy {
            policy: policy.key.clone(),
            line: source_of(policy.metadata),
            rules,
        });
    }

    fn profile(&mut self, name: &Name, exists: bool) {
        let name = name.clone();
        self.steps.push(Step::Profile { name, exists });
    }

    fn rule(&mut self, origin: Origin, rule: &Rule, failed: Option<Condition>) {
        let packet = self.packet;
        self.steps.push(Step::Rule {
            rule: rule_name(origin, rule),
            action: rule.action,
            failed: failed.map(|failed| failed.words(rule, packet)),
        });
    }

    fn tier_end(&mut self, tier: &Tier) {
        self.steps.push(Step::TierEnd {
            tier: tier.name.clone(),
            action: tier.default_action,
        });
    }
}

/// A rule by name and line.
pub(crate) fn rule_name(origin: Origin, rule: &Rule) -> RuleName {
    let id = rule.id;
    RuleName {
        resource: origin.key.clone(),
        direction: id.direction,
        index: id.index,
        line: source_line(origin.metadata, id.direction, id.index),
    }
}

impl Condition {
    /// Why it does not hold.
    pub(crate) fn words(self, rule: &Rule, packet: &Packet) -> String {
        let icmp = || {
            let (kind, code) = packet.icmp.unwrap_or_default();
            format!("it is type {kind} code {code}")
        };
        match self {
            Condition::Family => format!("it is {}", packet.family),
            Condition::Protocol | Condition::NotProtocol => {
                let wanted = rule.protocol.filter(|_| self == Condition::Protocol);
                match wanted {
                    Some(wanted) => format!("the protocol is {}, not {wanted}", packet.protocol),
                    None => format!("the protocol is {}", packet.protocol),
                }
            }
            Condition::Icmp if packet.icmp.is_none() => "it is not ICMP".to_owned(),
            Condition::Icmp | Condition::NotIcmp => icmp(),
            Condition::Source(part) => {
                let side = Side {
                    name: "source",
                    end: &rule.source,
                    place: &packet.source,
                    port: packet.source_port,
                };
                side.words(part)
            }
            Condition::Destination(part) => {
                let side = Side {
                    name: "destination",
                    end: &rule.destination,
                    place: &packet.destination,
                    port: packet.destination_port,
                };
                side.words(part)
            }
        }
    }
}

/// One end of a packet, and what a rule says of it.
struct Side<'e> {
    name: &'static str,
    end: &'e End<'e>,
    place: &'e Place<'e>,
    port: Option<u16>,
}

impl Side<'_> {
    fn words(&self, part: Part) -> String {
        let (name, place, end) = (self.name, self.place, self.end);
        let group = |group: Option<Group>| group.map(|g| g.to_string()).unwrap_or_default();
        match part {
            Part::Nets => format!("the {name} {place} is not in {}", list(end.nets)),
            Part::NotNets => format!("the {name} {place} is in {}", list(end.not_nets)),
            Part::Group => format!("the {name} {place} is not one of {}", group(end.group)),
            Part::NotGroup => format!("the {name} {place} is one of {}", group(end.not_group)),
            Part::Ports => match self.port {
                Some(port) => {
                    format!("the {name} port {port} is not {}", self.ports(end.ports))
                }
                None => format!("it has no {name} port, so not {}", self.ports(end.ports)),
            },
            Part::NotPorts => {
                let port = self.port.unwrap_or_default();
                format!(
                    "the {name} port {port} is one of {}",
                    self.ports(end.not_ports)
                )
            }
        }
    }

    fn ports(&self, ports: &[PortMatch]) -> String {
        let named = ports.iter().any(|p| matches!(p, PortMatch::Named(_)));
        let known = self.place.station.is_some() || !self.place.hosts.is_empty();
        match named && !known {
            true => format!(
                "{} (nobody is known who has ports of that name)",
                list(ports)
            ),
            false => list(ports),
        }
    }
}

/// The first few of a list, and how many more there are.
pub(crate) fn list<T: ToString>(items: &[T]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<_> = items.iter().take(SHOWN).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match items.len() {
        0..=SHOWN => shown,
        more => format!("{shown} and {} more", more - SHOWN),
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(station) = &self.station {
            let metadata = &station.endpoint.metadata;
            if let Some(namespace) = &metadata.namespace {
                write!(f, "{namespace}/")?;
            }
            return write!(f, "{}", metadata.name);
        }
        match (self.node, self.address) {
            (Some(node), _) => write!(f, "host {node}"),
            (None, Some(address)) => write!(f, "{address}"),
            (None, None) => f.write_str("nobody"),
        }
    }
}

impl std::fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.selector {
            Some(selector) => write!(f, "{selector}")?,
            None => f.write_str("all()")?,
        }
        match self.scope {
            Scope::Everywhere => Ok(()),
            Scope::Namespace(namespace) => write!(f, " in namespace {namespace}"),
            Scope::Namespaces(selector) if selector.is_global() => f.write_str(" of no namespace"),
            Scope::Namespaces(selector) => write!(f, " in namespaces with {selector}"),
        }
    }
}

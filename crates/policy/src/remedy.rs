//! What would make a rule's one failing condition hold.

use tombolo_model::kinds::policy::{PortMatch, ProtocolMatch};
use tombolo_model::{Name, ResourceKey};

use crate::addresses::Place;
use crate::advice::{Remedy, Trial};
use crate::directory::{Directory, Labels};
use crate::flow::{Flow, Party};
use crate::labels;
use crate::matching::{Condition, Packet, Part};
use crate::rulebook::{End, Group, Rule, Scope};
use crate::trace::list;

/// At most so many labels are asked for.
const LABELS: usize = 2;

/// A rule that was not about a flow.
pub(crate) struct Case<'e, 'a> {
    pub(crate) flow: &'e Flow,
    pub(crate) packet: &'e Packet<'a>,
    pub(crate) directory: &'e Directory<'a>,
    pub(crate) rule: &'e Rule<'e>,
}

impl Case<'_, '_> {
    /// What would make a condition hold; nothing where that is not worth saying.
    pub(crate) fn remedy(&self, failed: Condition) -> Option<Remedy> {
        match failed {
            Condition::Family => {
                let family = self.rule.family?;
                let flow = Flow {
                    family: Some(family),
                    ..self.flow.clone()
                };
                by_flow(format!("it were {family}"), flow)
            }
            Condition::Protocol => {
                let protocol = self.rule.protocol?;
                let flow = Flow {
                    protocol,
                    icmp: None,
                    ..self.flow.clone()
                };
                by_flow(format!("the protocol were {protocol}"), flow)
            }
            Condition::Icmp => {
                let wanted = self.rule.icmp?;
                let (icmp_type, code) = self.packet.icmp?;
                let icmp_type = wanted.icmp_type.unwrap_or(icmp_type);
                let code = wanted.code.unwrap_or(code);
                let flow = Flow {
                    icmp: Some((icmp_type, code)),
                    ..self.flow.clone()
                };
                by_flow(format!("it were type {icmp_type} code {code}"), flow)
            }
            Condition::NotProtocol | Condition::NotIcmp => None,
            Condition::Source(part) => self.at("source", part),
            Condition::Destination(part) => self.at("destination", part),
        }
    }

    fn at(&self, name: &'static str, part: Part) -> Option<Remedy> {
        let (end, place) = match name {
            "source" => (&self.rule.source, &self.packet.source),
            _ => (&self.rule.destination, &self.packet.destination),
        };
        let words = |words: String| {
            Some(Remedy {
                words,
                trial: Trial::Untried,
            })
        };
        match part {
            Part::Nets => words(format!("the {name} {place} were in {}", list(end.nets))),
            Part::NotNets => words(format!(
                "the {name} {place} were not in {}",
                list(end.not_nets)
            )),
            Part::Ports => self.port(name, end, place),
            Part::NotPorts => words(format!(
                "the {name} port were none of {}",
                list(end.not_ports)
            )),
            Part::Group => self.group(end.group?, place),
            Part::NotGroup => words(format!("{place} were not one of {}", end.not_group?)),
        }
    }

    /// Another port; where the rule has only names, the port that has one of them.
    fn port(&self, name: &str, end: &End, place: &Place) -> Option<Remedy> {
        let protocol = self.packet.protocol;
        let number = end.ports.iter().find_map(|port| match port {
            PortMatch::Range(first, _) => Some(*first),
            PortMatch::Named(wanted) => named_port(place, wanted, protocol),
        });
        let Some(number) = number else {
            let words = format!("{place} had a {protocol} port named {}", list(end.ports));
            return Some(Remedy {
                words,
                trial: Trial::Untried,
            });
        };
        let mut flow = self.flow.clone();
        match name {
            "source" => flow.source_port = Some(number),
            _ => flow.destination_port = Some(number),
        }
        by_flow(format!("the {name} port were {}", list(end.ports)), flow)
    }

    /// Other labels, of an endpoint or of its namespace.
    fn group(&self, group: Group, place: &Place) -> Option<Remedy> {
        let Some(station) = place.station else {
            return Some(Remedy {
                words: format!("{place} were of a set that is one of {group}"),
                trial: Trial::Untried,
            });
        };
        let class = &self.directory.classes[station.class];
        let key = station.endpoint.key();
        let anybody = Group {
            selector: None,
            ..group
        };
        if self
            .directory
            .is_in(anybody, class.namespace, &class.labels)
        {
            return by_labels(&key, group, &class.labels);
        }
        let anywhere = Group {
            scope: Scope::Everywhere,
            ..group
        };
        if !self
            .directory
            .is_in(anywhere, class.namespace, &class.labels)
        {
            return None;
        }
        match group.scope {
            Scope::Namespaces(selector) if !selector.is_global() => {
                let namespace = class.namespace?;
                let edits = labels::edits(selector.expr(), self.directory.namespace(namespace)?)?;
                let few = (1..=LABELS).contains(&edits.len());
                few.then(|| Remedy {
                    words: format!("Namespace {namespace} had {}", all(&edits)),
                    trial: Trial::Namespace(namespace.clone(), edits),
                })
            }
            Scope::Namespace(namespace) => Some(Remedy {
                words: format!("{place} were in namespace {namespace}"),
                trial: Trial::Untried,
            }),
            _ => None,
        }
    }
}

fn by_flow(words: String, flow: Flow) -> Option<Remedy> {
    // Of an address nothing can be changed, its family least of all.
    let fits = |party: &Party| match (party, flow.family) {
        (Party::Address { address, .. }, Some(family)) => {
            tombolo_model::Family::of(*address) == family
        }
        _ => true,
    };
    (fits(&flow.from) && fits(&flow.to)).then_some(Remedy {
        words,
        trial: Trial::Flow(flow),
    })
}

fn by_labels(key: &ResourceKey, group: Group, labels: &Labels) -> Option<Remedy> {
    let edits = labels::edits(group.selector?.expr(), labels)?;
    let namespace: Name = key.namespace.clone()?;
    let few = (1..=LABELS).contains(&edits.len());
    few.then(|| Remedy {
        words: format!("{key} had {}", all(&edits)),
        trial: Trial::Labels((namespace, key.name.clone()), edits),
    })
}

fn all(edits: &[labels::Edit]) -> String {
    let edits: Vec<_> = edits.iter().map(ToString::to_string).collect();
    edits.join(" and ")
}

fn named_port(place: &Place, name: &str, protocol: ProtocolMatch) -> Option<u16> {
    let station = place.station.iter();
    let stations = station.flat_map(|station| &station.endpoint.spec.named_ports);
    let hosts = place.hosts.iter().flat_map(|host| &host.spec.ports);
    let mut ports = stations.chain(hosts);
    let port = ports.find(|port| port.name == name && port.protocol == protocol)?;
    Some(port.port)
}

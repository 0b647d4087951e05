//! Kubernetes' NetworkPolicy (`networking.k8s.io/v1`): read as it is written, and put into the words
//! of a [`NetworkPolicy`] that means the same.
//!
//! A policy allows what one of its rules allows, and denies the rest in the directions of its types.
//! A rule of theirs is peers × ports; it becomes one rule for each protocol and peer, ranges of
//! addresses without exceptions together. What the API refuses is refused here, too, so that what is
//! accepted here is accepted there.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::labels::LabelSelector;
use super::{Source, explain, join};
use crate::kinds::policy::{
    Direction, EntityMatch, Order, PolicyRule, PortMatch, ProtocolMatch, RuleAction, Tier,
};
use crate::kinds::{Endpoint, NetworkPolicy};
use crate::names::Name;
use crate::net::Family;
use crate::resource::FieldError;
use crate::selector::{Expr, Selector};

/// What a policy's name begins with here, so that it is told apart from policies of our own.
pub(super) const NAME_PREFIX: &str = "knp.default.";
/// Its place among the policies of the default tier.
const ORDER: f64 = 1000.0;

/// A policy, and where its rules come from.
pub(super) struct Converted {
    pub spec: NetworkPolicy,
    /// For each of our rules the place of theirs, from 0.
    pub ingress: Vec<usize>,
    pub egress: Vec<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(default)]
    spec: Option<Spec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    pod_selector: Option<LabelSelector>,
    policy_types: Option<Vec<Direction>>,
    ingress: Option<Vec<IngressRule>>,
    egress: Option<Vec<EgressRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressRule {
    from: Option<Vec<Peer>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EgressRule {
    to: Option<Vec<Peer>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Peer {
    pod_selector: Option<LabelSelector>,
    namespace_selector: Option<LabelSelector>,
    ip_block: Option<IpBlock>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IpBlock {
    cidr: IpNet,
    except: Option<Vec<IpNet>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Port {
    protocol: Option<Transport>,
    port: Option<PortName>,
    end_port: Option<u16>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Transport {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
enum PortName {
    Number(u16),
    Name(String),
}

/// One of their rules, and where it stands.
struct Rule<'a> {
    at: String,
    peers_field: &'static str,
    peers: &'a [Peer],
    ports: &'a [Port],
}

/// Reads a policy. `whole` has no metadata any more.
pub(super) fn network_policy(
    whole: Map<String, Value>,
    source: &Source,
) -> Result<Converted, Vec<FieldError>> {
    let whole: Whole = explain::read_all("", Value::Object(whole), source, |value| {
        serde_path_to_error::deserialize(value)
            .map_err(|e| FieldError::new(e.path().to_string(), e.inner().to_string()))
    })?;
    let spec = whole.spec.unwrap_or_default();
    let (ingress, egress) = (spec.ingress_rules(), spec.egress_rules());
    let mut faults = Vec::new();
    if let Some(selector) = &spec.pod_selector {
        faults.extend(selector.faults("spec.podSelector"));
    }
    let rules = ingress.iter().chain(&egress);
    faults.extend(rules.flat_map(Rule::faults));
    if !faults.is_empty() {
        return Err(faults);
    }
    let policy = NetworkPolicy {
        tier: Name::new(Tier::DEFAULT).expect("letters make a name"),
        order: Order::try_from(ORDER).ok(),
        selector: selector(spec.pod_selector.as_ref(), Vec::new()),
        types: spec.types(),
        ingress: Vec::new(),
        egress: Vec::new(),
    };
    let mut converted = Converted {
        spec: policy,
        ingress: Vec::new(),
        egress: Vec::new(),
    };
    for (index, rule) in ingress.iter().enumerate() {
        let rules = rule.convert(Direction::Ingress);
        converted.ingress.extend(rules.iter().map(|_| index));
        converted.spec.ingress.extend(rules);
    }
    for (index, rule) in egress.iter().enumerate() {
        let rules = rule.convert(Direction::Egress);
        converted.egress.extend(rules.iter().map(|_| index));
        converted.spec.egress.extend(rules);
    }
    Ok(converted)
}

impl Spec {
    /// The directions, as the API fills them in: without any, ingress, and egress if there are
    /// rules for it.
    fn types(&self) -> Vec<Direction> {
        let has_egress = self.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let given = self.policy_types.as_deref().unwrap_or_default();
        let decided = |direction: &Direction| match given {
            [] => *direction == Direction::Ingress || has_egress,
            given => given.contains(direction),
        };
        Direction::ALL.into_iter().filter(decided).collect()
    }

    fn ingress_rules(&self) -> Vec<Rule<'_>> {
        let rules = self.ingress.iter().flatten().enumerate();
        rules
            .map(|(index, rule)| Rule::new("ingress", index, ("from", &rule.from), &rule.ports))
            .collect()
    }

    fn egress_rules(&self) -> Vec<Rule<'_>> {
        let rules = self.egress.iter().flatten().enumerate();
        rules
            .map(|(index, rule)| Rule::new("egress", index, ("to", &rule.to), &rule.ports))
            .collect()
    }
}

impl<'a> Rule<'a> {
    fn new(
        field: &str,
        index: usize,
        (peers_field, peers): (&'static str, &'a Option<Vec<Peer>>),
        ports: &'a Option<Vec<Port>>,
    ) -> Rule<'a> {
        Rule {
            at: format!("spec.{field}[{index}]"),
            peers_field,
            peers: peers.as_deref().unwrap_or_default(),
            ports: ports.as_deref().unwrap_or_default(),
        }
    }

    fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            peer.faults(
                &format!("{}.{}[{index}]", self.at, self.peers_field),
                &mut faults,
            );
        }
        for (index, port) in self.ports.iter().enumerate() {
            let fault = port.fault();
            let place = |(field, words): (&str, String)| {
                FieldError::new(format!("{}.ports[{index}].{field}", self.at), words)
            };
            faults.extend(fault.map(place));
        }
        faults
    }

    /// The same in our words: no peers are everybody, no ports all protocols.
    fn convert(&self, direction: Direction) -> Vec<PolicyRule> {
        let mut ends: Vec<EntityMatch> = Vec::new();
        for peer in self.peers {
            let end = peer.convert();
            match ends.last_mut() {
                Some(last)
                    if plain_ranges(last).is_some() && plain_ranges(last) == plain_ranges(&end) =>
                {
                    last.nets.extend(end.nets);
                }
                _ => ends.push(end),
            }
        }
        if self.peers.is_empty() {
            ends.push(EntityMatch::default());
        }
        let mut rules = Vec::new();
        for (protocol, ports) in self.protocols() {
            for peer in &ends {
                rules.push(rule(direction, peer.clone(), protocol, ports.clone()));
            }
        }
        rules
    }

    /// The ports by protocol, in the order in which protocols come first. A protocol without ports
    /// is all of its ports.
    fn protocols(&self) -> Vec<(Option<ProtocolMatch>, Vec<PortMatch>)> {
        if self.ports.is_empty() {
            return vec![(None, Vec::new())];
        }
        let mut groups: Vec<(ProtocolMatch, Option<Vec<PortMatch>>)> = Vec::new();
        for port in self.ports {
            let (protocol, port) = (port.protocol(), port.convert());
            let known = groups.iter_mut().find(|(known, _)| *known == protocol);
            match (known, port) {
                (None, port) => groups.push((protocol, port.map(|port| vec![port]))),
                (Some((_, ports)), None) => *ports = None,
                (Some((_, Some(ports))), Some(port)) if !ports.contains(&port) => ports.push(port),
                (Some(_), Some(_)) => {}
            }
        }
        let group = |(protocol, ports): (_, Option<_>)| (Some(protocol), ports.unwrap_or_default());
        groups.into_iter().map(group).collect()
    }
}

/// The family of an end that is ranges of addresses and nothing else; a rule has one family.
fn plain_ranges(end: &EntityMatch) -> Option<Family> {
    let first = end.nets.first().filter(|_| end.not_nets.is_empty());
    first.map(|net| Family::of_net(*net))
}

fn rule(
    direction: Direction,
    peer: EntityMatch,
    protocol: Option<ProtocolMatch>,
    ports: Vec<PortMatch>,
) -> PolicyRule {
    let (source, mut destination) = match direction {
        Direction::Ingress => (peer, EntityMatch::default()),
        Direction::Egress => (EntityMatch::default(), peer),
    };
    destination.ports = ports;
    PolicyRule {
        protocol,
        source,
        destination,
        ..PolicyRule::new(RuleAction::Allow)
    }
}

impl Peer {
    fn convert(&self) -> EntityMatch {
        if let Some(block) = &self.ip_block {
            let except = block.except.iter().flatten();
            return EntityMatch {
                nets: vec![block.cidr.trunc()],
                not_nets: except.map(IpNet::trunc).collect(),
                ..EntityMatch::default()
            };
        }
        // Pods, and nothing else that has labels in a namespace, as a NetworkSet.
        let pods = vec![Expr::Has(Endpoint::LABEL.0.to_owned())];
        let namespaces = self.namespace_selector.as_ref();
        EntityMatch {
            selector: Some(selector(self.pod_selector.as_ref(), pods)),
            namespace_selector: namespaces.map(|named| selector(Some(named), Vec::new())),
            ..EntityMatch::default()
        }
    }

    fn faults(&self, at: &str, faults: &mut Vec<FieldError>) {
        let Peer {
            pod_selector,
            namespace_selector,
            ip_block,
        } = self;
        for (field, selector) in [
            ("podSelector", pod_selector),
            ("namespaceSelector", namespace_selector),
        ] {
            let faults_of = |selector: &LabelSelector| selector.faults(&join(at, field));
            faults.extend(selector.iter().flat_map(faults_of));
            if selector.is_some() && ip_block.is_some() {
                let message = "cannot stand beside ipBlock; make it a peer of its own";
                faults.push(FieldError::new(join(at, field), message));
            }
        }
        let Some(block) = ip_block else {
            if pod_selector.is_none() && namespace_selector.is_none() {
                let message = "names nobody; give podSelector, namespaceSelector or ipBlock, or \
                               leave the whole list out for everybody";
                faults.push(FieldError::new(at, message));
            }
            return;
        };
        for (index, except) in block.except.iter().flatten().enumerate() {
            let cidr = block.cidr.trunc();
            if !cidr.contains(&except.trunc()) || cidr == except.trunc() {
                let field = format!("{at}.ipBlock.except[{index}]");
                let message = format!("{except} is not a part of {cidr}, from which it is taken");
                faults.push(FieldError::new(field, message));
            }
        }
    }
}

/// Their selector in our language, with what must hold besides.
fn selector(given: Option<&LabelSelector>, more: Vec<Expr>) -> Selector {
    let own = given.map(LabelSelector::parts).unwrap_or_default();
    Selector::all_of(own.into_iter().chain(more).collect())
}

impl Port {
    fn protocol(&self) -> ProtocolMatch {
        match self.protocol {
            None | Some(Transport::Tcp) => ProtocolMatch::TCP,
            Some(Transport::Udp) => ProtocolMatch::UDP,
            Some(Transport::Sctp) => ProtocolMatch::SCTP,
        }
    }

    fn convert(&self) -> Option<PortMatch> {
        Some(match self.port.clone()? {
            PortName::Number(first) => PortMatch::Range(first, self.end_port.unwrap_or(first)),
            PortName::Name(name) => PortMatch::Named(name),
        })
    }

    fn fault(&self) -> Option<(&'static str, String)> {
        let end = self.end_port?;
        let words = match &self.port {
            None => format!("{end} ends a range that has no beginning; give port"),
            Some(PortName::Name(name)) => {
                format!("{end} cannot stand beside the named port {name:?}; give port a number")
            }
            Some(PortName::Number(first)) if end < *first => {
                format!("{end} is less than port, {first}; a range ends where it begins or later")
            }
            Some(PortName::Number(_)) => return None,
        };
        Some(("endPort", words))
    }
}

impl TryFrom<Value> for PortName {
    type Error = String;

    fn try_from(value: Value) -> Result<PortName, String> {
        match value {
            Value::Number(number) => number
                .as_u64()
                .and_then(|number| u16::try_from(number).ok())
                .filter(|number| *number > 0)
                .map(PortName::Number)
                .ok_or_else(|| format!("{number} is no port; it must be between 1 and 65535")),
            Value::String(name) if is_port_name(&name) => Ok(PortName::Name(name)),
            Value::String(text) if text.parse::<u16>().is_ok() => Err(format!(
                "{text:?} in quotes is a name of a port, which needs a letter; write {text} without quotes"
            )),
            other => Err(format!(
                "{other} is no port; give a number, or a name of at most 15 letters (a to z), \
                 digits and '-'"
            )),
        }
    }
}

/// Whether a text can be a port's name (RFC 6335, section 5.1, in small letters).
fn is_port_name(text: &str) -> bool {
    let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=15).contains(&text.len())
        && text.bytes().all(inside)
        && text.bytes().any(|c| c.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

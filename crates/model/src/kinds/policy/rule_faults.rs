//! What is wrong with rules: what can be read and yet makes no sense, so that whoever wrote it must
//! have meant something else. A rule whose ends are of different families merely matches nothing.

use super::{Direction, EntityMatch, Icmp, PolicyRule, ProtocolMatch, RuleAction};
use crate::net::Family;
use crate::resource::FieldError;
use crate::selector::Selector;

/// What is wrong with the rules of a policy, each with its place.
pub(super) fn rule_faults(ingress: &[PolicyRule], egress: &[PolicyRule]) -> Vec<FieldError> {
    let of = |field: &'static str, rules: &[PolicyRule]| {
        let faults = rules.iter().enumerate().flat_map(|(index, rule)| {
            let place = move |fault: FieldError| {
                let field = format!("spec.{field}[{index}].{}", fault.field);
                FieldError::new(field, fault.message)
            };
            faults(rule).into_iter().map(place)
        });
        faults.collect::<Vec<_>>()
    };
    [of("ingress", ingress), of("egress", egress)].concat()
}

/// What is wrong with the directions that a policy names.
pub(super) fn type_faults(types: &[Direction]) -> Vec<FieldError> {
    let again = types
        .iter()
        .enumerate()
        .filter(|(i, t)| types[..*i].contains(t));
    again
        .map(|(index, _)| FieldError::new(format!("spec.types[{index}]"), "given twice; keep one"))
        .collect()
}

/// Rules of a profile that pass on: there is nothing behind profiles.
pub(super) fn pass_faults(ingress: &[PolicyRule], egress: &[PolicyRule]) -> Vec<FieldError> {
    let of = |field: &'static str, rules: &[PolicyRule]| {
        let passing = |(_, rule): &(usize, &PolicyRule)| rule.action == RuleAction::Pass;
        let passing = rules.iter().enumerate().filter(passing);
        let fault = |(index, _)| {
            let message = "Pass is not allowed in a Profile: nothing is asked after profiles; it \
                           must be Allow, Deny or Log";
            FieldError::new(format!("spec.{field}[{index}].action"), message)
        };
        passing.map(fault).collect::<Vec<_>>()
    };
    [of("ingress", ingress), of("egress", egress)].concat()
}

/// `global()` where it says nothing: it tells what is of no namespace, and only where namespaces are
/// selected.
pub(super) fn global_fault(
    field: &str,
    selector: &Selector,
    selects_namespaces: bool,
) -> Option<FieldError> {
    let message = match selects_namespaces {
        true if selector.mixes_global() => {
            "global() cannot stand beside others: it is what is of no namespace; write rules apart"
        }
        false if selector.is_global() || selector.mixes_global() => {
            "global() selects among namespaces only; set namespaceSelector to it"
        }
        _ => return None,
    };
    Some(FieldError::new(field, message))
}

fn selector_faults(rule: &PolicyRule) -> Vec<FieldError> {
    let ends = [("source", &rule.source), ("destination", &rule.destination)];
    let of_end = |(name, end): (&str, &EntityMatch)| {
        let selectors = [
            ("selector", &end.selector, false),
            ("notSelector", &end.not_selector, false),
            ("namespaceSelector", &end.namespace_selector, true),
        ];
        let faults = selectors
            .into_iter()
            .filter_map(|(field, selector, namespaces)| {
                global_fault(&format!("{name}.{field}"), selector.as_ref()?, namespaces)
            });
        faults.collect::<Vec<_>>()
    };
    ends.into_iter().flat_map(of_end).collect()
}

fn faults(rule: &PolicyRule) -> Vec<FieldError> {
    let mut faults = port_faults(rule);
    faults.extend(selector_faults(rule));
    for (field, icmp) in [("icmp", rule.icmp), ("notICMP", rule.not_icmp)] {
        if let Some(icmp) = icmp {
            faults.extend(
                icmp_faults(rule.protocol, icmp)
                    .map(|(below, message)| FieldError::new(format!("{field}{below}"), message)),
            );
        }
    }
    faults.extend(version_faults(rule));
    faults
}

/// Both ends, by name.
fn ends(rule: &PolicyRule) -> [(&'static str, &EntityMatch); 2] {
    [("source", &rule.source), ("destination", &rule.destination)]
}

fn port_faults(rule: &PolicyRule) -> Vec<FieldError> {
    let mut faults = Vec::new();
    if rule.protocol.is_some_and(ProtocolMatch::has_ports) {
        return faults;
    }
    let why = match rule.protocol {
        Some(protocol) => format!("{protocol} has none"),
        None => "none is given".to_owned(),
    };
    for (name, end) in ends(rule) {
        for (field, ports) in [("ports", &end.ports), ("notPorts", &end.not_ports)] {
            if !ports.is_empty() {
                let message = format!(
                    "ports need a protocol that has them, and {why}; set protocol to TCP, UDP, \
                     SCTP or UDPLite"
                );
                faults.push(FieldError::new(format!("{name}.{field}"), message));
            }
        }
    }
    faults
}

/// Highest type that can be given; 255 is reserved (IANA, ICMP Parameters).
const HIGHEST_TYPE: u8 = 254;

fn icmp_faults(
    protocol: Option<ProtocolMatch>,
    icmp: Icmp,
) -> impl Iterator<Item = (&'static str, String)> {
    let is_icmp = [ProtocolMatch::ICMP, ProtocolMatch::ICMPV6]
        .map(Some)
        .contains(&protocol);
    let other = (!is_icmp).then(|| {
        let message =
            "types and codes need a protocol that has them; set protocol to ICMP or ICMPv6";
        ("", message.to_owned())
    });
    let reserved = icmp.icmp_type.filter(|given| *given > HIGHEST_TYPE);
    let reserved = reserved.map(|given| {
        let message = format!("{given} is not allowed: it must be between 0 and {HIGHEST_TYPE}");
        (".type", message)
    });
    let alone = icmp.code.filter(|_| icmp.icmp_type.is_none());
    let alone = alone.map(|code| {
        (
            ".code",
            format!("{code} is given without a type; codes mean something only with one"),
        )
    });
    [other, reserved, alone].into_iter().flatten()
}

/// What is of another family than the version that the rule names.
fn version_faults(rule: &PolicyRule) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let Some(family) = rule.ip_version.map(|version| version.0) else {
        return faults;
    };
    let words = |what: String, of: Family| {
        format!(
            "{what} is of {of}, but the rule is of {family} by its ipVersion; change one of them"
        )
    };
    for (field, protocol) in [
        ("protocol", rule.protocol),
        ("notProtocol", rule.not_protocol),
    ] {
        let other = protocol.and_then(|p| Some((p, family_of(p)?)));
        if let Some((protocol, of)) = other.filter(|(_, of)| *of != family) {
            faults.push(FieldError::new(field, words(protocol.to_string(), of)));
        }
    }
    for (name, end) in ends(rule) {
        for (field, nets) in [("nets", &end.nets), ("notNets", &end.not_nets)] {
            for (index, net) in nets.iter().enumerate() {
                let of = Family::of_net(*net);
                if of != family {
                    let field = format!("{name}.{field}[{index}]");
                    faults.push(FieldError::new(field, words(net.to_string(), of)));
                }
            }
        }
    }
    faults
}

/// The family that packets of a protocol are of, if only of one.
fn family_of(protocol: ProtocolMatch) -> Option<Family> {
    match protocol {
        ProtocolMatch::ICMP => Some(Family::V4),
        ProtocolMatch::ICMPV6 => Some(Family::V6),
        _ => None,
    }
}

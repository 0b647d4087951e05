//! The flows of truth tables, as the evaluator is asked about them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, Name};
use tombolo_policy::{Flow, Party};

use crate::truth::{Other, Probe};

/// Somebody of a table by name, in a family.
pub fn party(name: &str, others: &[Other]) -> Party {
    if let Some((namespace, pod)) = name.split_once('/') {
        return Party::Endpoint(Name::new(namespace).unwrap(), Name::new(pod).unwrap());
    }
    let other = others.iter().find(|other| other.name == name).unwrap();
    match &other.node {
        Some(node) => Party::Host(Name::new(node.as_str()).unwrap()),
        None => Party::address(other.ip),
    }
}

/// What is sent.
pub fn flow(from: Party, to: Party, probe: &Probe, family: Family) -> Flow {
    let (protocol, destination_port, icmp) = match (probe, family) {
        (Probe::Port(protocol, port), _) => (protocol.parse().unwrap(), Some(*port), None),
        (Probe::Icmp(8, 0), Family::V6) => (ProtocolMatch::ICMPV6, None, Some((128, 0))),
        (Probe::Icmp(kind, code), Family::V6) => {
            (ProtocolMatch::ICMPV6, None, Some((*kind, *code)))
        }
        (Probe::Icmp(kind, code), Family::V4) => (ProtocolMatch::ICMP, None, Some((*kind, *code))),
    };
    Flow {
        family: Some(family),
        destination_port,
        icmp,
        ..Flow::of(from, to, protocol)
    }
}

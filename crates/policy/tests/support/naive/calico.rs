//! Calico's policies, from the words of its reference.

use std::net::IpAddr;

use serde_json::Value;

use super::selector::matches;
use super::{End, Flow, Naive, Say, Thing, Way, number, within};

/// Ports of hosts that are always open: those of Calico's FelixConfiguration, and Tombolo's own.
pub fn failsafe(way: Way) -> Vec<(u8, u16)> {
    let both = [179, 2379, 2380, 5473, 6443, 6666, 6667, 7460, 7461].map(|port| (6, port));
    let vxlan = [(17, 4789), (17, 8472)];
    let more = match way {
        Way::Ingress => [(6, 22), (17, 68)],
        Way::Egress => [(17, 53), (17, 67)],
    };
    [&both[..], &vxlan, &more].concat()
}

/// Whether a policy applies to somebody, in a direction. "types: … If not set: [Ingress] if there are
/// ingress rules or none at all, [Egress] if there are egress rules only, both if there are both."
pub fn applies(naive: &Naive, policy: &Value, way: Way, who: &Thing) -> bool {
    let spec = &policy["spec"];
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let types = list(&spec["types"]);
    let (ingress, egress) = (list(&spec["ingress"]), list(&spec["egress"]));
    let decides = match (way, types.is_empty()) {
        (Way::Ingress, true) => !ingress.is_empty() || egress.is_empty(),
        (Way::Egress, true) => !egress.is_empty(),
        (Way::Ingress, false) => types.iter().any(|t| t == "Ingress"),
        (Way::Egress, false) => types.iter().any(|t| t == "Egress"),
    };
    let here = match namespace_of(policy) {
        Some(namespace) => who.namespace.as_deref() == Some(namespace),
        None => match spec["namespaceSelector"].as_str() {
            Some(selector) => is_in(naive, who, selector),
            None => true,
        },
    };
    decides && here && matches(spec["selector"].as_str().unwrap_or(""), &who.labels)
}

fn namespace_of(policy: &Value) -> Option<&str> {
    let namespace = policy["metadata"]["namespace"].as_str();
    (policy["kind"] == "NetworkPolicy").then(|| namespace.unwrap_or("default"))
}

/// Whether somebody is of a namespace with such labels; `global()` is who is of none.
fn is_in(naive: &Naive, who: &Thing, selector: &str) -> bool {
    match &who.namespace {
        None => selector == "global()",
        Some(_) if selector == "global()" => false,
        Some(namespace) => {
            let labels = naive.namespaces.get(namespace).cloned().unwrap_or_default();
            matches(selector, &labels)
        }
    }
}

/// What the rules of a policy or profile say: the first that matches decides, but Log.
pub fn rules(naive: &Naive, policy: &Value, way: Way, flow: &Flow) -> Say {
    let list = match way {
        Way::Ingress => "ingress",
        Way::Egress => "egress",
    };
    let rules = policy["spec"][list].as_array().cloned().unwrap_or_default();
    for rule in &rules {
        if !is_about(naive, policy, rule, flow) {
            continue;
        }
        match rule["action"].as_str().unwrap() {
            "Allow" => return Say::Allow,
            "Deny" => return Say::Deny,
            "Pass" => return Say::Pass,
            _ => {}
        }
    }
    Say::Nothing
}

fn is_about(naive: &Naive, policy: &Value, rule: &Value, flow: &Flow) -> bool {
    let version = if flow.to.ip.is_ipv4() { 4 } else { 6 };
    let is_protocol = |value: &Value| protocol_of(value) == flow.protocol;
    let is_icmp = |value: &Value| {
        let part = |name: &str, actual: u8| {
            value[name].is_null() || number(&value[name]) == u16::from(actual)
        };
        flow.icmp
            .is_some_and(|(kind, code)| part("type", kind) && part("code", code))
    };
    (rule["ipVersion"].is_null() || rule["ipVersion"] == version)
        && (rule["protocol"].is_null() || is_protocol(&rule["protocol"]))
        && (rule["notProtocol"].is_null() || !is_protocol(&rule["notProtocol"]))
        && (rule["icmp"].is_null() || is_icmp(&rule["icmp"]))
        && (rule["notICMP"].is_null() || !is_icmp(&rule["notICMP"]))
        && is_end(naive, policy, &rule["source"], &flow.from, flow.protocol)
        && is_end(naive, policy, &rule["destination"], &flow.to, flow.protocol)
}

fn is_end(naive: &Naive, policy: &Value, entity: &Value, end: &End, protocol: u8) -> bool {
    let list = |name: &str| entity[name].as_array().cloned().unwrap_or_default();
    let in_one = |nets: &[Value]| {
        nets.iter()
            .any(|n| within(end.ip, net(n.as_str().unwrap())))
    };
    let here = |thing: &&Thing| thing.nets.iter().any(|net| within(end.ip, *net));
    let those: Vec<&Thing> = naive.things.iter().filter(here).collect();
    let nets = list("nets");
    if (!nets.is_empty() && !in_one(&nets)) || in_one(&list("notNets")) {
        return false;
    }
    // "If there is only a NamespaceSelector …"; in a NetworkPolicy a selector of any sort is about the
    // policy's own namespace unless there is a namespaceSelector.
    let namespaces = entity["namespaceSelector"].as_str();
    let selector = entity["selector"].as_str();
    let not = entity["notSelector"].as_str();
    let own = namespace_of(policy);
    if selector.is_some() || namespaces.is_some() || (not.is_some() && own.is_some()) {
        let is_one = those.iter().any(|thing| {
            let there = match (namespaces, own) {
                (Some(namespaces), _) => is_in(naive, thing, namespaces),
                (None, Some(own)) => thing.namespace.as_deref() == Some(own),
                (None, None) => true,
            };
            there && matches(selector.unwrap_or(""), &thing.labels)
        });
        if !is_one {
            return false;
        }
    }
    if not.is_some_and(|not| those.iter().any(|thing| matches(not, &thing.labels))) {
        return false;
    }
    let is_port = |wanted: &Value| {
        let Some(port) = end.port else { return false };
        let text = match wanted {
            Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        match (text.parse::<u16>(), text.split_once(':')) {
            (Ok(number), _) => number == port,
            (_, Some((first, last))) => {
                (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
            }
            _ => those
                .iter()
                .any(|thing| thing.ports.contains(&(text.clone(), protocol, port))),
        }
    };
    let ports = list("ports");
    (ports.is_empty() || ports.iter().any(is_port)) && !list("notPorts").iter().any(is_port)
}

/// A protocol by its name.
pub fn protocol(name: &str) -> u8 {
    match name.to_lowercase().as_str() {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" => 58,
        "sctp" => 132,
        "udplite" => 136,
        number => number.parse().unwrap(),
    }
}

/// A protocol by its name or number.
pub fn protocol_of(value: &Value) -> u8 {
    match value {
        Value::String(name) => protocol(name),
        number => u8::try_from(number.as_u64().unwrap()).unwrap(),
    }
}

/// A network, or an address alone.
pub fn net(text: &str) -> (IpAddr, u8) {
    let (ip, length) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = ip.parse().unwrap();
    let whole = if ip.is_ipv4() { 32 } else { 128 };
    (ip, length.parse().unwrap_or(whole))
}

//! Kubernetes' NetworkPolicy, from the words of its API reference.

use serde_json::Value;

use super::{Flow, Labels, Naive, Say, Thing, Way, calico, number, texts, within};

/// "The array of rules is applied to any pods selected by this field"; policyTypes "If this field is
/// not specified, it will default based on the existence of ingress or egress rules; policies that
/// contain an egress section are assumed to affect egress, and all policies (whether or not they
/// contain an ingress section) are assumed to affect ingress."
pub fn applies(policy: &Value, way: Way, who: &Thing) -> bool {
    let namespace = policy["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    let spec = &policy["spec"];
    let types = spec["policyTypes"].as_array().cloned().unwrap_or_default();
    let named = |name: &str| types.iter().any(|t| t == name);
    let has_egress = spec["egress"]
        .as_array()
        .is_some_and(|rules| !rules.is_empty());
    let decides = match (way, types.is_empty()) {
        (Way::Ingress, true) => true,
        (Way::Egress, true) => has_egress,
        (Way::Ingress, false) => named("Ingress"),
        (Way::Egress, false) => named("Egress"),
    };
    decides
        && who.is_pod
        && who.namespace.as_deref() == Some(namespace)
        && selects(&spec["podSelector"], &who.labels)
}

/// "Traffic is allowed to a pod if … the traffic matches at least one ingress rule across all of the
/// NetworkPolicy objects whose podSelector matches the pod"; else the next policy may allow it.
pub fn says(naive: &Naive, policy: &Value, way: Way, flow: &Flow) -> Say {
    let namespace = policy["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    let (list, peers) = match way {
        Way::Ingress => ("ingress", "from"),
        Way::Egress => ("egress", "to"),
    };
    let rules = policy["spec"][list].as_array().cloned().unwrap_or_default();
    let allowed = rules.iter().any(|rule| {
        let ports = rule["ports"].as_array().cloned().unwrap_or_default();
        let peers = rule[peers].as_array().cloned().unwrap_or_default();
        // "If this field is empty or missing, this rule matches all" ports, and all sources.
        (ports.is_empty() || ports.iter().any(|port| is_port(naive, port, flow)))
            && (peers.is_empty()
                || peers
                    .iter()
                    .any(|peer| is_peer(naive, peer, namespace, way, flow)))
    });
    if allowed { Say::Allow } else { Say::Nothing }
}

fn is_peer(naive: &Naive, peer: &Value, namespace: &str, way: Way, flow: &Flow) -> bool {
    let ip = match way {
        Way::Ingress => flow.from.ip,
        Way::Egress => flow.to.ip,
    };
    let block = &peer["ipBlock"];
    if !block.is_null() {
        let cidr = calico::net(block["cidr"].as_str().unwrap());
        let except = block["except"].as_array().cloned().unwrap_or_default();
        let mut except = except.iter().map(|net| calico::net(net.as_str().unwrap()));
        return within(ip, cidr) && !except.any(|net| within(ip, net));
    }
    let is_selected = |pod: &&Thing| {
        let of = pod.namespace.as_deref().unwrap();
        let nowhere = Labels::new();
        let labels = naive.namespaces.get(of).unwrap_or(&nowhere);
        // Without a namespaceSelector the policy's own namespace is meant; without a podSelector,
        // every pod of the namespaces.
        let namespaces = &peer["namespaceSelector"];
        let in_namespace = match namespaces.is_null() {
            true => of == namespace,
            false => selects(namespaces, labels),
        };
        in_namespace && selects(&peer["podSelector"], &pod.labels)
    };
    let mut pods = naive.things.iter().filter(|thing| thing.is_pod);
    pods.any(|pod| is_selected(&pod) && pod.nets.iter().any(|(own, _)| *own == ip))
}

fn is_port(naive: &Naive, port: &Value, flow: &Flow) -> bool {
    // "If not specified, this field defaults to TCP."
    let protocol = calico::protocol(port["protocol"].as_str().unwrap_or("TCP"));
    let Some(to) = flow.to.port.filter(|_| protocol == flow.protocol) else {
        return false;
    };
    match &port["port"] {
        Value::Null => true,
        Value::String(name) => {
            let mut pods = naive.things.iter().filter(|thing| thing.is_pod);
            let pod = pods.find(|pod| pod.nets.iter().any(|(own, _)| *own == flow.to.ip));
            pod.is_some_and(|pod| {
                let mut ports = pod.ports.iter();
                ports.any(|known| *known == (name.clone(), protocol, to))
            })
        }
        first => {
            let last = match &port["endPort"] {
                Value::Null => number(first),
                last => number(last),
            };
            (number(first)..=last).contains(&to)
        }
    }
}

/// A LabelSelector: "An empty label selector matches all objects"; everything that it says is ANDed.
fn selects(selector: &Value, labels: &Labels) -> bool {
    let wanted = texts(&selector["matchLabels"]);
    let expressions = selector["matchExpressions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    wanted
        .iter()
        .all(|(label, value)| labels.get(label) == Some(value))
        && expressions.iter().all(|expression| {
            let value = labels.get(expression["key"].as_str().unwrap());
            let values = expression["values"].as_array().cloned().unwrap_or_default();
            let is_one = value.is_some_and(|value| values.iter().any(|v| v == value.as_str()));
            match expression["operator"].as_str().unwrap() {
                "In" => is_one,
                "NotIn" => !is_one,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                other => panic!("{other}"),
            }
        })
}

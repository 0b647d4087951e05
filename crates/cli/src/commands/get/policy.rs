//! The tables of policies and of what they name.

use serde::Deserialize;
use serde_json::Value;
use tombolo_model::kinds::policy::{Direction, ORIGINAL, Tier, source_of};
use tombolo_model::{KindName, Metadata};

use super::{Column, items, pairs, text};
use crate::output::list;

/// A kind's own columns, and those of its wide table.
pub(super) fn columns_of(kind: KindName) -> (&'static [Column], &'static [Column]) {
    match kind {
        KindName::Tier => (TIER, &[]),
        KindName::NetworkPolicy => (POLICY, POLICY_WIDE),
        KindName::GlobalNetworkPolicy => (GLOBAL_POLICY, POLICY_WIDE),
        KindName::Profile => (PROFILE, &[("read from", read_from)]),
        KindName::HostEndpoint => (HOST_ENDPOINT, HOST_ENDPOINT_WIDE),
        KindName::NetworkSet | KindName::GlobalNetworkSet => (SET, &[]),
        _ => (LABELS, &[]),
    }
}

const TIER: &[Column] = &[
    ("order", order),
    ("default action", |r| {
        or(&r["spec"]["defaultAction"], "Deny")
    }),
];
const POLICY: &[Column] = &[
    ("tier", |r| or(&r["spec"]["tier"], Tier::DEFAULT)),
    ("order", order),
    ("applies to", |r| or(&r["spec"]["selector"], EVERYTHING)),
    ("ingress", |r| rules(r, Direction::Ingress)),
    ("egress", |r| rules(r, Direction::Egress)),
];
const GLOBAL_POLICY: &[Column] = &[
    ("tier", |r| or(&r["spec"]["tier"], Tier::DEFAULT)),
    ("order", order),
    ("applies to", |r| or(&r["spec"]["selector"], EVERYTHING)),
    ("in namespaces", |r| text(&r["spec"]["namespaceSelector"])),
    ("ingress", |r| rules(r, Direction::Ingress)),
    ("egress", |r| rules(r, Direction::Egress)),
];
const POLICY_WIDE: &[Column] = &[
    ("read from", read_from),
    ("original", |r| {
        text(&r["metadata"]["annotations"][ORIGINAL])
    }),
];
const PROFILE: &[Column] = &[
    ("gives labels", |r| pairs(&r["spec"]["labelsToApply"])),
    ("ingress rules", |r| {
        count(&r["spec"]["ingress"]).to_string()
    }),
    ("egress rules", |r| count(&r["spec"]["egress"]).to_string()),
];
const SET: &[Column] = &[
    ("labels", |r| pairs(&r["metadata"]["labels"])),
    ("nets", |r| items(&r["spec"]["nets"])),
];
const LABELS: &[Column] = &[("labels", |r| pairs(&r["metadata"]["labels"]))];
const HOST_ENDPOINT: &[Column] = &[
    ("node", |r| text(&r["spec"]["node"])),
    ("interface", |r| text(&r["spec"]["interfaceName"])),
    ("addresses", |r| items(&r["spec"]["expectedIPs"])),
];
const HOST_ENDPOINT_WIDE: &[Column] = &[
    ("labels", |r| pairs(&r["metadata"]["labels"])),
    ("profiles", |r| items(&r["spec"]["profiles"])),
    ("ports", |r| {
        let ports = r["spec"]["ports"].as_array().into_iter().flatten();
        list(ports.map(|port| {
            let part = |name: &str| text(&port[name]);
            format!("{}={}/{}", part("name"), part("protocol"), part("port"))
        }))
    }),
];
/// What a selector says that is not given.
const EVERYTHING: &str = "all()";

/// A text, or what it means when it is not there.
fn or(value: &Value, default: &str) -> String {
    match value.as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => default.to_owned(),
    }
}

/// The place in an order; without one it is the last.
fn order(resource: &Value) -> String {
    match resource["spec"]["order"].as_f64() {
        Some(order) => order.to_string(),
        None => "last".to_owned(),
    }
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// What a policy does in a direction: nothing if it does not decide about it.
fn rules(policy: &Value, direction: Direction) -> String {
    let spec = &policy["spec"];
    let types = Vec::<Direction>::deserialize(&spec["types"]).unwrap_or_default();
    let (ingress, egress) = (count(&spec["ingress"]), count(&spec["egress"]));
    let rules = match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    };
    let decides = Direction::given(&types, ingress > 0, egress > 0).contains(&direction);
    match (decides, rules) {
        (false, _) => "-".to_owned(),
        (true, 0) => "nothing allowed".to_owned(),
        (true, 1) => "1 rule".to_owned(),
        (true, rules) => format!("{rules} rules"),
    }
}

/// The file and line that it was read from.
fn read_from(resource: &Value) -> String {
    let metadata = Metadata::deserialize(&resource["metadata"]).ok();
    let source = metadata.as_ref().and_then(source_of);
    source.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tombolo_model::kinds::policy::SOURCE;

    use super::*;

    fn row(kind: KindName, resource: &Value) -> Vec<String> {
        let (narrow, wide) = columns_of(kind);
        let cells = narrow.iter().chain(wide);
        cells.map(|(_, cell)| cell(resource)).collect()
    }

    #[test]
    fn policies_say_what_they_decide() {
        let cells =
            |spec: Value| row(KindName::NetworkPolicy, &json!({"spec": spec}))[..5].join(" | ");
        for (spec, wanted) in [
            (json!({}), "default | last | all() | nothing allowed | -"),
            (
                json!({"tier": "a", "order": 1000.0, "selector": "has(x)", "egress": [{}]}),
                "a | 1000 | has(x) | - | 1 rule",
            ),
            (
                json!({"order": -0.5, "types": ["Egress"], "ingress": [{}, {}]}),
                "default | -0.5 | all() | - | nothing allowed",
            ),
            (
                json!({"types": ["Egress", "Ingress"], "ingress": [{}, {}]}),
                "default | last | all() | 2 rules | nothing allowed",
            ),
        ] {
            assert_eq!(cells(spec.clone()), wanted, "{spec}");
        }
        let metadata = json!({"name": "web", "annotations": {
            SOURCE: "web.yaml:3 ingress=7,9", ORIGINAL: "networking.k8s.io/v1 NetworkPolicy web"
        }});
        let whole = row(
            KindName::GlobalNetworkPolicy,
            &json!({"metadata": metadata, "spec": {}}),
        );
        assert_eq!(
            whole[6..],
            ["web.yaml:3", "networking.k8s.io/v1 NetworkPolicy web"]
        );
    }

    #[test]
    fn what_policies_name_is_told_in_full() {
        let host = json!({"metadata": {"labels": {"host": "", "rack": "r1"}}, "spec": {
            "node": "n", "expectedIPs": ["192.0.2.1", "2001:db8::1"], "profiles": ["p"],
            "ports": [{"name": "ssh", "protocol": "TCP", "port": 22}]}});
        assert_eq!(
            row(KindName::HostEndpoint, &host),
            [
                "n",
                "-",
                "192.0.2.1,2001:db8::1",
                "host,rack=r1",
                "p",
                "ssh=TCP/22"
            ]
        );
        assert_eq!(row(KindName::Tier, &json!({"spec": {}})), ["last", "Deny"]);
        let set = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nets": ["10.0.0.0/8"]}});
        assert_eq!(row(KindName::NetworkSet, &set), ["a=b", "10.0.0.0/8"]);
    }
}

//! What Calico's BGP resources say that Tombolo does not do: refused by name.

use serde_json::{Map, Value};

use super::dialect::{Refused, refuse};
use super::join;
use crate::resource::{FieldError, KindName};

const IN_CONFIGURATION: Refused = &[
    (
        "bindMode",
        "is not supported: the speaker listens on every address and refuses who is no peer; remove it",
    ),
    (
        "ignoredInterfaces",
        "is not supported: routes of interfaces are never announced, only blocks; remove it",
    ),
    (
        "serviceLoadBalancerAggregation",
        "is not supported: ranges of services are announced as they are written; remove it",
    ),
    ("localWorkloadPeeringIPV4", LOCAL_WORKLOADS),
    ("localWorkloadPeeringIPV6", LOCAL_WORKLOADS),
    (
        "programClusterRoutes",
        "is not supported: routes to containers follow from their network's transport; remove it",
    ),
    ("ipv4NormalRoutePriority", PRIORITIES),
    ("ipv4ElevatedRoutePriority", PRIORITIES),
    ("ipv6NormalRoutePriority", PRIORITIES),
    ("ipv6ElevatedRoutePriority", PRIORITIES),
];
const IN_PEER: Refused = &[
    (
        "reachableBy",
        "is not supported: the host's own routes lead to the peer; add one there and remove this",
    ),
    (
        "failureDetectionMode",
        "is not supported; write `bfd: true` for fast detection, and nothing for none",
    ),
    (
        "restartMode",
        "is not supported: a restart is survived as RFC 4724 says; maxRestartTime says for how long",
    ),
    (
        "birdGatewayMode",
        "is not supported: next hops are looked up in the host's routes; remove it",
    ),
    (
        "keepaliveTime",
        "is not supported: it is a third of holdTime; write that instead",
    ),
    ("localWorkloadSelector", LOCAL_WORKLOADS),
    (
        "reversePeering",
        "is not supported: a peer connects to us where it is configured to; remove it",
    ),
];
const IN_RULE: Refused = &[
    (
        "interface",
        "is not supported: routes of interfaces are never announced; match the range by cidr",
    ),
    ("peerType", IN_RULES),
    ("communities", IN_RULES),
    ("asPathPrefix", IN_RULES),
    ("priority", IN_RULES),
    ("operations", IN_RULES),
];
const IN_RULES: &str = "is not supported: rules match by range, length and source; remove it";
const LOCAL_WORKLOADS: &str =
    "is not supported: containers are no peers; peer with a router, or with nodes by peerSelector";
const PRIORITIES: &str =
    "is not supported: routes that are learned have metric 2000, behind all others; remove it";
const SECRET: &str = "is not supported: there are no Secrets; write `{file: /path}` for a file on \
                      the node that holds the key";

/// Whether a kind is one of BGP's.
pub(super) fn is_bgp(kind: KindName) -> bool {
    matches!(
        kind,
        KindName::BgpConfiguration | KindName::BgpPeer | KindName::BgpFilter
    )
}

/// Takes away what says nothing, and refuses what would mean something.
pub(super) fn refuse_in_spec(
    kind: KindName,
    spec: &mut Map<String, Value>,
    faults: &mut Vec<FieldError>,
) {
    match kind {
        KindName::BgpConfiguration => {
            // Only how much Calico writes into its log.
            spec.remove("logSeverityScreen");
            refuse(spec, "spec", IN_CONFIGURATION, faults);
            refuse_secret(spec, "nodeMeshPassword", faults);
        }
        KindName::BgpPeer => {
            for field in [
                "node",
                "nodeSelector",
                "peerIP",
                "peerSelector",
                "reachableBy",
            ] {
                let is_empty = |value: &Value| value.as_str().is_some_and(|t| t.trim().is_empty());
                if spec.get(field).is_some_and(is_empty) {
                    spec.remove(field);
                }
            }
            refuse(spec, "spec", IN_PEER, faults);
            refuse_secret(spec, "password", faults);
        }
        _ => {
            for list in ["exportV4", "importV4", "exportV6", "importV6"] {
                let Some(Value::Array(rules)) = spec.get_mut(list) else {
                    continue;
                };
                for (index, rule) in rules.iter_mut().enumerate() {
                    if let Value::Object(rule) = rule {
                        refuse(rule, &format!("spec.{list}[{index}]"), IN_RULE, faults);
                    }
                }
            }
        }
    }
}

fn refuse_secret(spec: &mut Map<String, Value>, field: &str, faults: &mut Vec<FieldError>) {
    let Some(Value::Object(password)) = spec.get_mut(field) else {
        return;
    };
    if password.contains_key("secretKeyRef") {
        spec.remove(field);
        let at = join(&join("spec", field), "secretKeyRef");
        faults.push(FieldError::new(at, SECRET));
    }
}

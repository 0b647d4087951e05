//! Whose words a resource is written in: ours, Calico's or Kubernetes'.
//!
//! Decides by `apiVersion` and `kind`. Takes away what other systems print beside what was written and
//! what has no meaning here, so that their output can be pasted. Refuses by name what would have a
//! meaning that Tombolo does not give it: nothing of that sort is ever passed over.

use serde_json::{Map, Value};

use super::{SPOKEN, bgp, join};
use crate::resource::{FieldError, KindName};

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `tombolo.dev/v1`
    Own,
    /// `projectcalico.org/v3`, or the form in which Calico stores it in Kubernetes.
    Calico,
    /// `networking.k8s.io/v1` of policies, `v1` of namespaces.
    Kubernetes,
}

const CALICO: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];
const NETWORKING: &str = "networking.k8s.io/v1";

/// What other systems write into metadata, and which says nothing here.
const BOOKKEEPING: [&str; 10] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Annotations in which the whole resource stands a second time.
const COPIES: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "projectcalico.org/metadata",
];

/// Whether Calico's resources of a kind are read.
fn is_calicos(kind: KindName) -> bool {
    matches!(
        kind,
        KindName::Profile
            | KindName::NetworkPolicy
            | KindName::GlobalNetworkPolicy
            | KindName::Tier
            | KindName::NetworkSet
            | KindName::GlobalNetworkSet
            | KindName::HostEndpoint
            | KindName::BgpConfiguration
            | KindName::BgpPeer
            | KindName::BgpFilter
    )
}

/// Whose words a resource is written in, by its kind and version.
///
/// # Errors
/// What is wrong with the version, and which is read.
pub(super) fn of(kind: KindName, version: Option<&Value>) -> Result<Dialect, String> {
    let others = match kind {
        KindName::NetworkPolicy => format!(", {NETWORKING} or {}", CALICO[0]),
        KindName::Namespace => " or v1".to_owned(),
        kind if is_calicos(kind) => format!(" or {}", CALICO[0]),
        _ => String::new(),
    };
    match version {
        Some(Value::String(text)) => match (text.as_str(), kind) {
            (SPOKEN, _) => Ok(Dialect::Own),
            (NETWORKING, KindName::NetworkPolicy) | ("v1", KindName::Namespace) => {
                Ok(Dialect::Kubernetes)
            }
            (text, kind) if CALICO.contains(&text) && is_calicos(kind) => Ok(Dialect::Calico),
            _ => Err(format!(
                "{text:?} is not spoken here; write {SPOKEN}{others}"
            )),
        },
        Some(other) => Err(format!(
            "{other} is not spoken here; write {SPOKEN}{others}"
        )),
        None => Err(format!("missing; write apiVersion: {SPOKEN}")),
    }
}

/// What is said of a kind that others have and Tombolo has not.
pub(super) fn refused(kind: &str) -> Option<String> {
    let instead = match kind {
        "StagedNetworkPolicy" | "StagedKubernetesNetworkPolicy" => {
            "write a NetworkPolicy, and see with `tombolo apply --dry-run` what it would change"
        }
        "StagedGlobalNetworkPolicy" => {
            "write a GlobalNetworkPolicy, and see with `tombolo apply --dry-run` what it would change"
        }
        "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy" | "ClusterNetworkPolicy" => {
            "write a GlobalNetworkPolicy in a Tier"
        }
        _ => return None,
    };
    Some(format!("{kind} is not supported; {instead}"))
}

impl Dialect {
    /// Takes away what says nothing, and answers what is refused.
    pub fn prepare(self, kind: KindName, whole: &mut Map<String, Value>) -> Vec<FieldError> {
        if self != Dialect::Own {
            drop_nulls(whole);
            whole.remove("status");
            if let Some(Value::Object(metadata)) = whole.get_mut("metadata") {
                metadata.retain(|field, _| !BOOKKEEPING.contains(&field.as_str()));
                if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                    annotations.retain(|name, _| !COPIES.contains(&name.as_str()));
                }
            }
        }
        if self == Dialect::Kubernetes && kind == KindName::Namespace {
            whole.remove("spec");
        }
        let may_lack_spec = matches!(
            kind,
            KindName::Namespace
                | KindName::Profile
                | KindName::Tier
                | KindName::NetworkSet
                | KindName::GlobalNetworkSet
                | KindName::BgpConfiguration
                | KindName::BgpFilter
        );
        if may_lack_spec && whole.get("spec").is_none_or(Value::is_null) {
            whole.insert("spec".into(), Map::new().into());
        }
        let mut faults = Vec::new();
        let words = self != Dialect::Kubernetes && is_calicos(kind);
        match whole.get_mut("spec") {
            Some(Value::Object(spec)) if bgp::is_bgp(kind) => {
                bgp::refuse_in_spec(kind, spec, &mut faults);
            }
            Some(Value::Object(spec)) if words => refuse_in_spec(spec, &mut faults),
            _ => {}
        }
        faults
    }
}

/// Maps whose fields are labels: one without a value says something, and something wrong.
const OF_LABELS: [&str; 3] = ["labels", "labelsToApply", "matchLabels"];

/// Takes away fields without a value, which is how others write that a field is not given.
fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    let fields = map.iter_mut();
    for (_, value) in fields.filter(|(field, _)| !OF_LABELS.contains(&field.as_str())) {
        match value {
            Value::Object(inner) => drop_nulls(inner),
            Value::Array(items) => {
                let maps = items.iter_mut().filter_map(Value::as_object_mut);
                maps.for_each(drop_nulls);
            }
            _ => {}
        }
    }
}

/// Fields that would mean something, each with why it is refused.
pub(super) type Refused = &'static [(&'static str, &'static str)];

const IN_SPEC: Refused = &[
    ("serviceAccountSelector", SERVICE_ACCOUNTS),
    (
        "allowedEgressDomains",
        "is not supported: sets hold addresses, not names of hosts; list the addresses in nets",
    ),
];
const IN_RULE: Refused = &[(
    "http",
    "is not supported: rules judge addresses, protocols and ports, not requests; remove it, or \
     leave that to a proxy",
)];
const IN_END: Refused = &[
    ("serviceAccounts", SERVICE_ACCOUNTS),
    ("serviceAccountSelector", SERVICE_ACCOUNTS),
    (
        "services",
        "is not supported: rules do not know services; select the endpoints behind it by labels",
    ),
    (
        "domains",
        "is not supported: rules judge addresses, not names of hosts; list the addresses in nets, \
         or in a GlobalNetworkSet",
    ),
];
const SERVICE_ACCOUNTS: &str =
    "is not supported: endpoints have no service accounts; give them labels and use selector";
/// Ways of Calico to judge packets elsewhere than at endpoints. Not to do so is what we do.
const ELSEWHERE: Refused = &[
    (
        "doNotTrack",
        "is not supported: every connection is tracked; remove it",
    ),
    (
        "preDNAT",
        "is not supported: packets are judged by the address that they are delivered to; remove it",
    ),
    (
        "applyOnForward",
        "is not supported: a policy of a host judges what the host itself sends and gets, and what \
         is forwarded is judged at the endpoints; remove it",
    ),
];

fn refuse_in_spec(spec: &mut Map<String, Value>, faults: &mut Vec<FieldError>) {
    // Only how quickly Calico works.
    spec.remove("performanceHints");
    refuse(spec, "spec", IN_SPEC, faults);
    drop_empty_selectors(spec);
    for (field, why) in ELSEWHERE {
        match spec.get(*field) {
            Some(Value::Bool(true)) => faults.push(FieldError::new(join("spec", field), *why)),
            Some(Value::Bool(false)) => {}
            // What it says otherwise, typed reading refuses.
            _ => continue,
        }
        spec.remove(*field);
    }
    for direction in ["ingress", "egress"] {
        let Some(Value::Array(rules)) = spec.get_mut(direction) else {
            continue;
        };
        let rules = rules.iter_mut().enumerate();
        for (index, rule) in rules.filter_map(|(i, rule)| Some((i, rule.as_object_mut()?))) {
            let at = format!("spec.{direction}[{index}]");
            refuse(rule, &at, IN_RULE, faults);
            for end in ["source", "destination"] {
                if let Some(Value::Object(end_of)) = rule.get_mut(end) {
                    refuse(end_of, &join(&at, end), IN_END, faults);
                    drop_empty_selectors(end_of);
                }
            }
        }
    }
}

/// Takes away selectors that are an empty text: with Calico they are not given.
fn drop_empty_selectors(map: &mut Map<String, Value>) {
    for field in ["selector", "notSelector", "namespaceSelector"] {
        let is_empty = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        if map.get(field).is_some_and(is_empty) {
            map.remove(field);
        }
    }
}

/// Takes fields away that are refused, with a fault for each.
pub(super) fn refuse(
    map: &mut Map<String, Value>,
    at: &str,
    refused: Refused,
    faults: &mut Vec<FieldError>,
) {
    for (field, why) in refused {
        if map.remove(*field).is_some() {
            faults.push(FieldError::new(join(at, field), *why));
        }
    }
}

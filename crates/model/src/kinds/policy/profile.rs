//! Profile: rules for the endpoints that name it, and labels that they get from it.
//!
//! The old way to say who may talk to whom, from before there were policies: `allow from tag WEB` is a
//! rule whose source has the selector `has(WEB)`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PolicyRule;
use super::rule_faults::{pass_faults, rule_faults};
use crate::resource::FieldError;

/// Rules and labels for the endpoints that name it. It is asked when no policy decided; what no
/// profile of an endpoint allows is dropped.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Rules for packets to the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<PolicyRule>,
    /// Rules for packets from the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<PolicyRule>,
    /// Labels that its endpoints have, unless they have others of these names themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels_to_apply: BTreeMap<String, String>,
}

impl Profile {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let rules = rule_faults(&self.ingress, &self.egress);
        [rules, pass_faults(&self.ingress, &self.egress)].concat()
    }
}

//! NetworkSet, GlobalNetworkSet, Namespace: what selectors find besides endpoints, and where.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::rule::masked;
use crate::resource::FieldError;

/// Addresses with labels, in a namespace: selectors find them as they find endpoints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkSet {
    /// The addresses.
    #[serde(
        default,
        deserialize_with = "masked",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nets: Vec<IpNet>,
}

/// Addresses with labels, of no namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GlobalNetworkSet {
    /// The addresses.
    #[serde(
        default,
        deserialize_with = "masked",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nets: Vec<IpNet>,
}

/// A tenant, for its labels. One that is not written has only those that every namespace has:
/// `kubernetes.io/metadata.name` and `projectcalico.org/name`, both its name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Namespace {}

impl Namespace {
    /// The labels that every namespace has, with its name.
    pub const NAME_LABELS: [&'static str; 2] =
        ["kubernetes.io/metadata.name", "projectcalico.org/name"];

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

impl NetworkSet {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

impl GlobalNetworkSet {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

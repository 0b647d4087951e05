//! NetworkPolicy and GlobalNetworkPolicy: which endpoints, in which direction, by which rules.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::rule_faults::{global_fault, rule_faults, type_faults};
use super::{PolicyRule, Tier};
use crate::names::Name;
use crate::resource::FieldError;
use crate::selector::Selector;

/// A policy for endpoints of its namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkPolicy {
    /// The tier that it is of.
    #[serde(default = "default_tier")]
    pub tier: Name,
    /// Lower comes first in its tier; without one it comes last. Policies of the same order follow by
    /// name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The endpoints that it applies to, by their labels.
    #[serde(default)]
    pub selector: Selector,
    /// The directions that it decides about; see [`Direction::given`] for what holds without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Direction>,
    /// Rules for packets to the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<PolicyRule>,
    /// Rules for packets from the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<PolicyRule>,
}

/// A policy for endpoints of all namespaces, and for hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GlobalNetworkPolicy {
    /// The tier that it is of.
    #[serde(default = "default_tier")]
    pub tier: Name,
    /// Lower comes first in its tier; without one it comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The endpoints that it applies to, by their labels.
    #[serde(default)]
    pub selector: Selector,
    /// Only endpoints of namespaces with such labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// The directions that it decides about; see [`Direction::given`] for what holds without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<Direction>,
    /// Rules for packets to the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<PolicyRule>,
    /// Rules for packets from the endpoints, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<PolicyRule>,
}

fn default_tier() -> Name {
    Name::new(Tier::DEFAULT).expect("letters make a name")
}

/// To an endpoint, or from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Packets to the endpoint.
    Ingress,
    /// Packets from the endpoint.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// The directions that a policy decides about: those it names; without any, egress if it has
    /// egress rules, and ingress if it has ingress rules or no rules at all.
    #[must_use]
    pub fn given(types: &[Direction], has_ingress: bool, has_egress: bool) -> Vec<Direction> {
        if !types.is_empty() {
            return types.to_vec();
        }
        let to = has_ingress || !has_egress;
        let wanted = [
            to.then_some(Direction::Ingress),
            has_egress.then_some(Direction::Egress),
        ];
        wanted.into_iter().flatten().collect()
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}

/// A place in an order: any finite number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Order(f64);

impl TryFrom<f64> for Order {
    type Error = String;

    fn try_from(number: f64) -> Result<Order, String> {
        match number.is_finite() {
            // Minus zero is zero.
            true => Ok(Order(number + 0.0)),
            false => Err(format!(
                "{number} is no place in an order; give a finite number"
            )),
        }
    }
}

impl From<Order> for f64 {
    fn from(order: Order) -> f64 {
        order.0
    }
}

impl Order {
    /// Compares two places of which either may not be given: those come last.
    #[must_use]
    pub fn compare(a: Option<Order>, b: Option<Order>) -> Ordering {
        let number = |order: Option<Order>| order.map_or(f64::INFINITY, |order| order.0);
        number(a).total_cmp(&number(b))
    }
}

impl NetworkPolicy {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let rules = rule_faults(&self.ingress, &self.egress);
        let whom = global_fault("spec.selector", &self.selector, false);
        [type_faults(&self.types), rules, Vec::from_iter(whom)].concat()
    }
}

impl GlobalNetworkPolicy {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let rules = rule_faults(&self.ingress, &self.egress);
        let whom = global_fault("spec.selector", &self.selector, false);
        let namespaces = self.namespace_selector.as_ref();
        let among =
            namespaces.and_then(|selector| global_fault("spec.namespaceSelector", selector, true));
        let whom = whom.into_iter().chain(among).collect();
        [type_faults(&self.types), rules, whom].concat()
    }
}

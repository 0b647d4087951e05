//! BGPFilter: which routes go to a peer and come from it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::net::Family;
use crate::resource::FieldError;

/// Which routes go to a peer and come from it. The first rule that matches decides; where none does,
/// what is usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpFilter {
    /// Which IPv4 routes go out.
    #[serde(default, rename = "exportV4", skip_serializing_if = "Vec::is_empty")]
    pub export_v4: Vec<FilterRule>,
    /// Which IPv4 routes come in.
    #[serde(default, rename = "importV4", skip_serializing_if = "Vec::is_empty")]
    pub import_v4: Vec<FilterRule>,
    /// Which IPv6 routes go out.
    #[serde(default, rename = "exportV6", skip_serializing_if = "Vec::is_empty")]
    pub export_v6: Vec<FilterRule>,
    /// Which IPv6 routes come in.
    #[serde(default, rename = "importV6", skip_serializing_if = "Vec::is_empty")]
    pub import_v6: Vec<FilterRule>,
}

/// A rule of a filter: everything that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterRule {
    /// The range that a route's prefix is held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<IpNet>,
    /// How; only with a range, and then it must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_operator: Option<MatchOperator>,
    /// The least and the greatest prefix length; only with a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_length: Option<PrefixLength>,
    /// Only routes of such a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RouteSource>,
    /// What is done.
    pub action: FilterAction,
}

/// How a prefix is held against a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchOperator {
    /// It is the range or a part of it.
    In,
    /// It is neither.
    NotIn,
    /// It is the range.
    Equal,
    /// It is another.
    NotEqual,
}

/// The least and the greatest prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrefixLength {
    /// The least; 0 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u8>,
    /// The greatest; the family's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u8>,
}

/// Where a route came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteSource {
    /// A peer told it.
    RemotePeers,
}

/// What is done with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterAction {
    /// It is let through.
    Accept,
    /// It is not.
    Reject,
}

impl BgpFilter {
    /// The four lists, with their fields and families.
    #[must_use]
    pub fn lists(&self) -> [(&'static str, Family, &[FilterRule]); 4] {
        [
            ("exportV4", Family::V4, &self.export_v4),
            ("importV4", Family::V4, &self.import_v4),
            ("exportV6", Family::V6, &self.export_v6),
            ("importV6", Family::V6, &self.import_v6),
        ]
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (list, family, rules) in self.lists() {
            for (index, rule) in rules.iter().enumerate() {
                let fault = |(field, message): (&str, String)| {
                    FieldError::new(format!("spec.{list}[{index}].{field}"), message)
                };
                faults.extend(rule.faults(family).into_iter().map(fault));
            }
        }
        faults
    }
}

impl FilterRule {
    fn faults(&self, family: Family) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        match (self.cidr, self.match_operator) {
            (None, None) => {}
            (None, Some(_)) => {
                faults.push((
                    "matchOperator",
                    "there is no cidr to match; give one".into(),
                ));
            }
            (Some(_), None) => faults.push((
                "matchOperator",
                "missing; it must be In, NotIn, Equal or NotEqual".into(),
            )),
            (Some(cidr), Some(_)) if Family::of_net(cidr) != family => {
                faults.push(("cidr", format!("{cidr} is no range of {family}")));
            }
            (Some(cidr), Some(_)) if cidr.trunc() != cidr => faults.push((
                "cidr",
                format!(
                    "{cidr} has bits set below its prefix; write {}",
                    cidr.trunc()
                ),
            )),
            _ => {}
        }
        let most = family.bits();
        if let Some(length) = self.prefix_length {
            let (min, max) = (length.min.unwrap_or(0), length.max.unwrap_or(most));
            if self.cidr.is_none() {
                faults.push(("prefixLength", "there is no cidr; give one".into()));
            } else if max > most || min > max {
                let message = format!("{min} to {max} is no span of prefix lengths up to {most}");
                faults.push(("prefixLength", message));
            }
        }
        faults
    }
}

//! Tier: policies that are asked together, before or after those of other tiers.

use serde::{Deserialize, Serialize};

use super::Order;
use crate::resource::FieldError;

/// Policies that are asked together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tier {
    /// Lower comes first; without one it comes last. Tiers of the same order follow by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What happens to packets of endpoints that some policy of the tier applies to, when no rule of
    /// it decided.
    #[serde(default, skip_serializing_if = "DefaultAction::is_deny")]
    pub default_action: DefaultAction,
}

/// The end of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DefaultAction {
    /// The packet is dropped.
    #[default]
    Deny,
    /// The next tier is asked, or the profiles after the last one.
    Pass,
}

impl DefaultAction {
    fn is_deny(&self) -> bool {
        *self == DefaultAction::Deny
    }
}

impl Tier {
    /// The tier that policies are of which name none.
    pub const DEFAULT: &'static str = "default";

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

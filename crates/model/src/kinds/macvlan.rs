//! Containers directly on a physical network, by an interface of their own on one of the host's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::IfName;
use crate::resource::FieldError;

/// VLAN numbers that a frame can carry (IEEE 802.1Q: 0 is no VLAN, 4095 is kept).
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

/// How containers are put on a physical network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Macvlan {
    /// The host's interface that leads to the physical network; the same name on every node.
    pub parent: IfName,
    /// How the containers of one host see each other.
    #[serde(default)]
    pub mode: MacvlanMode,
    /// The VLAN of the parent that the network is (IEEE 802.1Q), from 1 to 4094; untagged if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Whether a host reaches its own containers, and they it, which the kernel alone does not give.
    #[serde(default)]
    pub host_access: bool,
}

/// How the containers of one host see each other (`MACVLAN_MODE_*`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Directly, within the host.
    #[default]
    Bridge,
    /// Not at all, not even through a switch that sends frames back.
    Private,
    /// Through the switch outside, if it sends frames back (IEEE 802.1Qbg).
    Vepa,
    /// There is one container, and it has the parent for itself.
    Passthru,
}

impl MacvlanMode {
    /// Its name, in resources and for `ip`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MacvlanMode::Bridge => "bridge",
            MacvlanMode::Private => "private",
            MacvlanMode::Vepa => "vepa",
            MacvlanMode::Passthru => "passthru",
        }
    }
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Macvlan {
    pub(super) fn faults(&self) -> Vec<FieldError> {
        let wrong = self.vlan.filter(|vlan| !VLANS.contains(vlan));
        let fault = |vlan: u16| {
            let (first, last) = (VLANS.start(), VLANS.end());
            let message =
                format!("{vlan} is not allowed: a VLAN's number is between {first} and {last}");
            FieldError::new("spec.macvlan.vlan", message)
        };
        wrong.map(fault).into_iter().collect()
    }
}

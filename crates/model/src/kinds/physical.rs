//! Containers directly on a physical network, by an interface of their own on one of the host's.
//!
//! Three drivers do it: `macvlan`, `ipvlan` and `vlan`. Each has a field of its own in a network's
//! spec; [`Physical`] is what they come to.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::IfName;
use crate::resource::FieldError;

/// VLAN numbers that a frame can carry (IEEE 802.1Q: 0 is no VLAN, 4095 is kept).
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;

/// How containers are put on a physical network, each with a link-layer address of its own.
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

/// How containers are put on a physical network, all with their parent's link-layer address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ipvlan {
    /// The host's interface that leads to the physical network; the same name on every node.
    pub parent: IfName,
    /// What the containers have in common with the physical network: frames, or packets.
    #[serde(default)]
    pub mode: IpvlanMode,
    /// How the containers of one host see each other.
    #[serde(default)]
    pub flag: IpvlanFlag,
    /// The VLAN of the parent that the network is (IEEE 802.1Q), from 1 to 4094; untagged if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Whether a host reaches its own containers, and they it, which the kernel alone does not give.
    #[serde(default)]
    pub host_access: bool,
}

/// A VLAN of a trunk that containers are on, each with a link-layer address of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vlan {
    /// The host's interface that is the trunk; the same name on every node.
    pub parent: IfName,
    /// The VLAN's number (IEEE 802.1Q), from 1 to 4094.
    pub id: u16,
    /// Whether a host reaches its own containers, and they it, which the kernel alone does not give.
    #[serde(default)]
    pub host_access: bool,
}

/// How a network's containers are put on a physical network, whichever driver does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Physical {
    /// The host's interface.
    pub parent: IfName,
    /// The VLAN of it.
    pub vlan: Option<u16>,
    /// Whether a host reaches its own containers.
    pub host_access: bool,
    /// What sort of interface the containers get.
    pub sort: PhysicalSort,
}

/// What sort of interface containers get on a physical network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhysicalSort {
    /// With a link-layer address of its own.
    Macvlan(MacvlanMode),
    /// With its parent's.
    Ipvlan(IpvlanMode, IpvlanFlag),
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

/// What containers have in common with a physical network (`IPVLAN_MODE_*`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// Its frames: they are stations of the segment.
    #[default]
    L2,
    /// Its packets: the host routes what they send, and asks nobody on the segment for them, so the
    /// routers there must know which host has which addresses.
    L3,
    /// The same, and what they are sent passes the host's packet filters too.
    L3s,
}

/// How the containers of one host see each other (`IPVLAN_F_*`, linux/if_link.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanFlag {
    /// Directly, within the host.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch outside, if it sends frames back (IEEE 802.1Qbg).
    Vepa,
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

impl IpvlanMode {
    /// Its name, in resources and for `ip`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            IpvlanMode::L2 => "l2",
            IpvlanMode::L3 => "l3",
            IpvlanMode::L3s => "l3s",
        }
    }

    /// Whether the host routes what containers send.
    #[must_use]
    pub fn is_routed(self) -> bool {
        self != IpvlanMode::L2
    }
}

impl IpvlanFlag {
    /// Its name, in resources and for `ip`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            IpvlanFlag::Bridge => "bridge",
            IpvlanFlag::Private => "private",
            IpvlanFlag::Vepa => "vepa",
        }
    }
}

impl PhysicalSort {
    /// The kernel's name of such an interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PhysicalSort::Macvlan(_) => "macvlan",
            PhysicalSort::Ipvlan(..) => "ipvlan",
        }
    }

    /// Whether a parent bears one such interface, and nothing else.
    #[must_use]
    pub fn is_alone(self) -> bool {
        self == PhysicalSort::Macvlan(MacvlanMode::Passthru)
    }

    /// Whether the host routes what containers send, so that they are no stations of the segment.
    #[must_use]
    pub fn is_routed(self) -> bool {
        matches!(self, PhysicalSort::Ipvlan(mode, _) if mode.is_routed())
    }
}

impl fmt::Display for MacvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for IpvlanMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for IpvlanFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for PhysicalSort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PhysicalSort::Macvlan(mode) => write!(f, "macvlan mode {mode}"),
            PhysicalSort::Ipvlan(mode, flag) => write!(f, "ipvlan mode {mode} {flag}"),
        }
    }
}

impl Macvlan {
    pub(super) fn faults(&self) -> Option<FieldError> {
        vlan_fault("spec.macvlan.vlan", self.vlan)
    }

    pub(super) fn physical(&self) -> Physical {
        Physical {
            parent: self.parent.clone(),
            vlan: self.vlan,
            host_access: self.host_access,
            sort: PhysicalSort::Macvlan(self.mode),
        }
    }
}

impl Ipvlan {
    pub(super) fn faults(&self) -> Option<FieldError> {
        vlan_fault("spec.ipvlan.vlan", self.vlan)
    }

    pub(super) fn physical(&self) -> Physical {
        Physical {
            parent: self.parent.clone(),
            vlan: self.vlan,
            host_access: self.host_access,
            sort: PhysicalSort::Ipvlan(self.mode, self.flag),
        }
    }
}

impl Vlan {
    pub(super) fn faults(&self) -> Option<FieldError> {
        vlan_fault("spec.vlan.id", Some(self.id))
    }

    pub(super) fn physical(&self) -> Physical {
        Physical {
            parent: self.parent.clone(),
            vlan: Some(self.id),
            host_access: self.host_access,
            sort: PhysicalSort::Macvlan(MacvlanMode::Bridge),
        }
    }
}

fn vlan_fault(field: &str, vlan: Option<u16>) -> Option<FieldError> {
    let wrong = vlan.filter(|vlan| !VLANS.contains(vlan))?;
    let (first, last) = (VLANS.start(), VLANS.end());
    let message = format!("{wrong} is not allowed: a VLAN's number is between {first} and {last}");
    Some(FieldError::new(field, message))
}

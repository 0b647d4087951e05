//! IPPool: a range of addresses, cut into blocks that nodes claim.
//!
//! Field names are Calico's, where Calico has the same concept.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::Name;
use crate::net::Family;
use crate::resource::FieldError;
use crate::selector::Selector;

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpPool {
    /// The range.
    pub cidr: IpNet,
    /// The address space that it is of; if not given, the one that the hosts route in. Pools of
    /// different spaces may share addresses, and their networks never meet: only for networks whose
    /// addresses nobody outside them sees (driver `overlay`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Name>,
    /// Prefix length of the blocks: 20 to 32 for IPv4 (26 if not given), 116 to 128 for IPv6 (122).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u8>,
    /// Translate the source address of packets that leave every pool.
    #[serde(default)]
    pub nat_outgoing: bool,
    /// The nodes that may use it; every node if not given.
    #[serde(default)]
    pub node_selector: Selector,
    /// No new addresses are taken from it.
    #[serde(default)]
    pub disabled: bool,
    /// A node takes addresses only from blocks of its own.
    #[serde(default)]
    pub strict_affinity: bool,
    /// Its blocks are not announced by BGP.
    #[serde(
        default,
        rename = "disableBGPExport",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub disable_bgp_export: bool,
}

impl IpPool {
    /// Prefix length of its blocks.
    #[must_use]
    pub fn block_prefix(&self) -> u8 {
        self.block_size.unwrap_or(match Family::of_net(self.cidr) {
            Family::V4 => 26,
            Family::V6 => 122,
        })
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let family = Family::of_net(self.cidr);
        if self.cidr.trunc() != self.cidr {
            faults.push(FieldError::new(
                "spec.cidr",
                format!(
                    "{} has bits set below its prefix; write {}",
                    self.cidr,
                    self.cidr.trunc()
                ),
            ));
        }
        if self.cidr.addr().is_multicast() || self.cidr.addr().is_loopback() {
            faults.push(FieldError::new(
                "spec.cidr",
                format!("{} is no range of unicast addresses", self.cidr),
            ));
        }
        let allowed = match family {
            Family::V4 => 20..=32,
            Family::V6 => 116..=128,
        };
        let size = self.block_prefix();
        if !allowed.contains(&size) {
            faults.push(FieldError::new(
                "spec.blockSize",
                format!(
                    "{size} is not allowed: for {family} it must be between {} and {}",
                    allowed.start(),
                    allowed.end()
                ),
            ));
        } else if size < self.cidr.prefix_len() {
            faults.push(FieldError::new(
                if self.block_size.is_some() { "spec.blockSize" } else { "spec.cidr" },
                format!(
                    "blocks of /{size} do not fit into {}; make the pool larger or blockSize at least {}",
                    self.cidr,
                    self.cidr.prefix_len()
                ),
            ));
        }
        faults
    }
}

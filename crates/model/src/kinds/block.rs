//! Block: the slice of a pool with affinity to one node, and who holds each of its addresses.
//!
//! The block is the unit of consistency: taking or releasing an address is one compare-and-swap of
//! one block in the store, so two nodes can never take the same address, also where one borrows
//! from the other's block.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::names::{Name, SharedNames};
use crate::resource::FieldError;

/// A slice of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Block {
    /// The range.
    pub cidr: IpNet,
    /// The pool that it was cut from.
    pub pool: Name,
    /// The pool's address space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Name>,
    /// The node that takes addresses from it first, and that its traffic is routed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Grows whenever `node` changes: a claim made under an older one is void.
    pub generation: u64,
    /// Addresses in use, by their place in the range.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub allocations: BTreeMap<u32, Allocation>,
    /// Places that were in use before, longest free first, each with the handle that it is kept
    /// for until it is needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub released: Vec<(u32, Name)>,
    /// Whether other nodes may take free places of it.
    #[serde(default, skip_serializing_if = "Sharing::is_closed")]
    pub sharing: Sharing,
}

/// Whether nodes other than a block's own may take its free places.
///
/// A node that cannot reach the store goes on giving addresses out of its closed blocks, so a block
/// is opened by its own node only, and only while that one reaches the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sharing {
    /// Only the block's node gives its free places.
    #[default]
    Closed,
    /// The same; another node asks for places.
    Asked,
    /// Every node may take free places.
    Open,
}

impl Sharing {
    fn is_closed(&self) -> bool {
        *self == Sharing::Closed
    }
}

/// Who holds an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allocation {
    /// The handle that holds it.
    pub handle: Name,
    /// The handle's generation when it was taken.
    pub generation: u64,
    /// The node that uses it; not always the block's node.
    pub node: Name,
    /// What it is used for.
    #[serde(default)]
    pub purpose: Purpose,
}

/// What an address is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// An endpoint's interface.
    #[default]
    Workload,
    /// The node's own end of a transport.
    Tunnel,
    /// The gateway of a bridge.
    Gateway,
}

impl Block {
    /// Gives the names the texts of equal ones, and lays the allocations out without spare room.
    pub(crate) fn compact(&mut self, shared: &mut SharedNames) {
        shared.share(&mut self.pool);
        if let Some(node) = &mut self.node {
            shared.share(node);
        }
        for allocation in self.allocations.values_mut() {
            shared.share(&mut allocation.handle);
            shared.share(&mut allocation.node);
        }
        for (_, handle) in &mut self.released {
            shared.share(handle);
        }
        self.allocations = std::mem::take(&mut self.allocations).into_iter().collect();
    }

    /// How many addresses it has; at most 4096.
    #[must_use]
    pub fn size(&self) -> u32 {
        1 << u32::from(self.cidr.max_prefix_len() - self.cidr.prefix_len()).min(31)
    }

    /// The address at a place.
    #[must_use]
    pub fn address(&self, ordinal: u32) -> IpAddr {
        match self.cidr.network() {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits().wrapping_add(ordinal)).into(),
            IpAddr::V6(base) => {
                Ipv6Addr::from_bits(base.to_bits().wrapping_add(u128::from(ordinal))).into()
            }
        }
    }

    /// The place of an address, if it lies in the block.
    #[must_use]
    pub fn ordinal(&self, address: IpAddr) -> Option<u32> {
        if !self.cidr.contains(&address) {
            return None;
        }
        match (self.cidr.network(), address) {
            (IpAddr::V4(base), IpAddr::V4(a)) => Some(a.to_bits() - base.to_bits()),
            (IpAddr::V6(base), IpAddr::V6(a)) => u32::try_from(a.to_bits() - base.to_bits()).ok(),
            _ => None,
        }
    }

    /// The name of the block resource of a range: `10.244.0.64-26`, `fd00_1_0_..._0-122`, and
    /// `blue.10.244.0.64-26` in a space of its own.
    #[must_use]
    pub fn resource_name(space: Option<&Name>, cidr: IpNet) -> Name {
        let text = match cidr.network() {
            IpAddr::V4(a) => a.to_string(),
            IpAddr::V6(a) => a.segments().map(|s| format!("{s:x}")).join("_"),
        };
        let text = format!("{text}-{}", cidr.prefix_len());
        let text = match space {
            Some(space) => format!("{space}.{text}"),
            None => text,
        };
        Name::new(text).expect("digits, letters, dots and underscores make a name")
    }

    /// Every address in use, with who holds it.
    pub fn in_use(&self) -> impl Iterator<Item = (IpAddr, &Allocation)> {
        self.allocations
            .iter()
            .map(|(ordinal, a)| (self.address(*ordinal), a))
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let size = self.size();
        self.allocations
            .keys()
            .filter(|ordinal| **ordinal >= size)
            .map(|ordinal| {
                FieldError::new(
                    format!("spec.allocations.{ordinal}"),
                    format!("outside the block, which has {size} addresses"),
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_ordinals_are_inverse() {
        for (cidr, ordinal, address) in [
            ("10.244.0.64/26", 5, "10.244.0.69"),
            ("fd00::40/122", 63, "fd00::7f"),
            ("10.0.0.1/32", 0, "10.0.0.1"),
        ] {
            let block = Block {
                cidr: cidr.parse().unwrap(),
                pool: Name::new("p").unwrap(),
                space: None,
                node: None,
                generation: 1,
                allocations: BTreeMap::new(),
                released: Vec::new(),
                sharing: Sharing::Closed,
            };
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(block.address(ordinal), address);
            assert_eq!(block.ordinal(address), Some(ordinal));
            assert!(ordinal < block.size());
        }
    }

    #[test]
    fn names_of_blocks_are_names() {
        let space = Name::new("blue").unwrap();
        let named = |space, cidr: &str| Block::resource_name(space, cidr.parse().unwrap());
        let name = |cidr: &str| named(None, cidr).to_string();
        assert_eq!(name("10.244.0.64/26"), "10.244.0.64-26");
        assert_eq!(name("fd00:1::40/122"), "fd00_1_0_0_0_0_0_40-122");
        assert_eq!(name("::/122"), "0_0_0_0_0_0_0_0-122");
        let spaced = named(Some(&space), "10.244.0.64/26");
        assert_eq!(spaced.as_str(), "blue.10.244.0.64-26");
    }
}

//! Fan networks: which addresses a node's containers have follows from the node's own address.
//!
//! ```text
//!   underlay  192.168.0.0/16   node   192.168. 3. 4          the last 16 bits tell nodes apart
//!   overlay   250.0.0.0/8      block       250. 3. 4.0/24    they stand behind the pool's prefix
//! ```
//!
//! So nobody has to hand blocks out, and who sees an address knows the node. (Canonical's Fan
//! networking, for which that is all there is: its kernels find the node by the same arithmetic.)

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::node::Node;
use crate::names::Name;
use crate::net::Family;
use crate::world::World;

/// How blocks follow from nodes' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fan {
    /// The range that all nodes' addresses on the underlay are in, as 192.168.0.0/16.
    pub underlay: Ipv4Net,
}

impl Fan {
    /// The prefix length of blocks in an overlay: what is left behind the bits that tell nodes apart.
    /// None where there is no room for a container.
    #[must_use]
    pub fn block_prefix(&self, overlay: Ipv4Net) -> Option<u8> {
        let nodes = 32 - self.underlay.prefix_len();
        let prefix = overlay.prefix_len() + nodes;
        (prefix <= 30).then_some(prefix)
    }

    /// The block of the node that has an address on the underlay.
    #[must_use]
    pub fn block(&self, overlay: Ipv4Net, node: Ipv4Addr) -> Option<Ipv4Net> {
        let prefix = self.block_prefix(overlay)?;
        let which = node.to_bits() & self.underlay.hostmask().to_bits();
        let first = overlay.network().to_bits() | which << (32 - prefix);
        let of_fan = self.underlay.contains(&node);
        Ipv4Net::new(Ipv4Addr::from_bits(first), prefix)
            .ok()
            .filter(|_| of_fan)
    }

    /// The same of a node with all its addresses.
    ///
    /// # Errors
    /// It has none, and what to do about it.
    fn block_of(&self, overlay: IpNet, name: &Name, node: &Node) -> Result<IpNet, String> {
        let address = node.address(Family::V4).map(|own| own.address.addr());
        let (IpNet::V4(overlay), Some(std::net::IpAddr::V4(address))) = (overlay, address) else {
            return Err(format!(
                "node {name} has no IPv4 address on the underlay, which its block of {overlay} would \
                 follow from; give it one in {}",
                self.underlay
            ));
        };
        let block = self.block(overlay, address).ok_or_else(|| {
            format!(
                "node {name} has the address {address}, outside of {}, and its block of {overlay} \
                 would follow from that; give it one in that range, let the fan's underlay be larger, \
                 or keep the node out of the pool by its nodeSelector",
                self.underlay
            )
        })?;
        Ok(block.into())
    }
}

impl World {
    /// The one block that a node may have in a pool, where that follows from the node's address.
    #[must_use]
    pub fn given_block(&self, pool: &Name, node: &Name) -> Option<Result<IpNet, String>> {
        let mut networks = self.networks.values();
        let fan = networks.find_map(|network| {
            let fan = network.spec.fan?;
            network.spec.pools.contains(pool).then_some(fan)
        })?;
        let overlay = self.pools.get(pool)?.spec.cidr;
        let node = self.nodes.get(node)?;
        Some(fan.block_of(overlay, node.name(), &node.spec))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(underlay: &str, overlay: &str, node: &str) -> Option<String> {
        let fan = Fan {
            underlay: underlay.parse().unwrap(),
        };
        let block = fan.block(overlay.parse().unwrap(), node.parse().unwrap());
        block.map(|block| block.to_string())
    }

    #[test]
    fn a_nodes_block_follows_from_its_address() {
        for (underlay, overlay, node, expected) in [
            (
                "192.168.0.0/16",
                "250.0.0.0/8",
                "192.168.3.4",
                "250.3.4.0/24",
            ),
            ("172.16.0.0/16", "250.0.0.0/8", "172.16.3.4", "250.3.4.0/24"),
            (
                "10.0.5.0/24",
                "10.240.0.0/12",
                "10.0.5.255",
                "10.255.240.0/20",
            ),
            (
                "10.64.0.0/10",
                "240.0.0.0/4",
                "10.127.255.255",
                "255.255.255.192/26",
            ),
        ] {
            assert_eq!(block(underlay, overlay, node).as_deref(), Some(expected));
        }
        assert_eq!(block("192.168.0.0/16", "250.0.0.0/8", "192.169.0.1"), None);
        assert_eq!(
            block("192.168.0.0/16", "250.250.0.0/16", "192.168.0.1"),
            None
        );
    }

    #[test]
    fn no_two_nodes_have_the_same_block() {
        let nodes = (0..=u8::MAX).map(|last| format!("10.0.5.{last}"));
        let blocks: std::collections::BTreeSet<_> = nodes
            .filter_map(|node| block("10.0.5.0/24", "250.0.0.0/8", &node))
            .collect();
        assert_eq!(blocks.len(), 256);
    }
}

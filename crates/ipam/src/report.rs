//! For people: how much is used, and what does not fit together.
//!
//! `show` counts, `check` compares every block, handle and endpoint with each other. Both only
//! read. A finding is no leak: it says that two records disagree, not which is right, and nothing
//! is reclaimed because of it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use tombolo_model::{Block, Name, World};

mod findings;

pub use findings::{Fault, Finding, check};

/// How much is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// By pool, in order of name.
    pub pools: Vec<PoolUsage>,
    /// By block, in order of address.
    pub blocks: Vec<BlockUsage>,
    /// By node, in order of name.
    pub nodes: Vec<NodeUsage>,
}

/// How much of a pool is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolUsage {
    /// The pool.
    pub name: Name,
    /// Its range.
    pub cidr: IpNet,
    /// Addresses in the range; 2^64 - 1 stands for that many or more.
    pub size: u64,
    /// Blocks that were cut from it.
    pub blocks: usize,
    /// Addresses in use.
    pub in_use: usize,
    /// Addresses that are free and kept for who had them last.
    pub kept: usize,
}

/// How much of a block is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockUsage {
    /// Its range.
    pub cidr: IpNet,
    /// The pool that it was cut from.
    pub pool: Name,
    /// The node that owns it.
    pub node: Option<Name>,
    /// Addresses in the range.
    pub size: u32,
    /// Addresses in use.
    pub in_use: usize,
    /// Addresses in use by other nodes than its own.
    pub borrowed: usize,
    /// Addresses that are free and kept for who had them last.
    pub kept: usize,
}

/// How much a node uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeUsage {
    /// The node.
    pub name: Name,
    /// Blocks that it owns.
    pub blocks: usize,
    /// Addresses that it uses.
    pub in_use: usize,
    /// Those of them that lie in other nodes' blocks.
    pub borrowed: usize,
}

/// Counts what is used, by pool, block and node.
#[must_use]
pub fn show(world: &World) -> Usage {
    let mut blocks: Vec<&Block> = world.blocks.values().map(|r| &r.spec).collect();
    blocks.sort_by_key(|b| b.cidr);
    let pools = world.pools.iter().map(|(name, pool)| {
        let of_pool = || blocks.iter().filter(|b| b.pool == *name);
        let cidr = pool.spec.cidr;
        PoolUsage {
            name: name.clone(),
            cidr,
            size: size(cidr),
            blocks: of_pool().count(),
            in_use: of_pool().map(|b| b.allocations.len()).sum(),
            kept: of_pool().map(|b| b.released.len()).sum(),
        }
    });
    Usage {
        pools: pools.collect(),
        blocks: blocks.iter().map(|block| block_usage(block)).collect(),
        nodes: node_usage(world, &blocks),
    }
}

fn size(net: IpNet) -> u64 {
    1u64.checked_shl(u32::from(net.max_prefix_len() - net.prefix_len()))
        .unwrap_or(u64::MAX)
}

fn is_borrowed(block: &Block, user: &Name) -> bool {
    block.node.as_ref() != Some(user)
}

fn block_usage(block: &Block) -> BlockUsage {
    BlockUsage {
        cidr: block.cidr,
        pool: block.pool.clone(),
        node: block.node.clone(),
        size: block.size(),
        in_use: block.allocations.len(),
        borrowed: block
            .allocations
            .values()
            .filter(|a| is_borrowed(block, &a.node))
            .count(),
        kept: block.released.len(),
    }
}

fn node_usage(world: &World, blocks: &[&Block]) -> Vec<NodeUsage> {
    let none = |name: &Name| NodeUsage {
        name: name.clone(),
        blocks: 0,
        in_use: 0,
        borrowed: 0,
    };
    let mut nodes: BTreeMap<&Name, NodeUsage> =
        world.nodes.keys().map(|name| (name, none(name))).collect();
    for block in blocks {
        if let Some(node) = &block.node {
            nodes.entry(node).or_insert_with(|| none(node)).blocks += 1;
        }
        for held in block.allocations.values() {
            let node = nodes.entry(&held.node).or_insert_with(|| none(&held.node));
            node.in_use += 1;
            node.borrowed += usize::from(is_borrowed(block, &held.node));
        }
    }
    nodes.into_values().collect()
}

/// Who holds an address of a network, by block and place.
fn allocation<'w>(
    world: &'w World,
    network: &Name,
    address: IpAddr,
) -> Option<&'w tombolo_model::Allocation> {
    let space = world.space_of(network);
    let name = crate::draft::Draft::new(world).block_of(space, address)?;
    let block = &world.blocks.get(&name)?.spec;
    block.allocations.get(&block.ordinal(address)?)
}

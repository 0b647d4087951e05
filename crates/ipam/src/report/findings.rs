//! What does not fit together: every block, handle and endpoint is compared with the others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use tombolo_model::{Block, Name, Resource, ResourceKey, World};

use super::allocation;

/// Two records that disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The resource that the fault was seen in.
    pub resource: ResourceKey,
    /// The sort of fault.
    pub fault: Fault,
    /// What disagrees with what.
    pub message: String,
}

/// Sorts of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// An address is in use by a handle that is not there.
    AllocationWithoutHandle,
    /// An address is in use by a handle that has moved on.
    AllocationStale,
    /// A handle has an address that is not in use by it.
    HandleWithoutAllocation,
    /// An endpoint has an address that is not in use by its handle.
    EndpointWithoutAllocation,
    /// An endpoint's addresses were given to a later one.
    EndpointStale,
    /// Two endpoints have one address.
    AddressTwice,
    /// A block lies outside its pool, or the pool is gone.
    BlockOutsidePool,
    /// Two blocks share addresses.
    BlocksOverlap,
    /// A block's node is not there.
    BlockOfUnknownNode,
}

/// Every fault, in order of resource.
#[must_use]
pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for block in world.blocks.values() {
        let told = block_faults(world, block)
            .into_iter()
            .chain(allocation_faults(world, block));
        findings.extend(told.map(|(fault, message)| finding(block.key(), fault, message)));
    }
    overlaps(world, &mut findings);
    for (name, handle) in &world.handles {
        let Some(node) = &handle.spec.node else {
            continue;
        };
        for address in &handle.spec.addresses {
            if allocation(world, &handle.spec.network, *address).is_none_or(|a| a.handle != *name) {
                let message = format!(
                    "{address} of {} on node {node} is not in use by it in any block",
                    handle.spec.identity
                );
                findings.push(finding(
                    handle.key(),
                    Fault::HandleWithoutAllocation,
                    message,
                ));
            }
        }
    }
    endpoint_faults(world, &mut findings);
    findings.sort_by(|a, b| (&a.resource, a.fault).cmp(&(&b.resource, b.fault)));
    findings
}

fn finding(resource: ResourceKey, fault: Fault, message: String) -> Finding {
    Finding {
        resource,
        fault,
        message,
    }
}

fn block_faults(world: &World, block: &Resource<Block>) -> Vec<(Fault, String)> {
    let block = &block.spec;
    let mut faults = Vec::new();
    match world.pools.get(&block.pool) {
        None => {
            let message = format!("its IPPool {} does not exist", block.pool);
            faults.push((Fault::BlockOutsidePool, message));
        }
        Some(pool) if !pool.spec.cidr.contains(&block.cidr) => {
            let message = format!(
                "{} is not in {} of IPPool {}",
                block.cidr, pool.spec.cidr, block.pool
            );
            faults.push((Fault::BlockOutsidePool, message));
        }
        Some(_) => {}
    }
    if let Some(node) = block
        .node
        .as_ref()
        .filter(|node| !world.nodes.contains_key(*node))
    {
        let message = format!("its node {node} does not exist");
        faults.push((Fault::BlockOfUnknownNode, message));
    }
    faults
}

fn allocation_faults(world: &World, block: &Resource<Block>) -> Vec<(Fault, String)> {
    let mut faults = Vec::new();
    for (address, held) in block.spec.in_use() {
        let Some(handle) = world.handles.get(&held.handle) else {
            let message = format!(
                "{address} is in use by handle {}, which is gone",
                held.handle
            );
            faults.push((Fault::AllocationWithoutHandle, message));
            continue;
        };
        let handle = &handle.spec;
        let stale = if handle.node.is_none() || !handle.addresses.contains(&address) {
            Some("which has given it back".to_owned())
        } else if handle.generation != held.generation {
            Some(format!(
                "which is at generation {} by now",
                handle.generation
            ))
        } else {
            None
        };
        if let Some(stale) = stale {
            let message = format!(
                "{address} is in use by {} at generation {}, {stale}",
                handle.identity, held.generation
            );
            faults.push((Fault::AllocationStale, message));
        }
    }
    faults
}

fn overlaps(world: &World, findings: &mut Vec<Finding>) {
    let mut blocks: Vec<&Resource<Block>> = world.blocks.values().collect();
    blocks.sort_by_key(|b| {
        let net = b.spec.cidr;
        (&b.spec.space, net.network(), net.prefix_len())
    });
    let mut widest: Option<&Resource<Block>> = None;
    for block in blocks {
        let shares = |w: &&Resource<Block>| {
            w.spec.space == block.spec.space && w.spec.cidr.contains(&block.spec.cidr)
        };
        match widest.filter(shares) {
            Some(other) => {
                let message = format!(
                    "{} shares addresses with {}",
                    block.spec.cidr, other.spec.cidr
                );
                findings.push(finding(block.key(), Fault::BlocksOverlap, message));
            }
            None => widest = Some(block),
        }
    }
}

fn endpoint_faults(world: &World, findings: &mut Vec<Finding>) {
    let mut users: BTreeMap<(Option<&Name>, IpAddr), &(Name, Name)> = BTreeMap::new();
    for (key, endpoint) in &world.endpoints {
        let spec = &endpoint.spec;
        let newest = world
            .handles
            .get(&spec.handle)
            .map_or(0, |h| h.spec.generation);
        let mut add = |fault, message| findings.push(finding(endpoint.key(), fault, message));
        if newest > spec.generation {
            let message = format!(
                "its addresses were given to a later one: generation {} is superseded by {newest}",
                spec.generation
            );
            add(Fault::EndpointStale, message);
        }
        let space = world.space_of(&spec.network);
        for address in &spec.addresses {
            if allocation(world, &spec.network, *address).is_none_or(|a| a.handle != spec.handle) {
                let message = format!("{address} is not in use by its handle in any block");
                add(Fault::EndpointWithoutAllocation, message);
            }
            if let Some((namespace, name)) = users.insert((space, *address), key) {
                let message = format!("{address} is also the address of {namespace}/{name}");
                add(Fault::AddressTwice, message);
            }
        }
    }
}

//! Addresses that nobody uses and nobody gave back, found by evidence.
//!
//! A leak is told only by what is known to be so: a sandbox that was looked for on its own node and
//! is gone, a node that has another boot ID than when the endpoint was made, a node that was
//! deleted. That something was not seen is no evidence: a world that may be incomplete never makes a
//! leak of a deleted node or a lost handle. What is found is reclaimed under the generation that it
//! was found with, so an owner that came back in between keeps its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Serialize;
use tombolo_model::{Endpoint, Name, World, Write};

use crate::draft::Draft;
use crate::release::unbind;

/// What is known for certain.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The world was listed whole at one revision of the store: what is not in it does not exist.
    pub complete: bool,
    /// A node, and the boot ID that its kernel has at present.
    pub boot: Option<(Name, String)>,
    /// Endpoints (namespace and name) whose sandboxes were looked for on their own node and are
    /// gone.
    pub gone: BTreeSet<(Name, Name)>,
}

/// Addresses that nobody uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leak {
    /// Why they are known to be unused.
    pub reason: LeakReason,
    /// The handle that holds them.
    pub handle: Name,
    /// Its generation, as of the endpoint or allocation.
    pub generation: u64,
    /// The node that used them.
    pub node: Name,
    /// The endpoint that used them.
    pub endpoint: Option<(Name, Name)>,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The block that they lie in, where the handle does not say it.
    pub block: Option<Name>,
}

/// Why an address is known to be unused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LeakReason {
    /// The sandbox is gone.
    SandboxGone,
    /// The node was restarted since.
    Rebooted,
    /// The node was deleted.
    NodeDeleted,
    /// The handle is gone, or has given the address back.
    HandleGone,
}

/// Every leak that the evidence proves, in order of endpoint, handle, block.
#[must_use]
pub fn leaks(world: &World, evidence: &Evidence) -> Vec<Leak> {
    let deleted = |node: &Name| evidence.complete && !world.nodes.contains_key(node);
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (key, endpoint) in &world.endpoints {
        let spec = &endpoint.spec;
        let reason = if evidence.gone.contains(key) {
            LeakReason::SandboxGone
        } else if rebooted(spec, evidence) {
            LeakReason::Rebooted
        } else if deleted(&spec.node) {
            LeakReason::NodeDeleted
        } else {
            continue;
        };
        seen.insert((&spec.handle, spec.generation));
        found.push(Leak {
            reason,
            handle: spec.handle.clone(),
            generation: spec.generation,
            node: spec.node.clone(),
            endpoint: Some(key.clone()),
            addresses: spec.addresses.clone(),
            block: None,
        });
    }
    for (name, handle) in &world.handles {
        let spec = &handle.spec;
        let Some(node) = spec.node.as_ref().filter(|node| deleted(node)) else {
            continue;
        };
        if !seen.contains(&(name, spec.generation)) {
            found.push(Leak {
                reason: LeakReason::NodeDeleted,
                handle: name.clone(),
                generation: spec.generation,
                node: node.clone(),
                endpoint: spec.endpoint.clone(),
                addresses: spec.addresses.clone(),
                block: None,
            });
        }
    }
    if evidence.complete {
        found.extend(lost(world));
    }
    found
}

fn rebooted(endpoint: &Endpoint, evidence: &Evidence) -> bool {
    evidence.boot.as_ref().is_some_and(|(node, boot_id)| {
        endpoint.node == *node && !endpoint.boot_id.is_empty() && endpoint.boot_id != *boot_id
    })
}

/// Allocations whose handle does not know of them.
fn lost(world: &World) -> impl Iterator<Item = Leak> {
    let all = world.blocks.iter().flat_map(|(name, block)| {
        let in_use = block.spec.in_use();
        in_use.map(move |(address, held)| (name, address, held))
    });
    all.filter(|(_, address, held)| !is_known(world, *address, &held.handle))
        .map(|(block, address, held)| Leak {
            reason: LeakReason::HandleGone,
            handle: held.handle.clone(),
            generation: held.generation,
            node: held.node.clone(),
            endpoint: None,
            addresses: vec![address],
            block: Some(block.clone()),
        })
}

/// Whether a handle is in use and has an address.
fn is_known(world: &World, address: IpAddr, handle: &Name) -> bool {
    let handle = world.handles.get(handle).map(|r| &r.spec);
    handle.is_some_and(|h| h.node.is_some() && h.addresses.contains(&address))
}

/// Gives the addresses of a leak back, if they are still held as they were when it was found.
#[must_use]
pub fn reclaim(world: &World, leak: &Leak) -> Vec<Write> {
    let mut draft = Draft::new(world);
    if leak.reason == LeakReason::HandleGone {
        for address in &leak.addresses {
            if !is_known(world, *address, &leak.handle) {
                free_held(&mut draft, *address, leak);
            }
        }
        return draft.into_writes();
    }
    unbind(&mut draft, &leak.handle, leak.generation);
    if let Some(key) = &leak.endpoint
        && let Some(endpoint) = world.endpoints.get(key)
        && endpoint.spec.handle == leak.handle
        && endpoint.spec.generation == leak.generation
    {
        draft.delete_endpoint(key);
    }
    draft.into_writes()
}

fn free_held(draft: &mut Draft<'_>, address: IpAddr, leak: &Leak) {
    let Some(name) = &leak.block else { return };
    let Some(block) = draft.block(name) else {
        return;
    };
    let Some(ordinal) = block.ordinal(address) else {
        return;
    };
    let held = block.allocations.get(&ordinal);
    if held.is_some_and(|held| held.generation == leak.generation) {
        draft.free_place(name, ordinal, &leak.handle);
    }
}

//! Giving back: the addresses of a handle, all that a deleted node had, and blocks beyond need.
//!
//! An address that is given back stays kept for its handle until somebody needs the place. A
//! handle whose generation has moved on is not touched, so the release of an old owner that comes
//! late does nothing.

use std::collections::BTreeMap;

use tombolo_model::kinds::Sharing;
use tombolo_model::{Block, Name, World, Write};

use crate::draft::Draft;
use crate::floor::delete_handle;

/// The most writes that are put into one transaction; etcd allows 128.
pub const MAX_WRITES: usize = 100;

/// Gives back all addresses of a handle, if it is still of that generation.
#[must_use]
pub fn release(world: &World, handle: &Name, generation: u64) -> Vec<Write> {
    let mut draft = Draft::new(world);
    unbind(&mut draft, handle, generation);
    draft.into_writes()
}

/// Frees a handle's addresses, and the handle from its node, if it is of that generation.
pub(crate) fn unbind(draft: &mut Draft<'_>, name: &Name, generation: u64) {
    let Some(mut handle) = draft.handle(name).cloned() else {
        return;
    };
    if handle.generation != generation || handle.node.is_none() {
        return;
    }
    for address in &handle.addresses {
        draft.free(*address, name);
    }
    if handle.addresses.iter().any(|a| draft.is_kept(*a, name)) {
        handle.node = None;
        handle.endpoint = None;
        draft.put_handle(name, handle);
    } else {
        delete_handle(draft, name);
    }
}

/// Gives back all that a deleted node had, as transactions to be committed in order. Its endpoints
/// and handles go first, its blocks after them: an address must not be given to somebody else while
/// an endpoint still claims it. If a transaction fails, compute again from a newer world.
#[must_use]
pub fn release_node(world: &World, node: &Name) -> Vec<Vec<Write>> {
    let mut transactions = Vec::new();
    let mut draft = Draft::new(world);
    let mut writes = 0;
    let mut add = |change: &dyn Fn(&mut Draft<'_>)| {
        // A change makes at most two writes.
        if writes + 2 > MAX_WRITES {
            let full = std::mem::replace(&mut draft, Draft::new(world));
            transactions.push(full.into_writes());
            writes = 0;
        }
        change(&mut draft);
        writes += 2;
    };
    for (key, endpoint) in &world.endpoints {
        if endpoint.spec.node == *node {
            add(&|draft| draft.delete_endpoint(key));
        }
    }
    for (name, handle) in &world.handles {
        if handle.spec.node.as_ref() == Some(node) {
            add(&|draft| {
                let unbound = tombolo_model::Handle {
                    node: None,
                    endpoint: None,
                    ..handle.spec.clone()
                };
                draft.put_handle(name, unbound);
            });
        }
    }
    for (name, block) in &world.blocks {
        let uses = block.spec.allocations.values().any(|a| a.node == *node);
        if uses || block.spec.node.as_ref() == Some(node) {
            add(&|draft| leave_block(draft, name, node));
        }
    }
    transactions.push(draft.into_writes());
    transactions.retain(|writes| !writes.is_empty());
    transactions
}

/// Takes a node out of a block: its allocations, and its ownership.
fn leave_block(draft: &mut Draft<'_>, name: &Name, node: &Name) {
    let Some(block) = draft.block(name) else {
        return;
    };
    let held: Vec<(u32, Name)> = block
        .allocations
        .iter()
        .filter(|(_, a)| a.node == *node)
        .map(|(ordinal, a)| (*ordinal, a.handle.clone()))
        .collect();
    let owns = block.node.as_ref() == Some(node);
    for (ordinal, handle) in held {
        draft.free_place(name, ordinal, &handle);
    }
    if owns {
        give_up(draft, name);
    }
}

/// Makes a block nobody's; one that nothing is kept in goes away.
fn give_up(draft: &mut Draft<'_>, name: &Name) {
    let Some(block) = draft.block_mut(name) else {
        return;
    };
    if block.allocations.is_empty() && block.released.is_empty() {
        draft.delete_block(name);
    } else {
        block.node = None;
        block.generation += 1;
        block.sharing = Sharing::Closed;
    }
}

/// Gives back blocks of a node in which no address is in use, beyond the first of each pool, which
/// the node keeps so that the next container need not wait for the store.
#[must_use]
pub fn surplus_blocks(world: &World, node: &Name) -> Vec<Write> {
    let mut empty: BTreeMap<&Name, Vec<(&Name, &Block)>> = BTreeMap::new();
    for (name, block) in &world.blocks {
        let block = &block.spec;
        if block.node.as_ref() == Some(node) && block.allocations.is_empty() {
            empty.entry(&block.pool).or_default().push((name, block));
        }
    }
    let mut draft = Draft::new(world);
    let surplus = empty.values_mut().flat_map(|blocks| {
        blocks.sort_by_key(|(_, block)| block.cidr);
        blocks.iter().skip(1)
    });
    for (name, _) in surplus.take(MAX_WRITES) {
        give_up(&mut draft, name);
    }
    draft.into_writes()
}

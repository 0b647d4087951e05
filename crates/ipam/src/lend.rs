//! Opening blocks to other nodes, and closing them again.
//!
//! A node that does not reach the store gives addresses out of its closed blocks, so nobody else
//! may. Who finds addresses only there asks; the block's own node opens it, from then on gives its
//! places by the store alone, and closes it when nobody borrows from it any more.
//!
//! ```text
//!   Closed ──ask (another node)──► Asked ──lend (its own node)──► Open ──close (its own)──► Closed
//! ```

use tombolo_model::kinds::Sharing;
use tombolo_model::{Block, Name, World, Write};

use crate::draft::Draft;

/// Asks a block's node to open it.
#[must_use]
pub fn ask(world: &World, name: &Name) -> Vec<Write> {
    let mut draft = Draft::new(world);
    if let Some(block) = draft.block(name)
        && block.sharing == Sharing::Closed
        && let Some(block) = draft.block_mut(name)
    {
        block.sharing = Sharing::Asked;
    }
    draft.into_writes()
}

/// Opens the blocks of a node that others ask for.
#[must_use]
pub fn lend(world: &World, node: &Name) -> Vec<Write> {
    turn(world, node, Sharing::Open, |block| {
        block.sharing == Sharing::Asked
    })
}

/// Closes the open blocks of a node that nobody else has an address of.
#[must_use]
pub fn close(world: &World, node: &Name) -> Vec<Write> {
    turn(world, node, Sharing::Closed, |block| {
        block.sharing == Sharing::Open && block.allocations.values().all(|a| a.node == *node)
    })
}

fn turn(world: &World, node: &Name, to: Sharing, which: impl Fn(&Block) -> bool) -> Vec<Write> {
    let mut draft = Draft::new(world);
    let own = world
        .blocks
        .iter()
        .filter(|(_, block)| block.spec.node.as_ref() == Some(node) && which(&block.spec));
    for (name, _) in own.take(crate::MAX_WRITES) {
        if let Some(block) = draft.block_mut(name) {
            block.sharing = to;
        }
    }
    draft.into_writes()
}

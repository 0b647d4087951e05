//! The generations of handles that are gone, so that a handle made anew never repeats one.
//!
//! A handle that nothing is kept for any more is deleted, or their number would grow for ever. Its
//! generations must stay used up all the same: a release of an owner of the past may still be on
//! its way. So handles share floors, some thousand per network, by the beginning of their names: a
//! new handle begins above its floor and raises it, and a handle that is deleted raises it to its
//! own generation. Since making a handle always writes the floor, one that is made from a world too
//! old to know of an earlier handle of the same name is refused by the store.
//!
//! A floor is stored as a handle without node and addresses.

use tombolo_model::{Handle, Name};

use crate::draft::Draft;

/// Digits of a handle's name that choose its floor: 4096 floors per network.
const DIGITS: usize = 3;

/// The generation for a handle that is made anew. Raises its floor.
pub(crate) fn first_generation(draft: &mut Draft<'_>, network: &Name, handle: &Name) -> u64 {
    let floor = name(network, handle);
    let generation = draft.handle(&floor).map_or(0, |h| h.generation) + 1;
    raise(draft, network, handle, generation);
    generation
}

/// Deletes a handle, and leaves its generation with its floor.
pub(crate) fn delete_handle(draft: &mut Draft<'_>, handle: &Name) {
    let Some(deleted) = draft.handle(handle).cloned() else {
        return;
    };
    raise(draft, &deleted.network, handle, deleted.generation);
    draft.delete_handle(handle);
}

fn raise(draft: &mut Draft<'_>, network: &Name, handle: &Name, generation: u64) {
    let floor = name(network, handle);
    if draft
        .handle(&floor)
        .is_some_and(|h| h.generation >= generation)
    {
        return;
    }
    let raised = Handle {
        network: network.clone(),
        identity: format!("generations/{}", shard(handle)),
        generation,
        node: None,
        endpoint: None,
        addresses: Vec::new(),
    };
    draft.put_handle(&floor, raised);
}

fn shard(handle: &Name) -> &str {
    handle.as_str().get(..DIGITS).unwrap_or(handle.as_str())
}

/// With a zero byte, so that no identity that somebody may choose has the same name.
fn name(network: &Name, handle: &Name) -> Name {
    Handle::resource_name(network, &format!("\0generations/{}", shard(handle)))
}

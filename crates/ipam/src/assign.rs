//! Giving addresses: which handle, which address per family, and what that changes.
//!
//! For each family, in this order: the address asked for by name; the address that the identity had
//! before; a place never used in the node's own blocks; the place there that is free for the
//! longest time; a new block; a block that no node owns; a place borrowed from a block that another
//! node has opened, unless the pool has strict affinity. Pools are tried in the network's order, all
//! of them before anything is borrowed. Without the store only places of the node's own closed
//! blocks are given.
//!
//! An identity that is in use on the same node is taken over: the old endpoint is superseded. In
//! use on another node, it is taken over only if asked to; otherwise the asker becomes
//! `identity@node`, and stays that until it gives its addresses back.

mod step;

use std::collections::BTreeSet;
use std::net::IpAddr;

use tombolo_model::{AddressRange, Family, Handle, Name, World};

use crate::draft::Draft;
use crate::error::IpamError;
use crate::floor::{delete_handle, first_generation};
use crate::place::Rules;
use crate::pools::Pools;
use crate::request::{Claim, Request};
use step::Step;

/// Gives one address per family of the network's pools.
///
/// # Errors
/// Why none can be given; see [`IpamError`].
pub fn assign(world: &World, request: &Request<'_>) -> Result<Claim, IpamError> {
    let pools = Pools::of(world, request.network, request.node)?;
    check_wanted(&pools, request.wanted)?;
    check_ranges(&pools, request.ranges)?;
    let (handle, identity) = choose_handle(world, request);
    let old = world.handles.get(&handle).map(|r| &r.spec);
    let mut draft = Draft::new(world);
    let generation = match old {
        Some(old) => old.generation + 1,
        None => first_generation(&mut draft, request.network, &handle),
    };
    let step = Step {
        request,
        pools: &pools,
        rules: Rules::of(world, request),
        handle: &handle,
        old,
        generation,
    };
    let mut displaced = BTreeSet::new();
    let mut addresses = Vec::new();
    for family in pools.families() {
        let place = step.pick(&mut draft, family)?;
        addresses.extend(step.take(&mut draft, &place, &mut displaced));
    }
    for address in old.iter().flat_map(|h| &h.addresses) {
        if !addresses.contains(address) {
            draft.free(*address, &handle);
        }
    }
    forget(&mut draft, &displaced);
    let superseded = old
        .filter(|h| h.node.is_some() && h.endpoint != request.endpoint)
        .and_then(|h| h.endpoint.clone());
    if let Some(endpoint) = &superseded {
        draft.delete_endpoint(endpoint);
    }
    let bound = Handle {
        network: request.network.clone(),
        identity,
        generation,
        node: Some(request.node.clone()),
        endpoint: request.endpoint.clone(),
        addresses: addresses.clone(),
    };
    draft.put_handle(&handle, bound);
    Ok(Claim {
        addresses,
        generation,
        handle,
        writes: draft.into_writes(),
        superseded,
    })
}

fn check_wanted(pools: &Pools<'_>, wanted: &[IpAddr]) -> Result<(), IpamError> {
    for (index, address) in wanted.iter().enumerate() {
        let family = Family::of(*address);
        if let Some(first) = wanted[..index].iter().find(|a| Family::of(**a) == family) {
            let (first, second) = (*first, *address);
            return Err(IpamError::TwoOfOneFamily {
                family,
                first,
                second,
            });
        }
        if pools.of_address(*address).is_none() {
            return Err(pools.outside(*address));
        }
    }
    Ok(())
}

fn check_ranges(pools: &Pools<'_>, ranges: &[AddressRange]) -> Result<(), IpamError> {
    let mut ends = ranges.iter().flat_map(|range| [range.first, range.last]);
    match ends.find(|end| pools.of_address(*end).is_none()) {
        Some(end) => Err(pools.outside(end)),
        None => Ok(()),
    }
}

/// The name of the handle to use, and its identity.
fn choose_handle(world: &World, request: &Request<'_>) -> (Name, String) {
    let Request {
        node,
        network,
        identity,
        ..
    } = request;
    let name = Handle::resource_name(network, identity);
    // With a zero byte, so that no identity that somebody may choose has the same name.
    let own_name = Handle::resource_name(network, &format!("{identity}\0@{node}"));
    let user = |handle: &Name| world.handles.get(handle).and_then(|h| h.spec.node.as_ref());
    let elsewhere = user(&name).is_some_and(|user| user != *node);
    if user(&own_name) == Some(node) || (elsewhere && !request.take_over) {
        return (own_name, format!("{identity}@{node}"));
    }
    (name, (*identity).to_owned())
}

/// Takes from handles that are not in use what is not kept for them any more, and deletes those
/// that have nothing left. Each is written: of two nodes that take the last two addresses of one
/// handle at once, neither would see that nothing is left.
fn forget(draft: &mut Draft<'_>, displaced: &BTreeSet<Name>) {
    for name in displaced {
        let Some(handle) = draft.handle(name).filter(|handle| handle.node.is_none()) else {
            continue;
        };
        let mut left = handle.clone();
        left.addresses
            .retain(|address| draft.is_kept(*address, name));
        if left.addresses.is_empty() {
            delete_handle(draft, name);
        } else {
            draft.put_handle(name, left);
        }
    }
}

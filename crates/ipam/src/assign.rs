//! Giving addresses: which handle, which address per family, and what that changes.
//!
//! For each family, in this order: the address asked for by name; the address that the identity had
//! before; a place never used in the node's own blocks; the place there that is free for the
//! longest time; a new block; a block that no node owns; a place borrowed from another node's block,
//! unless the pool has strict affinity. Pools are tried in the network's order, all of them before
//! anything is borrowed.
//!
//! An identity that is in use on the same node is taken over: the old endpoint is superseded. In
//! use on another node, it is taken over only if asked to; otherwise the asker becomes
//! `identity@node`, and stays that until it gives its addresses back. A new handle begins with a
//! generation above every revision at which a block that this node knows of was written, so that
//! it is above those of an earlier handle of the same identity that is gone by now.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::Purpose;
use tombolo_model::{Allocation, Block, Family, Handle, Name, World};

use crate::draft::Draft;
use crate::error::IpamError;
use crate::place::{Rules, unclaimed};
use crate::pools::{PoolView, Pools};
use crate::request::{Claim, Request};

/// Gives one address per family of the network's pools.
///
/// # Errors
/// Why none can be given; see [`IpamError`].
pub fn assign(world: &World, request: &Request<'_>) -> Result<Claim, IpamError> {
    let pools = Pools::of(world, request.network, request.node)?;
    check_wanted(&pools, request.wanted)?;
    let (handle, identity) = choose_handle(world, request);
    let old = world.handles.get(&handle).map(|r| &r.spec);
    let generation = old.map_or_else(|| fresh(world), |h| h.generation + 1);
    let step = Step {
        request,
        pools: &pools,
        rules: Rules::of(world, request.reserve),
        handle: &handle,
        old,
        generation,
    };
    let mut draft = Draft::new(world);
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

/// A generation above every revision at which a block was written, as far as the world knows.
fn fresh(world: &World) -> u64 {
    let revisions = world
        .blocks
        .values()
        .filter_map(|b| b.metadata.resource_version);
    revisions
        .max()
        .and_then(|r| u64::try_from(r).ok())
        .unwrap_or(0)
        + 1
}

/// Deletes handles that are not in use and have nothing kept for them any more.
fn forget(draft: &mut Draft<'_>, displaced: &BTreeSet<Name>) {
    for name in displaced {
        let done = draft.handle(name).is_some_and(|handle| {
            handle.node.is_none() && !handle.addresses.iter().any(|a| draft.is_kept(*a, name))
        });
        if done {
            draft.delete_handle(name);
        }
    }
}

/// A place in a block.
struct Place {
    block: Name,
    ordinal: u32,
}

/// One assignment on its way.
struct Step<'a> {
    request: &'a Request<'a>,
    pools: &'a Pools<'a>,
    rules: Rules,
    handle: &'a Name,
    old: Option<&'a Handle>,
    generation: u64,
}

impl Step<'_> {
    fn pick(&self, draft: &mut Draft<'_>, family: Family) -> Result<Place, IpamError> {
        if let Some(address) = self
            .request
            .wanted
            .iter()
            .find(|a| Family::of(**a) == family)
        {
            return self.wanted(draft, *address);
        }
        if let Some(place) = self.sticky(draft, family) {
            return Ok(place);
        }
        if self.pools.usable(family).next().is_none() {
            return Err(self.pools.unusable(family));
        }
        let from_own = self
            .pools
            .usable(family)
            .find_map(|pool| self.own_place(draft, pool));
        let place = from_own.or_else(|| {
            let mut lending = self
                .pools
                .usable(family)
                .filter(|pool| !pool.spec.strict_affinity);
            lending.find_map(|pool| self.borrowed(draft, pool))
        });
        place.ok_or_else(|| self.pools.exhausted(draft.world, family))
    }

    /// The address asked for by name.
    fn wanted(&self, draft: &mut Draft<'_>, address: IpAddr) -> Result<Place, IpamError> {
        let pool = self
            .pools
            .of_address(address)
            .ok_or_else(|| self.pools.outside(address))?;
        if let Some(reason) = &pool.barred
            && !self.is_asked_again(draft, address)
        {
            let node = self.request.node.clone();
            return Err(IpamError::PoolUnusable {
                address,
                node,
                reason: reason.clone(),
            });
        }
        let place = self.locate(draft, address, pool)?;
        let reserve = self.rules.reserve;
        match draft.block(&place.block) {
            Some(block)
                if self.request.purpose == Purpose::Workload
                    && !reserve.allows(place.ordinal, block.size()) =>
            {
                let network = self.request.network.clone();
                let (head, tail) = (reserve.head, reserve.tail);
                Err(IpamError::KeptPlace {
                    address,
                    network,
                    block: block.cidr,
                    head,
                    tail,
                })
            }
            _ => Ok(place),
        }
    }

    /// The address that the identity has or had, if it may have it again.
    fn sticky(&self, draft: &mut Draft<'_>, family: Family) -> Option<Place> {
        let old = self.old?;
        let address = *old.addresses.iter().find(|a| Family::of(**a) == family)?;
        let pool = self.pools.of_address(address)?;
        if self.is_asked_again(draft, address) {
            return self.locate(draft, address, pool).ok();
        }
        if pool.barred.is_some() {
            return None;
        }
        let net = IpNet::new(address, pool.spec.block_prefix()).ok()?.trunc();
        let name = draft.block_of(address);
        let block = match name.as_ref().and_then(|name| draft.block(name)) {
            Some(block) => block,
            None => &unclaimed(net, pool.name),
        };
        let ordinal = block.ordinal(address)?;
        let kept = block.released.iter().find(|(place, _)| *place == ordinal);
        let of_others = kept.is_some_and(|(_, who)| who != self.handle);
        if of_others || !self.rules.allows(block, ordinal) {
            return None;
        }
        self.locate(draft, address, pool).ok()
    }

    /// Whether the same endpoint asks again for an address that it holds: it keeps it, also if the
    /// pool was disabled since.
    fn is_asked_again(&self, draft: &Draft<'_>, address: IpAddr) -> bool {
        let Some(old) = self.old else { return false };
        let held = draft
            .block_of(address)
            .and_then(|name| draft.block(&name))
            .is_some_and(|b| {
                let allocation = b.ordinal(address).and_then(|o| b.allocations.get(&o));
                allocation.is_some_and(|a| a.handle == *self.handle)
            });
        held && old.node.as_ref() == Some(self.request.node)
            && old.endpoint == self.request.endpoint
    }

    /// The place of one address, in a block that this node may take it from.
    fn locate(
        &self,
        draft: &mut Draft<'_>,
        address: IpAddr,
        pool: &PoolView<'_>,
    ) -> Result<Place, IpamError> {
        if let Some(name) = draft.block_of(address)
            && let Some(block) = draft.block(&name)
            && let Some(ordinal) = block.ordinal(address)
        {
            match (block.allocations.get(&ordinal), &block.node) {
                (Some(held), _) if held.handle == *self.handle => {}
                (Some(held), _) => {
                    let holder = holder(draft.world, held);
                    return Err(IpamError::Held { address, holder });
                }
                (None, Some(owner)) if owner != self.request.node && pool.spec.strict_affinity => {
                    return Err(IpamError::OtherNodes {
                        address,
                        block: block.cidr,
                        owner: owner.clone(),
                        pool: pool.name.clone(),
                    });
                }
                _ => {}
            }
            return Ok(Place {
                block: name,
                ordinal,
            });
        }
        let net = IpNet::new(address, pool.spec.block_prefix())
            .expect("a pool's block size fits its family")
            .trunc();
        let mut blocks = draft.world.blocks.values().map(|b| b.spec.cidr);
        if let Some(other) = blocks.find(|other| net.contains(other) || other.contains(&net)) {
            return Err(IpamError::BlocksOverlap {
                address,
                block: net,
                other,
            });
        }
        let block = unclaimed(net, pool.name);
        let ordinal = block.ordinal(address).unwrap_or(0);
        Ok(Place {
            block: draft.put_block(block),
            ordinal,
        })
    }

    /// A place in the node's own blocks of a pool, or in one that it can make its own.
    fn own_place(&self, draft: &mut Draft<'_>, pool: &PoolView<'_>) -> Option<Place> {
        let own = blocks(draft.world, pool.name, |owner| {
            owner == Some(self.request.node)
        });
        if let Some(place) = self.free_place(&own) {
            return Some(place);
        }
        let node = self.request.node;
        if let Some(net) = self
            .rules
            .new_block(draft.world, pool.name, pool.spec, node)
        {
            let block = unclaimed(net, pool.name);
            let ordinal = self.rules.never_used(&block)?;
            return Some(Place {
                block: draft.put_block(block),
                ordinal,
            });
        }
        self.free_place(&blocks(draft.world, pool.name, |owner| owner.is_none()))
    }

    /// A place in another node's block.
    fn borrowed(&self, draft: &Draft<'_>, pool: &PoolView<'_>) -> Option<Place> {
        let node = self.request.node;
        self.free_place(&blocks(draft.world, pool.name, |owner| {
            owner.is_some_and(|o| o != node)
        }))
    }

    /// A place never used in any of the blocks, else one that is free again.
    fn free_place(&self, blocks: &[(&Name, &Block)]) -> Option<Place> {
        let find = |rule: fn(&Rules, &Block) -> Option<u32>| {
            blocks.iter().find_map(|(name, block)| {
                let ordinal = rule(&self.rules, block)?;
                Some(Place {
                    block: (*name).clone(),
                    ordinal,
                })
            })
        };
        find(Rules::never_used).or_else(|| find(Rules::longest_free))
    }

    /// Takes a place for the handle; the block becomes the node's, if it was nobody's. A handle
    /// that the place was kept for is noted.
    fn take(
        &self,
        draft: &mut Draft<'_>,
        place: &Place,
        displaced: &mut BTreeSet<Name>,
    ) -> Option<IpAddr> {
        let node = self.request.node.clone();
        let first = fresh(draft.world);
        let block = draft.block_mut(&place.block)?;
        if block.node.is_none() {
            block.node = Some(node.clone());
            block.generation = first.max(block.generation + 1);
        }
        let kept = block
            .released
            .iter()
            .find(|(ordinal, _)| *ordinal == place.ordinal);
        displaced.extend(
            kept.map(|(_, who)| who.clone())
                .filter(|who| who != self.handle),
        );
        block
            .released
            .retain(|(ordinal, _)| *ordinal != place.ordinal);
        let allocation = Allocation {
            handle: self.handle.clone(),
            generation: self.generation,
            node,
            purpose: self.request.purpose,
        };
        block.allocations.insert(place.ordinal, allocation);
        Some(block.address(place.ordinal))
    }
}

/// The blocks of a pool whose owner is of some sort, by address.
fn blocks<'w>(
    world: &'w World,
    pool: &Name,
    owned: impl Fn(Option<&Name>) -> bool,
) -> Vec<(&'w Name, &'w Block)> {
    let all = world
        .blocks
        .iter()
        .map(|(name, resource)| (name, &resource.spec));
    let mut found: Vec<_> = all
        .filter(|(_, b)| b.pool == *pool && owned(b.node.as_ref()))
        .collect();
    found.sort_by_key(|(_, block)| block.cidr);
    found
}

/// Who holds an address, in words.
fn holder(world: &World, held: &Allocation) -> String {
    let Some(handle) = world.handles.get(&held.handle) else {
        return format!("handle {} on node {}", held.handle, held.node);
    };
    let endpoint = handle.spec.endpoint.as_ref();
    let endpoint = endpoint
        .map(|(ns, name)| format!(", endpoint {ns}/{name}"))
        .unwrap_or_default();
    format!("{} on node {}{endpoint}", handle.spec.identity, held.node)
}

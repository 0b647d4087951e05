//! The choice of one address: from the one asked for by name down to a borrowed one.
//!
//! The order is [`Step::pick`]'s, from top to bottom. A choice changes the draft only where it
//! claims a range as a new block; what is chosen is taken by [`Step::take`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{Purpose, Sharing};
use tombolo_model::{Allocation, Block, Family, Handle, Name, World};

use crate::draft::Draft;
use crate::error::IpamError;
use crate::place::{Rules, unclaimed};
use crate::pools::{PoolView, Pools};
use crate::request::Request;

/// A place in a block.
pub(super) struct Place {
    block: Name,
    ordinal: u32,
}

/// One assignment on its way.
pub(super) struct Step<'a> {
    pub request: &'a Request<'a>,
    pub pools: &'a Pools<'a>,
    pub rules: Rules<'a>,
    pub handle: &'a Name,
    pub old: Option<&'a Handle>,
    pub generation: u64,
}

impl Step<'_> {
    /// The place to take in a family.
    pub fn pick(&self, draft: &mut Draft<'_>, family: Family) -> Result<Place, IpamError> {
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
        if self.request.offline {
            let mut pools = self.pools.usable(family);
            let place = pools.find_map(|pool| self.surely_own(draft, pool));
            return place.ok_or_else(|| self.unreached(family));
        }
        let from_own = self
            .pools
            .usable(family)
            .find_map(|pool| self.own_place(draft, pool));
        let lending = || {
            let pools = self.pools.usable(family);
            pools.filter(|pool| !pool.spec.strict_affinity)
        };
        let place = from_own.or_else(|| lending().find_map(|pool| self.borrowed(draft, pool)));
        place.ok_or_else(|| {
            let closed = lending().find_map(|pool| self.not_lent(draft, pool));
            closed.unwrap_or_else(|| self.pools.exhausted(draft.world, family))
        })
    }

    /// The error that nothing is surely free while the store is not reached.
    fn unreached(&self, family: Family) -> IpamError {
        IpamError::Unreached {
            network: self.request.network.clone(),
            family,
            node: self.request.node.clone(),
        }
    }

    /// The address asked for by name.
    fn wanted(&self, draft: &mut Draft<'_>, address: IpAddr) -> Result<Place, IpamError> {
        let pool = self
            .pools
            .of_address(address)
            .ok_or_else(|| self.pools.outside(address))?;
        if let Some(reason) = &pool.barred
            && !self.is_asked_again(draft, address, pool)
        {
            let node = self.request.node.clone();
            return Err(IpamError::PoolUnusable {
                address,
                node,
                reason: reason.clone(),
            });
        }
        let place = self.locate(draft, address, pool)?;
        if self.request.offline && !self.is_surely_free(draft, &place) {
            return Err(self.unreached(Family::of(address)));
        }
        let reserve = self.rules.reserve;
        match draft.block(&place.block) {
            Some(_)
                if self.request.purpose == Purpose::Workload
                    && self.rules.kept.contains(&address) =>
            {
                let network = self.request.network.clone();
                Err(IpamError::Own { address, network })
            }
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
        if self.is_asked_again(draft, address, pool) {
            return self.locate(draft, address, pool).ok();
        }
        if pool.barred.is_some() {
            return None;
        }
        let net = IpNet::new(address, pool.spec.block_prefix()).ok()?.trunc();
        let name = draft.block_of(pool.spec.space.as_ref(), address);
        let block = match name.as_ref().and_then(|name| draft.block(name)) {
            Some(block) => block,
            None => &unclaimed(net, pool.name, pool.spec),
        };
        let ordinal = block.ordinal(address)?;
        let kept = block.released.iter().find(|(place, _)| *place == ordinal);
        let of_others = kept.is_some_and(|(_, who)| who != self.handle);
        if of_others || !self.rules.allows(block, ordinal) {
            return None;
        }
        let place = self.locate(draft, address, pool).ok()?;
        (!self.request.offline || self.is_surely_free(draft, &place)).then_some(place)
    }

    /// Whether the same endpoint asks again for an address that it holds: it keeps it, also if the
    /// pool was disabled since.
    fn is_asked_again(&self, draft: &Draft<'_>, address: IpAddr, pool: &PoolView<'_>) -> bool {
        let Some(old) = self.old else { return false };
        let held = draft
            .block_of(pool.spec.space.as_ref(), address)
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
        if let Some(name) = draft.block_of(pool.spec.space.as_ref(), address)
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
                // What is kept for an identity that moves is not given without the store.
                (None, Some(owner))
                    if owner != self.request.node
                        && block.sharing != Sharing::Open
                        && !block.released.contains(&(ordinal, self.handle.clone())) =>
                {
                    return Err(IpamError::NotLent {
                        node: self.request.node.clone(),
                        name,
                        block: block.cidr,
                        owner: owner.clone(),
                    });
                }
                _ => {}
            }
            return Ok(Place {
                block: name,
                ordinal,
            });
        }
        self.in_new_block(draft, address, pool)
    }

    /// The place of an address where no block is yet.
    fn in_new_block(
        &self,
        draft: &mut Draft<'_>,
        address: IpAddr,
        pool: &PoolView<'_>,
    ) -> Result<Place, IpamError> {
        let net = IpNet::new(address, pool.spec.block_prefix())
            .expect("a pool's block size fits its family")
            .trunc();
        if let Some(own) = self.only_block(draft, pool).filter(|own| *own != net) {
            let node = self.request.node.clone();
            let reason = format!(
                "blocks of IPPool {} follow from nodes' addresses, and node {node} has {own} alone",
                pool.name
            );
            return Err(IpamError::PoolUnusable {
                address,
                node,
                reason,
            });
        }
        let of_space = draft.world.blocks.values();
        let of_space = of_space.filter(|b| b.spec.space == pool.spec.space);
        let mut blocks = of_space.map(|b| b.spec.cidr);
        if let Some(other) = blocks.find(|other| net.contains(other) || other.contains(&net)) {
            return Err(IpamError::BlocksOverlap {
                address,
                block: net,
                other,
            });
        }
        let block = unclaimed(net, pool.name, pool.spec);
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
            let block = unclaimed(net, pool.name, pool.spec);
            let ordinal = self.rules.never_used(&block)?;
            return Some(Place {
                block: draft.put_block(block),
                ordinal,
            });
        }
        let mut nobodys = blocks(draft.world, pool.name, |owner| owner.is_none());
        let only = self.only_block(draft, pool);
        nobodys.retain(|(_, block)| only.is_none_or(|only| only == block.cidr));
        self.free_place(&nobodys)
    }

    /// The one block that the node may have of a pool, where that follows from its address.
    fn only_block(&self, draft: &Draft<'_>, pool: &PoolView<'_>) -> Option<IpNet> {
        let given = draft.world.given_block(pool.name, self.request.node);
        given.and_then(Result::ok)
    }

    /// A place in a block that another node has opened.
    fn borrowed(&self, draft: &Draft<'_>, pool: &PoolView<'_>) -> Option<Place> {
        let mut others = self.others_blocks(draft, pool);
        others.retain(|(_, block)| block.sharing == Sharing::Open);
        self.free_place(&others)
    }

    /// The error that another node would have to open a block first, if one has a place.
    fn not_lent(&self, draft: &Draft<'_>, pool: &PoolView<'_>) -> Option<IpamError> {
        let mut others = self.others_blocks(draft, pool);
        others.retain(|(_, block)| block.sharing != Sharing::Open);
        let place = self.free_place(&others)?;
        let block = draft.block(&place.block)?;
        Some(IpamError::NotLent {
            node: self.request.node.clone(),
            name: place.block.clone(),
            block: block.cidr,
            owner: block.node.clone()?,
        })
    }

    fn others_blocks<'w>(
        &self,
        draft: &Draft<'w>,
        pool: &PoolView<'_>,
    ) -> Vec<(&'w Name, &'w Block)> {
        let node = self.request.node;
        blocks(draft.world, pool.name, |owner| {
            owner.is_some_and(|o| o != node)
        })
    }

    /// A place that no other node can have taken while the store is not reached.
    fn surely_own(&self, draft: &Draft<'_>, pool: &PoolView<'_>) -> Option<Place> {
        let node = self.request.node;
        let own = blocks(draft.world, pool.name, |owner| owner == Some(node));
        own.into_iter().find_map(|(name, block)| {
            Some(Place {
                ordinal: self.rules.surely_free(draft.world, block, node)?,
                block: name.clone(),
            })
        })
    }

    fn is_surely_free(&self, draft: &Draft<'_>, place: &Place) -> bool {
        let node = self.request.node;
        draft.block(&place.block).is_some_and(|block| {
            let held = block.allocations.get(&place.ordinal);
            block.node.as_ref() == Some(node)
                && match held {
                    Some(held) => held.handle == *self.handle && held.node == *node,
                    None => self
                        .rules
                        .is_surely_free(draft.world, block, place.ordinal, node),
                }
        })
    }

    /// A place never used in any of the blocks, else one that is free again.
    fn free_place(&self, blocks: &[(&Name, &Block)]) -> Option<Place> {
        let find = |rule: fn(&Rules<'_>, &Block) -> Option<u32>| {
            blocks.iter().find_map(|(name, block)| {
                let ordinal = rule(&self.rules, block)?;
                Some(Place {
                    block: (*name).clone(),
                    ordinal,
                })
            })
        };
        find(|rules, block| rules.never_used(block))
            .or_else(|| find(|rules, block| rules.longest_free(block)))
    }

    /// Takes a place for the handle; the block becomes the node's, if it was nobody's. A handle
    /// that the place was kept for is noted.
    pub fn take(
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

/// A generation for a block that becomes somebody's: above the revision of every block that the
/// world knows of, so that it grows also where a block was deleted in between.
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

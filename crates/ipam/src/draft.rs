//! A transaction in the making: changed copies of what the world holds, turned into writes at the
//! end, each with what it expects to find in the store.
//!
//! A step changes blocks and handles here and nowhere else, so that every change is fenced by the
//! version that it was computed from, and a resource is written at most once per transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tombolo_model::{
    AnyResource, Block, Change, Endpoint, Expected, Handle, Kind, KindName, Name, Resource,
    ResourceKey, World, Write,
};

/// A transaction in the making. `None` stands for a deletion.
pub(crate) struct Draft<'w> {
    pub world: &'w World,
    blocks: BTreeMap<Name, Option<Resource<Block>>>,
    handles: BTreeMap<Name, Option<Resource<Handle>>>,
    endpoints: BTreeSet<(Name, Name)>,
}

impl<'w> Draft<'w> {
    pub fn new(world: &'w World) -> Draft<'w> {
        Draft {
            world,
            blocks: BTreeMap::new(),
            handles: BTreeMap::new(),
            endpoints: BTreeSet::new(),
        }
    }

    /// A block as it will be.
    pub fn block(&self, name: &Name) -> Option<&Block> {
        let resource = match self.blocks.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.world.blocks.get(name),
        };
        resource.map(|r| &r.spec)
    }

    /// A block, to be changed.
    pub fn block_mut(&mut self, name: &Name) -> Option<&mut Block> {
        if !self.blocks.contains_key(name) {
            let read = self.world.blocks.get(name)?.clone();
            self.blocks.insert(name.clone(), Some(read));
        }
        self.blocks.get_mut(name)?.as_mut().map(|r| &mut r.spec)
    }

    /// The block that an address of a space lies in, as it will be.
    pub fn block_of(&self, space: Option<&Name>, address: IpAddr) -> Option<Name> {
        if let Some(pool) = self.world.pool_of(space, address)
            && let Ok(net) = ipnet::IpNet::new(address, pool.spec.block_prefix())
        {
            let name = Block::resource_name(space, net.trunc());
            if self.block(&name).is_some_and(|b| b.cidr.contains(&address)) {
                return Some(name);
            }
        }
        // Cut with another block size, or its pool is gone.
        let read = self
            .world
            .blocks
            .iter()
            .find(|(_, b)| b.spec.space.as_ref() == space && b.spec.cidr.contains(&address));
        read.map(|(name, _)| name.clone())
            .filter(|name| self.block(name).is_some())
    }

    /// The block that an address of a handle lies in.
    fn block_of_handle(&self, handle: &Name, address: IpAddr) -> Option<Name> {
        let network = self.handle(handle).map(|handle| &handle.network);
        let space = network.and_then(|network| self.world.space_of(network));
        self.block_of(space, address)
    }

    /// Puts a block that is new.
    pub fn put_block(&mut self, block: Block) -> Name {
        let name = Block::resource_name(block.space.as_ref(), block.cidr);
        self.blocks
            .insert(name.clone(), Some(Resource::new(name.clone(), block)));
        name
    }

    /// Deletes a block.
    pub fn delete_block(&mut self, name: &Name) {
        self.blocks.insert(name.clone(), None);
    }

    /// A handle as it will be.
    pub fn handle(&self, name: &Name) -> Option<&Handle> {
        let resource = match self.handles.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.world.handles.get(name),
        };
        resource.map(|r| &r.spec)
    }

    /// Puts a handle.
    pub fn put_handle(&mut self, name: &Name, handle: Handle) {
        let resource = match self.world.handles.get(name) {
            Some(read) => Resource {
                spec: handle,
                ..read.clone()
            },
            None => Resource::new(name.clone(), handle),
        };
        self.handles.insert(name.clone(), Some(resource));
    }

    /// Deletes a handle.
    pub fn delete_handle(&mut self, name: &Name) {
        self.handles.insert(name.clone(), None);
    }

    /// Deletes an endpoint, if it is there.
    pub fn delete_endpoint(&mut self, key: &(Name, Name)) {
        if self.world.endpoints.contains_key(key) {
            self.endpoints.insert(key.clone());
        }
    }

    /// Gives an address back that a handle holds, and keeps it for the handle. Answers whether the
    /// handle did hold it.
    pub fn free(&mut self, address: IpAddr, handle: &Name) -> bool {
        let Some(name) = self.block_of_handle(handle, address) else {
            return false;
        };
        let Some(ordinal) = self.block(&name).and_then(|b| b.ordinal(address)) else {
            return false;
        };
        self.free_place(&name, ordinal, handle)
    }

    /// As [`Draft::free`], by block and place.
    pub fn free_place(&mut self, block: &Name, ordinal: u32, handle: &Name) -> bool {
        let held = self.block(block).and_then(|b| b.allocations.get(&ordinal));
        if held.is_none_or(|a| a.handle != *handle) {
            return false;
        }
        if let Some(block) = self.block_mut(block) {
            block.allocations.remove(&ordinal);
            block.released.retain(|(place, _)| *place != ordinal);
            block.released.push((ordinal, handle.clone()));
        }
        true
    }

    /// Whether an address is kept for a handle, or held by it.
    pub fn is_kept(&self, address: IpAddr, handle: &Name) -> bool {
        let block = self
            .block_of_handle(handle, address)
            .and_then(|name| self.block(&name));
        block
            .zip(block.and_then(|b| b.ordinal(address)))
            .is_some_and(|(block, ordinal)| {
                block
                    .allocations
                    .get(&ordinal)
                    .is_some_and(|a| a.handle == *handle)
                    || block
                        .released
                        .iter()
                        .any(|(place, who)| *place == ordinal && who == handle)
            })
    }

    /// Every write, endpoints first, then handles, then blocks.
    pub fn into_writes(self) -> Vec<Write> {
        let world = self.world;
        let mut writes = Vec::new();
        for (namespace, name) in self.endpoints {
            let read = world.endpoints.get(&(namespace.clone(), name.clone()));
            let key = ResourceKey {
                kind: Endpoint::KIND,
                namespace: Some(namespace),
                name,
            };
            writes.push(Write {
                key,
                change: Change::Delete,
                expected: Expected::of(read),
            });
        }
        for (name, changed) in self.handles {
            writes.extend(write(name.clone(), changed, world.handles.get(&name)));
        }
        for (name, changed) in self.blocks {
            writes.extend(write(name.clone(), changed, world.blocks.get(&name)));
        }
        writes
    }
}

/// The write that turns what was read into what it will be, if there is any.
fn write<S: Kind>(
    name: Name,
    changed: Option<Resource<S>>,
    read: Option<&Resource<S>>,
) -> Option<Write>
where
    AnyResource: From<Resource<S>>,
{
    if changed.as_ref() == read {
        return None;
    }
    let kind: KindName = S::KIND;
    let change = match changed {
        Some(mut resource) => {
            resource.metadata.resource_version = None;
            Change::Put(Box::new(resource.into()))
        }
        None => Change::Delete,
    };
    let key = ResourceKey {
        kind,
        namespace: None,
        name,
    };
    Some(Write {
        key,
        change,
        expected: Expected::of(read),
    })
}

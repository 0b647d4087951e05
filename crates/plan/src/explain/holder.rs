//! Who has an address, as IPAM's resources say.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::kinds::Purpose;
use tombolo_model::{Name, ResourceKey, World};

/// What the World knows of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holder {
    /// The pool that it is of.
    pub pool: Option<Name>,
    /// The block that it is of.
    pub block: Option<IpNet>,
    /// The node that the block belongs to.
    pub block_node: Option<Name>,
    /// The handle that it was given to.
    pub handle: Option<Name>,
    /// The node at which it is in use.
    pub node: Option<Name>,
    /// The endpoint that has it.
    pub endpoint: Option<ResourceKey>,
    /// What it is for, or why nobody has it, in words.
    pub use_of_it: String,
}

/// What the World knows of an address; nothing if it is of no pool and no node.
#[must_use]
pub fn holder(world: &World, address: IpAddr) -> Option<Holder> {
    let underlay = world.nodes.values().find(|node| {
        let mut addresses = node.spec.addresses.iter();
        addresses.any(|a| a.address.addr() == address)
    });
    if let Some(node) = underlay {
        return Some(Holder {
            node: Some(node.name().clone()),
            use_of_it: "the node's address on the underlay".to_owned(),
            ..Holder::default()
        });
    }
    // The hosts' own space first; the same address may be of several others.
    let mut pools: Vec<_> = world.pools.values().collect();
    pools.sort_by_key(|pool| pool.spec.space.is_some());
    let pool = pools
        .into_iter()
        .find(|pool| pool.spec.cidr.contains(&address))?;
    let mut found = Holder {
        pool: Some(pool.name().clone()),
        use_of_it: "free: no block was cut here yet".to_owned(),
        ..Holder::default()
    };
    let block = world
        .blocks
        .values()
        .find(|block| block.spec.pool == *pool.name() && block.spec.cidr.contains(&address));
    let Some(block) = block else {
        return Some(found);
    };
    found.block = Some(block.spec.cidr);
    found.block_node.clone_from(&block.spec.node);
    let Some((_, allocation)) = block.spec.in_use().find(|(held, _)| *held == address) else {
        "free: nobody has it".clone_into(&mut found.use_of_it);
        return Some(found);
    };
    found.handle = Some(allocation.handle.clone());
    found.node = Some(allocation.node.clone());
    let endpoint = world.endpoints.values().find(|endpoint| {
        endpoint.spec.addresses.contains(&address)
            && world.space_of(&endpoint.spec.network) == pool.spec.space.as_ref()
    });
    found.endpoint = endpoint.map(|endpoint| endpoint.key());
    found.use_of_it = match (allocation.purpose, &found.endpoint) {
        (Purpose::Tunnel, _) => "the node's own address in the network".to_owned(),
        (Purpose::Gateway, _) => "the gateway of the block".to_owned(),
        (Purpose::Workload, Some(_)) => "a container's address".to_owned(),
        (Purpose::Workload, None) => {
            "kept for a container that has no endpoint; see `tombolo ipam check`".to_owned()
        }
    };
    Some(found)
}

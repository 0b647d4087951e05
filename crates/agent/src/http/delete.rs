//! Resources that are deleted: one, or several at once, all or none.
//!
//! What is in use stays: a network with endpoints, a pool of a network or with addresses in use. Of
//! several that go at once, each is judged as if the others were gone. What Tombolo keeps itself is
//! not deleted here.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use tombolo_api::{DeleteRequest, Fault, FaultKind, MOST_WRITES};
use tombolo_model::{FieldError, KindName, Name, ResourceKey, World, Write};

use super::resources::{InNamespace, endpoints_of, key, missing};
use super::{Agent, Body, Refusal};

/// Deletes one resource.
pub(super) async fn one(
    State(shared): Agent,
    Path((kinds, name)): Path<(String, String)>,
    Query(place): Query<InNamespace>,
) -> Result<Json<()>, Refusal> {
    let key = key(&kinds, &name, place)?;
    shared
        .commit(|world| {
            let mut writes = vec![removal(world, world, &key)?];
            with_blocks(world, &mut writes);
            Ok((writes, ()))
        })
        .await?;
    Ok(Json(()))
}

/// Deletes several resources, or none.
pub(super) async fn several(
    State(shared): Agent,
    Body(request): Body<DeleteRequest>,
) -> Result<Json<()>, Refusal> {
    let count = request.resources.len();
    if count > MOST_WRITES {
        let message = format!(
            "{count} resources are more than the {MOST_WRITES} that can be deleted at once; delete them in several requests"
        );
        return Err(Fault::new(FaultKind::Invalid, message).into());
    }
    let keys: BTreeSet<&ResourceKey> = request.resources.iter().collect();
    if keys.len() < count {
        let message = "a resource is named twice; name each once";
        return Err(Fault::new(FaultKind::Invalid, message).into());
    }
    let decide = |world: &World| Ok((removals(world, &request.resources)?, ()));
    shared.commit(decide).await?;
    Ok(Json(()))
}

/// The writes that delete resources; the faults of all are told at once.
fn removals(world: &World, keys: &[ResourceKey]) -> Result<Vec<Write>, Fault> {
    let mut after = world.clone();
    for key in keys {
        after.remove(key);
    }
    let mut refused = Fault::new(
        FaultKind::Conflict,
        "not all of the resources can be deleted; nothing was changed",
    );
    let mut writes = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        match removal(world, &after, key) {
            Ok(write) => writes.push(write),
            Err(fault) => refused.add(index, [FieldError::new("metadata.name", fault.message)]),
        }
    }
    if refused.faults.is_empty() {
        with_blocks(world, &mut writes);
        Ok(writes)
    } else {
        Err(refused)
    }
}

/// With a pool go its blocks, in which no address is in use any more. What does not fit into the
/// transaction stays, is nobody's, and is taken over by a pool of the same name.
fn with_blocks(world: &World, writes: &mut Vec<Write>) {
    let gone: BTreeSet<Name> = writes
        .iter()
        .filter(|write| write.key.kind == KindName::IpPool)
        .map(|write| write.key.name.clone())
        .collect();
    let blocks = world
        .blocks
        .values()
        .filter(|block| gone.contains(&block.spec.pool) && block.spec.allocations.is_empty());
    let room = MOST_WRITES.saturating_sub(writes.len());
    let removals = blocks.take(room).map(|block| {
        let version = block.metadata.resource_version.unwrap_or_default();
        Write::delete(block.key(), version)
    });
    writes.extend(removals.collect::<Vec<_>>());
}

/// The write that deletes a resource, if nobody that stays needs it.
fn removal(world: &World, after: &World, key: &ResourceKey) -> Result<Write, Fault> {
    let present = world.get(key).ok_or_else(|| missing(key))?;
    if key.kind.is_internal() {
        let message = format!(
            "{key} is kept by Tombolo itself; see `tombolo detach` and `tombolo ipam release`"
        );
        return Err(Fault::new(FaultKind::Denied, message));
    }
    if let Some(user) = user_of(after, key) {
        return Err(Fault::new(
            FaultKind::Conflict,
            format!("{key} is in use: {user}"),
        ));
    }
    let version = present.metadata().resource_version.unwrap_or_default();
    Ok(Write::delete(key.clone(), version))
}

/// Who needs a resource, in words with what to do.
fn user_of(world: &World, key: &ResourceKey) -> Option<String> {
    let name = &key.name;
    match key.kind {
        KindName::Network => {
            endpoints_of(world, name).map(|users| format!("by {users}; detach them first"))
        }
        KindName::IpPool => {
            if let Some(network) = world
                .networks
                .values()
                .find(|n| n.spec.pools.contains(name))
            {
                return Some(format!(
                    "by network {}; take it from its pools first",
                    network.name()
                ));
            }
            let blocks = world.blocks.values().filter(|b| b.spec.pool == *name);
            let used: usize = blocks.map(|b| b.spec.allocations.len()).sum();
            (used > 0).then(|| format!("{used} addresses of it are; detach their containers first"))
        }
        KindName::BgpFilter => {
            let mut peers = world.bgp_peers.values();
            let user = peers.find(|peer| peer.spec.filters.contains(name))?;
            Some(format!(
                "by BGPPeer {}; take it from its filters first",
                user.name()
            ))
        }
        _ => None,
    }
}

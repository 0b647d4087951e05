//! Resources: list, get, watch, apply.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use tombolo_api::{Applied, ApplyAction, ApplyRequest, Fault, FaultKind, WatchLine};
use tombolo_model::resource::API_VERSION;
use tombolo_model::{AnyResource, FieldError, KindName, Name, ResourceKey, World, Write};
use tombolo_policy::Changes;
use tombolo_store::{MAX_TXN_OPS, WorldBatch, WorldChange};

use super::{Agent, Body, Refusal};
use crate::shared::Shared;

/// The most nodes that an error names.
const MOST_NODES: usize = 5;

#[derive(Deserialize)]
pub(super) struct InNamespace {
    namespace: Option<Name>,
}

fn kind(word: &str) -> Result<KindName, Fault> {
    KindName::from_word(word).ok_or_else(|| {
        let known: Vec<&str> = KindName::ALL.iter().map(|kind| kind.plural()).collect();
        let message = format!(
            "{word:?} is no kind of resource; there are {}",
            known.join(", ")
        );
        Fault::new(FaultKind::NotFound, message)
    })
}

pub(super) fn key(kinds: &str, name: &str, place: InNamespace) -> Result<ResourceKey, Fault> {
    let kind = kind(kinds)?;
    let invalid =
        |error: tombolo_model::NameError| Fault::new(FaultKind::Invalid, error.to_string());
    let name = Name::new(name).map_err(invalid)?;
    let namespace = match (kind.is_namespaced(), place.namespace) {
        (true, Some(namespace)) => Some(namespace),
        (true, None) => Some(Name::new("default").map_err(invalid)?),
        (false, _) => None,
    };
    Ok(ResourceKey {
        kind,
        namespace,
        name,
    })
}

pub(super) async fn list(
    State(shared): Agent,
    Path(kinds): Path<String>,
    Query(place): Query<InNamespace>,
) -> Result<Json<Vec<Value>>, Refusal> {
    let kind = kind(&kinds)?;
    let all = shared.world().list(kind);
    let wanted = all.iter().filter(|resource| {
        place.namespace.is_none() || resource.metadata().namespace == place.namespace
    });
    Ok(Json(wanted.map(AnyResource::to_value).collect()))
}

pub(super) async fn get(
    State(shared): Agent,
    Path((kinds, name)): Path<(String, String)>,
    Query(place): Query<InNamespace>,
) -> Result<Json<Value>, Refusal> {
    let key = key(&kinds, &name, place)?;
    let found = shared.world().get(&key);
    let found = found.ok_or_else(|| missing(&key))?;
    Ok(Json(found.to_value()))
}

pub(super) fn missing(key: &ResourceKey) -> Fault {
    let message = format!("there is no {key}; see `tombolo get {}`", key.kind.plural());
    Fault::new(FaultKind::NotFound, message)
}

pub(super) async fn watch(
    State(shared): Agent,
    Path(kinds): Path<String>,
) -> Result<Response, Refusal> {
    let kind = kind(&kinds)?;
    // Subscribed before the list is read: a change between is told twice rather than not at all.
    let changes = tokio_stream::wrappers::BroadcastStream::new(shared.changes.subscribe());
    let now: Vec<Bytes> = shared
        .world()
        .list(kind)
        .iter()
        .map(|r| {
            line(&WatchLine::Put {
                object: r.to_value(),
            })
        })
        .collect();
    let later = changes
        // A watcher that is too slow is cut off, and asks again.
        .take_while(|batch| std::future::ready(batch.is_ok()))
        .filter_map(|batch| std::future::ready(batch.ok()))
        .flat_map(move |batch: Arc<WorldBatch>| {
            let lines: Vec<Bytes> = batch
                .changes
                .iter()
                .filter_map(|change| change_line(change, kind))
                .collect();
            futures::stream::iter(lines)
        });
    let lines = futures::stream::iter(now)
        .chain(later)
        .map(Ok::<_, std::convert::Infallible>);
    Ok(HttpBody::from_stream(lines).into_response())
}

fn change_line(change: &WorldChange, kind: KindName) -> Option<Bytes> {
    match change {
        WorldChange::Put(resource) if resource.kind() == kind => Some(line(&WatchLine::Put {
            object: resource.to_value(),
        })),
        WorldChange::Delete(key) if key.kind == kind => {
            Some(line(&WatchLine::Deleted { key: key.clone() }))
        }
        _ => None,
    }
}

fn line(line: &WatchLine) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

pub(super) async fn apply(
    State(shared): Agent,
    Body(request): Body<ApplyRequest>,
) -> Result<Json<Vec<Applied>>, Refusal> {
    let resources = read_all(request.resources)?;
    if request.dry_run {
        let (_, would) = decide(&shared, &shared.world(), &resources)?;
        return Ok(Json(would));
    }
    let mut applied = Vec::new();
    let parts = parts(&shared.world(), resources)?;
    for part in parts {
        let (revision, done) = shared.commit(|world| decide(&shared, world, &part)).await?;
        applied.extend(done);
        // Who asks next, for a network that was made just now, is answered from a World that has it. It
        // is written also where that takes long.
        if let Err(fault) = shared.wait_seen(revision).await {
            tracing::warn!(%fault, "applied, but the World lags");
        }
    }
    Ok(Json(applied))
}

/// Resources in as many parts as the store takes at once: all in one where they fit. Of several, every
/// one is judged before the first is written, and what others are about comes before them: pools before
/// networks, sets, tiers and profiles before policies.
fn parts(world: &World, mut resources: Vec<AnyResource>) -> Result<Vec<Vec<AnyResource>>, Fault> {
    if resources.len() > MAX_TXN_OPS {
        draft(world, &resources)?;
        resources.sort_by_key(|resource| match resource.kind() {
            KindName::Network | KindName::BgpPeer => 1,
            KindName::NetworkPolicy | KindName::GlobalNetworkPolicy => 2,
            _ => 0,
        });
    }
    let parts = resources.chunks(MAX_TXN_OPS);
    Ok(parts.map(<[AnyResource]>::to_vec).collect())
}

/// Reads resources; the faults of all are told at once.
fn read_all(values: Vec<Value>) -> Result<Vec<AnyResource>, Fault> {
    let mut fault = refused();
    let mut resources = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        match read(value) {
            Err(error) => fault.add(index, [error]),
            Ok(resource) => {
                let mut faults = resource.validate();
                faults.extend(tombolo_plan::check::faults(&resource));
                fault.add(index, faults);
                resources.push(resource);
            }
        }
    }
    if fault.faults.is_empty() {
        Ok(resources)
    } else {
        Err(fault)
    }
}

fn refused() -> Fault {
    Fault::new(
        FaultKind::Invalid,
        "the resources are not valid; nothing was changed",
    )
}

fn read(mut value: Value) -> Result<AnyResource, FieldError> {
    let mut take = |name: &str| value.as_object_mut().and_then(|map| map.remove(name));
    let (version, word) = (take("apiVersion"), take("kind"));
    if version.as_ref().and_then(Value::as_str) != Some(API_VERSION) {
        return Err(FieldError::new(
            "apiVersion",
            format!("it must be {API_VERSION}"),
        ));
    }
    let word = word.as_ref().and_then(Value::as_str).unwrap_or_default();
    let kind = KindName::ALL
        .iter()
        .copied()
        .find(|kind| kind.as_str() == word);
    let kind = kind.filter(|kind| !kind.is_internal()).ok_or_else(|| {
        let known: Vec<&str> = KindName::ALL
            .iter()
            .filter(|k| !k.is_internal())
            .map(|k| k.as_str())
            .collect();
        FieldError::new(
            "kind",
            format!(
                "{word:?} cannot be applied; it must be one of {}",
                known.join(", ")
            ),
        )
    })?;
    AnyResource::from_value(kind, value)
}

/// Which flows between present endpoints would fare otherwise.
pub(super) async fn foresee(
    State(shared): Agent,
    Body(request): Body<ApplyRequest>,
) -> Result<Json<Changes>, Refusal> {
    let resources = read_all(request.resources)?;
    let world = shared.world().clone();
    let changes = tokio::task::spawn_blocking(move || {
        let drafted = draft(&world, &resources)?;
        Ok::<_, Fault>(tombolo_policy::changes(&world, &drafted.after))
    });
    let changes = changes
        .await
        .map_err(|e| Fault::new(FaultKind::System, e.to_string()))?;
    Ok(Json(changes?))
}

/// The writes that make resources so.
fn decide(
    shared: &Shared,
    world: &World,
    resources: &[AnyResource],
) -> Result<(Vec<Write>, Vec<Applied>), Fault> {
    let mut drafted = draft(world, resources)?;
    // What is in the store and cannot be read is not as it should be, whatever the World has instead.
    let unreadable = shared.unreadable.borrow();
    for one in &mut drafted.applied {
        if one.action == ApplyAction::Unchanged && unreadable.contains_key(&one.key) {
            one.action = ApplyAction::Configured;
            let resource = drafted.after.get(&one.key);
            let write = resource.map(|resource| Write::put(resource, None));
            drafted.writes.extend(write);
        }
    }
    Ok((drafted.writes, drafted.applied))
}

/// What making resources so would do.
struct Drafted {
    /// Everything as it would be then.
    after: World,
    writes: Vec<Write>,
    applied: Vec<Applied>,
}

/// Makes resources so in a copy, judged in the light of each other and of all that exists.
fn draft(world: &World, resources: &[AnyResource]) -> Result<Drafted, Fault> {
    let mut after = world.clone();
    let mut writes = Vec::new();
    let mut applied = Vec::new();
    for resource in resources {
        let key = resource.key();
        let present = world.get(&key);
        let mut resource = resource.clone();
        let version = present.as_ref().and_then(|p| p.metadata().resource_version);
        if let Some(present) = &present {
            keep(&mut resource, present);
        }
        tombolo_plan::check::complete(&after, &mut resource);
        let action = match &present {
            None => ApplyAction::Created,
            Some(present) if *present == resource => ApplyAction::Unchanged,
            Some(_) => ApplyAction::Configured,
        };
        after.put(resource.clone());
        if action != ApplyAction::Unchanged {
            writes.push(Write::put(resource, version));
        }
        applied.push(Applied { key, action });
    }
    let mut fault = refused();
    for (index, resource) in resources.iter().enumerate() {
        // As it will be, with what was left out.
        let resource = &after
            .get(&resource.key())
            .unwrap_or_else(|| resource.clone());
        fault.add(index, after.conflicts(resource));
        fault.add(index, tombolo_plan::check::conflicts(&after, resource));
        fault.add(index, shrinks(world, resource));
        fault.add(index, moves(world, resource));
    }
    if fault.faults.is_empty() {
        Ok(Drafted {
            after,
            writes,
            applied,
        })
    } else {
        Err(fault)
    }
}

/// What an operator does not write stays: identity, version, status, a node's addresses.
fn keep(resource: &mut AnyResource, present: &AnyResource) {
    let metadata = resource.metadata_mut();
    metadata.uid.clone_from(&present.metadata().uid);
    metadata.resource_version = present.metadata().resource_version;
    if let (AnyResource::Node(node), AnyResource::Node(present)) = (resource, present) {
        node.status = present.status.clone();
        // The agent's own finding, which a file that says something else of the node leaves out.
        if node.spec.addresses.is_empty() {
            node.spec.addresses.clone_from(&present.spec.addresses);
        }
    }
}

/// A pool with blocks keeps its range, its block size and its space.
fn shrinks(world: &World, resource: &AnyResource) -> Vec<FieldError> {
    let AnyResource::IpPool(pool) = resource else {
        return Vec::new();
    };
    let Some(present) = world.pools.get(pool.name()) else {
        return Vec::new();
    };
    let same = present.spec.cidr == pool.spec.cidr
        && present.spec.space == pool.spec.space
        && present.spec.block_prefix() == pool.spec.block_prefix();
    let blocks = world
        .blocks
        .values()
        .filter(|block| block.spec.pool == *pool.name())
        .count();
    if same || blocks == 0 {
        return Vec::new();
    }
    let message = format!(
        "{blocks} blocks are in use; cidr, blockSize and space cannot change until they are empty. Add another pool instead"
    );
    vec![FieldError::new("spec.cidr", message)]
}

/// A network with endpoints keeps its driver: what they have in their sandboxes is the driver's.
fn moves(world: &World, resource: &AnyResource) -> Vec<FieldError> {
    let AnyResource::Network(network) = resource else {
        return Vec::new();
    };
    let Some(present) = world.networks.get(network.name()) else {
        return Vec::new();
    };
    if present.spec.driver == network.spec.driver {
        return Vec::new();
    }
    match endpoints_of(world, network.name()) {
        None => Vec::new(),
        Some(users) => {
            let message = format!(
                "driver {} has {users}; detach them first, or make another network",
                present.spec.driver
            );
            vec![FieldError::new("spec.driver", message)]
        }
    }
}

/// Who is attached to a network, and on which nodes, in words; none if nobody is.
pub(super) fn endpoints_of(world: &World, network: &Name) -> Option<String> {
    let mut nodes: BTreeMap<&Name, usize> = BTreeMap::new();
    let mut first = None;
    for endpoint in world.endpoints.values() {
        if endpoint.spec.network == *network {
            *nodes.entry(&endpoint.spec.node).or_default() += 1;
            first.get_or_insert_with(|| endpoint.key());
        }
    }
    let first = first?;
    let total: usize = nodes.values().sum();
    let shown = nodes.iter().take(MOST_NODES);
    let mut places: Vec<String> = shown
        .map(|(node, n)| format!("{n} on node {node}"))
        .collect();
    if nodes.len() > MOST_NODES {
        places.push(format!(
            "the rest on {} more nodes",
            nodes.len() - MOST_NODES
        ));
    }
    let noun = if total == 1 { "endpoint" } else { "endpoints" };
    Some(format!(
        "{total} {noun} ({}; the first is {first})",
        places.join(", ")
    ))
}

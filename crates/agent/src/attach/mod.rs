//! A container comes and goes: addresses, the endpoint resource, and waiting for the kernel.
//!
//! Attaching commits addresses and endpoint in one transaction, then waits until the kernel holds
//! all that the endpoint asks for; what cannot be had is undone. Detaching is one transaction too,
//! and succeeds when there is nothing to detach. While the store is not reached, or too slow, both
//! go on without it ([`alone`]).

pub(crate) mod alone;
mod amend;
mod claim;
mod collect;
mod label;
pub(crate) mod taken;
mod unmet;
mod view;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tombolo_api::{AttachRequest, Attached, DetachRequest, Fault, FaultKind};
use tombolo_kernel::{KernelError, NetnsHandle};
use tombolo_model::kinds::Sharing;
use tombolo_model::{Endpoint, Name, ResourceKey, World, Write};
use tombolo_store::Revision;

use crate::shared::{AppliedState, Shared};
use claim::How;

pub(crate) use amend::amend;
pub(crate) use claim::ipam_fault;
pub(crate) use collect::{collect, ready};
pub(crate) use label::label;
use unmet::unmet;
pub(crate) use view::inspect;

/// How long the kernel may take to hold an endpoint.
const APPLY_LIMIT: Duration = Duration::from_secs(20);
/// How long the store may take before a container is plugged in or out without it.
const STORE_LIMIT: Duration = Duration::from_secs(2);
/// How long another node may take to open a block.
const LEND_LIMIT: Duration = Duration::from_secs(5);

type EndpointKey = (Name, Name);

/// Plugs a container in.
pub(crate) async fn attach(shared: &Shared, request: &AttachRequest) -> Result<Attached, Fault> {
    let key = endpoint_key(shared, request)?;
    let request = &AttachRequest {
        sandbox_id: match request.handover {
            true => None,
            false => Some(check_sandbox(request)?),
        },
        ..request.clone()
    };
    if request.handover && shared.world().endpoints.contains_key(&key) {
        let message = format!("there is an endpoint {} already; detach it first", key.1);
        return Err(Fault::new(FaultKind::Conflict, message));
    }
    shared.first_world(STORE_LIMIT).await?;
    let revision = match claim_by_store(shared, request, &key).await {
        ByStore::Done(revision) => revision,
        ByStore::Refused(fault) => return Err(fault),
        ByStore::Unreached(fault) => {
            tracing::debug!(%fault, endpoint = %key.1, "going on without the store");
            let attached = alone::attach(shared, request, &key).await;
            return attached.map_err(|alone| {
                Fault::new(alone.kind, format!("{fault}; without the store: {alone}"))
            });
        }
    };
    let state = match held(shared, revision, request, &key).await {
        Ok(state) => state,
        Err(fault) => {
            // What was begun is undone; if even that fails, the sweep finds it.
            if let Err(error) = remove(shared, &key).await {
                tracing::warn!(%error, endpoint = %key.1, "cannot undo an attachment");
            }
            return Err(fault);
        }
    };
    view::describe(&shared.world(), &state.plan, &key)
        .ok_or_else(|| Fault::new(FaultKind::Conflict, "the container was detached meanwhile"))
}

/// Waits until the kernel holds an endpoint, and the host can reach it where it is to.
async fn held(
    shared: &Shared,
    revision: Revision,
    request: &AttachRequest,
    key: &EndpointKey,
) -> Result<Arc<AppliedState>, Fault> {
    let state = shared.wait_applied(revision, APPLY_LIMIT).await?;
    if let Some(fault) = unmet(&state, key) {
        return Err(fault);
    }
    let Some(revision) = crate::addresses::on_segment(shared, &request.network).await? else {
        return Ok(state);
    };
    let state = shared.wait_applied(revision, APPLY_LIMIT).await?;
    unmet(&state, key).map_or(Ok(state), Err)
}

/// Unplugs a container. Nothing to unplug is success.
pub(crate) async fn detach(shared: &Shared, request: &DetachRequest) -> Result<(), Fault> {
    // A runtime may try again for ever: without the store it is only written down.
    let known = shared.first_world(STORE_LIMIT).await.is_ok();
    let found = find(&shared.world(), shared.node(), request);
    match found {
        Some(key) => remove(shared, &key).await,
        None if known => Ok(()),
        None => {
            let (container, interface) = (&request.container_id, &request.interface);
            match Endpoint::resource_name(shared.node(), container, interface) {
                Ok(name) => alone::detach(shared, &name).await,
                // No endpoint has such a name.
                Err(_) => Ok(()),
            }
        }
    }
}

/// What the store said to a decision.
enum ByStore {
    /// It is written.
    Done(Revision),
    /// It is not to be.
    Refused(Fault),
    /// Nothing; it may have been written all the same.
    Unreached(Fault),
}

/// Commits a decision, unless the store takes too long, or earlier decisions still wait for it.
async fn by_store(
    shared: &Shared,
    mut decide: impl FnMut(&World) -> Result<(Vec<Write>, ()), Fault>,
) -> ByStore {
    let unreached = |why: String| ByStore::Unreached(Fault::new(FaultKind::Unavailable, why));
    if let Some(error) = shared.store_error.borrow().clone() {
        return unreached(error);
    }
    if !shared.journal.is_empty() {
        return unreached("the store has not been told everything yet".to_owned());
    }
    let mut refused = None;
    let noted = |world: &World| decide(world).inspect_err(|fault| refused = Some(fault.clone()));
    let outcome = tokio::time::timeout(STORE_LIMIT, shared.commit(noted)).await;
    match (outcome, refused) {
        (Ok(Ok((revision, ()))), _) => ByStore::Done(revision),
        (_, Some(fault)) => ByStore::Refused(fault),
        (Ok(Err(fault)), None) if fault.kind == FaultKind::Unavailable => ByStore::Unreached(fault),
        (Ok(Err(fault)), None) => ByStore::Refused(fault),
        (Err(_), None) => unreached(format!("the store did not answer within {STORE_LIMIT:?}")),
    }
}

/// Writes addresses and endpoint of a container to the store. Where only other nodes' blocks have
/// free addresses, those are asked to open one.
async fn claim_by_store(shared: &Shared, request: &AttachRequest, key: &EndpointKey) -> ByStore {
    let elsewhere = claim::is_held_elsewhere(shared, request);
    let mut how = How::default();
    if elsewhere {
        how.absent = absent_nodes(shared).await;
    }
    let decide = |world: &World, how: &How| claim::decide(shared, world, request, key, how);
    until_lent(shared, &how, decide).await
}

/// Commits a decision. Where it failed for want of a block that another node has not opened, that
/// one is asked, and it is decided again.
async fn until_lent(
    shared: &Shared,
    how: &How,
    mut decide: impl FnMut(&World, &How) -> Result<(Vec<Write>, ()), Fault>,
) -> ByStore {
    loop {
        let outcome = by_store(shared, |world| decide(world, how)).await;
        match how.take_not_lent() {
            Some(block) if matches!(outcome, ByStore::Refused(_)) => {
                if !is_opened(shared, &block).await {
                    return outcome;
                }
            }
            _ => return outcome,
        }
    }
}

/// Asks for a block of another node, and waits until that one has opened it.
async fn is_opened(shared: &Shared, block: &Name) -> bool {
    let ask = |world: &World| Ok((tombolo_ipam::ask(world, block), ()));
    if let Err(fault) = shared.commit(ask).await {
        tracing::warn!(%fault, %block, "cannot ask for a block");
        return false;
    }
    let opened = shared.wait_world(|world| {
        let block = world.blocks.get(block);
        block.is_none_or(|block| block.spec.sharing == Sharing::Open)
    });
    tokio::time::timeout(LEND_LIMIT, opened).await.is_ok()
}

fn endpoint_key(shared: &Shared, request: &AttachRequest) -> Result<EndpointKey, Fault> {
    let invalid = |message: String| Fault::new(FaultKind::Invalid, message);
    let name = Endpoint::resource_name(shared.node(), &request.container_id, &request.interface)
        .map_err(|e| invalid(format!("the endpoint's name: {e}")))?;
    let namespace = match &request.namespace {
        Some(namespace) => namespace.clone(),
        None => Name::new("default").map_err(|e| invalid(e.to_string()))?,
    };
    Ok((namespace, name))
}

/// The sandbox is there, is not the host itself, and has no interface of that name yet. Answers its
/// inode.
fn check_sandbox(request: &AttachRequest) -> Result<u64, Fault> {
    let path = Path::new(&request.sandbox);
    if !path.is_absolute() {
        let message = format!("sandbox {:?} is no absolute path", request.sandbox);
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let netns = NetnsHandle::open(path).map_err(|error| match error {
        KernelError::SandboxGone { .. } => Fault::new(
            FaultKind::NotFound,
            format!(
                "there is no network namespace at {}; was the container stopped?",
                request.sandbox
            ),
        ),
        other => Fault::new(FaultKind::System, other.to_string()),
    })?;
    let system = |error: KernelError| Fault::new(FaultKind::System, error.to_string());
    if NetnsHandle::current().map_err(system)?.identity() == netns.identity() {
        let message = format!(
            "{} is the host's own network namespace; give the container's",
            request.sandbox
        );
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let interfaces = tombolo_kernel::underlay::interfaces(&netns)
        .map_err(|error| Fault::new(FaultKind::System, error.to_string()))?;
    if interfaces
        .iter()
        .any(|interface| interface.name == request.interface)
    {
        let message = format!(
            "{} has an interface {} already; detach it first, or choose another name",
            request.sandbox, request.interface
        );
        return Err(Fault::new(FaultKind::Conflict, message));
    }
    let (_, inode) = netns.identity();
    Ok(inode)
}

/// Nodes whose agents are not alive, as far as the store knows: what they hold may be taken over.
async fn absent_nodes(shared: &Shared) -> Vec<Name> {
    let Ok(alive) = crate::publish::alive(&shared.resources).await else {
        return Vec::new();
    };
    shared
        .world()
        .nodes
        .keys()
        .filter(|node| !alive.contains(node))
        .cloned()
        .collect()
}

/// Deletes an endpoint and gives its addresses back, and waits until the kernel follows. It is
/// written to the store, or to the journal if the store is not reached.
pub(crate) async fn remove(shared: &Shared, key: &EndpointKey) -> Result<(), Fault> {
    let decide = |world: &World| Ok((removal(world, key), ()));
    match by_store(shared, decide).await {
        ByStore::Done(revision) => {
            // The store has it; that the kernel follows is not the caller's concern.
            if let Err(fault) = shared.wait_applied(revision, APPLY_LIMIT).await {
                tracing::warn!(%fault, endpoint = %key.1, "detached, but the kernel lags");
            }
            Ok(())
        }
        ByStore::Refused(fault) => Err(fault),
        ByStore::Unreached(_) => alone::detach(shared, &key.1).await,
    }
}

/// The writes that delete an endpoint and give its addresses back.
fn removal(world: &World, key: &EndpointKey) -> Vec<Write> {
    let Some(endpoint) = world.endpoints.get(key) else {
        return Vec::new();
    };
    let spec = &endpoint.spec;
    let mut writes = tombolo_ipam::release(world, &spec.handle, spec.generation);
    writes.retain(|write| write.key != endpoint.key());
    let version = endpoint.metadata.resource_version.unwrap_or_default();
    writes.push(Write::delete(endpoint.key(), version));
    writes
}

/// The endpoint of a container's interface on this node.
fn find(world: &World, node: &Name, request: &DetachRequest) -> Option<EndpointKey> {
    let name = Endpoint::resource_name(node, &request.container_id, &request.interface).ok()?;
    world
        .endpoints
        .keys()
        .find(|(_, other)| *other == name)
        .cloned()
}

fn resource_key(key: &EndpointKey) -> ResourceKey {
    ResourceKey {
        kind: tombolo_model::KindName::Endpoint,
        namespace: Some(key.0.clone()),
        name: key.1.clone(),
    }
}

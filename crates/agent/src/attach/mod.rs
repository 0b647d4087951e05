//! A container comes and goes: addresses, the endpoint resource, and waiting for the kernel.
//!
//! Attaching commits addresses and endpoint in one transaction, then waits until the kernel holds
//! all that the endpoint asks for; what cannot be had is undone. Detaching is one transaction too,
//! and succeeds when there is nothing to detach.

mod claim;
mod view;

use std::path::Path;
use std::time::Duration;

use tombolo_api::{AttachRequest, Attached, DetachRequest, Fault, FaultKind};
use tombolo_kernel::{KernelError, NetnsHandle};
use tombolo_model::{Endpoint, Name, ResourceKey, World, Write};

use crate::shared::{AppliedState, Shared};

pub(crate) use claim::ipam_fault;
pub(crate) use view::inspect;

/// How long the kernel may take to hold an endpoint.
const APPLY_LIMIT: Duration = Duration::from_secs(20);

type EndpointKey = (Name, Name);

/// Plugs a container in.
pub(crate) async fn attach(shared: &Shared, request: &AttachRequest) -> Result<Attached, Fault> {
    let key = endpoint_key(shared, request)?;
    check_sandbox(request)?;
    let elsewhere = claim::is_held_elsewhere(shared, request);
    let others = if elsewhere {
        absent_nodes(shared).await
    } else {
        Vec::new()
    };
    let decide = |world: &World| claim::decide(shared, world, request, &key, &others);
    let (revision, _) = shared.commit(decide).await?;
    let state = shared.wait_applied(revision, APPLY_LIMIT).await;
    let fault = match &state {
        Err(fault) => Some(fault.clone()),
        Ok(state) => unmet(state, &key),
    };
    if let Some(fault) = fault {
        // What was begun is undone; if even that fails, the sweep finds it.
        if let Err(error) = remove(shared, &key).await {
            tracing::warn!(%error, endpoint = %key.1, "cannot undo an attachment");
        }
        return Err(fault);
    }
    let state = state?;
    view::describe(&shared.world(), &state.plan, &key)
        .ok_or_else(|| Fault::new(FaultKind::Conflict, "the container was detached meanwhile"))
}

/// Unplugs a container. Nothing to unplug is success.
pub(crate) async fn detach(shared: &Shared, request: &DetachRequest) -> Result<(), Fault> {
    let Some(key) = find(&shared.world(), shared.node(), request) else {
        return Ok(());
    };
    let revision = remove(shared, &key).await?;
    // The store has it; that the kernel follows is not the caller's concern.
    if let Err(fault) = shared.wait_applied(revision, APPLY_LIMIT).await {
        tracing::warn!(%fault, endpoint = %key.1, "detached, but the kernel lags");
    }
    Ok(())
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

/// The sandbox is there and has no interface of that name yet.
fn check_sandbox(request: &AttachRequest) -> Result<(), Fault> {
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
    Ok(())
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

/// Why the kernel does not hold all of an endpoint, if it does not.
fn unmet(state: &AppliedState, key: &EndpointKey) -> Option<Fault> {
    if let Some(error) = &state.error {
        return Some(Fault::new(FaultKind::System, error.clone()));
    }
    let owner = resource_key(key);
    let mut objects = state
        .plan
        .objects
        .iter()
        .filter(|(_, p)| p.origin.resource == owner);
    objects.find_map(|(place, _)| {
        let why = state.failed.get(&place.to_string())?;
        Some(Fault::new(FaultKind::System, why.clone()))
    })
}

/// Deletes an endpoint and gives its addresses back.
pub(crate) async fn remove(
    shared: &Shared,
    key: &EndpointKey,
) -> Result<tombolo_store::Revision, Fault> {
    let decide = |world: &World| {
        let Some(endpoint) = world.endpoints.get(key) else {
            return Ok((Vec::new(), ()));
        };
        let spec = &endpoint.spec;
        let mut writes = tombolo_ipam::release(world, &spec.handle, spec.generation);
        writes.retain(|write| write.key != endpoint.key());
        if let Some(version) = endpoint.metadata.resource_version {
            writes.push(Write::delete(endpoint.key(), version));
        }
        Ok((writes, ()))
    };
    shared.commit(decide).await.map(|(revision, ())| revision)
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

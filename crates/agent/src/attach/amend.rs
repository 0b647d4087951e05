//! What changes of an endpoint while it is plugged in: its sandbox, where the runtime puts the
//! interface there itself, and its ports.

use tombolo_api::{AmendRequest, Attached, DetachRequest, Fault, FaultKind};
use tombolo_model::{AnyResource, World, Write};

use super::claim::port_clash;
use super::{APPLY_LIMIT, ByStore, EndpointKey, STORE_LIMIT, by_store, find, unmet, view};
use crate::shared::Shared;

/// Changes an endpoint, and answers once the kernel holds it so. What the kernel refuses stays
/// asked for: the caller takes it back.
pub(crate) async fn amend(shared: &Shared, request: &AmendRequest) -> Result<Attached, Fault> {
    shared.first_world(STORE_LIMIT).await?;
    let named = DetachRequest {
        container_id: request.container_id.clone(),
        interface: request.interface.clone(),
    };
    let missing = || {
        let message = format!(
            "container {} has no interface {} on this node; attach it first",
            request.container_id, request.interface
        );
        Fault::new(FaultKind::NotFound, message)
    };
    let key = find(&shared.world(), shared.node(), &named).ok_or_else(missing)?;
    let decide = |world: &World| Ok((change(world, &key, request)?.ok_or_else(missing)?, ()));
    let revision = match by_store(shared, decide).await {
        ByStore::Done(revision) => revision,
        ByStore::Refused(fault) | ByStore::Unreached(fault) => return Err(fault),
    };
    let state = shared.wait_applied(revision, APPLY_LIMIT).await?;
    if let Some(fault) = unmet(&state, &key) {
        return Err(fault);
    }
    view::describe(&shared.world(), &state.plan, &key).ok_or_else(missing)
}

/// The writes that change an endpoint; none if there is no such endpoint.
fn change(
    world: &World,
    key: &EndpointKey,
    request: &AmendRequest,
) -> Result<Option<Vec<Write>>, Fault> {
    let Some(present) = world.endpoints.get(key) else {
        return Ok(None);
    };
    let mut endpoint = present.clone();
    if let Some(sandbox) = &request.sandbox {
        if endpoint.spec.handover.is_none() {
            let message = "its interface was put into its sandbox, and stays there";
            return Err(Fault::new(FaultKind::Invalid, message));
        }
        endpoint.spec.sandbox.clone_from(sandbox);
    }
    if let Some(ports) = &request.ports {
        endpoint.spec.ports.clone_from(ports);
    }
    let faults = endpoint.validate();
    if !faults.is_empty() {
        let mut fault = Fault::new(FaultKind::Invalid, "the endpoint cannot be changed so");
        fault.add(0, faults);
        return Err(fault);
    }
    port_clash(world, &endpoint)?;
    if endpoint == *present {
        return Ok(Some(Vec::new()));
    }
    let read = present.metadata.resource_version;
    let write = Write::put(AnyResource::Endpoint(endpoint), read);
    Ok(Some(vec![write]))
}

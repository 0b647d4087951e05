//! Who an endpoint is to policies changes while it is plugged in: its labels and profiles.

use tombolo_api::{Fault, FaultKind, LabelRequest};
use tombolo_model::{AnyResource, Endpoint, Resource, World, Write};

use super::{APPLY_LIMIT, EndpointKey, STORE_LIMIT, unmet};
use crate::meant;
use crate::shared::Shared;

/// Changes an endpoint of any node, and answers it once this node's kernel has followed: that the
/// endpoint is this one now, or that others are let through to it or from it.
pub(crate) async fn label(
    shared: &Shared,
    request: &LabelRequest,
) -> Result<Resource<Endpoint>, Fault> {
    shared.first_world(STORE_LIMIT).await?;
    let key = meant::endpoint(
        &shared.world(),
        request.namespace.as_ref(),
        &request.endpoint,
    )?;
    let decide = |world: &World| change(world, &key, request);
    let (revision, endpoint) = shared.commit(decide).await?;
    let state = shared.wait_applied(revision, APPLY_LIMIT).await?;
    match unmet(&state, &key) {
        Some(fault) => Err(fault),
        None => Ok(endpoint),
    }
}

/// The write that changes an endpoint, and how it is then.
fn change(
    world: &World,
    key: &EndpointKey,
    request: &LabelRequest,
) -> Result<(Vec<Write>, Resource<Endpoint>), Fault> {
    let Some(present) = world.endpoints.get(key) else {
        let message = format!(
            "endpoint {}/{} is not in the store (any more)",
            key.0, key.1
        );
        return Err(Fault::new(FaultKind::NotFound, message));
    };
    let mut endpoint = present.clone();
    for (name, value) in &request.labels {
        match value {
            Some(value) => {
                let labels = &mut endpoint.metadata.labels;
                labels.insert(name.clone(), value.clone());
            }
            None => {
                endpoint.metadata.labels.remove(name);
            }
        }
    }
    if let Some(profiles) = &request.profiles {
        endpoint.spec.profiles.clone_from(profiles);
    }
    let faults = endpoint.validate();
    if !faults.is_empty() {
        let mut fault = Fault::new(FaultKind::Invalid, "the endpoint cannot be changed so");
        fault.add(0, faults);
        return Err(fault);
    }
    if endpoint == *present {
        return Ok((Vec::new(), endpoint));
    }
    let read = present.metadata.resource_version;
    let write = Write::put(AnyResource::Endpoint(endpoint.clone()), read);
    Ok((vec![write], endpoint))
}

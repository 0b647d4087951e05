//! What a runtime does not know any more is unplugged; and whether more could be plugged in.

use std::collections::BTreeSet;

use tombolo_api::{AttachRequest, CollectRequest, Fault, FaultKind, Readiness, ReadyRequest};
use tombolo_model::{ContainerId, Endpoint, IfName, KindName};

use super::claim::{self, How};
use super::{EndpointKey, endpoint_key, remove};
use crate::shared::Shared;

/// Unplugs every container of this node that was plugged in by a configuration and is not listed.
/// What cannot be unplugged does not keep the rest, and is told at the end.
pub(crate) async fn collect(shared: &Shared, request: &CollectRequest) -> Result<(), Fault> {
    let stale = stale(shared, request);
    let mut failed = Vec::new();
    for key in &stale {
        if let Err(fault) = remove(shared, key).await {
            failed.push(format!("{}: {fault}", key.1));
        } else {
            tracing::info!(endpoint = %key.1, "unplugged, since its runtime does not know it");
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} containers could not be unplugged: {}",
        failed.len(),
        stale.len(),
        failed.join("; ")
    );
    Err(Fault::new(FaultKind::System, message))
}

fn stale(shared: &Shared, request: &CollectRequest) -> Vec<EndpointKey> {
    let valid: BTreeSet<_> = request
        .valid
        .iter()
        .map(|valid| (&valid.container_id, &valid.ifname))
        .collect();
    let is_of = |endpoint: &Endpoint| {
        endpoint.node == *shared.node()
            && endpoint.network == request.network
            && endpoint.configuration.as_ref() == Some(&request.configuration)
    };
    shared
        .world()
        .endpoints
        .iter()
        .filter(|(_, endpoint)| is_of(&endpoint.spec))
        .filter(|(_, e)| !valid.contains(&(&e.spec.container_id, &e.spec.interface)))
        .map(|(key, _)| key.clone())
        .collect()
}

/// Whether a container could be plugged into a network now: it is decided as if one came, and
/// nothing is written.
pub(crate) fn ready(shared: &Shared, request: &ReadyRequest) -> Result<Readiness, Fault> {
    let mut how = How::default();
    how.offline = shared.store_error.borrow().is_some() || !shared.journal.is_empty();
    let asked = probe(request)?;
    let key = endpoint_key(shared, &asked)?;
    let decided = claim::decide(shared, &shared.world(), &asked, &key, &how);
    let can_be_lent = how.take_not_lent().is_some();
    let obstacle = decided.err().filter(|_| !can_be_lent);
    Ok(Readiness {
        obstacle: obstacle.map(|fault| match shared.store_error.borrow().as_ref() {
            Some(error) => format!("{error}; {fault}"),
            None => fault.to_string(),
        }),
        faults: faults(shared),
    })
}

/// A container that does not exist.
fn probe(request: &ReadyRequest) -> Result<AttachRequest, Fault> {
    let named = |e: tombolo_model::NameError| Fault::new(FaultKind::System, e.to_string());
    Ok(AttachRequest {
        handover: false,
        container_id: ContainerId::new("status-probe").map_err(named)?,
        interface: IfName::new("eth0").map_err(named)?,
        sandbox: "/status-probe".to_owned(),
        network: request.network.clone(),
        configuration: None,
        sandbox_id: None,
        namespace: None,
        identity: None,
        addresses: Vec::new(),
        ranges: Vec::new(),
        mac: None,
        ports: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        profiles: Vec::new(),
        named_ports: Vec::new(),
    })
}

/// What the kernel lacks that more than one container needs.
fn faults(shared: &Shared) -> Vec<String> {
    let state = shared.applied.borrow();
    let shared_objects = state.plan.objects.iter().filter_map(|(place, planned)| {
        let fault = state.failed.get(&place.to_string())?;
        (planned.origin.resource.kind != KindName::Endpoint).then(|| fault.clone())
    });
    state.error.iter().cloned().chain(shared_objects).collect()
}

//! Plugging in and out while the store is not reached, and telling it afterwards.
//!
//! What is done here is in the journal before anything else happens. Until the store has it, it is
//! drafted into the World that this node plans from, in the order in which it was done; everything
//! that comes goes the same way until the journal is empty, so that the order stays. Addresses are
//! taken only where no other node can have taken them (`tombolo_ipam::Request::offline`), so what
//! is written afterwards is never refused for them.

use std::sync::Arc;
use std::time::Duration;

use tombolo_api::{AttachRequest, Attached, Fault, FaultKind};
use tombolo_model::{Endpoint, MacAddr, Name, Resource, World};

use super::claim::{self, How};
use super::{APPLY_LIMIT, EndpointKey, endpoint_key, removal, unmet, view};
use crate::journal::Entry;
use crate::shared::Shared;

/// The pause before the store is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Plugs a container in.
pub(super) async fn attach(
    shared: &Shared,
    request: &AttachRequest,
    key: &EndpointKey,
) -> Result<Attached, Fault> {
    let (entry, edition) = {
        let _turn = shared.alone.lock().await;
        shared.may_give_alone()?;
        let endpoint = claimed(shared, &shared.world(), request, key)?;
        let mut request = request.clone();
        request.addresses.clone_from(&endpoint.addresses);
        request.mac = Some(endpoint.mac);
        let entry = write_down(shared, Entry::Attach(Box::new(request)))?;
        (entry, shared.draft_newest())
    };
    tracing::info!(endpoint = %key.1, "plugged in without the store; it will be told");
    let state = shared.wait_edition(edition, APPLY_LIMIT).await;
    let fault = match &state {
        Err(fault) => Some(fault.clone()),
        Ok(state) => unmet(state, key),
    };
    if let Some(fault) = fault {
        end(shared, entry);
        return Err(fault);
    }
    view::describe(&shared.world(), &state?.plan, key)
        .ok_or_else(|| Fault::new(FaultKind::Conflict, "the container was detached meanwhile"))
}

/// The endpoint as it would be written, with its addresses.
fn claimed(
    shared: &Shared,
    world: &World,
    request: &AttachRequest,
    key: &EndpointKey,
) -> Result<Endpoint, Fault> {
    let (writes, ()) = claim::decide(shared, world, request, key, &How::offline())?;
    let mut drafted = World::default();
    drafted.draft(&writes);
    drafted
        .endpoints
        .remove(key)
        .map(|endpoint| endpoint.spec)
        .ok_or_else(|| Fault::new(FaultKind::System, "nothing was decided"))
}

/// Unplugs a container. If nothing is known yet it is only written down: its interface goes with
/// its sandbox, and the rest as soon as the store answers.
pub(super) async fn detach(shared: &Shared, endpoint: &Name) -> Result<(), Fault> {
    let edition = {
        let _turn = shared.alone.lock().await;
        let present = named(&shared.world(), endpoint).map(|(_, endpoint)| endpoint.spec.mac);
        if present.is_none() && shared.knows_world() {
            return Ok(());
        }
        let entry = Entry::Detach {
            endpoint: endpoint.clone(),
            mac: present,
        };
        write_down(shared, entry)?;
        shared.draft_newest()
    };
    tracing::info!(%endpoint, "unplugged without the store; it will be told");
    if shared.knows_world()
        && let Err(fault) = shared.wait_edition(edition, APPLY_LIMIT).await
    {
        tracing::warn!(%fault, %endpoint, "detached, but the kernel lags");
    }
    Ok(())
}

/// The endpoint of a name, in whichever namespace.
fn named<'w>(world: &'w World, name: &Name) -> Option<(&'w EndpointKey, &'w Resource<Endpoint>)> {
    world.endpoints.iter().find(|(key, _)| key.1 == *name)
}

/// The endpoint that a detachment means.
fn meant(world: &World, endpoint: &Name, mac: Option<MacAddr>) -> Option<EndpointKey> {
    let (key, present) = named(world, endpoint)?;
    mac.is_none_or(|mac| present.spec.mac == mac)
        .then(|| key.clone())
}

fn write_down(shared: &Shared, entry: Entry) -> Result<u64, Fault> {
    shared.journal.begin(entry).map_err(|error| {
        Fault::new(
            FaultKind::Unavailable,
            format!("{error:#}; is the disk full?"),
        )
    })
}

/// Notes that an entry is done with.
fn end(shared: &Shared, id: u64) {
    if let Err(error) = shared.journal.end(id) {
        // It is done again after a restart, which changes nothing.
        tracing::warn!(error = format!("{error:#}"), "the journal lags");
    }
    shared.draft_all();
}

/// Changes a World as an entry says.
pub(crate) fn draft(shared: &Shared, world: &mut World, entry: &Entry) {
    match entry {
        Entry::Attach(request) => {
            let decided = endpoint_key(shared, request)
                .and_then(|key| claim::decide(shared, world, request, &key, &How::default()));
            match decided {
                Ok((writes, ())) => world.draft(&writes),
                Err(fault) => tracing::warn!(
                    %fault,
                    container = %request.container_id,
                    "what was plugged in without the store does not fit what the store says"
                ),
            }
        }
        Entry::Detach { endpoint, mac } => {
            if let Some(key) = meant(world, endpoint, *mac) {
                let writes = removal(world, &key);
                world.draft(&writes);
            }
        }
    }
}

/// Tells the store what was done without it, for ever.
pub(crate) async fn catch_up(shared: Arc<Shared>) {
    let mut waiting = shared.journal.waiting.subscribe();
    let mut store_error = shared.store_error.subscribe();
    loop {
        // The senders live as long as `shared`.
        let _ = waiting.wait_for(|count| *count > 0).await;
        let _ = store_error.wait_for(Option::is_none).await;
        let mut told = 0;
        for (id, entry) in shared.journal.entries() {
            match tell(&shared, &entry).await {
                Ok(()) => {
                    end(&shared, id);
                    told += 1;
                }
                Err(fault) => {
                    tracing::warn!(%fault, ?entry, "cannot tell the store yet");
                    break;
                }
            }
        }
        tracing::info!(told, "told the store what was done without it");
        if !shared.journal.is_empty() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Writes to the store what an entry says, and waits until the World shows it.
async fn tell(shared: &Shared, entry: &Entry) -> Result<(), Fault> {
    let (revision, ()) = match entry {
        Entry::Attach(request) => {
            let key = endpoint_key(shared, request)?;
            let how = How::default();
            let decide = |world: &World| claim::decide(shared, world, request, &key, &how);
            shared.commit(decide).await?
        }
        Entry::Detach { endpoint, mac } => {
            let decide = |world: &World| {
                let key = meant(world, endpoint, *mac);
                let writes = key.map(|key| removal(world, &key)).unwrap_or_default();
                Ok((writes, ()))
            };
            shared.commit(decide).await?
        }
    };
    shared.wait_seen(revision).await
}

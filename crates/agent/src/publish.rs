//! What this node tells the others: that it is there, where, alive, and what it does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tombolo_api::{Fault, FaultKind};
use tombolo_model::kinds::{NodeAddress, NodeStatus};
use tombolo_model::{AnyResource, Name, Node, Resource, World, Write};
use tombolo_store::{Op, Resources, Revision, StoreError, Txn};

use crate::config::Files;
use crate::shared::Shared;
use crate::underlay;

/// A node counts as absent so long after its last sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How often it gives one.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the underlay is looked at anew.
const UNDERLAY: Duration = Duration::from_secs(10);
/// The pause after the store could not be told something.
const RETRY: Duration = Duration::from_millis(500);
/// Keys of nodes that are alive; they are bound to leases.
const ALIVE: &str = "/tombolo/v1/alive/";

/// Writes this node's resource at the agent's start. A node that was deleted from the store stays
/// deleted.
pub(crate) async fn register(shared: &Shared, addresses: &[NodeAddress]) -> Result<()> {
    let registered = shared.files.registered();
    let was_here = registered.exists();
    let decide = |world: &World| {
        let Some(present) = world.nodes.get(shared.node()) else {
            if was_here {
                return Err(Fault::new(FaultKind::Denied, deleted(shared.node())));
            }
            let mut node = Resource::new(
                shared.node().clone(),
                Node {
                    addresses: addresses.to_vec(),
                },
            );
            node.metadata.uid.clone_from(&shared.config.uid);
            return Ok((vec![Write::put(node.into(), None)], ()));
        };
        // The empty UID is of a node that was announced by the one it joined through.
        if !present.metadata.uid.is_empty() && present.metadata.uid != shared.config.uid {
            return Err(Fault::new(FaultKind::Conflict, taken(shared.node())));
        }
        let mut node = present.clone();
        node.metadata.uid.clone_from(&shared.config.uid);
        node.spec.addresses = addresses.to_vec();
        Ok((changed(present, node), ()))
    };
    if let Err(fault) = shared.commit(decide).await {
        bail!("cannot write this node to the store: {fault}");
    }
    if !was_here {
        Files::write(&registered, "").context("cannot note that the node is registered")?;
    }
    Ok(())
}

fn deleted(node: &Name) -> String {
    format!(
        "node {node} was deleted from the cluster; to let it in again remove its state folder and join with a new token"
    )
}

fn taken(node: &Name) -> String {
    format!(
        "another host is node {node}; give this one a name of its own (--node), or delete that node first"
    )
}

/// A write if something is different.
fn changed(present: &Resource<Node>, node: Resource<Node>) -> Vec<Write> {
    if *present == node {
        return Vec::new();
    }
    let version = present.metadata.resource_version;
    vec![Write::put(AnyResource::Node(node), version)]
}

/// Tells the others what this node does, whenever it does something else.
pub(crate) async fn announce(shared: Arc<Shared>) {
    let mut applied = shared.applied.subscribe();
    while applied.changed().await.is_ok() {
        let state = Arc::clone(&applied.borrow_and_update());
        if state.revision == Revision::NONE || state.error.is_some() || !state.failed.is_empty() {
            continue;
        }
        let status = NodeStatus {
            boot_id: shared.boot_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            networks: state.plan.announce.clone(),
        };
        let decide = |world: &World| {
            let Some(present) = world.nodes.get(shared.node()) else {
                return Ok((Vec::new(), ()));
            };
            let node = Resource {
                status: status.clone(),
                ..present.clone()
            };
            Ok((changed(present, node), ()))
        };
        // Nothing new is planned until the others can know it, so it is said until it is heard.
        while let Err(fault) = shared.commit(decide).await {
            tracing::warn!(%fault, "cannot tell the other nodes what this one does; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Keeps the node's underlay addresses as they are on the host.
pub(crate) async fn follow_underlay(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(UNDERLAY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let methods = underlay::methods(&shared.config.underlay);
        let detected = match methods.and_then(|methods| underlay::detect(&methods)) {
            Ok(detected) => detected,
            Err(error) => {
                // The last known addresses stay: an interface may be down for a moment.
                tracing::warn!(error = format!("{error:#}"), "cannot find the underlay");
                continue;
            }
        };
        let decide = |world: &World| {
            let Some(present) = world.nodes.get(shared.node()) else {
                return Ok((Vec::new(), ()));
            };
            let mut node = present.clone();
            node.spec.addresses.clone_from(&detected);
            let writes = changed(present, node);
            if !writes.is_empty() {
                for address in &detected {
                    tracing::info!(%address.address, %address.interface, address.reason, "underlay");
                }
            }
            Ok((writes, ()))
        };
        if let Err(fault) = shared.commit(decide).await {
            tracing::warn!(%fault, "cannot write the underlay's addresses");
        }
    }
}

/// Gives signs of life for ever.
pub(crate) async fn stay_alive(shared: Arc<Shared>) {
    loop {
        if let Err(error) = live_one_lease(&shared).await {
            tracing::debug!(%error, "no sign of life could be given");
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

async fn live_one_lease(shared: &Shared) -> Result<(), StoreError> {
    let store = shared.resources.store();
    let lease = store.lease_grant(LEASE, None).await?.id;
    let key = format!("{ALIVE}{}", shared.node());
    store
        .txn(Txn::of(vec![Op::put_leased(
            key,
            shared.boot_id.clone(),
            lease,
        )]))
        .await?;
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        store.lease_keep_alive(lease).await?;
    }
}

/// Nodes whose agents are alive.
pub(crate) async fn alive(resources: &Resources) -> Result<BTreeSet<Name>, StoreError> {
    let listed = resources.store().list_prefix(ALIVE.as_bytes()).await?;
    Ok(listed
        .kvs
        .iter()
        .filter_map(|kv| std::str::from_utf8(&kv.key).ok()?.strip_prefix(ALIVE))
        .filter_map(|name| Name::new(name).ok())
        .collect())
}

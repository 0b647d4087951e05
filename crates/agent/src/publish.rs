//! What this node tells the others: that it is there, where, alive, and what it does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tombolo_api::{Fault, FaultKind};
use tombolo_model::kinds::{NodeAddress, NodeStatus};
use tombolo_model::{AnyResource, Name, Node, Resource, World, Write};
use tombolo_store::{Op, Resources, Revision, StoreError, Txn};

use crate::config::{Files, StoreConfig};
use crate::shared::Shared;
use crate::underlay;

/// A node counts as absent so long after its last sign of life.
const LEASE: Duration = Duration::from_secs(15);
/// How often it gives one.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the underlay is looked at anew.
const UNDERLAY: Duration = Duration::from_secs(10);
/// How often another host's sign of life is looked at.
const LOOK: Duration = Duration::from_secs(1);
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

/// Waits until no other host gives signs of life under this node's name.
///
/// A state folder that was copied, or the disk of a virtual machine, would make two hosts one node,
/// which then take each other's addresses. A sign of life that is given again is a live host's; one
/// that is not goes with its lease, as after a reboot that took seconds.
///
/// # Errors
/// Another host lives under the name.
pub(crate) async fn be_alone(shared: &Shared) -> Result<()> {
    // Who has the store in its own folder has opened it, which only one can.
    if matches!(shared.config.store, StoreConfig::Embedded { .. }) {
        return Ok(());
    }
    let me = presence(shared)?;
    let key = format!("{ALIVE}{}", shared.node());
    let store = shared.resources.store();
    let mut left = None;
    // A store that does not answer is told of by who follows it.
    while let Ok(Some(sign)) = store.get(key.as_bytes()).await
        && sign.value != me.as_bytes()
        && let Ok(lease) = store.lease_time_to_live(sign.lease, false).await
    {
        if left.is_some_and(|left| lease.remaining > left) {
            bail!(
                "another host is node {} and alive; was the state folder copied? Stop the other one, or remove this folder and run `tombolo join` under another name (--node)",
                shared.node()
            );
        }
        if left.is_none() {
            tracing::info!(node = %shared.node(), "another host was this node a moment ago; waiting whether it still is");
        }
        left = Some(lease.remaining);
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// What is written as the sign of life: a host by its boot and network namespace, so that an agent
/// that is started again is the same.
fn presence(shared: &Shared) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let netns = std::fs::metadata("/proc/self/ns/net").context("cannot read /proc/self/ns/net")?;
    Ok(format!("{}/{}", shared.boot_id, netns.ino()))
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

/// Gives signs of life for ever. That none can be given is how an outage of the store is noticed: a
/// watch on a store that is gone is only silent.
pub(crate) async fn stay_alive(shared: Arc<Shared>) {
    let me = presence(&shared).unwrap_or_else(|_| shared.boot_id.clone());
    let mut silent = false;
    loop {
        let Err(error) = live_one_lease(&shared, &me, &mut silent).await;
        if !silent
            && matches!(
                error,
                StoreError::Unavailable { .. } | StoreError::Denied { .. }
            )
        {
            silent = true;
            tracing::warn!(%error, "the store does not answer; going on with what is known");
        }
        if silent {
            shared.store_error.send_replace(Some(error.to_string()));
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

async fn live_one_lease(
    shared: &Shared,
    me: &str,
    silent: &mut bool,
) -> Result<Infallible, StoreError> {
    let store = shared.resources.store();
    let lease = store.lease_grant(LEASE, None).await?.id;
    let key = format!("{ALIVE}{}", shared.node());
    let sign = Op::put_leased(key, me.to_owned(), lease);
    store.txn(Txn::of(vec![sign])).await?;
    if std::mem::take(silent) {
        tracing::info!("the store answers again");
        shared.store_error.send_replace(None);
    }
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

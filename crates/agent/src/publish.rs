//! What this node tells the others: that it is there, where, alive, and what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tombolo_api::{Fault, FaultKind};
use tombolo_model::kinds::{NodeAddress, NodeNetworkStatus, NodeStatus};
use tombolo_model::{AnyResource, Name, Node, Resource, World, Write};
use tombolo_plan::HostPlan;
use tombolo_store::{Compare, LeaseId, Op, Resources, Revision, StoreError, Txn};

use crate::config::{Files, StoreConfig};
use crate::shared::Shared;
use crate::{tunnel, underlay};

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
                    bgp: None,
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
    let mut left = None;
    loop {
        let (sign, remaining) = match claim(shared, &me).await {
            // A store that does not answer is told of by who follows it.
            Err(_) | Ok(Claimed::Mine(_)) => return Ok(()),
            Ok(Claimed::Gone) => continue,
            Ok(Claimed::Others { sign, remaining }) => (sign, remaining),
        };
        match left {
            Some((before, time)) if before == sign && remaining > time => {
                bail!("{}", alive_elsewhere(shared.node()));
            }
            None => {
                tracing::info!(node = %shared.node(), "another host was this node a moment ago; waiting whether it still is");
            }
            Some(_) => {}
        }
        left = Some((sign, remaining));
        tokio::time::sleep(LOOK).await;
    }
}

fn alive_elsewhere(node: &Name) -> String {
    format!(
        "another host is node {node} and alive; was the state folder copied? Stop the other one, or remove this folder and run `tombolo join` under another name (--node)"
    )
}

/// Whose sign of life there is, after an attempt to give one.
enum Claimed {
    /// This host's, by this lease.
    Mine(LeaseId),
    /// It changed while it was looked at.
    Gone,
    /// Another host's: by which lease, and how long that lasts.
    Others { sign: LeaseId, remaining: Duration },
}

/// Gives a sign of life, unless there is one of another host: of two that do so at once, one does.
async fn claim(shared: &Shared, me: &str) -> Result<Claimed, StoreError> {
    let store = shared.resources.store();
    let key = format!("{ALIVE}{}", shared.node());
    let present = store.get(key.as_bytes()).await?;
    let expected = match &present {
        Some(sign) if sign.value == me.as_bytes() => {
            Compare::unchanged(key.clone(), sign.mod_revision)
        }
        Some(sign) => {
            return Ok(match store.lease_time_to_live(sign.lease, false).await {
                Ok(lease) => Claimed::Others {
                    sign: sign.lease,
                    remaining: lease.remaining,
                },
                Err(StoreError::LeaseNotFound { .. }) => Claimed::Gone,
                Err(error) => return Err(error),
            });
        }
        None => Compare::absent(key.clone()),
    };
    let lease = store.lease_grant(LEASE, None).await?.id;
    let sign = Op::put_leased(key, me.to_owned(), lease);
    let given = store.txn(Txn::of(vec![sign]).when(vec![expected])).await?;
    if given.succeeded {
        return Ok(Claimed::Mine(lease));
    }
    store.lease_revoke(lease).await?;
    Ok(Claimed::Gone)
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
    let mut applied = shared.news_of_applied();
    let mut received = shared.tunnelling.news_of_received();
    loop {
        let news = tokio::select! {
            news = applied.changed() => news,
            news = received.changed() => news,
        };
        if news.is_err() {
            return;
        }
        let state = Arc::clone(&applied.borrow_and_update());
        received.mark_unchanged();
        if state.revision == Revision::NONE || state.is_held_up() {
            continue;
        }
        let status = NodeStatus {
            boot_id: shared.boot_id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tunnel_key: shared.tunnel_key.clone(),
            networks: networks(&shared, &state.plan),
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

/// What this node does for each network.
fn networks(shared: &Shared, plan: &HostPlan) -> BTreeMap<Name, NodeNetworkStatus> {
    let planned = plan.announce.iter();
    planned
        .map(|(name, status)| (name.clone(), tunnel::is_received(shared, name, status)))
        .collect()
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
        let problem = match give_signs(&shared, &me, &mut silent).await {
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Denied { .. })) => {
                Some(error.to_string())
            }
            // The lease was lost, or the store takes no writes: it does answer.
            Err(_) => None,
            Ok(()) => Some(alive_elsewhere(shared.node())),
        };
        if let Some(problem) = problem {
            if !std::mem::replace(&mut silent, true) {
                tracing::warn!(
                    problem,
                    "the store does not answer; going on with what is known"
                );
            }
            shared.store_error.send_replace(Some(problem));
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Gives signs of life until the store fails, or another host gives them under this name.
async fn give_signs(shared: &Shared, me: &str, silent: &mut bool) -> Result<(), StoreError> {
    let lease = loop {
        match claim(shared, me).await? {
            Claimed::Mine(lease) => break lease,
            Claimed::Others { .. } => return Ok(()),
            Claimed::Gone => {}
        }
    };
    if std::mem::take(silent) {
        tracing::info!("the store answers again");
        shared.store_error.send_replace(None);
    }
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        shared.resources.store().lease_keep_alive(lease).await?;
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

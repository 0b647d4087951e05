//! Addresses that the node needs for itself, and addresses that nobody uses any more.
//!
//! A sweep frees what was lost: endpoints of an earlier boot, endpoints whose sandbox is known to be
//! gone, and all that deleted nodes held. Only what is known counts: a sandbox whose folder cannot
//! be read is not gone, and a node is deleted only if a complete World has no Node for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tombolo_api::Fault;
use tombolo_ipam::{Evidence, Request, Reserve};
use tombolo_kernel::{KernelError, NetnsHandle};
use tombolo_model::kinds::Purpose;
use tombolo_model::{Family, Handle, IfName, Name, World, Write};
use tombolo_store::Revision;

use crate::attach::{ipam_fault, taken};
use crate::shared::Shared;

/// How often lost addresses are looked for, unless `TOMBOLO_SWEEP_SECONDS` says otherwise.
const SWEEP: Duration = Duration::from_secs(60);
/// How many sweeps what waits for a runtime is left alone. Docker comes at once, or never.
const PATIENCE: u32 = 5;

/// Keeps the node's own addresses as the networks need them.
pub(crate) async fn keep_tunnels(shared: Arc<Shared>) {
    let mut seen = shared.seen.subscribe();
    loop {
        let revision = *seen.borrow_and_update();
        // What was done without the store goes first: it has taken places that the store does not
        // know of.
        if revision != Revision::NONE && shared.journal.is_empty() {
            if let Err(fault) = match_tunnels(&shared).await {
                tracing::warn!(%fault, "cannot take an address for this node in a network");
            }
            if let Err(fault) = lend(&shared).await {
                tracing::warn!(%fault, "cannot open a block that another node asks for");
            }
        }
        if seen.changed().await.is_err() {
            return;
        }
    }
}

/// Opens blocks that other nodes ask for.
async fn lend(shared: &Shared) -> Result<(), Fault> {
    let decide = |world: &World| Ok((tombolo_ipam::lend(world, shared.node()), ()));
    shared.commit(decide).await.map(|_| ())
}

/// The identity of a node's own addresses in a network.
fn tunnel_identity(node: &Name) -> String {
    format!("node/{node}")
}

async fn match_tunnels(shared: &Shared) -> Result<(), Fault> {
    let networks: Vec<Name> = shared.world().networks.keys().cloned().collect();
    for network in networks {
        shared
            .commit(|world| Ok((tunnel_writes(world, shared.node(), &network)?, ())))
            .await?;
    }
    Ok(())
}

/// Sees to it that this node has the addresses by which it reaches its own containers on a physical
/// segment, if the network asks for that. Answers from which revision on it has.
pub(crate) async fn on_segment(shared: &Shared, network: &Name) -> Result<Option<Revision>, Fault> {
    let reaches = |world: &World| {
        let spec = world.networks.get(network).map(|found| &found.spec);
        spec.and_then(tombolo_model::Network::physical)
            .is_some_and(|physical| physical.host_access)
    };
    if !reaches(&shared.world()) {
        return Ok(None);
    }
    let decide = |world: &World| Ok((tunnel_writes(world, shared.node(), network)?, ()));
    let (revision, ()) = shared.commit(decide).await?;
    Ok(Some(revision))
}

/// The writes that give a node its own addresses in a network, or give back what it needs no more.
fn tunnel_writes(world: &World, node: &Name, network: &Name) -> Result<Vec<Write>, Fault> {
    let needed = tombolo_plan::needing_tunnels(world, node).contains(network);
    let identity = tunnel_identity(node);
    let name = Handle::resource_name(network, &identity);
    let held = world
        .handles
        .get(&name)
        .filter(|handle| handle.spec.node.is_some());
    match (needed, held) {
        (false, Some(handle)) => Ok(tombolo_ipam::release(world, &name, handle.spec.generation)),
        (true, handle) if !has_all(world, network, handle.map(|h| &h.spec)) => {
            let Some(resource) = world.networks.get(network) else {
                return Ok(Vec::new());
            };
            let Some(driver) = tombolo_plan::driver::find(&resource.spec.driver) else {
                return Ok(Vec::new());
            };
            let (head, tail) = driver.attachment.reserved();
            let request = Request {
                purpose: Purpose::Tunnel,
                reserve: Reserve { head, tail },
                kept: &driver.attachment.kept(world, &resource.spec),
                ..Request::workload(node, network, &identity)
            };
            let claim = tombolo_ipam::assign(world, &request).map_err(|e| ipam_fault(&e))?;
            Ok(claim.writes)
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether a handle has an address in each family of its network's pools.
fn has_all(world: &World, network: &Name, handle: Option<&Handle>) -> bool {
    let Some(network) = world.networks.get(network) else {
        return true;
    };
    let held = handle.map(|h| h.addresses.as_slice()).unwrap_or_default();
    let pools = network
        .spec
        .pools
        .iter()
        .filter_map(|pool| world.pools.get(pool));
    pools
        .map(|pool| Family::of_net(pool.spec.cidr))
        .all(|family| held.iter().any(|address| Family::of(*address) == family))
}

/// Looks for lost addresses for ever.
pub(crate) async fn sweep(shared: Arc<Shared>) {
    let mut gone_before = BTreeSet::new();
    let mut unclaimed = Unclaimed::default();
    let given = std::env::var("TOMBOLO_SWEEP_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let every = given
        .filter(|seconds| *seconds > 0)
        .map_or(SWEEP, Duration::from_secs);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What the World shows while the store does not answer may be old.
        if !shared.knows_world()
            || shared.store_error.borrow().is_some()
            || !shared.journal.is_empty()
        {
            continue;
        }
        let gone = gone_sandboxes(&shared.world(), shared.node(), &shared.boot_id);
        // A sandbox must be found gone twice: a runtime may be about to mount it.
        let mut sure: BTreeSet<_> = gone.intersection(&gone_before).cloned().collect();
        gone_before = gone;
        let (endpoints, handles) = unclaimed.look(&shared);
        sure.extend(endpoints);
        let outcome = match reclaim(&shared, sure).await {
            Ok(()) => free_taken(&shared, &handles).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = outcome {
            tracing::warn!(%fault, "cannot free lost addresses");
        }
    }
}

/// What waits for a runtime to come for it, with how many sweeps have found it so: addresses that
/// were taken for an endpoint, and ends of pairs that are to be put into a sandbox. A runtime that
/// was killed in between never comes.
#[derive(Default)]
struct Unclaimed {
    endpoints: BTreeMap<(Name, Name), u32>,
    handles: BTreeMap<Taken, u32>,
}

/// A handle with its generation.
type Taken = (Name, u64);

impl Unclaimed {
    /// Looks once more, and answers what nobody will come for.
    fn look(&mut self, shared: &Shared) -> (BTreeSet<(Name, Name)>, Vec<Taken>) {
        let world = shared.world();
        let here = links_here();
        let endpoints = world.endpoints.iter().filter(|(_, endpoint)| {
            let end = endpoint.spec.handover.as_ref();
            endpoint.spec.node == *shared.node() && end.is_some_and(|end| here.contains(end))
        });
        let endpoints = count(&mut self.endpoints, endpoints.map(|(key, _)| key.clone()));
        let endpoints = endpoints.into_iter().collect();
        let handles = world
            .handles
            .iter()
            .filter(|(_, handle)| taken::is_waiting(&handle.spec, shared.node()));
        let handles = handles.map(|(name, handle)| (name.clone(), handle.spec.generation));
        (endpoints, count(&mut self.handles, handles))
    }
}

/// Counts what is found once more, forgets the rest, and answers what was found often enough.
fn count<K: Ord + Clone>(
    found_before: &mut BTreeMap<K, u32>,
    found: impl Iterator<Item = K>,
) -> Vec<K> {
    let count = |key: K| {
        let times = found_before.get(&key).map_or(1, |times| times + 1);
        (key, times)
    };
    let now: BTreeMap<K, u32> = found.map(count).collect();
    *found_before = now;
    let enough = found_before.iter().filter(|(_, times)| **times > PATIENCE);
    enough.map(|(key, _)| key.clone()).collect()
}

/// The interfaces of the host; none if they cannot be read.
fn links_here() -> BTreeSet<IfName> {
    let read = NetnsHandle::current().and_then(|here| tombolo_kernel::underlay::interfaces(&here));
    match read {
        Ok(interfaces) => interfaces.into_iter().map(|link| link.name).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot look for interfaces that no sandbox has");
            BTreeSet::new()
        }
    }
}

/// Frees addresses that were taken and that nobody has come for.
async fn free_taken(shared: &Shared, handles: &[Taken]) -> Result<(), Fault> {
    for (name, generation) in handles {
        tracing::info!(handle = %name, "freeing addresses that were taken and never used");
        let decide = |world: &World| Ok((tombolo_ipam::release(world, name, *generation), ()));
        shared.commit(decide).await?;
    }
    Ok(())
}

async fn reclaim(shared: &Shared, gone: BTreeSet<(Name, Name)>) -> Result<(), Fault> {
    let evidence = Evidence {
        complete: true,
        boot: Some((shared.node().clone(), shared.boot_id.clone())),
        gone,
    };
    let leaks = tombolo_ipam::leaks(&shared.world(), &evidence);
    for leak in leaks {
        // Each node frees its own; what deleted nodes held is freed by the first node by name.
        let first = shared.world().nodes.keys().next().cloned();
        if leak.node != *shared.node() && first.as_ref() != Some(shared.node()) {
            continue;
        }
        tracing::info!(?leak, "freeing lost addresses");
        shared
            .commit(|world| Ok((tombolo_ipam::reclaim(world, &leak), ())))
            .await?;
    }
    let deleted = deleted_nodes(&shared.world(), shared.node());
    for node in deleted {
        tracing::info!(%node, "freeing the blocks of a deleted node");
        shared
            .commit(|world| {
                let batch = tombolo_ipam::release_node(world, &node).into_iter().next();
                Ok((batch.unwrap_or_default(), ()))
            })
            .await?;
    }
    give_back(shared).await
}

/// Gives back blocks beyond need, and closes open ones that nobody borrows from. Until it is known
/// how that went, nothing is given out of blocks without the store.
async fn give_back(shared: &Shared) -> Result<(), Fault> {
    let _turn = shared.alone.lock().await;
    shared.giving_back.store(true, Ordering::SeqCst);
    shared
        .commit(|world| Ok((tombolo_ipam::surplus_blocks(world, shared.node()), ())))
        .await?;
    shared.giving_back.store(false, Ordering::SeqCst);
    shared
        .commit(|world| Ok((tombolo_ipam::close(world, shared.node()), ())))
        .await?;
    Ok(())
}

/// Nodes that hold blocks but are no more, if this node is the one to see to it.
fn deleted_nodes(world: &World, me: &Name) -> BTreeSet<Name> {
    if world.nodes.keys().next() != Some(me) {
        return BTreeSet::new();
    }
    let owners = world.blocks.values().flat_map(|block| {
        block
            .spec
            .node
            .iter()
            .chain(block.spec.allocations.values().map(|a| &a.node))
    });
    owners
        .filter(|node| !world.nodes.contains_key(*node))
        .cloned()
        .collect()
}

/// Endpoints of this node and boot whose sandbox is known not to exist.
fn gone_sandboxes(world: &World, node: &Name, boot_id: &str) -> BTreeSet<(Name, Name)> {
    world
        .endpoints
        .iter()
        .filter(|(_, endpoint)| endpoint.spec.node == *node && endpoint.spec.boot_id == boot_id)
        // What a runtime puts into its sandbox itself is found on the host again when it is gone.
        .filter(|(_, endpoint)| endpoint.spec.handover.is_none())
        .filter(|(_, endpoint)| {
            is_gone(Path::new(&endpoint.spec.sandbox), endpoint.spec.sandbox_id)
        })
        .map(|(key, _)| key.clone())
        .collect()
}

/// Whether a path is known not to be an endpoint's namespace any more: it leads to another one, or
/// its folder can be read, and it is not there or is a plain file that nothing is mounted on.
fn is_gone(path: &Path, inode: Option<u64>) -> bool {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Of a process that ended, the whole folder below /proc is gone.
            path.starts_with("/proc") || path.parent().is_some_and(Path::exists)
        }
        Err(_) => false,
        Ok(_) => match NetnsHandle::open(path) {
            Ok(netns) => {
                let (_, found) = netns.identity();
                let is_host =
                    NetnsHandle::current().is_ok_and(|host| host.identity() == netns.identity());
                is_host || inode.is_some_and(|inode| inode != found)
            }
            Err(error) => matches!(error, KernelError::SandboxGone { .. }),
        },
    }
}

//! Addresses that are taken before there is an endpoint to use them.
//!
//! Docker asks for an address first and says later for what. The address is held meanwhile by a
//! handle of its own that has no endpoint; the endpoint that asks for the address becomes that
//! handle's. Who asks is known by a link-layer address at best: under the same one the same
//! addresses are given again, on whatever node. What nobody comes for is freed by the sweep.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tombolo_api::{Fault, FaultKind, GiveRequest, TakeRequest, Taken};
use tombolo_ipam::{Claim, Request, Reserve};
use tombolo_model::{Handle, MacAddr, Name, World, Write};
use tombolo_store::Revision;

use super::claim::{How, driver_of};
use super::{ByStore, STORE_LIMIT, by_store, until_lent};
use crate::shared::Shared;

/// What the identity of such a handle begins with. No runtime chooses one like it: a namespace has
/// no `/` behind so short a name with nothing but a link-layer address following.
const PREFIX: &str = "taken/";

/// Addresses that were taken without the store: when, and what would have been written. They are
/// nobody's yet, and are not given to others for a while.
pub(crate) type Promised = Vec<(Instant, Vec<Write>)>;

/// How long an address that was taken without the store is not given to others.
const PROMISE: Duration = Duration::from_secs(60);

/// Takes addresses, one per family of the network's pools.
pub(crate) async fn take(shared: &Shared, request: &TakeRequest) -> Result<Taken, Fault> {
    shared.first_world(STORE_LIMIT).await?;
    let spare = spare_identity(shared.node());
    let mut addresses = Vec::new();
    let how = How::default();
    let outcome = until_lent(shared, &how, |world, how| {
        let claim = decide(shared, world, request, (&spare, how))?;
        addresses = claim.addresses;
        Ok((claim.writes, ()))
    })
    .await;
    match outcome {
        ByStore::Unreached(fault) => {
            tracing::debug!(%fault, "taking an address without the store");
            take_alone(shared, request, &spare).await
        }
        outcome => {
            seen(shared, outcome).await?;
            Ok(Taken { addresses })
        }
    }
}

/// What is taken.
fn decide(
    shared: &Shared,
    world: &World,
    request: &TakeRequest,
    (spare, how): (&str, &How),
) -> Result<Claim, Fault> {
    let driver = driver_of(world, &request.network)?;
    if !driver.has_addresses {
        let message = format!("driver {} gives no addresses", driver.name);
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let identity = request.mac.and_then(|mac| identity(world, request, mac));
    let identity = identity.as_deref().unwrap_or(spare);
    let (head, tail) = driver.attachment.reserved();
    let network = world.networks.get(&request.network);
    let kept = network.map(|network| driver.attachment.kept(world, &network.spec));
    let wanted = Request {
        wanted: &request.addresses,
        ranges: &request.ranges,
        reserve: Reserve { head, tail },
        kept: &kept.unwrap_or_default(),
        offline: how.offline,
        ..Request::workload(shared.node(), &request.network, identity)
    };
    how.assign(world, &wanted)
}

/// Takes addresses of this node's own blocks. Nothing is written: the endpoint that asks for them
/// is, and takes them then; until then they are not given to others.
async fn take_alone(shared: &Shared, request: &TakeRequest, spare: &str) -> Result<Taken, Fault> {
    let _turn = shared.alone.lock().await;
    shared.may_give_alone()?;
    let mut world = shared.world().clone();
    let mut promised = shared
        .promised
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    promised.retain(|(at, _)| at.elapsed() < PROMISE);
    for (_, writes) in promised.iter() {
        world.draft(writes);
    }
    let claim = decide(shared, &world, request, (spare, &How::offline()))?;
    promised.push((Instant::now(), claim.writes));
    Ok(Taken {
        addresses: claim.addresses,
    })
}

/// Gives addresses back that nobody has come for.
pub(crate) async fn give(shared: &Shared, request: &GiveRequest) -> Result<(), Fault> {
    let decide = |world: &World| {
        let held = holder(world, shared.node(), &request.network, request.address);
        let writes =
            held.map(|(name, handle)| tombolo_ipam::release(world, name, handle.generation));
        Ok((writes.unwrap_or_default(), ()))
    };
    let outcome = by_store(shared, decide).await;
    seen(shared, outcome).await
}

/// Waits until what was written is seen, so that the next call builds on it.
async fn seen(shared: &Shared, outcome: ByStore) -> Result<(), Fault> {
    let revision: Revision = match outcome {
        ByStore::Done(revision) => revision,
        ByStore::Refused(fault) | ByStore::Unreached(fault) => return Err(fault),
    };
    shared.wait_seen(revision).await
}

/// The handle that has taken an address of a network for this node and has no endpoint yet.
pub(crate) fn holder<'w>(
    world: &'w World,
    node: &Name,
    network: &Name,
    address: IpAddr,
) -> Option<(&'w Name, &'w Handle)> {
    let block = &world.block_of(network, address)?.spec;
    let held = block.allocations.get(&block.ordinal(address)?)?;
    let (name, handle) = world.handles.get_key_value(&held.handle)?;
    let waits = is_waiting(&handle.spec, node) && handle.spec.network == *network;
    waits.then_some((name, &handle.spec))
}

/// Whether a handle holds addresses of this node for an endpoint that has not come yet.
pub(crate) fn is_waiting(handle: &Handle, node: &Name) -> bool {
    handle.identity.starts_with(PREFIX)
        && handle.node.as_ref() == Some(node)
        && handle.endpoint.is_none()
}

/// Who a link-layer address is, unless an endpoint has it already.
fn identity(world: &World, request: &TakeRequest, mac: MacAddr) -> Option<String> {
    let identity = format!("{PREFIX}{mac}");
    let handle = world
        .handles
        .get(&Handle::resource_name(&request.network, &identity));
    let is_used = handle.is_some_and(|handle| handle.spec.endpoint.is_some());
    (!is_used).then_some(identity)
}

/// Who nobody else is.
fn spare_identity(node: &Name) -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(Instant::now());
    format!("{PREFIX}{node}/{random:016x}")
}

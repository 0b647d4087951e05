//! What the agent knows of its node and the cluster that `tombolo check` judges. The host itself is
//! looked at by the command, which may do what this unit may not (raw packets).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use tombolo_check::{CertificateFacts, DiskFacts, NodeFacts, ParentFact, StoreFacts, UnderlayFact};
use tombolo_model::{Family, Name, Network, Resource, World};
use tombolo_plan::{HostPlan, Key, Netns, driver, peerings, traffic};

use super::problems::problems;
use super::{Agent, operate};
use crate::clock::now;
use crate::config::Files;
use crate::shared::Shared;

/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn facts(State(shared): Agent) -> Json<NodeFacts> {
    let store = store(&shared).await;
    // What the speaker cannot do is among the problems.
    crate::bgp::state(&shared).await;
    let state = Arc::clone(&shared.applied.borrow());
    let store_error = shared.store_error.borrow().clone();
    let world = shared.world();
    let node = shared.node().clone();
    let me = world.nodes.get(&node);
    let underlay = me
        .map(|me| me.spec.addresses.as_slice())
        .unwrap_or_default();
    Json(NodeFacts {
        // What is wrong with the store is told of the store.
        problems: problems(&shared, &state, None, None),
        repaired: shared.metrics.repairs(),
        peerings: peerings(&world, &node),
        traffic: traffic(&world, &node, &state.plan),
        pools: pools(&world),
        links: links(&state.plan),
        parents: parents(&world, &shared),
        underlay: underlay
            .iter()
            .map(|address| UnderlayFact {
                address: address.address,
                interface: address.interface.clone(),
            })
            .collect(),
        families: families(&world),
        has_bridges: links(&state.plan)
            .iter()
            .any(|link| link.as_str().starts_with("tbb")),
        neighbours: neighbours(&world, &shared),
        store: StoreFacts {
            answered: match store_error {
                Some(error) => store.answered.and(Err(error)),
                None => store.answered,
            },
            lag: (store.lag - state.revision.0).max(0),
            ..store
        },
        certificate: certificate(&shared.files),
        disk: disk(&shared.files.dir),
        node,
    })
}

/// Asks the store; the lag is its newest revision at first.
async fn store(shared: &Shared) -> StoreFacts {
    let begun = Instant::now();
    let newest = tokio::time::timeout(PATIENCE, shared.resources.newest()).await;
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (answered, lag) = match newest {
        Ok(Ok(revision)) => (Ok(took), revision.0),
        Ok(Err(error)) => (Err(error.to_string()), 0),
        Err(_) => (Err(format!("no answer within {} s", PATIENCE.as_secs())), 0),
    };
    StoreFacts {
        place: operate::place(&shared.config.store),
        answered,
        lag,
    }
}

fn links(plan: &HostPlan) -> Vec<tombolo_model::IfName> {
    let places = plan
        .objects
        .keys()
        .filter(|place| place.netns == Netns::Host);
    let links = places.filter_map(|place| match &place.key {
        Key::Link(name) => Some(name.clone()),
        _ => None,
    });
    links.collect()
}

/// The ranges of pools, but for those that are the subnets of physical networks.
fn pools(world: &World) -> Vec<ipnet::IpNet> {
    let physical = |pool: &Name| {
        let mut networks = world.networks.values();
        networks
            .any(|network| network.spec.physical().is_some() && network.spec.pools.contains(pool))
    };
    let pools = world.pools.values().filter(|pool| !physical(pool.name()));
    pools.map(|pool| pool.spec.cidr).collect()
}

/// Interfaces that networks stand on.
fn parents(world: &World, shared: &Shared) -> Vec<ParentFact> {
    let parent = |network: &Resource<Network>| {
        let spec = network.spec.physical()?;
        let mut endpoints = world.endpoints.values().map(|endpoint| &endpoint.spec);
        Some(ParentFact {
            network: network.name().clone(),
            interface: spec.parent,
            vlan: spec.vlan,
            sort: spec.sort.name().to_owned(),
            used: endpoints.any(|e| e.network == *network.name() && e.node == *shared.node()),
        })
    };
    world.networks.values().filter_map(parent).collect()
}

/// Families that networks with addresses have pools of.
fn families(world: &World) -> Vec<Family> {
    let networks = world
        .networks
        .values()
        .filter(|network| driver::find(&network.spec.driver).is_some_and(driver::Driver::forwards));
    let pools = networks.flat_map(|network| &network.spec.pools);
    let used: Vec<Family> = pools
        .filter_map(|pool| Some(Family::of_net(world.pools.get(pool)?.spec.cidr)))
        .collect();
    Family::ALL
        .into_iter()
        .filter(|family| used.contains(family))
        .collect()
}

/// What the kernel must find out by itself: containers here and the other nodes. What the plan says of
/// peers is permanent and does not count.
fn neighbours(world: &World, shared: &Shared) -> usize {
    let here = world
        .endpoints
        .values()
        .filter(|e| e.spec.node == *shared.node())
        .count();
    here + world.nodes.len().saturating_sub(1)
}

fn certificate(files: &Files) -> Option<CertificateFacts> {
    let text = Files::read(&files.node_cert()).ok()?;
    let (not_before, not_after) = tombolo_join::validity(&text).ok()?;
    Some(CertificateFacts {
        not_before,
        not_after,
        now: now(),
    })
}

fn disk(folder: &Path) -> Result<DiskFacts, String> {
    let shown = folder.display().to_string();
    let told = nix::sys::statvfs::statvfs(folder)
        .map_err(|errno| format!("the disk of {shown} cannot be looked at: {}", errno.desc()))?;
    let bytes = |blocks: u64| blocks.saturating_mul(told.fragment_size());
    Ok(DiskFacts {
        folder: shown,
        free: bytes(told.blocks_available()),
        total: bytes(told.blocks()),
    })
}

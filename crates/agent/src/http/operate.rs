//! How the node is, what it plans, its addresses, tokens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tombolo_api::{
    BgpState, Fault, FaultKind, NewToken, NodeView, PlannedObject, ReleaseRequest, Status,
    StoreView, TokenRequest, UnderlayView,
};
use tombolo_model::kinds::NodeAddress;
use tombolo_model::{AnyResource, KindName, Name, Node, Resource, ResourceKey, World, Write};
use tombolo_store::StoreStatus;

use super::problems::problems;
use super::{Agent, Body, Refusal};
use crate::clock::now;
use crate::config::StoreConfig;
use crate::metrics;
use crate::shared::{Shared, store_fault};

/// How long a caller waits for the kernel to hold the newest revision.
const WAIT: Duration = Duration::from_secs(60);

/// How long `status` waits for what only the store knows.
const STORE_ANSWER: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: bool,
}

pub(super) async fn status(
    State(shared): Agent,
    Query(query): Query<Wait>,
) -> Result<Json<Status>, Refusal> {
    if query.wait {
        shared.first_world(WAIT).await?;
        let newest = shared
            .resources
            .newest()
            .await
            .map_err(|e| store_fault(&e))?;
        let state = shared.wait_applied(newest, WAIT).await?;
        if state.failed.is_empty() && state.error.is_none() {
            shared.wait_cut(newest, WAIT).await;
        }
    }
    let answer = ask_store(&shared).await;
    let bgp = crate::bgp::state(&shared).await;
    let tunnel = crate::tunnel::state(&shared).await;
    let state = Arc::clone(&shared.applied.borrow());
    let world = shared.world();
    let followed = shared.store_error.borrow().clone();
    let (alive, store_error, read_only) = match answer {
        Ok((alive, health)) => (Some(alive), followed, health.problem),
        Err(error) => (None, followed.or(Some(error)), None),
    };
    Ok(Json(Status {
        node: shared.node().clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store: StoreView {
            place: place(&shared.config.store),
            connected: store_error.is_none(),
            error: store_error.clone(),
            untold: *shared.journal.waiting.borrow(),
        },
        seen_revision: shared.seen.borrow().0,
        applied_revision: state.revision.0,
        underlay: underlay(&world, shared.node()),
        nodes: nodes(&world, alive.as_ref()),
        endpoints: world
            .endpoints
            .values()
            .filter(|e| e.spec.node == *shared.node())
            .count(),
        objects: metrics::count(&state.plan),
        bgp,
        tunnel,
        repaired: shared.metrics.repairs(),
        problems: problems(&shared, &state, store_error, read_only),
    }))
}

/// How the BGP speaker is.
pub(super) async fn bgp(State(shared): Agent) -> Json<Option<BgpState>> {
    Json(crate::bgp::state(&shared).await)
}

fn underlay(world: &World, node: &Name) -> Vec<UnderlayView> {
    let me = world.nodes.get(node);
    let addresses = me
        .map(|node| node.spec.addresses.as_slice())
        .unwrap_or_default();
    let view = |address: &NodeAddress| UnderlayView {
        address: address.address,
        interface: address.interface.clone(),
        mtu: address.mtu.get(),
        reason: address.reason.clone(),
    };
    addresses.iter().map(view).collect()
}

/// What only the store knows: who is alive, and how it is itself. Nobody waits long for that.
async fn ask_store(shared: &Shared) -> Result<(BTreeSet<Name>, StoreStatus), String> {
    let store = shared.resources.store();
    let asked =
        async { tokio::try_join!(crate::publish::alive(&shared.resources), store.status()) };
    match tokio::time::timeout(STORE_ANSWER, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "the store at {} has not answered within {} s",
            place(&shared.config.store),
            STORE_ANSWER.as_secs()
        )),
    }
}

fn nodes(world: &World, alive: Option<&BTreeSet<Name>>) -> Vec<NodeView> {
    let view = |node: &Resource<Node>| NodeView {
        name: node.name().clone(),
        addresses: node
            .spec
            .addresses
            .iter()
            .map(|a| a.address.addr())
            .collect(),
        alive: alive.map(|alive| alive.contains(node.name())),
    };
    world.nodes.values().map(view).collect()
}

pub(super) fn place(store: &StoreConfig) -> String {
    match store {
        StoreConfig::Embedded { listen, .. } => format!("embedded, serving {listen}"),
        StoreConfig::Remote { endpoints, .. } => endpoints.join(", "),
        StoreConfig::Etcd { endpoints, .. } => format!("etcd {}", endpoints.join(", ")),
    }
}

pub(super) async fn plan(State(shared): Agent) -> Json<Vec<PlannedObject>> {
    let plan = Arc::clone(&shared.applied.borrow().plan);
    let objects = plan.objects.iter().map(|(place, planned)| PlannedObject {
        place: place.to_string(),
        object: planned.object.to_string(),
        resource: planned.origin.resource.clone(),
        rule: planned.origin.rule.to_owned(),
    });
    Json(objects.collect())
}

pub(super) async fn ipam(State(shared): Agent) -> Json<Value> {
    let usage = tombolo_ipam::show(&shared.world());
    let pools = usage.pools.iter().map(|pool| {
        json!({"name": pool.name, "cidr": pool.cidr, "size": pool.size, "blocks": pool.blocks,
               "inUse": pool.in_use, "kept": pool.kept})
    });
    let blocks = usage.blocks.iter().map(|block| {
        json!({"cidr": block.cidr, "pool": block.pool, "node": block.node, "size": block.size,
               "inUse": block.in_use, "borrowed": block.borrowed, "kept": block.kept})
    });
    let nodes = usage.nodes.iter().map(|node| {
        json!({"name": node.name, "blocks": node.blocks, "inUse": node.in_use,
               "borrowed": node.borrowed})
    });
    Json(json!({
        "pools": pools.collect::<Vec<_>>(),
        "blocks": blocks.collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    }))
}

pub(super) async fn ipam_check(State(shared): Agent) -> Json<Vec<Value>> {
    let findings = tombolo_ipam::check(&shared.world());
    let rows = findings.iter().map(|finding| {
        let resource = finding.resource.to_string();
        json!({"resource": resource, "fault": format!("{:?}", finding.fault), "message": finding.message})
    });
    Json(rows.collect())
}

pub(super) async fn ipam_release(
    State(shared): Agent,
    Body(request): Body<ReleaseRequest>,
) -> Result<Json<()>, Refusal> {
    let decide = |world: &World| {
        let holder = world.blocks.values().find_map(|block| {
            block
                .spec
                .in_use()
                .find(|(address, _)| *address == request.address)
        });
        let Some((address, allocation)) = holder else {
            let message = format!("{} is not in use; see `tombolo ipam show`", request.address);
            return Err(Fault::new(FaultKind::NotFound, message));
        };
        let endpoint = world
            .endpoints
            .values()
            .find(|endpoint| endpoint.spec.addresses.contains(&address));
        if let Some(endpoint) = endpoint.filter(|_| !request.force) {
            let message = format!(
                "{address} is used by {} on node {}; detach it, or release with --force",
                endpoint.key(),
                endpoint.spec.node
            );
            return Err(Fault::new(FaultKind::Conflict, message));
        }
        let mut writes = tombolo_ipam::release(world, &allocation.handle, allocation.generation);
        if let Some(endpoint) = endpoint {
            writes.retain(|write| write.key != endpoint.key());
            let version = endpoint.metadata.resource_version.unwrap_or_default();
            writes.push(Write::delete(endpoint.key(), version));
        }
        Ok((writes, ()))
    };
    shared.commit(decide).await?;
    Ok(Json(()))
}

pub(super) async fn create_token(
    State(shared): Agent,
    Body(request): Body<TokenRequest>,
) -> Result<Json<NewToken>, Refusal> {
    let address = join_address(&shared)?;
    let ca = shared
        .authority
        .ok_or_else(|| Fault::new(FaultKind::Invalid, "this node does not let others in"))?;
    let made = crate::admit::make_token(ca, request.ttl, request.uses, now())
        .map_err(|e| Fault::new(FaultKind::Invalid, format!("{e:#}")))?;
    let resource = made.resource.clone();
    let decide = |_: &World| {
        Ok((
            vec![Write::put(AnyResource::Token(resource.clone()), None)],
            (),
        ))
    };
    shared.commit(decide).await?;
    Ok(Json(NewToken {
        id: made.resource.name().clone(),
        command: format!("tombolo join {address} --token {}", made.text),
        token: made.text,
        expires: made.resource.spec.expires,
    }))
}

/// Tokens as they are stored: without their secrets, and without the secrets' hashes.
pub(super) async fn list_tokens(State(shared): Agent) -> Json<Vec<Value>> {
    let mut tokens: Vec<Value> = shared
        .world()
        .list(KindName::Token)
        .iter()
        .map(AnyResource::to_value)
        .collect();
    for token in &mut tokens {
        if let Some(spec) = token["spec"].as_object_mut() {
            spec.remove("secretHash");
        }
    }
    Json(tokens)
}

/// Where new nodes ask to join.
fn join_address(shared: &Shared) -> Result<String, Fault> {
    let port = match &shared.config.store {
        StoreConfig::Embedded { join_listen, .. } => join_listen.port(),
        StoreConfig::Etcd {
            join_listen: Some(join_listen),
            ..
        } => join_listen.port(),
        _ => {
            let message = "this node does not let others in; make the token on the node where `tombolo init` ran";
            return Err(Fault::new(FaultKind::Invalid, message));
        }
    };
    let world = shared.world();
    let me = world.nodes.get(shared.node());
    let address = me
        .and_then(|node| node.spec.addresses.first())
        .ok_or_else(|| {
            Fault::new(
                FaultKind::Unavailable,
                "this node's underlay address is not known yet; try again",
            )
        })?;
    Ok(crate::admit::host_port(address.address.addr(), port))
}

pub(super) async fn revoke_token(
    State(shared): Agent,
    Path(id): Path<String>,
) -> Result<Json<()>, Refusal> {
    let invalid = |e: tombolo_model::NameError| Fault::new(FaultKind::Invalid, e.to_string());
    let name = Name::new(id).map_err(invalid)?;
    let decide = |world: &World| {
        let Some(token) = world.tokens.get(&name) else {
            let key = ResourceKey {
                kind: KindName::Token,
                namespace: None,
                name: name.clone(),
            };
            let message = format!("there is no {key}; see `tombolo token list`");
            return Err(Fault::new(FaultKind::NotFound, message));
        };
        if token.spec.revoked {
            return Ok((Vec::new(), ()));
        }
        let mut revoked = token.clone();
        revoked.spec.revoked = true;
        let version = token.metadata.resource_version;
        Ok((vec![Write::put(AnyResource::Token(revoked), version)], ()))
    };
    shared.commit(decide).await?;
    Ok(Json(()))
}

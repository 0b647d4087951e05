//! The local API on a unix socket, and health and metrics on loopback.

mod check;
mod delete;
mod endpoints;
mod explain;
mod operate;
mod policy;
mod problems;
mod resources;
mod serve;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete as remove, get, post};
use tokio::net::{TcpListener, UnixListener};
use tombolo_api::{Fault, FaultKind};
use tombolo_store::Revision;

use crate::shared::Shared;

type Agent = State<Arc<Shared>>;

/// How long a request's body may take to come.
const BODY: Duration = Duration::from_secs(10);
/// Connections to the local API at once: CNI calls, commands, watches.
const API_CONNECTIONS: usize = 512;
/// Connections for health and metrics at once. Every user of the host may make them.
const HEALTH_CONNECTIONS: usize = 64;

/// How long metrics wait for what the kernel has counted.
const COUNT: Duration = Duration::from_secs(2);

/// A fault on its way out.
pub(crate) struct Refusal(Fault);

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(self.0)).into_response()
    }
}

/// A body that is JSON of the wanted shape; what is wrong with it is told as a fault.
pub(crate) struct Body<T>(pub T);

impl<T, S> axum::extract::FromRequest<S> for Body<T>
where
    T: serde::de::DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Refusal;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Body<T>, Refusal> {
        let invalid = |why: String| {
            Refusal(Fault::new(
                FaultKind::Invalid,
                format!("the request's body: {why}"),
            ))
        };
        let read = axum::body::Bytes::from_request(request, state);
        let bytes = tokio::time::timeout(BODY, read)
            .await
            .map_err(|_| invalid(format!("it did not come within {} s", BODY.as_secs())))?
            .map_err(|error| invalid(error.body_text()))?;
        serde_json::from_slice(&bytes)
            .map(Body)
            .map_err(|error| invalid(error.to_string()))
    }
}

fn api(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(operate::status))
        .route("/v1/bgp", get(operate::bgp))
        .route("/v1/plan", get(operate::plan))
        .route("/v1/explain", post(explain::explain))
        .route("/v1/flow", post(policy::flow))
        .route("/v1/denials", get(policy::denials))
        .route("/v1/watch/denials", get(policy::watch_denials))
        .route("/v1/check", get(check::facts))
        .route("/v1/ipam", get(operate::ipam))
        .route("/v1/ipam/check", get(operate::ipam_check))
        .route("/v1/ipam/release", post(operate::ipam_release))
        .route(
            "/v1/tokens",
            post(operate::create_token).get(operate::list_tokens),
        )
        .route("/v1/tokens/{id}", remove(operate::revoke_token))
        .route("/v1/attach", post(endpoints::attach))
        .route("/v1/detach", post(endpoints::detach))
        .route("/v1/amend", post(endpoints::amend))
        .route("/v1/label", post(endpoints::label))
        .route("/v1/addresses/take", post(endpoints::take))
        .route("/v1/addresses/give", post(endpoints::give))
        .route("/v1/inspect", post(endpoints::inspect))
        .route("/v1/collect", post(endpoints::collect))
        .route("/v1/ready", post(endpoints::ready))
        .route(tombolo_api::ALIVE, get(|| async { axum::Json(()) }))
        .route("/v1/apply", post(resources::apply))
        .route("/v1/foresee", post(resources::foresee))
        .route("/v1/delete", post(delete::several))
        .route("/v1/watch/{kinds}", get(resources::watch))
        .route("/v1/{kinds}", get(resources::list))
        .route(
            "/v1/{kinds}/{name}",
            get(resources::get).delete(delete::one),
        )
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(&shared),
            refuse_ignorant,
        ))
        .fallback(no_such_path)
        .with_state(shared)
}

/// Before the store has answered for the first time an empty list would be a lie. Containers can be
/// unplugged all the same, and are told themselves why they cannot be plugged in.
async fn refuse_ignorant(
    State(shared): Agent,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let works = ["/v1/status", "/v1/attach", "/v1/detach", tombolo_api::ALIVE];
    if shared.knows_world() || works.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let why = shared.store_error.borrow().clone();
    let why = why.unwrap_or_else(|| "it was asked just now".to_owned());
    let message = format!("the store has not answered since the agent's start: {why}");
    Refusal(Fault::new(FaultKind::Unavailable, message)).into_response()
}

async fn no_such_path(uri: axum::http::Uri) -> Refusal {
    Refusal(Fault::new(
        FaultKind::NotFound,
        format!("there is nothing at {uri}"),
    ))
}

fn health(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// Ready once the kernel holds what the store says.
async fn ready(State(shared): Agent) -> (StatusCode, String) {
    let state = shared.applied.borrow();
    if state.revision == Revision::NONE {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing was applied yet\n".to_owned(),
        );
    }
    match &state.error {
        Some(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        None => (StatusCode::OK, "ok\n".to_owned()),
    }
}

async fn metrics(State(shared): Agent) -> impl IntoResponse {
    shared.count(COUNT).await;
    let connected = shared.store_error.borrow().is_none();
    shared.metrics.store(connected);
    shared
        .metrics
        .bgp(crate::bgp::state(&shared).await.as_ref());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(axum::http::header::CONTENT_TYPE, kind)],
        shared.metrics.text(),
    )
}

/// Listens on the socket, for its owner and the group `tombolo`.
pub(crate) fn listen(path: &Path) -> Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!(
            "another agent answers on {}; stop it, or give this one another --socket",
            path.display()
        );
    }
    // Nobody answers: it was left by an agent that was killed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    if let Ok(Some(group)) = nix::unistd::Group::from_name("tombolo") {
        nix::unistd::chown(path, None, Some(group.gid))
            .with_context(|| format!("cannot give {} to the group tombolo", path.display()))?;
    }
    Ok(listener)
}

/// Serves the local API until told to stop.
pub(crate) async fn serve_api(
    listener: UnixListener,
    shared: Arc<Shared>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    serve::serve(listener, api(shared), API_CONNECTIONS, stop).await;
}

/// Serves health and metrics.
pub(crate) async fn serve_health(listener: TcpListener, shared: Arc<Shared>) {
    let never = std::future::pending();
    serve::serve(listener, health(shared), HEALTH_CONNECTIONS, never).await;
}

//! Who may talk to whom, and who was denied.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tombolo_api::{Denial, Fault, FaultKind, FlowAnswer, FlowRequest};

use super::{Agent, Body, Refusal};
use crate::policy::flow::explain;

/// Whether a flow is let through.
pub(super) async fn flow(
    State(shared): Agent,
    Body(request): Body<FlowRequest>,
) -> Result<Json<FlowAnswer>, Refusal> {
    let world = shared.world().clone();
    let answer = tokio::task::spawn_blocking(move || explain(&world, &request))
        .await
        .map_err(|e| Fault::new(FaultKind::System, e.to_string()))??;
    Ok(Json(answer))
}

/// What was denied lately.
pub(super) async fn denials(State(shared): Agent) -> Json<Vec<Denial>> {
    let kept = shared.denials.kept();
    Json(kept.into_iter().map(Arc::unwrap_or_clone).collect())
}

/// The same, and what is denied from now on.
pub(super) async fn watch_denials(State(shared): Agent) -> Response {
    let (kept, told) = shared.denials.follow();
    let later = tokio_stream::wrappers::BroadcastStream::new(told)
        // A watcher that is too slow is cut off, and asks again.
        .take_while(|denial| std::future::ready(denial.is_ok()))
        .filter_map(|denial| std::future::ready(denial.ok()));
    let lines = futures::stream::iter(kept)
        .chain(later)
        .map(|denial| Ok::<_, std::convert::Infallible>(line(&denial)));
    HttpBody::from_stream(lines).into_response()
}

fn line(denial: &Denial) -> Bytes {
    let mut text = serde_json::to_vec(denial).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

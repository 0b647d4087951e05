//! Who may talk to whom, and who was denied.

use axum::Json;
use axum::extract::State;
use tombolo_api::{Fault, FaultKind, FlowAnswer, FlowRequest};

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

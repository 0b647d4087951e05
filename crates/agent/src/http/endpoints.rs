//! Containers come and go.

use axum::Json;
use axum::extract::State;
use tombolo_api::{AttachRequest, Attached, DetachRequest, Inspected};

use super::{Agent, Body, Refusal};
use crate::attach;

pub(super) async fn attach(
    State(shared): Agent,
    Body(request): Body<AttachRequest>,
) -> Result<Json<Attached>, Refusal> {
    // A task of its own: a caller that hangs up does not leave half an attachment.
    let task = {
        let shared = shared.clone();
        tokio::spawn(async move { attach::attach(&shared, &request).await })
    };
    let outcome = joined(task).await;
    shared.metrics.attachment("attach", outcome.is_ok());
    Ok(Json(outcome?))
}

pub(super) async fn detach(
    State(shared): Agent,
    Body(request): Body<DetachRequest>,
) -> Result<Json<()>, Refusal> {
    let task = {
        let shared = shared.clone();
        tokio::spawn(async move { attach::detach(&shared, &request).await })
    };
    let outcome = joined(task).await;
    shared.metrics.attachment("detach", outcome.is_ok());
    Ok(Json(outcome?))
}

pub(super) async fn inspect(
    State(shared): Agent,
    Body(request): Body<DetachRequest>,
) -> Result<Json<Inspected>, Refusal> {
    Ok(Json(attach::inspect(&shared, &request).await?))
}

async fn joined<T>(
    task: tokio::task::JoinHandle<Result<T, tombolo_api::Fault>>,
) -> Result<T, tombolo_api::Fault> {
    task.await.unwrap_or_else(|error| {
        let message = format!("the agent failed: {error}; this is a fault of the program");
        Err(tombolo_api::Fault::new(
            tombolo_api::FaultKind::System,
            message,
        ))
    })
}

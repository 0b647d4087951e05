//! Containers come and go.

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use tombolo_api::{
    AmendRequest, AttachRequest, Attached, CollectRequest, DetachRequest, GiveRequest, Inspected,
    LabelRequest, Readiness, ReadyRequest, TakeRequest, Taken,
};
use tombolo_model::AnyResource;

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

/// Changes what may change of a container that is plugged in.
pub(super) async fn amend(
    State(shared): Agent,
    Body(request): Body<AmendRequest>,
) -> Result<Json<Attached>, Refusal> {
    let task = tokio::spawn(async move { attach::amend(&shared, &request).await });
    Ok(Json(joined(task).await?))
}

/// Changes who an endpoint is to policies.
pub(super) async fn label(
    State(shared): Agent,
    Body(request): Body<LabelRequest>,
) -> Result<Json<Value>, Refusal> {
    let task = tokio::spawn(async move { attach::label(&shared, &request).await });
    let endpoint = joined(task).await?;
    Ok(Json(AnyResource::Endpoint(endpoint).to_value()))
}

/// Takes addresses for an endpoint to come.
pub(super) async fn take(
    State(shared): Agent,
    Body(request): Body<TakeRequest>,
) -> Result<Json<Taken>, Refusal> {
    let task = tokio::spawn(async move { attach::taken::take(&shared, &request).await });
    Ok(Json(joined(task).await?))
}

/// Gives back what was taken.
pub(super) async fn give(
    State(shared): Agent,
    Body(request): Body<GiveRequest>,
) -> Result<Json<()>, Refusal> {
    let task = tokio::spawn(async move { attach::taken::give(&shared, &request).await });
    Ok(Json(joined(task).await?))
}

pub(super) async fn inspect(
    State(shared): Agent,
    Body(request): Body<DetachRequest>,
) -> Result<Json<Inspected>, Refusal> {
    Ok(Json(attach::inspect(&shared, &request).await?))
}

/// Unplugs what a runtime does not know any more.
pub(super) async fn collect(
    State(shared): Agent,
    Body(request): Body<CollectRequest>,
) -> Result<Json<()>, Refusal> {
    let task = tokio::spawn(async move { attach::collect(&shared, &request).await });
    Ok(Json(joined(task).await?))
}

/// Whether containers could be plugged in.
pub(super) async fn ready(
    State(shared): Agent,
    Body(request): Body<ReadyRequest>,
) -> Result<Json<Readiness>, Refusal> {
    Ok(Json(attach::ready(&shared, &request)?))
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

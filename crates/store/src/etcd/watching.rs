//! A watch of the client: it outlives the connections that it runs over.
//!
//! A task of its own follows one gRPC stream, hands on what comes, and remembers the next
//! revision that it needs; when the stream breaks it asks again from there, over whichever
//! connection there is by then. Only two things end it: nobody listens, or the store says
//! what no waiting will change (history compacted, certificate refused, request invalid).
//!
//! Details of etcd that are dealt with here: the answer `created` comes first even when the
//! next one cancels; large answers come in fragments; one answer may hold several
//! revisions, while everybody above gets one batch for each.

use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::client::{Inner, Link, PAUSE, watch};
use super::status::{About, COMPACTED, from_status};
use super::wire::{event_from_wire, response::revision_of};
use crate::error::StoreError;
use crate::etcd::pb::etcdserverpb as pb;
use crate::store::WatchStream;
use crate::told::{Event, WatchBatch, WatchRequest};
use crate::types::Revision;
use pb::watch_request::RequestUnion;

type Item = Result<WatchBatch, StoreError>;

/// Begins a watch and returns once it stands.
pub(super) async fn start(
    inner: Arc<Inner>,
    request: WatchRequest,
) -> Result<WatchStream, StoreError> {
    let deadline = Instant::now() + inner.timeout;
    let (out, stream) = mpsc::channel(16);
    let (created, stands) = oneshot::channel();
    let endless = Endless {
        inner: Arc::clone(&inner),
        out,
        request,
        created: Some(created),
        held: Vec::new(),
    };
    tokio::spawn(endless.run());
    let unavailable = |cause: String| StoreError::Unavailable {
        endpoint: "(watch)".to_owned(),
        cause,
    };
    let within = inner.timeout;
    match tokio::time::timeout_at(deadline, stands).await {
        Ok(Ok(Ok(()))) => Ok(ReceiverStream::new(stream).boxed()),
        Ok(Ok(Err(error))) => Err(error),
        Ok(Err(_)) => Err(unavailable("the watch ended before it stood".to_owned())),
        Err(_) => Err(unavailable(format!(
            "the watch was not created within {within:?}"
        ))),
    }
}

/// A watch over many connections.
struct Endless {
    inner: Arc<Inner>,
    out: mpsc::Sender<Item>,
    /// Its start revision is the next one that is needed; none until it first stood.
    request: WatchRequest,
    created: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Fragments of an answer that is not complete.
    held: Vec<Event>,
}

/// Why one stream is over.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// Ask again.
    Broken(StoreError),
    /// No use in asking again.
    Final(StoreError),
}

impl Endless {
    async fn run(mut self) {
        let mut pause = PAUSE.0;
        loop {
            self.held.clear();
            let began = Instant::now();
            let error = match self.follow().await {
                End::Unheard => return,
                End::Final(error) => return self.give_up(error).await,
                End::Broken(error) => error,
            };
            if began.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tracing::debug!(%error, next = %self.request.start_revision, "a watch broke; resuming");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.out.closed() => return,
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn give_up(mut self, error: StoreError) {
        match self.created.take() {
            // Whoever waited for the creation may have given up as well.
            Some(created) => drop(created.send(Err(error))),
            None => drop(self.out.send(Err(error)).await),
        }
    }

    async fn follow(&mut self) -> End {
        let deadline = Instant::now() + self.inner.timeout;
        let link = match self.inner.link_until(deadline).await {
            Ok(link) => link,
            Err(error @ StoreError::Denied { .. }) => return End::Final(error),
            Err(error) => return End::Broken(error),
        };
        // Held open for as long as this stream is followed.
        let (asks, asked) = mpsc::channel(1);
        if asks.send(self.create()).await.is_err() {
            return End::Unheard;
        }
        let mut client = watch(link.channel.clone());
        let opened = client.watch(ReceiverStream::new(asked));
        let mut answers = match tokio::time::timeout_at(deadline, opened).await {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return self.broken(&link, &status).await,
            Err(_) => {
                self.inner.drop_link(&link).await;
                return self
                    .broken(&link, &Status::unavailable("no answer to a watch"))
                    .await;
            }
        };
        loop {
            let answer = tokio::select! {
                answer = answers.message() => answer,
                () = self.out.closed() => return End::Unheard,
            };
            match answer {
                Ok(Some(answer)) => {
                    if let Err(end) = self.answer(answer, &link).await {
                        return end;
                    }
                }
                Ok(None) => return End::Broken(gone(&link, "the stream ended")),
                Err(status) => return self.broken(&link, &status).await,
            }
        }
    }

    fn create(&self) -> pb::WatchRequest {
        let (key, range_end) = self.request.range.to_wire();
        let create = pb::WatchCreateRequest {
            key,
            range_end,
            start_revision: self.request.start_revision.0,
            progress_notify: self.request.progress,
            prev_kv: self.request.prev_kv,
            fragment: true,
            ..pb::WatchCreateRequest::default()
        };
        pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        }
    }

    async fn broken(&self, link: &Link, status: &Status) -> End {
        match self.inner.failure(link, status, About::default()).await {
            error @ (StoreError::Denied { .. } | StoreError::Invalid(_)) => End::Final(error),
            error => End::Broken(error),
        }
    }

    async fn answer(&mut self, answer: pb::WatchResponse, link: &Link) -> Result<(), End> {
        let revision = revision_of(answer.header.as_ref());
        if answer.created && !answer.canceled {
            if self.request.start_revision == Revision::NONE {
                self.request.start_revision = revision.next();
            }
            if let Some(created) = self.created.take() {
                // Whoever waited for the creation may have given up: the outbox tells.
                let _ = created.send(Ok(()));
            }
            return Ok(());
        }
        if answer.canceled {
            return Err(self.canceled(&answer, link));
        }
        let progress = answer.events.is_empty() && self.held.is_empty();
        self.held
            .extend(answer.events.into_iter().map(event_from_wire));
        if answer.fragment {
            return Ok(());
        }
        if progress {
            self.request.start_revision = self.request.start_revision.max(revision.next());
            if self.request.progress {
                self.send(WatchBatch {
                    revision,
                    events: Vec::new(),
                })
                .await?;
            }
            return Ok(());
        }
        for batch in batches(std::mem::take(&mut self.held)) {
            // What was delivered before the stream broke is not delivered again.
            if batch.revision >= self.request.start_revision {
                self.request.start_revision = batch.revision.next();
                self.send(batch).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, batch: WatchBatch) -> Result<(), End> {
        self.out.send(Ok(batch)).await.map_err(|_| End::Unheard)
    }

    fn canceled(&self, answer: &pb::WatchResponse, link: &Link) -> End {
        let requested = self.request.start_revision;
        if answer.compact_revision > 0 || answer.cancel_reason == COMPACTED {
            let compact_revision = Revision(answer.compact_revision);
            return End::Final(StoreError::Compacted {
                requested,
                compact_revision,
            });
        }
        let reason = &answer.cancel_reason;
        let status = Status::unavailable(reason.clone());
        match from_status(&status, &link.endpoint, About::default()) {
            error @ StoreError::Invalid(_) => End::Final(error),
            _ => End::Broken(gone(link, reason)),
        }
    }
}

fn gone(link: &Link, cause: &str) -> StoreError {
    StoreError::Unavailable {
        endpoint: link.endpoint.clone(),
        cause: cause.to_owned(),
    }
}

/// One batch for each revision; the events come sorted by it.
fn batches(events: Vec<Event>) -> Vec<WatchBatch> {
    let mut batches: Vec<WatchBatch> = Vec::new();
    for event in events {
        let revision = event.kv.mod_revision;
        match batches.last_mut() {
            Some(last) if last.revision == revision => last.events.push(event),
            _ => batches.push(WatchBatch {
                revision,
                events: vec![event],
            }),
        }
    }
    batches
}

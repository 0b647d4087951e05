//! The Watch service: many watches on one stream, each with its id.
//!
//! Each watch is a task that follows the store at the pace at which the client reads; the
//! history is its queue. The session answers creations, cancellations and questions for
//! progress in the order in which they came. Progress is the oldest point that all
//! watches of the stream have passed, so that it never promises too much.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::server::Served;
use super::status::{COMPACTED, invalid_to_status, to_status};
use super::wire::event_to_wire;
use crate::error::StoreError;
use crate::etcd::pb::etcdserverpb as pb;
use crate::key_range::KeyRange;
use crate::store::WatchStream;
use crate::told::{EventKind, WatchBatch, WatchRequest};
use crate::types::Revision;
use pb::watch_create_request::FilterType;
use pb::watch_request::RequestUnion;

/// How often an idle watch that asked for it tells its progress: etcd's interval.
const PROGRESS: Duration = Duration::from_secs(600);

/// The id in the answer to a question for progress: all watches of the stream.
const ALL_WATCHES: i64 = -1;

type Outbox = mpsc::Sender<Result<pb::WatchResponse, Status>>;

#[tonic::async_trait]
impl pb::watch_server::Watch for Served {
    type WatchStream = ReceiverStream<Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, stream) = mpsc::channel(16);
        let session = Session {
            served: self.clone(),
            out,
            watches: BTreeMap::new(),
            tasks: JoinSet::new(),
            next_id: 0,
        };
        tokio::spawn(session.run(request.into_inner()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One stream. Dropping it ends the tasks of its watches.
struct Session {
    served: Served,
    out: Outbox,
    watches: BTreeMap<i64, Watching>,
    tasks: JoinSet<()>,
    next_id: i64,
}

struct Watching {
    task: tokio::task::AbortHandle,
    /// Everything up to this revision was put into the outbox.
    passed: Arc<AtomicI64>,
}

impl Session {
    async fn run(mut self, mut asked: Streaming<pb::WatchRequest>) {
        let mut closing = self.served.closing.clone();
        loop {
            let request = tokio::select! {
                request = asked.message() => request,
                _ = closing.wait_for(|closing| *closing) => {
                    Err(Status::unavailable("the store is being stopped"))
                }
                () = self.out.closed() => return,
            };
            let done = match request {
                Ok(Some(request)) => match request.request_union {
                    Some(RequestUnion::CreateRequest(create)) => self.create(create).await,
                    Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await,
                    Some(RequestUnion::ProgressRequest(_)) => self.progress().await,
                    None => Ok(()),
                },
                Ok(None) => return,
                Err(status) => Err(status),
            };
            if let Err(status) = done {
                // The client may have gone away; then nobody needs to know.
                let _ = self.out.send(Err(status)).await;
                return;
            }
        }
    }

    async fn send(&self, response: pb::WatchResponse) -> Result<(), Status> {
        let gone = |_| Status::cancelled("the client has gone");
        self.out.send(Ok(response)).await.map_err(gone)
    }

    async fn create(&mut self, create: pb::WatchCreateRequest) -> Result<(), Status> {
        let filters: Vec<FilterType> = create.filters().collect();
        let status = self
            .served
            .store
            .status()
            .await
            .map_err(|e| to_status(&e))?;
        let mut response = pb::WatchResponse {
            header: self.served.header(status.revision),
            watch_id: create.watch_id,
            created: true,
            ..pb::WatchResponse::default()
        };
        let (start_revision, prev_kv) = (Revision(create.start_revision), create.prev_kv);
        let notify = create.progress_notify;
        let (id, range) = match self.claim(create) {
            Ok(claimed) => claimed,
            Err(reason) => {
                response.canceled = true;
                response.watch_id = ALL_WATCHES;
                response.cancel_reason = reason;
                return self.send(response).await;
            }
        };
        let asked = start_revision;
        let start_revision = if asked.0 <= 0 {
            status.revision.next()
        } else {
            asked
        };
        let request = WatchRequest {
            range,
            start_revision,
            prev_kv,
            progress: true,
        };
        let stream = self
            .served
            .store
            .watch(request)
            .await
            .map_err(|e| to_status(&e))?;
        response.watch_id = id;
        self.send(response).await?;
        let passed = Arc::new(AtomicI64::new(
            start_revision.0.min(status.revision.next().0) - 1,
        ));
        let follower = Follower {
            served: self.served.clone(),
            out: self.out.clone(),
            id,
            filters,
            passed: Arc::clone(&passed),
            notify,
        };
        let task = self.tasks.spawn(follower.run(stream));
        self.watches.insert(id, Watching { task, passed });
        Ok(())
    }

    /// The id and the keys of a new watch, or why there is none.
    fn claim(&mut self, create: pb::WatchCreateRequest) -> Result<(i64, KeyRange), String> {
        while create.watch_id == 0 && self.watches.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        let id = if create.watch_id == 0 {
            self.next_id
        } else {
            create.watch_id
        };
        if self.watches.contains_key(&id) {
            return Err("etcdserver: duplicate watch ID provided on the stream".to_owned());
        }
        let key = if create.key.is_empty() {
            vec![0].into()
        } else {
            create.key
        };
        let range = KeyRange::from_wire(key, create.range_end)
            .map_err(|invalid| invalid_to_status(&invalid).message().to_owned())?;
        Ok((id, range))
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Status> {
        let Some(watching) = self.watches.remove(&id) else {
            return Ok(());
        };
        watching.task.abort();
        let header = self.served.newest().await?;
        let response = pb::WatchResponse {
            header,
            watch_id: id,
            canceled: true,
            ..pb::WatchResponse::default()
        };
        self.send(response).await
    }

    async fn progress(&mut self) -> Result<(), Status> {
        self.watches
            .retain(|_, watching| !watching.task.is_finished());
        let passed = self
            .watches
            .values()
            .map(|w| w.passed.load(Ordering::Acquire))
            .min();
        let header = match passed {
            Some(revision) => self.served.header(Revision(revision)),
            None => self.served.newest().await?,
        };
        let watch_id = ALL_WATCHES;
        self.send(pb::WatchResponse {
            header,
            watch_id,
            ..pb::WatchResponse::default()
        })
        .await
    }
}

/// One watch.
struct Follower {
    served: Served,
    out: Outbox,
    id: i64,
    filters: Vec<FilterType>,
    passed: Arc<AtomicI64>,
    notify: bool,
}

impl Follower {
    async fn run(self, mut stream: WatchStream) {
        let mut idle = tokio::time::interval(PROGRESS);
        idle.reset();
        loop {
            let response = tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(Ok(batch)) => {
                        let revision = batch.revision.0;
                        let response = self.batch(batch);
                        if let Some(response) = response {
                            idle.reset();
                            if self.out.send(Ok(response)).await.is_err() {
                                return;
                            }
                        }
                        self.passed.store(revision, Ordering::Release);
                        continue;
                    }
                    Some(Err(error)) => self.ended(&error),
                    None => return,
                },
                _ = idle.tick(), if self.notify => self.response(
                    Revision(self.passed.load(Ordering::Acquire)),
                ),
            };
            let ended = response.canceled;
            if self.out.send(Ok(response)).await.is_err() || ended {
                return;
            }
        }
    }

    fn response(&self, revision: Revision) -> pb::WatchResponse {
        let header = self.served.header(revision);
        pb::WatchResponse {
            header,
            watch_id: self.id,
            ..pb::WatchResponse::default()
        }
    }

    fn batch(&self, batch: WatchBatch) -> Option<pb::WatchResponse> {
        let unwanted = |kind: EventKind| {
            self.filters.contains(&match kind {
                EventKind::Put => FilterType::Noput,
                EventKind::Delete => FilterType::Nodelete,
            })
        };
        let wanted = batch
            .events
            .into_iter()
            .filter(|event| !unwanted(event.kind));
        let events: Vec<_> = wanted.map(event_to_wire).collect();
        if events.is_empty() {
            return None;
        }
        Some(pb::WatchResponse {
            events,
            ..self.response(batch.revision)
        })
    }

    fn ended(&self, error: &StoreError) -> pb::WatchResponse {
        let mut response = self.response(Revision(self.passed.load(Ordering::Acquire)));
        response.canceled = true;
        response.cancel_reason = error.to_string();
        if let StoreError::Compacted {
            compact_revision, ..
        } = error
        {
            response.compact_revision = compact_revision.0;
            response.cancel_reason = COMPACTED.to_owned();
        }
        response
    }
}

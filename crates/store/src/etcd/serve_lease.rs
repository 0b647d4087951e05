//! The Lease service. A lease that is not there is TTL 0 to a keep-alive and TTL -1 to a
//! question, as in etcd; only revoking it is an error.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::server::Served;
use super::status::to_status;
use crate::error::StoreError;
use crate::etcd::pb::etcdserverpb as pb;
use crate::types::LeaseId;

fn seconds(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)
}

impl Served {
    async fn keep_alive(&self, id: i64) -> Result<pb::LeaseKeepAliveResponse, Status> {
        let ttl = match self.store.lease_keep_alive(LeaseId(id)).await {
            Ok(ttl) => seconds(ttl),
            Err(StoreError::LeaseNotFound { .. }) => 0,
            Err(error) => return Err(to_status(&error)),
        };
        Ok(pb::LeaseKeepAliveResponse {
            header: self.newest().await?,
            id,
            ttl,
        })
    }

    async fn keep_alives(
        self,
        mut asked: Streaming<pb::LeaseKeepAliveRequest>,
        answers: mpsc::Sender<Result<pb::LeaseKeepAliveResponse, Status>>,
    ) {
        let mut closing = self.closing.clone();
        loop {
            let request = tokio::select! {
                request = asked.message() => request,
                _ = closing.wait_for(|closing| *closing) => Err(Status::unavailable("ending")),
            };
            let answer = match request {
                Ok(Some(request)) => self.keep_alive(request.id).await,
                Ok(None) => return,
                Err(status) => Err(status),
            };
            let ended = answer.is_err();
            if answers.send(answer).await.is_err() || ended {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl pb::lease_server::Lease for Served {
    type LeaseKeepAliveStream = ReceiverStream<Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let pb::LeaseGrantRequest { ttl, id } = request.into_inner();
        let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        let id = Some(LeaseId(id)).filter(|id| *id != LeaseId::NONE);
        let grant = self
            .store
            .lease_grant(ttl, id)
            .await
            .map_err(|e| to_status(&e))?;
        Ok(Response::new(pb::LeaseGrantResponse {
            header: self.newest().await?,
            id: grant.id.0,
            ttl: seconds(grant.ttl),
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let id = LeaseId(request.into_inner().id);
        self.store
            .lease_revoke(id)
            .await
            .map_err(|e| to_status(&e))?;
        Ok(Response::new(pb::LeaseRevokeResponse {
            header: self.newest().await?,
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (answers, stream) = mpsc::channel(16);
        tokio::spawn(self.clone().keep_alives(request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let pb::LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let mut response = pb::LeaseTimeToLiveResponse {
            header: self.newest().await?,
            id,
            ttl: -1,
            ..pb::LeaseTimeToLiveResponse::default()
        };
        match self.store.lease_time_to_live(LeaseId(id), keys).await {
            Ok(info) => {
                response.ttl = seconds(info.remaining);
                response.granted_ttl = seconds(info.granted);
                response.keys = info.keys;
            }
            Err(StoreError::LeaseNotFound { .. }) => {}
            Err(error) => return Err(to_status(&error)),
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let leases = self.store.lease_list().await.map_err(|e| to_status(&e))?;
        let leases = leases
            .into_iter()
            .map(|id| pb::LeaseStatus { id: id.0 })
            .collect();
        Ok(Response::new(pb::LeaseLeasesResponse {
            header: self.newest().await?,
            leases,
        }))
    }
}

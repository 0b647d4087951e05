//! What `etcdctl endpoint status`, `endpoint health` and `member list` ask: a cluster of
//! one member, which leads, with no alarm.

use tonic::{Request, Response, Status};

use super::server::{RAFT_TERM, Served};
use super::status::to_status;
use crate::etcd::pb::etcdserverpb as pb;

#[tonic::async_trait]
impl pb::maintenance_server::Maintenance for Served {
    async fn alarm(
        &self,
        request: Request<pb::AlarmRequest>,
    ) -> Result<Response<pb::AlarmResponse>, Status> {
        if request.into_inner().action() == pb::alarm_request::AlarmAction::Activate {
            return Err(Status::unimplemented(
                "alarms cannot be raised in this store",
            ));
        }
        let header = self.newest().await?;
        Ok(Response::new(pb::AlarmResponse {
            header,
            alarms: Vec::new(),
        }))
    }

    async fn status(
        &self,
        _: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        let status = self.store.status().await.map_err(|e| to_status(&e))?;
        let size = i64::try_from(status.size).unwrap_or(i64::MAX);
        let index = status.revision.0.unsigned_abs();
        Ok(Response::new(pb::StatusResponse {
            header: self.header(status.revision),
            version: status.version,
            db_size: size,
            leader: self.member_id,
            raft_index: index,
            raft_term: RAFT_TERM,
            raft_applied_index: index,
            errors: status.problem.into_iter().collect(),
            db_size_in_use: size,
            is_learner: false,
        }))
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Served {
    async fn member_list(
        &self,
        _: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let member = pb::Member {
            id: self.member_id,
            name: "tombolo".to_owned(),
            peer_ur_ls: Vec::new(),
            client_ur_ls: vec![format!("https://{}", self.address)],
            is_learner: false,
        };
        let header = self.newest().await?;
        Ok(Response::new(pb::MemberListResponse {
            header,
            members: vec![member],
        }))
    }
}

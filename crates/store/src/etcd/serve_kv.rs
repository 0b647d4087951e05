//! The KV service: single requests are transactions of one step.

use tonic::{Request, Response, Status};

use super::server::Served;
use super::status::{invalid_to_status, to_status};
use super::wire::{request, response};
use crate::etcd::pb::etcdserverpb as pb;
use crate::types::{Op, Revision, Txn, TxnResponse};

impl Served {
    /// Does one step and answers it as the wire has it.
    async fn single(
        &self,
        op: Op,
    ) -> Result<(Option<pb::ResponseHeader>, pb::response_op::Response), Status> {
        let done = self
            .store
            .txn(Txn::of(vec![op]))
            .await
            .map_err(|e| to_status(&e))?;
        let TxnResponse {
            revision,
            responses,
            ..
        } = done;
        let header = self.header(revision);
        let op = responses
            .into_iter()
            .next()
            .map(|op| response::op_to_wire(op, header));
        let op = op.and_then(|op| op.response);
        Ok((header, op.ok_or_else(mismatch)?))
    }
}

fn mismatch() -> Status {
    Status::internal("the store answered another operation than was asked")
}

#[tonic::async_trait]
impl pb::kv_server::Kv for Served {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let range = request::range_from_wire(request.into_inner());
        let range = range.map_err(|e| invalid_to_status(&e))?;
        let found = self.store.range(range).await.map_err(|e| to_status(&e))?;
        let header = self.header(found.revision);
        Ok(Response::new(response::range_to_wire(found, header)))
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let put = Op::Put(request::put_from_wire(request.into_inner()));
        match self.single(put).await?.1 {
            pb::response_op::Response::ResponsePut(put) => Ok(Response::new(put)),
            _ => Err(mismatch()),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let delete = request::delete_from_wire(request.into_inner());
        let delete = Op::Delete(delete.map_err(|e| invalid_to_status(&e))?);
        match self.single(delete).await?.1 {
            pb::response_op::Response::ResponseDeleteRange(deleted) => Ok(Response::new(deleted)),
            _ => Err(mismatch()),
        }
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        let txn = request::txn_from_wire(request.into_inner());
        let txn = txn.map_err(|e| invalid_to_status(&e))?;
        let done = self.store.txn(txn).await.map_err(|e| to_status(&e))?;
        let header = self.header(done.revision);
        Ok(Response::new(response::txn_to_wire(done, header)))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let revision = Revision(request.into_inner().revision);
        self.store
            .compact(revision)
            .await
            .map_err(|e| to_status(&e))?;
        Ok(Response::new(pb::CompactionResponse {
            header: self.newest().await?,
        }))
    }
}

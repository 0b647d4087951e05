//! Answers, to the wire (server) and from it (client).

use crate::etcd::pb::etcdserverpb as pb;
use crate::etcd::wire::{kv_from_wire, kv_to_wire};
use crate::types::{OpResponse, RangeResponse, Revision, TxnResponse};
use pb::response_op::Response;

pub(crate) fn revision_of(header: Option<&pb::ResponseHeader>) -> Revision {
    Revision(header.map_or(0, |header| header.revision))
}

pub(crate) fn range_to_wire(
    range: RangeResponse,
    header: Option<pb::ResponseHeader>,
) -> pb::RangeResponse {
    let kvs = range.kvs.into_iter().map(kv_to_wire).collect();
    pb::RangeResponse {
        header,
        kvs,
        more: range.more,
        count: range.count,
    }
}

pub(crate) fn range_from_wire(range: pb::RangeResponse, outer: Revision) -> RangeResponse {
    RangeResponse {
        revision: Revision(revision_of(range.header.as_ref()).0.max(outer.0)),
        kvs: range.kvs.into_iter().map(kv_from_wire).collect(),
        more: range.more,
        count: range.count,
    }
}

pub(crate) fn txn_to_wire(txn: TxnResponse, header: Option<pb::ResponseHeader>) -> pb::TxnResponse {
    let responses = txn
        .responses
        .into_iter()
        .map(|op| op_to_wire(op, header))
        .collect();
    pb::TxnResponse {
        header,
        succeeded: txn.succeeded,
        responses,
    }
}

pub(crate) fn op_to_wire(op: OpResponse, header: Option<pb::ResponseHeader>) -> pb::ResponseOp {
    let response = match op {
        OpResponse::Put { prev_kv } => {
            let prev_kv = prev_kv.map(kv_to_wire);
            Response::ResponsePut(pb::PutResponse { header, prev_kv })
        }
        OpResponse::Delete { deleted, prev_kvs } => {
            let prev_kvs = prev_kvs.into_iter().map(kv_to_wire).collect();
            let response = pb::DeleteRangeResponse {
                header,
                deleted,
                prev_kvs,
            };
            Response::ResponseDeleteRange(response)
        }
        OpResponse::Range(range) => Response::ResponseRange(range_to_wire(range, header)),
        OpResponse::Txn(txn) => Response::ResponseTxn(txn_to_wire(txn, header)),
    };
    pb::ResponseOp {
        response: Some(response),
    }
}

pub(crate) fn txn_from_wire(txn: pb::TxnResponse, outer: Revision) -> TxnResponse {
    // etcd leaves the headers of inner answers out, or their revision at zero.
    let revision = Revision(revision_of(txn.header.as_ref()).0.max(outer.0));
    let responses = txn
        .responses
        .into_iter()
        .filter_map(|op| op_from_wire(op, revision));
    TxnResponse {
        revision,
        succeeded: txn.succeeded,
        responses: responses.collect(),
    }
}

fn op_from_wire(op: pb::ResponseOp, outer: Revision) -> Option<OpResponse> {
    Some(match op.response? {
        Response::ResponsePut(put) => OpResponse::Put {
            prev_kv: put.prev_kv.map(kv_from_wire),
        },
        Response::ResponseDeleteRange(delete) => OpResponse::Delete {
            deleted: delete.deleted,
            prev_kvs: delete.prev_kvs.into_iter().map(kv_from_wire).collect(),
        },
        Response::ResponseRange(range) => OpResponse::Range(range_from_wire(range, outer)),
        Response::ResponseTxn(txn) => OpResponse::Txn(txn_from_wire(txn, outer)),
    })
}

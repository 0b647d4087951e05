//! Requests, to the wire (client) and from it (server).

use bytes::Bytes;

use crate::error::InvalidRequest;
use crate::etcd::pb::etcdserverpb as pb;
use crate::key_range::KeyRange;
use crate::types::{
    Compare, CompareOp, CompareTarget, DeleteRequest, LeaseId, Op, PutRequest, RangeRequest,
    Revision, SortTarget, Txn,
};
use pb::compare::{CompareResult, CompareTarget as WireTarget, TargetUnion};
use pb::range_request::{SortOrder, SortTarget as WireSort};
use pb::request_op::Request;

pub(crate) fn range_to_wire(request: RangeRequest) -> pb::RangeRequest {
    let (key, range_end) = request.range.to_wire();
    let sort_target = match request.sort {
        SortTarget::Key => WireSort::Key,
        SortTarget::Version => WireSort::Version,
        SortTarget::Create => WireSort::Create,
        SortTarget::Mod => WireSort::Mod,
        SortTarget::Value => WireSort::Value,
    };
    let order = if request.descending {
        SortOrder::Descend
    } else {
        SortOrder::Ascend
    };
    pb::RangeRequest {
        key,
        range_end,
        limit: i64::try_from(request.limit).unwrap_or(i64::MAX),
        revision: request.revision.0,
        sort_order: order.into(),
        sort_target: sort_target.into(),
        serializable: false,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision.0,
        max_mod_revision: request.max_mod_revision.0,
        min_create_revision: request.min_create_revision.0,
        max_create_revision: request.max_create_revision.0,
    }
}

pub(crate) fn range_from_wire(request: pb::RangeRequest) -> Result<RangeRequest, InvalidRequest> {
    let sort = match request.sort_target() {
        WireSort::Key => SortTarget::Key,
        WireSort::Version => SortTarget::Version,
        WireSort::Create => SortTarget::Create,
        WireSort::Mod => SortTarget::Mod,
        WireSort::Value => SortTarget::Value,
    };
    Ok(RangeRequest {
        sort,
        descending: request.sort_order() == SortOrder::Descend,
        range: KeyRange::from_wire(request.key, request.range_end)?,
        revision: Revision(request.revision),
        limit: usize::try_from(request.limit).unwrap_or(0),
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: Revision(request.min_mod_revision),
        max_mod_revision: Revision(request.max_mod_revision),
        min_create_revision: Revision(request.min_create_revision),
        max_create_revision: Revision(request.max_create_revision),
    })
}

pub(crate) fn put_from_wire(put: pb::PutRequest) -> PutRequest {
    PutRequest {
        key: put.key,
        value: put.value,
        lease: LeaseId(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

fn put_to_wire(put: PutRequest) -> pb::PutRequest {
    pb::PutRequest {
        key: put.key,
        value: put.value,
        lease: put.lease.0,
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

pub(crate) fn delete_from_wire(
    delete: pb::DeleteRangeRequest,
) -> Result<DeleteRequest, InvalidRequest> {
    let range = KeyRange::from_wire(delete.key, delete.range_end)?;
    Ok(DeleteRequest {
        range,
        prev_kv: delete.prev_kv,
    })
}

pub(crate) fn txn_to_wire(txn: Txn) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compare.into_iter().map(compare_to_wire).collect(),
        success: txn.success.into_iter().map(op_to_wire).collect(),
        failure: txn.failure.into_iter().map(op_to_wire).collect(),
    }
}

pub(crate) fn txn_from_wire(txn: pb::TxnRequest) -> Result<Txn, InvalidRequest> {
    Ok(Txn {
        compare: txn
            .compare
            .into_iter()
            .map(compare_from_wire)
            .collect::<Result<_, _>>()?,
        success: txn
            .success
            .into_iter()
            .map(op_from_wire)
            .collect::<Result<_, _>>()?,
        failure: txn
            .failure
            .into_iter()
            .map(op_from_wire)
            .collect::<Result<_, _>>()?,
    })
}

fn op_to_wire(op: Op) -> pb::RequestOp {
    let request = match op {
        Op::Put(put) => Request::RequestPut(put_to_wire(put)),
        Op::Range(range) => Request::RequestRange(range_to_wire(range)),
        Op::Txn(txn) => Request::RequestTxn(txn_to_wire(txn)),
        Op::Delete(delete) => {
            let (key, range_end) = delete.range.to_wire();
            let prev_kv = delete.prev_kv;
            Request::RequestDeleteRange(pb::DeleteRangeRequest {
                key,
                range_end,
                prev_kv,
            })
        }
    };
    pb::RequestOp {
        request: Some(request),
    }
}

fn op_from_wire(op: pb::RequestOp) -> Result<Op, InvalidRequest> {
    let missing = || InvalidRequest::Malformed("an operation of the txn is empty".to_owned());
    Ok(match op.request.ok_or_else(missing)? {
        Request::RequestRange(range) => Op::Range(range_from_wire(range)?),
        Request::RequestPut(put) => Op::Put(put_from_wire(put)),
        Request::RequestDeleteRange(delete) => Op::Delete(delete_from_wire(delete)?),
        Request::RequestTxn(txn) => Op::Txn(txn_from_wire(txn)?),
    })
}

fn compare_to_wire(compare: Compare) -> pb::Compare {
    let (key, range_end) = compare.key.to_wire();
    let result = match compare.op {
        CompareOp::Equal => CompareResult::Equal,
        CompareOp::Greater => CompareResult::Greater,
        CompareOp::Less => CompareResult::Less,
        CompareOp::NotEqual => CompareResult::NotEqual,
    };
    let (target, union) = match compare.target {
        CompareTarget::Version(version) => (WireTarget::Version, TargetUnion::Version(version)),
        CompareTarget::Create(at) => (WireTarget::Create, TargetUnion::CreateRevision(at.0)),
        CompareTarget::Mod(at) => (WireTarget::Mod, TargetUnion::ModRevision(at.0)),
        CompareTarget::Value(value) => (WireTarget::Value, TargetUnion::Value(value)),
        CompareTarget::Lease(lease) => (WireTarget::Lease, TargetUnion::Lease(lease.0)),
    };
    pb::Compare {
        result: result.into(),
        target: target.into(),
        key,
        range_end,
        target_union: Some(union),
    }
}

fn compare_from_wire(compare: pb::Compare) -> Result<Compare, InvalidRequest> {
    let op = match compare.result() {
        CompareResult::Equal => CompareOp::Equal,
        CompareResult::Greater => CompareOp::Greater,
        CompareResult::Less => CompareOp::Less,
        CompareResult::NotEqual => CompareOp::NotEqual,
    };
    // A union that is left out, or of another kind than the target, counts as zero: etcd
    // reads the field of the target and finds its default.
    let target = match (compare.target(), compare.target_union) {
        (WireTarget::Version, Some(TargetUnion::Version(v))) => CompareTarget::Version(v),
        (WireTarget::Version, _) => CompareTarget::Version(0),
        (WireTarget::Create, Some(TargetUnion::CreateRevision(at))) => {
            CompareTarget::Create(Revision(at))
        }
        (WireTarget::Create, _) => CompareTarget::Create(Revision::NONE),
        (WireTarget::Mod, Some(TargetUnion::ModRevision(at))) => CompareTarget::Mod(Revision(at)),
        (WireTarget::Mod, _) => CompareTarget::Mod(Revision::NONE),
        (WireTarget::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (WireTarget::Value, _) => CompareTarget::Value(Bytes::new()),
        (WireTarget::Lease, Some(TargetUnion::Lease(id))) => CompareTarget::Lease(LeaseId(id)),
        (WireTarget::Lease, _) => CompareTarget::Lease(LeaseId::NONE),
    };
    let key = KeyRange::from_wire(compare.key, compare.range_end)?;
    Ok(Compare { key, target, op })
}

/// The lease that a transaction binds keys to, for the error that names it.
pub(crate) fn first_lease(txn: &pb::TxnRequest) -> LeaseId {
    let leases = txn
        .success
        .iter()
        .chain(&txn.failure)
        .filter_map(|op| match &op.request {
            Some(Request::RequestPut(put)) if put.lease != 0 => Some(put.lease),
            _ => None,
        });
    LeaseId(leases.into_iter().next().unwrap_or(0))
}

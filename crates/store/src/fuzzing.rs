//! Doors for the fuzz targets: bytes from other nodes and from the file, without a network or a disk.
//!
//! They decide nothing, and nobody else calls them. They are always compiled, so that they do not
//! rot.

use std::time::Duration;

use prost::Message;

use crate::clock::Now;
use crate::etcd::pb::{etcdserverpb as pb, mvccpb};
use crate::etcd::wire::{event_from_wire, event_to_wire, request};
use crate::key_range::KeyRange;
use crate::mvcc::{Command, Mvcc};
use crate::told::WatchRequest;
use crate::types::{LeaseId, Op, Revision, Txn};

/// A state with something in it, for requests to meet.
fn state() -> Mvcc {
    let mut state = Mvcc::default();
    let grant = Command::LeaseGrant {
        id: LeaseId(7),
        ttl: Duration::from_secs(10),
    };
    let put = Op::put_leased("b", "2", LeaseId(7));
    let commands = [
        grant,
        Command::Txn(Txn::of(vec![Op::put("a", "1"), put])),
        Command::Txn(Txn::of(vec![Op::put("a", "3")])),
    ];
    for command in commands {
        state
            .apply(command, Now::default())
            .expect("these commands are right");
    }
    state
}

/// One request of etcd's protocol. The first byte says which; what is asked is done to a small
/// state, and a refusal must have left that as it was.
pub fn etcd_request(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let mut state = state();
    match which % 5 {
        0 => drop(range(&state, bytes)),
        1 => drop(watch(&state, bytes)),
        2 => apply(&mut state, put(bytes).map(Op::Put)),
        3 => apply(&mut state, delete(bytes)),
        _ => {
            if let Ok(txn) = pb::TxnRequest::decode(bytes)
                && let Ok(txn) = request::txn_from_wire(txn)
            {
                // What was understood is written so that it is understood in the same way.
                let wire = request::txn_to_wire(txn.clone());
                let again = request::txn_from_wire(wire.clone()).map(request::txn_to_wire);
                assert_eq!(again, Ok(wire));
                run(&mut state, Command::Txn(txn));
            }
        }
    }
}

fn range(state: &Mvcc, bytes: &[u8]) -> Option<()> {
    let asked = request::range_from_wire(pb::RangeRequest::decode(bytes).ok()?).ok()?;
    let wire = request::range_to_wire(asked.clone());
    let again = request::range_from_wire(wire.clone()).map(request::range_to_wire);
    assert_eq!(again, Ok(wire));
    state.range(&asked, state.revision()).ok().map(drop)
}

fn watch(state: &Mvcc, bytes: &[u8]) -> Option<()> {
    use pb::watch_request::RequestUnion;
    let asked = pb::WatchRequest::decode(bytes).ok()?.request_union?;
    let RequestUnion::CreateRequest(create) = asked else {
        return None;
    };
    let range = KeyRange::from_wire(create.key, create.range_end).ok()?;
    let watch = WatchRequest::new(range).starting(Revision(create.start_revision));
    state.missed(&watch, state.revision(), 16).ok().map(drop)
}

fn put(bytes: &[u8]) -> Option<crate::types::PutRequest> {
    Some(request::put_from_wire(pb::PutRequest::decode(bytes).ok()?))
}

fn delete(bytes: &[u8]) -> Option<Op> {
    let delete = pb::DeleteRangeRequest::decode(bytes).ok()?;
    request::delete_from_wire(delete).ok().map(Op::Delete)
}

fn apply(state: &mut Mvcc, op: Option<Op>) {
    if let Some(op) = op {
        run(state, Command::Txn(Txn::of(vec![op])));
    }
}

fn run(state: &mut Mvcc, command: Command) {
    let before = state.revision();
    match state.apply(command, Now::default()) {
        Ok((_, effects)) => assert!(state.revision() >= before && effects.committed.len() <= 1),
        Err(_) => assert_eq!(state.revision(), before, "a refusal changed something"),
    }
}

/// Records of the store's file, each behind a byte with its length, put back into an empty state.
pub fn store_records(mut bytes: &[u8]) {
    let mut state = Mvcc::default();
    let mut revision = Revision::NONE;
    while let Some((length, rest)) = bytes.split_first() {
        let length = usize::from(*length).min(rest.len());
        let (record, rest) = rest.split_at(length);
        bytes = rest;
        let Ok(event) = mvccpb::Event::decode(record) else {
            continue;
        };
        let event = event_from_wire(event);
        let again = event_from_wire(event_to_wire(event.clone()));
        assert_eq!(again, event);
        revision = revision.next();
        state.restore(revision, vec![(event.kind, event.kv)]);
    }
    let all = crate::types::RangeRequest::new(KeyRange::everything());
    let _ = state.range(&all, state.revision());
    let _ = state.apply(Command::Compact(revision), Now::default());
}

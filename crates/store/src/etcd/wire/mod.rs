//! Between etcd's messages and the words of this crate.
//!
//! What comes in is parsed into a value that cannot be wrong, or refused with
//! [`InvalidRequest`](crate::InvalidRequest); what goes out is written in etcd's way.
//! `request` has both directions of requests, `response` of answers.

pub(crate) mod request;
pub(crate) mod response;

use crate::etcd::pb::mvccpb;
use crate::told::{Event, EventKind};
use crate::types::{KeyValue, LeaseId, Revision};

pub(crate) fn kv_to_wire(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        value: kv.value,
        lease: kv.lease.0,
    }
}

pub(crate) fn kv_from_wire(kv: mvccpb::KeyValue) -> KeyValue {
    KeyValue {
        key: kv.key,
        value: kv.value,
        create_revision: Revision(kv.create_revision),
        mod_revision: Revision(kv.mod_revision),
        version: kv.version,
        lease: LeaseId(kv.lease),
    }
}

pub(crate) fn event_to_wire(event: Event) -> mvccpb::Event {
    let kind = match event.kind {
        EventKind::Put => mvccpb::event::EventType::Put,
        EventKind::Delete => mvccpb::event::EventType::Delete,
    };
    mvccpb::Event {
        r#type: kind.into(),
        kv: Some(kv_to_wire(event.kv)),
        prev_kv: event.prev_kv.map(kv_to_wire),
    }
}

pub(crate) fn event_from_wire(event: mvccpb::Event) -> Event {
    let kind = match event.r#type() {
        mvccpb::event::EventType::Put => EventKind::Put,
        mvccpb::event::EventType::Delete => EventKind::Delete,
    };
    let kv = event.kv.map(kv_from_wire).unwrap_or_default();
    Event {
        kind,
        kv,
        prev_kv: event.prev_kv.map(kv_from_wire),
    }
}

//! Which messages an operation of rtnetlink is, and what has to be known to write them.
//!
//! It sends nothing. Each kind of object writes its own messages; here stands only which of its
//! functions an operation means.

use tombolo_model::IfName;
use tombolo_plan::objects::LinkKind;
use tombolo_plan::{Key, Netns, Object, Op};

use crate::error::KernelError;
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::route::Which;
use crate::session::Links;
use crate::{address, fdb, link, neighbour, route, rule, station};

type Messages = Result<Vec<Message>, KernelError>;

/// An operation in a few words, for messages.
pub(crate) fn verb(op: &Op) -> String {
    let verb = match op {
        Op::Create { .. } => "create",
        Op::Change { .. } => "change",
        Op::Remove { .. } => "remove",
    };
    format!("{verb} {}", op.place().key)
}

/// Whether an object goes with its link.
pub(crate) fn on_a_link(key: &Key) -> bool {
    matches!(
        key,
        Key::Address { .. } | Key::Neighbour { .. } | Key::Fdb { .. } | Key::Station { .. }
    )
}

/// The links whose indices the messages of an operation need.
pub(crate) fn links_needed(op: &Op) -> Vec<&IfName> {
    match (&op.place().key, made(op)) {
        (Key::Address { link, .. } | Key::Neighbour { link, .. } | Key::Fdb { link, .. }, _) => {
            vec![link]
        }
        (Key::Station { .. }, made) => {
            let port = made.or(before(op));
            let port = port.and_then(|object| match object {
                Object::Station(port) => Some(port),
                _ => None,
            });
            port.into_iter().collect()
        }
        (Key::Route { .. }, Some(Object::Route(route))) => route.next.links(),
        (Key::Link(_), Some(Object::Link(link))) => {
            let parent = match &link.kind {
                LinkKind::Vxlan { parent, .. } if op.place().netns == Netns::Host => Some(parent),
                kind if op.place().netns == Netns::Host => kind.stands_on(),
                _ => None,
            };
            parent
                .into_iter()
                .chain(link.port.as_ref().map(|port| &port.bridge))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// What an operation makes; none for a removal.
pub(crate) fn made(op: &Op) -> Option<&Object> {
    match op {
        Op::Create { object, .. } | Op::Change { to: object, .. } => Some(object),
        Op::Remove { .. } => None,
    }
}

/// How it was before; none if it was not.
fn before(op: &Op) -> Option<&Object> {
    match op {
        Op::Remove { object, .. } | Op::Change { from: object, .. } => Some(object),
        Op::Create { .. } => None,
    }
}

/// The messages of one operation. `peer` is the namespace of a pair's other end, `protocol` the
/// number that marks routes and rules as ours.
pub(crate) fn encode(op: &Op, links: &Links, peer: Option<&NetnsHandle>, protocol: u8) -> Messages {
    match &op.place().key {
        Key::Link(name) => encode_link(op, name, links, peer),
        Key::Route { .. } => encode_route(op, links, protocol),
        Key::RoutingRule { .. } => encode_rule(op, protocol),
        _ => encode_on_link(op, links),
    }
}

fn encode_link(op: &Op, name: &IfName, links: &Links, peer: Option<&NetnsHandle>) -> Messages {
    match (before(op), made(op)) {
        (None, Some(Object::Link(link))) => link::create(name, link, links, peer),
        (Some(Object::Link(from)), Some(Object::Link(to))) => link::change(name, from, to, links),
        (_, None) => Ok(vec![match &op.place().netns {
            Netns::Numbered(number) => link::remove_numbered(name, *number),
            _ => link::remove(name),
        }]),
        _ => Err(mismatch(op)),
    }
}

fn encode_route(op: &Op, links: &Links, protocol: u8) -> Messages {
    let Key::Route { table, dst, metric } = &op.place().key else {
        return Err(mismatch(op));
    };
    let which = Which {
        table: *table,
        dst: *dst,
        metric: *metric,
        protocol,
    };
    match made(op) {
        Some(Object::Route(made)) => {
            let mut over = Vec::new();
            for link in made.next.links() {
                over.push(index(op, links, link)?);
            }
            let replace = before(op).is_some();
            Ok(vec![route::create(which, made, &over, replace)])
        }
        None => Ok(vec![route::remove(which)]),
        Some(_) => Err(mismatch(op)),
    }
}

fn encode_rule(op: &Op, protocol: u8) -> Messages {
    let Key::RoutingRule { family, priority } = &op.place().key else {
        return Err(mismatch(op));
    };
    // The new one first: there is never a moment without.
    let mut messages = Vec::new();
    if let Some(Object::RoutingRule(new)) = made(op) {
        messages.push(rule::create(*family, *priority, new, protocol));
    }
    if let Some(Object::RoutingRule(old)) = before(op) {
        messages.push(rule::remove(*family, *priority, old, protocol));
    }
    if messages.is_empty() {
        Err(mismatch(op))
    } else {
        Ok(messages)
    }
}

/// Addresses, neighbours and forwarding entries: what is on one link.
fn encode_on_link(op: &Op, links: &Links) -> Messages {
    let message = match (&op.place().key, made(op), before(op)) {
        (Key::Address { link, net }, Some(_), _) => address::create(*net, index(op, links, link)?),
        (Key::Address { link, net }, None, _) => address::remove(*net, index(op, links, link)?),
        (Key::Neighbour { link, address }, Some(Object::Neighbour(mac)), _) => {
            neighbour::create(*address, *mac, index(op, links, link)?)
        }
        (Key::Neighbour { link, address }, None, _) => {
            neighbour::remove(*address, index(op, links, link)?)
        }
        (Key::Fdb { link, mac, .. }, Some(Object::Fdb(remote)), before) => {
            fdb::create(*mac, *remote, index(op, links, link)?, before.is_some())
        }
        (Key::Fdb { link, mac, .. }, None, Some(Object::Fdb(remote))) => {
            fdb::remove(*mac, *remote, index(op, links, link)?)
        }
        (Key::Station { mac, .. }, Some(Object::Station(port)), _) => {
            station::create(*mac, index(op, links, port)?)
        }
        (Key::Station { mac, .. }, None, Some(Object::Station(port))) => {
            station::remove(*mac, index(op, links, port)?)
        }
        _ => return Err(mismatch(op)),
    };
    Ok(vec![message])
}

fn index(op: &Op, links: &Links, link: &IfName) -> Result<u32, KernelError> {
    links.index(link).ok_or_else(|| KernelError::NoLink {
        operation: verb(op),
        netns: op.place().netns.to_string(),
        link: link.to_string(),
    })
}

fn mismatch(op: &Op) -> KernelError {
    KernelError::Impossible {
        operation: verb(op),
        reason: "the object is not of the kind that its key says",
    }
}

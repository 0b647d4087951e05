//! What an operation that succeeded changes in an observation, so that a caller can go on without
//! reading the kernel again.
//!
//! The kernel removes more than it is asked to: with a link go its addresses, entries and routes,
//! with a pair's end the other one, with a set its elements. A reading would show that; so does
//! this.

use tombolo_model::IfName;
use tombolo_plan::diff::{above, is_on};
use tombolo_plan::objects::{Link, LinkKind, NftName};
use tombolo_plan::{Key, Netns, Object, Observed, Op, Place};

/// Notes an operation that succeeded.
pub fn record(observed: &mut Observed, op: &Op) {
    match op {
        Op::Create { place, object } => {
            if let Object::Link(Link {
                kind: LinkKind::Veth(peer),
                mtu,
                ..
            }) = object
            {
                let end = Link {
                    kind: LinkKind::VethEnd,
                    mtu: *mtu,
                    mac: Some(peer.mac),
                    up: !peer.handed_over,
                    port: None,
                };
                let at = Place {
                    netns: peer.netns.clone(),
                    key: Key::Link(peer.name.clone()),
                };
                observed.insert(at, Object::Link(end));
            }
            observed.insert(place.clone(), object.clone());
        }
        Op::Change { place, to, .. } => {
            observed.insert(place.clone(), to.clone());
        }
        Op::Remove { place, object } => {
            observed.remove(place);
            match &place.key {
                Key::Link(name) => forget_link(observed, &place.netns, name, object),
                Key::Namespace(name) => {
                    let gone = Netns::Segment(name.clone());
                    observed.retain(|at, _| at.netns != gone);
                }
                Key::NftSet(set) => empty_set(observed, &place.netns, set),
                _ => {}
            }
        }
    }
}

/// Takes out what is in a set.
fn empty_set(observed: &mut Observed, netns: &Netns, set: &NftName) {
    let place = |key| Place {
        netns: netns.clone(),
        key,
    };
    observed.remove(&place(Key::NftMembers(set.clone())));
    let first = place(Key::NftElement {
        set: set.clone(),
        key: Vec::new(),
    });
    let is_in = |at: &Place| {
        at.netns == *netns && matches!(&at.key, Key::NftElement { set: of, .. } if of == set)
    };
    let behind = observed.range(first..);
    let gone: Vec<Place> = behind
        .map(|(at, _)| at)
        .take_while(|at| is_in(at))
        .cloned()
        .collect();
    for at in gone {
        observed.remove(&at);
    }
}

fn forget_link(observed: &mut Observed, netns: &Netns, name: &IfName, object: &Object) {
    for (netns, name) in above(netns, name, observed) {
        let key = Key::Link(name.clone());
        let place = Place {
            netns: netns.clone(),
            key,
        };
        if let Some(object) = observed.remove(&place) {
            forget_link(observed, &netns, &name, &object);
        }
    }
    observed.retain(|at, object| at.netns != *netns || !is_on(name, &at.key, object));
    if let Object::Link(Link {
        kind: LinkKind::Veth(peer),
        ..
    }) = object
    {
        let end = Place {
            netns: peer.netns.clone(),
            key: Key::Link(peer.name.clone()),
        };
        if observed.remove(&end).is_some() {
            observed
                .retain(|at, object| at.netns != peer.netns || !is_on(&peer.name, &at.key, object));
        }
    }
}

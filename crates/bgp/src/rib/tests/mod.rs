//! The routing table seen from outside: updates go in, what each peer hears comes out as bytes and is
//! decoded again.

mod decision;
mod export;
mod import;
mod life;
mod naive;
mod random;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::*;
use crate::attributes::{AsPath, AsSegment, Attributes, NextHop};
use crate::config::{Peer, PeerKey};
use crate::message::{Message, Negotiated, RefreshKind, decode, frame};
use crate::simulate::agreement;
use crate::types::{Asn, RouterId};

const OURS: Asn = Asn(65000);
const LOCAL: Local = Local {
    asn: OURS,
    router_id: RouterId(Ipv4Addr::new(10, 0, 0, 100)),
    cluster_id: RouterId(Ipv4Addr::new(10, 0, 0, 100)),
    multipath: 1,
};

/// The peer of this number, of a system: `10.0.0.number`, with the router ID `1.1.1.number`.
fn role(number: u8, asn: u32) -> Role {
    let address = IpAddr::from([10, 0, 0, number]);
    let asn = Asn(asn);
    Role {
        key: PeerKey::from(address),
        peer: Peer {
            next_hops: vec!["fd00::100".parse().unwrap()],
            ..Peer::new(format!("peer {number}"), asn)
        },
        negotiated: Negotiated {
            local_address: [10, 0, 0, 100].into(),
            peer_address: address,
            internal: asn == OURS,
            ..agreement(asn, RouterId([1, 1, 1, number].into()))
        },
        local_asn: OURS,
    }
}

/// Attributes of a route by the peer of this number, through these systems.
fn attributes(number: u8, systems: &[u32]) -> Attributes {
    let mut attributes = Attributes::local(NextHop::V4([10, 0, 0, number].into()));
    if !systems.is_empty() {
        let systems = systems.iter().copied().map(Asn).collect();
        attributes.as_path = AsPath(vec![AsSegment::Sequence(systems)]);
    }
    attributes
}

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn nlri(text: &str, path: u32) -> Nlri {
    Nlri {
        prefix: prefix(text),
        path: PathId(path),
    }
}

fn announce(attributes: Attributes, prefixes: &[&str]) -> Update {
    let prefixes = prefixes.iter().map(|text| nlri(text, 0)).collect();
    Update {
        announced: vec![(attributes, prefixes)],
        ..Update::default()
    }
}

fn withdraw(prefixes: &[&str]) -> Update {
    Update {
        withdrawn: prefixes.iter().map(|text| nlri(text, 0)).collect(),
        ..Update::default()
    }
}

/// A table to which every next hop is near.
fn rib(local: Local) -> Rib {
    let mut rib = Rib::new(local);
    rib.set_next_hops(NextHops::everywhere());
    rib
}

/// Who used paths to a prefix are of, the best first.
fn used(rib: &Rib, text: &str) -> Vec<String> {
    let route = rib.routes().find(|(net, _)| *net == prefix(text));
    let paths = route.map(|(_, paths)| paths).unwrap_or_default();
    paths.iter().map(|path| path.peer.to_string()).collect()
}

/// The far end of a session: what it was told.
#[derive(Debug)]
struct Ear {
    peer: PeerId,
    context: Negotiated,
    routes: BTreeMap<Nlri, Attributes>,
    /// Routes that were not said again since a refresh began.
    stale: Vec<Nlri>,
    /// The families that everything was said of.
    complete: Vec<Family>,
    /// How many refreshes were begun and ended.
    refreshes: (usize, usize),
    messages: usize,
}

impl Ear {
    /// Establishes a session.
    fn new(rib: &mut Rib, peer: PeerId, role: Role) -> Ear {
        let ours = &role.negotiated;
        let context = Negotiated {
            peer_asn: role.local_asn,
            local_address: ours.peer_address,
            peer_address: ours.local_address,
            add_path_send: ours.add_path_receive,
            add_path_receive: ours.add_path_send,
            ..ours.clone()
        };
        rib.peer_up(peer, role);
        Ear {
            peer,
            context,
            routes: BTreeMap::new(),
            stale: Vec::new(),
            complete: Vec::new(),
            refreshes: (0, 0),
            messages: 0,
        }
    }

    /// Hears all that there is to be told.
    fn drain(&mut self, rib: &mut Rib) {
        while rib.has_more(self.peer) {
            self.hear(rib, usize::MAX);
        }
    }

    /// Hears about so many bytes.
    fn hear(&mut self, rib: &mut Rib, limit: usize) {
        let mut bytes = Vec::new();
        rib.transmit(self.peer, &mut bytes, limit);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = frame(rest)
                .unwrap()
                .expect("only whole messages are written");
            match decode(&rest[..length], Some(&self.context)).unwrap() {
                Message::Update(update) => self.take(update),
                Message::Refresh(refresh) => match refresh.kind {
                    RefreshKind::Begin => {
                        self.refreshes.0 += 1;
                        let known = self.routes.keys().copied();
                        self.stale = known
                            .filter(|of| Family::of(of.prefix) == refresh.family)
                            .collect();
                    }
                    RefreshKind::End => {
                        self.refreshes.1 += 1;
                        for nlri in self.stale.drain(..) {
                            self.routes.remove(&nlri);
                        }
                    }
                    RefreshKind::Request => panic!("a routing table asks for nothing"),
                },
                other => panic!("a routing table does not say {other:?}"),
            }
            self.messages += 1;
            rest = &rest[length..];
        }
    }

    fn take(&mut self, update: Update) {
        assert_eq!(update.faults, Vec::<String>::new());
        self.complete.extend(update.end_of_rib);
        for nlri in update.withdrawn {
            self.routes.remove(&nlri);
        }
        for (attributes, prefixes) in update.announced {
            for nlri in prefixes {
                self.stale.retain(|stale| *stale != nlri);
                self.routes.insert(nlri, attributes.clone());
            }
        }
    }

    /// What it was told of a prefix, whatever the path's name.
    fn told(&self, text: &str) -> Vec<&Attributes> {
        let told = self
            .routes
            .iter()
            .filter(|(nlri, _)| nlri.prefix == prefix(text));
        told.map(|(_, attributes)| attributes).collect()
    }
}

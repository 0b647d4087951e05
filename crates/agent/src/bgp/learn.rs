//! What the speaker was told, in the World's words.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use tombolo_bgp::rib::Path;
use tombolo_bgp::{NextHop, PeerKey};
use tombolo_kernel::{KernelError, NetnsHandle, underlay};
use tombolo_model::IfName;
use tombolo_model::kinds::bgp::{Learned, LearnedHop, LearnedRoute, PeerIp};
use tombolo_plan::bgp::BGP_METRIC;
use tombolo_speaker::Routes;

use super::hops::Hops;

/// Turns the speaker's paths into next hops. Many routes have the same paths: their next hops are looked
/// for once, and are one in memory.
#[derive(Debug, Default)]
pub(super) struct Reader {
    hops: Hops,
    known: HashMap<Vec<(NextHop, PeerKey)>, Arc<[LearnedHop]>>,
}

impl Reader {
    pub fn new(hops: Hops) -> Reader {
        Reader {
            hops,
            known: HashMap::new(),
        }
    }

    pub fn hops(&self) -> &Hops {
        &self.hops
    }

    /// The routes of a speaker. Those with no next hop that leads anywhere are kept as they are: the
    /// planner says so.
    pub fn read(&mut self, routes: &Routes) -> Learned {
        let read = |(prefix, paths): (&IpNet, &Arc<[Path]>)| LearnedRoute {
            prefix: *prefix,
            next_hops: self.next_hops(paths),
        };
        let learned = Learned {
            settled: routes.settled,
            routes: routes.best.iter().map(read).collect(),
            ..Learned::default()
        };
        self.known.retain(|_, hops| Arc::strong_count(hops) > 1);
        learned
    }

    fn next_hops(&mut self, paths: &[Path]) -> Arc<[LearnedHop]> {
        let told = paths
            .iter()
            .map(|path| (path.next_hop, path.peer.clone()))
            .collect();
        let hops = &self.hops;
        let known = self.known.entry(told).or_insert_with_key(|told| {
            let next: BTreeSet<LearnedHop> = told
                .iter()
                .map(|(next, peer)| hop(*next, peer, hops))
                .collect();
            next.into_iter().collect()
        });
        Arc::clone(known)
    }
}

fn hop(next: NextHop, peer: &PeerKey, hops: &Hops) -> LearnedHop {
    let interface = peer.interface.as_deref();
    let interface = interface.and_then(|interface| IfName::new(interface).ok());
    let unresolved = LearnedHop {
        address: next.address(),
        via: None,
        interface: None,
        onlink: false,
        from: Some(PeerIp {
            address: peer.address,
            interface: interface.clone(),
            port: None,
        }),
    };
    // An address of the link says nothing without the link: the one that the peer is on.
    let on_link = match next {
        NextHop::V6 { global, link_local } => {
            let own = global.is_unicast_link_local().then_some(global);
            own.or(link_local)
        }
        NextHop::V4(_) => None,
    };
    if let (Some(address), true) = (on_link, interface.is_some()) {
        return LearnedHop {
            address: address.into(),
            interface,
            ..unresolved
        };
    }
    let address = unresolved.address;
    let Some((via, interface, onlink)) = hops.resolve(address) else {
        return unresolved;
    };
    LearnedHop {
        via: (via != address).then_some(via),
        interface: Some(interface),
        onlink,
        ..unresolved
    }
}

/// With the routes of before, where the speaker has no word of its own yet.
pub(super) fn with_kept(mut known: Learned, kept: &[LearnedRoute]) -> Learned {
    if kept.is_empty() {
        return known;
    }
    let mut routes: BTreeMap<IpNet, LearnedRoute> = kept
        .iter()
        .map(|route| (route.prefix, route.clone()))
        .collect();
    let known_routes = known.routes.iter();
    routes.extend(known_routes.map(|route| (route.prefix, route.clone())));
    known.routes = routes.into_values().collect();
    known
}

/// The routes that an earlier run left in the kernel.
pub(super) fn recalled(
    netns: &NetnsHandle,
    protocol: u8,
) -> Result<Arc<[LearnedRoute]>, KernelError> {
    let routes = underlay::left(netns, protocol, BGP_METRIC)?;
    let routes = routes.into_iter().map(|(prefix, hops)| {
        let hop = |(address, interface, onlink)| LearnedHop {
            address,
            via: None,
            interface: Some(interface),
            onlink,
            from: None,
        };
        let next_hops = hops.into_iter().map(hop).collect();
        let route = LearnedRoute { prefix, next_hops };
        (prefix, route)
    });
    // In order, each once, as a World's are.
    let routes: BTreeMap<IpNet, LearnedRoute> = routes.collect();
    Ok(routes.into_values().collect())
}

//! What the speaker was told, in the World's words.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use tombolo_bgp::NextHop;
use tombolo_bgp::rib::Path;
use tombolo_kernel::{KernelError, NetnsHandle, underlay};
use tombolo_model::IfName;
use tombolo_model::kinds::bgp::{Learned, LearnedHop, LearnedRoute};
use tombolo_plan::bgp::BGP_METRIC;
use tombolo_speaker::Routes;

use super::hops::Hops;

/// The routes of a speaker. Those with no next hop that leads anywhere are kept as they are: the
/// planner says so.
pub(super) fn learned(routes: &Routes, hops: &Hops) -> Learned {
    let route = |(prefix, paths): (&IpNet, &Vec<Path>)| {
        let next: BTreeSet<LearnedHop> = paths.iter().map(|path| hop(path, hops)).collect();
        let from: BTreeSet<String> = paths.iter().map(|path| path.peer.to_string()).collect();
        LearnedRoute {
            prefix: *prefix,
            next_hops: next.into_iter().collect(),
            from: from.into_iter().collect(),
        }
    };
    Learned {
        settled: routes.settled,
        routes: routes.best.iter().map(route).collect(),
    }
}

fn hop(path: &Path, hops: &Hops) -> LearnedHop {
    // An address of the link says nothing without the link: the one that the peer is on.
    let on_link = match path.next_hop {
        NextHop::V6 { global, link_local } => {
            let own = global.is_unicast_link_local().then_some(global);
            own.or(link_local)
        }
        NextHop::V4(_) => None,
    };
    if let (Some(address), Some(interface)) = (on_link, &path.peer.interface) {
        return LearnedHop {
            address: address.into(),
            via: None,
            interface: IfName::new(interface.as_str()).ok(),
            onlink: false,
        };
    }
    let address = path.next_hop.address();
    let Some((via, interface, onlink)) = hops.resolve(address) else {
        return LearnedHop {
            address,
            via: None,
            interface: None,
            onlink: false,
        };
    };
    LearnedHop {
        address,
        via: (via != address).then_some(via),
        interface: Some(interface),
        onlink,
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
    routes.extend(known.routes.into_iter().map(|route| (route.prefix, route)));
    known.routes = routes.into_values().collect();
    known
}

/// The routes that an earlier run left in the kernel.
pub(super) fn recalled(
    netns: &NetnsHandle,
    protocol: u8,
) -> Result<Vec<LearnedRoute>, KernelError> {
    let routes = underlay::left(netns, protocol, BGP_METRIC)?;
    let routes = routes.into_iter().map(|(prefix, hops)| {
        let hop = |(address, interface, onlink)| LearnedHop {
            address,
            via: None,
            interface: Some(interface),
            onlink,
        };
        let next_hops = hops.into_iter().map(hop).collect();
        let route = LearnedRoute {
            prefix,
            next_hops,
            from: Vec::new(),
        };
        (prefix, route)
    });
    // In order, each once, as a World's are.
    let routes: BTreeMap<IpNet, LearnedRoute> = routes.collect();
    Ok(routes.into_values().collect())
}

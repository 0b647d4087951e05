//! Why an object is in a kernel: the plan's own answer.
//!
//! A [`Question`] names objects as `ip` and `nft` do. What it names is looked up in the plan, whose
//! objects know who asked for them, and compared with what the kernel holds. Nothing is decided
//! here that the plan has not decided: an object that no plan names is somebody else's, and then
//! its [`Mark`] tells what can be told of whose.
//!
//! ```text
//!  words ─► Question ─┬─ HostPlan: origin, as planned ─┐
//!                     ├─ kernel: as it is ─────────────┴─► differences
//!                     └─ kernel: others', with a Mark ───► whose
//! ```

mod answer;
mod holder;
mod question;
mod reasons;
mod whose;

use tombolo_model::{AnyResource, ResourceKey, World};

use crate::diff::satisfies;
use crate::objects::{Link, Object, Route};

pub use answer::{Explained, Explanation, best_route};
pub use holder::{Holder, holder};
pub use question::{KINDS, Question};
pub use reasons::why;
pub use whose::{Mark, whose};

/// In what an object as it is differs from the object as it is wanted, in words; nothing if it does
/// for it.
#[must_use]
pub fn differences(present: &Object, wanted: &Object) -> Vec<String> {
    if satisfies(present, wanted) {
        return Vec::new();
    }
    match (present, wanted) {
        (Object::Link(present), Object::Link(wanted)) => link_differences(present, wanted),
        (Object::Route(present), Object::Route(wanted)) => route_differences(present, wanted),
        (Object::NftChain(_), Object::NftChain(_)) => {
            vec!["its hook or rules are others than planned".to_owned()]
        }
        (Object::NftMembers(present), Object::NftMembers(wanted)) => {
            let changes = present.changes(wanted);
            vec![format!(
                "lacks {} that are planned, and holds {} that are not",
                changes.new.len(),
                changes.gone.len()
            )]
        }
        _ => vec![format!("is `{present}`, not `{wanted}`")],
    }
}

fn said<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn link_differences(present: &Link, wanted: &Link) -> Vec<String> {
    let mut found = Vec::new();
    if wanted.mtu.is_some() && present.mtu != wanted.mtu {
        found.push(format!(
            "mtu is {}, not {}",
            said(present.mtu.as_ref()),
            said(wanted.mtu.as_ref())
        ));
    }
    if wanted.mac.is_some() && present.mac != wanted.mac {
        found.push(format!(
            "mac is {}, not {}",
            said(present.mac.as_ref()),
            said(wanted.mac.as_ref())
        ));
    }
    if wanted.up && !present.up {
        found.push("is down, not up".to_owned());
    }
    if present.port != wanted.port {
        let bridge = |link: &Link| said(link.port.as_ref().map(|port| &port.bridge));
        found.push(format!(
            "is a port of {}, not of {} as planned",
            bridge(present),
            bridge(wanted)
        ));
    }
    if found.is_empty() {
        found.push(format!("is `{}`, not `{}`", present.kind, wanted.kind));
    }
    found
}

fn route_differences(present: &Route, wanted: &Route) -> Vec<String> {
    let mut found = Vec::new();
    if present.next != wanted.next {
        let bare = |route: &Route| Route {
            source: None,
            mtu: None,
            ..route.clone()
        };
        found.push(format!("leads `{}`, not `{}`", bare(present), bare(wanted)));
    }
    if present.source != wanted.source {
        found.push(format!(
            "src is {}, not {}",
            said(present.source.as_ref()),
            said(wanted.source.as_ref())
        ));
    }
    if present.mtu != wanted.mtu {
        found.push(format!(
            "mtu is {}, not {}",
            said(present.mtu.as_ref()),
            said(wanted.mtu.as_ref())
        ));
    }
    found
}

/// A resource in a few words: what tells it from its like.
#[must_use]
pub fn about(world: &World, key: &ResourceKey) -> Option<String> {
    let list = |items: Vec<String>| items.join(", ");
    Some(match world.get(key)? {
        AnyResource::Node(node) => {
            let addresses = node.spec.addresses.iter();
            list(addresses.map(|a| a.address.addr().to_string()).collect())
        }
        AnyResource::Network(network) => match &network.spec.transport {
            Some(transport) => format!("driver {}, transport {transport}", network.spec.driver),
            None => format!("driver {}", network.spec.driver),
        },
        AnyResource::IpPool(pool) => {
            let nat = if pool.spec.nat_outgoing {
                ", natOutgoing"
            } else {
                ""
            };
            format!("{}, nodes {}{nat}", pool.spec.cidr, pool.spec.node_selector)
        }
        AnyResource::Block(block) => match &block.spec.node {
            Some(node) => format!(
                "{} of node {node}, pool {}",
                block.spec.cidr, block.spec.pool
            ),
            None => format!("{} of no node, pool {}", block.spec.cidr, block.spec.pool),
        },
        AnyResource::Endpoint(endpoint) => {
            let spec = &endpoint.spec;
            format!(
                "{} of container {} on node {}, network {}, {}",
                spec.interface,
                spec.container_id,
                spec.node,
                spec.network,
                list(spec.addresses.iter().map(ToString::to_string).collect())
            )
        }
        AnyResource::NetworkPolicy(policy) => {
            format!("tier {}, for {}", policy.spec.tier, policy.spec.selector)
        }
        AnyResource::GlobalNetworkPolicy(policy) => {
            format!("tier {}, for {}", policy.spec.tier, policy.spec.selector)
        }
        AnyResource::BgpPeer(peer) => match (&peer.spec.peer_ip, peer.spec.as_number) {
            (Some(ip), Some(asn)) => format!("{ip} of system {asn}"),
            _ => format!("nodes {}", said(peer.spec.peer_selector.as_ref())),
        },
        AnyResource::Learned(learned) => {
            format!("{} routes learned by BGP", learned.spec.routes.len())
        }
        AnyResource::HostEndpoint(endpoint) => format!("of node {}", endpoint.spec.node),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

//! Transports: how packets leave for another node.
//!
//! One file each, and one line in [`TRANSPORTS`]. A transport is about five pure methods: its name,
//! its options, its overhead, whether a peer can be reached by it, what this host needs in order to
//! receive, and what it needs so that a peer's addresses are reachable. Which peer is reached by
//! which transport, also while a network changes from one to another, is decided in
//! [`crate::network`] for all of them alike.

mod bgp;
mod direct;
mod gre;
mod ipip;
mod tunnel;
mod udp;
mod vxlan;

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{NodeAddress, TransportSpec};
use tombolo_model::{Endpoint, Family, FieldError, IfName, Mtu, Name, Network, Node, Resource};

use crate::host_plan::{HostPlan, Origin};

/// Every transport.
pub const TRANSPORTS: &[&dyn Transport] = &[
    &direct::Direct, //
    &vxlan::Vxlan,
    &ipip::Ipip,
    &gre::Gre,
    &bgp::Bgp,
    &udp::Udp,
];

/// How packets leave for another node.
pub trait Transport: Sync {
    /// Its name in `spec.transport.type`.
    fn name(&self) -> &'static str;

    /// The faults of its options; fields are named from `spec.transport` on.
    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError>;

    /// Bytes that it adds to a packet, over an underlay of one family.
    fn overhead(&self, spec: &TransportSpec, underlay: Family) -> u32;

    /// The UDP port that its packets go to, where they travel in UDP.
    fn port(&self, _: &TransportSpec) -> Option<u16> {
        None
    }

    /// What tells its packets from those of other networks, where it has such a number.
    fn vni(&self, _: &TransportSpec) -> Option<u32> {
        None
    }

    /// Whether a node must have made something before it can receive. Peers then wait until it
    /// says that it has.
    fn needs_receiver(&self) -> bool;

    /// Whether packets travel inside others, so that it ends at an address of the node's own in the
    /// network, and what is inside may be of another family than what is outside.
    fn encapsulates(&self) -> bool {
        self.needs_receiver()
    }

    /// Whether the peer itself tells by BGP what it holds: there are ways to it only where that has
    /// been learned.
    fn is_learned(&self) -> bool {
        false
    }

    /// Why a peer's addresses of one family cannot be reached by it over a path, if they cannot.
    fn obstacle(&self, path: &Path, inner: Family) -> Option<String>;

    /// What this host needs in order to receive.
    fn receive(&self, site: &Site, plan: &mut HostPlan);

    /// What this host must know of a peer to take its packets, which may come before any go there.
    fn expect(&self, _: &Site, _: &Peer, _: IpNet, _: &mut HostPlan) {}

    /// Whether it can carry the frames of a segment.
    fn carries_frames(&self) -> bool {
        false
    }

    /// What this host needs so that a segment goes on to its other hosts.
    fn join(&self, _: &Site, _: &Segment, _: &mut HostPlan) {}

    /// What this host needs so that a destination at a peer is reachable.
    fn send(&self, site: &Site, peer: &Peer, destination: &Destination, plan: &mut HostPlan);
}

/// The transport of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Transport> {
    TRANSPORTS
        .iter()
        .copied()
        .find(|transport| transport.name() == name)
}

/// Every name, for errors and help.
#[must_use]
pub fn names() -> String {
    TRANSPORTS
        .iter()
        .map(|transport| transport.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A transport of a network on this host.
pub struct Site<'a> {
    /// This host.
    pub me: &'a Resource<Node>,
    /// The network.
    pub network: &'a Resource<Network>,
    /// The transport with its options.
    pub spec: &'a TransportSpec,
    /// Families of the underlay that at least one peer is reached over; never empty.
    pub families: Vec<Family>,
    /// Families of the network's own addresses.
    pub carries: Vec<Family>,
    /// This host's own addresses inside the network, where a transport ends: at most one a family.
    pub tunnel: Vec<IpAddr>,
    /// The largest packet of the network's endpoints.
    pub mtu: u32,
}

/// The way over the underlay to a peer.
pub struct Path<'a> {
    /// This host's address.
    pub here: &'a NodeAddress,
    /// The peer's address, of the same family.
    pub there: &'a NodeAddress,
}

/// Another node.
pub struct Peer<'a> {
    /// The node.
    pub node: &'a Resource<Node>,
    /// The way to it.
    pub path: Path<'a>,
    /// Its own addresses inside the network, where a transport ends.
    pub tunnel: Vec<IpAddr>,
    /// The largest packet that was found to pass, where the transport finds that out.
    pub passes: Option<u32>,
}

/// A segment on this host, to be joined to its parts on others.
pub struct Segment<'a> {
    /// The namespace that it is in.
    pub namespace: Name,
    /// Its bridge.
    pub bridge: IfName,
    /// The largest packet of its endpoints.
    pub mtu: Mtu,
    /// The other hosts that have endpoints of it.
    pub members: Vec<Member<'a>>,
}

/// Another host of a segment.
pub struct Member<'a> {
    /// The host.
    pub peer: Peer<'a>,
    /// Its endpoints.
    pub endpoints: Vec<&'a Resource<Endpoint>>,
}

/// Addresses at a peer.
pub struct Destination {
    /// The range.
    pub net: IpNet,
    /// The block that they are of.
    pub origin: Origin,
    /// The largest packet that passes, where it is smaller than the network's.
    pub mtu: Option<u32>,
}

impl Path<'_> {
    /// The family of the underlay.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of_net(self.here.address)
    }

    /// Whether both are in one subnet, so that no router is between them.
    #[must_use]
    pub fn same_subnet(&self) -> bool {
        self.here.address.contains(&self.there.address.addr())
    }

    /// The largest packet that both ends' interfaces take.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.here.mtu.get().min(self.there.mtu.get())
    }
}

impl Site<'_> {
    /// This host's own address of a family inside the network.
    #[must_use]
    pub fn tunnel(&self, family: Family) -> Option<IpAddr> {
        self.tunnel
            .iter()
            .copied()
            .find(|a| Family::of(*a) == family)
    }

    /// The origin of an object that the transport as a whole asks for.
    #[must_use]
    pub fn origin(&self, rule: &'static str) -> Origin {
        Origin {
            resource: self.network.key(),
            rule,
        }
    }
}

/// The names of options that are given but unknown, as faults.
fn unknown_options(spec: &TransportSpec, allowed: &[&str]) -> Vec<FieldError> {
    spec.options
        .keys()
        .filter(|name| !allowed.contains(&name.as_str()))
        .map(|name| {
            let mut known = vec!["type", "crossSubnet"];
            known.extend(allowed);
            FieldError::new(
                format!("spec.transport.{name}"),
                format!(
                    "transport {} has no such option; it has {}",
                    spec.name,
                    known.join(", ")
                ),
            )
        })
        .collect()
}

//! Attachments: how an endpoint is plugged into its host.
//!
//! One file each. An attachment wants objects on the host and in the sandbox, and says what the
//! container will see, which is what the runtime is told. It never looks at other nodes.

mod bridge;
pub(crate) mod overlay;
mod physical;
mod routed;
mod shared;

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Endpoint, IfName, Mtu, Name, Network, Node, Resource, World};

use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{Key, Link, LinkKind, Netns, Object, Place};

pub use bridge::Bridge;
pub use overlay::Overlay;
pub use physical::Physical;
pub use routed::Routed;
pub use shared::{None, Shared};

/// How an endpoint is plugged into its host.
pub trait Attachment: Sync {
    /// What the host needs for the network as a whole, before any endpoint.
    fn plan_network(&self, site: &Site, plan: &mut HostPlan);

    /// What the host and the sandbox need for one endpoint.
    fn plan_endpoint(&self, site: &Site, plug: &Plug, plan: &mut HostPlan);

    /// What the container sees.
    fn view(&self, world: &World, endpoint: &Endpoint) -> ContainerView;

    /// How many places at the start and the end of a block no endpoint may have.
    fn reserved(&self) -> (u32, u32);

    /// Why a new endpoint cannot be had beside those that are there, and what to do about it.
    fn obstacle(&self, _: &World, _: &Resource<Endpoint>) -> Option<String> {
        Option::None
    }

    /// Whether the containers' packets pass the host's own routing, so that it must forward them,
    /// and may translate and filter them.
    fn passes_host(&self) -> bool {
        true
    }

    /// Addresses of the network's pools that no endpoint may have.
    fn kept(&self, _: &World, _: &Network) -> Vec<IpAddr> {
        Vec::new()
    }

    /// Where packets of an endpoint are judged by policy; none where nobody can.
    fn guard(&self, _node: &Name, _endpoint: &Resource<Endpoint>) -> Option<Guard> {
        Option::None
    }

    /// The namespace on the host that the host's ends of a network's pairs are in.
    fn outside(&self, _node: &Name, _network: &Name) -> Netns {
        Netns::Host
    }
}

/// Where packets of an endpoint are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The namespace.
    pub netns: Netns,
    /// How its packets pass it.
    pub passing: Passing,
    /// The interface by which packet filters there know its packets.
    pub interface: IfName,
    /// The port that it is behind, if the interface is a bridge.
    pub port: Option<IfName>,
}

/// How packets pass a namespace in which they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// It routes them; what goes from port to port of a bridge of it is shown to its packet filters.
    Routed,
    /// Only from port to port of a bridge.
    Bridged,
    /// They are its own: it is the sandbox.
    Own,
}

/// A network on one host.
pub struct Site<'a> {
    /// Everything.
    pub world: &'a World,
    /// The host.
    pub me: &'a Resource<Node>,
    /// The network.
    pub network: &'a Resource<Network>,
    /// The largest packet of its endpoints.
    pub mtu: Mtu,
    /// Its endpoints on whichever host, if it is one segment.
    pub members: &'a [&'a Resource<Endpoint>],
}

/// One endpoint on this host.
pub struct Plug<'a> {
    /// The endpoint.
    pub endpoint: &'a Resource<Endpoint>,
    /// The host's end of its pair.
    pub host_end: IfName,
    /// The namespace that it is in.
    pub outside: Netns,
    /// Whether the sandbox's default route goes through it: it does for one of several.
    pub is_default: bool,
}

/// What the container sees of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerView {
    /// Its addresses, each with the prefix length it is set with, and its gateway.
    pub addresses: Vec<(IpNet, Option<IpAddr>)>,
}

impl Site<'_> {
    /// The origin of an object that the network asks for.
    #[must_use]
    pub fn origin(&self, rule: &'static str) -> Origin {
        Origin {
            resource: self.network.key(),
            rule,
        }
    }

    /// Blocks of the network that this host hands addresses out of.
    pub fn own_blocks(&self) -> impl Iterator<Item = &Resource<tombolo_model::Block>> {
        let me = self.me.name();
        self.world
            .blocks
            .values()
            .filter(|block| self.network.spec.pools.contains(&block.spec.pool))
            .filter(move |block| block.spec.node.as_ref() == Some(me))
    }

    /// The ranges that the network's endpoints may have addresses in.
    pub fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.network
            .spec
            .pools
            .iter()
            .filter_map(|p| Some(self.world.pools.get(p)?.spec.cidr))
    }
}

impl Plug<'_> {
    /// The origin of an object that the endpoint asks for.
    #[must_use]
    pub fn origin(&self, rule: &'static str) -> Origin {
        Origin {
            resource: self.endpoint.key(),
            rule,
        }
    }

    /// Where an object is in the endpoint's sandbox.
    #[must_use]
    pub fn inside(&self, key: Key) -> Place {
        Place::sandbox(&self.endpoint.spec.sandbox, key)
    }

    /// Where the host's end of the pair is.
    #[must_use]
    pub fn host_place(&self) -> Place {
        Place {
            netns: self.outside.clone(),
            key: Key::Link(self.host_end.clone()),
        }
    }

    /// The loopback of the sandbox is up, as every program expects.
    fn want_loopback(&self, plan: &mut HostPlan) {
        let name = IfName::new("lo").expect("two letters make an interface name");
        let link = Link {
            kind: LinkKind::Existing,
            mtu: Option::None,
            mac: Option::None,
            up: true,
            port: Option::None,
        };
        let origin = self.origin("attachment: loopback of the sandbox");
        plan.want(self.inside(Key::Link(name)), Object::Link(link), origin);
    }
}

/// The namespace of an endpoint resource.
#[must_use]
pub fn namespace(endpoint: &Resource<Endpoint>) -> Name {
    endpoint
        .metadata
        .namespace
        .clone()
        .unwrap_or_else(|| Name::new("default").expect("letters make a name"))
}

/// The host's end of an endpoint's pair.
fn host_end(endpoint: &Resource<Endpoint>) -> IfName {
    naming::host_end(&namespace(endpoint), endpoint.name())
}

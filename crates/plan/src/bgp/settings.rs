//! What holds for a node's speaker: BGPConfiguration `node.NAME` before `default`, and the node itself.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use tombolo_bgp::{Asn, Bfd, Graceful, RouterId};
use tombolo_model::kinds::bgp::{
    BfdChoice, BgpConfiguration, BgpImport, BgpPassword, BgpPeer, Span,
};
use tombolo_model::{Family, Name, Node, Resource, World};

use crate::naming;

/// The system of nodes that nobody gives another (RFC 6996; Calico's, too).
const DEFAULT_AS: u32 = 64512;
/// The port of BGP (RFC 4271 section 8.2.1.3).
const DEFAULT_PORT: u16 = 179;
/// How many equally good paths are used at once.
const DEFAULT_MULTIPATH: u8 = 16;
/// How long peers wait for a node's return.
const DEFAULT_RESTART: Duration = Duration::from_secs(120);
/// How long routes of a peer that has returned may be stale (RFC 4724 section 4.2).
const STALE_TIME: Duration = Duration::from_secs(360);

/// What holds for a node's speaker.
pub(super) struct Settings<'a> {
    world: &'a World,
    all: Option<&'a Resource<BgpConfiguration>>,
    own: Option<&'a Resource<BgpConfiguration>>,
}

impl<'a> Settings<'a> {
    pub(super) fn of(world: &'a World, node: &Name) -> Settings<'a> {
        let find = |name: &str| {
            let name = Name::new(name).ok()?;
            world.bgp_configurations.get(&name)
        };
        Settings {
            world,
            all: find(BgpConfiguration::DEFAULT),
            own: find(&BgpConfiguration::name_of(node)),
        }
    }

    /// The node's own word, else all nodes'.
    fn pick<T>(&self, of: impl Fn(&'a BgpConfiguration) -> Option<T>) -> Option<T> {
        let mut given = self.own.into_iter().chain(self.all);
        given.find_map(|configuration| of(&configuration.spec))
    }

    pub(super) fn port(&self) -> u16 {
        self.pick(|spec| spec.listen_port).unwrap_or(DEFAULT_PORT)
    }

    pub(super) fn multipath(&self) -> u8 {
        self.pick(|spec| spec.multipath)
            .unwrap_or(DEFAULT_MULTIPATH)
    }

    /// Whether the nodes form a mesh, where that is said.
    pub(super) fn mesh(&self) -> Option<bool> {
        self.all?.spec.node_to_node_mesh_enabled
    }

    pub(super) fn mesh_password(&self) -> Option<&'a BgpPassword> {
        self.all?.spec.node_mesh_password.as_ref()
    }

    /// How a restart is survived, with peers that say nothing else.
    pub(super) fn graceful(&self) -> Graceful {
        let restart_time = self.pick(|spec| spec.node_mesh_max_restart_time);
        let long_lived = self.pick(|spec| spec.long_lived_stale_time);
        Graceful {
            restart_time: restart_time.map_or(DEFAULT_RESTART, |Span(time)| time),
            stale_time: STALE_TIME,
            long_lived: long_lived.and_then(lasting),
        }
    }

    /// The same with one peer, where that says anything.
    pub(super) fn graceful_with(&self, peer: &BgpPeer) -> Option<Graceful> {
        if peer.max_restart_time.is_none() && peer.long_lived_stale_time.is_none() {
            return None;
        }
        let usual = self.graceful();
        Some(Graceful {
            restart_time: (peer.max_restart_time).map_or(usual.restart_time, |Span(time)| time),
            long_lived: (peer.long_lived_stale_time).map_or(usual.long_lived, lasting),
            ..usual
        })
    }

    pub(super) fn bfd(&self) -> Option<Bfd> {
        bfd(self.pick(|spec| spec.bfd))
    }

    pub(super) fn import(&self) -> BgpImport {
        let given =
            |spec: &BgpConfiguration| (spec.import != BgpImport::default()).then_some(spec.import);
        self.pick(given).unwrap_or_default()
    }

    /// The communities that are told with a prefix, in words.
    pub(super) fn communities(&self, prefix: IpNet) -> Vec<&'a str> {
        let advertised =
            |spec: &'a BgpConfiguration| (!spec.prefix_advertisements.is_empty()).then_some(spec);
        let Some(spec) = self.pick(advertised) else {
            return Vec::new();
        };
        // Names are all nodes', also where the ranges are one node's.
        let named = |word: &'a str| match spec.community(word) {
            same if same == word => self.all.map_or(same, |all| all.spec.community(word)),
            found => found,
        };
        let fits = (spec.prefix_advertisements.iter()).filter(|each| each.cidr.contains(&prefix));
        fits.flat_map(|each| each.communities.iter().map(|word| named(word)))
            .collect()
    }

    /// The ranges of services, each with the configuration that names it.
    pub(super) fn service_ranges(
        &self,
    ) -> impl Iterator<Item = (IpNet, &'a Resource<BgpConfiguration>)> {
        let given = self.own.into_iter().chain(self.all);
        given.flat_map(|configuration| {
            let ranges = configuration.spec.service_ranges();
            ranges.map(move |(_, _, cidr)| (cidr, configuration))
        })
    }

    /// The port that another node's speaker listens on.
    pub(super) fn port_of(&self, node: &Name) -> u16 {
        Settings::of(self.world, node).port()
    }
}

/// The system of a node.
pub(super) fn asn(world: &World, node: &Resource<Node>) -> Asn {
    let own = node.spec.bgp.as_ref().and_then(|bgp| bgp.as_number);
    let default = || {
        let name = Name::new(BgpConfiguration::DEFAULT).ok()?;
        world.bgp_configurations.get(&name)?.spec.as_number
    };
    Asn(own
        .or_else(default)
        .map_or(DEFAULT_AS, |number| number.get()))
}

/// The identifier of a node: as it says, else its IPv4 address, else one that follows from its name.
pub(super) fn router_id(node: &Resource<Node>) -> RouterId {
    let said = node.spec.bgp.as_ref().and_then(|bgp| bgp.router_id);
    let address = || match node.spec.address(Family::V4)?.address.addr() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    let id = said.or_else(address);
    RouterId(id.unwrap_or_else(|| Ipv4Addr::from_bits(naming::router_number(node.name()))))
}

/// The cluster that a node reflects routes in, if it does.
pub(super) fn is_reflector(node: &Resource<Node>) -> bool {
    let bgp = node.spec.bgp.as_ref();
    bgp.is_some_and(|bgp| bgp.route_reflector_cluster_id.is_some())
}

/// A time of long-lived routes; none where it is nothing.
fn lasting(Span(time): Span) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// A choice as the speaker takes it.
pub(super) fn bfd(choice: Option<BfdChoice>) -> Option<Bfd> {
    match choice? {
        BfdChoice::Off => None,
        BfdChoice::On {
            interval,
            multiplier,
        } => Some(Bfd {
            interval: interval.0,
            multiplier,
        }),
    }
}

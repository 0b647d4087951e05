//! BGP: what a host's speaker is to be, what it tells, and the routes that follow from what it is told.
//!
//! ```text
//!  BGPConfiguration, Node.spec.bgp ─► settings ─┐
//!  nodes, BGPPeer ──────────────────► peers ────┼─► BgpPlan (config, what is announced)
//!  BGPFilter, pools, the underlay ──► filters ──┤
//!  blocks, addresses, ranges ───────► advertise ┘
//!  Learned (of this node) ──────────► learned ────► routes in the main table, metric 2000
//! ```
//!
//! A host has a speaker as long as a network with transport `bgp` is in place on it, or a BGPPeer is
//! about it. Nothing that is told by others goes into a kernel but by a plan.

mod advertise;
mod filters;
mod learned;
mod peers;
mod settings;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use tombolo_bgp::{Config, Filter, Origination, PeerKey, RouterId};
use tombolo_model::kinds::Physical;
use tombolo_model::{Name, Network, Node, Resource, ResourceKey, World};

use crate::driver::{self, Reach};
use crate::host_plan::{HostPlan, Origin};
use crate::ways::Ways;
use settings::Settings;

/// The metric of routes that were learned: behind those of everybody who says none (0, and 1024 for
/// IPv6), so that they never take the place of the host's own or of another transport's.
pub const BGP_METRIC: u32 = 2000;

/// What a host's BGP speaker is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpPlan {
    /// Itself and its peers. Passwords that are in files are not filled in.
    pub config: Config,
    /// Who asked for it.
    pub origin: Origin,
    /// Who asked for each peer.
    pub peers: BTreeMap<PeerKey, Origin>,
    /// The files on the node that hold peers' passwords.
    pub password_files: BTreeMap<PeerKey, String>,
    /// What it announces of its own.
    pub advertise: BTreeMap<IpNet, Advertised>,
}

/// A prefix that is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// What is told with it.
    pub origination: Origination,
    /// Who asked for it.
    pub origin: Origin,
}

/// A network whose packets go by what BGP tells, on one host.
struct Speaking<'a> {
    network: &'a Resource<Network>,
    ways: Ways<'a>,
}

/// What the parts of this module work on.
struct Site<'a> {
    world: &'a World,
    me: &'a Resource<Node>,
    settings: Settings<'a>,
    networks: Vec<Speaking<'a>>,
    /// Networks whose containers share a host's interface, and whose packets the host routes.
    sharing: Vec<(&'a Resource<Network>, Physical)>,
}

/// Plans a host's speaker and the routes that it has learned.
pub(crate) fn plan(world: &World, me: &Resource<Node>, plan: &mut HostPlan) {
    let site = Site {
        world,
        me,
        settings: Settings::of(world, me.name()),
        networks: networks(world, me),
        sharing: sharing(world),
    };
    let peers = peers::of(&site, plan);
    let Some(origin) = site.origin(&peers) else {
        return;
    };
    let mut bgp = BgpPlan {
        config: Config {
            asn: settings::asn(world, me),
            router_id: settings::router_id(me),
            port: site.settings.port(),
            cluster_id: me.spec.bgp.as_ref().and_then(|bgp| {
                let id = bgp.route_reflector_cluster_id?;
                Some(RouterId(id))
            }),
            multipath: site.settings.multipath(),
            graceful: Some(site.settings.graceful()),
            peers: BTreeMap::new(),
        },
        origin,
        peers: BTreeMap::new(),
        password_files: BTreeMap::new(),
        advertise: advertise::of(&site),
    };
    for (key, neighbour) in peers {
        bgp.password_files
            .extend(neighbour.password_file.map(|file| (key.clone(), file)));
        bgp.peers.insert(key.clone(), neighbour.origin);
        bgp.config.peers.insert(key, neighbour.peer);
    }
    learned::plan(&site, &bgp, plan);
    plan.bgp = Some(bgp);
}

/// The networks that packets of this host go or come by BGP in, also while they change.
fn networks<'a>(world: &'a World, me: &'a Resource<Node>) -> Vec<Speaking<'a>> {
    let mut found = Vec::new();
    for network in world.networks.values() {
        let Some(driver) = driver::find(&network.spec.driver) else {
            continue;
        };
        if driver.reach != Reach::Routes {
            continue;
        }
        let ways = Ways::new(world, me, network, driver);
        if ways.has_in_place("bgp") {
            found.push(Speaking { network, ways });
        }
    }
    found
}

/// Those with driver `ipvlan` in a mode in which a container's addresses are its alone.
fn sharing(world: &World) -> Vec<(&Resource<Network>, Physical)> {
    let networks = world.networks.values();
    let physical = networks.filter_map(|network| Some((network, network.spec.physical()?)));
    physical.filter(|(_, spec)| spec.sort.is_routed()).collect()
}

impl Site<'_> {
    /// Who asks that there is a speaker at all.
    fn origin(&self, peers: &peers::Peers) -> Option<Origin> {
        let network = self.networks.first().map(|speaking| Origin {
            resource: speaking.network.key(),
            rule: "bgp: a speaker for a network's transport",
        });
        network.or_else(|| {
            let (_, first) = peers.first_key_value()?;
            Some(Origin {
                resource: first.origin.resource.clone(),
                rule: "bgp: a speaker for a peer",
            })
        })
    }

    /// The network of a pool, if its packets go by BGP.
    fn speaking(&self, pool: &Name) -> Option<&Speaking<'_>> {
        let mut networks = self.networks.iter();
        networks.find(|speaking| speaking.network.spec.pools.contains(pool))
    }

    /// Whether the blocks of a pool are told by BGP.
    fn is_told(&self, pool: &Name) -> bool {
        let mut sharing = self.sharing.iter();
        self.speaking(pool).is_some()
            || sharing.any(|(network, _)| network.spec.pools.contains(pool))
    }
}

impl BgpPlan {
    /// What it announces of its own, as the speaker takes it.
    #[must_use]
    pub fn originate(&self) -> BTreeMap<IpNet, Origination> {
        let prefixes = self.advertise.iter();
        prefixes
            .map(|(prefix, advertised)| (*prefix, advertised.origination.clone()))
            .collect()
    }

    /// The resource that a peer is there for.
    #[must_use]
    pub fn asked_by(&self, peer: &PeerKey) -> Option<&ResourceKey> {
        self.peers.get(peer).map(|origin| &origin.resource)
    }
}

impl fmt::Display for BgpPlan {
    /// A line for the speaker, for each peer, for each prefix that is announced, for each filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        write!(f, "bgp as {} id {}", config.asn, config.router_id)?;
        if let Some(cluster) = config.cluster_id {
            write!(f, " cluster {cluster}")?;
        }
        let (port, multipath) = (config.port, config.multipath);
        write!(f, " port {port} multipath {multipath}")?;
        if let Some(graceful) = config.graceful {
            words::restart(graceful, f)?;
        }
        writeln!(f, "  # {}", self.origin)?;
        for (key, peer) in &config.peers {
            write!(f, "bgp peer {key}")?;
            words::peer(peer, f)?;
            if let Some(file) = self.password_files.get(key) {
                write!(f, " password in {file}")?;
            }
            match self.peers.get(key) {
                Some(origin) => writeln!(f, "  # {origin}")?,
                None => writeln!(f)?,
            }
        }
        for (prefix, advertised) in &self.advertise {
            write!(f, "bgp advertise {prefix}")?;
            let told = &advertised.origination;
            let communities = told.communities.iter().map(ToString::to_string);
            let large = told.large_communities.iter().map(ToString::to_string);
            for community in communities.chain(large) {
                write!(f, " community {community}")?;
            }
            writeln!(f, "  # {}", advertised.origin)?;
        }
        self.write_filters("import", |peer| &peer.import, f)?;
        self.write_filters("export", |peer| &peer.export, f)
    }
}

impl BgpPlan {
    /// Each filter once, with the peers that it is for.
    fn write_filters(
        &self,
        direction: &str,
        filter: fn(&tombolo_bgp::Peer) -> &Filter,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let mut seen: Vec<(&Filter, Vec<String>)> = Vec::new();
        for (key, peer) in &self.config.peers {
            let filter = filter(peer);
            match seen.iter_mut().find(|(other, _)| *other == filter) {
                Some((_, keys)) => keys.push(key.to_string()),
                None => seen.push((filter, vec![key.to_string()])),
            }
        }
        for (filter, keys) in seen {
            writeln!(f, "bgp {direction} {}", keys.join(" "))?;
            for rule in &filter.rules {
                writeln!(f, "  {}", filters::describe(rule))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

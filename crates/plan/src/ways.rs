//! The ways between this host and its peers in one network, and which one is taken.
//!
//! The rules that let a transport change under traffic ([`crate::network`]) are all here.
//!
//! Which of them is taken, and when, is decided in [`choice`].

mod choice;
mod expected;
mod peering;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{MtuChoice, NodeNetworkStatus, Purpose, TransportSpec};
use tombolo_model::{Block, Family, Mtu, Name, Network, Node, Resource, World};

use crate::driver::{Driver, Reach};
use crate::host_plan::{HostPlan, Origin};
use crate::transport::{self, Destination, Path, Peer, Site, Transport};

pub use peering::{Peering, peerings};

/// The MTU that is taken where no underlay address says another.
const ETHERNET_MTU: u32 = 1500;

/// The ways between this host and its peers in one network.
pub(crate) struct Ways<'a> {
    world: &'a World,
    me: &'a Resource<Node>,
    network: &'a Resource<Network>,
    /// The present transport; none for a driver that stays on its host.
    present: Option<TransportSpec>,
    /// The transports that this host is to receive by: the present one, and what peers send by.
    wanted: Vec<TransportSpec>,
    /// Those, and what this host has promised to receive or send by and not withdrawn: all that
    /// must be in place here.
    in_place: Vec<TransportSpec>,
    /// What this host has promised, as the store has it.
    promised: NodeNetworkStatus,
    /// Families of the underlay that peers are reached over, the preferred one first.
    families: Vec<Family>,
}

impl<'a> Ways<'a> {
    pub(crate) fn new(
        world: &'a World,
        me: &'a Resource<Node>,
        network: &'a Resource<Network>,
        driver: &Driver,
    ) -> Ways<'a> {
        let given = network
            .spec
            .transport
            .as_ref()
            .filter(|_| driver.spans_nodes());
        let present = given.map(TransportSpec::everywhere);
        let mut wanted: Vec<TransportSpec> = present.clone().into_iter().collect();
        for peer in world.nodes.values() {
            let status = peer.status.networks.get(network.name());
            if let Some(status) =
                status.filter(|_| driver.spans_nodes() && peer.name() != me.name())
            {
                push_all(&mut wanted, &status.sends);
            }
        }
        let promised = me.status.networks.get(network.name()).cloned();
        let promised = promised
            .filter(|_| driver.spans_nodes())
            .unwrap_or_default();
        let mut in_place = wanted.clone();
        push_all(&mut in_place, &promised.receives);
        push_all(&mut in_place, &promised.sends);
        let mut ways = Ways {
            world,
            me,
            network,
            present,
            wanted,
            in_place,
            promised,
            families: Vec::new(),
        };
        ways.families = ways.families_in_use();
        ways
    }

    /// Whether the network has addresses of a family.
    pub(crate) fn carries(&self, family: Family) -> bool {
        let pools = self.network.spec.pools.iter();
        pools
            .filter_map(|pool| self.world.pools.get(pool))
            .any(|pool| Family::of_net(pool.spec.cidr) == family)
    }

    /// The families that the network has addresses of.
    pub(crate) fn carried(&self) -> Vec<Family> {
        let all = Family::ALL.into_iter();
        all.filter(|family| self.carries(*family)).collect()
    }

    /// The largest packet of the network's endpoints on this host: what the transport with the
    /// largest overhead of those in use leaves of the underlay's.
    pub(crate) fn endpoint_mtu(&self) -> Option<Mtu> {
        if let MtuChoice::Fixed(mtu) = self.network.spec.mtu {
            return Some(mtu);
        }
        let underlay = self.me.spec.addresses.iter().map(|a| a.mtu.get()).min();
        let overheads = (self.in_place.iter())
            .filter_map(|spec| Some((spec, transport::find(spec.name.as_str())?)))
            .flat_map(|(spec, transport)| {
                let families = self.families.iter();
                families.map(move |family| transport.overhead(spec, *family))
            });
        let left = underlay
            .unwrap_or(ETHERNET_MTU)
            .checked_sub(overheads.max().unwrap_or(0))?;
        Mtu::new(u64::from(left)).ok()
    }

    /// Plans receivers, then the ways to every peer, and says what is done.
    pub(crate) fn plan(&self, mtu: Mtu, plan: &mut HostPlan) {
        let tunnels = self.tunnels();
        let mut announce = NodeNetworkStatus::default();
        for spec in &self.in_place {
            let Some(transport) = transport::find(spec.name.as_str()) else {
                continue;
            };
            transport.receive(&self.site(spec, &tunnels, mtu), plan);
            let ready = !transport.encapsulates() || self.has_tunnels(&tunnels);
            if ready && self.wanted.contains(spec) {
                push_new(&mut announce.receives, spec.clone());
            }
        }
        push_new(&mut announce.receives, direct());
        for (peer, nets) in self.destinations() {
            let Some(peer) = self.world.nodes.get(&peer) else {
                continue;
            };
            let tunnel = tunnels.get(peer.name()).cloned().unwrap_or_default();
            self.expect_all((peer, &nets), &tunnels, mtu, plan);
            for family in Family::ALL {
                let of_family = |(net, _): &&(IpNet, Origin)| Family::of_net(*net) == family;
                let nets: Vec<_> = nets.iter().filter(of_family).collect();
                if nets.is_empty() {
                    continue;
                }
                let learned = self.learned(nets.iter().map(|(net, _)| *net));
                let choice = match self.choose(peer, family, learned) {
                    Ok(choice) => choice,
                    Err(why) => {
                        self.report(peer, family, (&why, None), plan);
                        continue;
                    }
                };
                let Some(choice) = choice else { continue };
                push_all(&mut announce.sends, choice.next.as_slice());
                let by = choice.now.as_ref().map(|way| way.transport.name());
                if let Some(why) = &choice.obstacle {
                    self.report(peer, family, (why, by), plan);
                }
                let Some(now) = choice.now else { continue };
                push_new(&mut announce.sends, now.spec.clone());
                let site = self.site(&now.spec, &tunnels, mtu);
                let to = Peer {
                    node: peer,
                    passes: self.passes(now.transport.port(&now.spec), &now.path),
                    path: now.path,
                    tunnel: tunnel.clone(),
                };
                send_all(&site, now.transport, &to, &nets, plan);
            }
        }
        plan.announce.insert(self.network.name().clone(), announce);
    }

    /// The present transport, as the host has it.
    pub(crate) fn present(&self) -> Option<(&TransportSpec, &'static dyn Transport)> {
        let spec = self.present.as_ref()?;
        Some((spec, transport::find(spec.name.as_str())?))
    }

    fn site<'s>(
        &'s self,
        spec: &'s TransportSpec,
        tunnels: &BTreeMap<Name, Vec<IpAddr>>,
        mtu: Mtu,
    ) -> Site<'s> {
        Site {
            me: self.me,
            network: self.network,
            spec,
            families: self.families.clone(),
            carries: self.carried(),
            tunnel: tunnels.get(self.me.name()).cloned().unwrap_or_default(),
            mtu: mtu.get(),
        }
    }

    /// Says why a peer is not reached as the network asks for, and by what it is, if at all.
    fn report(
        &self,
        peer: &Resource<Node>,
        family: Family,
        (why, by): (&str, Option<&str>),
        plan: &mut HostPlan,
    ) {
        let meanwhile = by.map(|by| format!("; until then packets go on by {by}"));
        let message = format!(
            "{family} addresses at node {} cannot be reached: {why}; use transport vxlan, with \
             crossSubnet where only some nodes are in other subnets{}",
            peer.name(),
            meanwhile.unwrap_or_default()
        );
        plan.problem(self.network.key(), message);
    }

    /// Whether a transport must be in place here.
    pub(crate) fn has_in_place(&self, transport: &str) -> bool {
        (self.in_place.iter()).any(|spec| spec.name.as_str() == transport)
    }

    /// How much of what a peer holds has been learned by BGP.
    fn learned(&self, nets: impl Iterator<Item = IpNet>) -> Known {
        let learned = self.world.learned.get(self.me.name());
        let routes = learned.map_or(&[][..], |learned| &learned.spec.routes);
        let mut known = Known {
            all: true,
            any: false,
        };
        for net in nets {
            // They come in order of their prefixes.
            let is_there = routes
                .binary_search_by(|route| route.prefix.cmp(&net))
                .is_ok();
            known.all &= is_there;
            known.any |= is_there;
        }
        known
    }

    fn peers(&self) -> impl Iterator<Item = &'a Resource<Node>> + use<'a> {
        let me = self.me.name();
        self.world
            .nodes
            .values()
            .filter(move |node| node.name() != me)
    }

    fn families_in_use(&self) -> Vec<Family> {
        let used: Vec<Family> = self
            .peers()
            .filter_map(|peer| self.path(peer))
            .map(|path| path.family())
            .collect();
        let preferred = self.preferred();
        if used.is_empty() {
            let own = preferred
                .into_iter()
                .find(|f| self.me.spec.address(*f).is_some());
            return own.into_iter().collect();
        }
        preferred
            .into_iter()
            .filter(|family| used.contains(family))
            .collect()
    }

    fn preferred(&self) -> [Family; 2] {
        match self.network.spec.underlay {
            Some(Family::V6) => [Family::V6, Family::V4],
            _ => [Family::V4, Family::V6],
        }
    }

    /// The way over the underlay to a peer: by the preferred family that both have.
    pub(crate) fn path(&self, peer: &'a Resource<Node>) -> Option<Path<'a>> {
        self.preferred()
            .into_iter()
            .find_map(|family| self.path_by(peer, family))
    }

    fn path_by(&self, peer: &'a Resource<Node>, family: Family) -> Option<Path<'a>> {
        Some(Path {
            here: self.me.spec.address(family)?,
            there: peer.spec.address(family)?,
        })
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &'a Resource<Block>> {
        let pools = &self.network.spec.pools;
        self.world
            .blocks
            .values()
            .filter(move |block| pools.contains(&block.spec.pool))
    }

    /// Each node's own addresses in the network, where a transport ends.
    fn tunnels(&self) -> BTreeMap<Name, Vec<IpAddr>> {
        let mut tunnels: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
        for block in self.blocks() {
            for (address, allocation) in block.spec.in_use() {
                if allocation.purpose == Purpose::Tunnel {
                    tunnels
                        .entry(allocation.node.clone())
                        .or_default()
                        .push(address);
                }
            }
        }
        tunnels
    }

    /// Whether this host has an address of its own in each family that the network carries.
    fn has_tunnels(&self, tunnels: &BTreeMap<Name, Vec<IpAddr>>) -> bool {
        let own = tunnels
            .get(self.me.name())
            .map(Vec::as_slice)
            .unwrap_or_default();
        Family::ALL
            .into_iter()
            .filter(|family| self.carries(*family))
            .all(|family| own.iter().any(|address| Family::of(*address) == family))
    }

    /// What each other node holds: its blocks, and single addresses of blocks that are not its own.
    fn destinations(&self) -> BTreeMap<Name, Vec<(IpNet, Origin)>> {
        let me = self.me.name();
        let mut destinations: BTreeMap<Name, Vec<(IpNet, Origin)>> = BTreeMap::new();
        for block in self.blocks() {
            let owner = block.spec.node.as_ref();
            if let Some(owner) = owner.filter(|owner| *owner != me) {
                let rule = "network: way to a block of another node";
                let origin = Origin {
                    resource: block.key(),
                    rule,
                };
                destinations
                    .entry(owner.clone())
                    .or_default()
                    .push((block.spec.cidr, origin));
            }
            for (address, allocation) in block.spec.in_use() {
                let node = &allocation.node;
                if node != me && owner != Some(node) {
                    let rule = "network: way to an address that another node borrowed";
                    let origin = Origin {
                        resource: block.key(),
                        rule,
                    };
                    let net = Family::host_net(address);
                    destinations
                        .entry(node.clone())
                        .or_default()
                        .push((net, origin));
                }
            }
        }
        destinations
    }
}

/// How much of what a peer holds has been learned by BGP.
#[derive(Debug, Clone, Copy)]
struct Known {
    all: bool,
    any: bool,
}

/// The transport that any node receives by without making anything.
fn direct() -> TransportSpec {
    TransportSpec::named(Name::new("direct").expect("letters make a name"))
}

/// Plans the destinations of one family at a peer.
fn send_all(
    site: &Site,
    transport: &dyn Transport,
    to: &Peer,
    nets: &[&(IpNet, Origin)],
    plan: &mut HostPlan,
) {
    let passes = to
        .path
        .mtu()
        .saturating_sub(transport.overhead(site.spec, to.path.family()))
        .min(to.passes.unwrap_or(u32::MAX));
    for (net, origin) in nets {
        let destination = Destination {
            net: *net,
            origin: origin.clone(),
            mtu: (passes < site.mtu).then_some(passes),
        };
        transport.send(site, to, &destination, plan);
    }
}

fn push_all<T: PartialEq + Clone>(list: &mut Vec<T>, items: &[T]) {
    items.iter().for_each(|item| push_new(list, item.clone()));
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The networks in which a node needs an address of its own, because a transport ends there, or
/// because it is to reach its own containers on a physical segment.
#[must_use]
pub fn needing_tunnels(world: &World, node: &Name) -> Vec<Name> {
    let Some(me) = world.nodes.get(node) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for network in world.networks.values() {
        let Some(driver) = crate::driver::find(&network.spec.driver) else {
            continue;
        };
        if is_on_segment(world, node, network) {
            names.push(network.name().clone());
            continue;
        }
        // A segment ends nowhere on a host but in its bridge.
        if driver.reach == Reach::Segment {
            continue;
        }
        let ways = Ways::new(world, me, network, driver);
        let needed = |spec: &TransportSpec| {
            transport::find(spec.name.as_str()).is_some_and(|transport| transport.encapsulates())
        };
        if ways.in_place.iter().any(needed) {
            names.push(network.name().clone());
        }
    }
    names
}

/// Whether a node has containers on a physical segment on which it is to be itself. Only then: such a
/// segment's addresses are scarce.
fn is_on_segment(world: &World, node: &Name, network: &Resource<Network>) -> bool {
    (network.spec.physical()).is_some_and(|spec| spec.host_access)
        && (world.endpoints.values())
            .any(|endpoint| endpoint.spec.node == *node && endpoint.spec.network == *network.name())
}

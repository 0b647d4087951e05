//! The ways between this host and its peers in one network, and which one is taken.
//!
//! The rules that let a transport change under traffic ([`crate::network`]) are all here.
//!
//! A way that needs a receiver is used only between two promises, both read from the World: the
//! peer says that it receives by it, and this host says that it sends by it. Both promises are
//! written before the deed and withdrawn after it, and the World holds the host's own promise only
//! once the store has given it back. So of a sender that begins and a receiver that ends at the
//! same moment, one always sees the other:
//!
//! ```text
//!  begin to send      say sends X      → seen by myself, peer still receives X → route by X
//!  cease to send      route by Y       → say sends Y only
//!  cease to receive   say receives Y   → seen by myself, nobody sends X        → remove X
//! ```
//!
//! The agent's part: a plan is made only from a World at least as new as its node's own last write.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{MtuChoice, NodeNetworkStatus, Purpose, TransportSpec};
use tombolo_model::{Block, Family, Mtu, Name, Network, Node, Resource, World};

use crate::driver::Driver;
use crate::host_plan::{HostPlan, Origin};
use crate::transport::{self, Destination, Path, Peer, Site, Transport};

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
}

/// How a peer is reached, at present and next.
struct Choice<'a> {
    /// Now, if any way is open before a promise is made.
    now: Option<Way<'a>>,
    /// As soon as it is promised.
    next: Option<TransportSpec>,
    /// Why it is not as the network asks for.
    obstacle: Option<String>,
}

/// How a peer is reached.
struct Way<'a> {
    spec: TransportSpec,
    transport: &'static dyn Transport,
    path: Path<'a>,
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
            .filter(|_| driver.spans_nodes);
        let present = given.map(TransportSpec::everywhere);
        let mut wanted: Vec<TransportSpec> = present.clone().into_iter().collect();
        for peer in world.nodes.values() {
            let status = peer.status.networks.get(network.name());
            if let Some(status) = status.filter(|_| driver.spans_nodes && peer.name() != me.name())
            {
                push_all(&mut wanted, &status.sends);
            }
        }
        let promised = me.status.networks.get(network.name()).cloned();
        let promised = promised.filter(|_| driver.spans_nodes).unwrap_or_default();
        let mut in_place = wanted.clone();
        push_all(&mut in_place, &promised.receives);
        push_all(&mut in_place, &promised.sends);
        Ways {
            world,
            me,
            network,
            present,
            wanted,
            in_place,
            promised,
        }
    }

    /// Whether the network has addresses of a family.
    pub(crate) fn carries(&self, family: Family) -> bool {
        let pools = self.network.spec.pools.iter();
        pools
            .filter_map(|pool| self.world.pools.get(pool))
            .any(|pool| Family::of_net(pool.spec.cidr) == family)
    }

    /// The largest packet of the network's endpoints on this host: what the transport with the
    /// largest overhead of those in use leaves of the underlay's.
    pub(crate) fn endpoint_mtu(&self) -> Option<Mtu> {
        if let MtuChoice::Fixed(mtu) = self.network.spec.mtu {
            return Some(mtu);
        }
        let underlay = self.me.spec.addresses.iter().map(|a| a.mtu.get()).min();
        let families = self.families();
        let overheads = (self.in_place.iter())
            .filter_map(|spec| transport::find(spec.name.as_str()))
            .flat_map(|transport| families.iter().map(|family| transport.overhead(*family)));
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
            let ready = !transport.needs_receiver() || self.has_tunnels(&tunnels);
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
            for family in Family::ALL {
                let of_family = |(net, _): &&(IpNet, Origin)| Family::of_net(*net) == family;
                let nets: Vec<_> = nets.iter().filter(of_family).collect();
                if nets.is_empty() {
                    continue;
                }
                let choice = match self.choose(peer, family) {
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
                    path: now.path,
                    tunnel: tunnel.clone(),
                };
                send_all(&site, now.transport, &to, &nets, plan);
            }
        }
        plan.announce.insert(self.network.name().clone(), announce);
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
            families: self.families(),
            tunnel: tunnels.get(self.me.name()).cloned().unwrap_or_default(),
            mtu: mtu.get(),
        }
    }

    /// How a peer's addresses of one family are reached; nothing if that is left to the host's
    /// other routes; why not, if there is no way.
    fn choose(
        &self,
        peer: &'a Resource<Node>,
        inner: Family,
    ) -> Result<Option<Choice<'a>>, String> {
        let (Some(given), Some(present)) = (&self.network.spec.transport, &self.present) else {
            return Err("the network has no transport; set spec.transport".to_owned());
        };
        let status = peer.status.networks.get(self.network.name());
        let receives = status.map(|s| s.receives.as_slice()).unwrap_or_default();
        let mut candidates = Vec::new();
        if given.cross_subnet {
            candidates.push(direct());
        }
        push_new(&mut candidates, present.clone());
        let asked_for = candidates.len();
        push_all(&mut candidates, &self.promised.sends);
        push_all(&mut candidates, receives);
        let mut obstacle = None;
        let mut open = Vec::new();
        for (index, spec) in candidates.into_iter().enumerate() {
            let Some(transport) = transport::find(spec.name.as_str()) else {
                continue;
            };
            match self.open(peer, transport, inner) {
                Err(why) if index < asked_for => obstacle = obstacle.or(Some(why)),
                Err(_) => {}
                Ok(path) => {
                    // What the network asks for is possible, if not at once.
                    if index < asked_for {
                        obstacle = None;
                    }
                    open.push(Way {
                        spec,
                        transport,
                        path,
                    });
                }
            }
            // Routers between subnets may know the ranges: the host's other routes decide.
            let is_last = index + 1 == asked_for;
            if is_last && open.is_empty() && given.cross_subnet && present.name == direct().name {
                return Ok(None);
            }
        }
        if open.is_empty() {
            return Err(obstacle.unwrap_or_default());
        }
        let (now, next) = self.pick(open, receives);
        Ok(Some(Choice {
            now,
            next,
            obstacle,
        }))
    }

    /// Of the ways that are open, the best first: the one to take now, and the one to take next.
    fn pick(
        &self,
        mut open: Vec<Way<'a>>,
        receives: &[TransportSpec],
    ) -> (Option<Way<'a>>, Option<TransportSpec>) {
        let sends = &self.promised.sends;
        let received = |way: &Way| !way.transport.needs_receiver() || receives.contains(&way.spec);
        // A host that sends nothing yet has no packets to lose, and begins at once.
        let begun = |way: &Way| {
            let is_first = sends.is_empty() && Some(&way.spec) == self.present.as_ref();
            !way.transport.needs_receiver() || is_first || sends.contains(&way.spec)
        };
        let next = open.iter().find(|way| received(way));
        let next = next.map(|way| way.spec.clone());
        let now = (open.iter().position(|way| received(way) && begun(way)))
            // The peer takes no new senders by it, but still receives what this host sends.
            .or_else(|| open.iter().position(|way| sends.contains(&way.spec)))
            // The peer has said nothing: the present one is as good as any.
            .or_else(|| {
                open.iter()
                    .position(|way| self.in_place.contains(&way.spec))
            });
        (now.map(|index| open.swap_remove(index)), next)
    }

    /// The path to a peer by one transport, or what is in the way.
    fn open(
        &self,
        peer: &'a Resource<Node>,
        transport: &dyn Transport,
        inner: Family,
    ) -> Result<Path<'a>, String> {
        // Without encapsulation the family of the packets is that of the underlay.
        let path = (!transport.needs_receiver())
            .then(|| self.path_by(peer, inner))
            .flatten()
            .or_else(|| self.path(peer))
            .ok_or("the nodes have no underlay addresses of the same family")?;
        match transport.obstacle(&path, inner) {
            None => Ok(path),
            Some(obstacle) => Err(format!("transport {}: {obstacle}", transport.name())),
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

    fn peers(&self) -> impl Iterator<Item = &'a Resource<Node>> + use<'a> {
        let me = self.me.name();
        self.world
            .nodes
            .values()
            .filter(move |node| node.name() != me)
    }

    /// Families of the underlay that peers are reached over, the preferred one first.
    fn families(&self) -> Vec<Family> {
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
    fn path(&self, peer: &'a Resource<Node>) -> Option<Path<'a>> {
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

    fn blocks(&self) -> impl Iterator<Item = &'a Resource<Block>> {
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
        .saturating_sub(transport.overhead(to.path.family()));
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

/// The networks in which a node needs an address of its own, because a transport ends there.
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
        let ways = Ways::new(world, me, network, driver);
        let needed = |spec: &TransportSpec| {
            transport::find(spec.name.as_str()).is_some_and(|transport| transport.needs_receiver())
        };
        if ways.in_place.iter().any(needed) {
            names.push(network.name().clone());
        }
    }
    names
}

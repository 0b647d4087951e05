//! The routes that follow from what a host's speaker was told.
//!
//! ```text
//!  prefix                                         planned
//!  a block of another node, or a single address   yes, for that block
//!  that is at another node
//!  this node's own                                no, without a word: it has come back
//!  otherwise in a pool of ours                    no, and told; with import.pools, yes
//!  anything else                                  yes, for the peer that told it
//! ```
//!
//! What a pool's addresses are is known from the blocks, so no peer can draw a container's packets to
//! itself by announcing a part of its block.
//!
//! Whose word on a block is taken:
//!
//! ```text
//!  the node's that holds it         yes
//!  a reflector's, a router's        yes: to pass on what others told is what they are peers for
//!  any other node's                 where this host does not speak with the holder itself
//! ```
//!
//! So a node that claims another's block, as one that was restored from an old image may, draws nothing
//! to itself. Of a router that cannot be known: it may be the only way there is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_bgp::PeerKey;
use tombolo_model::kinds::bgp::{Learned, LearnedHop, LearnedRoute};
use tombolo_model::{Block, Family, Name, Node, Resource, ResourceKey};

use super::{BGP_METRIC, BgpPlan, Site, settings};
use crate::host_plan::{HostPlan, Origin};
use crate::objects::{Hop, Key, MAIN_TABLE, NextHop, Object, Place, Route};
use crate::transport::Path;

/// Plans the routes of a host's own [`Learned`].
pub(super) fn plan(site: &Site, bgp: &BgpPlan, plan: &mut HostPlan) {
    let Some(learned) = site.world.learned.get(site.me.name()) else {
        return;
    };
    let tellers = Tellers::of(site, bgp);
    let mut refused = Refused::default();
    for route in learned.spec.routes.iter() {
        let Some((origin, holder)) = site.judge(learned, route, &tellers, &mut refused) else {
            continue;
        };
        let may_tell = |hop: &LearnedHop| holder.is_none_or(|holder| tellers.may_tell(hop, holder));
        let Some(next) = site.next(route, may_tell, &mut refused) else {
            continue;
        };
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: route.prefix,
            metric: BGP_METRIC,
        };
        let route = Route {
            next,
            source: site.source(Family::of_net(route.prefix)),
            mtu: holder.and_then(|holder| site.mtu_to(holder, route.prefix)),
        };
        plan.want(Place::host(key), Object::Route(route), origin);
    }
    refused.tell(site, learned.spec.settled, plan);
}

/// The peers, by what their word is worth.
struct Tellers<'a> {
    bgp: &'a BgpPlan,
    nodes: BTreeMap<IpAddr, &'a Resource<Node>>,
    /// The nodes that this host speaks with itself.
    spoken_with: BTreeSet<&'a Name>,
}

impl<'a> Tellers<'a> {
    fn of(site: &Site<'a>, bgp: &'a BgpPlan) -> Tellers<'a> {
        let mut nodes = BTreeMap::new();
        for node in site.world.nodes.values() {
            let addresses = node.spec.addresses.iter();
            nodes.extend(addresses.map(|own| (own.address.addr(), node)));
        }
        let peers = bgp.config.peers.keys();
        let spoken_with = peers.filter_map(|peer| Some(nodes.get(&peer.address)?.name()));
        Tellers {
            bgp,
            spoken_with: spoken_with.collect(),
            nodes,
        }
    }

    /// Whether a hop's peer may say where a node's addresses are.
    fn may_tell(&self, hop: &LearnedHop, holder: &Name) -> bool {
        let peer = hop.from.as_ref();
        let Some(node) = peer.and_then(|peer| self.nodes.get(&peer.address)) else {
            return true;
        };
        node.name() == holder || settings::is_reflector(node) || !self.spoken_with.contains(holder)
    }

    /// The resource that a route's first peer is there for; none where no peer told it.
    fn asked_by(&self, route: &LearnedRoute) -> Option<&'a ResourceKey> {
        let mut peers = route.next_hops.iter().filter_map(|hop| hop.from.as_ref());
        peers.find_map(|peer| {
            self.bgp.asked_by(&PeerKey {
                address: peer.address,
                interface: peer.interface.as_ref().map(ToString::to_string),
            })
        })
    }
}

/// What is not planned, and why, by what is to blame: of thousands one is told.
#[derive(Default)]
struct Refused {
    /// In a pool where nobody may announce it: who told it, the pool, and why.
    no_block: BTreeMap<(ResourceKey, Name, &'static str), (IpNet, usize)>,
    /// Next hops that nothing leads to.
    no_way: BTreeMap<IpAddr, (IpNet, usize)>,
}

impl Refused {
    fn tell(self, site: &Site, settled: bool, plan: &mut HostPlan) {
        // What is kept over a restart is not judged twice.
        if !settled {
            return;
        }
        for ((teller, pool, why), (first, count)) in self.no_block {
            let message = format!(
                "announces {first}{} of IPPool {pool}, but {why}, so packets are not \
                 sent there; if it may, set spec.import.pools of BGPConfiguration",
                others(count)
            );
            plan.problem(teller, message);
        }
        for (address, (first, count)) in self.no_way {
            let message = format!(
                "the route to {first}{} that it learned by BGP has next hop {address}, which nothing \
                 leads to; let the peer say its own (next-hop-self), or add a route",
                others(count)
            );
            plan.problem(site.me.key(), message);
        }
    }
}

fn others(count: usize) -> String {
    match count {
        1 => String::new(),
        2 => " and one other".to_owned(),
        more => format!(" and {} others", more - 1),
    }
}

fn count<K: Ord>(of: &mut BTreeMap<K, (IpNet, usize)>, key: K, prefix: IpNet) {
    of.entry(key).or_insert((prefix, 0)).1 += 1;
}

impl<'a> Site<'a> {
    /// Whether a route is planned: for what, and for which node's sake.
    fn judge(
        &self,
        learned: &Resource<Learned>,
        route: &LearnedRoute,
        tellers: &Tellers,
        refused: &mut Refused,
    ) -> Option<(Origin, Option<&'a Name>)> {
        let prefix = route.prefix;
        let teller = tellers.asked_by(route);
        let outside = || Origin {
            resource: teller.cloned().unwrap_or_else(|| learned.key()),
            rule: match teller {
                Some(_) => "bgp: a route that a peer announced",
                None => "bgp: a route of before a restart is kept",
            },
        };
        let Some(pool) = self.world.pool_of(None, prefix.addr()) else {
            return Some((outside(), None));
        };
        let range = IpNet::new(prefix.addr(), pool.spec.block_prefix()).ok()?;
        let name = Block::resource_name(None, range.trunc());
        let block = self.world.blocks.get(&name);
        let mut why = "no node has such a block";
        if let Some(block) = block.filter(|block| block.spec.cidr.contains(&prefix)) {
            match holder(block, prefix) {
                Held::By(node) | Held::AtHome(node) if node == self.me.name() => return None,
                Held::By(_) if !self.is_told(pool.name()) => {
                    why = "none of its networks goes by bgp here";
                }
                Held::By(node)
                    if !(route.next_hops.iter()).any(|hop| tellers.may_tell(hop, node)) =>
                {
                    why = "its node is another, which this one speaks with itself";
                }
                Held::By(node) => {
                    let rule = match block.spec.cidr == prefix {
                        true => "bgp: a block of another node, as it was learned",
                        false => "bgp: an address at another node, as it was learned",
                    };
                    let resource = block.key();
                    return Some((Origin { resource, rule }, Some(node)));
                }
                Held::AtHome(_) => why = "it is told with its block, and not alone",
                Held::ByNobody => {}
            }
        }
        let is_within = pool.spec.cidr.contains(&prefix) && pool.spec.cidr != prefix;
        if is_within && !self.settings.import().pools {
            let resource = teller.cloned().unwrap_or_else(|| learned.key());
            count(
                &mut refused.no_block,
                (resource, pool.name().clone(), why),
                prefix,
            );
            return None;
        }
        Some((outside(), None))
    }

    /// Where packets go next: the hops that something leads to, of those who may tell.
    fn next(
        &self,
        route: &LearnedRoute,
        may_tell: impl Fn(&LearnedHop) -> bool,
        refused: &mut Refused,
    ) -> Option<NextHop> {
        let told = route.next_hops.iter().filter(|hop| may_tell(hop));
        let mut hops: Vec<Hop> = told.filter_map(|told| self.hop(told)).collect();
        hops.sort_unstable();
        hops.dedup();
        match hops.as_slice() {
            [] => {
                let address = route.next_hops.first()?.address;
                count(&mut refused.no_way, address, route.prefix);
                None
            }
            [hop] => Some(NextHop::Via {
                gateway: hop.gateway,
                link: hop.link.clone(),
                onlink: hop.onlink,
            }),
            _ => Some(NextHop::Many(hops)),
        }
    }

    /// The address that the host's own packets have: where that of the node is on no wire, it outlives
    /// each of them.
    fn source(&self, family: Family) -> Option<IpAddr> {
        let own = self.me.spec.address(family)?;
        own.is_on_loopback().then(|| own.address.addr())
    }

    fn hop(&self, told: &LearnedHop) -> Option<Hop> {
        let gateway = told.via.unwrap_or(told.address);
        let link = told.interface.as_ref().or_else(|| {
            let mut own = self.me.spec.addresses.iter();
            let own = own.find(|own| own.address.contains(&gateway))?;
            Some(&own.interface)
        })?;
        Some(Hop {
            gateway,
            link: link.clone(),
            onlink: told.onlink,
        })
    }

    /// The largest packet that passes to a node, where it is smaller than the network's.
    fn mtu_to(&self, node: &Name, prefix: IpNet) -> Option<u32> {
        let pool = self.world.pool_of(None, prefix.addr())?;
        let speaking = self.speaking(pool.name())?;
        let node = self.world.nodes.get(node)?;
        let family = Family::of_net(prefix);
        let path = match (self.me.spec.address(family), node.spec.address(family)) {
            (Some(here), Some(there)) => Path { here, there },
            _ => speaking.ways.path(node)?,
        };
        let whole = speaking.ways.endpoint_mtu()?.get();
        (path.mtu() < whole).then(|| path.mtu())
    }
}

/// Whose a prefix is, as its block says.
enum Held<'a> {
    By(&'a Name),
    /// A single address where its block is: nobody announces it alone, and whoever does would draw its
    /// packets to himself.
    AtHome(&'a Name),
    ByNobody,
}

fn holder(block: &Resource<Block>, prefix: IpNet) -> Held<'_> {
    if block.spec.cidr == prefix {
        return block.spec.node.as_ref().map_or(Held::ByNobody, Held::By);
    }
    let is_address = prefix.prefix_len() == prefix.max_prefix_len();
    let ordinal = block.spec.ordinal(prefix.addr()).filter(|_| is_address);
    let allocation = ordinal.and_then(|ordinal| block.spec.allocations.get(&ordinal));
    match allocation {
        None => Held::ByNobody,
        Some(held) if block.spec.node.as_ref() == Some(&held.node) => Held::AtHome(&held.node),
        Some(held) => Held::By(&held.node),
    }
}

//! With whom a host's speaker speaks: the other nodes, and what BGPPeers say.
//!
//! ```text
//!  nodeToNodeMeshEnabled   no node is a reflector         some are
//!  not given               every node with every other    every node with all reflectors, and, where
//!                                                         none is of its own system, with all of that
//!  true                    every node with every other    the others with each other; reflectors
//!                                                         only as BGPPeers say
//!  false                   only as BGPPeers say
//! ```
//!
//! Of two that are about the same address the more specific is taken: `node` before `nodeSelector`
//! before neither, and any of them before the mesh.

use std::collections::BTreeMap;

use tombolo_bgp::{AddPath, Families, NextHopMode, Password, Peer, PeerKey, Ttl};
use tombolo_model::kinds::NodeAddress;
use tombolo_model::kinds::bgp::{self, BgpPassword, BgpPeer, SourceAddress};
use tombolo_model::{Family, Node, Resource};

use super::{Site, filters, settings};
use crate::host_plan::{HostPlan, Origin};

/// From so many nodes on a mesh is too much, and reflectors are advised.
const MESH_LIMIT: usize = 100;

/// With whom a speaker speaks.
pub(super) type Peers = BTreeMap<PeerKey, Neighbour>;

/// Somebody that the speaker speaks with.
pub(super) struct Neighbour {
    pub(super) peer: Peer,
    pub(super) origin: Origin,
    pub(super) password_file: Option<String>,
    /// How specific the word is that it is there by.
    rank: u8,
}

pub(super) fn of(site: &Site, plan: &mut HostPlan) -> Peers {
    let mut peers = Peers::new();
    if !site.networks.is_empty() {
        mesh(site, &mut peers, plan);
    }
    for peer in site.world.bgp_peers.values() {
        told(site, peer, &mut peers, plan);
    }
    if !peers.is_empty() {
        unique_ids(site, plan);
    }
    peers
}

/// The other nodes, as far as they speak with each other without being told to.
fn mesh(site: &Site, peers: &mut Peers, plan: &mut HostPlan) {
    let reflects = settings::is_reflector(site.me);
    let others = || site.others();
    let has_reflectors = reflects || others().any(settings::is_reflector);
    let (wanted, rule): (Vec<_>, _) = match site.settings.mesh() {
        Some(false) => return,
        Some(true) if reflects => return,
        Some(true) => (
            others().filter(|n| !settings::is_reflector(n)).collect(),
            "bgp: the mesh of all nodes",
        ),
        None if !has_reflectors => (others().collect(), "bgp: the mesh of all nodes"),
        None if reflects => (
            others().collect(),
            "bgp: a reflector speaks with every node",
        ),
        None => {
            // A reflector of another system tells no system of its own routes: they would be a loop.
            let system = |node: &Resource<Node>| settings::asn(site.world, node);
            let is_of_mine = |node: &&Resource<Node>| system(node) == system(site.me);
            let is_reflected = others().any(|n| is_of_mine(&n) && settings::is_reflector(n));
            let wanted =
                others().filter(|n| settings::is_reflector(n) || (!is_reflected && is_of_mine(n)));
            (
                wanted.collect(),
                "bgp: every node speaks with the reflectors",
            )
        }
    };
    if rule == "bgp: the mesh of all nodes" {
        advise_reflectors(site, wanted.len() + 1, plan);
    }
    let (import, export) = (
        filters::import(site, &[]),
        filters::export(site, &[], false),
    );
    for node in wanted {
        let origin = Origin {
            resource: node.key(),
            rule,
        };
        let Some((key, peer)) = node_peer(site, node).or_else(|| no_way_to(node, plan)) else {
            continue;
        };
        let mut neighbour = Neighbour {
            peer: Peer {
                bfd: site.settings.bfd(),
                import: import.clone(),
                export: export.clone(),
                ..peer
            },
            origin,
            password_file: None,
            rank: 0,
        };
        neighbour.set_password(site.settings.mesh_password());
        add(peers, key, neighbour, plan);
    }
}

/// A mesh that is too large is told, and goes on.
fn advise_reflectors(site: &Site, nodes: usize, plan: &mut HostPlan) {
    if nodes >= MESH_LIMIT {
        let message = format!(
            "{nodes} nodes speak with each other, each with every other; from {MESH_LIMIT} on let some be \
             reflectors: set spec.bgp.routeReflectorClusterID of two or three nodes"
        );
        plan.problem(site.networks[0].network.key(), message);
    }
}

/// Says that a node cannot be spoken with. One that says nothing of itself yet is waited for.
fn no_way_to<T>(node: &Resource<Node>, plan: &mut HostPlan) -> Option<T> {
    if !node.spec.addresses.is_empty() {
        let message = "no session with it: the nodes have no underlay addresses of the same family";
        plan.problem(node.key(), message);
    }
    None
}

/// Another node as a peer: by the preferred family that both have.
fn node_peer(site: &Site, node: &Resource<Node>) -> Option<(PeerKey, Peer)> {
    let addresses = Family::ALL.into_iter().find_map(|family| {
        let (here, there) = (site.me.spec.address(family)?, node.spec.address(family)?);
        Some((here, there.address.addr()))
    });
    let (here, there) = addresses?;
    let asn = settings::asn(site.world, node);
    let internal = asn == settings::asn(site.world, site.me);
    let peer = Peer {
        port: site.settings.port_of(node.name()),
        local_address: Some(here.address.addr()),
        families: families(site, Family::of_net(here.address)),
        next_hops: own_addresses(site),
        ttl: match internal || here.address.contains(&there) {
            true => Ttl::Default,
            false => Ttl::Multihop(u8::MAX),
        },
        client: internal && settings::is_reflector(site.me) && !settings::is_reflector(node),
        ..Peer::new(node.key().to_string(), asn)
    };
    Some((there.into(), peer))
}

fn own_addresses(site: &Site) -> Vec<std::net::IpAddr> {
    let own = site.me.spec.addresses.iter();
    own.map(|own| own.address.addr()).collect()
}

/// The families that can be spoken of: IPv6 routes need a next hop of theirs.
fn families(site: &Site, session: Family) -> Families {
    Families {
        ipv4: true,
        ipv6: session == Family::V6 || site.me.spec.address(Family::V6).is_some(),
    }
}

/// What a BGPPeer asks for.
fn told(site: &Site, told: &Resource<BgpPeer>, peers: &mut Peers, plan: &mut HostPlan) {
    let spec = &told.spec;
    let found: Vec<_> = match (&spec.peer_ip, &spec.peer_selector) {
        (Some(_), _) if selects(spec, site.me) => {
            router(site, spec, told, plan).into_iter().collect()
        }
        (None, Some(selector)) => {
            // Both ends speak, whichever of them was named first.
            let here = selects(spec, site.me);
            let there = selector.matches(&site.me.metadata.labels);
            let wanted = |node: &&Resource<Node>| {
                (here && selector.matches(&node.metadata.labels)) || (there && selects(spec, node))
            };
            let nodes: Vec<_> = site.others().filter(wanted).collect();
            let peer =
                |node: &Resource<Node>| node_peer(site, node).or_else(|| no_way_to(node, plan));
            nodes.into_iter().filter_map(peer).collect()
        }
        _ => return,
    };
    for (key, mut peer) in found {
        adopt(site, spec, &mut peer);
        for filter in &spec.filters {
            if !site.world.bgp_filters.contains_key(filter) {
                let message = format!(
                    "there is no BGPFilter {filter}: nothing comes from {key} nor goes to it until \
                     there is"
                );
                plan.problem(told.key(), message);
            }
        }
        let mut neighbour = Neighbour {
            peer,
            origin: Origin {
                resource: told.key(),
                rule: "bgp: a peer as a BGPPeer says",
            },
            password_file: None,
            rank: match (&spec.node, &spec.node_selector) {
                (Some(_), _) => 3,
                (None, Some(_)) => 2,
                (None, None) => 1,
            },
        };
        neighbour.set_password(spec.password.as_ref());
        add(peers, key, neighbour, plan);
    }
}

/// Whether a node is one of those that speak with a peer.
fn selects(spec: &BgpPeer, node: &Resource<Node>) -> bool {
    match (&spec.node, &spec.node_selector) {
        (Some(name), _) => name == node.name(),
        (None, Some(selector)) => selector.matches(&node.metadata.labels),
        (None, None) => true,
    }
}

/// A router, by its address.
fn router(
    site: &Site,
    spec: &BgpPeer,
    told: &Resource<BgpPeer>,
    plan: &mut HostPlan,
) -> Option<(PeerKey, Peer)> {
    let at = spec.peer_ip.as_ref()?;
    // Where all nodes are told to speak with one of them, that one is not to speak with itself.
    if own_addresses(site).contains(&at.address) {
        return None;
    }
    let asn = tombolo_bgp::Asn(spec.as_number?.get());
    let family = Family::of(at.address);
    let on_link = |own: &&NodeAddress| at.interface.is_some() || own.address.contains(&at.address);
    let is_near = site.me.spec.addresses.iter().any(|own| on_link(&own));
    let is_chosen_here = at.interface.is_none() && spec.source_address != Some(SourceAddress::None);
    let local = site.me.spec.address(family).filter(|_| is_chosen_here);
    if is_chosen_here && local.is_none() {
        let message = format!(
            "no session with {}: node {} has no {family} address on the underlay to speak from; give \
             it one, or set sourceAddress: None to let its kernel choose",
            at.address,
            site.me.name()
        );
        plan.problem(told.key(), message);
        return None;
    }
    let internal = asn == settings::asn(site.world, site.me);
    let peer = Peer {
        port: at.port.unwrap_or(179),
        local_address: local.map(|own| own.address.addr()),
        families: families(site, family),
        next_hops: own_addresses(site),
        ttl: match internal || is_near {
            true => Ttl::Default,
            false => Ttl::Multihop(u8::MAX),
        },
        client: internal && settings::is_reflector(site.me),
        ..Peer::new(told.key().to_string(), asn)
    };
    let key = PeerKey {
        address: at.address,
        interface: at.interface.as_ref().map(ToString::to_string),
    };
    Some((key, peer))
}

/// What a BGPPeer says of a session.
fn adopt(site: &Site, spec: &BgpPeer, peer: &mut Peer) {
    let given = [
        spec.ttl_security.map(Ttl::Security),
        spec.multihop.map(Ttl::Multihop),
    ];
    if let Some(ttl) = given.into_iter().flatten().next() {
        peer.ttl = ttl;
    }
    peer.next_hop = match spec.next_hop_mode {
        _ if spec.keep_original_next_hop => NextHopMode::Keep,
        Some(bgp::NextHopMode::Keep) => NextHopMode::Keep,
        Some(bgp::NextHopMode::Own) => NextHopMode::Own,
        Some(bgp::NextHopMode::Auto) | None => NextHopMode::Default,
    };
    if let Some(hold_time) = spec.hold_time {
        peer.hold_time = hold_time.0;
    }
    if let Some(paths) = spec.add_path {
        peer.add_path = AddPath {
            send: paths.send,
            receive: paths.receive,
        };
    }
    peer.local_asn = spec.local_as_number.map(|n| tombolo_bgp::Asn(n.get()));
    peer.passive = spec.passive;
    peer.allow_own_asn = spec.num_allowed_local_as_numbers.unwrap_or(0);
    peer.max_prefixes = spec.max_prefixes;
    let by_default = || site.settings.bfd().filter(|_| spec.peer_selector.is_some());
    peer.bfd = match spec.bfd {
        None => by_default(),
        choice => settings::bfd(choice),
    };
    peer.graceful = site.settings.graceful_with(spec);
    peer.import = filters::import(site, &spec.filters);
    let outside = spec.peer_selector.is_none();
    // Within our own system it is reflection that says who is told what.
    let is_foreign = peer.asn != settings::asn(site.world, site.me);
    peer.outside = outside && is_foreign && !filters::let_out(site, &spec.filters);
    peer.export = filters::export(site, &spec.filters, outside);
}

/// Two speakers with one identifier refuse each other (RFC 4271 section 6.2, RFC 6286).
fn unique_ids(site: &Site, plan: &mut HostPlan) {
    let own = settings::router_id(site.me);
    let twin = site
        .others()
        .find(|other| settings::router_id(other) == own);
    if let Some(twin) = twin {
        let message = format!(
            "its BGP identifier {own} is node {}'s too, and speakers of one system with the same one \
             refuse each other; set spec.bgp.routerID of one of them",
            twin.name()
        );
        plan.problem(site.me.key(), message);
    }
}

impl<'a> Site<'a> {
    fn others(&self) -> impl Iterator<Item = &'a Resource<Node>> + use<'a> {
        let me = self.me.name();
        self.world.nodes.values().filter(move |n| n.name() != me)
    }
}

/// Adds a peer, unless one is there already by a more specific word.
fn add(peers: &mut Peers, key: PeerKey, neighbour: Neighbour, plan: &mut HostPlan) {
    let Some(present) = peers.get(&key) else {
        peers.insert(key, neighbour);
        return;
    };
    if present.rank == neighbour.rank {
        let message = format!(
            "{key} is the peer of {} already; remove one of them",
            present.origin.resource
        );
        return plan.problem(neighbour.origin.resource, message);
    }
    if present.rank < neighbour.rank {
        peers.insert(key, neighbour);
    }
}

impl Neighbour {
    fn set_password(&mut self, password: Option<&BgpPassword>) {
        match password {
            Some(BgpPassword::File(path)) => self.password_file = Some(path.clone()),
            Some(BgpPassword::Value(text)) => {
                self.peer.password = Password::new(text.as_str()).ok();
            }
            None => {}
        }
    }
}

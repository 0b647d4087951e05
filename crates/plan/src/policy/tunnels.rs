//! Nobody but a node sends to a node's tunnels: what comes out of one is taken for another node's word.
//!
//! That goes for all that comes from links of ours, tunnels among them, and for whatever comes with an
//! address that is no node's: containers on a physical network (macvlan, ipvlan, vlan) do not pass their
//! host, and others on the underlay are strangers, too. Addresses that are forged there are for the
//! underlay to stop; containers cannot forge them ([`super::spoof`]).

use std::collections::BTreeSet;
use std::net::IpAddr;

use tombolo_model::kinds::policy::Direction;
use tombolo_model::{Family, World};

use super::dispatch::hook;
use super::spoof::{PRIORITY, dropped};
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    Action, AddressMatch, Addresses, Chain, Datum, Field, HookPoint, InterfaceMatch, Key, Link,
    LinkKind, Match, Members, NftName, NftSet, Object, Place, PortSet, Rule, Side,
};

const CHAIN: &str = "tunnels";
const UDP: u8 = 17;

/// What tells a tunnel's packets from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    /// A UDP port.
    Port(u16),
    /// A UDP port where nodes are known by what they say: they may be behind a translation.
    Open(u16),
    /// A protocol, over one family of the underlay.
    Protocol(Family, u8),
}

/// Plans the guard of the host's tunnels, if it has any.
pub(super) fn plan(world: &World, plan: &mut HostPlan) {
    let signs = all_signs(plan);
    let Some(first) = world.nodes.values().next().filter(|_| !signs.is_empty()) else {
        return;
    };
    let origin = Origin {
        resource: first.key(),
        rule: "policy: only nodes send to tunnels",
    };
    let nodes = world.nodes.values().flat_map(|node| &node.spec.addresses);
    let nodes: Vec<IpAddr> = nodes.map(|own| own.address.addr()).collect();
    let mut rules = Vec::new();
    for family in Family::ALL {
        let mut here = signs.iter().filter(|sign| sign.is_of(family)).peekable();
        if here.peek().is_some() && nodes.iter().any(|address| Family::of(*address) == family) {
            let set = want_nodes(&nodes, family, &origin, plan);
            rules.extend(here.flat_map(|sign| guard(family, *sign, &set)));
        }
    }
    let chain = Chain {
        hook: Some(hook(HookPoint::Prerouting, PRIORITY)),
        rules,
    };
    let place = Place::host(Key::NftChain(NftName::inet(CHAIN)));
    plan.want(place, Object::NftChain(chain), origin);
}

/// The rules that let a host's tunnels speak with other nodes' where the host itself is closed.
pub(super) fn open(world: &World, direction: Direction, plan: &HostPlan) -> Vec<Rule> {
    let nodes = world.nodes.values().flat_map(|node| &node.spec.addresses);
    let families: BTreeSet<Family> = nodes.map(|own| Family::of_net(own.address)).collect();
    let signs = all_signs(plan);
    let ports = signs.iter().filter(|sign| matches!(sign, Sign::Open(_)));
    let mut rules: Vec<Rule> = ports
        .map(|sign| Rule::new(sign.matches(), Action::Accept))
        .collect();
    for family in families {
        for sign in signs.iter().filter(|sign| sign.is_known_by_address(family)) {
            let addresses = AddressMatch {
                family,
                addresses: Addresses::Set(nodes_set(family)),
                not: false,
            };
            let mut matches = sign.matches();
            matches.push(match direction {
                Direction::Ingress => Match::Source(addresses),
                Direction::Egress => Match::Destination(addresses),
            });
            rules.push(Rule::new(matches, Action::Accept));
        }
    }
    rules
}

/// The set of the nodes' addresses of a family.
fn nodes_set(family: Family) -> String {
    format!("nodes-{family}")
}

/// What tells the packets of all tunnels of a host.
fn all_signs(plan: &HostPlan) -> BTreeSet<Sign> {
    let listens = plan.tunnel.iter().flat_map(|tunnel| &tunnel.listen);
    let objects = plan.objects.values();
    objects
        .flat_map(|planned| signs(&planned.object))
        .chain(listens.map(|address| Sign::Open(address.port())))
        .collect()
}

impl Sign {
    fn is_of(self, underlay: Family) -> bool {
        match self {
            Sign::Port(_) | Sign::Open(_) => true,
            Sign::Protocol(family, _) => family == underlay,
        }
    }

    /// Whether its packets are known as nodes' by their addresses, over one family.
    fn is_known_by_address(self, underlay: Family) -> bool {
        self.is_of(underlay) && !matches!(self, Sign::Open(_))
    }

    fn matches(self) -> Vec<Match> {
        let protocol = |number| Match::ProtocolNumber { number, not: false };
        match self {
            Sign::Protocol(_, number) => vec![protocol(number)],
            Sign::Port(port) | Sign::Open(port) => vec![
                protocol(UDP),
                Match::Ports {
                    side: Side::Destination,
                    ports: PortSet::Range(port, port),
                    not: false,
                },
            ],
        }
    }
}

/// What tells the packets of an object, if it is a tunnel.
fn signs(object: &Object) -> Vec<Sign> {
    match object {
        Object::Link(Link {
            kind: LinkKind::Vxlan { port, .. },
            ..
        }) => vec![Sign::Port(*port)],
        Object::Link(Link {
            kind: LinkKind::Tunnel(tunnel),
            ..
        }) => {
            let protocols = tunnel.protocols().iter();
            protocols
                .map(|number| Sign::Protocol(tunnel.outer(), *number))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The set of the addresses by which nodes reach each other.
fn want_nodes(nodes: &[IpAddr], family: Family, origin: &Origin, plan: &mut HostPlan) -> String {
    let name = nodes_set(family);
    let own = nodes
        .iter()
        .filter(|address| Family::of(**address) == family);
    let members = Members::of_set(own.map(|address| vec![Datum::Ip(*address)]));
    let set = NftSet {
        key: vec![Field::address(family)],
        data: Vec::new(),
        interval: false,
    };
    let place = Place::host(Key::NftSet(NftName::inet(name.as_str())));
    plan.want(place, Object::NftSet(set), origin.clone());
    let place = Place::host(Key::NftMembers(NftName::inet(name.as_str())));
    plan.want(place, Object::NftMembers(members), origin.clone());
    name
}

/// What is not taken for a node's: what comes from a link of ours, and what comes from no node's address
/// where nodes are known by theirs.
fn guard(family: Family, sign: Sign, nodes: &str) -> Vec<Rule> {
    let in_set = |not| AddressMatch {
        family,
        addresses: Addresses::Set(nodes.to_owned()),
        not,
    };
    let from_ours = Match::InInterface(InterfaceMatch {
        name: naming::LINK_PREFIX.to_owned(),
        prefix: true,
        not: false,
    });
    let drop = |first: Option<Match>, last: Option<Match>| {
        let mut matches: Vec<Match> = first.into_iter().chain(sign.matches()).collect();
        matches.push(Match::Destination(in_set(false)));
        matches.extend(last);
        dropped(matches)
    };
    let mut rules = vec![drop(Some(from_ours), None)];
    if sign.is_known_by_address(family) {
        rules.push(drop(None, Some(Match::Source(in_set(true)))));
    }
    rules
}

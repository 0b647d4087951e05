//! The course of a flow: who its ends are, whether there is a way between them, and who judges it.

use std::net::IpAddr;

use tombolo_model::kinds::Isolation;
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, HostEndpoint, Name, Network, Resource};

use crate::addresses::{Place, Station};
use crate::evaluator::Evaluator;
use crate::failsafe::NEIGHBOUR_TYPES;
use crate::flow::{Flow, Party};
use crate::matching::Packet;

/// Drivers whose endpoints are met on their own host only.
const LOCAL: [&str; 2] = ["bridge", "ptp"];
/// The driver whose endpoints are met in their own network only.
const OVERLAY: &str = "overlay";
/// The drivers whose endpoints are on a network that is not ours.
const PHYSICAL: [&str; 3] = ["macvlan", "ipvlan", "vlan"];
/// An interface of a host that is any of them.
const EVERY: &str = "*";

/// Who judges a flow.
#[derive(Debug)]
pub(crate) enum Course<'a> {
    /// Nobody: it stays where it is.
    Itself,
    /// Nobody: neighbours find each other by it.
    Neighbours,
    /// Nobody: it does not get there. Why, in words.
    NoWay(String),
    /// Its source, its destination, or both.
    Judged {
        egress: Option<Judge<'a>>,
        ingress: Option<Judge<'a>>,
    },
}

/// Somebody who judges a flow.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    pub(crate) whose: Whose<'a>,
    /// The packet as it looks when it is judged, if it was translated before.
    pub(crate) sees: Option<Box<Packet<'a>>>,
}

/// Whose policies are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// An endpoint's.
    Endpoint(Station<'a>),
    /// Those of a host's interface, which is of a class.
    Host(usize, &'a Resource<HostEndpoint>),
    /// Nobody's: the packet comes from the endpoint's own host.
    OwnHost(Station<'a>, &'a Name),
}

impl<'a> Evaluator<'a> {
    /// The packet of a flow.
    ///
    /// # Errors
    /// Why there is none, in words: an end that is not there, or has no such address.
    pub(crate) fn packet(&self, flow: &Flow) -> Result<Packet<'a>, String> {
        let given = flow.family.or_else(|| flow.own_family());
        let families = match given {
            Some(Family::V4) => &Family::ALL[..1],
            Some(Family::V6) => &Family::ALL[1..],
            None => &Family::ALL[..],
        };
        let mut first = None;
        for family in families {
            let ends = self.place(&flow.from, *family).and_then(|source| {
                let destination = self.place(&flow.to, *family)?;
                Ok((source, destination))
            });
            match ends {
                Ok(ends) => return Ok(self.packet_between(flow, *family, ends)),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_default())
    }

    fn packet_between(
        &self,
        flow: &Flow,
        family: Family,
        (mut source, mut destination): (Place<'a>, Place<'a>),
    ) -> Packet<'a> {
        self.recognise_gateway(&mut source, &destination);
        self.recognise_gateway(&mut destination, &source);
        let echo = match flow.protocol {
            ProtocolMatch::ICMP => Some((8, 0)),
            ProtocolMatch::ICMPV6 => Some((128, 0)),
            _ => None,
        };
        let has_ports = flow.protocol.has_ports();
        Packet {
            family,
            protocol: flow.protocol,
            source,
            destination,
            source_port: has_ports.then(|| flow.source_port.unwrap_or(Flow::EPHEMERAL)),
            destination_port: flow.destination_port.filter(|_| has_ports),
            icmp: echo.map(|echo| flow.icmp.unwrap_or(echo)),
        }
    }

    fn place(&self, party: &Party, family: Family) -> Result<Place<'a>, String> {
        let lacks = || format!("{party} has no {family} address");
        match party {
            Party::Address { address, space } => {
                if Family::of(*address) != family {
                    return Err(format!("{address} is no {family} address"));
                }
                let space = space.as_ref().map(|space| {
                    let mut pools = self.world.pools.values();
                    let known = pools.find_map(|pool| {
                        let of = pool.spec.space.as_ref();
                        of.filter(|of| *of == space)
                    });
                    known.ok_or_else(|| format!("there is no address space {space}"))
                });
                Ok(self.addresses.place(space.transpose()?, *address))
            }
            Party::Endpoint(namespace, name) => {
                let key = (namespace.clone(), name.clone());
                let endpoint = (self.world.endpoints.get(&key))
                    .ok_or_else(|| format!("there is no Endpoint {party}"))?;
                let class = self.addresses.class(namespace, name);
                let class = class.ok_or_else(|| {
                    format!("the addresses of {party} have been given to another endpoint since")
                })?;
                let address = of_family(&endpoint.spec.addresses, family).ok_or_else(lacks)?;
                Ok(self
                    .addresses
                    .endpoint(Station { class, endpoint }, address))
            }
            Party::Host(name) => {
                let (name, node) = (self.world.nodes.get_key_value(name))
                    .ok_or_else(|| format!("there is no Node {name}"))?;
                let addresses = node.spec.addresses.iter();
                let addresses: Vec<_> = addresses.map(|own| own.address.addr()).collect();
                let address = of_family(&addresses, family);
                // Of a node that has not told its addresses yet, only the name is known.
                match address.is_some() || addresses.is_empty() {
                    true => Ok(self.addresses.host(name, address)),
                    false => Err(lacks()),
                }
            }
        }
    }

    /// A network's gateway is the host itself. On an overlay it is only where others' packets come
    /// in by published ports, so there it stays an address as any other.
    fn recognise_gateway(&self, place: &mut Place<'a>, other: &Place<'a>) {
        let Some(station) = other.station else { return };
        if place.station.is_some() || place.node.is_some() {
            return;
        }
        let network = self.network(station);
        let is_gateway = |network: &&Resource<Network>| {
            let mut gateways = network.spec.gateway.iter();
            network.spec.driver.as_str() != OVERLAY
                && gateways.any(|gateway| Some(*gateway) == place.address)
        };
        if network.filter(is_gateway).is_some() {
            place.node = Some(&station.endpoint.spec.node);
        }
    }

    fn network(&self, station: Station<'a>) -> Option<&'a Resource<Network>> {
        self.world.networks.get(&station.endpoint.spec.network)
    }

    /// Who judges a packet.
    pub(crate) fn course(&self, packet: &Packet<'a>) -> Course<'a> {
        let (source, destination) = (&packet.source, &packet.destination);
        if source.is_same(destination) {
            return Course::Itself;
        }
        if let Some(why) = self.obstacle(source, destination) {
            return Course::NoWay(why);
        }
        let is_neighbours = packet.protocol == ProtocolMatch::ICMPV6
            && (packet.icmp).is_some_and(|(icmp_type, _)| NEIGHBOUR_TYPES.contains(&icmp_type));
        if is_neighbours {
            return Course::Neighbours;
        }
        let judge = |whose| Judge { whose, sees: None };
        let host = |place: &Place<'a>| {
            let node = place.node?;
            let (class, host) = self.host_endpoint(node, place.address)?;
            Some(judge(Whose::Host(class, host)))
        };
        match (source.station, destination.station) {
            (None, Some(station)) if source.node == Some(&station.endpoint.spec.node) => {
                let own = Whose::OwnHost(station, &station.endpoint.spec.node);
                Course::Judged {
                    egress: None,
                    ingress: Some(judge(own)),
                }
            }
            (from, to) => Course::Judged {
                egress: from.map_or_else(|| host(source), |s| Some(judge(Whose::Endpoint(s)))),
                ingress: match to {
                    Some(station) => Some(judge(Whose::Endpoint(station))),
                    // What an endpoint sends to its own host comes by no interface of the host's.
                    None if from
                        .is_some_and(|s| destination.node == Some(&s.endpoint.spec.node)) =>
                    {
                        None
                    }
                    None => host(destination).map(|judge| Judge {
                        sees: self.translated(packet).map(Box::new),
                        ..judge
                    }),
                },
            },
        }
    }

    /// Why there is no way between two ends, in words.
    fn obstacle(&self, source: &Place<'a>, destination: &Place<'a>) -> Option<String> {
        let network = |place: &Place<'a>| self.network(place.station?);
        let (from, to) = (network(source), network(destination));
        // To what stays on its host, nothing leads from another.
        let node = |place: &Place<'a>| match place.station {
            Some(station) => Some(&station.endpoint.spec.node),
            None => place.node,
        };
        if let (Some(from), Some(at), Some(to)) = (node(source), node(destination), to)
            && from != at
            && LOCAL.contains(&to.spec.driver.as_str())
        {
            let (network, driver) = (to.name(), &to.spec.driver);
            return Some(format!(
                "no way leads from node {from} to network {network} on node {at}: {driver} stays on its host"
            ));
        }
        let is_overlay = |n: &&Resource<Network>| n.spec.driver.as_str() == OVERLAY;
        let is_same = from.map(Resource::name) == to.map(Resource::name);
        if let (Some(from), Some(to), false) = (from, to, is_same) {
            let overlay = [from, to].into_iter().find(is_overlay);
            return overlay.map(|overlay| {
                format!(
                    "no way leads from network {} to network {}: {} is an overlay",
                    from.name(),
                    to.name(),
                    overlay.name()
                )
            });
        }
        let mut closed = [from, to].into_iter().flatten().filter(is_overlay);
        let closed = closed.find(|network| network.spec.internal && !is_same);
        closed.map(|network| format!("no way leads out of network {}: internal", network.name()))
    }

    /// The host's interface by which packets come to one of its addresses, or leave from it: the one
    /// that has the address, else that of all.
    fn host_endpoint(
        &self,
        node: &Name,
        address: Option<IpAddr>,
    ) -> Option<(usize, &'a Resource<HostEndpoint>)> {
        let known = self.world.nodes.get(node);
        let own = known.map(|node| node.spec.addresses.as_slice());
        let own = own.unwrap_or_default().iter();
        let interface = own
            .clone()
            .find(|own| Some(own.address.addr()) == address)
            .map(|own| own.interface.as_str());
        let rank = |host: &HostEndpoint| {
            let name = match &host.interface_name {
                Some(name) => name.as_str(),
                None => {
                    let mut own = own.clone();
                    let own = own.find(|own| host.expected_ips.contains(&own.address.addr()))?;
                    own.interface.as_str()
                }
            };
            match name {
                EVERY => Some(1),
                name => (Some(name) == interface).then_some(0),
            }
        };
        let hosts = self.addresses.hosts_of(node).iter();
        let ranked = hosts.filter_map(|(class, host)| Some((rank(&host.spec)?, *class, *host)));
        ranked
            .min_by_key(|(rank, _, host)| (*rank, host.name()))
            .map(|(_, class, host)| (class, host))
    }

    /// What another host sees of an endpoint's packet: where its pool is masqueraded, it comes from the
    /// endpoint's host.
    fn translated(&self, packet: &Packet<'a>) -> Option<Packet<'a>> {
        let station = packet.source.station?;
        let node = &station.endpoint.spec.node;
        let destination = packet.destination.address?;
        if packet.destination.node == Some(node) || self.addresses.network(destination).is_some() {
            return None;
        }
        let network = self.network(station)?;
        let pools = network.spec.pools.iter();
        let mut pools = pools.filter_map(|pool| self.world.pools.get(pool));
        let masqueraded = network.spec.driver.as_str() == OVERLAY
            || pools.any(|pool| {
                let of = packet.source.address;
                pool.spec.nat_outgoing && of.is_some_and(|a| pool.spec.cidr.contains(&a))
            });
        let address = self.world.nodes.get(node)?.spec.address(packet.family)?;
        let source = self.addresses.host(node, Some(address.address.addr()));
        masqueraded.then(|| Packet {
            source,
            ..packet.clone()
        })
    }

    /// The networks that a packet would go between if it were let in, where that is not to be.
    pub(crate) fn isolation(&self, packet: &Packet<'a>) -> Option<(&'a Name, &'a Name)> {
        let (source, destination) = (&packet.source, &packet.destination);
        if source.space.is_some() || destination.space.is_some() {
            return None;
        }
        let to = self.network(destination.station?)?;
        let from = self.addresses.network(source.address?)?;
        let takes_part = |network: &Resource<Network>| {
            let driver = network.spec.driver.as_str();
            !PHYSICAL.contains(&driver) && driver != OVERLAY
        };
        if from.name() == to.name() || !takes_part(from) || !takes_part(to) {
            return None;
        }
        let isolated = [from, to]
            .iter()
            .any(|network| network.spec.isolation == Isolation::Network);
        isolated.then(|| (from.name(), to.name()))
    }
}

fn of_family(addresses: &[IpAddr], family: Family) -> Option<IpAddr> {
    let mut addresses = addresses.iter().copied();
    addresses.find(|address| Family::of(*address) == family)
}

impl Flow {
    /// The family that its addresses or its protocol say.
    fn own_family(&self) -> Option<Family> {
        let address = [&self.from, &self.to]
            .into_iter()
            .find_map(|party| match party {
                Party::Address { address, .. } => Some(Family::of(*address)),
                _ => None,
            });
        address.or(match self.protocol {
            ProtocolMatch::ICMP => Some(Family::V4),
            ProtocolMatch::ICMPV6 => Some(Family::V6),
            _ => None,
        })
    }
}

impl Place<'_> {
    /// Whether both are the same endpoint, host or address.
    fn is_same(&self, other: &Place) -> bool {
        match (&self.station, &other.station) {
            (Some(a), Some(b)) => std::ptr::eq(a.endpoint, b.endpoint),
            (None, None) => match (self.node, other.node) {
                (Some(a), Some(b)) => a == b,
                (None, None) => self.address == other.address && self.space == other.space,
                _ => false,
            },
            _ => false,
        }
    }
}

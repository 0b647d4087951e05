//! Who has an address: what the kernel's sets know, kept so that one address is found at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Endpoint, Family, HostEndpoint, Name, Network, Resource, World};

use crate::directory::{Directory, Member};

/// Everything that has addresses.
#[derive(Debug)]
pub(crate) struct Addresses<'a> {
    endpoints: HashMap<(Option<&'a Name>, IpAddr), Vec<Station<'a>>>,
    classes: HashMap<(&'a Name, &'a Name), usize>,
    hosts: HashMap<IpAddr, Vec<(usize, &'a Resource<HostEndpoint>)>>,
    hosts_of: HashMap<&'a Name, Vec<(usize, &'a Resource<HostEndpoint>)>>,
    nodes: HashMap<IpAddr, &'a Name>,
    sets: Nets<usize>,
    /// The networks of the ranges in the space that the hosts route in.
    pools: Nets<&'a Resource<Network>>,
    spaces: BTreeMap<&'a Name, Option<&'a Name>>,
}

/// An endpoint, and its class in the directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Station<'a> {
    pub(crate) class: usize,
    pub(crate) endpoint: &'a Resource<Endpoint>,
}

/// One end of a packet's way.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    /// The address; a host may have none of the family.
    pub(crate) address: Option<IpAddr>,
    /// The address space; none is the one that the hosts route in.
    pub(crate) space: Option<&'a Name>,
    /// The endpoint that has it.
    pub(crate) station: Option<Station<'a>>,
    /// The host whose own address it is.
    pub(crate) node: Option<&'a Name>,
    /// Hosts' interfaces that are known by it.
    pub(crate) hosts: Vec<&'a Resource<HostEndpoint>>,
    /// Classes that somebody who has the address is of.
    pub(crate) classes: Vec<usize>,
}

impl<'a> Addresses<'a> {
    pub(crate) fn of(world: &'a World, directory: &Directory<'a>) -> Addresses<'a> {
        let space = |name: &'a Name| (name, world.space_of(name));
        let mut addresses = Addresses {
            endpoints: HashMap::new(),
            classes: HashMap::new(),
            hosts: HashMap::new(),
            hosts_of: HashMap::new(),
            nodes: HashMap::new(),
            sets: Nets::default(),
            pools: Nets::default(),
            spaces: world.networks.keys().map(space).collect(),
        };
        for (class, entry) in directory.classes.iter().enumerate() {
            for member in &entry.members {
                addresses.add(class, entry.namespace, *member);
            }
        }
        for (name, node) in &world.nodes {
            let own = node.spec.addresses.iter();
            let own = own.map(|own| (own.address.addr(), name));
            addresses.nodes.extend(own);
        }
        for network in world.networks.values() {
            let pools = network.spec.pools.iter();
            let pools = pools.filter_map(|pool| world.pools.get(pool));
            for pool in pools.filter(|pool| pool.spec.space.is_none()) {
                addresses.pools.add(pool.spec.cidr, network);
            }
        }
        addresses
    }

    fn add(&mut self, class: usize, namespace: Option<&'a Name>, member: Member<'a>) {
        match member {
            Member::Endpoint(endpoint) => {
                if let Some(namespace) = namespace {
                    self.classes.insert((namespace, endpoint.name()), class);
                }
                let space = self.space(endpoint);
                for address in &endpoint.spec.addresses {
                    let station = Station { class, endpoint };
                    let known = self.endpoints.entry((space, *address)).or_default();
                    known.push(station);
                }
            }
            Member::Host(host) => {
                let of = self.hosts_of.entry(&host.spec.node).or_default();
                of.push((class, host));
                for address in &host.spec.expected_ips {
                    self.nodes.entry(*address).or_insert(&host.spec.node);
                    self.hosts.entry(*address).or_default().push((class, host));
                }
            }
            Member::Set { nets, .. } => {
                for net in nets {
                    self.sets.add(*net, class);
                }
            }
        }
    }

    /// The address space of an endpoint.
    fn space(&self, endpoint: &Resource<Endpoint>) -> Option<&'a Name> {
        let space = self.spaces.get(&endpoint.spec.network);
        space.copied().flatten()
    }

    /// The class of an endpoint; none if its addresses are somebody else's by now.
    pub(crate) fn class(&self, namespace: &Name, name: &Name) -> Option<usize> {
        self.classes.get(&(namespace, name)).copied()
    }

    /// The interfaces of a node that policies may apply to, each with its class.
    pub(crate) fn hosts_of(&self, node: &Name) -> &[(usize, &'a Resource<HostEndpoint>)] {
        self.hosts_of
            .get(node)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// The classes that an endpoint is of by any of its addresses.
    pub(crate) fn classes_of(&self, endpoint: &'a Resource<Endpoint>) -> Vec<usize> {
        let space = self.space(endpoint);
        let addresses = endpoint.spec.addresses.iter();
        let places = addresses.map(|address| self.place(space, *address));
        places.flat_map(|place| place.classes).collect()
    }

    /// The network whose range an address of the hosts' own space is in.
    pub(crate) fn network(&self, address: IpAddr) -> Option<&'a Resource<Network>> {
        self.pools.find(address).next().copied()
    }

    /// An address, and who has it.
    pub(crate) fn place(&self, space: Option<&'a Name>, address: IpAddr) -> Place<'a> {
        let stations = self.endpoints.get(&(space, address));
        let stations = stations.map(Vec::as_slice).unwrap_or_default();
        let hosts = self.hosts.get(&address).map(Vec::as_slice);
        let hosts = hosts.unwrap_or_default();
        let known = stations.iter().map(|station| station.class);
        let known = known.chain(hosts.iter().map(|(class, _)| *class));
        let node = self.nodes.get(&address).copied();
        Place {
            address: Some(address),
            space,
            station: stations.first().copied(),
            node: node.filter(|_| stations.is_empty() && space.is_none()),
            hosts: hosts.iter().map(|(_, host)| *host).collect(),
            classes: known.chain(self.sets.find(address).copied()).collect(),
        }
    }

    /// An endpoint, by one of its addresses.
    pub(crate) fn endpoint(&self, station: Station<'a>, address: IpAddr) -> Place<'a> {
        let space = self.space(station.endpoint);
        Place {
            station: Some(station),
            node: None,
            ..self.place(space, address)
        }
    }

    /// A host, by one of its addresses if it has one of the family.
    pub(crate) fn host(&self, node: &'a Name, address: Option<IpAddr>) -> Place<'a> {
        let place = address.map(|address| self.place(None, address));
        let nowhere = Place {
            address: None,
            space: None,
            station: None,
            node: None,
            hosts: Vec::new(),
            classes: Vec::new(),
        };
        Place {
            station: None,
            node: Some(node),
            ..place.unwrap_or(nowhere)
        }
    }
}

/// Values by prefix. An address is looked for once for each length of prefixes that there is.
#[derive(Debug)]
struct Nets<T> {
    values: HashMap<IpNet, Vec<T>>,
    lengths: BTreeSet<(Family, u8)>,
}

impl<T> Default for Nets<T> {
    fn default() -> Nets<T> {
        Nets {
            values: HashMap::new(),
            lengths: BTreeSet::new(),
        }
    }
}

impl<T> Nets<T> {
    fn add(&mut self, net: IpNet, value: T) {
        self.lengths.insert((Family::of_net(net), net.prefix_len()));
        self.values.entry(net.trunc()).or_default().push(value);
    }

    /// The values of all prefixes that an address is in, the longest prefix first.
    fn find(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let family = Family::of(address);
        let lengths = self.lengths.range((family, 0)..=(family, family.bits()));
        let nets = lengths
            .rev()
            .filter_map(move |(_, length)| IpNet::new(address, *length).ok());
        nets.filter_map(|net| self.values.get(&net.trunc()))
            .flatten()
    }
}

//! World: every resource that exists, by kind and in order.
//!
//! What the planner, IPAM and policy read. It is changed only by putting and removing whole
//! resources, as they come from the store's watch or from files, and it does not matter in which
//! order they come.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, Block, Endpoint, GlobalNetworkPolicy, GlobalNetworkSet,
    Handle, HostEndpoint, IpPool, IpReservation, Learned, Namespace, Network, NetworkPolicy,
    NetworkSet, Node, Profile, Tier, Token,
};
use crate::names::{Name, SharedNames};
use crate::resource::{AnyResource, KindName, Resource, ResourceKey};
use crate::write::{Change, Expected, Write};

/// Every resource that exists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct World {
    /// Hosts, by name.
    pub nodes: BTreeMap<Name, Resource<Node>>,
    /// Networks, by name.
    pub networks: BTreeMap<Name, Resource<Network>>,
    /// Pools, by name.
    pub pools: BTreeMap<Name, Resource<IpPool>>,
    /// Reservations, by name.
    pub reservations: BTreeMap<Name, Resource<IpReservation>>,
    /// Namespaces that have labels, by name.
    pub namespaces: BTreeMap<Name, Resource<Namespace>>,
    /// Profiles, by name.
    pub profiles: BTreeMap<Name, Resource<Profile>>,
    /// Tiers, by name.
    pub tiers: BTreeMap<Name, Resource<Tier>>,
    /// Policies of namespaces, by namespace and name.
    pub network_policies: BTreeMap<(Name, Name), Resource<NetworkPolicy>>,
    /// Policies of no namespace, by name.
    pub global_network_policies: BTreeMap<Name, Resource<GlobalNetworkPolicy>>,
    /// Sets of addresses, by namespace and name.
    pub network_sets: BTreeMap<(Name, Name), Resource<NetworkSet>>,
    /// Sets of addresses of no namespace, by name.
    pub global_network_sets: BTreeMap<Name, Resource<GlobalNetworkSet>>,
    /// Interfaces of nodes, by name.
    pub host_endpoints: BTreeMap<Name, Resource<HostEndpoint>>,
    /// What holds for BGP speakers: `default`, and `node.NAME`.
    pub bgp_configurations: BTreeMap<Name, Resource<BgpConfiguration>>,
    /// BGP peers, by name.
    pub bgp_peers: BTreeMap<Name, Resource<BgpPeer>>,
    /// Filters of BGP routes, by name.
    pub bgp_filters: BTreeMap<Name, Resource<BgpFilter>>,
    /// Endpoints, by namespace and name.
    pub endpoints: BTreeMap<(Name, Name), Resource<Endpoint>>,
    /// Blocks, by name.
    pub blocks: BTreeMap<Name, Resource<Block>>,
    /// Handles, by name.
    pub handles: BTreeMap<Name, Resource<Handle>>,
    /// Tokens, by name.
    pub tokens: BTreeMap<Name, Resource<Token>>,
    /// What nodes have learned from their BGP peers, by node; an agent knows its own node's only.
    pub learned: BTreeMap<Name, Resource<Learned>>,
}

impl World {
    /// Puts a resource, in place of one with the same key. Answers whether anything changed but
    /// its version.
    pub fn put(&mut self, resource: AnyResource) -> bool {
        fn insert<K: Ord, S: crate::resource::Kind>(
            map: &mut BTreeMap<K, Resource<S>>,
            key: K,
            resource: Resource<S>,
        ) -> bool {
            let changed = map.get(&key).is_none_or(|old| {
                old.spec != resource.spec
                    || old.status != resource.status
                    || old.metadata.labels != resource.metadata.labels
                    || old.metadata.uid != resource.metadata.uid
            });
            map.insert(key, resource);
            changed
        }
        let name = resource.metadata().name.clone();
        match resource {
            AnyResource::Node(r) => insert(&mut self.nodes, name, r),
            AnyResource::Network(r) => insert(&mut self.networks, name, r),
            AnyResource::IpPool(r) => insert(&mut self.pools, name, r),
            AnyResource::IpReservation(r) => insert(&mut self.reservations, name, r),
            AnyResource::Namespace(r) => insert(&mut self.namespaces, name, r),
            AnyResource::Profile(r) => insert(&mut self.profiles, name, r),
            AnyResource::Tier(r) => insert(&mut self.tiers, name, r),
            AnyResource::GlobalNetworkPolicy(r) => {
                insert(&mut self.global_network_policies, name, r)
            }
            AnyResource::GlobalNetworkSet(r) => insert(&mut self.global_network_sets, name, r),
            AnyResource::HostEndpoint(r) => insert(&mut self.host_endpoints, name, r),
            AnyResource::NetworkPolicy(r) => {
                let key = namespaced(r.metadata.namespace.clone(), name);
                insert(&mut self.network_policies, key, r)
            }
            AnyResource::NetworkSet(r) => {
                let key = namespaced(r.metadata.namespace.clone(), name);
                insert(&mut self.network_sets, key, r)
            }
            AnyResource::Endpoint(r) => {
                let key = namespaced(r.metadata.namespace.clone(), name);
                insert(&mut self.endpoints, key, r)
            }
            AnyResource::Block(r) => insert(&mut self.blocks, name, r),
            AnyResource::Handle(r) => insert(&mut self.handles, name, r),
            AnyResource::Token(r) => insert(&mut self.tokens, name, r),
            AnyResource::Learned(r) => insert(&mut self.learned, name, r),
            AnyResource::BgpFilter(r) => insert(&mut self.bgp_filters, name, r),
            AnyResource::BgpPeer(r) => insert(&mut self.bgp_peers, name, r),
            AnyResource::BgpConfiguration(r) => insert(&mut self.bgp_configurations, name, r),
        }
    }

    /// Removes a resource. Answers whether it was there.
    pub fn remove(&mut self, key: &ResourceKey) -> bool {
        let name = &key.name;
        let spaced = || namespaced(key.namespace.clone(), name.clone());
        match key.kind {
            KindName::Node => self.nodes.remove(name).is_some(),
            KindName::Network => self.networks.remove(name).is_some(),
            KindName::IpPool => self.pools.remove(name).is_some(),
            KindName::IpReservation => self.reservations.remove(name).is_some(),
            KindName::Namespace => self.namespaces.remove(name).is_some(),
            KindName::Profile => self.profiles.remove(name).is_some(),
            KindName::Tier => self.tiers.remove(name).is_some(),
            KindName::GlobalNetworkPolicy => self.global_network_policies.remove(name).is_some(),
            KindName::GlobalNetworkSet => self.global_network_sets.remove(name).is_some(),
            KindName::HostEndpoint => self.host_endpoints.remove(name).is_some(),
            KindName::NetworkPolicy => self.network_policies.remove(&spaced()).is_some(),
            KindName::NetworkSet => self.network_sets.remove(&spaced()).is_some(),
            KindName::Endpoint => self.endpoints.remove(&spaced()).is_some(),
            KindName::Block => self.blocks.remove(name).is_some(),
            KindName::Handle => self.handles.remove(name).is_some(),
            KindName::Token => self.tokens.remove(name).is_some(),
            KindName::Learned => self.learned.remove(name).is_some(),
            KindName::BgpFilter => self.bgp_filters.remove(name).is_some(),
            KindName::BgpPeer => self.bgp_peers.remove(name).is_some(),
            KindName::BgpConfiguration => self.bgp_configurations.remove(name).is_some(),
        }
    }

    /// How many resources there are of the kinds that grow with the cluster.
    #[must_use]
    pub fn size(&self) -> usize {
        self.nodes.len() + self.endpoints.len() + self.blocks.len() + self.handles.len()
    }

    /// Takes less memory: names that are in many places share one text, and maps give up the room
    /// that they keep when they are filled one by one. It takes as long as making a copy.
    pub fn compact(&mut self) {
        let mut names = SharedNames::default();
        for node in self.nodes.values_mut() {
            node.metadata.share_names(&mut names);
        }
        let endpoints = std::mem::take(&mut self.endpoints).into_iter();
        let endpoint = |((mut namespace, mut name), mut resource): ((Name, Name), Resource<_>)| {
            names.share(&mut namespace);
            names.share(&mut name);
            resource.metadata.share_names(&mut names);
            Endpoint::share_names(&mut resource.spec, &mut names);
            ((namespace, name), resource)
        };
        self.endpoints = endpoints.map(endpoint).collect();
        let handles = std::mem::take(&mut self.handles).into_iter();
        let handle = |(mut name, mut resource): (Name, Resource<Handle>)| {
            names.share(&mut name);
            resource.metadata.share_names(&mut names);
            resource.spec.share_names(&mut names);
            (name, resource)
        };
        self.handles = handles.map(handle).collect();
        for block in self.blocks.values_mut() {
            block.spec.compact(&mut names);
        }
    }

    /// Changes the World as writes will change the store, before they are committed. Versions stay
    /// those that the writes expect.
    pub fn draft(&mut self, writes: &[Write]) {
        for write in writes {
            match &write.change {
                Change::Delete => {
                    self.remove(&write.key);
                }
                Change::Put(resource) => {
                    let mut resource = (**resource).clone();
                    resource.metadata_mut().resource_version = match write.expected {
                        Expected::Version(version) => Some(version),
                        Expected::Absent => None,
                    };
                    self.put(resource);
                }
            }
        }
    }

    /// One resource.
    #[must_use]
    pub fn get(&self, key: &ResourceKey) -> Option<AnyResource> {
        let name = &key.name;
        let spaced = || namespaced(key.namespace.clone(), name.clone());
        match key.kind {
            KindName::Node => self.nodes.get(name).cloned().map(Into::into),
            KindName::Network => self.networks.get(name).cloned().map(Into::into),
            KindName::IpPool => self.pools.get(name).cloned().map(Into::into),
            KindName::IpReservation => self.reservations.get(name).cloned().map(Into::into),
            KindName::Namespace => self.namespaces.get(name).cloned().map(Into::into),
            KindName::Profile => self.profiles.get(name).cloned().map(Into::into),
            KindName::Tier => self.tiers.get(name).cloned().map(Into::into),
            KindName::GlobalNetworkPolicy => self
                .global_network_policies
                .get(name)
                .cloned()
                .map(Into::into),
            KindName::GlobalNetworkSet => {
                self.global_network_sets.get(name).cloned().map(Into::into)
            }
            KindName::HostEndpoint => self.host_endpoints.get(name).cloned().map(Into::into),
            KindName::NetworkPolicy => self
                .network_policies
                .get(&spaced())
                .cloned()
                .map(Into::into),
            KindName::NetworkSet => self.network_sets.get(&spaced()).cloned().map(Into::into),
            KindName::Endpoint => self.endpoints.get(&spaced()).cloned().map(Into::into),
            KindName::Block => self.blocks.get(name).cloned().map(Into::into),
            KindName::Handle => self.handles.get(name).cloned().map(Into::into),
            KindName::Token => self.tokens.get(name).cloned().map(Into::into),
            KindName::Learned => self.learned.get(name).cloned().map(Into::into),
            KindName::BgpFilter => self.bgp_filters.get(name).cloned().map(Into::into),
            KindName::BgpPeer => self.bgp_peers.get(name).cloned().map(Into::into),
            KindName::BgpConfiguration => {
                self.bgp_configurations.get(name).cloned().map(Into::into)
            }
        }
    }

    /// Every resource of one kind, in order of key.
    #[must_use]
    pub fn list(&self, kind: KindName) -> Vec<AnyResource> {
        fn all<K, S: crate::resource::Kind>(map: &BTreeMap<K, Resource<S>>) -> Vec<AnyResource>
        where
            AnyResource: From<Resource<S>>,
        {
            map.values().cloned().map(Into::into).collect()
        }
        match kind {
            KindName::Node => all(&self.nodes),
            KindName::Network => all(&self.networks),
            KindName::IpPool => all(&self.pools),
            KindName::IpReservation => all(&self.reservations),
            KindName::Namespace => all(&self.namespaces),
            KindName::Profile => all(&self.profiles),
            KindName::Tier => all(&self.tiers),
            KindName::GlobalNetworkPolicy => all(&self.global_network_policies),
            KindName::GlobalNetworkSet => all(&self.global_network_sets),
            KindName::HostEndpoint => all(&self.host_endpoints),
            KindName::NetworkPolicy => all(&self.network_policies),
            KindName::NetworkSet => all(&self.network_sets),
            KindName::Endpoint => all(&self.endpoints),
            KindName::Block => all(&self.blocks),
            KindName::Handle => all(&self.handles),
            KindName::Token => all(&self.tokens),
            KindName::Learned => all(&self.learned),
            KindName::BgpFilter => all(&self.bgp_filters),
            KindName::BgpPeer => all(&self.bgp_peers),
            KindName::BgpConfiguration => all(&self.bgp_configurations),
        }
    }

    /// The pool that an address of a space belongs to, with its name.
    #[must_use]
    pub fn pool_of(
        &self,
        space: Option<&Name>,
        address: std::net::IpAddr,
    ) -> Option<&Resource<IpPool>> {
        self.pools
            .values()
            .find(|p| p.spec.space.as_ref() == space && p.spec.cidr.contains(&address))
    }

    /// The address space of a network, which all of its pools are of.
    #[must_use]
    pub fn space_of(&self, network: &Name) -> Option<&Name> {
        let pools = &self.networks.get(network)?.spec.pools;
        let pool = pools.iter().find_map(|pool| self.pools.get(pool))?;
        pool.spec.space.as_ref()
    }

    /// The block of a network that an address lies in.
    #[must_use]
    pub fn block_of(&self, network: &Name, address: std::net::IpAddr) -> Option<&Resource<Block>> {
        let pool = self.pool_of(self.space_of(network), address)?;
        let cidr = IpNet::new(address, pool.spec.block_prefix()).ok()?;
        let name = Block::resource_name(pool.spec.space.as_ref(), cidr.trunc());
        self.blocks.get(&name)
    }

    /// Whether an endpoint's addresses have been given to somebody else since. It is so only if a
    /// block says it; an endpoint of whose block nothing is known keeps what it has.
    #[must_use]
    pub fn is_superseded(&self, endpoint: &Resource<Endpoint>) -> bool {
        let spec = &endpoint.spec;
        spec.addresses.iter().any(|address| {
            let Some(block) = self.block_of(&spec.network, *address) else {
                return false;
            };
            let ordinal = block.spec.ordinal(*address);
            let holder = ordinal.and_then(|ordinal| block.spec.allocations.get(&ordinal));
            holder.is_some_and(|a| a.handle != spec.handle || a.generation > spec.generation)
        })
    }

    /// The faults of a resource in the light of all others, as pools that overlap.
    #[must_use]
    pub fn conflicts(&self, resource: &AnyResource) -> Vec<crate::resource::FieldError> {
        match resource {
            AnyResource::IpPool(pool) => self.range_faults(pool),
            AnyResource::Network(network) => self.pool_faults(network),
            AnyResource::BgpConfiguration(configuration) => name_faults(configuration),
            AnyResource::BgpPeer(peer) => self.filter_faults(peer),
            _ => Vec::new(),
        }
    }

    /// Pools that share addresses with this one, and nodes whose underlay addresses lie in it.
    fn range_faults(&self, pool: &Resource<IpPool>) -> Vec<crate::resource::FieldError> {
        let cidr = pool.spec.cidr;
        // Of thousands of pools hardly any overlap, so that is asked first.
        let others = self.pools.values();
        let overlaps = others
            .filter(|other| crate::kinds::overlap(&other.spec.cidr, &cidr))
            .filter(|other| other.name() != pool.name() && other.spec.space == pool.spec.space)
            .map(|other| {
                let (name, range) = (other.name(), other.spec.cidr);
                format!("{cidr} overlaps {range} of IPPool {name}; pools must not share addresses")
            });
        let user = |network: &&Resource<Network>| network.spec.pools.contains(pool.name());
        let user = self.networks.values().find(user);
        let underlay = user.and_then(|network| self.underlay_fault(cidr, &network.spec));
        let faults = overlaps.chain(underlay);
        faults
            .map(|message| crate::resource::FieldError::new("spec.cidr", message))
            .collect()
    }

    /// What is wrong with a range in which nodes' underlay addresses lie: they would be routed to
    /// containers. On the physical network itself both live side by side, and IPAM spares them.
    fn underlay_fault(&self, cidr: IpNet, network: &Network) -> Option<String> {
        if network.physical().is_some() {
            return None;
        }
        self.nodes.values().find_map(|node| {
            let mut addresses = node.spec.addresses.iter().map(|own| own.address.addr());
            let address = addresses.find(|address| cidr.contains(address))?;
            let name = node.name();
            Some(format!(
                "{cidr} contains {address}, by which node {name} is reached; choose another range"
            ))
        })
    }

    /// Filters of a peer that do not exist.
    fn filter_faults(&self, peer: &Resource<BgpPeer>) -> Vec<crate::resource::FieldError> {
        let filters = peer.spec.filters.iter().enumerate();
        let missing = filters.filter(|(_, filter)| !self.bgp_filters.contains_key(filter));
        missing
            .map(|(index, filter)| {
                let message =
                    format!("there is no BGPFilter {filter}; apply it first or in the same file");
                crate::resource::FieldError::new(format!("spec.filters[{index}]"), message)
            })
            .collect()
    }

    fn space(&self, pool: &Name) -> Option<&Name> {
        self.pools.get(pool)?.spec.space.as_ref()
    }

    /// Pools of a network that do not exist, or that another network uses already: a pool's
    /// addresses are routed in one way, so it has one network.
    fn pool_faults(&self, network: &Resource<Network>) -> Vec<crate::resource::FieldError> {
        let mut faults = Vec::new();
        for (index, pool) in network.spec.pools.iter().enumerate() {
            let other = self
                .networks
                .values()
                .find(|other| other.name() != network.name() && other.spec.pools.contains(pool));
            let message = if !self.pools.contains_key(pool) {
                format!("there is no IPPool {pool}; apply it first or in the same file")
            } else if let Some(other) = other {
                format!(
                    "IPPool {pool} belongs to network {} already; give each network pools of its own",
                    other.name()
                )
            } else if self.space(pool) != self.space(&network.spec.pools[0]) {
                let first = &network.spec.pools[0];
                format!("IPPool {pool} is of another address space than {first}; a network has one")
            } else if let Some(fault) = (self.pools.get(pool))
                .and_then(|pool| self.underlay_fault(pool.spec.cidr, &network.spec))
            {
                fault
            } else {
                continue;
            };
            let field = format!("spec.pools[{index}]");
            faults.push(crate::resource::FieldError::new(field, message));
        }
        faults
    }
}

/// A configuration's name says for whom it is, and that of one node cannot say everything.
fn name_faults(configuration: &Resource<BgpConfiguration>) -> Vec<crate::resource::FieldError> {
    let name = configuration.name().as_str();
    if name == BgpConfiguration::DEFAULT {
        return Vec::new();
    }
    if !name.starts_with("node.") {
        let message = format!(
            "{name:?} is nobody's configuration: it is `default`, or `node.` with a node's name"
        );
        return vec![crate::resource::FieldError::new("metadata.name", message)];
    }
    let fields = configuration.spec.only_for_all().into_iter();
    let fault = |field: &str| {
        let instead = match field {
            "asNumber" => "set spec.bgp.asNumber of the Node",
            _ => "set it in BGPConfiguration default",
        };
        let message = format!("one node cannot have it; {instead}");
        crate::resource::FieldError::new(format!("spec.{field}"), message)
    };
    fields.map(fault).collect()
}

fn namespaced(namespace: Option<Name>, name: Name) -> (Name, Name) {
    let namespace = namespace.unwrap_or_else(|| Name::new("default").expect("letters make a name"));
    (namespace, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Accept, parse_with};

    const TEXT: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a}, spec: {}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.0.0.0-30}, spec: {
  cidr: 10.0.0.0/30, pool: p, node: a, generation: 1, released: [[2, h]],
  allocations: {1: {handle: h, generation: 3, node: a}}}}
---
{apiVersion: tombolo.dev/v1, kind: Handle, metadata: {name: h}, spec: {
  network: n, identity: 'a:c/eth0', generation: 3, node: a, endpoint: [default, e]}}
---
{apiVersion: tombolo.dev/v1, kind: Endpoint, metadata: {name: e, namespace: default}, spec: {
  node: a, network: n, containerID: c, interface: eth0, sandbox: /run/netns/c, handle: h,
  generation: 3, addresses: [10.0.0.1], mac: '02:00:00:00:00:01'}}
";

    #[test]
    fn a_compact_world_is_the_same_world() {
        let mut world = World::default();
        for parsed in parse_with("world", TEXT, Accept::Internal).unwrap() {
            world.put(parsed.resource);
        }
        let before = world.clone();
        assert_eq!(world.size(), 4);
        world.compact();
        assert_eq!(world, before);
        let handle = &world.handles.values().next().unwrap().metadata.name;
        let endpoint = &world.endpoints.values().next().unwrap().spec.handle;
        assert!(std::ptr::eq(handle.as_str(), endpoint.as_str()));
    }
}

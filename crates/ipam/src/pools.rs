//! Which pools of a network a node may use, in order, and why not the others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, IpPool, Name, Network, World};

use crate::error::IpamError;

/// A pool of a network, as seen from one node.
pub(crate) struct PoolView<'w> {
    pub name: &'w Name,
    pub spec: &'w IpPool,
    /// Why this node may not use it.
    pub barred: Option<String>,
}

/// The pools of a network, in the network's order, as seen from one node.
pub(crate) struct Pools<'w> {
    pub views: Vec<PoolView<'w>>,
    /// Pools that the network names and that are not there.
    missing: Vec<&'w Name>,
    network: &'w Name,
    node: Name,
}

impl<'w> Pools<'w> {
    pub fn of(world: &'w World, network: &Name, node: &Name) -> Result<Pools<'w>, IpamError> {
        let Some((name, resource)) = world.networks.get_key_value(network) else {
            return Err(IpamError::UnknownNetwork {
                network: network.clone(),
            });
        };
        let spec: &Network = &resource.spec;
        if spec.pools.is_empty() {
            return Err(IpamError::NoPools {
                network: network.clone(),
            });
        }
        let none = BTreeMap::new();
        let labels = world.nodes.get(node).map_or(&none, |n| &n.metadata.labels);
        let mut pools = Pools {
            views: Vec::new(),
            missing: Vec::new(),
            network: name,
            node: node.clone(),
        };
        for wanted in &spec.pools {
            let Some((name, pool)) = world.pools.get_key_value(wanted) else {
                pools.missing.push(wanted);
                continue;
            };
            let spec = &pool.spec;
            let barred = if spec.disabled {
                Some(format!("IPPool {name} is disabled"))
            } else if !spec.node_selector.matches(labels) {
                Some(format!(
                    "IPPool {name} is for nodes with {}, which node {node} does not match",
                    spec.node_selector
                ))
            } else {
                // Where a node's block follows from its address, that may give none.
                world.given_block(name, node).and_then(Result::err)
            };
            pools.views.push(PoolView { name, spec, barred });
        }
        if pools.views.is_empty() {
            // Without any pool the family cannot be known; IPv4 stands for both.
            return Err(pools.unusable(Family::V4));
        }
        Ok(pools)
    }

    /// The families of the network, IPv4 first.
    pub fn families(&self) -> Vec<Family> {
        let has = |family| {
            self.views
                .iter()
                .any(|v| Family::of_net(v.spec.cidr) == family)
        };
        Family::ALL
            .into_iter()
            .filter(|family| has(*family))
            .collect()
    }

    /// The pools of a family that the node may use, in order.
    pub fn usable(&self, family: Family) -> impl Iterator<Item = &PoolView<'w>> {
        self.views
            .iter()
            .filter(move |v| Family::of_net(v.spec.cidr) == family && v.barred.is_none())
    }

    /// The pool that an address lies in.
    pub fn of_address(&self, address: IpAddr) -> Option<&PoolView<'w>> {
        self.views.iter().find(|v| v.spec.cidr.contains(&address))
    }

    /// The error that no pool of a family can be used.
    pub fn unusable(&self, family: Family) -> IpamError {
        let of_family = self
            .views
            .iter()
            .filter(|v| Family::of_net(v.spec.cidr) == family);
        let mut reasons: Vec<String> = of_family.filter_map(|v| v.barred.clone()).collect();
        reasons.extend(
            self.missing
                .iter()
                .map(|name| format!("IPPool {name} does not exist")),
        );
        IpamError::NoUsablePool {
            network: self.network.clone(),
            family,
            node: self.node.clone(),
            reasons: reasons.join("; "),
        }
    }

    /// The error that an address lies in no pool.
    pub fn outside(&self, address: IpAddr) -> IpamError {
        let pools: Vec<String> = self
            .views
            .iter()
            .map(|v| format!("{} ({})", v.name, v.spec.cidr))
            .collect();
        let network = self.network.clone();
        IpamError::OutsidePools {
            address,
            network,
            pools: pools.join(", "),
        }
    }

    /// The error that a family has no free address left for the node.
    pub fn exhausted(&self, world: &World, family: Family) -> IpamError {
        let told: Vec<String> = self
            .usable(family)
            .map(|pool| {
                let blocks = || world.blocks.values().filter(|b| b.spec.pool == *pool.name);
                let used: usize = blocks().map(|b| b.spec.allocations.len()).sum();
                format!(
                    "IPPool {} ({}) has {} addresses in {} blocks, {used} in use{}",
                    pool.name,
                    pool.spec.cidr,
                    size_words(pool.spec.cidr),
                    blocks().count(),
                    if pool.spec.strict_affinity {
                        ", strictAffinity"
                    } else {
                        ""
                    },
                )
            })
            .collect();
        IpamError::Exhausted {
            network: self.network.clone(),
            family,
            node: self.node.clone(),
            pools: told.join("; "),
        }
    }
}

/// How many addresses a range has, `2^n` where it is large.
fn size_words(net: IpNet) -> String {
    let bits = net.max_prefix_len() - net.prefix_len();
    if bits <= 32 {
        (1u64 << bits).to_string()
    } else {
        format!("2^{bits}")
    }
}

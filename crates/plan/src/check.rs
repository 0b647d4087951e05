//! What is wrong with a resource, as far as only the planner can tell.
//!
//! The model knows what a valid value is; here it is known which drivers and transports there are.

use std::collections::BTreeSet;

use ipnet::IpNet;
use tombolo_model::kinds::{IpvlanFlag, MacvlanMode, Physical, PhysicalSort, TransportSpec};
use tombolo_model::{AnyResource, FieldError, Name, Network, Resource, World};

use crate::driver::{self, Driver, Reach};
use crate::naming::LINK_PREFIX;
use crate::{naming, transport};

/// The faults that the planner sees in a resource.
#[must_use]
pub fn faults(resource: &AnyResource) -> Vec<FieldError> {
    match resource {
        AnyResource::Network(network) => network_faults(&network.spec),
        _ => Vec::new(),
    }
}

/// What an operator may leave out of a resource and the planner knows: a segment's VNI. It stays
/// what it was; a new one is free at present, and begins to be looked for at a place that depends on
/// the network's name, so that two nodes that do so at once do not meet.
pub fn complete(world: &World, resource: &mut AnyResource) {
    let AnyResource::Network(network) = resource else {
        return;
    };
    if !is_segment(&network.spec) {
        return;
    }
    let name = network.metadata.name.clone();
    let Some(transport) = &mut network.spec.transport else {
        return;
    };
    if transport.name.as_str() != "vxlan" || transport.options.contains_key("vni") {
        return;
    }
    let present = world.networks.get(&name).and_then(|present| {
        let transport = present.spec.transport.as_ref()?;
        transport.options.get("vni").cloned()
    });
    let vni = present.unwrap_or_else(|| free_vni(world, &name).into());
    transport.options.insert("vni".to_owned(), vni);
}

fn free_vni(world: &World, network: &Name) -> u32 {
    let taken: BTreeSet<u32> = world
        .networks
        .values()
        .filter_map(|n| vni(&n.spec))
        .collect();
    let first = naming::preferred_vni(network);
    let mut all = (first..=LAST_VNI).chain(FIRST_VNI..first);
    all.find(|vni| !taken.contains(vni)).unwrap_or(first)
}

/// The VNIs that are given to segments by themselves: behind those that people like to choose.
const FIRST_VNI: u32 = naming::FIRST_SEGMENT_VNI;
const LAST_VNI: u32 = (1 << 24) - 1;

fn vni(network: &Network) -> Option<u32> {
    let spec = network.transport.as_ref()?;
    transport::find(spec.name.as_str())?.vni(spec)
}

fn is_segment(network: &Network) -> bool {
    driver::find(&network.driver).is_some_and(|driver| driver.reach == Reach::Segment)
}

/// Whether the hosts route none of a network's addresses.
fn is_apart(network: &Network) -> bool {
    let on_host = network.physical().is_none_or(|spec| spec.host_access);
    is_segment(network) || !on_host
}

/// The faults that the planner sees in a resource in the light of all others.
#[must_use]
pub fn conflicts(world: &World, resource: &AnyResource) -> Vec<FieldError> {
    let AnyResource::Network(network) = resource else {
        return Vec::new();
    };
    let mut faults = vni_faults(world, network);
    faults.extend(fan_conflicts(world, &network.spec));
    if !is_apart(&network.spec)
        && let Some(space) = world.space_of(network.name())
    {
        let message = format!(
            "its addresses are of space {space}, but the hosts route those of driver {}; give it \
             pools without `space`",
            network.spec.driver
        );
        faults.push(FieldError::new("spec.pools", message));
    }
    let cidrs = || {
        network
            .spec
            .pools
            .iter()
            .filter_map(|pool| world.pools.get(pool))
    };
    for (index, gateway) in network.spec.gateway.iter().enumerate() {
        if !cidrs().any(|pool| pool.spec.cidr.contains(gateway)) {
            let message = format!("{gateway} lies in none of the network's pools");
            faults.push(FieldError::new(format!("spec.gateway[{index}]"), message));
        }
    }
    faults
}

/// A segment's frames are told from others by its VNI alone.
fn vni_faults(world: &World, network: &Resource<Network>) -> Vec<FieldError> {
    let Some(own) = vni(&network.spec) else {
        return Vec::new();
    };
    let other = world.networks.values().find(|other| {
        other.name() != network.name()
            && vni(&other.spec) == Some(own)
            && (is_segment(&network.spec) || is_segment(&other.spec))
    });
    let message = other.map(|other| {
        format!(
            "{own} is the VNI of network {} already; choose another, or leave it out",
            other.name()
        )
    });
    let fault = |message| FieldError::new("spec.transport.vni", message);
    message.map(fault).into_iter().collect()
}

fn network_faults(network: &Network) -> Vec<FieldError> {
    let Some(driver) = driver::find(&network.driver) else {
        let message = format!(
            "{} is no driver; it must be one of {}",
            network.driver,
            driver::names()
        );
        return vec![FieldError::new("spec.driver", message)];
    };
    let mut faults = Vec::new();
    match &network.transport {
        None if driver.spans_nodes() => faults.push(FieldError::new(
            "spec.transport",
            format!(
                "missing: driver {} spans nodes; give `transport: {{type: …}}`, one of {}",
                driver.name,
                transport::names()
            ),
        )),
        Some(_) if !driver.spans_nodes() => faults.push(FieldError::new(
            "spec.transport",
            format!(
                "driver {} stays on its node and has no transport; remove it",
                driver.name
            ),
        )),
        Some(spec) => match transport::find(spec.name.as_str()) {
            Some(transport) => {
                faults.extend(transport.faults(spec));
                faults.extend(segment_fault(driver, transport, spec));
            }
            None => faults.push(FieldError::new(
                "spec.transport.type",
                format!(
                    "{} is no transport; it must be one of {}",
                    spec.name,
                    transport::names()
                ),
            )),
        },
        None => {}
    }
    if driver.has_addresses && network.pools.is_empty() {
        let message = format!(
            "empty: driver {} needs addresses; name an IPPool",
            driver.name
        );
        faults.push(FieldError::new("spec.pools", message));
    }
    if !driver.has_addresses && !network.pools.is_empty() {
        let message = format!(
            "driver {} gives no addresses; remove the pools",
            driver.name
        );
        faults.push(FieldError::new("spec.pools", message));
    }
    faults.extend(physical_faults(driver, network));
    faults.extend(fan_fault(driver, network));
    faults
}

/// A fan says which range its nodes are in.
fn fan_fault(driver: &Driver, network: &Network) -> Option<FieldError> {
    let message = match (&network.fan, driver.name == "fan") {
        (Some(_), false) => format!(
            "only driver fan has it, and this is {}; remove it",
            driver.name
        ),
        (None, true) => "missing: name the range that all nodes' addresses are in, as `fan: \
             {underlay: 192.168.0.0/16}`"
            .to_owned(),
        _ => return None,
    };
    Some(FieldError::new("spec.fan", message))
}

/// Where blocks follow from nodes' addresses, a pool's blocks have the size that comes of it.
fn fan_conflicts(world: &World, network: &Network) -> Vec<FieldError> {
    let Some(fan) = &network.fan else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (index, name) in network.pools.iter().enumerate() {
        let Some(pool) = world.pools.get(name) else {
            continue;
        };
        let (cidr, size) = (pool.spec.cidr, pool.spec.block_prefix());
        let prefix = match cidr {
            IpNet::V4(overlay) => fan.block_prefix(overlay),
            IpNet::V6(_) => None,
        };
        let message = match prefix {
            Some(prefix) if prefix == size => continue,
            Some(prefix) => format!(
                "IPPool {name} has blocks of /{size}, but in {cidr} over {} each node has a /{prefix}; \
                 set blockSize of the pool to {prefix}",
                fan.underlay
            ),
            None => format!(
                "{cidr} of IPPool {name} has no room for a block of each address in {}; give the fan \
                 an IPv4 pool of at most /{}",
                fan.underlay,
                fan.underlay.prefix_len().saturating_sub(2)
            ),
        };
        faults.push(FieldError::new(format!("spec.pools[{index}]"), message));
    }
    faults
}

/// What only a network on a physical segment has: for each driver a field of its name.
fn physical_faults(driver: &Driver, network: &Network) -> Vec<FieldError> {
    let fields = [
        ("macvlan", network.macvlan.is_some(), "{parent: eth1}"),
        ("ipvlan", network.ipvlan.is_some(), "{parent: eth1}"),
        ("vlan", network.vlan.is_some(), "{parent: eth1, id: 7}"),
    ];
    let mut faults = Vec::new();
    for (name, is_given, example) in fields {
        let message = match (is_given, driver.name == name) {
            (true, false) => format!(
                "only driver {name} has it, and this is {}; remove it",
                driver.name
            ),
            (false, true) => format!(
                "missing: name the host's interface to the physical network, as `{name}: {example}`"
            ),
            _ => continue,
        };
        faults.push(FieldError::new(format!("spec.{name}"), message));
    }
    let own = network.physical().filter(|_| faults.is_empty());
    faults.extend(own.iter().flat_map(|spec| parent_faults(driver, spec)));
    faults
}

fn parent_faults(driver: &Driver, spec: &Physical) -> Vec<FieldError> {
    let mut faults = Vec::new();
    let parent = spec.parent.as_str();
    if parent.starts_with(LINK_PREFIX) || parent == "lo" {
        let whose = if parent == "lo" {
            "the loopback"
        } else {
            "Tombolo's own, by its name"
        };
        let message =
            format!("{parent} is {whose}; name an interface that leads to a physical network");
        let field = format!("spec.{}.parent", driver.name);
        faults.push(FieldError::new(field, message));
    }
    let (why, instead) = match spec.sort {
        PhysicalSort::Macvlan(MacvlanMode::Bridge)
        | PhysicalSort::Ipvlan(_, IpvlanFlag::Bridge) => {
            return faults;
        }
        PhysicalSort::Macvlan(MacvlanMode::Private) => (
            "in mode private nobody on the parent is heard by the others, the host's own interface neither",
            "mode",
        ),
        PhysicalSort::Macvlan(MacvlanMode::Vepa) => (
            "in mode vepa containers are heard only through the switch outside, and the host's own interface neither",
            "mode",
        ),
        PhysicalSort::Macvlan(MacvlanMode::Passthru) => (
            "in mode passthru the parent has one container, and no place for the host's own interface",
            "mode",
        ),
        PhysicalSort::Ipvlan(..) => (
            "with this flag nobody on the parent is heard by the others, the host's own interface neither",
            "flag",
        ),
    };
    if spec.host_access {
        let message = format!("{why}; use {instead} bridge, or set hostAccess to false");
        let field = format!("spec.{}.hostAccess", driver.name);
        faults.push(FieldError::new(field, message));
    }
    faults
}

/// Why a transport cannot carry the frames of a segment.
fn segment_fault(
    driver: &Driver,
    transport: &dyn transport::Transport,
    spec: &TransportSpec,
) -> Option<FieldError> {
    if driver.reach != Reach::Segment {
        return None;
    }
    if !transport.carries_frames() {
        let message = format!(
            "{} carries packets and no frames, which driver {} needs; use vxlan",
            spec.name, driver.name
        );
        return Some(FieldError::new("spec.transport.type", message));
    }
    let message = format!(
        "driver {} sends frames, which always travel by the transport; remove it",
        driver.name
    );
    spec.cross_subnet
        .then(|| FieldError::new("spec.transport.crossSubnet", message))
}

#[cfg(test)]
mod tests;

//! Why a container cannot be put on a physical network, as far as the plan can know.

use tombolo_model::kinds::{Physical, PhysicalSort};
use tombolo_model::{Endpoint, Name, Resource, World};

/// Why an endpoint cannot be had, and what to do about it; none if it can. `goes_first` says whether
/// another endpoint keeps what both want.
pub(super) fn of(
    world: &World,
    endpoint: &Resource<Endpoint>,
    spec: &Physical,
    goes_first: impl Fn(&Resource<Endpoint>) -> bool,
) -> Option<String> {
    lost_host(world, &endpoint.spec, spec).or_else(|| rival(world, endpoint, spec, goes_first))
}

/// Whether an endpoint is before another by name, which is the order in which they are planned.
pub(super) fn is_before(first: &Resource<Endpoint>, second: &Resource<Endpoint>) -> bool {
    let key = |endpoint: &Resource<Endpoint>| {
        (endpoint.metadata.namespace.clone(), endpoint.name().clone())
    };
    key(first) < key(second)
}

/// Why its ports cannot be published, if it has any.
pub(super) fn ports(endpoint: &Endpoint, driver: &Name) -> Option<String> {
    let first = endpoint.ports.first()?;
    Some(format!(
        "port {}/{} of the host cannot be published: packets to a container of driver {driver} do \
         not pass the host; reach it by its own address on the physical network",
        first.host_port, first.protocol
    ))
}

/// Whoever has a parent for itself gets all of its frames, and the host none.
fn lost_host(world: &World, endpoint: &Endpoint, spec: &Physical) -> Option<String> {
    if !spec.sort.is_alone() || spec.vlan.is_some() {
        return None;
    }
    let mut own = world.nodes.get(&endpoint.node)?.spec.addresses.iter();
    let own = own.find(|own| own.interface == spec.parent)?;
    Some(format!(
        "in mode passthru the container would get all packets of {}, by which the other nodes reach \
         this one ({}); name another parent, or use mode bridge",
        spec.parent,
        own.address.addr()
    ))
}

/// Another endpoint of the same host on the same parent that cannot be there beside this one.
fn rival(
    world: &World,
    endpoint: &Resource<Endpoint>,
    spec: &Physical,
    goes_first: impl Fn(&Resource<Endpoint>) -> bool,
) -> Option<String> {
    let others = world.endpoints.values().filter(|other| {
        other.spec.node == endpoint.spec.node && other.key() != endpoint.key() && goes_first(other)
    });
    let mut others = others.filter(|other| !world.is_superseded(other));
    let (rival, why) = others.find_map(|other| {
        let theirs = world.networks.get(&other.spec.network)?.spec.physical()?;
        let is_here = theirs.parent == spec.parent && theirs.vlan == spec.vlan;
        let why = discord(spec.sort, theirs.sort).filter(|_| is_here)?;
        Some((other, why))
    })?;
    let vlan = spec.vlan.map(|vlan| format!(", VLAN {vlan},"));
    Some(format!(
        "{}{} is used by container {} of network {} already, and {why}",
        spec.parent,
        vlan.unwrap_or_default(),
        rival.spec.container_id,
        rival.spec.network
    ))
}

/// Why interfaces of two sorts cannot stand on one parent, and what to do.
fn discord(own: PhysicalSort, theirs: PhysicalSort) -> Option<String> {
    match (own, theirs) {
        _ if own.name() != theirs.name() => Some(format!(
            "a parent bears either macvlan or ipvlan interfaces; use {}, or another parent",
            theirs.name()
        )),
        _ if own.is_alone() || theirs.is_alone() => Some(
            "in mode passthru a parent has one container; use mode bridge, or another parent"
                .to_owned(),
        ),
        (PhysicalSort::Ipvlan(..), _) if own != theirs => Some(format!(
            "all ipvlan interfaces of a parent have one mode; use {theirs} here too, or another \
             parent"
        )),
        _ => None,
    }
}

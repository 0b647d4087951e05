//! Why a container cannot be put on a physical network, as far as the plan can know.

use tombolo_model::kinds::{Macvlan, MacvlanMode};
use tombolo_model::{Endpoint, Network, Resource, World};

/// Why an endpoint cannot be had, and what to do about it; none if it can. `goes_first` says whether
/// another endpoint keeps what both want.
pub(super) fn of(
    world: &World,
    endpoint: &Resource<Endpoint>,
    spec: &Macvlan,
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
pub(super) fn ports(endpoint: &Endpoint) -> Option<String> {
    let first = endpoint.ports.first()?;
    Some(format!(
        "port {}/{} of the host cannot be published: packets to a container of driver macvlan do \
         not pass the host; reach it by its own address on the physical network",
        first.host_port, first.protocol
    ))
}

/// Whoever has a parent for itself gets all of its frames, and the host none.
fn lost_host(world: &World, endpoint: &Endpoint, spec: &Macvlan) -> Option<String> {
    if spec.mode != MacvlanMode::Passthru || spec.vlan.is_some() {
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

/// Another endpoint of the same host on the same parent, where one of both must have it for itself.
fn rival(
    world: &World,
    endpoint: &Resource<Endpoint>,
    spec: &Macvlan,
    goes_first: impl Fn(&Resource<Endpoint>) -> bool,
) -> Option<String> {
    let alone = |spec: &Macvlan| spec.mode == MacvlanMode::Passthru;
    let mut others = world.endpoints.values().filter(|other| {
        other.spec.node == endpoint.spec.node && other.key() != endpoint.key() && goes_first(other)
    });
    let rival = others.find(|other| {
        let network = world.networks.get(&other.spec.network);
        let theirs = network.and_then(|network| on_parent(network, spec));
        theirs.is_some_and(|theirs| alone(spec) || alone(theirs)) && !world.is_superseded(other)
    })?;
    let vlan = spec.vlan.map(|vlan| format!(", VLAN {vlan},"));
    Some(format!(
        "{}{} is used by container {} of network {} already, and in mode passthru a parent has one \
         container; use mode bridge, or another parent",
        spec.parent,
        vlan.unwrap_or_default(),
        rival.spec.container_id,
        rival.spec.network
    ))
}

/// How a network stands on the same parent, if it does.
fn on_parent<'a>(network: &'a Resource<Network>, spec: &Macvlan) -> Option<&'a Macvlan> {
    let other = network.spec.macvlan.as_ref();
    other.filter(|other| other.parent == spec.parent && other.vlan == spec.vlan)
}

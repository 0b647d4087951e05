//! The writes that attach a container: its addresses and its endpoint, in one transaction.

use std::sync::{Mutex, PoisonError};

use tombolo_api::{AttachRequest, Fault, FaultKind};
use tombolo_ipam::{Claim, IpamError, Request, Reserve};
use tombolo_model::kinds::Purpose;
use tombolo_model::{AnyResource, Endpoint, Handle, MacAddr, Name, Resource, World, Write};
use tombolo_plan::driver::{self, Driver};
use tombolo_plan::naming;

use super::{EndpointKey, taken};
use crate::shared::Shared;

/// How addresses are taken.
#[derive(Default)]
pub(super) struct How {
    /// Nodes whose agents are not alive: what they hold may be taken over.
    pub absent: Vec<Name>,
    /// Without the store.
    pub offline: bool,
    /// The block of another node that would have to be opened first, if that is why nothing could
    /// be decided.
    not_lent: Mutex<Option<Name>>,
}

impl How {
    pub fn offline() -> How {
        How {
            offline: true,
            ..How::default()
        }
    }

    /// Lets IPAM choose.
    pub fn assign(&self, world: &World, request: &Request<'_>) -> Result<Claim, Fault> {
        tombolo_ipam::assign(world, request).map_err(|error| {
            if let IpamError::NotLent { name, .. } = &error {
                self.note(name.clone());
            }
            ipam_fault(&error)
        })
    }

    fn note(&self, block: Name) {
        *self.not_lent.lock().unwrap_or_else(PoisonError::into_inner) = Some(block);
    }

    /// The block that would have to be opened first, once.
    pub fn take_not_lent(&self) -> Option<Name> {
        let mut not_lent = self.not_lent.lock().unwrap_or_else(PoisonError::into_inner);
        not_lent.take()
    }
}

/// The writes that attach a container.
pub(super) fn decide(
    shared: &Shared,
    world: &World,
    request: &AttachRequest,
    key: &EndpointKey,
    how: &How,
) -> Result<(Vec<Write>, ()), Fault> {
    let driver = driver_of(world, &request.network)?;
    let (identity, mut endpoint) = unplaced(shared, world, request, key);
    let mut writes = Vec::new();
    if driver.has_addresses {
        let take = Take {
            driver,
            identity: &identity,
            how,
        };
        writes = take.addresses(world, request, key, &mut endpoint)?;
    } else if let Some(address) = request.addresses.first() {
        let message = format!(
            "{address} asked for, but driver {} gives no addresses",
            driver.name
        );
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let mut resource = Resource::new(key.1.clone(), endpoint);
    resource.metadata.namespace = Some(key.0.clone());
    resource.metadata.labels = request.labels.clone();
    let faults = resource.validate();
    if !faults.is_empty() {
        let mut fault = Fault::new(FaultKind::Invalid, "the container cannot be attached so");
        fault.add(0, faults);
        return Err(fault);
    }
    if let Some(why) = driver.attachment.obstacle(world, &resource) {
        return Err(Fault::new(FaultKind::Conflict, why));
    }
    port_clash(world, &resource)?;
    let read = world
        .endpoints
        .get(key)
        .and_then(|old| old.metadata.resource_version);
    // An endpoint of the same name is what an attachment that broke off has left.
    writes.retain(|write| write.key != resource.key());
    writes.push(Write::put(AnyResource::Endpoint(resource), read));
    Ok((writes, ()))
}

/// Whether the addresses of who is attached are in use on another node, as far as is known.
pub(super) fn is_held_elsewhere(shared: &Shared, request: &AttachRequest) -> bool {
    let world = shared.world();
    let identity = identity_of(shared, &world, request);
    let handle = Handle::resource_name(&request.network, &identity);
    let holder = world
        .handles
        .get(&handle)
        .and_then(|handle| handle.spec.node.as_ref());
    holder.is_some_and(|node| node != shared.node())
}

/// Who is attached: as the runtime says, else who has taken its addresses beforehand, else the
/// container on this node.
fn identity_of(shared: &Shared, world: &World, request: &AttachRequest) -> String {
    let taken = || {
        let address = request.addresses.first().filter(|_| request.handover)?;
        let (_, handle) = taken::holder(world, shared.node(), &request.network, *address)?;
        // As it was asked for: IPAM adds the node where another one has it too.
        let own = format!("@{}", shared.node());
        let identity = handle.identity.as_str();
        Some(identity.strip_suffix(&own).unwrap_or(identity).to_owned())
    };
    request.identity.clone().or_else(taken).unwrap_or_else(|| {
        Handle::identity_on(shared.node(), &request.container_id, &request.interface)
    })
}

/// The endpoint as asked for, before it has addresses, with who it is.
fn unplaced(
    shared: &Shared,
    world: &World,
    request: &AttachRequest,
    key: &EndpointKey,
) -> (String, Endpoint) {
    let identity = identity_of(shared, world, request);
    let endpoint = Endpoint {
        node: shared.node().clone(),
        network: request.network.clone(),
        container_id: request.container_id.clone(),
        configuration: request.configuration.clone(),
        interface: request.interface.clone(),
        sandbox: request.sandbox.clone(),
        handover: request.handover.then(|| naming::handed_end(&key.0, &key.1)),
        sandbox_id: request.sandbox_id,
        handle: Handle::resource_name(&request.network, &identity),
        generation: 0,
        addresses: Vec::new(),
        mac: request.mac.unwrap_or_else(random_mac),
        ports: request.ports.clone(),
        profiles: request.profiles.clone(),
        named_ports: request.named_ports.clone(),
        boot_id: shared.boot_id.clone(),
    };
    (identity, endpoint)
}

/// Addresses are taken for somebody.
struct Take<'a> {
    driver: &'a Driver,
    identity: &'a str,
    how: &'a How,
}

impl Take<'_> {
    /// Takes addresses for an endpoint, and answers the writes that make them its own.
    fn addresses(
        &self,
        world: &World,
        request: &AttachRequest,
        key: &EndpointKey,
        endpoint: &mut Endpoint,
    ) -> Result<Vec<Write>, Fault> {
        let attachment = self.driver.attachment;
        let (head, tail) = attachment.reserved();
        let network = world.networks.get(&request.network);
        let kept = network.map(|network| attachment.kept(world, &network.spec));
        let handle = world.handles.get(&endpoint.handle);
        let holder = handle.and_then(|handle| handle.spec.node.as_ref());
        let request = Request {
            node: &endpoint.node,
            network: &request.network,
            identity: self.identity,
            endpoint: Some(key.clone()),
            purpose: Purpose::Workload,
            wanted: &request.addresses,
            ranges: &request.ranges,
            reserve: Reserve { head, tail },
            kept: &kept.unwrap_or_default(),
            take_over: holder.is_some_and(|node| self.how.absent.contains(node)),
            offline: self.how.offline,
        };
        let claim = self.how.assign(world, &request)?;
        endpoint.addresses = claim.addresses;
        endpoint.generation = claim.generation;
        endpoint.handle = claim.handle;
        Ok(claim.writes)
    }
}

pub(super) fn driver_of(world: &World, network: &Name) -> Result<&'static Driver, Fault> {
    let Some(resource) = world.networks.get(network) else {
        let known: Vec<&str> = world.networks.keys().map(Name::as_str).collect();
        let message = format!(
            "there is no network {network}; there are: {}",
            known.join(", ")
        );
        return Err(Fault::new(FaultKind::NotFound, message));
    };
    driver::find(&resource.spec.driver).ok_or_else(|| {
        let message = format!(
            "driver {} of network {network} is not known",
            resource.spec.driver
        );
        Fault::new(FaultKind::Invalid, message)
    })
}

/// A port of this host that another endpoint publishes already.
pub(super) fn port_clash(world: &World, endpoint: &Resource<Endpoint>) -> Result<(), Fault> {
    let any = |ip: Option<std::net::IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    for other in world.endpoints.values() {
        if other.spec.node != endpoint.spec.node || other.key() == endpoint.key() {
            continue;
        }
        for (mine, theirs) in endpoint
            .spec
            .ports
            .iter()
            .flat_map(|m| other.spec.ports.iter().map(move |t| (m, t)))
        {
            let same_ip =
                any(mine.host_ip) || any(theirs.host_ip) || mine.host_ip == theirs.host_ip;
            if mine.host_port == theirs.host_port && mine.protocol == theirs.protocol && same_ip {
                let message = format!(
                    "port {}/{} of this host is published by container {} already; choose another port of the host",
                    mine.host_port, mine.protocol, other.spec.container_id
                );
                return Err(Fault::new(FaultKind::Conflict, message));
            }
        }
    }
    Ok(())
}

pub(crate) fn ipam_fault(error: &IpamError) -> Fault {
    use IpamError as E;
    let kind = match error {
        E::UnknownNetwork { .. } => FaultKind::NotFound,
        E::Exhausted { .. } | E::NoUsablePool { .. } | E::NotLent { .. } => FaultKind::Exhausted,
        E::Unreached { .. } => FaultKind::Unavailable,
        E::Held { .. } | E::OtherNodes { .. } | E::BlocksOverlap { .. } => FaultKind::Conflict,
        _ => FaultKind::Invalid,
    };
    Fault::new(kind, error.to_string())
}

/// A link-layer address that no other endpoint has: not a function of its IP address, so that an
/// entry that has gone stale elsewhere cannot lead to the address's next holder.
fn random_mac() -> MacAddr {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new()
        .hash_one(std::time::Instant::now())
        .to_le_bytes();
    MacAddr::local([random[0], random[1], random[2], random[3], random[4]])
}

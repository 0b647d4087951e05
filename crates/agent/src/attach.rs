//! A container comes and goes: addresses, the endpoint resource, and waiting for the kernel.
//!
//! Attaching commits addresses and endpoint in one transaction, then waits until the kernel holds
//! all that the endpoint asks for; what cannot be had is undone. Detaching is one transaction too,
//! and succeeds when there is nothing to detach.

use std::path::Path;
use std::time::Duration;

use tombolo_api::{
    AddressView, AttachRequest, Attached, DetachRequest, Fault, FaultKind, Inspected,
    InterfaceView, RouteView,
};
use tombolo_ipam::{Request, Reserve};
use tombolo_kernel::{Kernel, KernelError, NetnsHandle, Ownership};
use tombolo_model::kinds::Purpose;
use tombolo_model::{
    AnyResource, Endpoint, Handle, MacAddr, Name, Resource, ResourceKey, World, Write,
};
use tombolo_plan::driver::{self, Driver};
use tombolo_plan::objects::{LinkKind, NextHop};
use tombolo_plan::{HostPlan, Key, Netns, Object, Op, naming};

use crate::shared::{AppliedState, Shared};

/// How long the kernel may take to hold an endpoint.
const APPLY_LIMIT: Duration = Duration::from_secs(20);

type EndpointKey = (Name, Name);

/// Plugs a container in.
pub(crate) async fn attach(shared: &Shared, request: &AttachRequest) -> Result<Attached, Fault> {
    let key = endpoint_key(shared, request)?;
    check_sandbox(request)?;
    let others = absent_nodes(shared).await;
    let decide = |world: &World| decide(shared, world, request, &key, &others);
    let (revision, _) = shared.commit(decide).await?;
    let state = shared.wait_applied(revision, APPLY_LIMIT).await;
    let fault = match &state {
        Err(fault) => Some(fault.clone()),
        Ok(state) => unmet(state, &key),
    };
    if let Some(fault) = fault {
        // What was begun is undone; if even that fails, the sweep finds it.
        if let Err(error) = remove(shared, &key).await {
            tracing::warn!(%error, endpoint = %key.1, "cannot undo an attachment");
        }
        return Err(fault);
    }
    let state = state?;
    describe(&shared.world(), &state.plan, &key)
        .ok_or_else(|| Fault::new(FaultKind::Conflict, "the container was detached meanwhile"))
}

/// Unplugs a container. Nothing to unplug is success.
pub(crate) async fn detach(shared: &Shared, request: &DetachRequest) -> Result<(), Fault> {
    let Some(key) = find(&shared.world(), shared.node(), request) else {
        return Ok(());
    };
    let revision = remove(shared, &key).await?;
    // The store has it; that the kernel follows is not the caller's concern.
    if let Err(fault) = shared.wait_applied(revision, APPLY_LIMIT).await {
        tracing::warn!(%fault, endpoint = %key.1, "detached, but the kernel lags");
    }
    Ok(())
}

/// What an attachment should be, and how the kernel differs.
pub(crate) async fn inspect(shared: &Shared, request: &DetachRequest) -> Result<Inspected, Fault> {
    let not_found = || {
        let what = format!(
            "container {} has no interface {}",
            request.container_id, request.interface
        );
        Fault::new(
            FaultKind::NotFound,
            format!("{what} on this node; attach it first"),
        )
    };
    let key = find(&shared.world(), shared.node(), request).ok_or_else(not_found)?;
    let plan = std::sync::Arc::clone(&shared.applied.borrow().plan);
    let attached = describe(&shared.world(), &plan, &key).ok_or_else(not_found)?;
    let differences = tokio::task::spawn_blocking(move || differences(&plan, &key))
        .await
        .map_err(|e| Fault::new(FaultKind::System, e.to_string()))??;
    Ok(Inspected {
        attached,
        differences,
    })
}

fn endpoint_key(shared: &Shared, request: &AttachRequest) -> Result<EndpointKey, Fault> {
    let invalid = |message: String| Fault::new(FaultKind::Invalid, message);
    let name = Endpoint::resource_name(shared.node(), &request.container_id, &request.interface)
        .map_err(|e| invalid(format!("the endpoint's name: {e}")))?;
    let namespace = match &request.namespace {
        Some(namespace) => namespace.clone(),
        None => Name::new("default").map_err(|e| invalid(e.to_string()))?,
    };
    Ok((namespace, name))
}

/// The sandbox is there and has no interface of that name yet.
fn check_sandbox(request: &AttachRequest) -> Result<(), Fault> {
    let path = Path::new(&request.sandbox);
    if !path.is_absolute() {
        let message = format!("sandbox {:?} is no absolute path", request.sandbox);
        return Err(Fault::new(FaultKind::Invalid, message));
    }
    let netns = NetnsHandle::open(path).map_err(|error| match error {
        KernelError::SandboxGone { .. } => Fault::new(
            FaultKind::NotFound,
            format!(
                "there is no network namespace at {}; was the container stopped?",
                request.sandbox
            ),
        ),
        other => Fault::new(FaultKind::System, other.to_string()),
    })?;
    let interfaces = tombolo_kernel::underlay::interfaces(&netns)
        .map_err(|error| Fault::new(FaultKind::System, error.to_string()))?;
    if interfaces
        .iter()
        .any(|interface| interface.name == request.interface)
    {
        let message = format!(
            "{} has an interface {} already; detach it first, or choose another name",
            request.sandbox, request.interface
        );
        return Err(Fault::new(FaultKind::Conflict, message));
    }
    Ok(())
}

/// Nodes whose agents are not alive, as far as the store knows: what they hold may be taken over.
async fn absent_nodes(shared: &Shared) -> Vec<Name> {
    let Ok(alive) = crate::publish::alive(&shared.resources).await else {
        return Vec::new();
    };
    shared
        .world()
        .nodes
        .keys()
        .filter(|node| !alive.contains(node))
        .cloned()
        .collect()
}

/// The writes that attach a container.
fn decide(
    shared: &Shared,
    world: &World,
    request: &AttachRequest,
    key: &EndpointKey,
    absent: &[Name],
) -> Result<(Vec<Write>, ()), Fault> {
    let driver = driver_of(world, &request.network)?;
    let identity = request.identity.clone().unwrap_or_else(|| {
        format!(
            "{}/{}/{}",
            shared.node(),
            request.container_id,
            request.interface
        )
    });
    let mut endpoint = Endpoint {
        node: shared.node().clone(),
        network: request.network.clone(),
        container_id: request.container_id.clone(),
        interface: request.interface.clone(),
        sandbox: request.sandbox.clone(),
        handle: Handle::resource_name(&request.network, &identity),
        generation: 0,
        addresses: Vec::new(),
        mac: request.mac.unwrap_or_else(random_mac),
        ports: request.ports.clone(),
        boot_id: shared.boot_id.clone(),
    };
    let mut writes = Vec::new();
    if driver.has_addresses {
        let take = Take {
            driver,
            identity: &identity,
            absent,
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

/// How addresses are taken.
struct Take<'a> {
    driver: &'a Driver,
    identity: &'a str,
    /// Nodes whose agents are not alive.
    absent: &'a [Name],
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
        let (head, tail) = self.driver.attachment.reserved();
        let handle = world.handles.get(&endpoint.handle);
        let holder = handle.and_then(|handle| handle.spec.node.as_ref());
        let claim = tombolo_ipam::assign(
            world,
            &Request {
                node: &endpoint.node,
                network: &request.network,
                identity: self.identity,
                endpoint: Some(key.clone()),
                purpose: Purpose::Workload,
                wanted: &request.addresses,
                reserve: Reserve { head, tail },
                take_over: holder.is_some_and(|node| self.absent.contains(node)),
            },
        )
        .map_err(|error| ipam_fault(&error))?;
        endpoint.addresses = claim.addresses;
        endpoint.generation = claim.generation;
        endpoint.handle = claim.handle;
        Ok(claim.writes)
    }
}

fn driver_of(world: &World, network: &Name) -> Result<&'static Driver, Fault> {
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
fn port_clash(world: &World, endpoint: &Resource<Endpoint>) -> Result<(), Fault> {
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
                    "port {}/{} of this host is published by container {} already; choose another hostPort",
                    mine.host_port, mine.protocol, other.spec.container_id
                );
                return Err(Fault::new(FaultKind::Conflict, message));
            }
        }
    }
    Ok(())
}

pub(crate) fn ipam_fault(error: &tombolo_ipam::IpamError) -> Fault {
    use tombolo_ipam::IpamError as E;
    let kind = match error {
        E::UnknownNetwork { .. } => FaultKind::NotFound,
        E::Exhausted { .. } | E::NoUsablePool { .. } => FaultKind::Exhausted,
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

/// Why the kernel does not hold all of an endpoint, if it does not.
fn unmet(state: &AppliedState, key: &EndpointKey) -> Option<Fault> {
    if let Some(error) = &state.error {
        return Some(Fault::new(FaultKind::System, error.clone()));
    }
    let owner = resource_key(key);
    let mut objects = state
        .plan
        .objects
        .iter()
        .filter(|(_, p)| p.origin.resource == owner);
    objects.find_map(|(place, _)| {
        let why = state.failed.get(&place.to_string())?;
        Some(Fault::new(FaultKind::System, why.clone()))
    })
}

/// Deletes an endpoint and gives its addresses back.
pub(crate) async fn remove(
    shared: &Shared,
    key: &EndpointKey,
) -> Result<tombolo_store::Revision, Fault> {
    let decide = |world: &World| {
        let Some(endpoint) = world.endpoints.get(key) else {
            return Ok((Vec::new(), ()));
        };
        let spec = &endpoint.spec;
        let mut writes = tombolo_ipam::release(world, &spec.handle, spec.generation);
        writes.retain(|write| write.key != endpoint.key());
        if let Some(version) = endpoint.metadata.resource_version {
            writes.push(Write::delete(endpoint.key(), version));
        }
        Ok((writes, ()))
    };
    shared.commit(decide).await.map(|(revision, ())| revision)
}

/// The endpoint of a container's interface on this node.
fn find(world: &World, node: &Name, request: &DetachRequest) -> Option<EndpointKey> {
    let name = Endpoint::resource_name(node, &request.container_id, &request.interface).ok()?;
    world
        .endpoints
        .keys()
        .find(|(_, other)| *other == name)
        .cloned()
}

fn resource_key(key: &EndpointKey) -> ResourceKey {
    ResourceKey {
        kind: tombolo_model::KindName::Endpoint,
        namespace: Some(key.0.clone()),
        name: key.1.clone(),
    }
}

/// What the runtime is told of an endpoint.
fn describe(world: &World, plan: &HostPlan, key: &EndpointKey) -> Option<Attached> {
    let endpoint = world.endpoints.get(key)?;
    let spec = &endpoint.spec;
    let driver = driver_of(world, &spec.network).ok()?;
    let owner = resource_key(key);
    let mut attached = Attached {
        endpoint: key.clone(),
        host_interface: None,
        container_interface: None,
        bridge: None,
        addresses: Vec::new(),
        routes: Vec::new(),
    };
    for (place, planned) in &plan.objects {
        if planned.origin.resource != owner {
            continue;
        }
        match (&place.netns, &place.key, &planned.object) {
            (Netns::Host, Key::Link(name), Object::Link(link)) => {
                let mtu = link.mtu.map(tombolo_model::Mtu::get);
                attached.host_interface = Some(InterfaceView {
                    name: name.clone(),
                    mac: link.mac,
                    mtu,
                });
                if let LinkKind::Veth(peer) = &link.kind {
                    let mac = Some(peer.mac);
                    attached.container_interface = Some(InterfaceView {
                        name: peer.name.clone(),
                        mac,
                        mtu,
                    });
                }
                attached.bridge = link.port.as_ref().map(|port| InterfaceView {
                    name: port.bridge.clone(),
                    mac: Some(naming::bridge_mac(&spec.node, &spec.network)),
                    mtu,
                });
            }
            (Netns::Sandbox(_), Key::Route { dst, .. }, Object::Route(route)) => {
                let gateway = match &route.next {
                    NextHop::Via { gateway, .. } => Some(*gateway),
                    _ => None,
                };
                attached.routes.push(RouteView { dst: *dst, gateway });
            }
            _ => {}
        }
    }
    let view = driver.attachment.view(world, spec);
    attached.addresses = view
        .addresses
        .into_iter()
        .map(|(address, gateway)| AddressView { address, gateway })
        .collect();
    Some(attached)
}

/// What the kernel lacks of an endpoint, read afresh.
fn differences(plan: &HostPlan, key: &EndpointKey) -> Result<Vec<String>, Fault> {
    let system = |error: KernelError| Fault::new(FaultKind::System, error.to_string());
    let owner = resource_key(key);
    let mut own = plan.clone();
    own.objects
        .retain(|_, planned| planned.origin.resource == owner);
    let here = NetnsHandle::current().map_err(system)?;
    let mut kernel = Kernel::open(&here, Ownership::default()).map_err(system)?;
    let mut observed = kernel.read(&own).map_err(system)?;
    observed.retain(|place, _| own.objects.contains_key(place));
    Ok(tombolo_plan::diff(&own, &observed)
        .iter()
        .map(|op| match op {
            Op::Create { place, object } => format!("{place} {object} is missing"),
            Op::Change { place, from, to } => format!("{place} is `{from}`, not `{to}`"),
            Op::Remove { place, .. } => format!("{place} is of another kind"),
        })
        .collect())
}

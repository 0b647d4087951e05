//! What a runtime is told of an endpoint, and how the kernel differs from it.

use std::sync::Arc;

use tombolo_api::{
    AddressView, Attached, DetachRequest, Fault, FaultKind, Inspected, InterfaceView, RouteView,
};
use tombolo_kernel::{Kernel, KernelError, NetnsHandle, Ownership};
use tombolo_model::{Endpoint, Name, World};
use tombolo_plan::objects::LinkKind;
use tombolo_plan::{HostPlan, Key, Netns, Object, Op, Place, naming};

use super::claim::driver_of;
use super::{EndpointKey, find, resource_key};
use crate::shared::Shared;

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
    let plan = Arc::clone(&shared.applied.borrow().plan);
    let attached = describe(&shared.world(), &plan, &key).ok_or_else(not_found)?;
    let node = shared.node().clone();
    let differences = tokio::task::spawn_blocking(move || differences(&node, &plan, &key))
        .await
        .map_err(|e| Fault::new(FaultKind::System, e.to_string()))??;
    Ok(Inspected {
        attached,
        differences,
    })
}

/// What the runtime is told of an endpoint.
pub(super) fn describe(world: &World, plan: &HostPlan, key: &EndpointKey) -> Option<Attached> {
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
        note(&mut attached, spec, place, &planned.object);
    }
    let view = driver.attachment.view(world, spec);
    attached.addresses = view
        .addresses
        .into_iter()
        .map(|(address, gateway)| AddressView { address, gateway })
        .collect();
    Some(attached)
}

/// Notes what an object of an endpoint's plan means to the runtime.
fn note(attached: &mut Attached, spec: &Endpoint, place: &Place, object: &Object) {
    match (&place.netns, &place.key, object) {
        (Netns::Host | Netns::Segment(_), Key::Link(name), Object::Link(link))
            if link.kind.stands_on().is_none() =>
        {
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
        (_, Key::Link(name), Object::Link(link)) => {
            if let LinkKind::Macvlan { mac, .. } = &link.kind {
                attached.container_interface = Some(InterfaceView {
                    name: name.clone(),
                    mac: Some(*mac),
                    mtu: link.mtu.map(tombolo_model::Mtu::get),
                });
            }
        }
        (Netns::Sandbox(_), Key::Route { dst, .. }, Object::Route(route)) => {
            let gateway = route.next.gateway();
            attached.routes.push(RouteView { dst: *dst, gateway });
        }
        _ => {}
    }
}

/// What the kernel lacks of an endpoint, read afresh.
fn differences(node: &Name, plan: &HostPlan, key: &EndpointKey) -> Result<Vec<String>, Fault> {
    let system = |error: KernelError| Fault::new(FaultKind::System, error.to_string());
    let owner = resource_key(key);
    let mut own = plan.clone();
    own.objects
        .retain(|_, planned| planned.origin.resource == owner);
    let here = NetnsHandle::current().map_err(system)?;
    let mut kernel = Kernel::open(&here, Ownership::of(node)).map_err(system)?;
    let mut observed = kernel.read(&own).map_err(system)?;
    // A later plugin that changes the MAC empties the neighbour table; the gateway then answers.
    own.objects
        .retain(|place, _| !matches!(place.key, Key::Neighbour { .. }));
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

//! Endpoints: a container's interface, from the moment that Docker asks for it until it is gone.
//!
//! The agent makes a pair with both ends on the host. Docker takes the container's end from there,
//! sets its addresses and routes, and puts it back when the container leaves.

use std::net::IpAddr;
use std::sync::PoisonError;

use ipnet::IpNet;
use serde_json::{Value, json};
use tombolo_api::{
    AddressView, AmendRequest, AttachRequest, Attached, DetachRequest, FaultKind, GiveRequest,
    Inspected,
};
use tombolo_model::{Family, MacAddr, Name, Network, Resource};

use crate::about::About;
use crate::agent::{self, Agent};
use crate::dispatch::{Plugin, Refused};
use crate::network::{network, required};
use crate::options::{Egress, Wish, address};
use crate::wire::{
    CreateEndpoint, EndpointInterface, InterfaceName, Join, Joined, Named, StaticRoute,
};

/// What Docker calls a container's interfaces, before their number.
const PREFIX: &str = "eth";

impl Plugin {
    pub(crate) fn create_endpoint(&self, call: &CreateEndpoint) -> Result<Value, Refused> {
        required("EndpointID", &call.endpoint)?;
        let agent = Agent::new(&self.settings);
        let (container_id, interface) = agent::named(&call.endpoint)?;
        let (network, wish) = self.network_of(&call.network, &agent)?;
        let asked = &call.interface;
        let (addresses, mac) = self::asked(asked)?;
        let about = About::read(&call.options)?;
        let request = AttachRequest {
            container_id,
            interface,
            sandbox: String::new(),
            handover: true,
            sandbox_id: None,
            network: network.clone(),
            configuration: None,
            namespace: about.namespace,
            identity: None,
            addresses: addresses.clone(),
            ranges: Vec::new(),
            mac,
            ports: Vec::new(),
            labels: about.labels,
            profiles: about.profiles,
            named_ports: about.named_ports,
        };
        let attached = agent.client().post::<Attached>("/v1/attach", &request);
        let attached = match attached {
            Ok(attached) => attached,
            Err(error) => {
                if agent::is_unsure(&error) {
                    self.abandon(&call.endpoint)?;
                }
                return Err(error.to_string());
            }
        };
        self.give_others(&agent, &network, &addresses);
        let answer = added(asked, &attached, &wish);
        Ok(json!({"Interface": answer}))
    }

    /// Gives back what was taken in other networks of the same subnet, before it was known which
    /// one the address was for.
    fn give_others(&self, agent: &Agent<'_>, network: &Name, addresses: &[IpAddr]) {
        for address in addresses {
            for other in self.networks_with(*address) {
                if other == *network {
                    continue;
                }
                let request = GiveRequest {
                    network: other,
                    address: *address,
                };
                if let Err(error) = agent.client().post::<()>("/v1/addresses/give", &request) {
                    // The agent frees what nobody comes for.
                    tracing::warn!(%error, %address, "cannot give back what another network took");
                }
            }
        }
    }

    pub(crate) fn delete_endpoint(&self, call: &Named) -> Result<Value, Refused> {
        required("EndpointID", &call.endpoint)?;
        if let Err(error) = Agent::new(&self.settings).detach(&call.endpoint) {
            // Docker takes no error for an answer here: it forgets the endpoint all the same.
            tracing::warn!(error, endpoint = call.endpoint, "cannot unplug yet");
            self.abandon(&call.endpoint)?;
        }
        Ok(json!({}))
    }

    /// Sees to it that an endpoint is unplugged, sooner or later.
    fn abandon(&self, endpoint: &str) -> Result<(), Refused> {
        self.state
            .change(|memory| memory.abandoned.insert(endpoint.to_owned()))?;
        self.namer.wake();
        Ok(())
    }

    pub(crate) fn oper_info(&self, call: &Named) -> Result<Value, Refused> {
        let agent = Agent::new(&self.settings);
        let attached = self.inspect(&agent, &call.endpoint)?;
        let mac = attached.container_interface.and_then(|end| end.mac);
        let value = match mac {
            Some(mac) => json!({"com.docker.network.endpoint.macaddress": mac}),
            None => json!({}),
        };
        Ok(json!({ "Value": value }))
    }

    pub(crate) fn join(&self, call: &Join) -> Result<Joined, Refused> {
        required("EndpointID", &call.endpoint)?;
        required("SandboxKey", &call.sandbox_key)?;
        let agent = Agent::new(&self.settings);
        let (name, wish) = self.network_of(&call.network, &agent)?;
        let attached = match self.amend_sandbox(&agent, &call.endpoint, &call.sandbox_key) {
            Ok(attached) => attached,
            // A container starts also without the store, which is only told where it is.
            Err((Some(FaultKind::Unavailable), _)) => self.inspect(&agent, &call.endpoint)?,
            Err((_, message)) => return Err(message),
        };
        let end = attached.container_interface.as_ref().ok_or_else(|| {
            format!(
                "endpoint {} has no interface that Docker could take",
                call.endpoint
            )
        })?;
        let network = network(&agent, &name)?;
        let by_docker = self.leaves_by_docker(&network, &wish);
        let mut joined = Joined {
            interface_name: InterfaceName {
                src_name: end.name.to_string(),
                dst_prefix: PREFIX.to_owned(),
            },
            // Else Docker plugs the container into a bridge of its own besides, by which it gets out.
            disable_gateway_service: !by_docker,
            ..Joined::default()
        };
        if !network.spec.internal && !by_docker {
            for view in &attached.addresses {
                ways_out(view, &wish, &mut joined);
            }
        }
        Ok(joined)
    }

    /// Whether Docker leads a network's containers out, by a bridge of its own. It cannot where that
    /// bridge has addresses of the network.
    fn leaves_by_docker(&self, network: &Resource<Network>, wish: &Wish) -> bool {
        let bridges = self.exits.lock().unwrap_or_else(PoisonError::into_inner);
        let meets = wish.subnets.iter().any(|subnet| {
            let cidr = subnet.cidr;
            bridges
                .iter()
                .any(|bridge| bridge.contains(&cidr) || cidr.contains(bridge))
        });
        Egress::of(network) == Egress::Docker && !network.spec.internal && !meets
    }

    pub(crate) fn leave(&self, call: &Named) -> Result<Value, Refused> {
        required("EndpointID", &call.endpoint)?;
        let agent = Agent::new(&self.settings);
        match self.amend_sandbox(&agent, &call.endpoint, "") {
            Ok(_) | Err((Some(FaultKind::Unavailable) | None, _)) => Ok(json!({})),
            Err((_, message)) => Err(message),
        }
    }

    fn amend_sandbox(
        &self,
        agent: &Agent<'_>,
        endpoint: &str,
        sandbox: &str,
    ) -> Result<Attached, (Option<FaultKind>, Refused)> {
        let (container_id, interface) =
            agent::named(endpoint).map_err(|error| (Some(FaultKind::Invalid), error))?;
        let request = AmendRequest {
            container_id,
            interface,
            sandbox: Some(sandbox.to_owned()),
            ports: None,
        };
        let amended = agent.client().post("/v1/amend", &request);
        amended.map_err(|error| (agent::fault(&error), error.to_string()))
    }

    fn inspect(&self, agent: &Agent<'_>, endpoint: &str) -> Result<Attached, Refused> {
        required("EndpointID", endpoint)?;
        let (container_id, interface) = agent::named(endpoint)?;
        let request = DetachRequest {
            container_id,
            interface,
        };
        let inspected = agent.client().post::<Inspected>("/v1/inspect", &request);
        match inspected {
            Ok(inspected) => Ok(inspected.attached),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The addresses and the link-layer address that an interface must have.
pub(crate) fn asked(
    interface: &EndpointInterface,
) -> Result<(Vec<IpAddr>, Option<MacAddr>), Refused> {
    let mut addresses = Vec::new();
    for (field, text) in [
        ("Address", &interface.address),
        ("AddressIPv6", &interface.address_v6),
    ] {
        if !text.is_empty() {
            addresses.push(address(field, text)?);
        }
    }
    let mac = match interface.mac_address.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|error| format!("MacAddress: {error}"))?,
        ),
    };
    Ok((addresses, mac))
}

/// What the driver adds to an interface. What Docker has given must not come back.
fn added(asked: &EndpointInterface, attached: &Attached, wish: &Wish) -> EndpointInterface {
    let mut answer = EndpointInterface::default();
    if asked.mac_address.is_empty() {
        let mac = attached
            .container_interface
            .as_ref()
            .and_then(|end| end.mac);
        answer.mac_address = mac.map(|mac| mac.to_string()).unwrap_or_default();
    }
    for view in &attached.addresses {
        let address = view.address.addr();
        let text = match subnet(wish, address) {
            Some(net) => IpNet::new_assert(address, net.prefix_len()).to_string(),
            None => view.address.to_string(),
        };
        match Family::of(address) {
            Family::V4 if asked.address.is_empty() => answer.address = text,
            Family::V6 if asked.address_v6.is_empty() => answer.address_v6 = text,
            _ => {}
        }
    }
    answer
}

/// The subnet that Docker knows an address by.
fn subnet(wish: &Wish, address: IpAddr) -> Option<IpNet> {
    let mut subnets = wish.subnets.iter().map(|subnet| subnet.cidr);
    subnets.find(|cidr| cidr.contains(&address))
}

/// The gateway of one family, and the routes that lead to it.
fn ways_out(view: &AddressView, wish: &Wish, joined: &mut Joined) {
    let (Some(gateway), address) = (view.gateway, view.address.addr()) else {
        return;
    };
    let on_link = subnet(wish, address);
    match gateway {
        IpAddr::V4(_) => joined.gateway = gateway.to_string(),
        IpAddr::V6(_) => joined.gateway_v6 = gateway.to_string(),
    }
    let is_link_local_v6 = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if on_link.is_none_or(|net| !net.contains(&gateway)) && !is_link_local_v6 {
        joined.static_routes.push(StaticRoute {
            destination: Family::host_net(gateway).to_string(),
            route_type: 1,
            next_hop: String::new(),
        });
    }
    // Docker sets the address with the subnet's prefix, which says that all of the subnet is on the
    // link. Where it is not, its two halves, which are more exact, lead to the gateway.
    let is_alone = view.address.prefix_len() == view.address.max_prefix_len();
    if let Some(net) = on_link.filter(|net| is_alone && net.prefix_len() < net.max_prefix_len()) {
        let halves = net.subnets(net.prefix_len() + 1).into_iter().flatten();
        joined.static_routes.extend(halves.map(|half| StaticRoute {
            destination: half.to_string(),
            route_type: 0,
            next_hop: gateway.to_string(),
        }));
    }
}

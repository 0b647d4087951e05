//! What is wrong with a resource, as far as only the planner can tell.
//!
//! The model knows what a valid value is; here it is known which drivers and transports there are.

use tombolo_model::kinds::{Macvlan, MacvlanMode};
use tombolo_model::{AnyResource, FieldError, Network};

use crate::driver::Driver;
use crate::naming::LINK_PREFIX;
use crate::{driver, transport};

/// The faults that the planner sees in a resource.
#[must_use]
pub fn faults(resource: &AnyResource) -> Vec<FieldError> {
    match resource {
        AnyResource::Network(network) => network_faults(&network.spec),
        _ => Vec::new(),
    }
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
        None if driver.spans_nodes => faults.push(FieldError::new(
            "spec.transport",
            format!(
                "missing: driver {} spans nodes; give `transport: {{type: …}}`, one of {}",
                driver.name,
                transport::names()
            ),
        )),
        Some(_) if !driver.spans_nodes => faults.push(FieldError::new(
            "spec.transport",
            format!(
                "driver {} stays on its node and has no transport; remove it",
                driver.name
            ),
        )),
        Some(spec) => match transport::find(spec.name.as_str()) {
            Some(transport) => faults.extend(transport.faults(spec)),
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
    faults.extend(segment_faults(driver, network));
    faults
}

/// What only a network on a physical segment has.
fn segment_faults(driver: &Driver, network: &Network) -> Vec<FieldError> {
    let is_macvlan = driver.name == "macvlan";
    let fault = |field: &str, message: String| vec![FieldError::new(field, message)];
    match &network.macvlan {
        Some(spec) if is_macvlan => macvlan_faults(spec),
        Some(_) => fault(
            "spec.macvlan",
            format!("only driver macvlan has it, and this is {}; remove it", driver.name),
        ),
        None if is_macvlan => fault(
            "spec.macvlan",
            "missing: name the host's interface to the physical network, as `macvlan: {parent: eth1}`"
                .to_owned(),
        ),
        None if !network.gateway.is_empty() => fault(
            "spec.gateway",
            format!("driver {} has gateways of its own; remove it", driver.name),
        ),
        None if network.internal => fault(
            "spec.internal",
            format!("driver {} has no networks without a way out; remove it", driver.name),
        ),
        None => Vec::new(),
    }
}

fn macvlan_faults(spec: &Macvlan) -> Vec<FieldError> {
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
        faults.push(FieldError::new("spec.macvlan.parent", message));
    }
    let why = match spec.mode {
        MacvlanMode::Bridge => return faults,
        MacvlanMode::Private => {
            "in mode private nobody on the parent is heard by the others, the host's own interface neither"
        }
        MacvlanMode::Vepa => {
            "in mode vepa containers are heard only through the switch outside, and the host's own interface neither"
        }
        MacvlanMode::Passthru => {
            "in mode passthru the parent has one container, and no place for the host's own interface"
        }
    };
    if spec.host_access {
        let message = format!("{why}; use mode bridge, or set hostAccess to false");
        faults.push(FieldError::new("spec.macvlan.hostAccess", message));
    }
    faults
}

#[cfg(test)]
mod tests;

//! What is wrong with a resource, as far as only the planner can tell.
//!
//! The model knows what a valid value is; here it is known which drivers and transports there are.

use tombolo_model::{AnyResource, FieldError, Network};

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
    faults
}

#[cfg(test)]
mod tests;

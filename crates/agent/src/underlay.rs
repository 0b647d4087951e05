//! What the host has, for the choice of its underlay addresses ([`tombolo_plan::underlay`]).

use anyhow::{Context, Result, anyhow};
use tombolo_kernel::{NetnsHandle, underlay};
use tombolo_model::Family;
use tombolo_model::kinds::NodeAddress;
use tombolo_plan::underlay::{Host, Method, choose};

/// Reads the methods.
pub(crate) fn methods(texts: &[String]) -> Result<Vec<Method>> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|e: String| anyhow!(e)))
        .collect()
}

/// The host's addresses on the underlay, with the reasons.
pub(crate) fn detect(methods: &[Method]) -> Result<Vec<NodeAddress>> {
    let here = NetnsHandle::current().context("cannot open the network namespace")?;
    let mut host = Host::default();
    for interface in underlay::interfaces(&here).context("cannot list interfaces")? {
        if interface.loopback {
            host.loopback = Some((interface.name, interface.addresses));
        } else if interface.up {
            host.interfaces
                .push((interface.name, interface.mtu, interface.addresses));
        }
    }
    for family in Family::ALL {
        if let Some(link) = underlay::default_route(&here, family).context("cannot list routes")? {
            host.default_route.insert(family, link);
        }
    }
    for method in methods {
        // An address without a route is not an error here: another method may find one.
        if let Method::CanReach(target) = method
            && let Ok(answer) = underlay::route_to(&here, *target)
            && let Some(source) = answer.source
        {
            host.reach.insert(*target, (answer.link, source));
        }
    }
    Ok(choose(methods, &host)?)
}

/// What was chosen as the underlay, in words.
pub(crate) fn describe(address: &NodeAddress) -> String {
    let NodeAddress {
        address,
        interface,
        mtu,
        reason,
    } = address;
    format!("underlay {address} on {interface} (MTU {mtu}): {reason}")
}

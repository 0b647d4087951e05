//! Whether a flow is let through: the words of people become a flow, and the evaluator answers.

use std::net::IpAddr;

use tombolo_api::{Fault, FaultKind, FlowAnswer, FlowRequest};
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Endpoint, Name, Resource, World};
use tombolo_policy::{Evaluator, Flow, Party};

use crate::meant;

/// Answers whether a flow would be let through in a World, and why.
///
/// # Errors
/// What is asked about is not understood, or may mean more than one.
pub fn explain(world: &World, request: &FlowRequest) -> Result<FlowAnswer, Fault> {
    let flow = Flow {
        family: request.family,
        ..towards(
            party(world, &request.from)?,
            party(world, &request.to)?,
            request.port.as_deref(),
        )?
    };
    let evaluator = Evaluator::new(world);
    let verdict = evaluator.verdict(&flow);
    Ok(FlowAnswer {
        advice: evaluator.advice(&flow),
        verdict,
        flow,
    })
}

/// One end, by an address, `node/NAME`, or the words for an endpoint.
fn party(world: &World, text: &str) -> Result<Party, Fault> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return with_address(world, address);
    }
    if let Some(name) = text.strip_prefix("node/") {
        let node = world.nodes.keys().find(|node| node.as_str() == name);
        // A namespace may be called so, too.
        if let Some(node) = node {
            return Ok(Party::Host(node.clone()));
        }
        if !world
            .endpoints
            .keys()
            .any(|(namespace, _)| namespace.as_str() == "node")
        {
            let message = format!("there is no node {name}; see `tombolo get nodes`");
            return Err(Fault::new(FaultKind::NotFound, message));
        }
    }
    let (namespace, name) = meant::endpoint(world, None, text)?;
    Ok(Party::Endpoint(namespace, name))
}

/// Whoever has an address: where networks have address spaces of their own several may.
fn with_address(world: &World, address: IpAddr) -> Result<Party, Fault> {
    let having = |endpoint: &&Resource<Endpoint>| {
        endpoint.spec.addresses.contains(&address) && !world.is_superseded(endpoint)
    };
    let found: Vec<&Resource<Endpoint>> = world.endpoints.values().filter(having).collect();
    let is_hosts = |one: &&Resource<Endpoint>| world.space_of(&one.spec.network).is_none();
    if found.is_empty() || found.iter().any(is_hosts) {
        return Ok(Party::address(address));
    }
    let key = |endpoint: &Resource<Endpoint>| -> Option<(Name, Name)> {
        let namespace = endpoint.metadata.namespace.clone()?;
        Some((namespace, endpoint.name().clone()))
    };
    let keys: Vec<(Name, Name)> = found.into_iter().filter_map(key).collect();
    match keys.as_slice() {
        [(namespace, name)] => Ok(Party::Endpoint(namespace.clone(), name.clone())),
        many => {
            let lines: Vec<String> = many
                .iter()
                .map(|(namespace, name)| format!("{namespace}/{name}"))
                .collect();
            let message = format!(
                "several endpoints have {address}, each in a network with addresses of its own; say which:\n  {}",
                lines.join("\n  ")
            );
            Err(Fault::new(FaultKind::Invalid, message))
        }
    }
}

/// The flow, with what `PORT` says: `80`, `TCP/80`, `ICMP`, `ICMP/8/0`.
fn towards(from: Party, to: Party, port: Option<&str>) -> Result<Flow, Fault> {
    let Some(text) = port else {
        return Ok(Flow::of(from, to, ProtocolMatch::TCP));
    };
    let wrong = |why: &str| {
        let message =
            format!("{text:?} is no port: {why}; give 80, TCP/80, UDP/53, ICMP or ICMP/8/0");
        Fault::new(FaultKind::Invalid, message)
    };
    let number = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| wrong("ports are from 1 to 65535"))
    };
    let mut words = text.split('/');
    let first = words.next().unwrap_or_default();
    if first.bytes().all(|byte| byte.is_ascii_digit()) && !text.contains('/') {
        return Ok(Flow::to_port(from, to, ProtocolMatch::TCP, number(first)?));
    }
    let protocol: ProtocolMatch = first.parse().map_err(|why: String| wrong(&why))?;
    let mut flow = Flow::of(from, to, protocol);
    let rest: Vec<&str> = words.collect();
    let is_icmp = [ProtocolMatch::ICMP, ProtocolMatch::ICMPV6].contains(&protocol);
    match rest.as_slice() {
        [] => {}
        [port] if protocol.has_ports() => flow.destination_port = Some(number(port)?),
        [kind] if is_icmp => {
            flow.icmp = Some((
                byte(kind).ok_or_else(|| wrong("a type is from 0 to 255"))?,
                0,
            ))
        }
        [kind, code] if is_icmp => {
            let both = byte(kind).zip(byte(code));
            flow.icmp = Some(both.ok_or_else(|| wrong("type and code are from 0 to 255"))?);
        }
        _ => return Err(wrong(&format!("{protocol} has nothing like it"))),
    }
    Ok(flow)
}

fn byte(text: &str) -> Option<u8> {
    text.parse().ok()
}

#[cfg(test)]
mod tests;

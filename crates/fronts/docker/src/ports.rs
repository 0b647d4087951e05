//! Published ports: `docker run -p`.

use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};

use serde_json::{Map, Value, json};
use tombolo_api::{AmendRequest, Attached, FaultKind};
use tombolo_model::{PortMapping, Protocol};

use crate::agent::{self, Agent};
use crate::dispatch::{Plugin, Refused};
use crate::network::required;
use crate::wire::{Join, Named, PortBinding};

/// Where Docker puts the ports that are to be published.
const PORT_MAP: &str = "com.docker.network.portmap";
/// Ports that are given where none is asked for, as Docker's allocator does (`/proc/sys/net/ipv4/ip_local_port_range`).
const ANY: std::ops::RangeInclusive<u16> = 32768..=60999;
/// How often other ports are tried after another endpoint was found to have some.
const ATTEMPTS: u16 = 32;

impl Plugin {
    pub(crate) fn publish(&self, call: &Join) -> Result<Value, Refused> {
        required("EndpointID", &call.endpoint)?;
        let bindings = bindings(&call.options)?;
        if bindings.is_empty() {
            return Ok(json!({}));
        }
        let agent = Agent::new(&self.settings);
        // The first free ones may be another endpoint's, which only the agent knows.
        for attempt in 0..ATTEMPTS {
            let ports = choose(&bindings, attempt)?;
            match amend_ports(&agent, &call.endpoint, ports) {
                Ok(()) => return Ok(json!({})),
                Err((Some(FaultKind::Conflict), _)) if bindings.iter().any(is_choice) => {}
                Err((_, message)) => {
                    // What the kernel refuses must not stay asked for.
                    let _ = amend_ports(&agent, &call.endpoint, Vec::new());
                    return Err(message);
                }
            }
        }
        Err(format!(
            "no free ports were found in {ATTEMPTS} attempts; name others"
        ))
    }

    pub(crate) fn revoke(&self, call: &Named) -> Result<Value, Refused> {
        required("EndpointID", &call.endpoint)?;
        let agent = Agent::new(&self.settings);
        match amend_ports(&agent, &call.endpoint, Vec::new()) {
            Ok(()) | Err((Some(FaultKind::NotFound), _)) => Ok(json!({})),
            Err((_, message)) => Err(message),
        }
    }
}

fn amend_ports(
    agent: &Agent<'_>,
    endpoint: &str,
    ports: Vec<PortMapping>,
) -> Result<(), (Option<FaultKind>, Refused)> {
    let (container_id, interface) =
        agent::named(endpoint).map_err(|error| (Some(FaultKind::Invalid), error))?;
    let request = AmendRequest {
        container_id,
        interface,
        sandbox: None,
        ports: Some(ports),
    };
    let amended = agent.client().post::<Attached>("/v1/amend", &request);
    let amended = amended.map_err(|error| (agent::fault(&error), error.to_string()));
    amended.map(drop)
}

/// The ports of a call's options.
pub(crate) fn bindings(options: &Map<String, Value>) -> Result<Vec<PortBinding>, Refused> {
    let bindings: Option<Vec<PortBinding>> = match options.get(PORT_MAP) {
        None => None,
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|error| format!("option {PORT_MAP}: {error}"))?,
    };
    Ok(bindings.unwrap_or_default())
}

/// Whether it leaves a choice of ports.
fn is_choice(binding: &PortBinding) -> bool {
    binding.host_port == 0 || binding.host_port_end > binding.host_port
}

/// A port of the host for each, that no program listens on. Later attempts begin further on.
fn choose(bindings: &[PortBinding], attempt: u16) -> Result<Vec<PortMapping>, Refused> {
    let mut chosen: Vec<PortMapping> = Vec::new();
    for binding in bindings {
        let protocol = protocol(binding.proto)?;
        let host_ip = match binding.host_ip.as_str() {
            "" => None,
            text => {
                Some(crate::options::address("HostIP", text)?).filter(|ip| !ip.is_unspecified())
            }
        };
        let range = match (binding.host_port, binding.host_port_end) {
            (0, _) => ANY,
            (first, last) => first..=last.max(first),
        };
        let skipped = if is_choice(binding) { attempt } else { 0 };
        let mut tried = None;
        let port = range.clone().skip(usize::from(skipped)).find(|port| {
            let mapping = chosen.iter().any(|other| {
                other.host_port == *port && other.protocol == protocol && other.host_ip == host_ip
            });
            !mapping
                && match listen(protocol, host_ip, *port) {
                    Ok(()) => true,
                    Err(error) => {
                        tried = Some(error);
                        false
                    }
                }
        });
        let Some(host_port) = port else {
            let why = tried.map_or_else(|| "all are taken".to_owned(), |error| error.to_string());
            let (first, last) = (range.start(), range.end());
            let what = if first == last {
                format!("port {first}/{protocol}")
            } else {
                format!("ports {first} to {last}/{protocol}")
            };
            return Err(format!("{what} of this host: {why}; choose another"));
        };
        chosen.push(PortMapping {
            host_port,
            container_port: binding.port,
            protocol,
            host_ip,
        });
    }
    Ok(chosen)
}

/// Whether a program of this host listens on a port: packets to it would no longer get there.
fn listen(protocol: Protocol, host: Option<IpAddr>, port: u16) -> std::io::Result<()> {
    let host = host.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    match protocol {
        Protocol::Tcp => TcpListener::bind((host, port)).map(drop),
        Protocol::Udp => UdpSocket::bind((host, port)).map(drop),
        // The standard library has no such socket.
        Protocol::Sctp => Ok(()),
    }
}

fn protocol(number: u8) -> Result<Protocol, Refused> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol.number() == number)
        .ok_or_else(|| format!("protocol {number} has no ports that could be published; there are tcp (6), udp (17), sctp (132)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host_port: u16, host_port_end: u16) -> PortBinding {
        PortBinding {
            proto: 6,
            port: 80,
            host_ip: "127.0.0.1".to_owned(),
            host_port,
            host_port_end,
        }
    }

    #[test]
    fn ports_are_read_as_docker_writes_them() {
        let options = json!({PORT_MAP: [
            {"Proto": 6, "IP": "", "Port": 80, "HostIP": "0.0.0.0", "HostPort": 8080, "HostPortEnd": 8080},
            {"Proto": 132, "IP": null, "Port": 9, "HostIP": "", "HostPort": 9, "HostPortEnd": 9}]});
        let bindings = bindings(options.as_object().unwrap()).unwrap();
        let ports = choose(&bindings[1..], 0).unwrap();
        assert_eq!((ports[0].host_port, ports[0].protocol), (9, Protocol::Sctp));
        assert_eq!(ports[0].host_ip, None);
        assert_eq!(bindings[0].host_port, 8080);
        assert!(super::bindings(json!({PORT_MAP: 7}).as_object().unwrap()).is_err());
        assert!(super::bindings(&Map::new()).unwrap().is_empty());
    }

    #[test]
    fn a_port_that_a_program_listens_on_is_passed_over_or_refused() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = choose(&[binding(port, port)], 0).unwrap_err();
        assert!(
            error.contains(&format!("port {port}/tcp of this host: ")),
            "{error}"
        );
        if let Some(next) = port.checked_add(20) {
            let chosen = choose(&[binding(port, next)], 0).unwrap();
            assert!(chosen[0].host_port > port);
        }
        let any = choose(&[binding(0, 0), binding(0, 0)], 0).unwrap();
        assert_ne!(any[0].host_port, any[1].host_port);
        assert!(ANY.contains(&any[0].host_port));
        let other = PortBinding {
            proto: 1,
            ..binding(1, 1)
        };
        assert!(choose(&[other], 0).unwrap_err().contains("protocol 1"));
    }
}

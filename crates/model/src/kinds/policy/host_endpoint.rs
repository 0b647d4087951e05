//! HostEndpoint: an interface of a node, so that policies apply to the host itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ProtocolMatch;
use super::rule::is_port_name;
use crate::names::{IfName, Name};
use crate::resource::FieldError;

/// An interface of a node. As soon as there is one, what its policies and profiles do not allow is
/// dropped, but for the failsafe ports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostEndpoint {
    /// The node.
    pub node: Name,
    /// The interface's name; `*` is every interface that is not a container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
    /// The host's addresses, by which selectors find it; and, without a name, the interface.
    #[serde(default, rename = "expectedIPs", skip_serializing_if = "Vec::is_empty")]
    pub expected_ips: Vec<IpAddr>,
    /// Profiles that are asked when no policy decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Name>,
    /// Names of its ports, for rules that name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NamedPort>,
}

/// A port with a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedPort {
    /// The name, as `web`.
    pub name: String,
    /// The protocol, as `TCP`.
    pub protocol: ProtocolMatch,
    /// The port.
    pub port: u16,
}

impl HostEndpoint {
    /// The name that stands for every interface of the node that is not a container's.
    pub const ANY_INTERFACE: &'static str = "*";

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        match &self.interface_name {
            None if self.expected_ips.is_empty() => faults.push(FieldError::new(
                "spec.interfaceName",
                "missing; name an interface, '*' for all of the node's, or give expectedIPs",
            )),
            Some(name) if name != HostEndpoint::ANY_INTERFACE => {
                let fault = IfName::new(name.as_str()).err();
                faults.extend(fault.map(|e| FieldError::new("spec.interfaceName", e.to_string())));
            }
            _ => {}
        }
        faults.extend(NamedPort::faults("spec.ports", &self.ports));
        faults
    }
}

impl NamedPort {
    /// What is wrong with the named ports of somebody, which stand in a field.
    pub(crate) fn faults(field: &str, ports: &[NamedPort]) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let mut fault = |below: &str, message: String| {
                faults.push(FieldError::new(
                    format!("{field}[{index}].{below}"),
                    message,
                ));
            };
            let NamedPort {
                name,
                protocol,
                port: number,
            } = port;
            if !is_port_name(name) {
                let message = format!(
                    "{name:?} is no name of a port: it must have at most 128 letters, digits, '-', \
                     '_' or '.', and a letter among them"
                );
                fault("name", message);
            }
            if !protocol.has_ports() {
                let message =
                    format!("{protocol} has no ports; it must be TCP, UDP, SCTP or UDPLite");
                fault("protocol", message);
            }
            if *number == 0 {
                fault(
                    "port",
                    "0 is not allowed: it must be between 1 and 65535".to_owned(),
                );
            }
            let is_same = |other: &NamedPort| (&other.name, other.protocol) == (name, *protocol);
            if ports[..index].iter().any(is_same) {
                fault(
                    "name",
                    format!("{name} of {protocol} is given twice; keep one"),
                );
            }
        }
        faults
    }
}

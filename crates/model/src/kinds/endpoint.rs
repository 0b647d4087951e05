//! Endpoint: one container's interface.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::policy::NamedPort;
use crate::names::{ContainerId, IfName, Name, SharedNames};
use crate::net::{MacAddr, PortMapping};
use crate::resource::FieldError;

/// One container's interface on one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The node that the container runs on.
    pub node: Name,
    /// The network that it is plugged into.
    pub network: Name,
    /// The runtime's id of the container.
    #[serde(rename = "containerID")]
    pub container_id: ContainerId,
    /// The runtime's name of the configuration that it was plugged in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Name>,
    /// The interface's name in the sandbox.
    pub interface: IfName,
    /// Path of the sandbox on its node, as `/run/netns/c1`; empty while it is not known yet.
    pub sandbox: String,
    /// The name of the container's end in the host's own namespace, where the runtime takes it from
    /// there itself and gives it its addresses and routes (Docker's CNM); none where Tombolo does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<IfName>,
    /// Which namespace the sandbox was, by its inode: a path below `/proc` may lead to another
    /// process's one day, even to the host's own.
    #[serde(default, rename = "sandboxID", skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<u64>,
    /// Who it is, for addresses that stay: the name of its [`super::Handle`].
    pub handle: Name,
    /// The handle's generation when the addresses were given. An endpoint whose generation is
    /// older than the handle's has lost its addresses to a later one.
    pub generation: u64,
    /// Its addresses, at most one per family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// The interface's MAC address in the sandbox.
    pub mac: MacAddr,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Profiles that are asked when no policy decided, in order; without any, everybody reaches it
    /// whom the network's isolation lets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Name>,
    /// Names of its ports, for rules that name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_ports: Vec<NamedPort>,
    /// The node's boot ID when it was attached.
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
}

impl Endpoint {
    /// A label, and its value, that every endpoint has and nothing else: it tells containers from
    /// sets of addresses and hosts. Calico gives it to Kubernetes' pods.
    pub const LABEL: (&'static str, &'static str) = ("projectcalico.org/orchestrator", "k8s");

    /// Gives the names the texts of equal ones.
    pub(crate) fn share_names(&mut self, shared: &mut SharedNames) {
        for name in [&mut self.node, &mut self.network, &mut self.handle] {
            shared.share(name);
        }
        shared.share_interface(&mut self.interface);
    }

    /// The name of the endpoint resource of an interface of a container on a node.
    ///
    /// Readable, and unique: characters of the interface's name that a resource name cannot have
    /// are written as `_` and two hexadecimal digits.
    ///
    /// # Errors
    /// When the parts together are longer than a name may be.
    pub fn resource_name(
        node: &Name,
        container: &ContainerId,
        interface: &IfName,
    ) -> Result<Name, crate::names::NameError> {
        let mut escaped = String::new();
        for c in interface.as_str().chars() {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
                escaped.push(c);
            } else {
                escaped.push_str(&format!("_{:02x}", c as u32));
            }
        }
        Name::new(format!("{node}.{container}.{escaped}"))
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        if !self.mac.is_unicast() {
            faults.push(FieldError::new(
                "spec.mac",
                format!(
                    "{} does not name one station; give a unicast address",
                    self.mac
                ),
            ));
        }
        for (index, port) in self.ports.iter().enumerate() {
            for (name, value) in [
                ("hostPort", port.host_port),
                ("containerPort", port.container_port),
            ] {
                if value == 0 {
                    faults.push(FieldError::new(
                        format!("spec.ports[{index}].{name}"),
                        "0 is not allowed: it must be between 1 and 65535",
                    ));
                }
            }
        }
        faults.extend(NamedPort::faults("spec.namedPorts", &self.named_ports));
        faults
    }
}

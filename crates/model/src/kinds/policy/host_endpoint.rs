//! HostEndpoint: an interface of a node, so that policies apply to the host itself.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::ProtocolMatch;
use crate::names::Name;
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
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

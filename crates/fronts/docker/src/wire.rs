//! The calls of Docker's remote driver protocols, as they are on the wire.
//!
//! Names and shapes are libnetwork's (moby `libnetwork/drivers/remote/api/api.go`,
//! `libnetwork/ipams/remote/api/api.go`). What is not there, or `null`, is empty: what a call cannot
//! do without is found missing by who carries it out, which can say it in words.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Go writes an empty list or map as `null`.
fn or_null<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    input: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(input).map(Option::unwrap_or_default)
}

/// `NetworkDriver.CreateNetwork`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateNetwork {
    #[serde(rename = "NetworkID", deserialize_with = "or_null")]
    pub network: String,
    #[serde(deserialize_with = "or_null")]
    pub options: Map<String, Value>,
    #[serde(rename = "IPv4Data", deserialize_with = "or_null")]
    pub v4: Vec<IpamData>,
    #[serde(rename = "IPv6Data", deserialize_with = "or_null")]
    pub v6: Vec<IpamData>,
}

/// A subnet of a network, with what IPAM has given out of it already.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct IpamData {
    #[serde(deserialize_with = "or_null")]
    pub address_space: String,
    #[serde(deserialize_with = "or_null")]
    pub pool: String,
    /// Address and prefix length.
    #[serde(deserialize_with = "or_null")]
    pub gateway: String,
    /// Addresses and prefix lengths, by names that mean something to the user.
    #[serde(deserialize_with = "or_null")]
    pub aux_addresses: BTreeMap<String, String>,
}

/// Calls that name a network and perhaps an endpoint: `DeleteNetwork`, `DeleteEndpoint`,
/// `EndpointOperInfo`, `Leave`, `RevokeExternalConnectivity`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Named {
    #[serde(rename = "NetworkID", deserialize_with = "or_null")]
    pub network: String,
    #[serde(rename = "EndpointID", deserialize_with = "or_null")]
    pub endpoint: String,
}

/// `NetworkDriver.CreateEndpoint`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateEndpoint {
    #[serde(rename = "NetworkID", deserialize_with = "or_null")]
    pub network: String,
    #[serde(rename = "EndpointID", deserialize_with = "or_null")]
    pub endpoint: String,
    #[serde(deserialize_with = "or_null")]
    pub interface: EndpointInterface,
    #[serde(deserialize_with = "or_null")]
    pub options: Map<String, Value>,
}

/// An endpoint's interface: what IPAM and the user have decided, or what the driver adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EndpointInterface {
    /// Address and prefix length.
    #[serde(deserialize_with = "or_null")]
    pub address: String,
    /// Address and prefix length.
    #[serde(rename = "AddressIPv6", deserialize_with = "or_null")]
    pub address_v6: String,
    #[serde(deserialize_with = "or_null")]
    pub mac_address: String,
}

/// `NetworkDriver.Join`, and `ProgramExternalConnectivity`, which has no sandbox.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Join {
    #[serde(rename = "NetworkID", deserialize_with = "or_null")]
    pub network: String,
    #[serde(rename = "EndpointID", deserialize_with = "or_null")]
    pub endpoint: String,
    #[serde(deserialize_with = "or_null")]
    pub sandbox_key: String,
    #[serde(deserialize_with = "or_null")]
    pub options: Map<String, Value>,
}

/// The answer to `Join`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Joined {
    pub interface_name: InterfaceName,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    #[serde(rename = "GatewayIPv6", skip_serializing_if = "String::is_empty")]
    pub gateway_v6: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub static_routes: Vec<StaticRoute>,
    pub disable_gateway_service: bool,
}

/// Which interface of the host's namespace is the sandbox's, and how it is named there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InterfaceName {
    pub src_name: String,
    pub dst_prefix: String,
}

/// A route of the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StaticRoute {
    pub destination: String,
    /// 0: through a next hop; 1: on the link itself.
    pub route_type: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_hop: String,
}

/// `IpamDriver.RequestPool`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RequestPool {
    #[serde(deserialize_with = "or_null")]
    pub address_space: String,
    #[serde(deserialize_with = "or_null")]
    pub pool: String,
    #[serde(deserialize_with = "or_null")]
    pub sub_pool: String,
    #[serde(deserialize_with = "or_null")]
    pub options: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_null")]
    pub v6: bool,
}

/// `IpamDriver.RequestAddress`, `ReleaseAddress` and `ReleasePool`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PoolCall {
    #[serde(rename = "PoolID", deserialize_with = "or_null")]
    pub pool: String,
    /// Without a prefix length.
    #[serde(deserialize_with = "or_null")]
    pub address: String,
    #[serde(deserialize_with = "or_null")]
    pub options: BTreeMap<String, String>,
}

/// A port of an endpoint that is to be published (libnetwork `types.PortBinding`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PortBinding {
    /// The protocol's number in the IP header.
    #[serde(deserialize_with = "or_null")]
    pub proto: u8,
    /// The port in the container.
    #[serde(deserialize_with = "or_null")]
    pub port: u16,
    /// The host's address; every one if empty.
    #[serde(rename = "HostIP", deserialize_with = "or_null")]
    pub host_ip: String,
    /// The first of the host's ports that will do; any if 0.
    #[serde(deserialize_with = "or_null")]
    pub host_port: u16,
    /// The last of them.
    #[serde(deserialize_with = "or_null")]
    pub host_port_end: u16,
}

//! Node: a host that runs the agent.
//!
//! The spec is what its peers must know to reach it: its addresses on the underlay. The agent
//! writes it when it starts and whenever the underlay changes; only `bgp` is the operator's. The status is what the node does at
//! present: by which transports it sends and receives. It lets a network change its transport
//! without loss, because a peer sends in a new way only once the receiver has said that it is
//! ready, and a receiver takes the old way down only once no peer uses it any more.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::TransportSpec;
use super::bgp::AsNumber;
use crate::names::{IfName, Name};
use crate::net::{Family, Mtu};
use crate::resource::FieldError;

/// A host that runs the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Its addresses on the underlay, at most one per family, each with the prefix of its subnet.
    #[serde(default)]
    pub addresses: Vec<NodeAddress>,
    /// What an operator says of its BGP speaker; the agent keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp: Option<NodeBgp>,
}

/// What an operator says of a node's BGP speaker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeBgp {
    /// Its autonomous system, where it is not the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_number: Option<AsNumber>,
    /// It is a route reflector of this cluster of nodes (RFC 4456), as `244.0.0.1`.
    #[serde(
        default,
        rename = "routeReflectorClusterID",
        skip_serializing_if = "Option::is_none"
    )]
    pub route_reflector_cluster_id: Option<Ipv4Addr>,
    /// Its identifier; if not given, its IPv4 address on the underlay.
    #[serde(default, rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<Ipv4Addr>,
}

/// An address of a node on the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeAddress {
    /// Address and prefix length of the subnet, as `192.168.0.1/24`.
    pub address: IpNet,
    /// The interface that holds it.
    pub interface: IfName,
    /// The interface's MTU.
    pub mtu: Mtu,
    /// Why this one was chosen, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a node does at present.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeStatus {
    /// The kernel's boot ID: another one means that the node has been restarted since.
    #[serde(default, rename = "bootID", skip_serializing_if = "String::is_empty")]
    pub boot_id: String,
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// What it signs the messages of its tunnel with, as 64 hexadecimal digits (transport `udp`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tunnel_key: String,
    /// What it does for each network.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<Name, NodeNetworkStatus>,
}

/// What a node does for one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeNetworkStatus {
    /// Transports that it sends by to at least one peer, with their options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<TransportSpec>,
    /// Transports that it is ready to receive by, with their options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub receives: Vec<TransportSpec>,
}

impl NodeAddress {
    /// Whether it is on the loopback: on no wire, but routed to wherever the node is.
    #[must_use]
    pub fn is_on_loopback(&self) -> bool {
        self.interface.as_str() == "lo"
    }
}

impl Node {
    /// The node's underlay address of one family.
    #[must_use]
    pub fn address(&self, family: Family) -> Option<&NodeAddress> {
        self.addresses
            .iter()
            .find(|a| Family::of_net(a.address) == family)
    }

    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        for family in Family::ALL {
            let count = self
                .addresses
                .iter()
                .filter(|a| Family::of_net(a.address) == family)
                .count();
            if count > 1 {
                faults.push(FieldError::new(
                    "spec.addresses",
                    format!("{count} {family} addresses given; a node has at most one per family"),
                ));
            }
        }
        for (index, entry) in self.addresses.iter().enumerate() {
            let address = entry.address.addr();
            if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
                faults.push(FieldError::new(
                    format!("spec.addresses[{index}].address"),
                    format!("{address} cannot be reached by other nodes; give a unicast address"),
                ));
            }
        }
        let bgp = self.bgp.iter();
        let ids = bgp.flat_map(|bgp| {
            [
                ("routeReflectorClusterID", bgp.route_reflector_cluster_id),
                ("routerID", bgp.router_id),
            ]
        });
        for (field, id) in ids {
            if id.is_some_and(|id| id.is_unspecified()) {
                let message = "0.0.0.0 is nobody's identifier (RFC 6286); give another";
                faults.push(FieldError::new(format!("spec.bgp.{field}"), message));
            }
        }
        faults
    }
}

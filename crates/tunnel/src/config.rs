//! What a tunnel is told: who it is, its networks, and its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A node's name, the same on all nodes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A network's number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkId(pub u32);

/// A node's secret, under which it signs what it tells other tunnels. It is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(…)")
    }
}

/// All that a tunnel is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Under which it signs.
    pub key: Key,
    /// The UDP ports to listen on.
    pub ports: BTreeSet<u16>,
    /// The networks that have a device here.
    pub networks: BTreeMap<NetworkId, Network>,
    /// The other nodes.
    pub peers: BTreeMap<NodeId, Peer>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The name of its TUN device.
    pub device: String,
    /// The largest packet of the network, in bytes.
    pub mtu: u16,
    /// Which addresses are at which node.
    pub routes: BTreeMap<IpNet, NodeId>,
    /// The UDP port that its packets travel to and from.
    pub port: u16,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Where it is unless its packets come from elsewhere.
    pub address: SocketAddr,
    /// Under which it signs.
    pub key: Key,
    /// The largest packet that the underlay is believed to carry to it, in bytes.
    pub underlay_mtu: u16,
}

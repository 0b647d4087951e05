//! What a tunnel is told: who it is, its networks, and its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A node's name, the same on all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A network's number on the wire.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NetworkId(pub u32);

/// A node's secret, under which it signs what it tells other tunnels. It is never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Key(…)")
    }
}

/// A way to a node: where it should be. One node is several peers where it is reached by several ports
/// or families. As text `NODE@ADDRESS:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId {
    /// The node.
    pub node: NodeId,
    /// Where it is unless its packets come from elsewhere. Both sides use the same port.
    pub address: SocketAddr,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.address)
    }
}

impl FromStr for PeerId {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerId, String> {
        let wrong = || format!("{text:?} is no peer; one is written NODE@ADDRESS:PORT");
        let (node, address) = text.rsplit_once('@').ok_or_else(wrong)?;
        let address = address.parse().map_err(|_| wrong())?;
        Ok(PeerId {
            node: NodeId(node.to_owned()),
            address,
        })
    }
}

impl TryFrom<String> for PeerId {
    type Error = String;

    fn try_from(text: String) -> Result<PeerId, String> {
        text.parse()
    }
}

impl From<PeerId> for String {
    fn from(peer: PeerId) -> String {
        peer.to_string()
    }
}

/// All that a tunnel is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Under which it signs.
    pub key: Key,
    /// Where it listens: addresses of this node with the ports of its networks. A node that is seen at
    /// another one is behind a translation.
    pub listen: BTreeSet<SocketAddr>,
    /// The networks that have a device here.
    pub networks: BTreeMap<NetworkId, Network>,
    /// The other nodes.
    pub peers: BTreeMap<PeerId, Peer>,
}

impl Config {
    /// This node's own addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.listen.iter().map(SocketAddr::ip).collect()
    }
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The name of its TUN device.
    pub device: String,
    /// Which addresses are at which peer.
    pub routes: BTreeMap<IpNet, PeerId>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Under which it signs.
    pub key: Key,
    /// The largest packet that the interfaces at both ends take, in bytes.
    pub underlay_mtu: u16,
}

/// What the tunnel adds to a packet that goes to an address: IP, UDP and its own header.
#[must_use]
pub fn overhead(to: IpAddr) -> u16 {
    let ip = if to.is_ipv4() { 20 } else { 40 };
    ip + 8 + 8
}

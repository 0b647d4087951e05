//! How a node's tunnel through user space is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How a node's tunnel is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelState {
    /// The process beside the agent that carries it; none where the agent does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
    /// The other nodes.
    pub peers: Vec<TunnelPeerView>,
    /// Packets that were dropped, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
}

/// How another node is reached through the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TunnelPeerView {
    /// The node.
    pub node: String,
    /// Whether it answers.
    pub up: bool,
    /// Where packets for it go.
    pub endpoint: SocketAddr,
    /// Whether that is another address than its own.
    pub behind_nat: bool,
    /// Where it sees this node, if that is none of this node's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<SocketAddr>,
    /// The largest packet that passes, in bytes, without what the tunnel adds.
    pub mtu: u32,
    /// How long an answer takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_trip_micros: Option<u64>,
    /// How long ago it was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_millis_ago: Option<u64>,
    /// Bytes of packets to the node.
    pub sent_bytes: u64,
    /// Bytes of packets from it.
    pub received_bytes: u64,
    /// All that in words.
    pub words: String,
}

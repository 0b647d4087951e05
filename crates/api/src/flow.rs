//! Who may talk to whom: a flow that is asked about, and what was denied.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, ResourceKey};
use tombolo_policy::{Flow, Verdict};

/// Ask whether a flow is let through, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlowRequest {
    /// Who begins it: an endpoint by `namespace/name` or any part of its name that only one has, a
    /// container by the beginning of its id, an address, or `node/NAME`.
    pub from: String,
    /// Who is to get it, in the same words.
    pub to: String,
    /// `80`, `TCP/80`, `UDP/53`, `ICMP`, `ICMP/8/0`. TCP to no port in particular if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// The version of IP; that of the addresses, or the first that both have, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
}

/// Whether a flow is let through, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowAnswer {
    /// The flow as it was understood.
    pub flow: Flow,
    /// The verdict, with everything that was looked at.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What would let it through, in words; empty if it is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
}

/// A packet that was denied on this node. Not all are told of: of what one rule denies at most some in
/// a second. The metrics count all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// When, as `2026-01-31T12:00:00.000Z` (RFC 3339).
    pub time: String,
    /// What denied it, as the rule that did says.
    pub denied_by: String,
    /// Where it came from.
    pub source: IpAddr,
    /// Where it went to.
    pub destination: IpAddr,
    /// Who has the source address, if anybody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ResourceKey>,
    /// Who has the destination address, if anybody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ResourceKey>,
    /// The protocol.
    pub protocol: ProtocolMatch,
    /// The port that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// The port that it went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// Type and code of ICMP or ICMPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
}

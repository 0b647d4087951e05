//! BGPPeer: a router, or nodes, that some nodes speak with.

use serde::{Deserialize, Serialize};

use super::configuration::{restart_fault, stale_fault};
use super::{AsNumber, BfdChoice, BgpPassword, PeerIp, Span};
use crate::names::Name;
use crate::resource::FieldError;
use crate::selector::Selector;

/// A router, or nodes, that some nodes speak with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BgpPeer {
    /// The node that speaks with it; if neither this nor `nodeSelector` is given, every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// The nodes that speak with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<Selector>,
    /// Where it is.
    #[serde(default, rename = "peerIP", skip_serializing_if = "Option::is_none")]
    pub peer_ip: Option<PeerIp>,
    /// Its autonomous system; with `peerIP` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_number: Option<AsNumber>,
    /// The nodes that are spoken with, instead of `peerIP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_selector: Option<Selector>,
    /// The key of the sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<BgpPassword>,
    /// Routes keep the next hop that they came with, also towards another system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_original_next_hop: bool,
    /// Whose next hop is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop_mode: Option<NextHopMode>,
    /// Which address our end has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<SourceAddress>,
    /// How long it waits for a node's return, where that is another time than with other peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restart_time: Option<Span>,
    /// How long routes are kept as a last resort after that, on both sides (RFC 9494): 0s for not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_lived_stale_time: Option<Span>,
    /// How often our own system may be in a path that comes from it.
    #[serde(
        default,
        rename = "numAllowedLocalASNumbers",
        skip_serializing_if = "Option::is_none"
    )]
    pub num_allowed_local_as_numbers: Option<u8>,
    /// It is at most so many hops away, and packets from farther away are dropped (RFC 5082).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_security: Option<u8>,
    /// It is at most so many hops away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multihop: Option<u8>,
    /// BGPFilters, asked in order before what is usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Name>,
    /// The system that our nodes are to it, where it is another than their own.
    #[serde(
        default,
        rename = "localASNumber",
        skip_serializing_if = "Option::is_none"
    )]
    pub local_as_number: Option<AsNumber>,
    /// Fast detection that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdChoice>,
    /// Several paths to a prefix at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add_path: Option<AddPaths>,
    /// After so long without a word the session is over: 0s for never, or at least 3s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<Span>,
    /// It connects to us, and we never to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passive: bool,
    /// With more prefixes than this the session is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<u32>,
}

/// Whose next hop is told with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextHopMode {
    /// Our own to other systems, the route's within our own.
    Auto,
    /// Our own.
    #[serde(rename = "Self")]
    Own,
    /// The route's.
    Keep,
}

/// Which address our end of a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceAddress {
    /// The node's on the underlay.
    #[serde(rename = "UseNodeIP")]
    UseNodeIp,
    /// The kernel's choice.
    None,
}

/// Several paths to a prefix at once (RFC 7911).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddPaths {
    /// We send them.
    #[serde(default)]
    pub send: bool,
    /// We take them.
    #[serde(default)]
    pub receive: bool,
}

impl BgpPeer {
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| {
            faults.push(FieldError::new(format!("spec.{field}"), message));
        };
        if self.node.is_some() && self.node_selector.is_some() {
            let message = "only one of node and nodeSelector says which nodes speak with it";
            fault("nodeSelector", message.into());
        }
        match (&self.peer_ip, &self.peer_selector) {
            (None, None) => fault(
                "peerIP",
                "missing; give the router's address, or peerSelector for nodes".into(),
            ),
            (Some(_), Some(_)) => fault(
                "peerSelector",
                "only one of peerIP and peerSelector says who the peer is".into(),
            ),
            (Some(_), None) if self.as_number.is_none() => {
                fault("asNumber", "missing; peerIP needs the peer's system".into());
            }
            (None, Some(_)) if self.as_number.is_some() => fault(
                "asNumber",
                "nodes have their own numbers; set it at the node, or in BGPConfiguration".into(),
            ),
            _ => {}
        }
        if self.keep_original_next_hop && self.next_hop_mode.is_some() {
            let message = "given beside keepOriginalNextHop; give nextHopMode only";
            fault("nextHopMode", message.into());
        }
        if let Some(message) = self.password.as_ref().and_then(BgpPassword::fault) {
            fault("password", message);
        }
        if let Some(message) = self.max_restart_time.and_then(restart_fault) {
            fault("maxRestartTime", message);
        }
        if let Some(message) = self.long_lived_stale_time.and_then(stale_fault) {
            fault("longLivedStaleTime", message);
        }
        for (field, hops) in [
            ("ttlSecurity", self.ttl_security),
            ("multihop", self.multihop),
        ] {
            if hops == Some(0) {
                fault(field, "0 hops away is nobody; give 1 to 255".into());
            }
        }
        if self.ttl_security.is_some() && self.multihop.is_some() {
            let message = "given beside ttlSecurity, which says the same and more; remove it";
            fault("multihop", message.into());
        }
        if let Some(message) = self.hold_time.and_then(hold_fault) {
            fault("holdTime", message);
        }
        faults
    }
}

/// What is wrong with a hold time (RFC 4271 section 4.2).
fn hold_fault(hold: Span) -> Option<String> {
    let seconds = hold.0.as_secs();
    let is_allowed = seconds == 0 || (3..=65535).contains(&seconds);
    (!is_allowed || hold.0.subsec_millis() > 0)
        .then(|| format!("{hold} is not allowed: whole seconds, 0s for never, or 3s to 65535s"))
}

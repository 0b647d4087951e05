//! How a node's BGP speaker is.

use serde::{Deserialize, Serialize};
use tombolo_bgp::{Asn, RouterId, SessionState, SessionStatus};

/// How a node's BGP speaker is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpState {
    /// Its autonomous system.
    pub asn: Asn,
    /// Its identifier.
    #[serde(rename = "routerID")]
    pub router_id: RouterId,
    /// How many prefixes it announces of its own.
    pub announced: usize,
    /// After a restart: whether all peers have said what they know. Until then the routes of before
    /// are kept.
    pub settled: bool,
    /// Each session.
    pub sessions: Vec<BgpSession>,
}

/// A session, with who asked for it and what watches over it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpSession {
    /// The session.
    #[serde(flatten)]
    pub status: SessionStatus,
    /// The resource that asked for it, as `BGPPeer rack1` or `Node b`.
    pub asked_by: String,
    /// What BFD says of the peer, in the words of RFC 5880; none without BFD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<String>,
}

impl BgpState {
    /// Sessions that stand, and all.
    #[must_use]
    pub fn standing(&self) -> (usize, usize) {
        let stand = |session: &&BgpSession| session.status.state == SessionState::Established;
        (
            self.sessions.iter().filter(stand).count(),
            self.sessions.len(),
        )
    }
}

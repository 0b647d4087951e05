//! How it stands with each peer, for people and programs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::PeerKey;
use crate::message::Negotiated;
use crate::rib::Counts;
use crate::session::Traffic;
use crate::types::{Asn, Families, Family, Moment, RouterId};

use super::Speaker;
use super::peering::Peering;
use super::stale::Stale;

/// The states of RFC 4271 section 8.2.2, the farther the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SessionState {
    /// Left alone for a while, after a fault.
    Idle,
    /// We wait for our next try, or for the peer to connect.
    Active,
    /// We are connecting.
    Connect,
    /// We have said who we are.
    OpenSent,
    /// So has the peer.
    OpenConfirm,
    /// The session stands.
    Established,
}

/// How it stands with a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// Which peer.
    pub peer: PeerKey,
    /// Who it is, in words.
    pub name: String,
    /// Its autonomous system.
    pub asn: Asn,
    /// The system that we are to it.
    pub local_asn: Asn,
    /// The state.
    pub state: SessionState,
    /// For how long the session stands, or does not, in seconds.
    pub seconds: f64,
    /// How often a session ended that had stood.
    pub flaps: u64,
    /// What was last wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<TroubleStatus>,
    /// In how many seconds we try again to connect, while there is no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<f64>,
    /// What both agreed on, while there is a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<Agreed>,
    /// Prefixes, by what became of them.
    pub prefixes: Counts,
    /// Next hops of accepted paths that nothing leads to, so that these are not used, with how many
    /// there are: eight at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreachable: BTreeMap<IpAddr, u64>,
    /// Messages, of all connections so far.
    pub messages: Traffic,
    /// Malformed attributes that were borne (RFC 7606).
    pub borne: u64,
    /// The last of them, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_borne: Option<String>,
    /// What is kept though the session is gone, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agreed {
    /// The peer's identifier.
    pub router_id: RouterId,
    /// Our end.
    pub local_address: IpAddr,
    /// The families that are spoken.
    pub families: Families,
    /// Seconds without a message after which the peer is taken for gone; 0 for never.
    pub hold_time: u16,
    /// What else, in words: as `4-octet AS`, `route refresh`.
    pub capabilities: Vec<String>,
}

/// What was wrong, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TroubleStatus {
    /// In words.
    pub words: String,
    /// How long ago, in seconds.
    pub seconds_ago: f64,
}

impl Speaker {
    /// How it stands with each peer, in the order of their addresses.
    #[must_use]
    pub fn sessions(&self, now: Moment) -> Vec<SessionStatus> {
        let peers = self
            .ids
            .values()
            .filter_map(|id| Some((*id, self.peers.get(id)?)));
        let mut unreachable = self.rib.unreachable();
        peers
            .map(|(id, peering)| SessionStatus {
                unreachable: unreachable.remove(&id).unwrap_or_default(),
                ..self.session_status(peering, self.rib.counts(id), now)
            })
            .collect()
    }

    fn session_status(&self, peering: &Peering, prefixes: Counts, now: Moment) -> SessionStatus {
        let history = &peering.history;
        let ago = |at: Moment| seconds(now.saturating_sub(at));
        let mut messages = history.traffic;
        let sessions = peering
            .connections
            .iter()
            .filter_map(|connection| connection.session());
        sessions.for_each(|session| messages += session.traffic);
        let agreed = peering
            .established()
            .and_then(|(_, session)| session.established());
        let next = peering.idle_until.or(peering.next_try);
        SessionStatus {
            peer: peering.key.clone(),
            name: peering.config.name.clone(),
            asn: peering.config.asn,
            local_asn: peering.config.local_asn.unwrap_or(self.config.asn),
            state: peering.state(),
            seconds: ago(history.since),
            flaps: history.flaps,
            trouble: history.trouble.as_ref().map(|trouble| TroubleStatus {
                words: trouble.words.clone(),
                seconds_ago: ago(trouble.at),
            }),
            next_try: next.map(|at| seconds(at.saturating_sub(now))),
            agreed: agreed.map(describe),
            prefixes,
            unreachable: BTreeMap::new(),
            messages,
            borne: history.borne,
            last_borne: history.last_borne.clone(),
            kept: peering
                .stale
                .iter()
                .map(|(family, stale)| kept(*family, stale, now))
                .collect(),
        }
    }
}

fn describe(agreed: &Negotiated) -> Agreed {
    let long_lived = !agreed.long_lived.is_empty();
    let notification = (agreed.graceful.as_ref()).is_some_and(|graceful| graceful.notification);
    let words = [
        (agreed.four_octet, "4-octet AS"),
        (agreed.refresh, "route refresh"),
        (agreed.enhanced_refresh, "enhanced route refresh"),
        (agreed.extended_next_hop, "IPv6 next hops for IPv4"),
        (agreed.graceful.is_some(), "graceful restart"),
        (notification, "graceful restart after NOTIFICATIONs"),
        (long_lived, "long-lived graceful restart"),
        (
            agreed.add_path_send != Families::default(),
            "several paths are sent",
        ),
        (
            agreed.add_path_receive != Families::default(),
            "several paths are taken",
        ),
    ];
    let words = words.into_iter().filter(|(agreed, _)| *agreed);
    Agreed {
        router_id: agreed.peer_id,
        local_address: agreed.local_address,
        families: agreed.families,
        hold_time: agreed.hold_time,
        capabilities: words.map(|(_, word)| word.to_owned()).collect(),
    }
}

fn kept(family: Family, stale: &Stale, now: Moment) -> String {
    let left = stale.until().saturating_sub(now).as_secs();
    match stale {
        Stale::Awaited { .. } => {
            format!("{family} routes are kept for {left} s while the peer restarts")
        }
        Stale::LongLived { .. } => {
            format!(
                "{family} routes are a last resort for {left} s, since the peer is gone for long"
            )
        }
        Stale::Returning { .. } => {
            format!("{family} routes of before have {left} s to be told again")
        }
    }
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

//! What a speaker is to be: itself, its peers, and what it tells them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::types::{Asn, Community, Families, LargeCommunity, RouterId};

/// What a speaker is to be. What it tells of its own is given apart, since it changes more often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Its autonomous system.
    pub asn: Asn,
    /// Its identifier.
    pub router_id: RouterId,
    /// The TCP port that it listens on.
    pub port: u16,
    /// The cluster that it reflects routes within (RFC 4456); its router ID if none is given.
    pub cluster_id: Option<RouterId>,
    /// At most so many equally good paths are used at once; 1 for none but the best.
    pub multipath: u8,
    /// How a restart is survived, with each peer that has no other word of its own; none to have every
    /// session's routes go with it.
    pub graceful: Option<Graceful>,
    /// With whom it speaks. Connections of others are refused.
    pub peers: BTreeMap<PeerKey, Peer>,
}

/// Which peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey {
    /// Its address.
    pub address: IpAddr,
    /// The interface that it is on, where the address is one of the link only.
    pub interface: Option<String>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Who it is, in words.
    pub name: String,
    /// Its autonomous system.
    pub asn: Asn,
    /// The port that it listens on.
    pub port: u16,
    /// Whether it connects to us and we never to it.
    pub passive: bool,
    /// The address that our end has; the kernel's choice if none is given.
    pub local_address: Option<IpAddr>,
    /// The system that we are to this peer, where it is another than our own.
    pub local_asn: Option<Asn>,
    /// The families that are spoken.
    pub families: Families,
    /// What next hop our end is known by in each family; our end of the session where none is given.
    pub next_hops: Vec<IpAddr>,
    /// Whose next hop is told with a route.
    pub next_hop: NextHopMode,
    /// The key of TCP's MD5 signatures (RFC 2385).
    pub password: Option<Password>,
    /// How far away it is.
    pub ttl: Ttl,
    /// The hold time that is proposed: 0, or at least 3 seconds.
    pub hold_time: Duration,
    /// How long to wait between two tries to connect.
    pub connect_retry: Duration,
    /// Whether it is none of ours: what others of this kind told is not told to it, since we are no way
    /// from one to the other.
    pub outside: bool,
    /// Whether it is a client of our reflector (RFC 4456).
    pub client: bool,
    /// Several paths to a prefix at once (RFC 7911).
    pub add_path: AddPath,
    /// How often our own system may be in a path that comes in.
    pub allow_own_asn: u8,
    /// With more prefixes than this the session is ended.
    pub max_prefixes: Option<u32>,
    /// What comes in.
    pub import: Filter,
    /// What goes out.
    pub export: Filter,
    /// Fast detection that it is gone (RFC 5880).
    pub bfd: Option<Bfd>,
    /// How a restart of either side is survived, where it is otherwise than with the others.
    #[serde(default)]
    pub graceful: Option<Graceful>,
}

/// How far away a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ttl {
    /// On a link of ours if it is of another system, anywhere if it is of our own.
    Default,
    /// At most so many hops away.
    Multihop(u8),
    /// At most so many hops away, and packets that came from farther away are dropped by the kernel
    /// (RFC 5082).
    Security(u8),
}

/// Whose next hop is told with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NextHopMode {
    /// Our own to other systems, the route's within our own (RFC 4271 section 5.1.3).
    Default,
    /// Always our own.
    Own,
    /// Always the route's, where it has one.
    Keep,
}

/// Several paths to a prefix at once (RFC 7911).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddPath {
    /// We send them.
    pub send: bool,
    /// We take them.
    pub receive: bool,
}

/// How a restart is survived (RFC 4724, RFC 9494).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Graceful {
    /// How long our peers wait for our return: at most 4095 seconds.
    pub restart_time: Duration,
    /// How long routes of a peer that has returned may be stale, and how long a restarted speaker
    /// waits for all its peers before it chooses.
    pub stale_time: Duration,
    /// How long stale routes are kept as a last resort after the restart time; none to drop them.
    pub long_lived: Option<Duration>,
}

/// Fast detection that a peer is gone (RFC 5880).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bfd {
    /// Between two packets, both ways.
    pub interval: Duration,
    /// After so many that are missing it is gone.
    pub multiplier: u8,
}

/// What is told of a prefix that begins here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origination {
    /// Communities.
    pub communities: Vec<Community>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// Preference within our system, where it is not 100.
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
}

/// A key that is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Password(String);

impl Password {
    /// A key of 1 to 80 bytes (`TCP_MD5SIG_MAXKEYLEN`, linux/tcp.h).
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn new(text: impl Into<String>) -> Result<Password, String> {
        let text = text.into();
        match text.len() {
            1..=80 => Ok(Password(text)),
            length => Err(format!("it has {length} bytes; a key has 1 to 80")),
        }
    }

    /// The key, to be given to the kernel.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl TryFrom<String> for Password {
    type Error = String;

    fn try_from(text: String) -> Result<Password, String> {
        Password::new(text)
    }
}

impl From<Password> for String {
    fn from(password: Password) -> String {
        password.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a password)")
    }
}

impl Default for Graceful {
    fn default() -> Graceful {
        Graceful {
            restart_time: Duration::from_secs(120),
            stale_time: Duration::from_secs(360),
            long_lived: None,
        }
    }
}

impl Peer {
    /// A peer of a system with everything else as is usual.
    #[must_use]
    pub fn new(name: impl Into<String>, asn: Asn) -> Peer {
        Peer {
            name: name.into(),
            asn,
            port: 179,
            passive: false,
            local_address: None,
            local_asn: None,
            families: Families::ALL,
            next_hops: Vec::new(),
            next_hop: NextHopMode::Default,
            password: None,
            ttl: Ttl::Default,
            hold_time: Duration::from_secs(90),
            connect_retry: Duration::from_secs(5),
            outside: false,
            client: false,
            add_path: AddPath::default(),
            allow_own_asn: 0,
            max_prefixes: None,
            import: Filter::open(),
            export: Filter::open(),
            bfd: None,
            graceful: None,
        }
    }
}

impl Config {
    /// How a restart is survived with a peer.
    #[must_use]
    pub fn graceful_with(&self, peer: &Peer) -> Option<Graceful> {
        peer.graceful.or(self.graceful)
    }
}

impl From<IpAddr> for PeerKey {
    fn from(address: IpAddr) -> PeerKey {
        PeerKey {
            address,
            interface: None,
        }
    }
}

impl fmt::Display for PeerKey {
    /// `10.0.0.1`, `fe80::1%eth0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => f.pad(&format!("{}%{interface}", self.address)),
            None => f.pad(&self.address.to_string()),
        }
    }
}

impl std::str::FromStr for PeerKey {
    type Err = String;
    fn from_str(text: &str) -> Result<PeerKey, String> {
        let (address, interface) = match text.split_once('%') {
            Some((address, interface)) => (address, Some(interface.to_owned())),
            None => (text, None),
        };
        let address = (address.parse()).map_err(|_| format!("{text:?} is no address of a peer"))?;
        Ok(PeerKey { address, interface })
    }
}

impl Serialize for PeerKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<PeerKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

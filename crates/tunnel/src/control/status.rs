//! How a peer is, for people and programs.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// It does.
    Up,
    /// It does not.
    Down,
}

/// How a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// Whether it answers.
    pub reach: Reach,
    /// For how long that is so.
    pub since: Duration,
    /// Where it should be.
    pub configured: SocketAddr,
    /// Where it is; another address than the configured one if it is behind a translation.
    pub endpoint: SocketAddr,
    /// Where the peer sees this node, if that is none of its addresses: this node is behind one.
    pub seen_as: Option<SocketAddr>,
    /// The largest packet that is sent to it, without the tunnel's own bytes.
    pub mtu: u16,
    /// The largest that the interfaces at both ends allow.
    pub limit: u16,
    /// Whether a packet of that size has been answered.
    pub mtu_confirmed: bool,
    /// How long an answer takes.
    pub round_trip: Option<Duration>,
    /// How long ago it was last heard.
    pub heard: Option<Duration>,
}

impl fmt::Display for PeerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.as_secs();
        match (self.reach, self.heard) {
            (Reach::Up, _) => write!(f, "up for {since} s at {}", self.endpoint)?,
            (Reach::Down, Some(_)) => {
                write!(f, "silent for {since} s, asked at {}", self.endpoint)?
            }
            (Reach::Down, None) => {
                return write!(
                    f,
                    "never heard, asked at {} for {since} s; a firewall between may drop UDP to \
                     port {}",
                    self.endpoint,
                    self.endpoint.port()
                );
            }
        }
        if self.endpoint != self.configured {
            write!(f, ", behind a NAT (its own address is {})", self.configured)?;
        }
        if let Some(seen) = self.seen_as {
            write!(f, ", sees this node behind a NAT at {seen}")?;
        }
        let confirmed = if self.mtu_confirmed {
            ""
        } else {
            " if all is well"
        };
        write!(f, ", packets up to {} bytes{confirmed}", self.mtu)?;
        if let Some(trip) = self.round_trip {
            write!(f, ", round trip {:.2} ms", trip.as_secs_f64() * 1000.0)?;
        }
        if let Some(heard) = self.heard {
            write!(f, ", heard {} s ago", heard.as_secs())?;
        }
        Ok(())
    }
}

//! What one trial found.

use serde::{Deserialize, Serialize};

/// What one trial found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// Of data in one direction.
    Flow(Flow),
    /// Of questions and answers.
    RoundTrips(RoundTrips),
    /// Connections opened, used and closed in a second.
    Connections(f64),
}

/// Data in one direction, as they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Bytes of the messages, without any header, in a second.
    pub bytes_per_second: f64,
    /// Datagrams in a second; none of TCP, whose packets nobody counts here.
    pub packets_per_second: Option<f64>,
    /// The share of the datagrams that were sent and never arrived, from 0 to 1; none of TCP.
    pub lost: Option<f64>,
    /// Seconds of processor time that both machines spent for each 10^9 bytes that arrived; see
    /// [`crate::cpu`] for what is counted.
    pub cpu_seconds_per_gigabyte: f64,
}

/// Round trips, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// How many there were.
    pub count: u64,
    /// How many datagrams were not answered within [`crate::client::PATIENCE`].
    pub lost: u64,
    /// The shortest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten were at most so long.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

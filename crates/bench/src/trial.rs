//! One measurement: what is sent, in which pieces, for how long.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BenchError;

/// The largest message of TCP, in bytes.
pub const LARGEST: u32 = 64 * 1024;

/// The largest payload of a UDP datagram over IPv4: 65,535 octets less two headers (RFC 768, RFC 791).
pub const LARGEST_DATAGRAM: u32 = 65_507;

/// Datagrams in one call of the kernel, where a packet rate is measured.
pub(crate) const BATCH: usize = 64;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How much a few TCP connections carry, one message in each call.
    TcpBandwidth,
    /// How much of what is sent as fast as it can be arrives, one datagram in each call.
    UdpBandwidth,
    /// The same with many datagrams in each call, of which the packets count and not the bytes.
    UdpPackets,
    /// Round trips of one message at a time over a TCP connection.
    TcpLatency,
    /// Round trips of one datagram at a time.
    UdpLatency,
    /// How often in a second a TCP connection is opened, asked one byte, answers one, and is closed.
    Connections,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] = [
        Kind::TcpBandwidth,
        Kind::UdpBandwidth,
        Kind::UdpPackets,
        Kind::TcpLatency,
        Kind::UdpLatency,
        Kind::Connections,
    ];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::TcpBandwidth => "tcp-bandwidth",
            Kind::UdpBandwidth => "udp-bandwidth",
            Kind::UdpPackets => "udp-packets",
            Kind::TcpLatency => "tcp-latency",
            Kind::UdpLatency => "udp-latency",
            Kind::Connections => "connections",
        }
    }

    /// Whether its data travel as datagrams.
    #[must_use]
    pub fn is_udp(self) -> bool {
        matches!(
            self,
            Kind::UdpBandwidth | Kind::UdpPackets | Kind::UdpLatency
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How long data flow before they count, in milliseconds.
    pub warm_up: u32,
    /// How long they count, in milliseconds.
    pub measured: u32,
}

impl Window {
    /// Both.
    #[must_use]
    pub fn whole(self) -> Duration {
        self.before() + self.counted()
    }

    pub(crate) fn before(self) -> Duration {
        Duration::from_millis(self.warm_up.into())
    }

    pub(crate) fn counted(self) -> Duration {
        Duration::from_millis(self.measured.into())
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Of what.
    pub kind: Kind,
    /// Bytes of a message or datagram. [`Kind::Connections`] has messages of one byte.
    pub message: u32,
    /// Connections side by side; only [`Kind::TcpBandwidth`] has more than one.
    pub streams: u16,
    /// When.
    pub window: Window,
}

impl Trial {
    /// The same trial, if both sides can do it.
    ///
    /// # Errors
    /// Says what is not allowed, and what is.
    pub fn check(self) -> Result<Trial, BenchError> {
        let fault = |what, rule| Err(BenchError::Trial { what, rule });
        let largest = if self.kind.is_udp() {
            LARGEST_DATAGRAM
        } else {
            LARGEST
        };
        if !(1..=largest).contains(&self.message) {
            return fault(
                format!("a message of {} bytes", self.message),
                "it has 1 to 65536 bytes over TCP, 1 to 65507 over UDP",
            );
        }
        let most = if self.kind == Kind::TcpBandwidth {
            64
        } else {
            1
        };
        if !(1..=most).contains(&self.streams) {
            return fault(
                format!("{} with {} streams", self.kind, self.streams),
                "tcp-bandwidth has 1 to 64, all others have 1",
            );
        }
        if self.window.measured == 0 || self.window.whole() > Duration::from_secs(600) {
            return fault(
                format!("a trial of {} ms", self.window.whole().as_millis()),
                "it takes at least 1 ms and at most ten minutes",
            );
        }
        Ok(self)
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if self.kind != Kind::Connections {
            write!(f, ", {} B", self.message)?;
        }
        if self.streams > 1 {
            write!(f, ", {} streams", self.streams)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(kind: Kind, message: u32, streams: u16) -> Trial {
        let window = Window {
            warm_up: 10,
            measured: 100,
        };
        Trial {
            kind,
            message,
            streams,
            window,
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for good in [
            trial(Kind::TcpBandwidth, LARGEST, 64),
            trial(Kind::UdpLatency, LARGEST_DATAGRAM, 1),
            trial(Kind::Connections, 1, 1),
        ] {
            assert_eq!(good.check().unwrap(), good);
        }
        for bad in [
            trial(Kind::TcpBandwidth, 0, 1),
            trial(Kind::TcpBandwidth, 1, 65),
            trial(Kind::UdpBandwidth, LARGEST, 1),
            trial(Kind::TcpLatency, 1, 2),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains("is not allowed"), "{error}");
        }
    }

    #[test]
    fn a_trial_has_one_name() {
        assert_eq!(
            trial(Kind::TcpBandwidth, 64, 4).to_string(),
            "tcp-bandwidth, 64 B, 4 streams"
        );
        assert_eq!(trial(Kind::Connections, 1, 1).to_string(), "connections");
    }
}

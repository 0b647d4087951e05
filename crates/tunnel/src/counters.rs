//! What went through, and what did not and why.
//!
//! Each thread counts for itself and adds up once a batch, so that counting costs nothing that could be
//! measured; who reads sees sums.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It came from an address that no peer has.
    Stranger,
    /// It was shorter than its own headers say.
    Truncated,
    /// It was longer than its own headers say.
    Oversized,
    /// It was of another version, or set bits that have no meaning.
    Version,
    /// It was no IP packet that makes sense.
    Malformed,
    /// It was of a network that is not here.
    UnknownNetwork,
    /// The address that it was from is not at the peer that sent it.
    Spoofed,
    /// The address that it was for is at the peer that sent it.
    Looping,
    /// The address that it was for is at no peer.
    NoRoute,
    /// It was larger than the way to its peer carries, and was not to be cut.
    TooBig,
    /// The network to the peer refused it: no route, no device, or a packet filter.
    Unreachable,
    /// The socket or the device below it had no room.
    SocketFull,
    /// The TUN device did not take it.
    DeviceBusy,
    /// More messages of the control protocol came than were read.
    ControlFull,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Reason; 14] = [
        Reason::Stranger,
        Reason::Truncated,
        Reason::Oversized,
        Reason::Version,
        Reason::Malformed,
        Reason::UnknownNetwork,
        Reason::Spoofed,
        Reason::Looping,
        Reason::NoRoute,
        Reason::TooBig,
        Reason::Unreachable,
        Reason::SocketFull,
        Reason::DeviceBusy,
        Reason::ControlFull,
    ];
}

/// Packets and bytes between this host and one peer: IP packets as they are on the wire, without what
/// the tunnel adds.
#[derive(Debug, Default)]
pub struct Traffic {
    pub(crate) sent: Flow,
    pub(crate) received: Flow,
}

#[derive(Debug, Default)]
pub(crate) struct Flow {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Flow {
    pub(crate) fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Traffic {
    /// The sums up to now.
    #[must_use]
    pub fn sums(&self) -> Sums {
        Sums {
            sent_packets: self.sent.packets.load(Ordering::Relaxed),
            sent_bytes: self.sent.bytes.load(Ordering::Relaxed),
            received_packets: self.received.packets.load(Ordering::Relaxed),
            received_bytes: self.received.bytes.load(Ordering::Relaxed),
        }
    }
}

/// [`Traffic`] as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// Packets to the peer.
    pub sent_packets: u64,
    /// Bytes to the peer.
    pub sent_bytes: u64,
    /// Packets from the peer.
    pub received_packets: u64,
    /// Bytes from the peer.
    pub received_bytes: u64,
}

/// How many packets were dropped, by reason.
#[derive(Debug, Default)]
pub(crate) struct Drops([AtomicU64; Reason::ALL.len()]);

impl Drops {
    pub(crate) fn count(&self, reason: Reason) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&self, reason: Reason, packets: u64) {
        self.0[reason as usize].fetch_add(packets, Ordering::Relaxed);
    }

    pub(crate) fn sums(&self) -> BTreeMap<Reason, u64> {
        Reason::ALL
            .into_iter()
            .map(|reason| (reason, self.0[reason as usize].load(Ordering::Relaxed)))
            .filter(|(_, packets)| *packets > 0)
            .collect()
    }
}

/// All that a datapath counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// What went to and came from each peer of the table.
    pub peers: BTreeMap<NodeId, Sums>,
    /// What was dropped since the datapath began; reasons that never occurred are left out.
    pub dropped: BTreeMap<Reason, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        let drops = Drops::default();
        for (times, reason) in (1..).zip(Reason::ALL) {
            drops.add(reason, times);
        }
        let sums: Vec<u64> = Reason::ALL.map(|reason| drops.sums()[&reason]).into();
        assert_eq!(sums, (1..=14).collect::<Vec<u64>>());
    }
}

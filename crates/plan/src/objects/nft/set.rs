//! Sets and maps, and what is in them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, MacAddr, Protocol};

/// A set, or a map if it has data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NftSet {
    /// The fields of its keys, concatenated.
    pub key: Vec<Field>,
    /// The fields of what it maps to; empty for a set.
    pub data: Vec<Field>,
    /// Its keys are ranges (`flags interval`): prefixes of a single address field, or ranges of a single
    /// port field. They may overlap: what is in any of them is in the set.
    pub interval: bool,
}

/// The type of one field of a key or of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Field {
    /// `ipv4_addr`, 4 bytes.
    Ipv4,
    /// `ipv6_addr`, 16 bytes.
    Ipv6,
    /// `inet_proto`, 1 byte.
    Protocol,
    /// `inet_service`, 2 bytes, network order.
    Port,
    /// `ifname`, 16 bytes.
    Interface,
    /// `ether_addr`, 6 bytes.
    Mac,
    /// `ether_type`, 2 bytes, network order.
    EtherType,
    /// `verdict`: where a packet goes on. Only as the one field of a map's data.
    Verdict,
}

impl Field {
    /// The address field of a family.
    #[must_use]
    pub fn address(family: Family) -> Field {
        match family {
            Family::V4 => Field::Ipv4,
            Family::V6 => Field::Ipv6,
        }
    }
}

/// One field's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Datum {
    /// An address.
    Ip(IpAddr),
    /// A prefix, as the only field of an interval set.
    Net(IpNet),
    /// A protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// An interface's name.
    Interface(IfName),
    /// A link-layer address.
    Mac(MacAddr),
    /// What a frame carries (IEEE 802 numbers).
    EtherType(u16),
    /// A protocol that [`Datum::Protocol`] has no word for; see [`Datum::protocol`].
    Number(u8),
    /// Ports from the first to the last, as the only field of an interval set.
    PortRange(u16, u16),
    /// On in another chain, and back.
    Jump(String),
    /// On in another chain, and from there to where this one was called.
    Goto(String),
}

impl Datum {
    /// A transport protocol by its number (IANA, protocol numbers): the one way to write it, so that
    /// what is planned and what is read are alike.
    #[must_use]
    pub fn protocol(number: u8) -> Datum {
        let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let known = known.into_iter().find(|known| known.number() == number);
        known.map_or(Datum::Number(number), Datum::Protocol)
    }

    /// The chain that a packet goes on in.
    #[must_use]
    pub fn chain(&self) -> Option<&str> {
        match self {
            Datum::Jump(chain) | Datum::Goto(chain) => Some(chain),
            _ => None,
        }
    }
}

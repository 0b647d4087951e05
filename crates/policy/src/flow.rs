//! Flow: the first packet of a connection, as one asks about it.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, Name};

/// The first packet of a connection; those after it are not asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Who sends it.
    pub from: Party,
    /// Who is to get it.
    pub to: Party,
    /// The version of IP; if not given, that of the addresses, or the first that both have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The protocol above IP.
    pub protocol: ProtocolMatch,
    /// The port that it comes from; if not given, one as kernels choose them ([`Flow::EPHEMERAL`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
    /// The port that it goes to; if not given, none that a rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<u16>,
    /// Type and code of ICMP or ICMPv6; an echo request if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
}

/// One end of a flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Party {
    /// An endpoint, by namespace and name.
    Endpoint(Name, Name),
    /// An address; it is an endpoint's or a host's if one has it.
    Address {
        /// The address.
        address: IpAddr,
        /// Its address space; the hosts' if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        space: Option<Name>,
    },
    /// A host itself, by the name of its node.
    Host(Name),
}

impl Flow {
    /// A source port as Linux chooses them (`ip_local_port_range`: 32768 to 60999).
    pub const EPHEMERAL: u16 = 40_000;

    /// A flow to a port.
    #[must_use]
    pub fn to_port(from: Party, to: Party, protocol: ProtocolMatch, port: u16) -> Flow {
        Flow {
            destination_port: Some(port),
            ..Flow::of(from, to, protocol)
        }
    }

    /// A flow of a protocol, to no port.
    #[must_use]
    pub fn of(from: Party, to: Party, protocol: ProtocolMatch) -> Flow {
        Flow {
            from,
            to,
            family: None,
            protocol,
            source_port: None,
            destination_port: None,
            icmp: None,
        }
    }
}

impl Party {
    /// An address of the space that the hosts route in.
    #[must_use]
    pub fn address(address: IpAddr) -> Party {
        Party::Address {
            address,
            space: None,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Endpoint(namespace, name) => write!(f, "{namespace}/{name}"),
            Party::Address {
                address,
                space: None,
            } => write!(f, "{address}"),
            Party::Address {
                address,
                space: Some(space),
            } => write!(f, "{address} of space {space}"),
            Party::Host(node) => write!(f, "host {node}"),
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {} {}", self.from, self.to, self.protocol)?;
        if let Some(port) = self.destination_port {
            write!(f, " {port}")?;
        }
        if let Some((kind, code)) = self.icmp {
            write!(f, " type {kind} code {code}")?;
        }
        Ok(())
    }
}

//! Rules: conditions on a packet, and what is done with it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, Protocol};

/// A rule: when every match holds, the action is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// Then this is done.
    pub action: Action,
    /// Packets and bytes that come so far are counted, before the action.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
}

impl Rule {
    /// A rule that is not counted.
    #[must_use]
    pub fn new(matches: impl Into<Vec<Match>>, action: Action) -> Rule {
        Rule {
            matches: matches.into(),
            action,
            counted: false,
        }
    }

    /// The same, counted.
    #[must_use]
    pub fn counted(self) -> Rule {
        Rule {
            counted: true,
            ..self
        }
    }
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Match {
    /// The packet's family (`meta nfproto`).
    Family(Family),
    /// The transport protocol (`meta l4proto`).
    Protocol(Protocol),
    /// The interface that it came in by.
    InInterface(InterfaceMatch),
    /// The interface that it leaves by.
    OutInterface(InterfaceMatch),
    /// Its source address. Implies the family.
    Source(AddressMatch),
    /// Its destination address. Implies the family.
    Destination(AddressMatch),
    /// Fields, concatenated, are an element of a set.
    InSet {
        /// The fields.
        fields: Vec<PacketField>,
        /// The set, of the same table.
        set: String,
        /// They are none of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        not: bool,
    },
    /// The destination is an address of this host (`fib daddr type local`).
    LocalDestination,
    /// The destination port (`th dport`).
    DestinationPort(u16),
    /// The connection's destination was translated (`ct status dnat`).
    DestinationTranslated,
    /// The packet's mark (`meta mark`).
    Mark(u32),
    /// The connection's mark, under a mask (`ct mark and`).
    ConnectionMark {
        /// The mask.
        mask: u32,
        /// What is left of it.
        value: u32,
    },
    /// The connection is in one of these states (`ct state`).
    ConnectionState(Vec<ConnState>),
    /// The transport protocol, by its number (IANA, protocol numbers).
    ProtocolNumber {
        /// The number.
        number: u8,
        /// Any protocol but this.
        not: bool,
    },
    /// A port. The protocol, which must have ports, is a match of its own. Fragments but the first have
    /// none, and match neither way.
    Ports {
        /// Whose port.
        side: Side,
        /// Which ports.
        ports: PortSet,
        /// Any port but these.
        not: bool,
    },
    /// Type, or type and code, of ICMP (RFC 792, RFC 4443). The protocol is a match of its own.
    Icmp {
        /// Of ICMP or ICMPv6, which is only for printing.
        family: Family,
        /// The type.
        icmp_type: u8,
        /// The code; any if there is none.
        code: Option<u8>,
        /// Anything but this type, or this type with this code.
        not: bool,
    },
    /// Not more often than so many packets a second, in the long run.
    Limit {
        /// Packets a second; at least 1.
        per_second: u32,
        /// So many more at once.
        burst: u32,
    },
    /// Bits of the packet's mark.
    MarkBits {
        /// The bits.
        mask: u32,
        /// How they are.
        value: u32,
    },
    /// What a frame carries (IEEE 802 numbers; `meta protocol`). Only where frames are seen.
    EtherType(u16),
}

/// A connection's state, as a packet of it finds it (`ct state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConnState {
    /// It begins with this packet.
    New,
    /// There were packets both ways.
    Established,
    /// Another connection brought it about, as an ICMP error or a data connection of FTP.
    Related,
    /// It belongs to no connection that there could be.
    Invalid,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Who sends the packet.
    Source,
    /// To whom it goes.
    Destination,
}

/// Which ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortSet {
    /// From the first to the last; one, if they are the same.
    Range(u16, u16),
    /// Ports in a set of the same table.
    Set(String),
}

/// Which interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceMatch {
    /// The name, or the beginning of it.
    pub name: String,
    /// The name is a beginning: `tbv*`.
    pub prefix: bool,
    /// Any interface but these.
    pub not: bool,
}

/// Which addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddressMatch {
    /// The family, which must match too.
    pub family: Family,
    /// The addresses.
    pub addresses: Addresses,
    /// Any address but these.
    pub not: bool,
}

/// A prefix or a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Addresses {
    /// Addresses in a prefix.
    Net(IpNet),
    /// Addresses in a set.
    Set(String),
}

/// A field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PacketField {
    /// Source address of a family.
    Source(Family),
    /// Destination address of a family.
    Destination(Family),
    /// Transport protocol.
    Protocol,
    /// Destination port.
    DestinationPort,
    /// Source port.
    SourcePort,
    /// The name of the interface that it came in by; where frames are seen, the bridge's port.
    InInterface,
    /// The name of the interface that it leaves by.
    OutInterface,
    /// The link-layer address that a frame is from. Only where frames are seen.
    EtherSource,
    /// The sender's address in ARP for IPv4 (RFC 826). Only where frames are seen, and only behind
    /// [`Match::EtherType`] of ARP.
    ArpSource,
    /// The sender's link-layer address in ARP, likewise.
    ArpSourceMac,
    /// The address that an ICMPv6 neighbour solicitation or advertisement is about (RFC 4861, 4.3 and
    /// 4.4). Only behind matches of the protocol and the type.
    NeighbourTarget,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The packet goes on.
    Accept,
    /// The packet is dropped.
    Drop,
    /// The packet is dropped, and its sender told that its connection is no more: only of TCP (RFC
    /// 9293, section 3.5.2), and where there is a way back to the sender.
    Reset,
    /// Back to the calling chain.
    Return,
    /// On in another chain, and back.
    Jump(String),
    /// The connection is tracked in a zone of its own, as seen from who began it (`ct original
    /// zone`): others with the same addresses and ports are other ones. Answers, whose addresses
    /// are translated ones, are found without.
    OriginalZone(u16),
    /// The packet and its connection get a mark.
    Mark(u32),
    /// The packet gets its connection's mark.
    RestoreMark,
    /// Source address becomes that of the outgoing interface.
    Masquerade,
    /// Destination address and port become what a map says; no change if it says nothing.
    TranslateDestination {
        /// The family.
        family: Family,
        /// The fields that are looked up.
        fields: Vec<PacketField>,
        /// The map, from those fields to address and port.
        map: String,
    },
    /// On in another chain, and from there to where this one was called.
    Goto(String),
    /// On in the chain that a map of verdicts names; the next rule if it names none.
    Dispatch {
        /// The fields that are looked up.
        fields: Vec<PacketField>,
        /// The map, of the same table.
        map: String,
    },
    /// The packet is told of to whoever listens to a group of nfnetlink_log, and goes on to the next rule.
    Log {
        /// The group.
        group: u16,
        /// What it is told with; at most 127 bytes.
        prefix: String,
    },
    /// Some bits of the packet's mark are set, and it goes on to the next rule.
    MarkBits {
        /// The bits.
        mask: u32,
        /// How they become; none beyond the mask.
        value: u32,
    },
    /// The next rule: for rules that only count.
    Continue,
}

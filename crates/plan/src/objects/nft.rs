//! nftables: sets, maps, and chains with their rules, in the one table that is ours.
//!
//! The table is of family `inet`. Rules are typed and few in kind; they print as `nft` would write
//! them, which is for reading only: the kernel is spoken to in its own encoding.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, Protocol};

/// A set, or a map if it has data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NftSet {
    /// The fields of its keys, concatenated.
    pub key: Vec<Field>,
    /// The fields of what it maps to; empty for a set.
    pub data: Vec<Field>,
    /// Its keys are prefixes (`flags interval`); only for a single address field.
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
}

/// A chain with its rules, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Where packets enter it; none for a chain that is only jumped to.
    pub hook: Option<Hook>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// `filter`, `nat` or `route`.
    pub chain_type: ChainType,
    /// The point in a packet's way.
    pub point: HookPoint,
    /// Lower comes first (linux/netfilter_ipv4.h has the named ones).
    pub priority: i32,
    /// What happens to packets that no rule decided.
    pub policy: Policy,
}

/// A chain's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainType {
    /// Decides about packets.
    Filter,
    /// Translates addresses, asked once per connection.
    Nat,
    /// Re-routes packets whose mark or addresses it changes.
    Route,
}

/// A point in a packet's way (`NF_INET_*`, linux/netfilter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookPoint {
    /// As it comes in, before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host, before routing.
    Output,
    /// As it leaves, after routing.
    Postrouting,
}

/// What happens to packets that no rule of a base chain decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// They go on.
    Accept,
    /// They are dropped.
    Drop,
}

/// A rule: when every match holds, the action is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// Then this is done.
    pub action: Action,
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
        /// The set.
        set: String,
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
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The packet goes on.
    Accept,
    /// The packet is dropped.
    Drop,
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
}

/// Values of a concatenation, as `nft` prints them.
pub(super) fn join(data: &[Datum]) -> String {
    data.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" . ")
}

fn join_fields<T: fmt::Display>(fields: &[T]) -> String {
    fields
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" . ")
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Ip(address) => write!(f, "{address}"),
            Datum::Net(net) => write!(f, "{net}"),
            Datum::Protocol(protocol) => write!(f, "{protocol}"),
            Datum::Port(port) => write!(f, "{port}"),
            Datum::Interface(name) => write!(f, "\"{name}\""),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Ipv4 => "ipv4_addr",
            Field::Ipv6 => "ipv6_addr",
            Field::Protocol => "inet_proto",
            Field::Port => "inet_service",
            Field::Interface => "ifname",
        })
    }
}

impl fmt::Display for NftSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "type {}", join_fields(&self.key))?;
        if !self.data.is_empty() {
            write!(f, " : {}", join_fields(&self.data))?;
        }
        if self.interval {
            write!(f, " flags interval")?;
        }
        Ok(())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hook) = self.hook {
            write!(f, "{hook}")?;
        }
        for rule in &self.rules {
            write!(f, "\n    {rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain_type = match self.chain_type {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
        };
        let point = match self.point {
            HookPoint::Prerouting => "prerouting",
            HookPoint::Input => "input",
            HookPoint::Forward => "forward",
            HookPoint::Output => "output",
            HookPoint::Postrouting => "postrouting",
        };
        let policy = match self.policy {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        };
        write!(
            f,
            "type {chain_type} hook {point} priority {}; policy {policy};",
            self.priority
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        write!(f, "{}", self.action)
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Match::Family(family) => write!(f, "meta nfproto {family}"),
            Match::Protocol(protocol) => write!(f, "meta l4proto {protocol}"),
            Match::InInterface(interface) => write!(f, "iifname {interface}"),
            Match::OutInterface(interface) => write!(f, "oifname {interface}"),
            Match::Source(m) => write!(f, "{} saddr {m}", ip_word(m.family)),
            Match::Destination(m) => write!(f, "{} daddr {m}", ip_word(m.family)),
            Match::InSet { fields, set } => write!(f, "{} @{set}", join_fields(fields)),
            Match::LocalDestination => f.write_str("fib daddr type local"),
            Match::DestinationPort(port) => write!(f, "th dport {port}"),
            Match::DestinationTranslated => f.write_str("ct status dnat"),
            Match::Mark(mark) => write!(f, "meta mark {mark:#x}"),
            Match::ConnectionMark { mask, value } => {
                write!(f, "ct mark and {mask:#x} == {value:#x}")
            }
        }
    }
}

fn ip_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

impl fmt::Display for InterfaceMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.not { "!= " } else { "" };
        write!(
            f,
            "{not}\"{}{}\"",
            self.name,
            if self.prefix { "*" } else { "" }
        )
    }
}

impl fmt::Display for AddressMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.not { "!= " } else { "" };
        match &self.addresses {
            Addresses::Net(net) => write!(f, "{not}{net}"),
            Addresses::Set(set) => write!(f, "{not}@{set}"),
        }
    }
}

impl fmt::Display for PacketField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketField::Source(family) => write!(f, "{} saddr", ip_word(*family)),
            PacketField::Destination(family) => write!(f, "{} daddr", ip_word(*family)),
            PacketField::Protocol => f.write_str("meta l4proto"),
            PacketField::DestinationPort => f.write_str("th dport"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Accept => f.write_str("accept"),
            Action::Drop => f.write_str("drop"),
            Action::Return => f.write_str("return"),
            Action::Jump(chain) => write!(f, "jump {chain}"),
            Action::OriginalZone(zone) => write!(f, "ct original zone set {zone}"),
            Action::Mark(mark) => write!(f, "meta mark set {mark:#x} ct mark set {mark:#x}"),
            Action::RestoreMark => f.write_str("meta mark set ct mark"),
            Action::Masquerade => f.write_str("masquerade"),
            Action::TranslateDestination {
                family,
                fields,
                map,
            } => {
                write!(
                    f,
                    "dnat {} to {} map @{map}",
                    ip_word(*family),
                    join_fields(fields)
                )
            }
        }
    }
}

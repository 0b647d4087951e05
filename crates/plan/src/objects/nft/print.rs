//! nftables as `nft` would write it.

use std::fmt;

use tombolo_model::Family;

use super::{
    Action, AddressMatch, Addresses, Chain, ChainType, ConnState, Datum, Field, Hook, HookPoint,
    InterfaceMatch, Match, NftSet, PacketField, Policy, PortSet, Rule, Side,
};

/// Values of a concatenation, as `nft` prints them.
pub(in crate::objects) fn join(data: &[Datum]) -> String {
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
            Datum::Mac(mac) => write!(f, "{mac}"),
            Datum::EtherType(number) => write!(f, "{number:#06x}"),
            Datum::Number(number) => write!(f, "{number}"),
            Datum::PortRange(first, last) if first == last => write!(f, "{first}"),
            Datum::PortRange(first, last) => write!(f, "{first}-{last}"),
            Datum::Jump(chain) => write!(f, "jump {chain}"),
            Datum::Goto(chain) => write!(f, "goto {chain}"),
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
            Field::Mac => "ether_addr",
            Field::EtherType => "ether_type",
            Field::Verdict => "verdict",
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
        if self.counted {
            write!(f, "counter ")?;
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
            Match::InSet { fields, set, not } => {
                write!(f, "{} {}@{set}", join_fields(fields), unless(*not))
            }
            Match::LocalDestination => f.write_str("fib daddr type local"),
            Match::DestinationPort(port) => write!(f, "th dport {port}"),
            Match::DestinationTranslated => f.write_str("ct status dnat"),
            Match::Mark(mark) => write!(f, "meta mark {mark:#x}"),
            Match::ConnectionMark { mask, value } => {
                write!(f, "ct mark and {mask:#x} == {value:#x}")
            }
            Match::ConnectionState(states) => {
                let words: Vec<String> = states.iter().map(ToString::to_string).collect();
                write!(f, "ct state {}", words.join(","))
            }
            Match::ProtocolNumber { number, not } => {
                write!(f, "meta l4proto {}{number}", unless(*not))
            }
            Match::Ports { side, ports, not } => write!(f, "th {side} {}{ports}", unless(*not)),
            Match::Icmp {
                family,
                icmp_type,
                code,
                not,
            } => {
                let (word, not) = (icmp_word(*family), unless(*not));
                match code {
                    None => write!(f, "{word} type {not}{icmp_type}"),
                    Some(code) => {
                        write!(f, "{word} type . {word} code {not}{icmp_type} . {code}")
                    }
                }
            }
            Match::Limit { per_second, burst } => {
                write!(f, "limit rate {per_second}/second burst {burst} packets")
            }
            Match::MarkBits { mask, value } => {
                write!(f, "meta mark and {mask:#x} == {value:#x}")
            }
            Match::EtherType(number) => write!(f, "meta protocol {number:#06x}"),
        }
    }
}

fn unless(not: bool) -> &'static str {
    if not { "!= " } else { "" }
}

fn icmp_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "icmpv6",
    }
}

impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnState::New => "new",
            ConnState::Established => "established",
            ConnState::Related => "related",
            ConnState::Invalid => "invalid",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "sport",
            Side::Destination => "dport",
        })
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortSet::Range(first, last) => Datum::PortRange(*first, *last).fmt(f),
            PortSet::Set(set) => write!(f, "@{set}"),
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
        let not = unless(self.not);
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
        let not = unless(self.not);
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
            PacketField::SourcePort => f.write_str("th sport"),
            PacketField::InInterface => f.write_str("iifname"),
            PacketField::OutInterface => f.write_str("oifname"),
            PacketField::EtherSource => f.write_str("ether saddr"),
            PacketField::ArpSource => f.write_str("arp saddr ip"),
            PacketField::ArpSourceMac => f.write_str("arp saddr ether"),
            PacketField::NeighbourTarget => f.write_str("icmpv6 taddr"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Accept => f.write_str("accept"),
            Action::Drop => f.write_str("drop"),
            Action::Reset => f.write_str("reject with tcp reset"),
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
            Action::Goto(chain) => write!(f, "goto {chain}"),
            Action::Dispatch { fields, map } => {
                write!(f, "{} vmap @{map}", join_fields(fields))
            }
            Action::Log { group, prefix } => write!(f, "log prefix {prefix:?} group {group}"),
            Action::MarkBits { mask, value } => {
                write!(f, "meta mark set meta mark and {:#x} or {value:#x}", !mask)
            }
            Action::Continue => f.write_str("continue"),
        }
    }
}

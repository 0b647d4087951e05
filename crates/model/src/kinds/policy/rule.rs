//! Rules: which packets, and what happens to them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::selector::Selector;

/// When all that it says holds for a packet, its action is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyRule {
    /// What happens.
    pub action: RuleAction,
    /// Only this version of IP: 4 or 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_version: Option<IpVersion>,
    /// The protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolMatch>,
    /// Any protocol but this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_protocol: Option<ProtocolMatch>,
    /// Type and code of ICMP or ICMPv6, which `protocol` must say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// Any type and code but these.
    #[serde(default, rename = "notICMP", skip_serializing_if = "Option::is_none")]
    pub not_icmp: Option<Icmp>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "EntityMatch::is_any")]
    pub source: EntityMatch,
    /// Where it goes to.
    #[serde(default, skip_serializing_if = "EntityMatch::is_any")]
    pub destination: EntityMatch,
    /// Annotations of the rule, which nothing in Tombolo looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<RuleMetadata>,
}

/// What a rule says of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleMetadata {
    /// Names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What happens to a packet that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuleAction {
    /// It is let through; nothing else is asked in this direction.
    Allow,
    /// It is dropped.
    Deny,
    /// It is logged, and the next rule asked.
    Log,
    /// The next tier is asked, or the profiles after the last one.
    Pass,
}

/// One end of a packet's way; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntityMatch {
    /// Its address is in one of these; in any if none is given.
    #[serde(
        default,
        deserialize_with = "masked",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub nets: Vec<IpNet>,
    /// Its address is in none of these.
    #[serde(
        default,
        deserialize_with = "masked",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub not_nets: Vec<IpNet>,
    /// It is one of these endpoints or sets, by their labels. In a policy of a namespace: of this
    /// namespace, unless `namespaceSelector` says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// It is none of these endpoints or sets: other than a selector with `!` this also holds for
    /// what is neither. In a policy of a namespace it is of that namespace, or of those that
    /// `namespaceSelector` says, and none of these wherever they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_selector: Option<Selector>,
    /// It is an endpoint or set of a namespace with such labels; `global()`: of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// Its port is one of these; any if none is given. Needs a protocol with ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMatch>,
    /// Its port is none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ports: Vec<PortMatch>,
}

/// Reads ranges. Bits below the prefix say nothing, as in Calico and Kubernetes.
pub(super) fn masked<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    let nets = Vec::<IpNet>::deserialize(from)?;
    Ok(nets.iter().map(IpNet::trunc).collect())
}

impl EntityMatch {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == EntityMatch::default()
    }
}

/// 4 or 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct IpVersion(pub crate::net::Family);

impl TryFrom<u8> for IpVersion {
    type Error = String;

    fn try_from(version: u8) -> Result<IpVersion, String> {
        match version {
            4 => Ok(IpVersion(crate::net::Family::V4)),
            6 => Ok(IpVersion(crate::net::Family::V6)),
            other => Err(format!("{other} is no version of IP; give 4 or 6")),
        }
    }
}

impl From<IpVersion> for u8 {
    fn from(version: IpVersion) -> u8 {
        match version.0 {
            crate::net::Family::V4 => 4,
            crate::net::Family::V6 => 6,
        }
    }
}

/// Type and code of ICMP or ICMPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Icmp {
    /// The type; any if not given.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub icmp_type: Option<u8>,
    /// The code; any if not given. Needs a type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
}

/// A protocol above IP, by its number (IANA, Protocol Numbers); well-known ones have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct ProtocolMatch(pub u8);

impl ProtocolMatch {
    /// TCP.
    pub const TCP: ProtocolMatch = ProtocolMatch(6);
    /// UDP.
    pub const UDP: ProtocolMatch = ProtocolMatch(17);
    /// SCTP.
    pub const SCTP: ProtocolMatch = ProtocolMatch(132);
    /// ICMP, of IPv4.
    pub const ICMP: ProtocolMatch = ProtocolMatch(1);
    /// ICMPv6.
    pub const ICMPV6: ProtocolMatch = ProtocolMatch(58);
    /// UDP-Lite.
    pub const UDP_LITE: ProtocolMatch = ProtocolMatch(136);

    const NAMES: [(ProtocolMatch, &'static str); 6] = [
        (ProtocolMatch::TCP, "TCP"),
        (ProtocolMatch::UDP, "UDP"),
        (ProtocolMatch::ICMP, "ICMP"),
        (ProtocolMatch::ICMPV6, "ICMPv6"),
        (ProtocolMatch::SCTP, "SCTP"),
        (ProtocolMatch::UDP_LITE, "UDPLite"),
    ];

    /// Whether its packets have ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        let with = [Self::TCP, Self::UDP, Self::SCTP, Self::UDP_LITE];
        with.contains(&self)
    }
}

impl fmt::Display for ProtocolMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(protocol, _)| protocol == self) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for ProtocolMatch {
    type Err = String;

    fn from_str(text: &str) -> Result<ProtocolMatch, String> {
        let named = Self::NAMES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text));
        let number = || {
            text.parse()
                .ok()
                .filter(|number| *number > 0)
                .map(ProtocolMatch)
        };
        named.map(|(protocol, _)| *protocol).or_else(number).ok_or_else(|| {
            format!(
                "{text:?} is no protocol; give TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255"
            )
        })
    }
}

impl TryFrom<Value> for ProtocolMatch {
    type Error = String;

    fn try_from(value: Value) -> Result<ProtocolMatch, String> {
        match value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl From<ProtocolMatch> for Value {
    fn from(protocol: ProtocolMatch) -> Value {
        let named = ProtocolMatch::NAMES
            .iter()
            .any(|(known, _)| *known == protocol);
        match named {
            true => Value::String(protocol.to_string()),
            false => protocol.0.into(),
        }
    }
}

/// A port, a range of ports, or the name of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum PortMatch {
    /// From the first to the last, both included; one port if they are the same.
    Range(u16, u16),
    /// The port that the destination has under a name.
    Named(String),
}

impl TryFrom<Value> for PortMatch {
    type Error = String;

    fn try_from(value: Value) -> Result<PortMatch, String> {
        match value {
            Value::Number(number) => number
                .as_u64()
                .and_then(|number| u16::try_from(number).ok())
                .map(|port| PortMatch::Range(port, port))
                .ok_or_else(|| format!("{number} is no port; it must be between 0 and 65535")),
            Value::String(text) => text.parse(),
            other => Err(format!("{other} is no port; give 80, \"80:90\" or a name")),
        }
    }
}

impl FromStr for PortMatch {
    type Err = String;

    fn from_str(text: &str) -> Result<PortMatch, String> {
        let port = |text: &str| {
            let number: Result<u16, _> = text.parse();
            number.map_err(|_| format!("{text:?} is no port; it must be between 0 and 65535"))
        };
        if let Some((first, last)) = text.split_once(':') {
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!(
                    "{text:?} ends before it begins; write {last}:{first}"
                ));
            }
            return Ok(PortMatch::Range(first, last));
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit())
        {
            let number = port(text)?;
            return Ok(PortMatch::Range(number, number));
        }
        match is_port_name(text) {
            true => Ok(PortMatch::Named(text.to_owned())),
            false => Err(format!(
                "{text:?} is not a port, a range as 80:90, or a name, which has a letter"
            )),
        }
    }
}

/// Whether a port can be called so. Without a letter it would look like a port, or like a range.
pub(super) fn is_port_name(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.len() <= 128 && text.bytes().all(inside) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

impl From<PortMatch> for Value {
    fn from(port: PortMatch) -> Value {
        match port {
            PortMatch::Range(first, last) if first == last => first.into(),
            other => Value::String(other.to_string()),
        }
    }
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortMatch::Range(first, last) if first == last => write!(f, "{first}"),
            PortMatch::Range(first, last) => write!(f, "{first}:{last}"),
            PortMatch::Named(name) => f.write_str(name),
        }
    }
}

impl PolicyRule {
    /// A rule that every packet matches.
    #[must_use]
    pub fn new(action: RuleAction) -> PolicyRule {
        PolicyRule {
            action,
            ip_version: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: EntityMatch::default(),
            destination: EntityMatch::default(),
            metadata: None,
        }
    }
}

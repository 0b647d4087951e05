//! Small values: numbers of autonomous systems, addresses with ports, spans of time, passwords.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::IfName;

/// The number of an autonomous system: `64512`, or `1.10` for its two halves (RFC 5396).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "u32")]
pub struct AsNumber(u32);

impl AsNumber {
    /// A number that a system may have: not 0 (RFC 7607), not 23456 (RFC 6793), not the last of 16
    /// or 32 bits (RFC 7300).
    ///
    /// # Errors
    /// Nobody may have it.
    pub fn new(number: u32) -> Result<AsNumber, String> {
        match number {
            0 | 23456 | 65535 | u32::MAX => Err(format!(
                "{number} is reserved and no system's number; private ones are 64512 to 65534 and \
                 4200000000 to 4294967294"
            )),
            number => Ok(AsNumber(number)),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<Value> for AsNumber {
    type Error = String;

    fn try_from(value: Value) -> Result<AsNumber, String> {
        let fault =
            || format!("{value} is no number of an autonomous system, such as 64512 or 1.10");
        let text = match &value {
            Value::String(text) => text.clone(),
            // `1.10` without quotes is a number with a fraction, and has lost its last digit.
            Value::Number(number) if number.is_u64() => number.to_string(),
            Value::Number(_) => return Err(format!("{}; put it in quotes", fault())),
            _ => return Err(fault()),
        };
        let number = match text.split_once('.') {
            Some((high, low)) => {
                let half = |half: &str| half.parse::<u16>().map_err(|_| fault());
                u32::from(half(high)?) << 16 | u32::from(half(low)?)
            }
            None => text.parse().map_err(|_| fault())?,
        };
        AsNumber::new(number)
    }
}

impl From<AsNumber> for u32 {
    fn from(number: AsNumber) -> u32 {
        number.0
    }
}

impl fmt::Display for AsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a peer is: `192.168.0.254`, `192.168.0.254:1790`, `fd00::1`, `[fd00::1]:1790`,
/// `fe80::1%eth0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerIp {
    /// The address.
    pub address: IpAddr,
    /// The interface that it is on, where the address is one of the link only.
    pub interface: Option<IfName>,
    /// The port that it listens on, where it is not 179.
    pub port: Option<u16>,
}

impl FromStr for PeerIp {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerIp, String> {
        let fault = || {
            format!(
                "{text:?} is no peer's address; write it as 192.168.0.254, 192.168.0.254:179, \
                 fd00::1, [fd00::1]:179 or fe80::1%eth0"
            )
        };
        let (host, port) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(fault)?)),
            None if text.matches(':').count() == 1 => {
                let (host, port) = text.split_once(':').ok_or_else(fault)?;
                (host, Some(port))
            }
            None => (text, None),
        };
        let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port != 0));
        let (address, interface) = match host.split_once('%') {
            Some((address, interface)) => (address, Some(interface)),
            None => (host, None),
        };
        let interface = interface.map(IfName::new).transpose();
        let peer = PeerIp {
            address: address.parse().map_err(|_| fault())?,
            interface: interface.map_err(|error| format!("{text:?}: {error}"))?,
            port: port.map(|port| port.ok_or_else(fault)).transpose()?,
        };
        match (peer.address, &peer.interface) {
            (IpAddr::V6(address), None) if is_of_link(address) => Err(format!(
                "{address} is an address of a link; name the interface, as {address}%eth0"
            )),
            (IpAddr::V6(address), Some(_)) if is_of_link(address) => Ok(peer),
            (address, Some(_)) => Err(format!(
                "{address} is no address of a link; leave the interface out"
            )),
            (address, None)
                if address.is_unspecified() || address.is_loopback() || address.is_multicast() =>
            {
                Err(format!("{address} is no unicast address of a peer"))
            }
            _ => Ok(peer),
        }
    }
}

fn is_of_link(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xFFC0 == 0xFE80
}

impl TryFrom<String> for PeerIp {
    type Error = String;
    fn try_from(text: String) -> Result<PeerIp, String> {
        text.parse()
    }
}

impl From<PeerIp> for String {
    fn from(peer: PeerIp) -> String {
        peer.to_string()
    }
}

impl fmt::Display for PeerIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.interface {
            Some(interface) => format!("{}%{interface}", self.address),
            None => self.address.to_string(),
        };
        match (self.port, self.address) {
            (None, _) => f.pad(&host),
            (Some(port), IpAddr::V4(_)) => f.pad(&format!("{host}:{port}")),
            (Some(port), IpAddr::V6(_)) => f.pad(&format!("[{host}]:{port}")),
        }
    }
}

/// A span of time as Kubernetes writes it: `300ms`, `90s`, `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let fault = || format!("{text:?} is no span of time, such as 300ms, 90s or 1m30s");
        let mut total = Duration::ZERO;
        let mut rest = text;
        if rest.is_empty() {
            return Err(fault());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
            let (number, unit) = rest.split_at(digits);
            let number: u32 = number.parse().map_err(|_| fault())?;
            let units = [("ms", 1_u64), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
            let found = units.iter().find(|(name, _)| unit.starts_with(name));
            let (name, length) = found.ok_or_else(fault)?;
            total += Duration::from_millis(u64::from(number) * length);
            rest = &unit[name.len()..];
        }
        Ok(Span(total))
    }
}

impl TryFrom<String> for Span {
    type Error = String;
    fn try_from(text: String) -> Result<Span, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => f.pad(&format!("{}s", self.0.as_secs())),
            _ => f.pad(&format!("{}ms", self.0.as_millis())),
        }
    }
}

/// The key of TCP's signatures (RFC 2385): in a file on the node, or here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum BgpPassword {
    /// A file on the node whose first line is the key; the agent reads it.
    File(String),
    /// The key.
    Value(String),
}

impl BgpPassword {
    /// The longest key, in bytes (`TCP_MD5SIG_MAXKEYLEN`, linux/tcp.h).
    pub const LONGEST: usize = 80;

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            BgpPassword::File(path) if !path.starts_with('/') => {
                Some(format!("{path:?} is no absolute path of a file"))
            }
            BgpPassword::File(_) => None,
            BgpPassword::Value(text) => match text.len() {
                1..=BgpPassword::LONGEST => None,
                length => Some(format!(
                    "it has {length} bytes; a key has 1 to {}",
                    BgpPassword::LONGEST
                )),
            },
        }
    }
}

impl fmt::Debug for BgpPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BgpPassword::File(path) => write!(f, "File({path:?})"),
            BgpPassword::Value(_) => f.write_str("Value(hidden)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_numbers_or_two_halves() {
        let read = |text: &str| serde_json::from_str::<AsNumber>(text);
        assert_eq!(read("64512").unwrap().get(), 64512);
        assert_eq!(read("\"1.10\"").unwrap().get(), 65546);
        assert_eq!(read("\"4200000000\"").unwrap().get(), 4_200_000_000);
        for (text, words) in [
            ("0", "reserved"),
            ("23456", "reserved"),
            ("\"65535.65535\"", "reserved"),
            ("4294967296", "no number of an autonomous system"),
            ("1.10", "put it in quotes"),
            ("-1", "no number of an autonomous system"),
            ("\"1.65536\"", "no number of an autonomous system"),
            ("true", "no number of an autonomous system"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn peers_addresses_are_read_and_written_alike() {
        for text in [
            "192.168.0.254",
            "192.168.0.254:1790",
            "fd00::1",
            "[fd00::1]:1790",
            "fe80::1%eth0",
            "[fe80::1%eth0]:1790",
        ] {
            assert_eq!(text.parse::<PeerIp>().unwrap().to_string(), text);
        }
        for (text, words) in [
            ("fe80::1", "name the interface"),
            ("192.168.0.1%eth0", "leave the interface out"),
            ("192.168.0.1:0", "no peer's address"),
            ("[fd00::1]179", "no peer's address"),
            ("tor.example", "no peer's address"),
            ("224.0.0.1", "no unicast"),
            ("0.0.0.0", "no unicast"),
            ("fe80::1%an-interface-of-20", "an-interface-of-20"),
        ] {
            let error = text.parse::<PeerIp>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn spans_are_read_as_kubernetes_writes_them() {
        for (text, millis) in [
            ("300ms", 300),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(millis));
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
        for text in ["", "90", "s", "1.5s", "90 s", "99999999999s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let password = BgpPassword::Value("geheim".to_owned());
        assert_eq!(format!("{password:?}"), "Value(hidden)");
        assert!(password.fault().is_none());
        assert!(BgpPassword::Value(String::new()).fault().is_some());
        assert!(BgpPassword::Value("x".repeat(81)).fault().is_some());
        assert!(BgpPassword::File("key".to_owned()).fault().is_some());
    }
}

//! Small values of the network: addresses of the link layer, MTUs, VNIs, ports, families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// An address family. Dual stack is done by going over both, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// The family of a prefix.
    #[must_use]
    pub fn of_net(net: IpNet) -> Family {
        Family::of(net.addr())
    }

    /// Bits in an address: 32 or 128.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// Bytes of the family's header without options or extensions (RFC 791, RFC 8200).
    #[must_use]
    pub fn header_bytes(self) -> u32 {
        match self {
            Family::V4 => 20,
            Family::V6 => 40,
        }
    }

    /// `0.0.0.0` or `::`.
    #[must_use]
    pub fn unspecified(self) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub fn default_net(self) -> IpNet {
        IpNet::new_assert(self.unspecified(), 0)
    }

    /// The prefix of this one address.
    #[must_use]
    pub fn host_net(address: IpAddr) -> IpNet {
        IpNet::new_assert(address, Family::of(address).bits())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        })
    }
}

/// An Ethernet address (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// A locally administered unicast address from five bytes of a hash.
    #[must_use]
    pub fn local(bytes: [u8; 5]) -> MacAddr {
        let [b, c, d, e, f] = bytes;
        MacAddr([0x02, b, c, d, e, f])
    }

    /// The link-local IPv6 address that belongs to it (RFC 4291, appendix A: modified EUI-64).
    #[must_use]
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0.map(u16::from);
        let (a, c) = ((a ^ 2) << 8, c << 8);
        Ipv6Addr::new(0xfe80, 0, 0, 0, a | b, c | 0xff, 0xfe00 | d, e << 8 | f)
    }

    /// Whether it names one station: neither multicast nor all zeros.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError::new("MAC address", text, "six bytes as aa:bb:cc:dd:ee:ff");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|p| (1..=2).contains(&p.len()))
                .ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            Err(error())
        } else {
            Ok(MacAddr(bytes))
        }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

/// A value that is outside what its type allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not allowed: it must be {allowed}")]
pub struct ValueError {
    /// What the value was to be.
    pub what: &'static str,
    /// The value that was given, as text.
    pub value: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl ValueError {
    /// A value, what it was to be, and what is allowed.
    #[must_use]
    pub fn new(what: &'static str, value: impl ToString, allowed: &'static str) -> ValueError {
        ValueError {
            what,
            value: value.to_string(),
            allowed,
        }
    }
}

/// A number in a range, with its name and range in the error.
macro_rules! number_type {
    ($(#[$doc:meta])* $type:ident($int:ty), $what:literal, $range:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $type($int);

        impl $type {
            /// Checks the range.
            ///
            /// # Errors
            /// Names the allowed range.
            pub fn new(value: u64) -> Result<Self, ValueError> {
                let range: std::ops::RangeInclusive<u64> = $range;
                match <$int>::try_from(value) {
                    Ok(number) if range.contains(&value) => Ok(Self(number)),
                    _ => Err(ValueError::new($what, value, $allowed)),
                }
            }

            /// The number itself.
            #[must_use]
            pub fn get(self) -> $int {
                self.0
            }
        }

        impl TryFrom<u64> for $type {
            type Error = ValueError;
            fn try_from(value: u64) -> Result<Self, ValueError> {
                Self::new(value)
            }
        }

        impl From<$type> for u64 {
            fn from(value: $type) -> u64 {
                u64::from(value.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_type!(
    /// Bytes of the largest IP packet that a link carries. At least 576 (RFC 791); a link that
    /// carries IPv6 needs 1280 (RFC 8200), which is checked where the family is known.
    Mtu(u32), "MTU", 576..=65_535, "between 576 and 65535"
);

number_type!(
    /// A VXLAN network identifier: 24 bits, not zero (RFC 7348, section 5).
    Vni(u32), "VNI", 1..=0xff_ffff, "between 1 and 16777215"
);

/// A transport protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// The number in the IP header (IANA, protocol numbers).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// A port of the host that leads to a port of an endpoint (CNI capability `portMappings`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// Port on the host, 1 to 65535.
    pub host_port: u16,
    /// Port in the container, 1 to 65535.
    pub container_port: u16,
    /// Protocol; TCP if not given.
    #[serde(default = "tcp")]
    pub protocol: Protocol,
    /// Only this address of the host; every address of the host if not given.
    #[serde(default, rename = "hostIP", skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

fn tcp() -> Protocol {
    Protocol::Tcp
}

/// Addresses from one to another, both included, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddressRange {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.first) && (self.first..=self.last).contains(&address)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_read_and_printed() {
        let mac: MacAddr = "02:00:5e:10:0:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:ff");
        for text in [
            "",
            "02",
            "02:00:5e:10:00:ff:00",
            "zz:00:5e:10:00:ff",
            "0002:00:5e:10:00:ff",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn link_local_addresses_are_eui_64() {
        let mac: MacAddr = "02:00:5e:10:00:ff".parse().unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:ff");
    }

    #[test]
    fn numbers_name_their_range() {
        assert_eq!(Vni::new(4096).unwrap().get(), 4096);
        let error = Vni::new(1 << 24).unwrap_err().to_string();
        assert!(
            error.contains("16777216") && error.contains("16777215"),
            "{error}"
        );
        assert!(Mtu::new(575).is_err());
        assert!(Mtu::new(u64::MAX).is_err());
    }
}

//! The small words of the protocol.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Time since the speaker's start. Whoever drives the speaker has the clock.
pub type Moment = std::time::Duration;

/// The number of an autonomous system (RFC 6793).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Asn(pub u32);

/// What stands in two octets for a number that does not fit there (`AS_TRANS`, RFC 6793 section 9).
pub const AS_TRANS: u16 = 23456;

/// The BGP Identifier: four octets, not zero, unique within an autonomous system (RFC 6286).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RouterId(pub Ipv4Addr);

/// What kind of addresses routes lead to: the unicast families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

/// A set of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Families {
    /// Whether IPv4 is one of them.
    pub ipv4: bool,
    /// Whether IPv6 is one of them.
    pub ipv6: bool,
}

/// Tells paths of one peer to one prefix from each other (RFC 7911); 0 where there is but one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PathId(pub u32);

/// A prefix in an UPDATE, with the path that it is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri {
    /// The prefix, its host bits zero.
    pub prefix: IpNet,
    /// Which path of the peer.
    pub path: PathId,
}

/// A community (RFC 1997), written `65000:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Community(pub u32);

/// A large community (RFC 8092), written `65000:1:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The family of a prefix.
    #[must_use]
    pub fn of(prefix: IpNet) -> Family {
        match prefix {
            IpNet::V4(_) => Family::Ipv4,
            IpNet::V6(_) => Family::Ipv6,
        }
    }

    /// The address family identifier (RFC 4760 section 3).
    #[must_use]
    pub fn afi(self) -> u16 {
        match self {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        }
    }

    /// The family of an AFI and a SAFI, if it is one of ours.
    #[must_use]
    pub fn of_afi(afi: u16, safi: u8) -> Option<Family> {
        match (afi, safi) {
            (1, 1) => Some(Family::Ipv4),
            (2, 1) => Some(Family::Ipv6),
            _ => None,
        }
    }
}

impl Families {
    /// Both.
    pub const ALL: Families = Families {
        ipv4: true,
        ipv6: true,
    };

    /// Whether a family is one of them.
    #[must_use]
    pub fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// Adds a family.
    pub fn insert(&mut self, family: Family) {
        match family {
            Family::Ipv4 => self.ipv4 = true,
            Family::Ipv6 => self.ipv6 = true,
        }
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(self, other: Families) -> Families {
        Families {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }

    /// The families, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |f| self.contains(*f))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Families {
        let mut set = Families::default();
        families.into_iter().for_each(|family| set.insert(family));
        set
    }
}

impl Asn {
    /// The number in two octets, where it fits.
    #[must_use]
    pub fn short(self) -> u16 {
        u16::try_from(self.0).unwrap_or(AS_TRANS)
    }

    /// Whether nobody may have it: 0 (RFC 7607), `AS_TRANS`, and the last of both sizes (RFC 7300).
    #[must_use]
    pub fn is_reserved(self) -> bool {
        matches!(self.0, 0 | 65535 | u32::MAX) || self.0 == u32::from(AS_TRANS)
    }
}

impl Community {
    /// Tell no peer (RFC 1997).
    pub const NO_ADVERTISE: Community = Community(0xFFFF_FF02);
    /// Tell no peer outside the autonomous system or confederation (RFC 1997).
    pub const NO_EXPORT: Community = Community(0xFFFF_FF01);
    /// Tell no external peer (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Community = Community(0xFFFF_FF03);
    /// Kept though its session is long gone (RFC 9494).
    pub const LLGR_STALE: Community = Community(0xFFFF_0006);
    /// Not to be kept when its session is long gone (RFC 9494).
    pub const NO_LLGR: Community = Community(0xFFFF_0007);
}

impl From<(u16, u16)> for Community {
    fn from((high, low): (u16, u16)) -> Community {
        Community(u32::from(high) << 16 | u32::from(low))
    }
}

impl FromStr for Community {
    type Err = String;
    fn from_str(text: &str) -> Result<Community, String> {
        let fault =
            || format!("{text:?} is no community: write two numbers up to 65535, as 65000:1");
        let (high, low) = text.split_once(':').ok_or_else(fault)?;
        let part = |part: &str| part.parse::<u16>().map_err(|_| fault());
        Ok(Community::from((part(high)?, part(low)?)))
    }
}

impl FromStr for LargeCommunity {
    type Err = String;
    fn from_str(text: &str) -> Result<LargeCommunity, String> {
        let parts: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        match parts.as_deref() {
            Ok([a, b, c]) => Ok(LargeCommunity(*a, *b, *c)),
            _ => Err(format!(
                "{text:?} is no large community: write three numbers up to 4294967295, as 65000:1:2"
            )),
        }
    }
}

impl TryFrom<String> for Community {
    type Error = String;
    fn try_from(text: String) -> Result<Community, String> {
        text.parse()
    }
}

impl TryFrom<String> for LargeCommunity {
    type Error = String;
    fn try_from(text: String) -> Result<LargeCommunity, String> {
        text.parse()
    }
}

impl From<Community> for String {
    fn from(community: Community) -> String {
        community.to_string()
    }
}

impl From<LargeCommunity> for String {
    fn from(community: LargeCommunity) -> String {
        community.to_string()
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xFFFF)
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
    }
}

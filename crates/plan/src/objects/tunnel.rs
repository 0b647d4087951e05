//! Tunnels that put packets into packets, with nothing between but, for GRE, its header.
//!
//! All but one are one device for all peers: the route that leads into it says where its packets go
//! ([`Encap`]), and it takes what comes from anybody. A network namespace has at most one such device
//! of each sort; the kernel's own (`tunl0`, `gre0`, …) get only what it does not take. Of IPv6 in IPv4
//! the kernel knows no such device: there the next hop says where packets go, as an IPv4 address with
//! zeros before it (`::192.0.2.3`, RFC 4291 section 2.5.5.1).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};
use tombolo_model::Family;

/// The hops that outer packets may take, whatever the inner ones have left: else who traces a way
/// through a tunnel would see routers of the underlay, or nothing.
pub const OUTER_HOPS: u8 = 64;

/// What a tunnel's device carries, and in what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tunnel {
    /// IPv4 in IPv4 (RFC 2003).
    Ipip,
    /// IPv6 in IPv4 (RFC 4213), from this address.
    Sit(Ipv4Addr),
    /// Either in IPv6 (RFC 2473).
    Ip6tnl,
    /// Either in GRE in IPv4 (RFC 2784).
    Gre,
    /// Either in GRE in IPv6 (RFC 7676).
    Ip6gre,
}

/// The outer header that a route gives to its packets (`RTA_ENCAP`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encap {
    /// The address that they come from.
    pub from: IpAddr,
    /// The address that they go to, of the same family.
    pub to: IpAddr,
    /// The key of GRE (RFC 2890), if they have one.
    pub key: Option<u32>,
}

impl Tunnel {
    /// The kernel's name of it, as `ip link add type` takes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Tunnel::Ipip => "ipip",
            Tunnel::Sit(_) => "sit",
            Tunnel::Ip6tnl => "ip6tnl",
            Tunnel::Gre => "gre",
            Tunnel::Ip6gre => "ip6gre",
        }
    }

    /// The family of its outer packets.
    #[must_use]
    pub fn outer(&self) -> Family {
        match self {
            Tunnel::Ipip | Tunnel::Sit(_) | Tunnel::Gre => Family::V4,
            Tunnel::Ip6tnl | Tunnel::Ip6gre => Family::V6,
        }
    }

    /// The numbers of the protocols that its outer packets say they carry.
    #[must_use]
    pub fn protocols(&self) -> &'static [u8] {
        const IPV4: u8 = 4;
        const IPV6: u8 = 41;
        const GRE: u8 = 47;
        match self {
            Tunnel::Ipip => &[IPV4],
            Tunnel::Sit(_) => &[IPV6],
            Tunnel::Ip6tnl => &[IPV4, IPV6],
            Tunnel::Gre | Tunnel::Ip6gre => &[GRE],
        }
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tunnel::Sit(local) => write!(f, "sit local {local}"),
            _ => write!(f, "{} external", self.name()),
        }
    }
}

impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.to.is_ipv4() { "ip" } else { "ip6" };
        write!(f, "encap {family} src {} dst {}", self.from, self.to)?;
        self.key.iter().try_for_each(|key| write!(f, " key {key}"))
    }
}

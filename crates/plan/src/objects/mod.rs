//! Everything that Tombolo may want a kernel to hold.
//!
//! An object is a key, which says which one it is, and a value, which says how it is. Two objects
//! with one key cannot exist side by side in one network namespace, so a plan and an observation
//! are both maps from key to value, and their difference is a walk over the two.
//!
//! The values hold only what Tombolo decides. What the kernel adds by itself (indices, counters,
//! timers) is left out when it is observed.

mod link;
mod nft;
mod route;
mod tunnel;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, MacAddr, Name};

pub use link::{BridgePort, Link, LinkKind, Stations, VethPeer};
pub use nft::{
    Action, AddressMatch, Addresses, Chain, ChainType, Changes, ConnState, Datum, Field, Hook,
    HookPoint, InterfaceMatch, Match, Members, NftName, NftSet, PacketField, Policy, PortSet, Rule,
    Side, Table,
};
pub use route::{Hop, NextHop, Route, RoutingRule};
pub use tunnel::{Encap, OUTER_HOPS, Tunnel};

/// The table that routes are in if nothing else is said (`RT_TABLE_MAIN`, linux/rtnetlink.h).
pub const MAIN_TABLE: u32 = 254;

/// A network namespace, as seen from one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Netns {
    /// The host's own.
    Host,
    /// One of ours that holds a network's segment, by its name: everything in it is ours.
    Segment(Name),
    /// A sandbox, by its path.
    Sandbox(String),
    /// A sandbox that no plan names any more, by the number that the host's namespace knows it under
    /// (`NETNSA_NSID`): only observed, never planned.
    Numbered(i32),
}

impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Netns::Host => f.pad("host"),
            Netns::Segment(name) => f.pad(name.as_str()),
            Netns::Sandbox(path) => f.pad(path),
            Netns::Numbered(number) => f.pad(&format!("nsid:{number}")),
        }
    }
}

/// Where an object is, and which one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The namespace.
    pub netns: Netns,
    /// The object in it.
    pub key: Key,
}

impl Place {
    /// An object of the host's own namespace.
    #[must_use]
    pub fn host(key: Key) -> Place {
        Place {
            netns: Netns::Host,
            key,
        }
    }

    /// An object in a namespace of ours.
    #[must_use]
    pub fn segment(name: &Name, key: Key) -> Place {
        Place {
            netns: Netns::Segment(name.clone()),
            key,
        }
    }

    /// An object in a sandbox.
    #[must_use]
    pub fn sandbox(path: &str, key: Key) -> Place {
        Place {
            netns: Netns::Sandbox(path.to_owned()),
            key,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.netns, self.key)
    }
}

/// Which object of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Key {
    /// A network namespace of ours, see [`Netns::Segment`].
    Namespace(Name),
    /// A network interface.
    Link(IfName),
    /// A kernel setting, as `net/ipv4/ip_forward`.
    Sysctl(String),
    /// An address on an interface.
    Address {
        /// The interface.
        link: IfName,
        /// Address and prefix length.
        net: IpNet,
    },
    /// A permanent neighbour entry: address to link-layer address.
    Neighbour {
        /// The interface.
        link: IfName,
        /// The neighbour's address.
        address: IpAddr,
    },
    /// A forwarding entry of a VXLAN device: link-layer address to remote node.
    Fdb {
        /// The device.
        link: IfName,
        /// The destination's link-layer address; all zeros for what is flooded.
        mac: MacAddr,
        /// Part of the key only where one MAC has several remotes (all zeros, multicast).
        remote: Option<IpAddr>,
    },
    /// A forwarding entry of a bridge: which port a link-layer address is behind.
    Station {
        /// The bridge.
        bridge: IfName,
        /// The link-layer address.
        mac: MacAddr,
    },
    /// A route.
    Route {
        /// The routing table; see [`MAIN_TABLE`].
        table: u32,
        /// The destination.
        dst: IpNet,
        /// The metric; lower wins.
        metric: u32,
    },
    /// A rule that says which routing table is looked up.
    RoutingRule {
        /// The family that it is for.
        family: Family,
        /// Lower comes first.
        priority: u32,
    },
    /// A set or map of an nftables table.
    NftSet(NftName),
    /// A chain of an nftables table, with its rules.
    NftChain(NftName),
    /// An element of a set or map.
    NftElement {
        /// The set.
        set: NftName,
        /// The element's key, one value per field.
        key: Vec<Datum>,
    },
    /// Everything in a set or map. A set has either elements one by one, or this.
    NftMembers(NftName),
}

/// How an object is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Object {
    /// For [`Key::Namespace`]: nothing but that it is there.
    Namespace,
    /// For [`Key::Link`].
    Link(Link),
    /// For [`Key::Sysctl`]: the value, without a line end.
    Sysctl(String),
    /// For [`Key::Address`]: nothing but that it is there.
    Address,
    /// For [`Key::Neighbour`]: the link-layer address.
    Neighbour(MacAddr),
    /// For [`Key::Fdb`]: the remote node's underlay address.
    Fdb(IpAddr),
    /// For [`Key::Station`]: the port.
    Station(IfName),
    /// For [`Key::Route`].
    Route(Route),
    /// For [`Key::RoutingRule`].
    RoutingRule(RoutingRule),
    /// For [`Key::NftSet`].
    NftSet(NftSet),
    /// For [`Key::NftChain`].
    NftChain(Chain),
    /// For [`Key::NftElement`]: what a map maps to; empty in a set.
    NftElement(Vec<Datum>),
    /// For [`Key::NftMembers`].
    NftMembers(Members),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Namespace(name) => write!(f, "namespace {name}"),
            Key::Link(name) => write!(f, "link {name}"),
            Key::Sysctl(path) => write!(f, "sysctl {path}"),
            Key::Address { link, net } => write!(f, "address {net} dev {link}"),
            Key::Neighbour { link, address } => write!(f, "neighbour {address} dev {link}"),
            Key::Fdb {
                link,
                mac,
                remote: None,
            } => write!(f, "fdb {mac} dev {link}"),
            Key::Fdb {
                link,
                mac,
                remote: Some(remote),
            } => {
                write!(f, "fdb {mac} dst {remote} dev {link}")
            }
            Key::Station { bridge, mac } => write!(f, "station {mac} dev {bridge}"),
            Key::Route { table, dst, metric } => {
                write!(f, "route {dst}")?;
                if *table != MAIN_TABLE {
                    write!(f, " table {table}")?;
                }
                if *metric != 0 {
                    write!(f, " metric {metric}")?;
                }
                Ok(())
            }
            Key::RoutingRule { family, priority } => write!(f, "rule {family} priority {priority}"),
            Key::NftSet(name) => write!(f, "nft set {name}"),
            Key::NftChain(name) => write!(f, "nft chain {name}"),
            Key::NftMembers(set) => write!(f, "nft members {set}"),
            Key::NftElement { set, key } => write!(f, "nft element {set} {}", nft::join(key)),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Namespace => Ok(()),
            Object::Link(link) => write!(f, "{link}"),
            Object::Sysctl(value) => write!(f, "= {value}"),
            Object::Address => Ok(()),
            Object::Neighbour(mac) => write!(f, "lladdr {mac}"),
            Object::Fdb(remote) => write!(f, "dst {remote}"),
            Object::Station(port) => write!(f, "port {port}"),
            Object::Route(route) => write!(f, "{route}"),
            Object::RoutingRule(rule) => write!(f, "{rule}"),
            Object::NftSet(set) => write!(f, "{set}"),
            Object::NftChain(chain) => write!(f, "{chain}"),
            Object::NftMembers(members) => write!(f, "{members}"),
            Object::NftElement(data) if data.is_empty() => Ok(()),
            Object::NftElement(data) => write!(f, ": {}", nft::join(data)),
        }
    }
}

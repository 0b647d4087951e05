//! What is known when it is judged. Where something could not be found out, why not stands in its
//! place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::{Family, IfName, Name};
use tombolo_plan::Peering;
use tombolo_plan::filter::{Filter, Packet};

/// All that is known.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What the agent knows, or why it does not say.
    pub node: Result<NodeFacts, String>,
    /// What the host is like.
    pub host: HostFacts,
}

/// What the agent knows of its node and the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeFacts {
    /// The node.
    pub node: Name,
    /// What the agent itself calls problems.
    pub problems: Vec<String>,
    /// What was repaired since the agent started, by kind.
    pub repaired: BTreeMap<String, u64>,
    /// How the other nodes are reached.
    pub peerings: Vec<Peering>,
    /// First packets of connections that this host must forward.
    pub traffic: Vec<Packet>,
    /// The ranges of all pools but those of physical networks, to which others' routes may lead.
    pub pools: Vec<IpNet>,
    /// Links that the plan wants on this host.
    pub links: Vec<IfName>,
    /// This node's addresses on the underlay.
    pub underlay: Vec<UnderlayFact>,
    /// Interfaces that networks on physical segments stand on.
    #[serde(default)]
    pub parents: Vec<ParentFact>,
    /// Families that networks have addresses of.
    pub families: Vec<Family>,
    /// Whether a network has a bridge on this host.
    pub has_bridges: bool,
    /// Neighbours that the kernel itself must know: containers of this host, and other nodes.
    pub neighbours: usize,
    /// The store.
    pub store: StoreFacts,
    /// This node's certificate, if it has one.
    pub certificate: Option<CertificateFacts>,
    /// The disk of the state folder; why it is not known, if it is not.
    pub disk: Result<DiskFacts, String>,
}

/// An interface that a network stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentFact {
    /// The network.
    pub network: Name,
    /// The interface.
    pub interface: IfName,
    /// The VLAN of it, if the network is one.
    pub vlan: Option<u16>,
    /// What stands on it: `macvlan` or `ipvlan`.
    pub sort: String,
    /// Whether the network has containers on this node.
    pub used: bool,
}

/// An address on the underlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnderlayFact {
    /// The address.
    pub address: IpNet,
    /// The interface.
    pub interface: IfName,
}

/// The store, asked just now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreFacts {
    /// What and where it is.
    pub place: String,
    /// How long it took to answer, in milliseconds; why it did not, if it did not.
    pub answered: Result<u64, String>,
    /// Its newest revision less the one that the kernel holds.
    pub lag: i64,
}

/// A certificate's time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFacts {
    /// From when on it is good, in seconds since 1970.
    pub not_before: u64,
    /// Until when, in seconds since 1970.
    pub not_after: u64,
    /// What time it is by the node's clock.
    pub now: u64,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskFacts {
    /// The folder.
    pub folder: String,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The settings that are looked at.
pub const SETTINGS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/ipv4/conf/all/rp_filter",
];

/// What the host is like.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// What the kernel refused of what Tombolo makes, in words; why it was not tried, if it was not.
    pub refused: Result<Vec<String>, String>,
    /// For each sort of device that not every kernel has, by its name, why it makes none, if it does
    /// not; why it was not tried, if it was not.
    pub features: Result<BTreeMap<String, Option<String>>, String>,
    /// Why it makes no macvlan interfaces, if it does not.
    pub without_macvlan: Option<String>,
    /// Why it makes no VLANs, if it does not.
    pub without_vlans: Option<String>,
    /// Settings of [`SETTINGS`], and `net/ipv4/conf/<interface>/rp_filter` of underlay interfaces.
    pub settings: BTreeMap<String, String>,
    /// Other programs' packet filters.
    pub filter: Result<Filter, String>,
    /// Interfaces.
    pub links: Vec<LinkFact>,
    /// Routes that are not ours.
    pub routes: Vec<RouteFact>,
    /// What the other nodes answered.
    pub peers: Vec<PeerFact>,
    /// What came back through tunnels.
    pub tunnels: Vec<TunnelFact>,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFact {
    /// Its name.
    pub name: IfName,
    /// Whether it is set up.
    pub up: bool,
    /// Whether there is something at its other end.
    pub carrier: bool,
}

/// A route of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFact {
    /// The destination.
    pub dst: IpNet,
    /// The metric.
    pub metric: u32,
    /// How it is.
    pub text: String,
    /// Whose it is, in words.
    pub whose: String,
}

/// What another node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFact {
    /// The node.
    pub node: Name,
    /// Its address on the underlay.
    pub address: IpAddr,
    /// This host's interface that is meant to lead there.
    pub interface: IfName,
    /// The interface that packets really leave by, if there is a way.
    pub way: Option<IfName>,
    /// The size that must pass, in bytes, and what does.
    pub wanted: u32,
    /// What passes.
    pub size: Size,
    /// How far its clock is before this one's, in milliseconds, if it says.
    pub clock_ahead: Option<i64>,
}

/// Which packets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// Those of full size.
    Full(Duration),
    /// Those up to so many bytes.
    UpTo(u32),
    /// Not even small ones: why.
    None(String),
    /// It was not tried: why.
    Unknown(String),
}

/// What came back through a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelFact {
    /// The network.
    pub network: Name,
    /// The node at the other end.
    pub node: Name,
    /// The transport.
    pub transport: Name,
    /// Its UDP port, if it has one.
    pub port: Option<u16>,
    /// The address at the other end.
    pub address: IpAddr,
    /// The size that must pass, in bytes.
    pub wanted: u32,
    /// What passes.
    pub size: Size,
}

//! What a host's tunnel through user space is to be.
//!
//! The kernel holds a TUN device for each network, and routes to it. The rest is a process's: on which
//! addresses it listens, which peers there are, and which addresses are behind which of them. Both
//! directions ask that: where a packet goes, and whether who sent one may have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;
use tombolo_model::{IfName, Name};

use crate::host_plan::Origin;

/// What a host's tunnel is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelPlan {
    /// Where it listens: the host's own addresses, with the networks' ports.
    pub listen: BTreeSet<SocketAddr>,
    /// Its devices.
    pub devices: BTreeMap<IfName, TunnelDevice>,
    /// The other nodes, by where they should be.
    pub peers: BTreeMap<TunnelPeerId, TunnelPeer>,
}

/// A network's device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelDevice {
    /// What tells the network's packets.
    pub number: u32,
    /// Which addresses are behind which peer.
    pub routes: BTreeMap<IpNet, TunnelPeerId>,
    /// Who asked for it.
    pub origin: Origin,
}

/// A node at an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelPeerId {
    /// The node.
    pub node: Name,
    /// Its underlay address, with the network's port.
    pub address: SocketAddr,
}

/// What is known of a peer.
#[derive(Clone, PartialEq, Eq)]
pub struct TunnelPeer {
    /// What it signs with, as it has published it.
    pub key: String,
    /// The largest packet that the interfaces at both ends take.
    pub underlay_mtu: u32,
}

impl fmt::Debug for TunnelPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelPeer {{ underlay_mtu: {} }}", self.underlay_mtu)
    }
}

impl fmt::Display for TunnelPeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.address)
    }
}

impl fmt::Display for TunnelPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for address in &self.listen {
            writeln!(f, "tunnel listen {address}")?;
        }
        for (id, peer) in &self.peers {
            writeln!(f, "tunnel peer {id} underlay mtu {}", peer.underlay_mtu)?;
        }
        for (name, device) in &self.devices {
            let (number, origin) = (device.number, &device.origin);
            writeln!(f, "tunnel device {name} number {number}  # {origin}")?;
            for (net, peer) in &device.routes {
                writeln!(f, "    {net} at {peer}")?;
            }
        }
        Ok(())
    }
}

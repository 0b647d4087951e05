//! Routes, and the rules that choose a routing table.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tombolo_model::IfName;

use super::Encap;

/// How a destination is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Where packets go next.
    pub next: NextHop,
    /// Source address of the host's own packets that take this route.
    pub source: Option<IpAddr>,
    /// Largest packet on this route, in bytes, where it is smaller than the device's.
    pub mtu: Option<u32>,
}

/// Where packets go next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NextHop {
    /// The destination is on this link (scope link).
    Link(IfName),
    /// Through a gateway on a link.
    Via {
        /// The gateway.
        gateway: IpAddr,
        /// The link that it is on.
        link: IfName,
        /// Take the gateway to be on the link though no address says so (`RTNH_F_ONLINK`).
        onlink: bool,
    },
    /// Through a gateway at the other end of a tunnel, whose device asks the route for that end.
    Tunnel {
        /// The gateway; it is on the link, though no address says so.
        gateway: IpAddr,
        /// The tunnel's device.
        link: IfName,
        /// What goes around the packets.
        encap: Encap,
    },
    /// Through several gateways, in order, each flow through one of them.
    Many(Vec<Hop>),
    /// Dropped in silence: for blocks of our own, so that packets to addresses that nobody holds
    /// do not wander off by the default route.
    Blackhole,
}

/// A gateway, where there are several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// The gateway; also of another family than the destination.
    pub gateway: IpAddr,
    /// The link that it is on.
    pub link: IfName,
    /// Take the gateway to be on the link though no address says so (`RTNH_F_ONLINK`).
    pub onlink: bool,
}

impl NextHop {
    /// The links that packets leave by.
    #[must_use]
    pub fn links(&self) -> Vec<&IfName> {
        match self {
            NextHop::Many(hops) => hops.iter().map(|hop| &hop.link).collect(),
            one => one.link().into_iter().collect(),
        }
    }

    /// The link that packets leave by; of several the first.
    #[must_use]
    pub fn link(&self) -> Option<&IfName> {
        match self {
            NextHop::Link(link) | NextHop::Via { link, .. } | NextHop::Tunnel { link, .. } => {
                Some(link)
            }
            NextHop::Many(hops) => hops.first().map(|hop| &hop.link),
            NextHop::Blackhole => None,
        }
    }

    /// The gateway, if there is one; of several the first.
    #[must_use]
    pub fn gateway(&self) -> Option<IpAddr> {
        match self {
            NextHop::Via { gateway, .. } | NextHop::Tunnel { gateway, .. } => Some(*gateway),
            NextHop::Many(hops) => hops.first().map(|hop| hop.gateway),
            NextHop::Link(_) | NextHop::Blackhole => None,
        }
    }
}

/// A rule that says which routing table is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingRule {
    /// Packets from these addresses.
    pub from: Option<IpNet>,
    /// Packets to these addresses.
    pub to: Option<IpNet>,
    /// Packets with this mark, under this mask.
    pub mark: Option<(u32, u32)>,
    /// The table.
    pub table: u32,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.next {
            NextHop::Link(link) => write!(f, "dev {link} scope link")?,
            NextHop::Via {
                gateway,
                link,
                onlink,
            } => {
                write!(f, "via {gateway} dev {link}")?;
                if *onlink {
                    write!(f, " onlink")?;
                }
            }
            NextHop::Tunnel {
                gateway,
                link,
                encap,
            } => write!(f, "via {gateway} dev {link} onlink {encap}")?,
            NextHop::Many(hops) => {
                for (index, hop) in hops.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}nexthop via {} dev {}", hop.gateway, hop.link)?;
                    f.write_str(if hop.onlink { " onlink" } else { "" })?;
                }
            }
            NextHop::Blackhole => f.write_str("blackhole")?,
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RoutingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.from {
            write!(f, "from {from} ")?;
        }
        if let Some(to) = self.to {
            write!(f, "to {to} ")?;
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, "fwmark {mark:#x}/{mask:#x} ")?;
        }
        write!(f, "lookup {}", self.table)
    }
}

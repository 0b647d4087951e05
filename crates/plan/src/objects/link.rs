//! Network interfaces.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tombolo_model::kinds::{IpvlanFlag, IpvlanMode, MacvlanMode};
use tombolo_model::{IfName, MacAddr, Mtu, Vni};

use super::{Netns, Tunnel};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// What sort of device it is.
    pub kind: LinkKind,
    /// Its MTU; left as it is if none.
    pub mtu: Option<Mtu>,
    /// Its link-layer address; left as it is if none.
    pub mac: Option<MacAddr>,
    /// Whether it is set up (`IFF_UP`); a plan never wants a link down.
    pub up: bool,
    /// The bridge that it is a port of, and how.
    pub port: Option<BridgePort>,
}

/// A link as a port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BridgePort {
    /// The bridge.
    pub bridge: IfName,
    /// Whether frames may leave by the port they came in by (`IFLA_BRPORT_MODE`): needed so that a
    /// container reaches itself through a published port.
    pub hairpin: bool,
    /// Whether it may not talk to other isolated ports (`IFLA_BRPORT_ISOLATED`).
    pub isolated: bool,
    /// How the bridge knows where stations are.
    pub stations: Stations,
}

/// How a bridge knows which stations are behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stations {
    /// From what they send; who is not known is looked for everywhere.
    #[default]
    Learned,
    /// It is told ([`super::Key::Station`]): nothing is learned at the port, and frames for stations
    /// that are not known do not leave by it (`IFLA_BRPORT_LEARNING`, `IFLA_BRPORT_UNICAST_FLOOD`).
    Told,
    /// The same, and they are far away: who asks for the address of one that is known is answered by
    /// the bridge (`IFLA_BRPORT_NEIGH_SUPPRESS`).
    Remote,
}

impl Stations {
    /// Whether the bridge is told, and learns nothing.
    #[must_use]
    pub fn are_told(self) -> bool {
        self != Stations::Learned
    }
}

/// What sort of device a link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkKind {
    /// One end of a pair whose other end is made with it.
    Veth(VethPeer),
    /// The other end: it comes and goes with its first end, and is only looked after.
    VethEnd,
    /// A bridge, without STP.
    Bridge,
    /// A VXLAN device that learns nothing (RFC 7348).
    Vxlan {
        /// The network identifier.
        vni: Vni,
        /// UDP destination port.
        port: u16,
        /// Source address of the outer packets.
        local: IpAddr,
        /// The underlay's interface.
        parent: IfName,
    },
    /// A tunnel for packets.
    Tunnel(Tunnel),
    /// A persistent device whose packets go to a process: of several queues, without Ethernet header,
    /// with what the kernel knows of checksums and segments before each packet.
    Tun,
    /// An interface of its own on another one, with a link-layer address of its own.
    Macvlan {
        /// The interface below it, in the host's namespace.
        parent: IfName,
        /// How those on one parent see each other.
        mode: MacvlanMode,
        /// What it bears (`IFLA_IFALIAS`) so that it is known as ours in somebody else's namespace,
        /// where its name is not ours to choose; another for each endpoint.
        mark: Option<IfName>,
        /// The link-layer address that it starts with: a later plugin may change a container's.
        mac: MacAddr,
        /// Whether the runtime takes it from the host's namespace and puts it into the sandbox.
        handed_over: bool,
    },
    /// An interface of its own on another one, with that one's link-layer address.
    Ipvlan {
        /// The interface below it, in the host's namespace.
        parent: IfName,
        /// What it has in common with the physical network; all on one parent have the same.
        mode: IpvlanMode,
        /// How those on one parent see each other; the same for all.
        flag: IpvlanFlag,
        /// As a macvlan's.
        mark: Option<IfName>,
        /// As a macvlan's.
        handed_over: bool,
    },
    /// The tagged frames of one VLAN of another interface (IEEE 802.1Q).
    Vlan {
        /// The interface below it.
        parent: IfName,
        /// The VLAN's number.
        id: u16,
    },
    /// A device that is not ours, as `lo`: it is never made nor removed, only set up.
    Existing,
}

/// The other end of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VethPeer {
    /// Where it is put.
    pub netns: Netns,
    /// What it is called there.
    pub name: IfName,
    /// The link-layer address that it starts with.
    pub mac: MacAddr,
    /// Whether it is made for a runtime to take it from there: from then on it is the runtime's,
    /// and stays down until that one sets it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_over: bool,
}

impl LinkKind {
    /// The interface of the host without which it cannot be.
    #[must_use]
    pub fn stands_on(&self) -> Option<&IfName> {
        match self {
            LinkKind::Macvlan { parent, .. }
            | LinkKind::Ipvlan { parent, .. }
            | LinkKind::Vlan { parent, .. } => Some(parent),
            _ => None,
        }
    }

    /// Whether it is one of several interfaces on a parent.
    #[must_use]
    pub fn shares_parent(&self) -> bool {
        matches!(self, LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. })
    }

    /// What it bears that it is known by.
    #[must_use]
    pub fn mark(&self) -> Option<&IfName> {
        match self {
            LinkKind::Macvlan { mark, .. } | LinkKind::Ipvlan { mark, .. } => mark.as_ref(),
            _ => None,
        }
    }

    /// Whether it has a mark and is made for a runtime to take.
    #[must_use]
    pub fn is_handed_over(&self) -> bool {
        match self {
            LinkKind::Macvlan { handed_over, .. } | LinkKind::Ipvlan { handed_over, .. } => {
                *handed_over
            }
            _ => false,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(mac) = self.mac {
            write!(f, " mac {mac}")?;
        }
        if let Some(port) = &self.port {
            write!(f, " master {}", port.bridge)?;
            if port.hairpin {
                write!(f, " hairpin")?;
            }
            if port.isolated {
                write!(f, " isolated")?;
            }
            match port.stations {
                Stations::Learned => {}
                Stations::Told => write!(f, " stations told")?,
                Stations::Remote => write!(f, " stations remote")?,
            }
        }
        write!(f, " {}", if self.up { "up" } else { "down" })
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkKind::Veth(peer) => {
                write!(f, "veth peer {} {} mac {}", peer.netns, peer.name, peer.mac)?;
                if peer.handed_over {
                    write!(f, " handed-over")?;
                }
                Ok(())
            }
            LinkKind::VethEnd => f.write_str("veth end"),
            LinkKind::Bridge => f.write_str("bridge"),
            LinkKind::Vxlan {
                vni,
                port,
                local,
                parent,
            } => {
                write!(
                    f,
                    "vxlan id {vni} port {port} local {local} dev {parent} nolearning"
                )
            }
            LinkKind::Tunnel(tunnel) => write!(f, "{tunnel}"),
            LinkKind::Tun => f.write_str("tun"),
            LinkKind::Macvlan {
                parent,
                mode,
                mark,
                mac,
                handed_over,
            } => {
                write!(f, "macvlan on {parent} mode {mode} from {mac}")?;
                if *handed_over {
                    write!(f, " handed over")?;
                }
                mark.iter().try_for_each(|mark| write!(f, " alias {mark}"))
            }
            LinkKind::Ipvlan {
                parent,
                mode,
                flag,
                mark,
                handed_over,
            } => {
                write!(f, "ipvlan on {parent} mode {mode} {flag}")?;
                if *handed_over {
                    write!(f, " handed over")?;
                }
                mark.iter().try_for_each(|mark| write!(f, " alias {mark}"))
            }
            LinkKind::Vlan { parent, id } => write!(f, "vlan on {parent} id {id}"),
            LinkKind::Existing => f.write_str("existing"),
        }
    }
}

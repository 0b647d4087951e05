//! What a host lets through whatever its policies say, so that nobody locks himself out, and what no
//! policy is asked about because addresses do not work without it.

use tombolo_model::kinds::policy::{Direction, ProtocolMatch};

/// A port of a host that no policy closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failsafe {
    /// The protocol.
    pub protocol: ProtocolMatch,
    /// The destination port.
    pub port: u16,
    /// Who needs it.
    pub what: &'static str,
}

const fn tcp(port: u16, what: &'static str) -> Failsafe {
    Failsafe {
        protocol: ProtocolMatch::TCP,
        port,
        what,
    }
}

const fn udp(port: u16, what: &'static str) -> Failsafe {
    Failsafe {
        protocol: ProtocolMatch::UDP,
        port,
        what,
    }
}

/// What reaches a host: Calico's ports (its documentation of FelixConfiguration,
/// `failsafeInboundHostPorts`) and Tombolo's.
pub const INBOUND: &[Failsafe] = &[
    tcp(22, "SSH"),
    udp(68, "DHCP"),
    tcp(179, "BGP"),
    tcp(2379, "etcd"),
    tcp(2380, "etcd's peers"),
    udp(4789, "VXLAN"),
    tcp(5473, "Calico's Typha"),
    tcp(6443, "the Kubernetes API"),
    tcp(6666, "etcd of old"),
    tcp(6667, "etcd of old"),
    tcp(7460, "Tombolo's store"),
    tcp(7461, "nodes that join"),
    udp(8472, "VXLAN of Linux's own port"),
];

/// What leaves a host: Calico's ports (`failsafeOutboundHostPorts`) and Tombolo's.
pub const OUTBOUND: &[Failsafe] = &[
    udp(53, "DNS"),
    udp(67, "DHCP"),
    tcp(179, "BGP"),
    tcp(2379, "etcd"),
    tcp(2380, "etcd's peers"),
    udp(4789, "VXLAN"),
    tcp(5473, "Calico's Typha"),
    tcp(6443, "the Kubernetes API"),
    tcp(6666, "etcd of old"),
    tcp(6667, "etcd of old"),
    tcp(7460, "Tombolo's store"),
    tcp(7461, "nodes that join"),
    udp(8472, "VXLAN of Linux's own port"),
];

/// The ports of a direction, seen from the host.
#[must_use]
pub fn ports(direction: Direction) -> &'static [Failsafe] {
    match direction {
        Direction::Ingress => INBOUND,
        Direction::Egress => OUTBOUND,
    }
}

/// The entry that lets a packet of a host through.
#[must_use]
pub fn find(direction: Direction, protocol: ProtocolMatch, port: u16) -> Option<&'static Failsafe> {
    let mut ports = ports(direction).iter();
    ports.find(|entry| entry.protocol == protocol && entry.port == port)
}

/// Types of ICMPv6 by which neighbours find each other (RFC 4861, section 4: router solicitations and
/// advertisements, neighbour solicitations and advertisements), and by which bridges that snoop know who
/// listens to those (RFC 2710, section 3; RFC 3810, section 5). Without them IPv6 does not work on a link,
/// so no policy is asked about them.
pub const NEIGHBOUR_TYPES: [u8; 8] = [130, 131, 132, 133, 134, 135, 136, 143];

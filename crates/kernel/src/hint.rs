//! What to do about a refusal, where that depends on what was asked for: a device of a sort that the
//! kernel does not know, a route that needs a feature of its own, a place that can be had once only.

use nix::errno::Errno;
use tombolo_plan::objects::{LinkKind, NextHop, Tunnel};
use tombolo_plan::{Object, Op};

use crate::encode::made;

/// What to do about it; none where the error number says all.
pub(crate) fn hint(op: &Op, errno: Errno) -> Option<&'static str> {
    match (made(op)?, errno) {
        (Object::Link(link), Errno::EOPNOTSUPP) => missing(&link.kind),
        (Object::Link(link), Errno::EEXIST) => taken(&link.kind),
        (Object::Link(link), Errno::EBUSY | Errno::EINVAL) => match link.kind {
            LinkKind::Macvlan { .. } => Some(
                "somebody else has the parent for himself: look with `ip -d link` for a port of a bridge or bond, an ipvlan or a macvlan in mode passthru",
            ),
            LinkKind::Ipvlan { .. } => Some(
                "somebody else has the parent for himself: look with `ip -d link` for a port of a bridge or bond, or a macvlan",
            ),
            _ => None,
        },
        (Object::Route(route), Errno::EOPNOTSUPP) => match route.next {
            NextHop::Tunnel { .. } => Some(
                "the kernel has no routes that lead into tunnels: boot one with CONFIG_LWTUNNEL, or use transport vxlan",
            ),
            _ => None,
        },
        _ => None,
    }
}

/// What lacks where a kernel does not know a sort of device.
fn missing(kind: &LinkKind) -> Option<&'static str> {
    let hint = match kind {
        LinkKind::Vxlan { .. } => {
            "the kernel has no VXLAN: load its module (modprobe vxlan), or boot a kernel that has it (CONFIG_VXLAN)"
        }
        LinkKind::Vlan { .. } => {
            "the kernel has no 802.1Q VLANs: load its module (modprobe 8021q), boot a kernel that has it, or leave vlan out"
        }
        LinkKind::Macvlan { .. } => {
            "the kernel has no macvlan: load its module (modprobe macvlan), or boot a kernel that has it"
        }
        LinkKind::Ipvlan { .. } => {
            "the kernel has no ipvlan: load its module (modprobe ipvlan), boot a kernel that has it (CONFIG_IPVLAN), or use driver macvlan"
        }
        LinkKind::Tunnel(Tunnel::Ipip) => {
            "the kernel has no IPIP tunnels: load their module (modprobe ipip), boot a kernel that has it (CONFIG_NET_IPIP), or use transport vxlan"
        }
        LinkKind::Tunnel(Tunnel::Sit(_)) => {
            "the kernel has no tunnels of IPv6 in IPv4: load their module (modprobe sit), boot a kernel that has it (CONFIG_IPV6_SIT), or use transport vxlan"
        }
        LinkKind::Tunnel(Tunnel::Ip6tnl) => {
            "the kernel has no tunnels in IPv6: load their module (modprobe ip6_tunnel), boot a kernel that has it (CONFIG_IPV6_TUNNEL), or use transport vxlan"
        }
        LinkKind::Tunnel(Tunnel::Gre) => {
            "the kernel has no GRE tunnels: load their module (modprobe ip_gre), boot a kernel that has it (CONFIG_NET_IPGRE), or use transport vxlan"
        }
        LinkKind::Tunnel(Tunnel::Ip6gre) => {
            "the kernel has no GRE tunnels in IPv6: load their module (modprobe ip6_gre), boot a kernel that has it (CONFIG_IPV6_GRE), or use transport vxlan"
        }
        _ => return None,
    };
    Some(hint)
}

/// A network namespace has one tunnel of each sort that asks the route for its other end.
fn taken(kind: &LinkKind) -> Option<&'static str> {
    match kind {
        LinkKind::Tunnel(Tunnel::Sit(_)) => {
            Some("another tunnel has this address already: look with `ip -d link show type sit`")
        }
        LinkKind::Tunnel(_) => Some(
            "another program has the one tunnel of this sort that takes packets from anybody: look for `external` in `ip -d link`, and remove it or use transport vxlan",
        ),
        _ => None,
    }
}

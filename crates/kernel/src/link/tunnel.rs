//! Tunnels: devices that ask the route where packets go (`external`), and the one that asks the next
//! hop.
//!
//! The latter carries IPv6 in IPv4. Where the underlay's packets are smaller than configured the
//! others' outer packets are fragmented; this one says to senders what passes, since the kernel ties
//! that to outer packets with a number of hops of their own.

use std::net::IpAddr;

use tombolo_plan::objects::{OUTER_HOPS, Tunnel};

use crate::netlink::{Attribute, Message};

/// `IFLA_IPTUN_*` of linux/if_tunnel.h.
const LOCAL: u16 = 2;
const REMOTE: u16 = 3;
const HOPS: u16 = 4;
const PROTOCOL: u16 = 9;
const PATH_MTU: u16 = 10;
const EXTERNAL: u16 = 19;
/// `IFLA_GRE_COLLECT_METADATA`.
const GRE_EXTERNAL: u16 = 18;

const IPV6: u8 = libc::IPPROTO_IPV6 as u8;

/// Writes what only a tunnel has.
pub(super) fn put(data: &mut Message, tunnel: &Tunnel) {
    match tunnel {
        Tunnel::Sit(local) => {
            data.put_ip(LOCAL, IpAddr::V4(*local))
                .put_u8(HOPS, OUTER_HOPS)
                .put_u8(PROTOCOL, IPV6)
                .put_u8(PATH_MTU, 1);
        }
        Tunnel::Ipip | Tunnel::Ip6tnl => {
            data.put(EXTERNAL, &[]);
        }
        Tunnel::Gre | Tunnel::Ip6gre => {
            data.put(GRE_EXTERNAL, &[]);
        }
    }
}

/// Reads it; nothing where it is none that a plan could want.
pub(super) fn decode(kind: &str, data: &Attribute<'_>) -> Option<Tunnel> {
    let (tunnel, external) = match kind {
        "sit" => return decode_sit(data),
        "ipip" => (Tunnel::Ipip, EXTERNAL),
        "ip6tnl" => (Tunnel::Ip6tnl, EXTERNAL),
        "gre" => (Tunnel::Gre, GRE_EXTERNAL),
        "ip6gre" => (Tunnel::Ip6gre, GRE_EXTERNAL),
        _ => return None,
    };
    data.find(external).map(|_| tunnel)
}

fn decode_sit(data: &Attribute<'_>) -> Option<Tunnel> {
    let byte = |number| data.find(number).and_then(|found| found.u8());
    let is_ours =
        byte(HOPS) == Some(OUTER_HOPS) && byte(PROTOCOL) == Some(IPV6) && byte(PATH_MTU) == Some(1);
    let remote = data.find(REMOTE).and_then(|remote| remote.ip());
    let for_all = remote.is_none_or(|remote| remote.is_unspecified());
    match data.find(LOCAL)?.ip()? {
        IpAddr::V4(local) if is_ours && for_all => Some(Tunnel::Sit(local)),
        _ => None,
    }
}

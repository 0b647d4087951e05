//! `ipip`: packets travel in packets, with nothing between (RFC 2003, RFC 2473, RFC 4213).
//!
//! On the wire: outer IP, the container's packet; the outer header's protocol is 4 for IPv4, 41 for
//! IPv6. Overhead: 20 bytes over IPv4, 40 over IPv6. It asks of the underlay that these protocols
//! pass, which some clouds' networks do not let (Azure's; AWS and GCP where a rule allows it), and
//! that no address translation is between the nodes.
//!
//! ```text
//!   underlay  packets  device   sort     where packets go
//!   IPv4      IPv4     tbi4     ipip     route 10.244.3.0/26 … encap ip dst 192.168.0.3
//!   IPv4      IPv6     tbi4-6   sit      route fd74:…:40/122 via ::192.168.0.3
//!   IPv6      both     tbi6     ip6tnl   route … encap ip6 dst 2001:db8::3
//! ```
//!
//! The devices are shared by all networks of the host that use this transport: nothing in a packet
//! tells of which one it is, nor need it, since their addresses differ. The kernel lets there be one
//! device in a namespace that takes packets of a sort from anybody; with another program's there
//! already, ours is refused, and that is said. The kernel's own `tunl0`, which Calico uses, may be
//! there besides: it gets what ours does not take, so the two programs' tunnels on one host come to
//! the same device, which delivers by the inner address alone.
//!
//! To see it: `ip -d link show tbi4`, `ip route show dev tbi4`, `tcpdump -ni eth0 ip proto 4 or ip
//! proto 41`.

use std::net::IpAddr;

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError, IfName};

use super::tunnel::{Device, Rules, through, want_device, want_way};
use super::{Destination, Path, Peer, Site, Transport, unknown_options};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{NextHop, Tunnel};

/// Packets travel in packets.
pub struct Ipip;

const RULES: Rules = (
    "transport/ipip: the device",
    "transport/ipip: the node's own address in the network",
);

impl Transport for Ipip {
    fn name(&self) -> &'static str {
        "ipip"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        unknown_options(spec, &[])
    }

    fn overhead(&self, _: &TransportSpec, underlay: Family) -> u32 {
        underlay.header_bytes()
    }

    fn needs_receiver(&self) -> bool {
        true
    }

    fn obstacle(&self, _: &Path, _: Family) -> Option<String> {
        None
    }

    fn receive(&self, site: &Site, plan: &mut HostPlan) {
        for (index, underlay) in site.families.iter().enumerate() {
            let Some(here) = site.me.spec.address(*underlay) else {
                continue;
            };
            let mtu = here.mtu.get().saturating_sub(underlay.header_bytes());
            for inner in site.carries.iter().copied() {
                let (name, tunnel) = device(here.address.addr(), inner);
                let device = Device { name, tunnel, mtu };
                // An address is on one device only; packets that leave by another name it as source.
                let own = site.tunnel.iter();
                let own = own.filter(|own| index == 0 && Family::of(**own) == inner);
                want_device(site, &device, own, RULES, plan);
            }
        }
    }

    fn send(&self, site: &Site, peer: &Peer, destination: &Destination, plan: &mut HostPlan) {
        let inner = Family::of_net(destination.net);
        let (link, tunnel) = device(peer.path.here.address.addr(), inner);
        let next = match (tunnel, peer.path.there.address.addr()) {
            (Tunnel::Sit(_), IpAddr::V4(there)) => Some(NextHop::Via {
                gateway: there.to_ipv6_compatible().into(),
                link,
                onlink: true,
            }),
            _ => through(peer, link, inner, None),
        };
        if let Some(next) = next {
            want_way(site, destination, next, destination.mtu, plan);
        }
    }
}

/// The device for packets of a family, where this host's address on the underlay is `here`.
fn device(here: IpAddr, inner: Family) -> (IfName, Tunnel) {
    let tunnel = match (here, inner) {
        (IpAddr::V4(_), Family::V4) => Tunnel::Ipip,
        (IpAddr::V4(here), Family::V6) => Tunnel::Sit(here),
        (IpAddr::V6(_), _) => Tunnel::Ip6tnl,
    };
    (naming::tunnel(&tunnel), tunnel)
}

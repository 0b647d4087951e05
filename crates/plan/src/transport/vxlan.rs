//! `vxlan`: packets travel in UDP (RFC 7348), and nothing is learned.
//!
//! On the wire: outer IP, UDP to `port` (4789), VXLAN header with the `vni`, an Ethernet header, the
//! container's packet. Overhead: 50 bytes over IPv4, 70 over IPv6. It asks of the underlay only that
//! UDP to that port passes.
//!
//! ```text
//!   route      10.244.3.0/26 via 10.244.3.0 dev tbx4096 onlink     block → the peer's own address
//!              fd74:…:40/122 via fe80::… dev tbx4096 onlink
//!   neighbour  10.244.3.0 lladdr 02:…, fe80::… lladdr 02:…         → its link-layer address
//!   fdb        02:… dst 192.168.0.3                                → its underlay address
//! ```
//!
//! All three come from the plan; the device floods and learns nothing. Each node has an address of
//! its own in the network, so that its own packets to containers elsewhere are answered through the
//! tunnel too. A link-layer address is a function of the node, so it outlives restarts.
//!
//! To see it: `ip -d link show type vxlan`, `bridge fdb show dev tbx4096`, `ip neigh show dev
//! tbx4096`, `tcpdump -ni eth0 udp port 4789`.

use std::net::IpAddr;

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError, IfName, MacAddr, Mtu, Vni};

use super::{Destination, Member, Path, Peer, Segment, Site, Transport, unknown_options};
use crate::attachment::overlay::want_station;
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    BridgePort, Key, Link, LinkKind, MAIN_TABLE, NextHop, Object, Place, Route, Stations,
};

/// The VNI if none is given; the lowest that Windows takes too.
const DEFAULT_VNI: u64 = 4096;
/// The UDP port if none is given (IANA, RFC 7348 section 8).
const DEFAULT_PORT: u16 = 4789;

/// Packets travel in UDP.
pub struct Vxlan;

/// The transport's own options.
struct Options {
    vni: Vni,
    port: u16,
}

impl Options {
    fn parse(spec: &TransportSpec) -> Result<Options, FieldError> {
        let number = |name: &str, default: u64| match spec.options.get(name) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| {
                FieldError::new(
                    format!("spec.transport.{name}"),
                    format!("{value} is no number"),
                )
            }),
        };
        let vni = Vni::new(number("vni", DEFAULT_VNI)?)
            .map_err(|e| FieldError::new("spec.transport.vni", e.to_string()))?;
        let port = number("port", u64::from(DEFAULT_PORT))?;
        let port = u16::try_from(port)
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| {
                let message = format!("{port} is not allowed: it must be between 1 and 65535");
                FieldError::new("spec.transport.port", message)
            })?;
        Ok(Options { vni, port })
    }
}

impl Transport for Vxlan {
    fn name(&self) -> &'static str {
        "vxlan"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        let mut faults = unknown_options(spec, &["vni", "port"]);
        faults.extend(Options::parse(spec).err());
        faults
    }

    fn overhead(&self, _: &TransportSpec, underlay: Family) -> u32 {
        const UDP: u32 = 8;
        const VXLAN: u32 = 8;
        const ETHERNET: u32 = 14;
        underlay.header_bytes() + UDP + VXLAN + ETHERNET
    }

    fn port(&self, spec: &TransportSpec) -> Option<u16> {
        Some(Options::parse(spec).ok()?.port)
    }

    fn vni(&self, spec: &TransportSpec) -> Option<u32> {
        Some(Options::parse(spec).ok()?.vni.get())
    }

    fn needs_receiver(&self) -> bool {
        true
    }

    fn obstacle(&self, path: &Path, _: Family) -> Option<String> {
        path.here.is_on_loopback().then(|| {
            "this node's address is on the loopback, which no vxlan device can stand on; use transport bgp"
                .to_owned()
        })
    }

    fn receive(&self, site: &Site, plan: &mut HostPlan) {
        let Ok(options) = Options::parse(site.spec) else {
            return;
        };
        for (index, family) in site.families.iter().enumerate() {
            let here = site.me.spec.address(*family);
            let Some(here) = here.filter(|here| !here.is_on_loopback()) else {
                continue;
            };
            let device = naming::vxlan(options.vni, *family);
            let link = Link {
                kind: LinkKind::Vxlan {
                    vni: options.vni,
                    port: options.port,
                    local: here.address.addr(),
                    parent: here.interface.clone(),
                },
                mtu: Mtu::new(u64::from(
                    here.mtu
                        .get()
                        .saturating_sub(self.overhead(site.spec, *family)),
                ))
                .ok(),
                mac: Some(naming::tunnel_mac(site.me, &device)),
                up: true,
                port: None,
            };
            plan.want(
                Place::host(Key::Link(device.clone())),
                Object::Link(link),
                site.origin("transport/vxlan: the device"),
            );
            // An address is on one device only; packets that leave by another name it as source.
            let tunnel = if index == 0 {
                site.tunnel.as_slice()
            } else {
                &[]
            };
            for address in tunnel {
                let net = Family::host_net(*address);
                plan.want(
                    Place::host(Key::Address {
                        link: device.clone(),
                        net,
                    }),
                    Object::Address,
                    site.origin("transport/vxlan: the node's own address in the network"),
                );
            }
        }
    }

    fn carries_frames(&self) -> bool {
        true
    }

    /// A device for each family of the underlay that another host is reached over, as a port of the
    /// segment's bridge. Two such ports are isolated from each other: what comes from one host is
    /// not for others.
    fn join(&self, site: &Site, segment: &Segment, plan: &mut HostPlan) {
        let Ok(options) = Options::parse(site.spec) else {
            return;
        };
        for family in &site.families {
            let Some(here) = site.me.spec.address(*family) else {
                continue;
            };
            let device = naming::vxlan(options.vni, *family);
            let kind = LinkKind::Vxlan {
                vni: options.vni,
                port: options.port,
                local: here.address.addr(),
                parent: here.interface.clone(),
            };
            let link = Link {
                kind,
                mtu: Some(segment.mtu),
                mac: Some(naming::tunnel_mac(site.me, &device)),
                up: true,
                port: Some(BridgePort {
                    bridge: segment.bridge.clone(),
                    hairpin: false,
                    isolated: site.families.len() > 1,
                    stations: Stations::Remote,
                }),
            };
            plan.want(
                Place::segment(&segment.namespace, Key::Link(device)),
                Object::Link(link),
                site.origin("transport/vxlan: the segment's device"),
            );
        }
        for member in &segment.members {
            let device = naming::vxlan(options.vni, member.peer.path.family());
            want_member(segment, member, &device, plan);
        }
    }

    fn send(&self, site: &Site, peer: &Peer, destination: &Destination, plan: &mut HostPlan) {
        let Ok(options) = Options::parse(site.spec) else {
            return;
        };
        let inner = Family::of_net(destination.net);
        let device = naming::vxlan(options.vni, peer.path.family());
        let Some(gateway) = gateway(peer, &device, inner) else {
            return;
        };
        want_peer(site, peer, &device, gateway, plan);
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: destination.net,
            metric: 0,
        };
        let route = Route {
            next: NextHop::Via {
                gateway,
                link: device,
                onlink: true,
            },
            source: site.tunnel(inner),
            mtu: destination.mtu,
        };
        plan.want(
            Place::host(key),
            Object::Route(route),
            destination.origin.clone(),
        );
    }
}

/// The peer's address that packets of a family go by. For IPv6 it is the link-local address that
/// belongs to its link-layer address: the kernel refuses a gateway that another route leads to
/// elsewhere, `onlink` or not (`ip6_route_check_nh_onlink`, net/ipv6/route.c), and while a transport
/// changes one does.
fn gateway(peer: &Peer, device: &IfName, inner: Family) -> Option<IpAddr> {
    match inner {
        // A peer says that it receives only after it has an address; without one there is no way.
        Family::V4 => peer.tunnel.iter().copied().find(IpAddr::is_ipv4),
        Family::V6 => Some(naming::tunnel_mac(peer.node, device).link_local().into()),
    }
}

/// What goes to another host of a segment: frames for all, and those for its stations.
fn want_member(segment: &Segment, member: &Member, device: &IfName, plan: &mut HostPlan) {
    let remote = member.peer.path.there.address.addr();
    let mut want_fdb = |mac, many: bool, origin| {
        let key = Key::Fdb {
            link: device.clone(),
            mac,
            remote: many.then_some(remote),
        };
        let place = Place::segment(&segment.namespace, key);
        plan.want(place, Object::Fdb(remote), origin);
    };
    let origin = |resource, rule| Origin { resource, rule };
    let rule = "transport/vxlan: frames for all go to each host that has endpoints of the network";
    want_fdb(MacAddr([0; 6]), true, origin(member.peer.node.key(), rule));
    let rule = "transport/vxlan: the host that a container is on";
    for endpoint in &member.endpoints {
        want_fdb(endpoint.spec.mac, false, origin(endpoint.key(), rule));
    }
    let rule = "transport/vxlan: a container on another host is behind the device";
    for endpoint in &member.endpoints {
        let origin = origin(endpoint.key(), rule);
        let station = (endpoint.spec.mac, device);
        want_station(&segment.namespace, &segment.bridge, station, origin, plan);
    }
}

/// The two steps from a peer's address in the network to its underlay address.
fn want_peer(site: &Site, peer: &Peer, device: &IfName, gateway: IpAddr, plan: &mut HostPlan) {
    let mac = naming::tunnel_mac(peer.node, device);
    let origin = |rule| Origin {
        resource: peer.node.key(),
        rule,
    };
    let neighbour = Key::Neighbour {
        link: device.clone(),
        address: gateway,
    };
    plan.want(
        Place::host(neighbour),
        Object::Neighbour(mac),
        origin("transport/vxlan: the peer's link-layer address"),
    );
    let fdb = Key::Fdb {
        link: device.clone(),
        mac,
        remote: None,
    };
    plan.want(
        Place::host(fdb),
        Object::Fdb(peer.path.there.address.addr()),
        origin("transport/vxlan: where the peer's link-layer address is"),
    );
    debug_assert!(site.families.contains(&peer.path.family()));
}

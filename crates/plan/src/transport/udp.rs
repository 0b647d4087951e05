//! `udp`: packets travel through user space, in UDP; it works on any kernel, through any firewall that
//! lets UDP pass, and from behind an address translation.
//!
//! On the wire: outer IP, UDP to `port` (4799), 8 bytes with a number for the network, the container's
//! packet. Overhead: 36 bytes over IPv4, 56 over IPv6. It asks of the underlay only that UDP to that
//! port passes in one direction: a node behind a translation says hello first, and is answered.
//!
//! ```text
//!   link    tbu1c9e05d2 tun                      a device for each network, which a process reads
//!   route   10.244.3.0/26 dev tbu1c9e05d2        block → the device
//!   tunnel  10.244.3.0/26 at c@192.168.0.3:4799  block → the peer, in the process
//! ```
//!
//! How large a packet passes is tried out by the process for each peer, and comes back as the route's
//! MTU. A packet of a peer is taken only if its sender's address is behind that peer, so the process
//! knows what peers hold before anything is sent to them.
//!
//! To see it: `tombolo status`, `ip -s link show tbu…`, `tcpdump -ni eth0 udp port 4799`.

use std::net::SocketAddr;

use ipnet::IpNet;
use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError, Mtu};

use super::{Destination, Path, Peer, Site, Transport, unknown_options};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::{Key, Link, LinkKind, MAIN_TABLE, NextHop, Object, Place, Route};
use crate::tunnel::{TunnelDevice, TunnelPeer, TunnelPeerId};

/// The UDP port if none is given; assigned to nobody.
const DEFAULT_PORT: u16 = 4799;
const RULE: &str = "transport/udp: the device";

/// Packets travel through user space, in UDP.
pub struct Udp;

fn port(spec: &TransportSpec) -> Result<u16, FieldError> {
    let wrong = |value: &dyn std::fmt::Display| {
        let message = format!("{value} is not allowed: it must be between 1 and 65535");
        FieldError::new("spec.transport.port", message)
    };
    let Some(value) = spec.options.get("port") else {
        return Ok(DEFAULT_PORT);
    };
    let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port != 0).ok_or_else(|| wrong(value))
}

impl Transport for Udp {
    fn name(&self) -> &'static str {
        "udp"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        let mut faults = unknown_options(spec, &["port"]);
        faults.extend(port(spec).err());
        faults
    }

    fn overhead(&self, _: &TransportSpec, underlay: Family) -> u32 {
        const UDP: u32 = 8;
        const HEADER: u32 = 8;
        underlay.header_bytes() + UDP + HEADER
    }

    fn port(&self, spec: &TransportSpec) -> Option<u16> {
        port(spec).ok()
    }

    fn needs_receiver(&self) -> bool {
        true
    }

    fn obstacle(&self, _: &Path, _: Family) -> Option<String> {
        None
    }

    fn receive(&self, site: &Site, plan: &mut HostPlan) {
        let Ok(port) = port(site.spec) else { return };
        let name = naming::tun(site.network.name());
        let tunnel = plan.tunnel.get_or_insert_default();
        let mut mtu = 0;
        for family in &site.families {
            if let Some(here) = site.me.spec.address(*family) {
                let address = SocketAddr::new(here.address.addr(), port);
                tunnel.listen.insert(address);
                let passes = here.mtu.get();
                mtu = mtu.max(passes.saturating_sub(self.overhead(site.spec, *family)));
            }
        }
        let device = || TunnelDevice {
            number: naming::tun_number(site.network.name()),
            routes: [].into(),
            origin: site.origin(RULE),
        };
        tunnel.devices.entry(name.clone()).or_insert_with(device);
        let link = Link {
            kind: LinkKind::Tun,
            mtu: Mtu::new(u64::from(mtu)).ok(),
            mac: None,
            up: true,
            port: None,
        };
        let place = Place::host(Key::Link(name.clone()));
        plan.want(place, Object::Link(link), site.origin(RULE));
        for address in &site.tunnel {
            let key = Key::Address {
                link: name.clone(),
                net: Family::host_net(*address),
            };
            let rule = "transport/udp: the node's own address in the network";
            plan.want(Place::host(key), Object::Address, site.origin(rule));
        }
    }

    fn expect(&self, site: &Site, peer: &Peer, net: IpNet, plan: &mut HostPlan) {
        let key = &peer.node.status.tunnel_key;
        let (Ok(port), false) = (port(site.spec), key.is_empty()) else {
            return;
        };
        let tunnel = plan.tunnel.get_or_insert_default();
        let Some(device) = tunnel.devices.get_mut(&naming::tun(site.network.name())) else {
            return;
        };
        let id = TunnelPeerId {
            node: peer.node.name().clone(),
            address: SocketAddr::new(peer.path.there.address.addr(), port),
        };
        device.routes.insert(net, id.clone());
        let known = TunnelPeer {
            key: key.clone(),
            underlay_mtu: peer.path.mtu(),
        };
        tunnel.peers.insert(id, known);
    }

    fn send(&self, site: &Site, _: &Peer, destination: &Destination, plan: &mut HostPlan) {
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: destination.net,
            metric: 0,
        };
        let route = Route {
            next: NextHop::Link(naming::tun(site.network.name())),
            source: site.tunnel(Family::of_net(destination.net)),
            mtu: destination.mtu,
        };
        let origin = destination.origin.clone();
        plan.want(Place::host(key), Object::Route(route), origin);
    }
}

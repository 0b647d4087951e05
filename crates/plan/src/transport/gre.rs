//! `gre`: packets travel in GRE (RFC 2784), with a key if one is asked for (RFC 2890).
//!
//! On the wire: outer IP (protocol 47), GRE header, the container's packet. Overhead: 24 bytes over
//! IPv4, 44 over IPv6, and 4 more with a `key`. It asks of the underlay that protocol 47 passes, and
//! that no address translation is between the nodes.
//!
//! ```text
//!   underlay  device   sort     where packets go
//!   IPv4      tbr4     gre      route 10.244.3.0/26 … encap ip dst 192.168.0.3
//!   IPv6      tbr6     ip6gre   route … encap ip6 dst 2001:db8::3
//! ```
//!
//! The devices are shared by all networks of the host that use this transport. The key tells packets
//! apart for who looks at the wire; a device that takes packets from anybody takes any key, and no
//! policy hangs on it. Of such devices a namespace has one of a sort, as with `ipip`.
//!
//! To see it: `ip -d link show tbr4`, `ip route show dev tbr4`, `tcpdump -ni eth0 ip proto 47`.

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError};

use super::tunnel::{Device, Rules, through, want_device, want_way};
use super::{Destination, Path, Peer, Site, Transport, unknown_options};
use crate::host_plan::HostPlan;
use crate::naming;
use crate::objects::Tunnel;

/// Packets travel in GRE.
pub struct Gre;

const RULES: Rules = (
    "transport/gre: the device",
    "transport/gre: the node's own address in the network",
);

/// Bytes of GRE's header, and of a key in it.
const HEADER: u32 = 4;
const KEY: u32 = 4;

impl Transport for Gre {
    fn name(&self) -> &'static str {
        "gre"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        let mut faults = unknown_options(spec, &["key"]);
        faults.extend(key(spec).err());
        faults
    }

    fn overhead(&self, spec: &TransportSpec, underlay: Family) -> u32 {
        let has_key = key(spec).is_ok_and(|key| key.is_some());
        underlay.header_bytes() + HEADER + if has_key { KEY } else { 0 }
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
            let tunnel = sort(*underlay);
            let device = Device {
                name: naming::tunnel(&tunnel),
                tunnel,
                // Networks with and without a key share it; routes say where less passes.
                mtu: here
                    .mtu
                    .get()
                    .saturating_sub(underlay.header_bytes() + HEADER),
            };
            // An address is on one device only; packets that leave by another name it as source.
            let own = site.tunnel.iter().filter(|_| index == 0);
            want_device(site, &device, own, RULES, plan);
        }
    }

    fn send(&self, site: &Site, peer: &Peer, destination: &Destination, plan: &mut HostPlan) {
        let Ok(key) = key(site.spec) else { return };
        let link = naming::tunnel(&sort(peer.path.family()));
        let inner = Family::of_net(destination.net);
        let Some(next) = through(peer, link, inner, key) else {
            return;
        };
        let mtu = destination.mtu.or_else(|| key.map(|_| site.mtu));
        want_way(site, destination, next, mtu, plan);
    }
}

fn sort(underlay: Family) -> Tunnel {
    match underlay {
        Family::V4 => Tunnel::Gre,
        Family::V6 => Tunnel::Ip6gre,
    }
}

/// The key that is asked for: a number of 32 bits.
fn key(spec: &TransportSpec) -> Result<Option<u32>, FieldError> {
    let Some(value) = spec.options.get("key") else {
        return Ok(None);
    };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.map(Some).ok_or_else(|| {
        let message = format!(
            "{value} is no key: it must be a number from 0 to {}",
            u32::MAX
        );
        FieldError::new("spec.transport.key", message)
    })
}

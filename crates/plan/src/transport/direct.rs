//! `direct`: packets go to the peer as they are, over the underlay (flannel's host-gw).
//!
//! On the wire: the container's own packets. Overhead: 0 bytes. It asks of the underlay that both
//! nodes are in one subnet, and that nothing there drops addresses that it does not know. Across
//! subnets it works where the routers between know the ranges; with `crossSubnet: true` such peers
//! are left to them, and the host's other routes decide.
//!
//! To see it: `ip route show proto 84`, `tcpdump -ni eth0 net 10.244.0.0/16`.

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError};

use super::{Destination, Path, Peer, Site, Transport, unknown_options};
use crate::host_plan::HostPlan;
use crate::objects::{Key, MAIN_TABLE, NextHop, Object, Place, Route};

/// Packets go as they are.
pub struct Direct;

impl Transport for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        unknown_options(spec, &[])
    }

    fn overhead(&self, _: &TransportSpec, _: Family) -> u32 {
        0
    }

    fn needs_receiver(&self) -> bool {
        false
    }

    fn obstacle(&self, path: &Path, inner: Family) -> Option<String> {
        if inner != path.family() {
            return Some(format!(
                "they have no {inner} addresses on the underlay in common, and direct carries {inner} only over {inner}"
            ));
        }
        (!path.same_subnet()).then(|| {
            format!(
                "{} and {} are in different subnets",
                path.here.address, path.there.address
            )
        })
    }

    fn receive(&self, _: &Site, _: &mut HostPlan) {}

    fn send(&self, _: &Site, peer: &Peer, destination: &Destination, plan: &mut HostPlan) {
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: destination.net,
            metric: 0,
        };
        let next = NextHop::Via {
            gateway: peer.path.there.address.addr(),
            link: peer.path.here.interface.clone(),
            onlink: false,
        };
        let route = Route {
            next,
            source: None,
            mtu: destination.mtu,
        };
        plan.want(
            Place::host(key),
            Object::Route(route),
            destination.origin.clone(),
        );
    }
}

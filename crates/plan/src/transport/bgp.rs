//! `bgp`: packets go as they are, by routes that each node tells the others and its routers (Calico
//! without encapsulation).
//!
//! On the wire: the container's own packets. Overhead: 0 bytes. It asks of the underlay that routers
//! between nodes in different subnets speak BGP with them, or are told the ranges otherwise, and that
//! nothing there drops addresses that it does not know. TCP to port 179 must pass between peers.
//!
//! What a node tells, to whom, and the routes that follow from what it is told are planned in
//! [`crate::bgp`]: this file has only what tells the transport from others. To *receive* by it is to
//! announce the node's blocks; to *send* by it to a peer is to plan nothing else, so that the routes
//! that were learned are taken (their metric is behind all others').
//!
//! To see it: `tombolo get bgppeers -o wide`, `ip route show proto 84`, `tcpdump -ni eth0 tcp port 179`.

use tombolo_model::kinds::TransportSpec;
use tombolo_model::{Family, FieldError};

use super::{Destination, Path, Peer, Site, Transport, unknown_options};
use crate::host_plan::HostPlan;

/// Packets go as they are, by routes that are told.
pub struct Bgp;

impl Transport for Bgp {
    fn name(&self) -> &'static str {
        "bgp"
    }

    fn faults(&self, spec: &TransportSpec) -> Vec<FieldError> {
        let mut faults = unknown_options(spec, &[]);
        if spec.cross_subnet {
            let message = "bgp encapsulates nothing, in a subnet or across; remove it, or use vxlan \
                           where the routers between subnets do not speak BGP";
            faults.push(FieldError::new("spec.transport.crossSubnet", message));
        }
        faults
    }

    fn overhead(&self, _: &TransportSpec, _: Family) -> u32 {
        0
    }

    fn needs_receiver(&self) -> bool {
        true
    }

    fn encapsulates(&self) -> bool {
        false
    }

    fn is_learned(&self) -> bool {
        true
    }

    fn obstacle(&self, path: &Path, inner: Family) -> Option<String> {
        // IPv4 goes by next hops of either family (RFC 8950), IPv6 by its own only.
        (inner == Family::V6 && path.family() == Family::V4).then(|| {
            "they have no IPv6 addresses on the underlay in common, which IPv6 routes lead to"
                .to_owned()
        })
    }

    fn receive(&self, _: &Site, _: &mut HostPlan) {}

    fn send(&self, _: &Site, _: &Peer, _: &Destination, _: &mut HostPlan) {}
}

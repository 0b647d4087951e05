//! One segment over many hosts: where the stations of other hosts are.
//!
//! Which hosts belong to a segment, and which station is on which of them, is in the World, so
//! nothing is learned and nothing that is known is looked for. Frames for all (broadcast, multicast)
//! go to the hosts that have endpoints of the network, each by a copy of its own, and to no other.
//! An endpoint that moves to another host is another row here, on every host at once.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_model::{Endpoint, Name, Resource};

use crate::attachment::{Site, overlay};
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::transport::{self, Member, Peer, Segment};
use crate::ways::Ways;

/// Plans how a segment goes on to other hosts.
pub(crate) fn plan(site: &Site, ways: &Ways, plan: &mut HostPlan) {
    let me = site.me.name();
    let mut hosts: BTreeMap<&Name, Vec<&Resource<Endpoint>>> = BTreeMap::new();
    for member in site.members {
        hosts.entry(&member.spec.node).or_default().push(member);
    }
    if hosts.remove(me).is_none() {
        return;
    }
    let Some((spec, transport)) = ways.present() else {
        return;
    };
    let namespace = naming::segment(me, site.network.name());
    let bridge = naming::bridge(site.network.name());
    let mut members = Vec::new();
    for (host, endpoints) in hosts {
        let Some(node) = site.world.nodes.get(host) else {
            continue;
        };
        let Some(path) = ways.path(node) else {
            let message = format!(
                "containers on node {host} cannot be reached: the two nodes have no underlay \
                 address of one family; give them one"
            );
            plan.problem(site.network.key(), message);
            continue;
        };
        for endpoint in &endpoints {
            want_neighbours(&namespace, endpoint, &bridge, plan);
        }
        let peer = Peer {
            passes: None,
            node,
            path,
            tunnel: Vec::new(),
        };
        members.push(Member { peer, endpoints });
    }
    let segment = Segment {
        namespace,
        bridge,
        mtu: site.mtu,
        members,
    };
    let members = segment.members.iter();
    let families: BTreeSet<_> = members.map(|member| member.peer.path.family()).collect();
    let site = transport::Site {
        me: site.me,
        network: site.network,
        spec,
        families: families.into_iter().collect(),
        carries: ways.carried(),
        tunnel: Vec::new(),
        mtu: site.mtu.get(),
    };
    transport.join(&site, &segment, plan);
}

/// Who asks for an address on another host is answered here.
fn want_neighbours(
    namespace: &Name,
    endpoint: &Resource<Endpoint>,
    bridge: &tombolo_model::IfName,
    plan: &mut HostPlan,
) {
    for address in &endpoint.spec.addresses {
        let origin = Origin {
            resource: endpoint.key(),
            rule: "segment: the link-layer address of a container on another host",
        };
        let pair = (*address, endpoint.spec.mac);
        overlay::want_neighbour(namespace, bridge, pair, origin, plan);
    }
}

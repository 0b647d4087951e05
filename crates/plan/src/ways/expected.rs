//! What transports must know of peers besides the way to them: what a peer holds, before its packets
//! come, and how large a packet was found to pass to it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use tombolo_model::{Mtu, Name, Node, Resource};

use super::Ways;
use crate::host_plan::{HostPlan, Origin};
use crate::transport::{self, Path, Peer};

impl<'a> Ways<'a> {
    /// Says to all that is in place here what a peer holds.
    pub(super) fn expect_all(
        &self,
        (peer, nets): (&'a Resource<Node>, &[(IpNet, Origin)]),
        tunnels: &BTreeMap<Name, Vec<IpAddr>>,
        mtu: Mtu,
        plan: &mut HostPlan,
    ) {
        for spec in &self.in_place {
            let transport = transport::find(spec.name.as_str());
            let (Some(transport), Some(path)) = (transport, self.path(peer)) else {
                continue;
            };
            let site = self.site(spec, tunnels, mtu);
            let peer = Peer {
                node: peer,
                passes: None,
                path,
                tunnel: tunnels.get(peer.name()).cloned().unwrap_or_default(),
            };
            for (net, _) in nets {
                transport.expect(&site, &peer, *net, plan);
            }
        }
    }

    /// The largest packet that was found to pass to a peer.
    pub(super) fn passes(&self, port: Option<u16>, path: &Path) -> Option<u32> {
        let learned = self.world.learned.get(self.me.name())?;
        let address = SocketAddr::new(path.there.address.addr(), port?);
        learned.spec.passes.get(&address).copied()
    }
}

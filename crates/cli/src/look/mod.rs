//! Looks at this host, for `check`: gathers facts and judges none of them.
//!
//! It runs in the command's own process, so that it works without an agent, and so that the agent
//! needs no right to send raw packets. What the cluster is like it is told by the agent.

mod host;
mod probe;
pub(crate) mod trial;

use tombolo_check::{Facts, NodeFacts};
use tombolo_kernel::NetnsHandle;

/// Gathers all that can be known. `tell` is told what is being done.
pub(crate) fn facts(node: Result<NodeFacts, String>, tell: &dyn Fn(&str)) -> anyhow::Result<Facts> {
    let here = NetnsHandle::current()?;
    tell("trying what the kernel can do");
    let refused = trial::refused();
    let features = trial::features();
    let (without_macvlan, without_vlans) = trial::segments();
    tell("reading settings, filters and routes");
    let mut host = host::read(&here, node.as_ref().ok());
    host.refused = refused;
    host.features = features;
    host.without_macvlan = without_macvlan;
    host.without_vlans = without_vlans;
    if let Ok(node) = &node {
        let nodes = node.peerings.len();
        tell(&format!("asking the other nodes ({nodes} ways)"));
        let (peers, tunnels) = probe::ask(&here, node);
        host.peers = peers;
        host.tunnels = tunnels;
    }
    Ok(Facts { node, host })
}

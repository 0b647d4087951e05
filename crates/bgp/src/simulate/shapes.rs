//! Networks of usual shapes, each node with a block of its own, as nodes of a cluster have.

use ipnet::{IpNet, Ipv4Net};
use std::net::Ipv4Addr;

use crate::config::Peer;
use crate::types::Asn;

use super::{Network, Wire};

/// The system that all of them are in.
pub const SYSTEM: Asn = Asn(64512);

impl Network {
    /// So many nodes, all peers of each other.
    #[must_use]
    pub fn mesh(seed: u64, wire: Wire, size: u16) -> Network {
        let mut network = Network::new(seed, wire);
        let nodes: Vec<usize> = (1..=size)
            .map(|number| network.add(number, SYSTEM))
            .collect();
        for (at, a) in nodes.iter().enumerate() {
            let others = nodes.iter().skip(at + 1).map(|b| (*a, *b));
            let peer = Peer::new("a node of the mesh", SYSTEM);
            others.for_each(|(a, b)| network.acquaint(a, b, &peer));
        }
        nodes
            .iter()
            .for_each(|node| network.start_with_block(*node));
        network
    }

    /// So many reflectors, which are peers of each other, and then so many nodes, which are clients of
    /// each of them.
    #[must_use]
    pub fn star(seed: u64, wire: Wire, reflectors: u16, clients: u16) -> Network {
        let mut network = Network::mesh(seed, wire, reflectors);
        let centres = 0..usize::from(reflectors);
        for number in reflectors + 1..=reflectors + clients {
            let node = network.add(number, SYSTEM);
            for centre in centres.clone() {
                network.acquaint(node, centre, &Peer::new("a reflector", SYSTEM));
                let address = network.address(node).into();
                let peers = &mut network.nodes[centre].config.peers;
                if let Some(peer) = peers.get_mut(&address) {
                    peer.name = "a client".to_owned();
                    peer.client = true;
                }
            }
        }
        (0..network.nodes.len()).for_each(|node| network.start_with_block(node));
        network
    }

    fn start_with_block(&mut self, node: usize) {
        self.configure(node, |_| ());
        self.originate(node, [block(node)]);
    }

    /// Whether each node has a route to each other node's block.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        let others = self.nodes.len() - 1;
        self.nodes.iter().all(|node| node.table.len() == others)
    }
}

/// The block of a node of [`Network::mesh`] or [`Network::star`].
#[must_use]
pub fn block(node: usize) -> IpNet {
    let [.., high, low] = node.to_be_bytes();
    Ipv4Net::new_assert(Ipv4Addr::new(10, high, low, 0), 26).into()
}

//! Which packets go where, and who may send which: one value that never changes and is swapped whole.
//!
//! A peer is a way to a node: from a port of ours to the address where it was last heard. A node that has
//! networks on two ports has two. Whose an address is, is asked twice: of where a packet goes, and of
//! where it says that it came from.

mod ranges;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use crate::{NetworkId, NodeId, Traffic};
use ranges::Ranges;

/// A way to a node.
#[derive(Debug, Clone)]
pub struct PeerEntry {
    /// The node.
    pub id: NodeId,
    /// Our port that packets leave by and must come in by.
    pub port: u16,
    /// Where they go, and must come from.
    pub endpoint: SocketAddr,
    /// The largest IP packet that the way carries, without what the tunnel adds.
    pub mtu: u16,
    /// Where what goes either way is counted; kept from table to table.
    pub traffic: Arc<Traffic>,
}

/// A network's part of the table.
#[derive(Debug, Clone, Default)]
pub struct NetworkEntry {
    /// Which addresses are behind which peer, by its place in the table's list.
    pub routes: BTreeMap<IpNet, usize>,
}

/// The whole table.
#[derive(Debug, Default)]
pub struct Table {
    peers: Vec<PeerEntry>,
    sources: HashMap<(u16, SocketAddr), usize, FixedState>,
    networks: HashMap<NetworkId, Routes, FixedState>,
}

#[derive(Debug, Default)]
struct Routes {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Table {
    /// Makes a table. Routes to peers that are not in the list are left out.
    #[must_use]
    pub fn new(peers: Vec<PeerEntry>, networks: &BTreeMap<NetworkId, NetworkEntry>) -> Table {
        let sources = (0..)
            .zip(&peers)
            .map(|(index, peer)| ((peer.port, peer.endpoint), index))
            .collect();
        let networks = networks
            .iter()
            .map(|(id, network)| (*id, Routes::new(network, peers.len())))
            .collect();
        Table {
            peers,
            sources,
            networks,
        }
    }

    /// The peer at a place of the list.
    #[must_use]
    pub fn peer(&self, index: usize) -> Option<&PeerEntry> {
        self.peers.get(index)
    }

    /// All peers.
    #[must_use]
    pub fn peers(&self) -> &[PeerEntry] {
        &self.peers
    }

    /// Who sends from that address to that port of ours.
    #[must_use]
    pub fn source(&self, port: u16, from: SocketAddr) -> Option<usize> {
        self.sources.get(&(port, from)).copied()
    }

    /// Whether the network is here.
    #[must_use]
    pub fn has(&self, network: NetworkId) -> bool {
        self.networks.contains_key(&network)
    }

    /// Behind whom an address of a network is: the longest prefix decides.
    #[must_use]
    pub fn behind(&self, network: NetworkId, address: IpAddr) -> Option<usize> {
        let routes = self.networks.get(&network)?;
        let found = match address {
            IpAddr::V4(address) => routes.v4.find(address.to_bits()),
            IpAddr::V6(address) => routes.v6.find(address.to_bits()),
        };
        found.map(|index| index as usize)
    }
}

impl Routes {
    fn new(network: &NetworkEntry, peers: usize) -> Routes {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, &peer) in network.routes.iter().filter(|(_, peer)| **peer < peers) {
            let Ok(peer) = u32::try_from(peer) else {
                continue;
            };
            match net {
                IpNet::V4(net) => {
                    v4.push((net.network().to_bits(), net.broadcast().to_bits(), peer));
                }
                IpNet::V6(net) => {
                    v6.push((net.network().to_bits(), net.broadcast().to_bits(), peer));
                }
            }
        }
        Routes {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(number: u8) -> PeerEntry {
        PeerEntry {
            id: NodeId(format!("n{number}")),
            port: 4799,
            endpoint: SocketAddr::from(([192, 0, 2, number], 4799)),
            mtu: 1464,
            traffic: Arc::default(),
        }
    }

    fn table(routes: &[(&str, usize)]) -> Table {
        let routes = routes
            .iter()
            .map(|(net, peer)| (net.parse().unwrap(), *peer))
            .collect();
        let networks = BTreeMap::from([(NetworkId(1), NetworkEntry { routes })]);
        Table::new((0..3).map(peer).collect(), &networks)
    }

    #[test]
    fn the_longest_prefix_decides_in_both_families() {
        let table = table(&[
            ("10.244.0.0/16", 0),
            ("10.244.2.0/24", 1),
            ("10.244.2.7/32", 2),
            ("fd00::/48", 0),
            ("fd00::/64", 1),
        ]);
        let find = |address: &str| table.behind(NetworkId(1), address.parse().unwrap());
        assert_eq!(find("10.244.1.255"), Some(0));
        assert_eq!(find("10.244.2.6"), Some(1));
        assert_eq!(find("10.244.2.7"), Some(2));
        assert_eq!(find("10.244.2.8"), Some(1));
        assert_eq!(find("10.244.3.0"), Some(0));
        assert_eq!(find("10.245.0.0"), None);
        assert_eq!(find("fd00::1"), Some(1));
        assert_eq!(find("fd00:0:0:1::"), Some(0));
        assert_eq!(find("fd01::"), None);
        assert_eq!(
            table.behind(NetworkId(2), "10.244.2.7".parse().unwrap()),
            None
        );
    }

    #[test]
    fn a_sender_is_known_by_its_address_and_our_port() {
        let table = table(&[]);
        let from = SocketAddr::from(([192, 0, 2, 1], 4799));
        assert_eq!(table.source(4799, from), Some(1));
        assert_eq!(table.source(4798, from), None);
        assert_eq!(
            table.source(4799, SocketAddr::from(([192, 0, 2, 1], 1))),
            None
        );
    }

    #[test]
    fn a_route_to_nobody_is_no_route() {
        let table = table(&[("10.0.0.0/8", 3)]);
        assert_eq!(
            table.behind(NetworkId(1), "10.0.0.1".parse().unwrap()),
            None
        );
    }

    proptest! {
        /// What the table finds is what a search through all prefixes finds.
        #[test]
        fn ranges_agree_with_a_search_through_all(
            nets in prop::collection::vec((0u32..64, 24u8..=32, 0usize..3), 0..30),
            address in 0u32..80,
        ) {
            let base = u32::from_be_bytes([10, 0, 0, 0]);
            let routes: BTreeMap<IpNet, usize> = nets
                .into_iter()
                .map(|(address, length, peer)| {
                    let net = ipnet::Ipv4Net::new((base + address).into(), length).unwrap();
                    (IpNet::V4(net.trunc()), peer)
                })
                .collect();
            let address = IpAddr::V4((base + address).into());
            let slow = routes
                .iter()
                .filter(|(net, _)| net.contains(&address))
                .max_by_key(|(net, _)| net.prefix_len())
                .map(|(_, peer)| *peer);
            let networks = BTreeMap::from([(NetworkId(1), NetworkEntry { routes })]);
            let table = Table::new((0..3).map(peer).collect(), &networks);
            prop_assert_eq!(table.behind(NetworkId(1), address), slow);
        }
    }
}

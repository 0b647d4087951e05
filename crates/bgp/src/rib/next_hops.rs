//! Which next hops can be reached, and how far they are.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::Role;
use crate::attributes::NextHop;
use crate::config::PeerKey;

/// The metric of what cannot be reached.
pub(super) const UNREACHABLE: u32 = u32::MAX;
/// The metric of what can be, and is farther away than a peer on a link of ours may name (RFC 4271 section
/// 6.3). Whatever is less can be used.
pub(super) const FAR: u32 = u32::MAX - 1;

/// At most so many answers are remembered: a peer may name any number of next hops.
const REMEMBERED: usize = 65_536;

/// Ranges that can be reached with their metrics, 0 for a link of ours. The longest match counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NextHops(pub Vec<(IpNet, u32)>);

impl NextHops {
    /// Every address is on a link of ours.
    #[must_use]
    pub fn everywhere() -> NextHops {
        let nets = [
            IpNet::new_assert([0, 0, 0, 0].into(), 0),
            IpNet::new_assert([0; 16].into(), 0),
        ];
        NextHops(nets.map(|net| (net, 0)).to_vec())
    }

    /// The longest ranges first, of equal ones the nearer.
    fn sort(&mut self) {
        (self.0).sort_by_key(|(net, metric)| (u8::MAX - net.prefix_len(), *net, *metric));
    }

    fn metric(&self, address: IpAddr) -> u32 {
        let range = self.0.iter().find(|(net, _)| net.contains(&address));
        range.map_or(UNREACHABLE, |(_, metric)| *metric)
    }
}

/// Next hops, with the answers that were given.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    hops: NextHops,
    known: HashMap<IpAddr, u32, FixedState>,
}

impl Resolver {
    /// Takes other ranges; whether they differ.
    pub fn replace(&mut self, mut hops: NextHops) -> bool {
        hops.sort();
        let differs = hops != self.hops;
        if differs {
            self.hops = hops;
            self.known.clear();
        }
        differs
    }

    /// How far a next hop is for who told it: a peer of another system that is one hop away may name
    /// itself, and who shares a link with us.
    pub fn metric(&mut self, hop: NextHop, role: &Role) -> u32 {
        let metric = self.distance(hop, &role.key);
        let own = hop.address() == role.negotiated.peer_address;
        let linked = matches!(hop, NextHop::V6 { link_local, .. } if link_local.is_some());
        match metric {
            0 | UNREACHABLE => metric,
            _ if own || linked || !role.is_neighbour() => metric.min(FAR - 1),
            _ => FAR,
        }
    }

    /// How far it is for whomever. One of the link only is on the link of the peer that named it, if
    /// that is on one.
    fn distance(&mut self, hop: NextHop, peer: &PeerKey) -> u32 {
        let address = hop.address();
        if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
            return if peer.interface.is_some() {
                0
            } else {
                UNREACHABLE
            };
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let hops = &self.hops;
        let answer = self.known.entry(address);
        *answer.or_insert_with(|| hops.metric(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_says_how_far_a_next_hop_is() {
        let mut resolver = Resolver::default();
        let far = PeerKey::from("10.0.0.9".parse::<IpAddr>().unwrap());
        let near: PeerKey = "fe80::9%eth0".parse().unwrap();
        let hop = |text: &str| NextHop::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(resolver.distance(hop("10.0.0.1"), &far), UNREACHABLE);
        let range = |net: &str, metric| (net.parse().unwrap(), metric);
        let ranges = vec![
            range("10.0.0.0/8", 20),
            range("10.1.0.0/16", 10),
            range("10.1.1.0/24", 0),
            range("fd00::/16", 5),
        ];
        assert!(resolver.replace(NextHops(ranges.clone())));
        for (address, metric) in [
            ("10.0.0.1", 20),
            ("10.1.0.1", 10),
            ("10.1.1.1", 0),
            ("11.0.0.1", UNREACHABLE),
            ("fd00::1", 5),
            ("fd01::1", UNREACHABLE),
            ("fe80::1", UNREACHABLE),
        ] {
            assert_eq!(resolver.distance(hop(address), &far), metric, "{address}");
        }
        assert_eq!(resolver.distance(hop("fe80::1"), &near), 0);
        assert!(!resolver.replace(NextHops(ranges.into_iter().rev().collect())));
        assert!(resolver.replace(NextHops::everywhere()));
        assert_eq!(resolver.distance(hop("fd01::1"), &far), 0);
        assert_eq!(resolver.distance(hop("11.0.0.1"), &far), 0);
    }
}

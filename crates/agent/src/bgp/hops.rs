//! How next hops are reached: by the routes of this host that are not ours.
//!
//! A route that BGP tells of names a router, and the kernel wants to know a link and somebody on it.
//! A router on a link of ours is both at once; another one is reached as the host's own routes say,
//! also by the default route: the routers there may know more than this host.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_kernel::underlay::Way;
use tombolo_model::{Family, IfName};

/// The host's own routes, the more specific first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Hops {
    ways: Vec<Way>,
}

impl Hops {
    pub fn new(mut ways: Vec<Way>) -> Hops {
        // Nobody is reached by a link-local route without the link's name.
        ways.retain(|way| !is_link_local(way.dst));
        ways.sort_by_key(|way| (std::cmp::Reverse(way.dst.prefix_len()), way.metric));
        Hops { ways }
    }

    /// Ranges in which next hops are reached, with how far away they are: 0 on a link of this host.
    pub fn reach(&self) -> Vec<(IpNet, u32)> {
        let distance = |way: &Way| match way.gateway {
            None => 0,
            Some(_) => way.metric.saturating_add(1),
        };
        let mut reach: Vec<(IpNet, u32)> = Vec::with_capacity(self.ways.len());
        for way in &self.ways {
            // Of several to one destination the first is the one that is taken.
            if reach.last().is_none_or(|(dst, _)| *dst != way.dst) {
                reach.push((way.dst, distance(way)));
            }
        }
        reach
    }

    /// Who packets for a next hop are given to, on which link, and whether no address of the host
    /// says that they are there.
    pub fn resolve(&self, hop: IpAddr) -> Option<(IpAddr, IfName, bool)> {
        let way = self
            .ways
            .iter()
            .find(|way| Family::of_net(way.dst) == Family::of(hop) && way.dst.contains(&hop))?;
        if way.gateway.is_none() && is_nobody(way.dst, hop) {
            return None;
        }
        Some((way.gateway.unwrap_or(hop), way.link.clone(), way.onlink))
    }
}

/// Whether an address on a link is that of all or of none there, by which no packet goes on.
fn is_nobody(link: IpNet, hop: IpAddr) -> bool {
    match link {
        IpNet::V4(link) if link.prefix_len() < 31 => {
            hop == link.network() || hop == link.broadcast()
        }
        _ => false,
    }
}

fn is_link_local(net: IpNet) -> bool {
    match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.addr().is_unicast_link_local() || net.addr().is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(dst: &str, metric: u32, gateway: Option<&str>, link: &str) -> Way {
        Way {
            dst: dst.parse().unwrap(),
            metric,
            link: IfName::new(link).unwrap(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            onlink: false,
        }
    }

    #[test]
    fn the_most_specific_route_of_the_lowest_metric_is_taken() {
        let hops = Hops::new(vec![
            way("0.0.0.0/0", 100, Some("192.0.2.254"), "eth0"),
            way("192.0.2.0/24", 0, None, "eth0"),
            way("10.0.0.0/8", 20, Some("192.0.2.3"), "eth0"),
            way("10.0.0.0/8", 10, Some("192.0.2.2"), "eth1"),
            way("fe80::/64", 256, None, "eth0"),
            way("2001:db8::/64", 256, None, "eth0"),
        ]);
        let resolve = |hop: &str| {
            let (to, link, _) = hops.resolve(hop.parse().unwrap())?;
            Some(format!("{to} {link}"))
        };
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(resolve("192.0.2.7"), told("192.0.2.7 eth0"));
        assert_eq!(resolve("192.0.2.255"), None);
        assert_eq!(resolve("10.1.1.1"), told("192.0.2.2 eth1"));
        assert_eq!(resolve("203.0.113.1"), told("192.0.2.254 eth0"));
        assert_eq!(resolve("2001:db8::7"), told("2001:db8::7 eth0"));
        assert_eq!(resolve("2001:db8:1::7"), None);
        assert_eq!(resolve("fe80::1"), None);
        let reach: Vec<String> = hops
            .reach()
            .iter()
            .map(|(dst, far)| format!("{dst} {far}"))
            .collect();
        assert_eq!(
            reach,
            [
                "2001:db8::/64 0",
                "192.0.2.0/24 0",
                "10.0.0.0/8 11",
                "0.0.0.0/0 101"
            ]
        );
    }
}

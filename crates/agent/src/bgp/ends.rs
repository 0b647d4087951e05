//! By which addresses peers know this host, where the session's own is the kernel's choice.
//!
//! A host with several uplinks has another address on each, and a router can send to the one on its own
//! wire only. A BGPPeer with `sourceAddress: None` asks for that: what is told to the peer has this
//! host's addresses on the link that leads to it as next hops, and a peer on that link is one hop away,
//! though the node's address on the underlay is in another subnet.
//!
//! ```text
//!             ┌─ eth0 192.0.2.11 ──── leaf1   is told 192.0.2.11
//!  this host ─┤
//!             └─ eth1 192.0.3.11 ──── leaf2   is told 192.0.3.11
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_bgp::{Config, Peer, PeerKey, Ttl};
use tombolo_kernel::{KernelError, NetnsHandle, underlay};
use tombolo_model::{Family, IfName};

use super::hops::Hops;

/// The addresses of this host's links.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ends {
    links: BTreeMap<IfName, Vec<IpNet>>,
}

impl Ends {
    /// Whether anybody needs them.
    pub fn are_wanted(config: &Config) -> bool {
        config.peers.values().any(is_left_open)
    }

    /// Those of all links but our own, which lead to containers.
    pub fn read(netns: &NetnsHandle, own_prefix: &str) -> Result<Ends, KernelError> {
        let interfaces = underlay::interfaces(netns)?.into_iter();
        let others = interfaces.filter(|link| !link.name.as_str().starts_with(own_prefix));
        Ok(Ends {
            links: others.map(|link| (link.name, link.addresses)).collect(),
        })
    }

    /// Completes the peers to which our end is the kernel's choice.
    pub fn complete(&self, hops: &Hops, config: &mut Config) {
        for (key, peer) in &mut config.peers {
            if is_left_open(peer) {
                self.complete_one(hops, key, peer);
            }
        }
    }

    fn complete_one(&self, hops: &Hops, key: &PeerKey, peer: &mut Peer) {
        let named = key.interface.as_ref();
        let named = named.and_then(|name| IfName::new(name.as_str()).ok());
        let (link, is_near) = match (named, hops.resolve(key.address)) {
            (Some(link), _) => (link, true),
            (None, Some((via, link, _))) => (link, via == key.address),
            (None, None) => return,
        };
        let Some(own) = self.links.get(&link) else {
            return;
        };
        if is_near && peer.ttl == Ttl::Multihop(u8::MAX) {
            peer.ttl = Ttl::Default;
        }
        let planned = std::mem::take(&mut peer.next_hops);
        for family in Family::ALL {
            let planned = planned.iter().copied().find(|ip| Family::of(*ip) == family);
            // Who is known by an address of the link only takes that for IPv4, too (RFC 8950), and an
            // address that is elsewhere would be of no use to it.
            let is_unnumbered = family == Family::V4 && key.interface.is_some();
            let otherwise = planned.filter(|_| !is_unnumbered);
            peer.next_hops
                .extend(end(own, family, key.address).or(otherwise));
        }
    }
}

fn is_left_open(peer: &Peer) -> bool {
    peer.local_address.is_none()
}

/// Our address of a family on a link: the one in the peer's subnet before others.
fn end(own: &[IpNet], family: Family, peer: IpAddr) -> Option<IpAddr> {
    let usable = |net: &&IpNet| Family::of_net(**net) == family && !is_of_link(net.addr());
    let near = own.iter().filter(usable).find(|net| net.contains(&peer));
    let any = || own.iter().find(usable);
    near.or_else(any).map(IpNet::addr)
}

fn is_of_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use tombolo_bgp::{Asn, RouterId};
    use tombolo_kernel::underlay::Way;

    use super::*;

    fn name(text: &str) -> IfName {
        IfName::new(text).unwrap()
    }

    fn ends() -> Ends {
        let links: [(&str, &[&str]); 3] = [
            ("eth0", &["fe80::1/64", "192.0.2.11/24", "2001:db8::11/64"]),
            (
                "eth1",
                &["198.51.100.1/24", "192.0.3.11/24", "2001:db8:3::11/64"],
            ),
            ("eth2", &["fe80::3/64"]),
        ];
        let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
        Ends {
            links: links.map(|(link, all)| (name(link), nets(all))).into(),
        }
    }

    fn hops() -> Hops {
        let way = |dst: &str, gateway: Option<&str>, link: &str| Way {
            dst: dst.parse().unwrap(),
            metric: 0,
            link: name(link),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            onlink: false,
        };
        Hops::new(vec![
            way("192.0.2.0/24", None, "eth0"),
            way("192.0.3.0/24", None, "eth1"),
            way("0.0.0.0/0", Some("192.0.2.1"), "eth0"),
        ])
    }

    /// What a peer is told, and how far away it is taken to be.
    fn told(peer: PeerKey, local: Option<&str>) -> String {
        let open = Peer {
            local_address: local.map(|local| local.parse().unwrap()),
            next_hops: ["10.9.9.9", "fd00::9"].map(|ip| ip.parse().unwrap()).into(),
            ttl: Ttl::Multihop(u8::MAX),
            ..Peer::new("peer", Asn(65001))
        };
        let mut config = Config {
            asn: Asn(64512),
            router_id: RouterId([192, 0, 2, 11].into()),
            port: 179,
            cluster_id: None,
            multipath: 1,
            graceful: None,
            peers: [(peer.clone(), open)].into(),
        };
        ends().complete(&hops(), &mut config);
        let peer = &config.peers[&peer];
        let hops = peer.next_hops.iter().map(ToString::to_string);
        let hops: Vec<String> = hops.collect();
        format!("{} {:?}", hops.join(" "), peer.ttl)
    }

    fn at(address: &str, interface: Option<&str>) -> PeerKey {
        PeerKey {
            address: address.parse().unwrap(),
            interface: interface.map(str::to_owned),
        }
    }

    #[test]
    fn each_router_is_told_our_address_on_its_own_wire() {
        let near = |peer| told(at(peer, None), None);
        assert_eq!(near("192.0.2.1"), "192.0.2.11 2001:db8::11 Default");
        assert_eq!(near("192.0.3.1"), "192.0.3.11 2001:db8:3::11 Default");
        assert_eq!(near("203.0.113.1"), "192.0.2.11 2001:db8::11 Multihop(255)");
    }

    #[test]
    fn what_is_said_stays_and_what_is_unknown_is_left_to_the_plan() {
        let said = told(at("192.0.3.1", None), Some("192.0.2.11"));
        assert_eq!(said, "10.9.9.9 fd00::9 Multihop(255)");
        let unknown = told(at("2001:db8:7::1", None), None);
        assert_eq!(unknown, "10.9.9.9 fd00::9 Multihop(255)");
    }

    #[test]
    fn who_is_on_a_wire_without_addresses_is_told_none_of_ipv4() {
        let there = told(at("fe80::9", Some("eth2")), None);
        assert_eq!(there, "fd00::9 Default");
    }
}

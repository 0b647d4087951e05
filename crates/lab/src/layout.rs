//! Which addresses, segments and routes a lab has: pure, from its spec.
//!
//! Every segment is a bridge `sw<k>` in the lab's own namespace, so that each interface of a host
//! hangs on one port that can be cut. The lab's namespace is the hosts' gateway and the router
//! between segments; it also holds 203.0.113.1 (RFC 5737) and 2001:db8:113::1 (RFC 3849), which
//! stand for the internet: what arrives there shows whether it was translated.
//!
//! Segment `k` is 192.168.(50+k).0/24 and fd50:k::/64; the gateway is `.1`, host `i` is `.11+i`.
//! `eth0` is a host's way to its gateway, and the address on it is the host's address. A leaf-spine
//! is another matter: see `fabric`.

pub(crate) mod fabric;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::spec::{LabSpec, Topology};

/// A bridge in the lab's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The bridge.
    pub bridge: String,
    /// The gateway's addresses on it; in a line only the first segment has a gateway.
    pub gateway: Vec<IpNet>,
}

/// A host's interface and the port it hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// In the host, as `eth0`.
    pub name: String,
    /// In the lab's namespace, as `sw-a`.
    pub port: String,
    /// The number of its segment.
    pub segment: usize,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its link-layer address.
    pub mac: [u8; 6],
}

/// A route by way of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where to.
    pub to: IpNet,
    /// By way of whom.
    pub via: IpAddr,
    /// On which interface or bridge.
    pub link: String,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLayout {
    /// Its name.
    pub name: String,
    /// Its interfaces, `eth0` first.
    pub interfaces: Vec<Interface>,
    /// Its routes.
    pub ways: Vec<Way>,
    /// Whether it forwards for others.
    pub forwards: bool,
}

/// A whole lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// MTU of every wire, in bytes.
    pub mtu: u32,
    /// The segments.
    pub segments: Vec<Segment>,
    /// The hosts.
    pub hosts: Vec<HostLayout>,
    /// Routers between them that are no hosts of the spec.
    pub routers: Vec<HostLayout>,
    /// Routes of the lab's own namespace.
    pub ways: Vec<Way>,
    /// Addresses that stand for the internet.
    pub internet: Vec<IpNet>,
}

impl Layout {
    /// The layout of a spec.
    #[must_use]
    pub fn of(spec: &LabSpec) -> Layout {
        let plan = Numbers { ipv6: spec.ipv6 };
        let count = spec.hosts.len();
        let segments = match spec.topology {
            Topology::Switch => 1,
            Topology::Subnets => 2,
            Topology::Line => count.saturating_sub(1).max(1),
            Topology::LeafSpine | Topology::DualLeafSpine => return fabric::layout(spec),
        };
        let has_gateway = |segment| spec.topology != Topology::Line || segment == 0;
        let line = spec.topology == Topology::Line;
        Layout {
            mtu: spec.mtu,
            segments: (0..segments)
                .map(|k| Segment {
                    bridge: format!("sw{k}"),
                    gateway: if has_gateway(k) {
                        plan.on(k, 1)
                    } else {
                        Vec::new()
                    },
                })
                .collect(),
            hosts: (0..count).map(|i| plan.host(spec, i, segments)).collect(),
            routers: Vec::new(),
            ways: if line && count > 1 {
                plan.beyond(1, 1..segments, 0, "sw0")
            } else {
                Vec::new()
            },
            internet: plan.internet(),
        }
    }

    /// A host or router by its name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&HostLayout> {
        self.everybody().find(|host| host.name == name)
    }

    /// The hosts, then the routers.
    pub fn everybody(&self) -> impl Iterator<Item = &HostLayout> {
        self.hosts.iter().chain(&self.routers)
    }
}

/// The arithmetic of addresses.
struct Numbers {
    ipv6: bool,
}

impl Numbers {
    /// The addresses with this last number on a segment.
    fn on(&self, segment: usize, number: usize) -> Vec<IpNet> {
        let (k, n) = (octet(segment), octet(number));
        let v4 = net(Ipv4Addr::new(192, 168, 50 + k, n).into(), 24);
        let v6 = net(
            Ipv6Addr::new(0xfd50, k.into(), 0, 0, 0, 0, 0, n.into()).into(),
            64,
        );
        if self.ipv6 { vec![v4, v6] } else { vec![v4] }
    }

    fn internet(&self) -> Vec<IpNet> {
        let v4 = net(Ipv4Addr::new(203, 0, 113, 1).into(), 32);
        let v6 = net(
            Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1).into(),
            128,
        );
        if self.ipv6 { vec![v4, v6] } else { vec![v4] }
    }

    fn host(&self, spec: &LabSpec, i: usize, segments: usize) -> HostLayout {
        let name = spec.hosts[i].clone();
        let mine: Vec<usize> = match spec.topology {
            Topology::Switch | Topology::LeafSpine | Topology::DualLeafSpine => vec![0],
            Topology::Subnets => vec![i % 2],
            Topology::Line if i == 0 => vec![0],
            Topology::Line => (i - 1..=i).filter(|k| *k < segments).collect(),
        };
        let up = mine[0];
        let gateway = if spec.topology == Topology::Line && i > 1 {
            11 + i - 1
        } else {
            1
        };
        let mut ways = default_ways(&self.on(up, gateway));
        if spec.topology == Topology::Line && i + 1 < spec.hosts.len() {
            let down = mine.len() - 1;
            ways.extend(self.beyond(i + 1, i + 1..segments, i, &format!("eth{down}")));
        }
        let interfaces = mine
            .iter()
            .enumerate()
            .map(|(index, &segment)| Interface {
                name: format!("eth{index}"),
                port: if index == 0 {
                    format!("sw-{name}")
                } else {
                    format!("sw-{name}.{index}")
                },
                segment,
                addresses: self.on(segment, 11 + i),
                mac: [
                    0x02,
                    0x1a,
                    0xb0,
                    octet(index),
                    octet(segment),
                    octet(11 + i),
                ],
            })
            .collect();
        HostLayout {
            name,
            forwards: mine.len() > 1,
            interfaces,
            ways,
        }
    }

    /// Routes to the segments of a line that lie behind host `next`, a neighbour on segment `on`.
    fn beyond(&self, next: usize, far: std::ops::Range<usize>, on: usize, link: &str) -> Vec<Way> {
        far.flat_map(|segment| {
            let vias = self.on(on, 11 + next);
            self.on(segment, 0)
                .into_iter()
                .zip(vias)
                .map(|(to, via)| Way {
                    to: to.trunc(),
                    via: via.addr(),
                    link: link.to_owned(),
                })
        })
        .collect()
    }
}

/// To everywhere by way of a gateway at `eth0`, in each family.
fn default_ways(gateway: &[IpNet]) -> Vec<Way> {
    let ways = gateway.iter().map(|via| Way {
        to: default(*via),
        via: via.addr(),
        link: "eth0".into(),
    });
    ways.collect()
}

/// Numbers are at most 111: [`LabSpec::check`] allows 100 hosts.
fn octet(number: usize) -> u8 {
    u8::try_from(number).expect("a checked spec has at most 100 hosts")
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).expect("the length is a constant that fits the family")
}

fn default(like: IpNet) -> IpNet {
    match like {
        IpNet::V4(_) => net(Ipv4Addr::UNSPECIFIED.into(), 0),
        IpNet::V6(_) => net(Ipv6Addr::UNSPECIFIED.into(), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reaches_both_ways() {
        let spec = LabSpec {
            topology: Topology::Line,
            ipv6: false,
            ..LabSpec::new("x", 4)
        };
        let layout = Layout::of(&spec);
        assert_eq!(layout.segments.len(), 3);
        let ways = |host: &str| -> Vec<String> {
            let host = layout.host(host).unwrap();
            host.ways
                .iter()
                .map(|w| format!("{} via {} dev {}", w.to, w.via, w.link))
                .collect()
        };
        assert_eq!(
            ways("a"),
            [
                "0.0.0.0/0 via 192.168.50.1 dev eth0",
                "192.168.51.0/24 via 192.168.50.12 dev eth0",
                "192.168.52.0/24 via 192.168.50.12 dev eth0",
            ]
        );
        assert_eq!(
            ways("b"),
            [
                "0.0.0.0/0 via 192.168.50.1 dev eth0",
                "192.168.52.0/24 via 192.168.51.13 dev eth1",
            ]
        );
        assert_eq!(ways("c"), ["0.0.0.0/0 via 192.168.51.12 dev eth0"]);
        assert_eq!(ways("d"), ["0.0.0.0/0 via 192.168.52.13 dev eth0"]);
        assert!(layout.host("c").unwrap().forwards && !layout.host("d").unwrap().forwards);
    }

    #[test]
    fn subnets_alternate() {
        let spec = LabSpec {
            topology: Topology::Subnets,
            ..LabSpec::new("x", 3)
        };
        let layout = Layout::of(&spec);
        let of = |i: usize| layout.hosts[i].interfaces[0].addresses[0].to_string();
        assert_eq!(of(0), "192.168.50.11/24");
        assert_eq!(of(1), "192.168.51.12/24");
        assert_eq!(of(2), "192.168.50.13/24");
    }
}

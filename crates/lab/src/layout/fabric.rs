//! The layout of a leaf-spine: two spines, four leaves, and a rack of hosts below each leaf.
//!
//! ```text
//!   spine1          spine2          each joined to every leaf by a wire of its own
//!  ╱ │  │ ╲        ╱ │  │ ╲
//! leaf1  leaf2  leaf3  leaf4        each the gateway of its rack
//!   │      │      │      │
//!  a, e   b, f   c, g   d, h        host i is in rack i modulo 4
//! ```
//!
//! Where hosts are below two leaves each, those of racks 1 and 2 have their `eth1` in the other one of
//! these two, and those of 3 and 4 likewise; their default route is by `eth0` alone.
//!
//! Rack `k` is segment `k`. The wire between leaf `l` and spine `s` (from 0) is segment
//! `4 + 2 l + s`: 192.168.100.2n/31 (RFC 3021) and fd50:100:0:n::/127 (RFC 6164) with n = 2 l + s,
//! the spine at the lower address. A leaf has its rack at `eth0`, the spines at `eth1` and `eth2`; a
//! spine has the leaves at `eth1` to `eth4`. Nobody has a route to what it is not on: those are to
//! come from what runs on the routers. There is no internet.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::{HostLayout, Interface, Layout, Numbers, Segment, default_ways, net, octet};
use crate::spec::{LabSpec, Topology};

/// How many spines there are.
const SPINES: usize = 2;
/// How many leaves there are.
const LEAVES: usize = 4;

/// The names of its routers, leaves first.
pub(crate) fn routers() -> Vec<String> {
    let leaves = (1..=LEAVES).map(|n| format!("leaf{n}"));
    let spines = (1..=SPINES).map(|n| format!("spine{n}"));
    leaves.chain(spines).collect()
}

pub(super) fn layout(spec: &LabSpec) -> Layout {
    let numbers = Numbers { ipv6: spec.ipv6 };
    let leaves =
        (0..LEAVES).map(|leaf| router(&format!("leaf{}", leaf + 1), at_leaf(leaf, &numbers)));
    let spines =
        (0..SPINES).map(|spine| router(&format!("spine{}", spine + 1), at_spine(spine, &numbers)));
    let segments = (0..LEAVES + LEAVES * SPINES).map(|k| Segment {
        bridge: format!("sw{k}"),
        gateway: Vec::new(),
    });
    Layout {
        mtu: spec.mtu,
        segments: segments.collect(),
        hosts: (0..spec.hosts.len())
            .map(|i| host(spec, i, &numbers))
            .collect(),
        routers: leaves.chain(spines).collect(),
        ways: Vec::new(),
        internet: Vec::new(),
    }
}

fn host(spec: &LabSpec, i: usize, numbers: &Numbers) -> HostLayout {
    let (name, rack) = (spec.hosts[i].clone(), i % LEAVES);
    let partner = (spec.topology == Topology::DualLeafSpine).then_some(rack ^ 1);
    let interface = |(index, rack): (usize, usize)| Interface {
        name: format!("eth{index}"),
        port: match index {
            0 => format!("sw-{name}"),
            _ => format!("sw-{name}.{index}"),
        },
        segment: rack,
        addresses: numbers.on(rack, 11 + i),
        mac: [0x02, 0x1a, 0xb0, octet(index), octet(rack), octet(11 + i)],
    };
    let racks = std::iter::once(rack).chain(partner);
    HostLayout {
        ways: default_ways(&numbers.on(rack, 1)),
        interfaces: racks.enumerate().map(interface).collect(),
        forwards: false,
        name,
    }
}

/// What a router is joined to: interface, segment, addresses.
type Plug = (usize, usize, Vec<IpNet>);

fn at_leaf(leaf: usize, numbers: &Numbers) -> Vec<Plug> {
    let rack = (0, leaf, numbers.on(leaf, 1));
    let up = (0..SPINES).map(|spine| wire(spine + 1, leaf, spine, numbers, 1));
    std::iter::once(rack).chain(up).collect()
}

fn at_spine(spine: usize, numbers: &Numbers) -> Vec<Plug> {
    let down = (0..LEAVES).map(|leaf| wire(leaf + 1, leaf, spine, numbers, 0));
    down.collect()
}

/// The end of a wire: 0 is the spine's, 1 the leaf's.
fn wire(index: usize, leaf: usize, spine: usize, numbers: &Numbers, end: usize) -> Plug {
    let n = SPINES * leaf + spine;
    let v4 = net(Ipv4Addr::new(192, 168, 100, octet(2 * n + end)).into(), 31);
    let n6 = u16::from(octet(n));
    let v6 = Ipv6Addr::new(0xfd50, 0x100, 0, n6, 0, 0, 0, u16::from(octet(end)));
    let mut addresses = vec![v4];
    if numbers.ipv6 {
        addresses.push(net(v6.into(), 127));
    }
    (index, LEAVES + n, addresses)
}

fn router(name: &str, plugs: Vec<Plug>) -> HostLayout {
    let spine = u8::from(name.starts_with("spine"));
    let interfaces = plugs
        .into_iter()
        .map(|(index, segment, addresses)| Interface {
            name: format!("eth{index}"),
            port: format!("sw-{name}.{index}"),
            segment,
            addresses,
            // On a wire the two ends differ in the last byte; hosts have 11 and more there.
            mac: [0x02, 0x1a, 0xb0, octet(index), octet(segment), 1 + spine],
        });
    HostLayout {
        name: name.to_owned(),
        interfaces: interfaces.collect(),
        ways: Vec::new(),
        forwards: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fabric(hosts: usize) -> Layout {
        with(Topology::LeafSpine, hosts)
    }

    fn with(topology: Topology, hosts: usize) -> Layout {
        Layout::of(&LabSpec {
            topology,
            ..LabSpec::new("x", hosts)
        })
    }

    #[test]
    fn hosts_are_dealt_to_the_racks() {
        let layout = fabric(5);
        let told = |host: &str| {
            let host = layout.host(host).unwrap();
            let ways: Vec<String> = host.ways.iter().map(|way| way.via.to_string()).collect();
            format!("{} via {}", host.interfaces[0].addresses[0], ways.join(" "))
        };
        assert_eq!(told("a"), "192.168.50.11/24 via 192.168.50.1 fd50::1");
        assert_eq!(told("d"), "192.168.53.14/24 via 192.168.53.1 fd50:3::1");
        assert_eq!(told("e"), "192.168.50.15/24 via 192.168.50.1 fd50::1");
    }

    #[test]
    fn hosts_below_two_leaves_share_them_in_pairs() {
        let layout = with(Topology::DualLeafSpine, 4);
        let told = |host: &str| -> Vec<String> {
            let interfaces = &layout.host(host).unwrap().interfaces;
            let told = interfaces.iter();
            told.map(|i| format!("{} {} {}", i.name, i.port, i.addresses[0]))
                .collect()
        };
        assert_eq!(
            told("a"),
            ["eth0 sw-a 192.168.50.11/24", "eth1 sw-a.1 192.168.51.11/24"]
        );
        assert_eq!(
            told("d"),
            ["eth0 sw-d 192.168.53.14/24", "eth1 sw-d.1 192.168.52.14/24"]
        );
    }

    #[test]
    fn each_leaf_has_a_wire_to_each_spine() {
        let layout = fabric(1);
        let ends = |segment: usize| -> Vec<String> {
            let all = layout.routers.iter().flat_map(|router| {
                let of = router.interfaces.iter().filter(|i| i.segment == segment);
                of.map(|i| format!("{} {} {}", router.name, i.name, i.addresses[0]))
            });
            all.collect()
        };
        assert_eq!(
            ends(4),
            [
                "leaf1 eth1 192.168.100.1/31",
                "spine1 eth1 192.168.100.0/31"
            ]
            .map(str::to_owned)
        );
        for segment in LEAVES..layout.segments.len() {
            assert_eq!(ends(segment).len(), 2, "segment {segment}");
        }
    }

    #[test]
    fn no_router_has_a_route_of_its_own() {
        let layout = fabric(8);
        assert!(layout.routers.iter().all(|router| router.ways.is_empty()));
        assert!(layout.routers.iter().all(|router| router.forwards));
        assert_eq!(routers().len(), layout.routers.len());
    }
}

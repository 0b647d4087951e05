//! What the tests of the codec share: a context, and values at random.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use tombolo_bgp::message::{Capability, GracefulRestart, Negotiated, Open};
use tombolo_bgp::simulate::agreement;
use tombolo_bgp::{
    AsPath, AsSegment, Asn, Attributes, Community, Families, Family, LargeCommunity, NextHop, Nlri,
    Origin, PathId, RouterId, Unknown,
};

/// The peer's system in every context.
pub const PEER: Asn = Asn(65010);

/// An internal session of everything that there is.
pub fn context() -> Negotiated {
    Negotiated {
        internal: true,
        extended_next_hop: true,
        ..agreement(PEER, RouterId(Ipv4Addr::new(192, 0, 2, 2)))
    }
}

/// Internal sessions in which systems have two octets or four, and prefixes a path or none.
pub fn contexts() -> impl Strategy<Value = Negotiated> {
    any::<(bool, bool)>().prop_map(|(four_octet, add_path)| {
        let families = if add_path {
            Families::ALL
        } else {
            Families::default()
        };
        Negotiated {
            four_octet,
            add_path_send: families,
            add_path_receive: families,
            ..context()
        }
    })
}

pub fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

/// Prefixes to which there can be a route.
pub fn prefixes(family: Family) -> BoxedStrategy<IpNet> {
    let net = match family {
        Family::Ipv4 => (1_u32..0xDFFF_FFFF, 0_u8..=32)
            .prop_map(|(bits, length)| {
                IpNet::V4(Ipv4Net::new(Ipv4Addr::from(bits), length).unwrap().trunc())
            })
            .boxed(),
        Family::Ipv6 => (any::<u128>(), 0_u8..=128)
            .prop_map(|(bits, length)| {
                let bits = bits >> 3 | 1 << 125;
                IpNet::V6(Ipv6Net::new(Ipv6Addr::from(bits), length).unwrap().trunc())
            })
            .boxed(),
    };
    net.prop_filter("loopback", |net| !net.addr().is_loopback())
        .boxed()
}

/// Prefixes of a family, each with a path if `add_path`.
pub fn nlri(family: Family, add_path: bool) -> impl Strategy<Value = Nlri> {
    (prefixes(family), any::<u32>()).prop_map(move |(prefix, path)| Nlri {
        prefix,
        path: PathId(if add_path { path } else { 0 }),
    })
}

fn systems() -> impl Strategy<Value = Asn> {
    prop_oneof![1_u32..70000, 1..u32::MAX]
        .prop_filter("stands for others", |asn| *asn != 23456)
        .prop_map(Asn)
}

fn segments() -> impl Strategy<Value = AsSegment> {
    let of = |systems: BoxedStrategy<Vec<Asn>>| {
        prop_oneof![
            3 => systems.clone().prop_map(AsSegment::Sequence),
            1 => systems.prop_map(AsSegment::Set),
        ]
    };
    of(vec(systems(), 1..6).boxed())
}

/// Next hops that a family can have.
pub fn next_hops(family: Family) -> impl Strategy<Value = NextHop> {
    let long = (any::<u64>(), option::of(any::<u64>())).prop_map(|(host, link)| NextHop::V6 {
        global: Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(host)),
        link_local: link.map(|host| Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(host))),
    });
    match family {
        Family::Ipv4 => prop_oneof![
            (0x0A00_0001_u32..0x0AFF_FFFF).prop_map(|bits| NextHop::V4(Ipv4Addr::from(bits))),
            long
        ]
        .boxed(),
        Family::Ipv6 => long.boxed(),
    }
}

/// What an internal session may tell of a route.
pub fn attributes(family: Family) -> impl Strategy<Value = Attributes> {
    let first = (
        prop_oneof![
            Just(Origin::Igp),
            Just(Origin::Egp),
            Just(Origin::Incomplete)
        ],
        vec(segments(), 0..4).prop_map(AsPath),
        next_hops(family),
        option::of(any::<u32>()),
        option::of(any::<u32>()),
        any::<bool>(),
        option::of((systems(), any::<u32>().prop_map(Ipv4Addr::from))),
    );
    let large = any::<(u32, u32, u32)>().prop_map(|(a, b, c)| LargeCommunity(a, b, c));
    let second = (
        btree_set(any::<u32>().prop_map(Community), 0..80),
        btree_set(large, 0..30),
        option::of(any::<u32>().prop_map(|bits| RouterId(Ipv4Addr::from(bits)))),
        vec(
            any::<u32>().prop_map(|bits| RouterId(Ipv4Addr::from(bits))),
            0..4,
        ),
        vec(any::<u8>(), 0..300),
        vec(any::<[u8; 8]>(), 0..4),
    );
    (first, second).prop_map(|(first, second)| {
        let (origin, as_path, next_hop, med, local_pref, atomic_aggregate, aggregator) = first;
        let (communities, large, originator_id, cluster_list, other, extended) = second;
        let extended = Unknown {
            code: 16,
            value: extended.concat(),
        };
        let other = Unknown {
            code: 200,
            value: other,
        };
        Attributes {
            origin,
            as_path,
            next_hop,
            med,
            local_pref,
            atomic_aggregate,
            aggregator,
            communities: communities.into_iter().collect(),
            large_communities: large.into_iter().collect(),
            originator_id,
            cluster_list,
            unknown: [extended, other]
                .into_iter()
                .filter(|unknown| !unknown.value.is_empty())
                .collect(),
        }
    })
}

fn capabilities() -> impl Strategy<Value = Capability> {
    let restart = (
        any::<(bool, bool)>(),
        0_u16..4096,
        vec((families(), any::<bool>()), 0..3),
    );
    let restart = restart.prop_map(|((restarting, notification), time, families)| {
        Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification,
            time,
            families,
        })
    });
    let add_path =
        (families(), 1_u8..4).prop_map(|(family, mode)| (family, mode & 1 != 0, mode & 2 != 0));
    prop_oneof![
        families().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::EnhancedRefresh),
        systems().prop_map(Capability::FourOctetAs),
        vec((families(), families()), 0..3).prop_map(Capability::ExtendedNextHop),
        restart,
        vec((families(), any::<bool>(), 0_u32..1 << 24), 0..3).prop_map(Capability::LongLived),
        vec(add_path, 0..3).prop_map(Capability::AddPath),
        (130_u8..=255, vec(any::<u8>(), 0..256))
            .prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}

/// OPENs, some of more than 255 bytes of capabilities.
pub fn opens() -> impl Strategy<Value = Open> {
    let hold_time = prop_oneof![Just(0_u16), 3_u16..];
    (systems(), hold_time, 1_u32.., vec(capabilities(), 0..8)).prop_map(
        |(asn, hold_time, router_id, mut capabilities)| {
            capabilities.retain(|capability| !matches!(capability, Capability::FourOctetAs(_)));
            capabilities.push(Capability::FourOctetAs(asn));
            let router_id = RouterId(Ipv4Addr::from(router_id));
            Open {
                asn,
                hold_time,
                router_id,
                capabilities,
            }
        },
    )
}

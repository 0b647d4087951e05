//! What attributes and prefixes are on the wire (RFC 4271 sections 4.3, 5 and 6.3; RFC 6793, 8950, 7911).
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "the tests of values at random use more of it")]
mod support;

use std::net::IpAddr;

use raw::{
    AS_PATH, MP_REACH, MP_UNREACH, NEXT_HOP, ORIGIN, PREFIX, assert_notifies, attribute, read,
    update, with,
};
use support::context;
use tombolo_bgp::message::{
    Negotiated, TooLong, encode_announced, encode_end_of_rib, encode_withdrawn, frame,
};
use tombolo_bgp::{
    AsPath, AsSegment, Asn, Attributes, Community, Families, Family, NextHop, Nlri, Origin, PathId,
    Unknown,
};

fn short() -> Negotiated {
    Negotiated {
        four_octet: false,
        ..context()
    }
}

fn nlri(prefix: &str) -> Nlri {
    Nlri {
        prefix: prefix.parse().unwrap(),
        path: PathId(0),
    }
}

fn local(next_hop: &str) -> Attributes {
    Attributes::local(NextHop::from(next_hop.parse::<IpAddr>().unwrap()))
}

fn sequence(systems: &[u32]) -> AsSegment {
    AsSegment::Sequence(systems.iter().copied().map(Asn).collect())
}

/// The attributes of a message that announces, as they stand there.
fn written(attributes: &Attributes, context: &Negotiated) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_announced(
        attributes,
        Family::Ipv4,
        &[nlri("10.1.0.0/16")],
        context,
        &mut bytes,
    )
    .unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[21], bytes[22]]));
    bytes[23..23 + length].to_vec()
}

/// Read again by another.
fn through(attributes: &Attributes, context: &Negotiated) -> Attributes {
    let mut bytes = Vec::new();
    encode_announced(
        attributes,
        Family::Ipv4,
        &[nlri("10.1.0.0/16")],
        context,
        &mut bytes,
    )
    .unwrap();
    read(&bytes, context).unwrap().announced.remove(0).0
}

#[test]
fn rfc4271_4_3_1_an_update_withdraws_and_announces() {
    let mut bytes = Vec::new();
    encode_announced(
        &local("10.0.0.7"),
        Family::Ipv4,
        &[nlri("10.1.0.0/16")],
        &context(),
        &mut bytes,
    )
    .unwrap();
    let attributes = [ORIGIN, &attribute(0x40, 2, &[]), NEXT_HOP];
    assert_eq!(bytes, update(&[], &attributes, PREFIX));
    let mut bytes = Vec::new();
    encode_withdrawn(Family::Ipv4, &[nlri("10.1.0.0/16")], &context(), &mut bytes);
    assert_eq!(bytes, update(PREFIX, &[], &[]));
}

#[test]
fn rfc4271_4_3_2_bits_beyond_a_prefix_mean_nothing() {
    let bytes = update(&[12, 10, 0xFF, 0, 1, 0x80], &[], &[]);
    let read = read(&bytes, &context()).unwrap();
    let text: Vec<String> = read
        .withdrawn
        .iter()
        .map(|nlri| nlri.prefix.to_string())
        .collect();
    assert_eq!(text, ["10.240.0.0/12", "0.0.0.0/0", "128.0.0.0/1"]);
}

#[test]
fn rfc4271_4_3_3_flags_are_those_of_the_attributes() {
    let attributes = Attributes {
        med: Some(1),
        local_pref: Some(2),
        atomic_aggregate: true,
        aggregator: Some((Asn(9), [1, 2, 3, 4].into())),
        communities: vec![Community(1)],
        unknown: vec![Unknown {
            code: 99,
            value: vec![5; 256],
        }],
        ..local("10.0.0.7")
    };
    let expected = [
        ORIGIN,
        &attribute(0x40, 2, &[]),
        NEXT_HOP,
        &attribute(0x80, 4, &[0, 0, 0, 1]),
        &attribute(0x40, 5, &[0, 0, 0, 2]),
        &attribute(0x40, 6, &[]),
        &attribute(0xC0, 7, &[0, 0, 0, 9, 1, 2, 3, 4]),
        &attribute(0xC0, 8, &[0, 0, 0, 1]),
        // Optional, transitive, partial since it was not known here, and long.
        &[0xF0, 99, 1, 0],
        &[5; 256],
    ];
    assert_eq!(written(&attributes, &context()), expected.concat());
}

#[test]
fn rfc4271_4_3_4_what_is_withdrawn_and_announced_is_both_told() {
    let read = read(
        &update(PREFIX, &[ORIGIN, AS_PATH, NEXT_HOP], PREFIX),
        &context(),
    )
    .unwrap();
    assert_eq!(read.withdrawn, [nlri("10.1.0.0/16")]);
    assert_eq!(read.announced[0].1, [nlri("10.1.0.0/16")]);
}

#[test]
fn rfc4271_4_3_5_the_shortest_update_says_nothing() {
    let read = read(&update(&[], &[], &[]), &context()).unwrap();
    assert_eq!((read.withdrawn, read.announced), (vec![], vec![]));
    // Which is the end of IPv4 (RFC 4724 section 2).
    assert_eq!(read.end_of_rib, Some(Family::Ipv4));
}

#[test]
fn rfc4271_5_1_attributes_come_in_any_order() {
    let read = read(
        &update(&[], &[NEXT_HOP, AS_PATH, ORIGIN], PREFIX),
        &context(),
    )
    .unwrap();
    assert_eq!(read.faults, Vec::<String>::new());
    assert_eq!(
        read.announced[0].0.as_path,
        AsPath(vec![sequence(&[65010])])
    );
}

#[test]
fn rfc4271_5_2_what_is_not_known_and_transitive_is_passed_on_as_partial() {
    let told = with(&[&attribute(0xC0, 200, &[1, 2])], &context())
        .unwrap()
        .announced
        .remove(0)
        .0;
    assert_eq!(
        told.unknown,
        [Unknown {
            code: 200,
            value: vec![1, 2]
        }]
    );
    let bytes = written(&told, &context());
    assert!(bytes.ends_with(&attribute(0xE0, 200, &[1, 2])), "{bytes:?}");
}

#[test]
fn rfc4271_5_3_what_is_not_known_and_not_transitive_is_quietly_ignored() {
    let told = with(&[&attribute(0x80, 26, &[1, 0, 3])], &context()).unwrap();
    assert_eq!(told.faults, Vec::<String>::new());
    assert_eq!(told.announced[0].0.unknown, []);
}

#[test]
fn rfc4271_6_3_1_a_well_known_attribute_that_is_not_known_ends_the_session() {
    let odd = attribute(0x40, 200, &[1, 2]);
    assert_notifies(&with(&[&odd], &context()).unwrap_err(), (3, 2, &odd));
}

#[test]
fn rfc4271_6_3_2_a_prefix_that_means_nothing_is_left_out() {
    let all = [ORIGIN, AS_PATH, NEXT_HOP];
    let odd = [&[8, 224, 8, 127, 4, 0xE0][..], PREFIX].concat();
    let told = read(&update(&[], &all, &odd), &context()).unwrap();
    assert_eq!(told.announced[0].1, [nlri("10.1.0.0/16")]);
    assert_eq!(told.faults.len(), 1, "{:?}", told.faults);
    let told = read(&update(&[], &all, &[8, 224]), &context()).unwrap();
    assert_eq!(told.announced, []);
}

#[test]
fn paths_of_four_octets_survive_a_speaker_of_two() {
    for path in [
        vec![sequence(&[70000, 1, 65010])],
        vec![sequence(&[1, 2])],
        vec![sequence(&[1]), sequence(&[70000])],
        vec![sequence(&[70000]), AsSegment::Set(vec![Asn(80000), Asn(2)])],
        vec![],
    ] {
        let attributes = Attributes {
            as_path: AsPath(path),
            ..local("10.0.0.7")
        };
        assert_eq!(through(&attributes, &short()), attributes);
    }
    let attributes = Attributes {
        aggregator: Some((Asn(70000), [1, 2, 3, 4].into())),
        ..local("10.0.0.7")
    };
    assert_eq!(through(&attributes, &short()), attributes);
}

#[test]
fn what_two_octet_speakers_put_in_front_stays_there() {
    // 1 and 2 are in front of 23456 23456, which are 70000 80000.
    let path = attribute(0x40, 2, &[2, 4, 0, 1, 0, 2, 0x5B, 0xA0, 0x5B, 0xA0]);
    let long = attribute(0xC0, 17, &[2, 2, 0, 1, 0x11, 0x70, 0, 1, 0x38, 0x80]);
    let merged = |attributes: &[&[u8]]| {
        let mut all = vec![ORIGIN, NEXT_HOP];
        all.extend_from_slice(attributes);
        let mut told = read(&update(&[], &all, PREFIX), &short()).unwrap();
        told.announced.remove(0).0.as_path
    };
    assert_eq!(
        merged(&[&path, &long]),
        AsPath(vec![sequence(&[1, 2, 70000, 80000])])
    );
    // Somebody aggregated since: the aggregator is of two octets though there is a twin.
    let aggregator = attribute(0xC0, 7, &[0, 9, 1, 2, 3, 4]);
    let twin = attribute(0xC0, 18, &[0, 1, 0x11, 0x70, 1, 2, 3, 4]);
    let kept = merged(&[&path, &aggregator, &long, &twin]);
    assert_eq!(kept, AsPath(vec![sequence(&[1, 2, 23456, 23456])]));
    // The twin of the path is longer than the path.
    let brief = attribute(0x40, 2, &[2, 1, 0, 1]);
    assert_eq!(merged(&[&brief, &long]), AsPath(vec![sequence(&[1])]));
    // A set counts as one.
    let set = attribute(0x40, 2, &[1, 2, 0, 1, 0, 2, 2, 2, 0x5B, 0xA0, 0x5B, 0xA0]);
    let set_first = AsPath(vec![
        AsSegment::Set(vec![Asn(1), Asn(2)]),
        sequence(&[70000, 80000]),
    ]);
    assert_eq!(merged(&[&set, &long]), set_first);
}

#[test]
fn a_path_of_more_than_255_systems_has_several_segments() {
    let systems: Vec<u32> = (1..=300).collect();
    let attributes = Attributes {
        as_path: AsPath(vec![sequence(&systems)]),
        ..local("10.0.0.7")
    };
    let read = through(&attributes, &context()).as_path;
    assert_eq!(read.length(), 300);
    assert_eq!(read.0.len(), 2);
}

#[test]
fn next_hops_of_ipv6_are_read_with_one_of_the_link() {
    let global = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let link = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    let hop = |bytes: &[&[u8]], afi: u8, prefix: &[u8]| {
        let hop = bytes.concat();
        let length = u8::try_from(hop.len()).unwrap();
        let value = [&[0, afi, 1, length][..], &hop, &[0], prefix].concat();
        let bytes = update(&[], &[&attribute(0x80, 14, &value), ORIGIN, AS_PATH], &[]);
        read(&bytes, &context())
            .unwrap()
            .announced
            .remove(0)
            .0
            .next_hop
    };
    let v6 = |global: [u8; 16], link: Option<[u8; 16]>| NextHop::V6 {
        global: global.into(),
        link_local: link.map(Into::into),
    };
    for (afi, prefix) in [(1, PREFIX), (2, &[16, 0xfd, 0][..])] {
        assert_eq!(hop(&[&global], afi, prefix), v6(global, None));
        assert_eq!(hop(&[&global, &link], afi, prefix), v6(global, Some(link)));
        // No global one: the link's stands for it.
        assert_eq!(hop(&[&link], afi, prefix), v6(link, None));
        assert_eq!(hop(&[&link, &link], afi, prefix), v6(link, None));
        assert_eq!(hop(&[&[0; 16], &link], afi, prefix), v6(link, None));
        // What should be the link's is not.
        assert_eq!(hop(&[&global, &global], afi, prefix), v6(global, None));
    }
    assert_eq!(
        hop(&[&[10, 0, 0, 9]], 1, PREFIX),
        NextHop::V4([10, 0, 0, 9].into())
    );
}

#[test]
fn ipv4_by_ipv6_and_ipv6_go_in_the_multiprotocol_attribute_which_comes_first() {
    let mut bytes = Vec::new();
    let attributes = local("2001:db8::1");
    encode_announced(
        &attributes,
        Family::Ipv6,
        &[nlri("fd00:1::/32")],
        &context(),
        &mut bytes,
    )
    .unwrap();
    let reach = [&[0x90, 14, 0, 26][..], &MP_REACH[3..]].concat();
    assert_eq!(
        bytes,
        update(&[], &[&reach, ORIGIN, &attribute(0x40, 2, &[])], &[])
    );
    let mut bytes = Vec::new();
    encode_announced(
        &attributes,
        Family::Ipv4,
        &[nlri("10.1.0.0/16")],
        &context(),
        &mut bytes,
    )
    .unwrap();
    let told = read(&bytes, &context()).unwrap();
    assert_eq!(told.announced, [(attributes, vec![nlri("10.1.0.0/16")])]);
    let mut bytes = Vec::new();
    encode_withdrawn(Family::Ipv6, &[nlri("fd00:2::/32")], &context(), &mut bytes);
    let unreach = [&[0x90, 15, 0, 8][..], &MP_UNREACH[3..]].concat();
    assert_eq!(bytes, update(&[], &[&unreach], &[]));
}

#[test]
fn the_end_of_a_family_is_told_and_read() {
    for family in Family::ALL {
        let mut bytes = Vec::new();
        encode_end_of_rib(family, &mut bytes);
        assert_eq!(read(&bytes, &context()).unwrap().end_of_rib, Some(family));
    }
    // Some tell that of IPv4, too, by the attribute.
    let end = update(&[], &[&attribute(0x80, 15, &[0, 1, 1])], &[]);
    assert_eq!(
        read(&end, &context()).unwrap().end_of_rib,
        Some(Family::Ipv4)
    );
    // With anything else in it, it is none.
    let no_end = update(PREFIX, &[&attribute(0x80, 15, &[0, 2, 1])], &[]);
    assert_eq!(read(&no_end, &context()).unwrap().end_of_rib, None);
}

#[test]
fn prefixes_have_paths_where_that_was_agreed_on() {
    let context = Negotiated {
        add_path_send: Families {
            ipv4: true,
            ipv6: false,
        },
        add_path_receive: Families {
            ipv4: true,
            ipv6: false,
        },
        ..context()
    };
    let prefix = Nlri {
        path: PathId(258),
        ..nlri("10.1.0.0/16")
    };
    let mut bytes = Vec::new();
    encode_withdrawn(Family::Ipv4, &[prefix], &context, &mut bytes);
    assert_eq!(bytes, update(&[0, 0, 1, 2, 16, 10, 1], &[], &[]));
    assert_eq!(read(&bytes, &context).unwrap().withdrawn, [prefix]);
    let cut = update(&[0, 0, 1], &[], &[]);
    assert_eq!(read(&cut, &context).unwrap_err().notification.subcode, 10);
}

#[test]
fn messages_are_filled_to_the_brim() {
    let prefixes: Vec<Nlri> = (0..10_000_u32)
        .map(|n| nlri(&format!("10.{}.{}.0/24", n / 256, n % 256)))
        .collect();
    let mut bytes = Vec::new();
    encode_announced(
        &local("10.0.0.7"),
        Family::Ipv4,
        &prefixes,
        &context(),
        &mut bytes,
    )
    .unwrap();
    let mut rest = bytes.as_slice();
    let mut lengths = Vec::new();
    while let Some(length) = frame(rest).unwrap() {
        lengths.push(length);
        rest = &rest[length..];
    }
    // 4096 less 37 hold 1014 prefixes of 4 bytes.
    assert_eq!(lengths.len(), 10);
    assert_eq!(lengths[..9], [37 + 1014 * 4; 9]);
}

#[test]
fn attributes_without_room_for_a_prefix_are_refused() {
    let communities: Vec<Community> = (0..1013).map(Community).collect();
    let attributes = Attributes {
        communities,
        ..local("10.0.0.7")
    };
    let mut bytes = Vec::new();
    let refused = encode_announced(
        &attributes,
        Family::Ipv4,
        &[nlri("10.1.0.0/16")],
        &context(),
        &mut bytes,
    );
    assert_eq!(refused, Err(TooLong { length: 14 + 4056 }));
    assert!(bytes.is_empty());
}

#[test]
fn extended_communities_that_are_not_transitive_stay_within_the_system() {
    let (passes, stays) = ([0_u8, 2, 0, 1, 0, 0, 0, 1], [0x40_u8, 4, 0, 1, 0, 0, 0, 1]);
    let unknown = vec![Unknown {
        code: 16,
        value: [stays, passes].concat(),
    }];
    let attributes = Attributes {
        unknown,
        ..local("10.0.0.7")
    };
    let outside = Negotiated {
        internal: false,
        ..context()
    };
    assert!(written(&attributes, &outside).ends_with(&attribute(0xC0, 16, &passes)));
    assert!(written(&attributes, &context()).ends_with(&attribute(
        0xC0,
        16,
        &[stays, passes].concat()
    )));
    let unknown = vec![Unknown {
        code: 16,
        value: stays.to_vec(),
    }];
    let attributes = Attributes {
        unknown,
        ..attributes
    };
    assert!(written(&attributes, &outside).ends_with(NEXT_HOP));
}

#[test]
fn origins_have_their_numbers() {
    for (value, origin) in [(0, Origin::Igp), (1, Origin::Egp), (2, Origin::Incomplete)] {
        let attributes = Attributes {
            origin,
            ..local("10.0.0.7")
        };
        assert!(written(&attributes, &context()).starts_with(&attribute(0x40, 1, &[value])));
        assert_eq!(through(&attributes, &context()).origin, origin);
    }
}

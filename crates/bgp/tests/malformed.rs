//! Malformed UPDATEs, class by class: which are borne and how, which end the session and with which bytes
//! (RFC 7606, and RFC 4271 section 6.3 where it still stands; `spec/rfc7606.toml`).
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "support/raw.rs"]
mod raw;
#[path = "support/mod.rs"]
#[allow(dead_code, reason = "the tests of values at random use more of it")]
mod support;

use raw::{
    AS_PATH, MP_REACH, MP_UNREACH, NEXT_HOP, ORIGIN, PREFIX, assert_notifies, attribute, read,
    update, with,
};
use support::context;
use tombolo_bgp::Attributes;
use tombolo_bgp::message::{Fault, Negotiated, Update};

/// With a peer of another system.
fn external() -> Negotiated {
    Negotiated {
        internal: false,
        ..context()
    }
}

fn prefixes(update: &Update) -> (Vec<String>, Vec<String>) {
    let text = |nlri: &tombolo_bgp::Nlri| nlri.prefix.to_string();
    let announced = update.announced.iter().flat_map(|(_, prefixes)| prefixes);
    (
        update.withdrawn.iter().map(text).collect(),
        announced.map(text).collect(),
    )
}

/// Everything that was announced counts as withdrawn, and that is said.
fn assert_withdrawn(read: Result<Update, Fault>, what: &str) {
    let update = read.unwrap_or_else(|fault| panic!("{what}: the session ended: {fault}"));
    assert_eq!(
        prefixes(&update),
        (vec!["10.1.0.0/16".to_owned()], vec![]),
        "{what}"
    );
    assert!(!update.faults.is_empty(), "{what}");
    assert_eq!(update.end_of_rib, None, "{what}");
}

/// The announcement stands, and what is not kept of it is said.
fn assert_discarded(read: Result<Update, Fault>, what: &str) -> Attributes {
    let update = read.unwrap_or_else(|fault| panic!("{what}: the session ended: {fault}"));
    assert_eq!(
        prefixes(&update),
        (vec![], vec!["10.1.0.0/16".to_owned()]),
        "{what}"
    );
    assert_eq!(update.faults.len(), 1, "{what}: {:?}", update.faults);
    update.announced.into_iter().next().unwrap().0
}

fn assert_resets(read: Result<Update, Fault>, expected: (u8, &[u8])) {
    let fault = read.expect_err("the session ends");
    assert_notifies(&fault, (3, expected.0, expected.1));
}

/// A value in place of a mandatory one.
fn replaced(attribute: &[u8], context: &Negotiated) -> Result<Update, Fault> {
    let mut all = [ORIGIN, AS_PATH, NEXT_HOP];
    let of = all.iter_mut().find(|other| other[1] == attribute[1]);
    *of.unwrap() = attribute;
    read(&update(&[], &all, PREFIX), context)
}

#[test]
fn what_is_right_is_announced() {
    let update = with(&[], &context()).unwrap();
    assert_eq!(prefixes(&update), (vec![], vec!["10.1.0.0/16".to_owned()]));
    assert_eq!(update.faults, Vec::<String>::new());
}

#[test]
fn rfc7606_3_1_fields_longer_than_the_message_end_the_session() {
    for body in [
        &[0, 1, 0, 0][..],
        &[0, 0, 0, 1],
        &[0, 2, 8, 10, 0, 9, 1],
        &[0xFF, 0xFF, 0, 0],
    ] {
        assert_resets(read(&raw::message(2, body), &context()), (1, &[]));
    }
}

#[test]
fn rfc7606_3_2_flags_that_are_not_the_attributes_withdraw() {
    for (attributes, what) in [
        (attribute(0xC0, 1, &[0]), "an optional ORIGIN"),
        (attribute(0x00, 1, &[0]), "an ORIGIN that is not transitive"),
        (attribute(0x80, 3, &[10, 0, 0, 7]), "an optional NEXT_HOP"),
    ] {
        assert_withdrawn(replaced(&attributes, &context()), what);
    }
    for (attributes, what) in [
        (attribute(0xC0, 4, &[0, 0, 0, 1]), "a transitive MED"),
        (attribute(0x40, 4, &[0, 0, 0, 1]), "a well-known MED"),
        (attribute(0x80, 5, &[0, 0, 0, 1]), "an optional LOCAL_PREF"),
        (
            attribute(0x80, 8, &[0, 0, 0, 1]),
            "COMMUNITIES that are not transitive",
        ),
        (
            attribute(0x40, 32, &[0; 12]),
            "well-known LARGE COMMUNITIES",
        ),
        // Their values would only be discarded.
        (attribute(0xC0, 6, &[]), "an optional ATOMIC_AGGREGATE"),
        (
            attribute(0x80, 7, &[0, 0, 0, 9, 1, 2, 3, 4]),
            "an AGGREGATOR that is not transitive",
        ),
    ] {
        assert_withdrawn(with(&[&attributes], &context()), what);
    }
}

#[test]
fn the_other_flags_are_not_looked_at() {
    // Partial, and the four that are unused (RFC 4271 section 4.3).
    let origin = attribute(0x6F, 1, &[2]);
    let update = replaced(&origin, &context()).unwrap();
    assert_eq!(update.faults, Vec::<String>::new());
    let long = [&[0x50, 1, 0, 1][..], &[1]].concat();
    assert_eq!(
        prefixes(&replaced(&long, &context()).unwrap()).1,
        ["10.1.0.0/16"]
    );
}

#[test]
fn rfc7606_3_3_what_must_be_told_and_is_not_withdraws() {
    for missing in [1_u8, 2, 3] {
        let all = [ORIGIN, AS_PATH, NEXT_HOP];
        let others: Vec<&[u8]> = all.into_iter().filter(|each| each[1] != missing).collect();
        let update = read(&update(&[], &others, PREFIX), &context());
        assert_withdrawn(update, &format!("without {missing}"));
    }
    let update = read(&update(&[], &[MP_REACH, AS_PATH], &[]), &context()).unwrap();
    assert_eq!(prefixes(&update).0, ["fd00:1::/32"]);
    // MP_REACH_NLRI has a next hop of its own.
    let update = read(
        &raw::update(&[], &[MP_REACH, ORIGIN, AS_PATH], &[]),
        &context(),
    )
    .unwrap();
    assert_eq!(prefixes(&update).1, ["fd00:1::/32"]);
}

#[test]
fn rfc7606_3_4_what_is_told_twice_counts_once() {
    let again = attribute(0x40, 1, &[2]);
    let attributes = assert_discarded(with(&[&again], &context()), "a second ORIGIN");
    assert_eq!(attributes.origin, tombolo_bgp::Origin::Igp);
    // Though the second be malformed.
    assert_discarded(
        with(&[&attribute(0x40, 1, &[])], &context()),
        "an empty second ORIGIN",
    );
    let unknown = attribute(0xC0, 99, &[1]);
    let attributes = assert_discarded(with(&[&unknown, &unknown], &context()), "99 twice");
    assert_eq!(attributes.unknown.len(), 1);
}

#[test]
fn rfc7606_3_5_two_of_the_multiprotocol_attributes_end_the_session() {
    for twice in [MP_REACH, MP_UNREACH] {
        let update = update(&[], &[twice, ORIGIN, AS_PATH, NEXT_HOP, twice], PREFIX);
        assert_resets(read(&update, &context()), (1, &[]));
    }
}

#[test]
fn rfc7606_3_6_the_gravest_of_several_faults_decides() {
    let origin = attribute(0x40, 1, &[7]);
    let aggregator = attribute(0xC0, 7, &[1]);
    // One attribute that is discarded, one for which all counts as withdrawn: withdrawn.
    assert_withdrawn(
        with(&[&aggregator, &attribute(0x80, 4, &[])], &context()),
        "two faults",
    );
    // And prefixes that cannot be read: the session ends.
    let all = [&aggregator[..], &origin, AS_PATH, NEXT_HOP];
    assert_resets(
        read(&update(&[], &all, &[33, 1, 2, 3, 4, 5]), &context()),
        (10, &[]),
    );
}

#[test]
fn rfc7606_4_1_attributes_longer_than_their_field_withdraw() {
    for (cut, what) in [
        (&[0x80, 4, 4, 0, 0][..], "a value that is cut short"),
        (&[0x40], "flags alone"),
        (&[0x80, 4], "no length"),
        (&[0x90, 4, 0], "half a length"),
    ] {
        assert_withdrawn(with(&[cut], &context()), what);
    }
}

#[test]
fn rfc7606_4_2_the_field_says_where_the_prefixes_begin() {
    // An attribute that claims the prefixes' bytes, too, gets none of them.
    let update = with(&[&[0x80, 4, 7, 0, 0, 0, 1]], &context());
    assert_withdrawn(update, "a length that reaches into the prefixes");
    // But where it is MP_REACH_NLRI there are prefixes that nobody can know.
    let cut = [MP_REACH, &[]].concat();
    let update = read(
        &raw::update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &cut[..9]], PREFIX),
        &context(),
    );
    assert_resets(update, (1, &[]));
}

#[test]
fn rfc7606_4_3_only_some_attributes_may_be_empty() {
    assert_withdrawn(
        replaced(&attribute(0x40, 1, &[]), &context()),
        "an empty ORIGIN",
    );
    assert_withdrawn(
        replaced(&attribute(0x40, 3, &[]), &context()),
        "an empty NEXT_HOP",
    );
    for code in [4, 9, 10] {
        assert_withdrawn(
            with(&[&attribute(0x80, code, &[])], &context()),
            &format!("an empty {code}"),
        );
    }
    for code in [8, 16, 25, 32] {
        assert_withdrawn(
            with(&[&attribute(0xC0, code, &[])], &context()),
            &format!("an empty {code}"),
        );
    }
    let empty = replaced(&attribute(0x40, 2, &[]), &context()).unwrap();
    assert_eq!(empty.faults, Vec::<String>::new());
    let atomic = with(&[&attribute(0x40, 6, &[])], &context()).unwrap();
    assert!(atomic.announced[0].0.atomic_aggregate);
}

#[test]
fn rfc7606_5_1_all_fields_may_be_in_one_message() {
    let all = [NEXT_HOP, MP_UNREACH, AS_PATH, MP_REACH, ORIGIN];
    let update = read(&update(&[16, 10, 9], &all, PREFIX), &context()).unwrap();
    assert_eq!(
        prefixes(&update),
        (
            vec!["10.9.0.0/16".to_owned(), "fd00:2::/32".to_owned()],
            vec!["10.1.0.0/16".to_owned(), "fd00:1::/32".to_owned()]
        )
    );
    let hops: Vec<_> = update
        .announced
        .iter()
        .map(|(attributes, _)| attributes.next_hop.address())
        .collect();
    assert_eq!(
        hops,
        [
            "10.0.0.7".parse::<std::net::IpAddr>().unwrap(),
            "2001:db8::1".parse().unwrap()
        ]
    );
}

#[test]
fn rfc7606_5_2_a_fault_without_prefixes_ends_the_session() {
    let origin = attribute(0x40, 1, &[7]);
    // The prefixes may be what was lost.
    assert_resets(
        read(&update(&[], &[&origin, AS_PATH, NEXT_HOP], &[]), &context()),
        (6, &origin),
    );
    assert_resets(
        read(&update(&[16, 10, 9], &[&origin], &[]), &context()),
        (6, &origin),
    );
    // Not where an attribute is but discarded.
    let aggregator = attribute(0xC0, 7, &[1]);
    let update = read(&update(&[], &[&aggregator], &[]), &context()).unwrap();
    assert_eq!(update.faults.len(), 1);
    assert_eq!(update.end_of_rib, None);
}

#[test]
fn rfc7606_5_3_prefixes_that_cannot_be_read_end_the_session() {
    let all = [ORIGIN, AS_PATH, NEXT_HOP];
    for odd in [
        &[33, 1, 2, 3, 4, 5][..],
        &[255],
        &[16, 10],
        &[8, 10, 24, 1, 2],
    ] {
        assert_resets(read(&update(&[], &all, odd), &context()), (10, &[]));
        assert_resets(read(&update(odd, &[], &[]), &context()), (10, &[]));
    }
    for odd in [&[129, 1][..], &[16, 0xfd], &[255]] {
        let attribute = attribute(0x80, 15, &[&[0, 2, 1], odd].concat());
        assert_resets(
            read(&update(&[], &[&attribute], &[]), &context()),
            (9, &attribute),
        );
    }
}

#[test]
fn rfc7606_5_4_the_multiprotocol_attributes_are_long_enough_and_have_their_flags() {
    for (code, value) in [(14, &[0, 2, 1, 0][..]), (14, &[]), (15, &[0, 2]), (15, &[])] {
        let attribute = attribute(0x80, code, value);
        let bytes = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &attribute], PREFIX);
        assert_resets(read(&bytes, &context()), (9, &attribute));
    }
    for whole in [MP_REACH, MP_UNREACH] {
        let odd = [&[0xC0][..], &whole[1..]].concat();
        let bytes = update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, &odd], PREFIX);
        assert_resets(read(&bytes, &context()), (4, &odd));
    }
}

#[test]
fn rfc7606_7_1_origin() {
    for value in [&[3][..], &[255], &[0, 0]] {
        assert_withdrawn(
            replaced(&attribute(0x40, 1, value), &context()),
            &format!("{value:?}"),
        );
    }
}

#[test]
fn rfc7606_7_2_as_path() {
    for (value, what) in [
        (
            &[5, 1, 0, 0, 0, 1][..],
            "a segment of a type that there is not",
        ),
        (&[0, 1, 0, 0, 0, 1], "a segment of type 0"),
        (&[2, 2, 0, 0, 0, 1], "a segment that is cut short"),
        (&[2, 1, 0, 0, 0, 1, 2], "a byte after the last segment"),
        (&[2, 0], "a segment without systems"),
        (&[2, 1, 0, 0, 0, 1, 1, 0], "a last segment without systems"),
        (&[2, 1, 0, 0, 0, 0], "system 0 (RFC 7607)"),
    ] {
        assert_withdrawn(replaced(&attribute(0x40, 2, value), &context()), what);
    }
    // RFC 5065 section 5: a confederation's path from outside of it.
    let confederation = attribute(0x40, 2, &[3, 1, 0, 0, 0, 1]);
    assert_withdrawn(replaced(&confederation, &external()), "a confederation");
    assert_eq!(
        prefixes(&replaced(&confederation, &context()).unwrap()).1,
        ["10.1.0.0/16"]
    );
}

#[test]
fn rfc7606_7_3_next_hop() {
    for value in [&[10, 0, 0][..], &[10, 0, 0, 7, 0], &[0; 16]] {
        assert_withdrawn(
            replaced(&attribute(0x40, 3, value), &context()),
            &format!("{value:?}"),
        );
    }
    // RFC 4271 section 6.3: no address of a host.
    for value in [
        [0, 0, 0, 0],
        [224, 0, 0, 5],
        [255, 255, 255, 255],
        [127, 0, 0, 1],
    ] {
        assert_withdrawn(
            replaced(&attribute(0x40, 3, &value), &context()),
            &format!("{value:?}"),
        );
    }
}

#[test]
fn rfc7606_7_4_multi_exit_disc() {
    assert_withdrawn(
        with(&[&attribute(0x80, 4, &[1, 2, 3])], &context()),
        "three bytes",
    );
    assert_withdrawn(
        with(&[&attribute(0x80, 4, &[1, 2, 3, 4, 5])], &context()),
        "five bytes",
    );
}

#[test]
fn rfc7606_7_5_local_pref() {
    assert_withdrawn(
        with(&[&attribute(0x40, 5, &[1, 2, 3])], &context()),
        "three bytes",
    );
    // From another system it is not looked at, malformed or not.
    for value in [&[0, 0, 0, 9][..], &[1, 2, 3]] {
        let attributes =
            assert_discarded(with(&[&attribute(0x40, 5, value)], &external()), "external");
        assert_eq!(attributes.local_pref, None);
    }
}

#[test]
fn rfc7606_7_6_atomic_aggregate() {
    let attributes = assert_discarded(with(&[&attribute(0x40, 6, &[1])], &context()), "a byte");
    assert!(!attributes.atomic_aggregate);
}

#[test]
fn rfc7606_7_7_aggregator() {
    let short = Negotiated {
        four_octet: false,
        ..context()
    };
    for (value, context) in [
        (&[0, 9, 1, 2, 3, 4][..], context()),
        (&[0, 0, 0, 9, 1, 2, 3, 4], short),
        (&[], context()),
        // RFC 7607.
        (&[0, 0, 0, 0, 1, 2, 3, 4], context()),
    ] {
        let attributes =
            assert_discarded(with(&[&attribute(0xC0, 7, value)], &context), "aggregator");
        assert_eq!(attributes.aggregator, None);
    }
}

#[test]
fn rfc7606_7_8_communities() {
    assert_withdrawn(
        with(&[&attribute(0xC0, 8, &[0; 5])], &context()),
        "five bytes",
    );
    // RFC 8092 section 5.
    assert_withdrawn(
        with(&[&attribute(0xC0, 32, &[0; 16])], &context()),
        "16 bytes of large ones",
    );
}

#[test]
fn communities_are_kept_in_order_and_once() {
    let communities = attribute(0xC0, 8, &[0, 2, 0, 2, 0, 1, 0, 1, 0, 2, 0, 2]);
    let update = with(&[&communities], &context()).unwrap();
    let text: Vec<String> = update.announced[0]
        .0
        .communities
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(text, ["1:1", "2:2"]);
}

#[test]
fn rfc7606_7_9_originator_id() {
    assert_withdrawn(
        with(&[&attribute(0x80, 9, &[0; 5])], &context()),
        "five bytes",
    );
    for value in [&[1, 2, 3, 4][..], &[0; 5]] {
        let attributes =
            assert_discarded(with(&[&attribute(0x80, 9, value)], &external()), "external");
        assert_eq!(attributes.originator_id, None);
    }
}

#[test]
fn rfc7606_7_10_cluster_list() {
    assert_withdrawn(
        with(&[&attribute(0x80, 10, &[0; 6])], &context()),
        "six bytes",
    );
    for value in [&[1, 2, 3, 4][..], &[0; 6]] {
        let attributes = assert_discarded(
            with(&[&attribute(0x80, 10, value)], &external()),
            "external",
        );
        assert_eq!(attributes.cluster_list, []);
    }
}

#[test]
fn rfc7606_7_11_mp_reach_with_a_next_hop_of_no_known_length_ends_the_session() {
    let plain = Negotiated {
        extended_next_hop: false,
        ..context()
    };
    for (afi, hop, context) in [
        (2, 4, context()),
        (2, 15, context()),
        (2, 0, context()),
        (1, 5, context()),
        // RFC 8950: only where it was agreed on.
        (1, 16, plain),
    ] {
        let mut value = vec![0, afi, 1, hop];
        value.extend(vec![0x20; usize::from(hop)]);
        value.extend_from_slice(&[0, 8, 10]);
        let attribute = attribute(0x80, 14, &value);
        assert_resets(
            read(&update(&[], &[&attribute, ORIGIN, AS_PATH], &[]), &context),
            (9, &attribute),
        );
    }
}

#[test]
fn a_next_hop_of_ipv6_that_is_no_host_withdraws() {
    for hop in [[0; 16], [0xFF; 16]] {
        let value = [&[0, 1, 1, 16][..], &hop, &[0], PREFIX].concat();
        let update = update(&[], &[&attribute(0x80, 14, &value), ORIGIN, AS_PATH], &[]);
        assert_withdrawn(read(&update, &context()), "an odd next hop");
    }
}

#[test]
fn rfc7606_7_12_mp_unreach_may_hold_nothing() {
    let end = attribute(0x80, 15, &[0, 2, 1]);
    let update = read(&update(&[], &[&end], &[]), &context()).unwrap();
    assert_eq!(update.end_of_rib, Some(tombolo_bgp::Family::Ipv6));
    assert_eq!(update.faults, Vec::<String>::new());
}

#[test]
fn rfc7606_7_14_extended_communities() {
    assert_withdrawn(
        with(&[&attribute(0xC0, 16, &[0; 12])], &context()),
        "12 bytes",
    );
    assert_withdrawn(
        with(&[&attribute(0xC0, 25, &[0; 16])], &context()),
        "16 bytes for IPv6",
    );
    let update = with(&[&attribute(0xC0, 16, &[7; 16])], &context()).unwrap();
    assert_eq!(update.announced[0].0.unknown[0].value, [7; 16]);
}

#[test]
fn twins_of_four_octets_are_passed_over_where_they_are_malformed_or_not_needed() {
    let short = Negotiated {
        four_octet: false,
        ..context()
    };
    for (code, value) in [
        (17, &[2, 1, 0, 0][..]),
        (17, &[9, 1, 0, 0, 0, 1]),
        (18, &[0, 0, 0, 1]),
    ] {
        let what = format!("{code} {value:?}");
        assert_discarded(with(&[&attribute(0xC0, code, value)], &short), &what);
    }
    // RFC 6793 section 4.1: from who has four octets for all.
    let path = attribute(0xC0, 17, &[2, 1, 0, 0, 0, 1]);
    let attributes = assert_discarded(with(&[&path], &context()), "not needed");
    assert_eq!(attributes.as_path.length(), 1);
}

#[test]
fn what_was_not_agreed_on_is_passed_over() {
    let ipv4 = Negotiated {
        families: tombolo_bgp::Families {
            ipv4: true,
            ipv6: false,
        },
        ..context()
    };
    let bytes = update(
        &[],
        &[MP_REACH, MP_UNREACH, ORIGIN, AS_PATH, NEXT_HOP],
        PREFIX,
    );
    let told = read(&bytes, &ipv4).unwrap();
    assert_eq!(prefixes(&told), (vec![], vec!["10.1.0.0/16".to_owned()]));
    assert_eq!(told.faults.len(), 2);
    let ipv6 = Negotiated {
        families: tombolo_bgp::Families {
            ipv4: false,
            ipv6: true,
        },
        ..context()
    };
    let told = read(&bytes, &ipv6).unwrap();
    assert_eq!(
        prefixes(&told),
        (
            vec!["fd00:2::/32".to_owned()],
            vec!["fd00:1::/32".to_owned()]
        )
    );
    assert_eq!(
        read(&update(&[], &[], &[]), &ipv6).unwrap().end_of_rib,
        None
    );
}

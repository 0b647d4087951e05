//! Each step of the decision, with two paths that differ in it.

use super::*;
use crate::attributes::Origin;
use crate::config::Ttl;
use crate::types::Community;

const NET: &str = "192.0.2.0/24";

/// Two peers and what they tell.
struct Case {
    what: &'static str,
    better: (Role, Attributes),
    worse: (Role, Attributes),
    words: &'static str,
}

fn case(what: &'static str, words: &'static str) -> Case {
    Case {
        what,
        words,
        // All else being equal the worse one would win: its router ID and its address are lower.
        better: (role(2, 65002), attributes(2, &[65002, 65009])),
        worse: (role(1, 65001), attributes(1, &[65001, 65009])),
    }
}

/// A case between peers of our own system.
fn internal(what: &'static str, words: &'static str) -> Case {
    let mut case = case(what, words);
    (case.better.0, case.worse.0) = (role(2, OURS.0), role(1, OURS.0));
    case
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut stale = case("long-lived stale", "the other's session is long gone");
    stale.worse.1.communities = vec![Community::LLGR_STALE];
    cases.push(stale);

    let mut preference = internal("preference", "a higher local preference (200 over 100)");
    preference.better.1.local_pref = Some(200);
    preference.better.1.as_path.prepend(Asn(65002));
    cases.push(preference);

    let mut length = case("path", "a shorter AS path (1 over 2)");
    length.better.1 = attributes(2, &[65002]);
    length.better.1.origin = Origin::Incomplete;
    cases.push(length);

    let mut origin = case("origin", "a better origin (IGP over EGP)");
    origin.worse.1.origin = Origin::Egp;
    cases.push(origin);

    let mut med = internal(
        "MED",
        "a lower MED of the same neighbouring system (0 over 5)",
    );
    med.worse.1 = attributes(1, &[65002, 65008]);
    med.worse.1.med = Some(5);
    cases.push(med);

    let mut external = case("external", "it comes from another system");
    external.worse.0 = role(1, OURS.0);
    cases.push(external);

    let mut metric = case("metric", "a nearer next hop (0 over 7)");
    metric.worse.0.peer.ttl = Ttl::Multihop(2);
    metric.worse.1.next_hop = NextHop::V4([172, 16, 0, 1].into());
    cases.push(metric);

    let mut originator = internal("originator", "a lower router ID (0.0.0.9 over 1.1.1.1)");
    originator.better.1.originator_id = Some(RouterId([0, 0, 0, 9].into()));
    cases.push(originator);

    let mut clusters = internal("clusters", "fewer reflectors on its way (1 over 2)");
    let cluster = |number: u8| RouterId([0, 0, 0, number].into());
    clusters.better.0.negotiated.peer_id = clusters.worse.0.negotiated.peer_id;
    clusters.better.1.cluster_list = vec![cluster(1)];
    clusters.worse.1.cluster_list = vec![cluster(1), cluster(2)];
    cases.push(clusters);

    let mut address = case(
        "address",
        "a lower address of the peer (10.0.0.2 over 10.0.0.3)",
    );
    address.worse.0 = role(3, 65001);
    address.worse.0.negotiated.peer_id = address.better.0.negotiated.peer_id;
    cases.push(address);
    cases
}

#[test]
fn each_step_decides_whatever_came_first() {
    for case in cases() {
        for order in [[0, 1], [1, 0]] {
            let mut rib = Rib::new(LOCAL);
            rib.set_next_hops(NextHops(vec![
                (prefix("10.0.0.0/8"), 0),
                (prefix("172.16.0.0/12"), 7),
            ]));
            for who in order {
                let (role, attributes) = [&case.better, &case.worse][who].clone();
                let peer = PeerId(who as u16);
                rib.peer_up(peer, role);
                rib.update(peer, announce(attributes, &[NET])).unwrap();
            }
            let best = case.better.0.key.to_string();
            assert_eq!(used(&rib, NET), [best.as_str()], "{}", case.what);
            let explained = rib.explain(prefix(NET));
            assert_eq!(explained[0].1, "the best");
            let words = format!("the path of {best} is better: {}", case.words);
            assert_eq!(explained[1].1, words, "{}", case.what);
        }
    }
}

#[test]
fn what_begins_here_comes_first() {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, OURS.0));
    let mut attributes = attributes(1, &[]);
    attributes.local_pref = Some(1000);
    rib.update(PeerId(0), announce(attributes, &[NET])).unwrap();
    assert_eq!(used(&rib, NET), ["10.0.0.1"]);
    assert_eq!(rib.changes().len(), 1);
    rib.originate([(prefix(NET), Origination::default())].into());
    assert!(used(&rib, NET).is_empty());
    assert_eq!(rib.changes(), [(prefix(NET), Arc::default())]);
    assert_eq!(
        rib.explain(prefix(NET))[1].1,
        "the path of our own is better: it begins here"
    );
    rib.originate(BTreeMap::new());
    assert_eq!(rib.changes()[0].1.len(), 1);
}

#[test]
fn the_lower_path_id_of_one_peer_wins() {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, OURS.0));
    for (path, hop) in [(7, 7), (3, 3), (5, 5)] {
        let update = Update {
            announced: vec![(attributes(hop, &[]), vec![nlri(NET, path)])],
            ..Update::default()
        };
        rib.update(PeerId(0), update).unwrap();
    }
    let (_, paths) = rib.routes().next().unwrap();
    assert_eq!(paths[0].next_hop, NextHop::V4([10, 0, 0, 3].into()));
    assert_eq!(
        rib.explain(prefix(NET))[1].1,
        "the path of 10.0.0.1 is better: a lower path ID (3 over 7)"
    );
}

#[test]
fn the_med_counts_among_one_system_only_and_in_any_order() {
    // Pairwise there is a circle: a beats b by MED, b beats c by metric, c beats a by metric.
    let tell = [
        (65001, 10, [172, 16, 0, 9]),
        (65001, 20, [10, 0, 0, 9]),
        (65002, 0, [172, 17, 0, 9]),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut rib = Rib::new(LOCAL);
        let ranges = [
            ("10.0.0.0/8", 1),
            ("172.17.0.0/16", 2),
            ("172.16.0.0/16", 3),
        ];
        rib.set_next_hops(NextHops(
            ranges.map(|(net, metric)| (prefix(net), metric)).to_vec(),
        ));
        for who in order {
            let (system, med, hop) = tell[who];
            let peer = PeerId(who as u16);
            rib.peer_up(peer, role(who as u8 + 1, OURS.0));
            let mut attributes = attributes(0, &[system]);
            attributes.med = Some(med);
            attributes.next_hop = NextHop::V4(hop.into());
            rib.update(peer, announce(attributes, &[NET])).unwrap();
        }
        // The second is out by its MED, the first by its metric.
        assert_eq!(used(&rib, NET), ["10.0.0.3"], "{order:?}");
    }
}

#[test]
fn an_unreachable_next_hop_is_not_used_until_it_can_be_reached() {
    let mut rib = Rib::new(LOCAL);
    rib.peer_up(PeerId(0), role(1, 65001));
    rib.update(PeerId(0), announce(attributes(1, &[65001]), &[NET]))
        .unwrap();
    assert!(used(&rib, NET).is_empty());
    assert_eq!(
        rib.explain(prefix(NET))[0].1,
        "its next hop 10.0.0.1 cannot be reached"
    );
    rib.set_next_hops(NextHops(vec![(prefix("10.0.0.0/24"), 0)]));
    assert_eq!(used(&rib, NET), ["10.0.0.1"]);
    assert_eq!(rib.changes().len(), 1);
    rib.set_next_hops(NextHops::default());
    assert_eq!(rib.changes(), [(prefix(NET), Arc::default())]);
}

#[test]
fn equals_are_used_side_by_side_up_to_the_limit() {
    for (multipath, expected) in [
        (1, vec!["10.0.0.1"]),
        (2, vec!["10.0.0.1", "10.0.0.2"]),
        (8, vec!["10.0.0.1", "10.0.0.2", "10.0.0.4"]),
    ] {
        let mut rib = rib(Local { multipath, ..LOCAL });
        // The third has the next hop of the second, the fifth a longer path.
        for (number, hop, systems) in [
            (5, 5, &[65005, 65006, 65009][..]),
            (4, 4, &[65004, 65009]),
            (3, 2, &[65003, 65009]),
            (2, 2, &[65002, 65009]),
            (1, 1, &[65001, 65009]),
        ] {
            let peer = PeerId(u16::from(number));
            rib.peer_up(peer, role(number, 65000 + u32::from(number)));
            rib.update(peer, announce(attributes(hop, systems), &[NET]))
                .unwrap();
        }
        assert_eq!(used(&rib, NET), expected);
    }
}

#[test]
fn one_address_on_two_links_is_two_next_hops() {
    for (links, expected) in [(["one", "two"], 2), (["one", "one"], 1)] {
        let mut rib = rib(Local {
            multipath: 8,
            ..LOCAL
        });
        for (number, link) in (0..).zip(links) {
            let mut from = role(number as u8 + 1, 65001);
            from.key.address = "fe80::9".parse().unwrap();
            from.key.interface = Some(link.to_owned());
            rib.peer_up(PeerId(number), from);
            let mut told = attributes(1, &[65001]);
            told.next_hop = NextHop::from("fe80::9".parse::<IpAddr>().unwrap());
            rib.update(PeerId(number), announce(told, &[NET])).unwrap();
        }
        assert_eq!(used(&rib, NET).len(), expected);
    }
}

//! What is told to whom, and what is changed on the way.

use super::*;
use crate::attributes::Unknown;
use crate::config::NextHopMode;
use crate::filter::{Filter, FilterRule, Matching, Outcome};
use crate::types::Community;

const NET: &str = "192.0.2.0/24";
const NET6: &str = "2001:db8::/32";
const EXTERNAL: u32 = 65001;

fn client(number: u8) -> Role {
    let mut role = role(number, OURS.0);
    role.peer.client = true;
    role
}

/// What the second peer is told when the first tells a route, or why it is told nothing.
fn pass(from: Role, told: Attributes, to: Role) -> Result<Attributes, String> {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), from);
    rib.update(PeerId(0), announce(told, &[NET])).unwrap();
    heard(&mut rib, to, NET)
}

fn heard(rib: &mut Rib, to: Role, net: &str) -> Result<Attributes, String> {
    let mut ear = Ear::new(rib, PeerId(1), to);
    ear.drain(rib);
    let explained = rib.explain_told(PeerId(1), prefix(net));
    match ear.told(net)[..] {
        [] => Err(explained.unwrap_err()),
        [told] => {
            assert_eq!(told, &explained.unwrap());
            Ok(told.clone())
        }
        _ => panic!("one path was told twice"),
    }
}

#[test]
fn routes_of_our_own_system_are_passed_on_by_reflectors_only() {
    let external = || (role(1, EXTERNAL), attributes(1, &[EXTERNAL]));
    let member = || (role(1, OURS.0), attributes(1, &[]));
    let of_client = || (client(1), attributes(1, &[]));
    let not = Err("it is of our own system and neither end is a client");
    for (what, (from, told), to, expected) in [
        ("external to external", external(), role(2, 65002), Ok(())),
        ("external to member", external(), role(2, OURS.0), Ok(())),
        ("external to client", external(), client(2), Ok(())),
        ("member to external", member(), role(2, 65002), Ok(())),
        ("member to member", member(), role(2, OURS.0), not),
        ("member to client", member(), client(2), Ok(())),
        ("client to external", of_client(), role(2, 65002), Ok(())),
        ("client to member", of_client(), role(2, OURS.0), Ok(())),
        ("client to client", of_client(), client(2), Ok(())),
    ] {
        let heard = pass(from, told, to).map(|_| ());
        assert_eq!(heard, expected.map_err(str::to_owned), "{what}");
    }
}

#[test]
fn a_reflector_says_whose_route_it_is_and_changes_nothing_else() {
    let mut told = attributes(7, &[65009]);
    told.med = Some(5);
    told.local_pref = Some(200);
    let heard = pass(client(1), told.clone(), client(2)).unwrap();
    let expected = Attributes {
        originator_id: Some(RouterId([1, 1, 1, 1].into())),
        cluster_list: vec![LOCAL.cluster_id],
        ..told
    };
    assert_eq!(heard, expected);

    let cluster = RouterId([9, 9, 9, 9].into());
    let mut reflected = expected;
    reflected.originator_id = Some(RouterId([8, 8, 8, 8].into()));
    reflected.cluster_list = vec![cluster];
    let heard = pass(client(1), reflected.clone(), client(2)).unwrap();
    assert_eq!(heard.originator_id, reflected.originator_id);
    assert_eq!(heard.cluster_list, [LOCAL.cluster_id, cluster]);
}

#[test]
fn another_system_hears_ours_in_front_and_nothing_internal() {
    let mut told = attributes(1, &[65009]);
    told.med = Some(5);
    told.local_pref = Some(200);
    told.originator_id = Some(RouterId([8, 8, 8, 8].into()));
    told.cluster_list = vec![RouterId([9, 9, 9, 9].into())];
    told.communities = vec![Community::from((65000, 1))];
    told.atomic_aggregate = true;
    told.aggregator = Some((Asn(65009), [9, 9, 9, 9].into()));
    told.unknown = vec![Unknown {
        code: 99,
        value: vec![1, 2, 3],
    }];
    let heard = pass(role(1, OURS.0), told.clone(), role(2, 65002)).unwrap();
    let expected = Attributes {
        communities: told.communities,
        atomic_aggregate: true,
        aggregator: told.aggregator,
        unknown: told.unknown,
        ..attributes(100, &[65000, 65009])
    };
    assert_eq!(heard, expected);

    let mut alias = role(2, 65002);
    alias.local_asn = Asn(64999);
    let heard = pass(role(1, EXTERNAL), attributes(1, &[EXTERNAL]), alias).unwrap();
    assert_eq!(heard, attributes(100, &[64999, EXTERNAL]));
}

#[test]
fn our_own_system_hears_the_next_hop_and_the_preference() {
    let mut told = attributes(7, &[EXTERNAL]);
    told.med = Some(5);
    told.local_pref = Some(300);
    let heard = pass(role(1, EXTERNAL), told, role(2, OURS.0)).unwrap();
    let mut expected = attributes(7, &[EXTERNAL]);
    expected.med = Some(5);
    // What another system prefers is not our concern.
    expected.local_pref = Some(100);
    assert_eq!(heard, expected);
}

#[test]
fn communities_say_who_may_hear_of_it() {
    for (community, external, internal) in [
        (Community::NO_ADVERTISE, false, false),
        (Community::NO_EXPORT, false, true),
        (Community::NO_EXPORT_SUBCONFED, false, true),
        (Community::from((65000, 1)), true, true),
    ] {
        for (to, expected) in [(role(2, 65002), external), (role(2, OURS.0), internal)] {
            let mut told = attributes(1, &[EXTERNAL]);
            told.communities = vec![community];
            let heard = pass(role(1, EXTERNAL), told, to);
            assert_eq!(heard.is_ok(), expected, "{community}");
            let reason = heard.err().unwrap_or_default();
            assert!(expected || reason == "a community of it says so");
        }
    }
}

#[test]
fn long_gone_routes_are_told_to_those_who_know_what_they_are() {
    let mut told = attributes(1, &[EXTERNAL]);
    told.communities = vec![Community::LLGR_STALE];
    let heard = pass(role(1, EXTERNAL), told.clone(), role(2, 65002));
    assert_eq!(
        heard.unwrap_err(),
        "its session is long gone and the peer knows no such routes"
    );
    let mut knows = role(2, 65002);
    knows.negotiated.long_lived = vec![(Family::Ipv4, true, 60)];
    let heard = pass(role(1, EXTERNAL), told, knows).unwrap();
    assert_eq!(heard.communities, [Community::LLGR_STALE]);
}

#[test]
fn we_are_no_way_from_one_router_outside_to_another() {
    let outside = |number, asn| {
        let mut role = role(number, asn);
        role.peer.outside = true;
        role
    };
    let told = || attributes(1, &[EXTERNAL]);
    let refused = pass(outside(1, EXTERNAL), told(), outside(2, 65002)).unwrap_err();
    assert_eq!(
        refused,
        "another router outside told it, and we are no way between them"
    );
    assert!(pass(outside(1, EXTERNAL), told(), role(2, OURS.0)).is_ok());
    assert!(pass(role(1, EXTERNAL), told(), outside(2, 65002)).is_ok());
}

#[test]
fn the_next_hop_is_whose_it_is_said_to_be() {
    for (mode, asn, expected) in [
        (NextHopMode::Default, 65002, 100),
        (NextHopMode::Own, 65002, 100),
        (NextHopMode::Keep, 65002, 1),
        (NextHopMode::Default, OURS.0, 1),
        (NextHopMode::Own, OURS.0, 100),
        (NextHopMode::Keep, OURS.0, 1),
    ] {
        let mut to = role(2, asn);
        to.peer.next_hop = mode;
        let heard = pass(role(1, EXTERNAL), attributes(1, &[EXTERNAL]), to).unwrap();
        let expected = NextHop::V4([10, 0, 0, expected].into());
        assert_eq!(heard.next_hop, expected, "{mode:?} to {asn}");
    }
    // The first peer says that packets go by the second.
    let heard = pass(
        role(1, EXTERNAL),
        attributes(2, &[EXTERNAL]),
        role(2, OURS.0),
    );
    assert_eq!(heard.unwrap_err(), "its next hop is the peer");
}

#[test]
fn our_next_hop_is_of_a_family_that_the_peer_can_use() {
    let ours = |address: &str| NextHop::from(address.parse::<IpAddr>().unwrap());
    let none = Err("we have no next hop that the peer could use".to_owned());
    let over_ipv6 = |extended| {
        let mut role = role(2, 65002);
        role.negotiated.local_address = "fd00:1::100".parse().unwrap();
        role.negotiated.peer_address = "fd00:1::2".parse().unwrap();
        role.negotiated.extended_next_hop = extended;
        role.peer.next_hops.clear();
        role
    };
    let on_the_link = || {
        let mut role = over_ipv6(true);
        role.negotiated.local_address = "fe80::100".parse().unwrap();
        role
    };
    let configured = || {
        let mut role = on_the_link();
        let ends = ["10.9.9.9", "fd00:9::9"];
        role.peer.next_hops = ends.map(|end| end.parse().unwrap()).to_vec();
        role
    };
    let both = NextHop::V6 {
        global: "fd00:9::9".parse().unwrap(),
        link_local: Some("fe80::100".parse().unwrap()),
    };
    for (what, to, net, expected) in [
        (
            "IPv4 over IPv4",
            role(2, 65002),
            NET,
            Ok(ours("10.0.0.100")),
        ),
        (
            "IPv6 over IPv4",
            role(2, 65002),
            NET6,
            Ok(ours("fd00::100")),
        ),
        ("IPv4 over IPv6", over_ipv6(false), NET, none),
        ("RFC 8950", over_ipv6(true), NET, Ok(ours("fd00:1::100"))),
        (
            "IPv6 over IPv6",
            over_ipv6(true),
            NET6,
            Ok(ours("fd00:1::100")),
        ),
        ("a link", on_the_link(), NET6, Ok(ours("fe80::100"))),
        ("configured IPv4", configured(), NET, Ok(ours("10.9.9.9"))),
        ("configured IPv6", configured(), NET6, Ok(both)),
    ] {
        let mut rib = rib(LOCAL);
        rib.originate([(prefix(net), Origination::default())].into());
        let heard = heard(&mut rib, to, net).map(|attributes| attributes.next_hop);
        assert_eq!(heard, expected, "{what}");
    }
}

#[test]
fn what_begins_here_is_told_as_it_was_given() {
    let given = Origination {
        communities: vec![Community::from((65000, 2)), Community::from((65000, 1))],
        local_pref: Some(150),
        med: Some(7),
        ..Origination::default()
    };
    let mut rib = rib(LOCAL);
    rib.originate([(prefix(NET), given)].into());
    let told = heard(&mut rib, role(2, OURS.0), NET).unwrap();
    let mut expected = attributes(100, &[]);
    expected.communities = vec![Community::from((65000, 1)), Community::from((65000, 2))];
    (expected.local_pref, expected.med) = (Some(150), Some(7));
    assert_eq!(told, expected);
    let told = heard(&mut rib, role(3, 65003), NET).unwrap();
    expected.as_path.prepend(OURS);
    expected.local_pref = None;
    assert_eq!(told, expected);
}

#[test]
fn the_export_filter_has_the_last_word_and_may_change() {
    let rule = |from_peers| FilterRule {
        net: Some(prefix(NET)),
        matching: Matching::In,
        length: None,
        from_peers,
        outcome: Outcome::Reject,
        reason: "a test".to_owned(),
    };
    let filter = |from_peers| Filter {
        rules: vec![rule(from_peers)],
        otherwise: Outcome::Accept,
    };
    let mut rib = rib(LOCAL);
    rib.originate([(prefix(NET), Origination::default())].into());
    let mut to = role(2, 65002);
    to.peer.export = filter(true);
    let mut ear = Ear::new(&mut rib, PeerId(1), to.clone());
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    to.peer.export = filter(false);
    rib.peer_changed(PeerId(1), &to.peer);
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
    assert_eq!(rib.counts(PeerId(1)).ipv4.advertised, 0);
    assert_eq!(
        rib.explain_told(PeerId(1), prefix(NET)),
        Err("the export filter rejects it".to_owned())
    );
    to.peer.export = Filter::open();
    rib.peer_changed(PeerId(1), &to.peer);
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
}

#[test]
fn who_takes_several_paths_hears_all_that_can_be_used() {
    let mut rib = rib(LOCAL);
    for number in 1..=3 {
        rib.peer_up(
            PeerId(u16::from(number)),
            role(number, 65000 + u32::from(number)),
        );
        let told = attributes(number, &[65000 + u32::from(number)]);
        rib.update(PeerId(u16::from(number)), announce(told, &[NET]))
            .unwrap();
    }
    let mut to = role(9, OURS.0);
    to.negotiated.add_path_send = Families::ALL;
    let mut ear = Ear::new(&mut rib, PeerId(9), to);
    ear.drain(&mut rib);
    assert_eq!(ear.told(NET).len(), 3);
    assert_eq!(rib.counts(PeerId(9)).ipv4.advertised, 3);
    let before = ear.routes.clone();

    rib.update(PeerId(2), withdraw(&[NET])).unwrap();
    ear.drain(&mut rib);
    assert_eq!(ear.told(NET).len(), 2);
    let kept = |nlri: &Nlri| before.contains_key(nlri);
    assert!(ear.routes.keys().all(kept), "names of paths stay");

    for number in [1, 3] {
        rib.peer_down(PeerId(number), Down::Forget);
    }
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
    assert_eq!(rib.counts(PeerId(9)).ipv4.advertised, 0);
}

#[test]
fn attributes_that_fit_in_no_message_are_not_told() {
    let mut rib = rib(LOCAL);
    let mut ear = Ear::new(&mut rib, PeerId(1), role(2, 65002));
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    rib.update(PeerId(0), announce(attributes(1, &[EXTERNAL]), &[NET]))
        .unwrap();
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    let mut told = attributes(1, &[EXTERNAL]);
    told.communities = (0..1100).map(Community).collect();
    rib.update(PeerId(0), announce(told, &[NET, "198.51.100.0/24"]))
        .unwrap();
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
    let counts = rib.counts(PeerId(1));
    assert_eq!((counts.ipv4.advertised, counts.too_long), (0, 2));
}

#[test]
fn rfc5065_4_segments_of_a_confederation_do_not_leave_the_system() {
    let mut told = attributes(1, &[65009]);
    let inside = AsSegment::ConfederationSequence(vec![Asn(64512)]);
    told.as_path.0.insert(0, inside.clone());
    let kept = pass(role(1, OURS.0), told.clone(), client(2)).unwrap();
    assert_eq!(kept.as_path.0[0], inside);
    let left = pass(role(1, OURS.0), told, role(2, 65002)).unwrap();
    let path = AsPath(vec![AsSegment::Sequence(vec![OURS, Asn(65009)])]);
    assert_eq!(left.as_path, path);
}

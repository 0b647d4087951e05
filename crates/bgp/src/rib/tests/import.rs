//! What is let in, and what is said of the rest.

use super::*;
use crate::config::Ttl;
use crate::filter::{Filter, FilterRule, Matching, Outcome};

const NET: &str = "192.0.2.0/24";
const EXTERNAL: u32 = 65001;

/// What is said of a route that a peer tells.
fn standing(role: Role, told: Attributes) -> Standing {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role);
    rib.update(PeerId(0), announce(told, &[NET])).unwrap();
    let counts = rib.counts(PeerId(0));
    let row = rib.table().next().unwrap();
    let reasons: Vec<(String, u64)> = counts.refused.into_iter().collect();
    match &row.standing {
        Standing::Refused(reason) => {
            assert_eq!(reasons, [(reason.clone(), 1)]);
            assert_eq!((counts.ipv4.received, counts.ipv4.accepted), (1, 0));
            assert!(used(&rib, NET).is_empty() && rib.changes().is_empty());
        }
        _ => {
            assert_eq!(reasons, []);
            assert_eq!((counts.ipv4.received, counts.ipv4.accepted), (1, 1));
        }
    }
    row.standing
}

fn refused(reason: &str) -> Standing {
    Standing::Refused(reason.to_owned())
}

#[test]
fn loops_and_lies_are_refused_with_the_reason() {
    let external = || role(1, EXTERNAL);
    let internal = || role(1, OURS.0);
    let from = |systems: &[u32]| attributes(1, systems);
    let own = "our own system is in its AS path";
    let first = "its AS path does not begin with the peer's system";

    let mut alias = external();
    alias.local_asn = Asn(64999);
    let mut once = external();
    once.peer.allow_own_asn = 1;
    let mut ours = from(&[]);
    ours.originator_id = Some(LOCAL.router_id);
    let mut cluster = from(&[]);
    cluster.cluster_list = vec![RouterId([9, 9, 9, 9].into()), LOCAL.cluster_id];
    let mut lied = from(&[EXTERNAL]);
    (lied.originator_id, lied.cluster_list) = (ours.originator_id, cluster.cluster_list.clone());
    let mut set = from(&[]);
    set.as_path = AsPath(vec![AsSegment::Set(vec![Asn(EXTERNAL)])]);
    let to_us = |address: &str| {
        let mut attributes = from(&[EXTERNAL]);
        attributes.next_hop = address.parse::<IpAddr>().unwrap().into();
        attributes
    };
    let next_hop = "its next hop is our own address";

    for (role, told, expected) in [
        (external(), from(&[EXTERNAL, 65009]), Standing::Best),
        (external(), from(&[EXTERNAL, OURS.0]), refused(own)),
        (alias, from(&[EXTERNAL, 64999]), refused(own)),
        (once.clone(), from(&[EXTERNAL, OURS.0]), Standing::Best),
        (once, from(&[EXTERNAL, OURS.0, OURS.0]), refused(own)),
        (external(), from(&[65002, EXTERNAL]), refused(first)),
        (external(), from(&[]), refused(first)),
        (external(), set, refused(first)),
        (internal(), from(&[]), Standing::Best),
        (internal(), from(&[65002]), Standing::Best),
        (
            internal(),
            ours,
            refused("it came from us: the originator is our router ID"),
        ),
        (
            internal(),
            cluster,
            refused("it came through our cluster of reflectors already"),
        ),
        // What is only for our own system means nothing when another says it.
        (external(), lied, Standing::Best),
        (external(), to_us("10.0.0.100"), refused(next_hop)),
        (external(), to_us("fd00::100"), refused(next_hop)),
    ] {
        let what = format!("{told:?}");
        assert_eq!(standing(role, told), expected, "{what}");
    }
}

#[test]
fn another_systems_preference_is_not_ours() {
    let mut told = attributes(1, &[EXTERNAL]);
    told.local_pref = Some(1000);
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    rib.update(PeerId(0), announce(told, &[NET])).unwrap();
    assert_eq!(rib.table().next().unwrap().attributes.local_pref, None);
}

fn default_route_refused() -> Filter {
    Filter {
        rules: vec![FilterRule {
            net: Some(prefix("0.0.0.0/0")),
            matching: Matching::Equal,
            length: None,
            from_peers: true,
            outcome: Outcome::Reject,
            reason: "a default route is not taken from peers".to_owned(),
        }],
        otherwise: Outcome::Accept,
    }
}

#[test]
fn a_filter_refuses_and_may_change_without_a_refresh() {
    let mut rib = rib(LOCAL);
    let mut role = role(1, EXTERNAL);
    role.peer.import = default_route_refused();
    rib.peer_up(PeerId(0), role.clone());
    let update = announce(attributes(1, &[EXTERNAL]), &["0.0.0.0/0", NET]);
    rib.update(PeerId(0), update).unwrap();
    let counts = rib.counts(PeerId(0));
    assert_eq!((counts.ipv4.received, counts.ipv4.accepted), (2, 1));
    let reason = "a default route is not taken from peers";
    assert_eq!(counts.refused, BTreeMap::from([(reason.to_owned(), 1)]));
    assert_eq!(
        rib.explain(prefix("0.0.0.0/0"))[0].1,
        format!("refused: {reason}")
    );
    assert_eq!(rib.changes().len(), 1);

    role.peer.import = Filter::open();
    rib.peer_changed(PeerId(0), &role.peer);
    assert_eq!(used(&rib, "0.0.0.0/0"), ["10.0.0.1"]);
    assert_eq!(rib.changes().len(), 1);
    assert_eq!(rib.counts(PeerId(0)).refused, BTreeMap::new());

    role.peer.import.otherwise = Outcome::Reject;
    rib.peer_changed(PeerId(0), &role.peer);
    assert_eq!(rib.routes().count(), 0);
    let reason = "no rule of the import filter lets it in".to_owned();
    assert_eq!(rib.counts(PeerId(0)).refused, BTreeMap::from([(reason, 2)]));
    assert_eq!(rib.changes().len(), 2);
}

#[test]
fn more_prefixes_than_are_allowed_end_the_session() {
    let mut rib = rib(LOCAL);
    let mut role = role(1, EXTERNAL);
    role.peer.max_prefixes = Some(2);
    rib.peer_up(PeerId(0), role);
    let told = || attributes(1, &[EXTERNAL]);
    let nets = ["192.0.2.0/24", "198.51.100.0/24"];
    assert_eq!(rib.update(PeerId(0), announce(told(), &nets)), Ok(()));
    // The same ones again are no more.
    assert_eq!(rib.update(PeerId(0), announce(told(), &nets)), Ok(()));
    // Each family has its own count.
    let sixth = announce(told(), &["2001:db8::/32"]);
    assert_eq!(rib.update(PeerId(0), sixth), Ok(()));
    let fault = rib
        .update(PeerId(0), announce(told(), &["203.0.113.0/24"]))
        .unwrap_err();
    let notification = &fault.notification;
    assert_eq!((notification.code, notification.subcode), (6, 1));
    assert_eq!(notification.data, [0, 1, 1, 0, 0, 0, 2]);
    assert_eq!(
        fault.message,
        "the peer told more than 2 IPv4 prefixes, the limit of its configuration"
    );
}

#[test]
fn families_that_were_not_agreed_on_are_ignored() {
    let mut rib = rib(LOCAL);
    let mut role = role(1, EXTERNAL);
    role.negotiated.families.ipv6 = false;
    rib.peer_up(PeerId(0), role);
    let told = announce(attributes(1, &[EXTERNAL]), &["2001:db8::/32", NET]);
    rib.update(PeerId(0), told).unwrap();
    assert_eq!(rib.table().count(), 1);
}

#[test]
fn of_one_peer_only_so_many_paths_to_a_prefix_are_held() {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, 65001));
    rib.peer_up(PeerId(1), role(2, 65002));
    let tell = |rib: &mut Rib, peer: u16, paths: std::ops::Range<u32>| {
        let told = attributes(peer as u8 + 1, &[65001 + u32::from(peer)]);
        let update = Update {
            announced: vec![(told, paths.map(|path| nlri(NET, path)).collect())],
            ..Update::default()
        };
        rib.update(PeerId(peer), update).unwrap();
        let counts = rib.counts(PeerId(peer));
        (counts.ipv4.received, counts.left_out)
    };
    assert_eq!(tell(&mut rib, 0, 0..40), (32, 8));
    // Those that are held may change, and what others tell is not counted among them.
    assert_eq!(tell(&mut rib, 0, 0..32), (32, 8));
    assert_eq!(tell(&mut rib, 1, 0..1), (1, 0));
    let gone = Update {
        withdrawn: vec![nlri(NET, 5), nlri(NET, 39)],
        ..Update::default()
    };
    rib.update(PeerId(0), gone).unwrap();
    assert_eq!(tell(&mut rib, 0, 39..40), (32, 8));
    rib.peer_down(PeerId(0), Down::Forget);
    assert_eq!(rib.counts(PeerId(0)), Counts::default());
}

#[test]
fn rfc4271_6_3_7_a_neighbour_names_itself_or_who_shares_a_link_with_us() {
    let far = [
        ("10.0.0.1", true, "the peer"),
        ("192.168.0.7", true, "somebody on a link of ours"),
        ("172.16.0.1", false, "somebody behind a router"),
    ];
    for (hop, is_used, what) in far {
        for (from, is_near) in [
            (role(1, 65001), true),
            (role(1, OURS.0), false),
            (reached_by(Ttl::Multihop(2)), false),
            (reached_by(Ttl::Security(1)), true),
        ] {
            let mut rib = Rib::new(LOCAL);
            let ranges = [("10.0.0.0/24", 7), ("192.168.0.0/24", 0), ("0.0.0.0/0", 9)];
            let ranges = ranges.map(|(net, metric)| (prefix(net), metric));
            rib.set_next_hops(NextHops(ranges.to_vec()));
            rib.peer_up(PeerId(0), from);
            let mut told = attributes(1, &[65001]);
            told.next_hop = NextHop::from(hop.parse::<IpAddr>().unwrap());
            rib.update(PeerId(0), announce(told, &[NET])).unwrap();
            let used = !used(&rib, NET).is_empty();
            assert_eq!(used, is_used || !is_near, "{what}");
            if !used {
                let (row, why) = rib.explain(prefix(NET)).remove(0);
                assert_eq!(row.standing, Standing::Unreachable);
                assert!(why.contains("one hop away"), "{why}");
            }
        }
    }
}

fn reached_by(ttl: Ttl) -> Role {
    let mut role = role(1, 65001);
    role.peer.ttl = ttl;
    role
}

//! What two speakers agree on by their OPENs, and what they cannot (RFC 4271 section 6.2 and others).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use std::time::Duration;

use stage::{OURS, Stage, THEIRS, config, open, seconds};
use tombolo_bgp::message::{Capability, Message, Notification, Open};
use tombolo_bgp::{AddPath, Agreed, Asn, Families, Family, Peer, RouterId, SessionState};

/// What is agreed on with a peer that says this.
fn agree(change: impl FnOnce(&mut Peer), open: Open) -> Result<Agreed, (Notification, String)> {
    let mut stage = Stage::new(change);
    let conn = stage.answer();
    stage.say(conn, &Message::Open(open));
    if stage.state() != SessionState::OpenConfirm {
        let farewell = stage.farewell(conn);
        return Err((farewell, stage.status().trouble.unwrap().words));
    }
    stage.say(conn, &Message::Keepalive);
    Ok(stage.status().agreed.unwrap())
}

fn with(capability: Capability) -> Open {
    let mut open = open(true);
    open.capabilities.push(capability);
    open
}

fn without(what: fn(&Capability) -> bool) -> Open {
    let mut open = open(true);
    open.capabilities.retain(|capability| !what(capability));
    open
}

fn has(agreed: &Agreed, word: &str) -> bool {
    agreed
        .capabilities
        .iter()
        .any(|capability| capability == word)
}

fn our_open(change: impl FnOnce(&mut Peer)) -> Open {
    let mut stage = Stage::new(change);
    let conn = stage.answer();
    match stage.hear(conn).remove(0) {
        Message::Open(open) => open,
        other => panic!("{other:?}"),
    }
}

#[test]
fn we_say_who_we_are_and_what_we_can() {
    let open = our_open(|_| ());
    assert_eq!((open.asn, open.hold_time), (OURS, 90));
    assert_eq!(open.router_id, RouterId([10, 0, 0, 5].into()));
    for capability in [
        Capability::Multiprotocol(Family::Ipv4),
        Capability::Multiprotocol(Family::Ipv6),
        Capability::RouteRefresh,
        Capability::EnhancedRefresh,
        Capability::FourOctetAs(OURS),
        Capability::ExtendedNextHop(vec![(Family::Ipv4, Family::Ipv6)]),
    ] {
        assert!(open.capabilities.contains(&capability), "{capability:?}");
    }
}

#[test]
fn we_say_only_what_is_configured() {
    let open = our_open(|peer| {
        peer.families.ipv4 = false;
        peer.local_asn = Some(Asn(70_000));
        peer.hold_time = Duration::ZERO;
        peer.add_path.receive = true;
    });
    assert_eq!((open.asn, open.hold_time), (Asn(70_000), 0));
    let capabilities = &open.capabilities;
    assert!(!capabilities.contains(&Capability::Multiprotocol(Family::Ipv4)));
    assert!(capabilities.contains(&Capability::FourOctetAs(Asn(70_000))));
    let paths = Capability::AddPath(vec![(Family::Ipv6, false, true)]);
    assert!(capabilities.contains(&paths), "{capabilities:?}");
    let foreign = |capability: &Capability| matches!(capability, Capability::ExtendedNextHop(_));
    assert!(!capabilities.iter().any(foreign));
}

#[test]
fn the_lesser_hold_time_holds() {
    for (ours, theirs, agreed) in [
        (90, 30, 30),
        (30, 90, 30),
        (90, 0, 0),
        (0, 90, 0),
        (90, 3, 3),
    ] {
        let mut open = open(true);
        open.hold_time = theirs;
        let agreement = agree(|peer| peer.hold_time = seconds(ours), open).unwrap();
        assert_eq!(agreement.hold_time, agreed, "{ours} and {theirs}");
    }
}

#[test]
fn rfc4760_families_are_those_that_both_speak() {
    let only = |family| {
        let mut open = without(|capability| matches!(capability, Capability::Multiprotocol(_)));
        open.capabilities.push(Capability::Multiprotocol(family));
        open
    };
    let ipv6 = agree(|_| (), only(Family::Ipv6)).unwrap();
    assert_eq!(ipv6.families.iter().collect::<Vec<_>>(), [Family::Ipv6]);
    let ipv4 = agree(|peer| peer.families.ipv6 = false, open(true)).unwrap();
    assert_eq!(ipv4.families.iter().collect::<Vec<_>>(), [Family::Ipv4]);
}

#[test]
fn rfc4760_who_names_no_family_speaks_ipv4() {
    let silent = without(|capability| matches!(capability, Capability::Multiprotocol(_)));
    let agreed = agree(|_| (), silent).unwrap();
    assert_eq!(agreed.families.iter().collect::<Vec<_>>(), [Family::Ipv4]);
}

#[test]
fn rfc5492_without_a_common_family_the_peer_learns_which_are_missed() {
    let silent = without(|capability| matches!(capability, Capability::Multiprotocol(_)));
    let only_ipv6 = Families {
        ipv4: false,
        ipv6: true,
    };
    let (told, words) = agree(|peer| peer.families = only_ipv6, silent).unwrap_err();
    assert_eq!((told.code, told.subcode), (2, 7));
    assert_eq!(told.data, [1, 4, 0, 2, 0, 1]);
    assert_eq!(
        words,
        "the peer speaks of IPv4, and we of IPv6: there is nothing to talk about"
    );
}

#[test]
fn a_peer_of_another_system_is_refused() {
    let mut other = without(|capability| matches!(capability, Capability::FourOctetAs(_)));
    other.asn = Asn(64999);
    let (told, words) = agree(|_| (), other).unwrap_err();
    assert_eq!((told.code, told.subcode), (2, 2));
    assert!(
        words.contains("AS 64999") && words.contains("AS 64513"),
        "{words}"
    );
}

#[test]
fn rfc6286_within_a_system_no_two_have_the_same_router_id() {
    let twin = |asn: Asn| {
        let mut open = without(|capability| matches!(capability, Capability::FourOctetAs(_)));
        open.asn = asn;
        open.router_id = RouterId([10, 0, 0, 5].into());
        open
    };
    let (told, words) = agree(|peer| peer.asn = OURS, twin(OURS)).unwrap_err();
    assert_eq!((told.code, told.subcode), (2, 3));
    assert!(words.contains("10.0.0.5, which is ours"), "{words}");
    assert!(
        agree(|_| (), twin(THEIRS)).is_ok(),
        "in another system it may be"
    );
}

#[test]
fn rfc6793_an_old_peer_counts_in_two_octets() {
    let old = without(|capability| matches!(capability, Capability::FourOctetAs(_)));
    assert!(!has(&agree(|_| (), old).unwrap(), "4-octet AS"));
    assert!(has(&agree(|_| (), open(true)).unwrap(), "4-octet AS"));
}

#[test]
fn rfc7911_several_paths_go_where_one_sends_and_the_other_takes() {
    let both = vec![(Family::Ipv4, true, true), (Family::Ipv6, true, true)];
    let sends = vec![(Family::Ipv4, true, false)];
    for (send, receive, theirs, sent, taken) in [
        (true, true, both.clone(), true, true),
        (true, false, both.clone(), true, false),
        (false, true, both.clone(), false, true),
        (false, false, both, false, false),
        (true, true, sends, false, true),
    ] {
        let ours = AddPath { send, receive };
        let theirs = with(Capability::AddPath(theirs));
        let agreed = agree(|peer| peer.add_path = ours, theirs).unwrap();
        assert_eq!(has(&agreed, "several paths are sent"), sent, "{ours:?}");
        assert_eq!(has(&agreed, "several paths are taken"), taken, "{ours:?}");
    }
}

#[test]
fn rfc8950_routes_of_ipv4_have_next_hops_of_ipv6_where_the_peer_takes_them() {
    let pair = Capability::ExtendedNextHop(vec![(Family::Ipv4, Family::Ipv6)]);
    assert!(has(
        &agree(|_| (), with(pair)).unwrap(),
        "IPv6 next hops for IPv4"
    ));
    let other = Capability::ExtendedNextHop(vec![(Family::Ipv6, Family::Ipv4)]);
    assert!(!has(
        &agree(|_| (), with(other)).unwrap(),
        "IPv6 next hops for IPv4"
    ));
}

#[test]
fn restarts_are_survived_only_where_both_do() {
    let graceful = stage::open_graceful(false, true, true);
    assert!(has(
        &agree(|_| (), graceful.clone()).unwrap(),
        "graceful restart"
    ));
    assert!(!has(
        &agree(|_| (), open(true)).unwrap(),
        "graceful restart"
    ));
    let mut none = config(|_| ());
    none.graceful = None;
    let mut stage = Stage::with(none, false);
    let conn = stage.answer();
    stage.establish(conn, graceful);
    assert!(!has(&stage.status().agreed.unwrap(), "graceful restart"));
}

#[test]
fn what_is_not_known_is_passed_over() {
    let agreed = agree(
        |_| (),
        with(Capability::Unknown {
            code: 77,
            value: vec![1, 2, 3],
        }),
    );
    assert!(agreed.is_ok());
}

//! Sessions that come, go and return; what is told again, and in how many messages.

use super::*;
use crate::types::Community;

const NET: &str = "192.0.2.0/24";
const OTHER: &str = "198.51.100.0/24";
const EXTERNAL: u32 = 65001;

/// A peer that told two prefixes, and one that listens.
fn pair() -> (Rib, Ear) {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    let told = announce(attributes(1, &[EXTERNAL]), &[NET, OTHER]);
    rib.update(PeerId(0), told).unwrap();
    let mut ear = Ear::new(&mut rib, PeerId(1), role(2, 65002));
    ear.drain(&mut rib);
    rib.changes();
    (rib, ear)
}

#[test]
fn a_new_peer_hears_everything_and_that_this_was_it() {
    let (rib, ear) = pair();
    assert_eq!(ear.routes.len(), 2);
    assert_eq!(ear.complete, Family::ALL);
    // One message for both prefixes, and one for the end of each family.
    assert_eq!(ear.messages, 3);
    assert!(!rib.has_more(PeerId(1)));
    assert_eq!(rib.counts(PeerId(1)).ipv4.advertised, 2);
    assert_eq!(rib.counts(PeerId(0)).ipv4.best, 2);
}

#[test]
fn nobody_hears_back_what_it_told() {
    let mut rib = rib(LOCAL);
    let mut ear = Ear::new(&mut rib, PeerId(0), role(1, EXTERNAL));
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
    assert_eq!(
        rib.explain_told(PeerId(0), prefix(NET)),
        Err("the peer told it to us".to_owned())
    );
}

#[test]
fn what_is_said_again_unchanged_is_not_passed_on() {
    let (mut rib, ear) = pair();
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    assert!(!rib.has_more(ear.peer));
    assert!(rib.changes().is_empty());
}

#[test]
fn of_many_changes_a_slow_peer_hears_the_last() {
    let (mut rib, mut ear) = pair();
    ear.messages = 0;
    for med in 0..1000 {
        let mut told = attributes(1, &[EXTERNAL, 65000 + 10 + med % 7]);
        told.med = Some(med);
        rib.update(PeerId(0), announce(told, &[NET])).unwrap();
    }
    ear.drain(&mut rib);
    assert_eq!(ear.messages, 1);
    let last = [OURS.0, EXTERNAL, 65000 + 10 + 999 % 7];
    assert_eq!(ear.told(NET), [&attributes(100, &last)]);
    assert_eq!(rib.changes().len(), 1);
}

#[test]
fn what_came_and_went_before_a_peer_heard_of_it_is_not_mentioned() {
    let (mut rib, mut ear) = pair();
    ear.messages = 0;
    let told = announce(attributes(1, &[EXTERNAL]), &["203.0.113.0/24"]);
    rib.update(PeerId(0), told).unwrap();
    rib.update(PeerId(0), withdraw(&["203.0.113.0/24"]))
        .unwrap();
    ear.drain(&mut rib);
    assert_eq!(ear.messages, 0);
}

#[test]
fn messages_are_filled() {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    let nets: Vec<String> = (0..4000)
        .map(|n| format!("10.{}.{}.0/24", n / 256, n % 256))
        .collect();
    let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
    rib.update(PeerId(0), announce(attributes(1, &[EXTERNAL]), &nets))
        .unwrap();
    let mut ear = Ear::new(&mut rib, PeerId(1), role(2, 65002));
    ear.drain(&mut rib);
    // 4 bytes each, 16 kB in messages of 4 kB, and the two ends.
    assert_eq!((ear.routes.len(), ear.messages), (4000, 4 + 2));
}

#[test]
fn a_limit_is_kept_to() {
    let mut rib = rib(LOCAL);
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    for n in 0..2000u32 {
        let mut told = attributes(1, &[EXTERNAL, 70_000 + n]);
        told.communities = vec![Community(n)];
        let net = format!("10.{}.{}.0/24", n / 256, n % 256);
        rib.update(PeerId(0), announce(told, &[&net])).unwrap();
    }
    rib.peer_up(PeerId(1), role(2, 65002));
    let mut out = Vec::new();
    let mut rounds = 0;
    while rib.has_more(PeerId(1)) {
        out.clear();
        rib.transmit(PeerId(1), &mut out, 8192);
        assert!(out.len() < 8192 + 4096, "{} bytes at once", out.len());
        rounds += 1;
    }
    assert!(rounds > 10);
}

#[test]
fn a_session_that_goes_takes_its_routes_along() {
    let (mut rib, mut ear) = pair();
    rib.peer_down(PeerId(0), Down::Forget);
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
    assert_eq!(rib.changes().len(), 2);
    assert_eq!(rib.table().count(), 0);
    assert_eq!(rib.counts(PeerId(0)), Counts::default());
}

#[test]
fn a_graceful_restart_is_not_noticed_by_others() {
    let (mut rib, mut ear) = pair();
    ear.messages = 0;
    rib.peer_down(PeerId(0), Down::KeepStale(Families::ALL));
    assert!(rib.table().all(|row| row.stale));
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    ear.drain(&mut rib);
    assert_eq!((ear.messages, rib.changes()), (0, Vec::new()));

    rib.end_stale(PeerId(0), Family::Ipv4);
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    assert_eq!(rib.changes(), [(prefix(OTHER), Arc::default())]);
    assert!(rib.table().all(|row| !row.stale));
}

#[test]
fn only_the_families_that_are_said_are_kept() {
    let (mut rib, _) = pair();
    let told = announce(attributes(1, &[EXTERNAL]), &["2001:db8::/32"]);
    rib.update(PeerId(0), told).unwrap();
    let kept = Families::from_iter([Family::Ipv6]);
    rib.peer_down(PeerId(0), Down::KeepStale(kept));
    let left: Vec<_> = rib.routes().map(|(net, _)| net).collect();
    assert_eq!(left, [prefix("2001:db8::/32")]);
}

#[test]
fn long_gone_routes_are_the_last_resort() {
    let (mut rib, _) = pair();
    let mut told = attributes(1, &[EXTERNAL]);
    told.communities = vec![Community::NO_LLGR];
    rib.update(PeerId(0), announce(told, &[OTHER])).unwrap();
    rib.peer_up(PeerId(2), role(3, 65003));
    let longer = attributes(3, &[65003, 65004, 65005]);
    rib.update(PeerId(2), announce(longer, &[NET])).unwrap();
    assert_eq!(used(&rib, NET), ["10.0.0.1"]);

    rib.peer_down(PeerId(0), Down::KeepStale(Families::ALL));
    rib.long_lived(PeerId(0), Family::Ipv4);
    assert_eq!(used(&rib, NET), ["10.0.0.3"]);
    assert!(used(&rib, OTHER).is_empty(), "it said not to be kept");
    rib.update(PeerId(2), withdraw(&[NET])).unwrap();
    assert_eq!(used(&rib, NET), ["10.0.0.1"]);
    let row = rib.table().next().unwrap();
    assert_eq!(row.attributes.communities, [Community::LLGR_STALE]);

    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    rib.end_stale(PeerId(0), Family::Ipv4);
    let row = rib.table().next().unwrap();
    assert!(row.attributes.communities.is_empty() && !row.stale);
}

#[test]
fn everything_is_said_again_on_request() {
    for enhanced in [false, true] {
        let (mut rib, mut ear) = pair();
        ear.routes.clear();
        ear.complete.clear();
        rib.resend(PeerId(1), Family::Ipv4, enhanced);
        ear.drain(&mut rib);
        assert_eq!(ear.routes.len(), 2);
        assert_eq!(ear.refreshes, if enhanced { (1, 1) } else { (0, 0) });
        assert_eq!(ear.complete, []);
    }
}

#[test]
fn a_refresh_sweeps_what_is_not_said_again() {
    let (mut rib, _) = pair();
    rib.begin_stale(PeerId(0), Family::Ipv4);
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    rib.end_stale(PeerId(0), Family::Ipv4);
    assert_eq!(used(&rib, NET).len(), 1);
    assert!(used(&rib, OTHER).is_empty());
}

#[test]
fn a_restarted_speaker_says_nothing_until_it_knows_all() {
    let mut rib = rib(LOCAL);
    rib.hold();
    rib.peer_up(PeerId(0), role(1, EXTERNAL));
    let told = announce(attributes(1, &[EXTERNAL]), &[NET]);
    rib.update(PeerId(0), told).unwrap();
    let mut ear = Ear::new(&mut rib, PeerId(1), role(2, 65002));
    assert!(!rib.has_more(PeerId(1)));
    ear.hear(&mut rib, usize::MAX);
    assert_eq!((ear.messages, rib.changes()), (0, Vec::new()));
    rib.release();
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    assert_eq!(ear.complete, Family::ALL);
    assert_eq!(rib.changes().len(), 1);
}

#[test]
fn the_number_of_a_forgotten_peer_is_free_for_another() {
    let (mut rib, _) = pair();
    rib.forget(PeerId(0));
    rib.forget(PeerId(1));
    assert_eq!(rib.table().count(), 0);
    assert_eq!(rib.counts(PeerId(1)), Counts::default());
    let mut ear = Ear::new(&mut rib, PeerId(0), role(7, 65007));
    rib.originate([(prefix(NET), Origination::default())].into());
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    assert_eq!(rib.counts(PeerId(0)).ipv4.received, 0);
}

#[test]
fn another_identity_of_ours_is_told_and_judged_by() {
    let (mut rib, mut ear) = pair();
    let mut reflected = attributes(1, &[]);
    reflected.originator_id = Some(LOCAL.router_id);
    rib.peer_up(PeerId(2), role(3, OURS.0));
    rib.update(PeerId(2), announce(reflected, &["203.0.113.0/24"]))
        .unwrap();
    assert!(used(&rib, "203.0.113.0/24").is_empty());
    let router_id = RouterId([10, 0, 0, 101].into());
    rib.set_local(Local { router_id, ..LOCAL });
    assert_eq!(used(&rib, "203.0.113.0/24").len(), 1);
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 3);
}

#[test]
fn a_prefix_that_returned_to_another_place_survives_a_sweep() {
    let mut rib = rib(LOCAL);
    let originate = |rib: &mut Rib, nets: &[&str]| {
        let routes = nets.iter().map(|net| (prefix(net), Origination::default()));
        rib.originate(routes.collect());
    };
    originate(&mut rib, &[NET, OTHER]);
    originate(&mut rib, &[]);
    originate(&mut rib, &[NET]);
    rib.set_next_hops(NextHops::default());
    let mut ear = Ear::new(&mut rib, PeerId(1), role(2, 65002));
    ear.drain(&mut rib);
    assert_eq!(ear.routes.len(), 1);
    originate(&mut rib, &[]);
    ear.drain(&mut rib);
    assert!(ear.routes.is_empty());
}

#[test]
fn who_hears_the_best_path_does_not_notice_others() {
    let (mut rib, mut ear) = pair();
    let mut several = role(9, OURS.0);
    several.negotiated.add_path_send = Families::ALL;
    let mut curious = Ear::new(&mut rib, PeerId(9), several);
    curious.drain(&mut rib);
    rib.peer_up(PeerId(2), role(3, 65003));
    (ear.messages, curious.messages) = (0, 0);
    for number in 0..3 {
        let longer = attributes(3, &[65003, 65004, 65010 + number]);
        rib.update(PeerId(2), announce(longer, &[NET])).unwrap();
        ear.drain(&mut rib);
        curious.drain(&mut rib);
    }
    assert_eq!((ear.messages, curious.messages), (0, 3));
    assert_eq!(curious.told(NET).len(), 2);
}

#[test]
fn a_sibling_of_a_path_that_changes_is_not_told_again() {
    let (mut rib, _) = pair();
    let mut several = role(9, OURS.0);
    several.negotiated.add_path_send = Families::ALL;
    rib.peer_up(PeerId(9), several);
    let mut out = Vec::new();
    rib.transmit(PeerId(9), &mut out, usize::MAX);
    rib.peer_up(PeerId(2), role(3, 65003));
    let mut lengths = Vec::new();
    for number in 0..2 {
        let longer = attributes(3, &[65003, 65004, 65010 + number]);
        rib.update(PeerId(2), announce(longer, &[NET])).unwrap();
        out.clear();
        rib.transmit(PeerId(9), &mut out, usize::MAX);
        lengths.push(frame(&out).unwrap() == Some(out.len()));
    }
    assert_eq!(lengths, [true, true], "one message each");
}

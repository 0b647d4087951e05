//! Restarts that lose no route, where BIRD, FRR, GoBGP or ExaBGP is the other end: those who return with
//! the wrong answer, and those who stay away for long (RFC 4724, RFC 9494).
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::Duration;

use tombolo_bgp::{Community, Graceful, Peer};
use tombolo_lab::Lab;
use tombolo_speaker::Stop;
use tombolo_tests::daemons::{
    OTHER, OTHER6, PLAIN, Terms, US, bird_config, exabgp, frr_config, gobgp, gobgp_config,
};
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, config, options, peer};
use tombolo_tests::{Shape, lab};

const GRACEFUL: Terms = Terms {
    graceful: true,
    ..PLAIN
};

fn graceful(peers: &[(&str, Peer)], long_lived: Option<Duration>) -> tombolo_bgp::Config {
    tombolo_bgp::Config {
        graceful: Some(Graceful {
            restart_time: Duration::from_secs(3),
            long_lived,
            ..Graceful::default()
        }),
        ..config(peers)
    }
}

#[test]
fn what_gobgp_told_is_kept_while_it_restarts() {
    let lab = lab("bgp-crash-gobgp", &Shape::hosts(2));
    let we = graceful(&[(OTHER, peer(65002))], None);
    let ours = Speaking::start(&lab, "a", options(we));
    let mut other = gobgp(&lab, GRACEFUL);
    ours.knows("10.2.0.0/24");
    ours.knows("fd10:2::/64");
    other.kill_program("gobgpd");
    ours.parted(OTHER);
    assert_eq!(ours.session(OTHER).kept.len(), 2);
    assert!(!ours.paths("10.2.0.0/24").is_empty());
    // It returns without what it was told by hand, and says one of the two again.
    other.revive_program("gobgpd", "");
    other.tell(&format!("global rib add 10.2.0.0/24 nexthop {OTHER}"));
    ours.established(OTHER);
    ours.until(OTHER, "nothing is stale", |session| {
        session.kept.is_empty().then_some(())
    });
    ours.knows("10.2.0.0/24");
    ours.forgets("fd10:2::/64");
    other.tell(&format!(
        "global rib add -a ipv6 fd10:2::/64 nexthop {OTHER6}"
    ));
    ours.knows("fd10:2::/64");
}

#[test]
fn what_exabgp_told_is_kept_while_it_restarts() {
    let lab = lab("bgp-crash-exabgp", &Shape::hosts(2));
    let we = graceful(&[(OTHER, peer(65002))], None);
    let ours = Speaking::start(&lab, "a", options(we));
    let mut other = exabgp(&lab, GRACEFUL);
    ours.knows("10.2.0.0/24");
    ours.knows("fd10:2::/64");
    other.kill_program("exabgp");
    ours.parted(OTHER);
    assert_eq!(ours.session(OTHER).kept.len(), 2);
    assert!(!ours.paths("10.2.0.0/24").is_empty());
    other.revive_program("exabgp", "");
    ours.established(OTHER);
    other.tell(&format!("announce route 10.2.0.0/24 next-hop {OTHER}"));
    ours.knows("10.2.0.0/24");
    ours.forgets("fd10:2::/64");
}

#[test]
fn who_does_not_return_in_time_is_forgotten() {
    let lab = lab("bgp-crash-gone", &Shape::hosts(2));
    let we = graceful(&[(OTHER, peer(65002))], None);
    let ours = Speaking::start(&lab, "a", options(we));
    let text = bird_config(GRACEFUL).replace("restart time 30", "restart time 2");
    let other = Router::bird(&lab, "b", &text);
    ours.knows("10.2.0.0/24");
    other.kill();
    ours.parted(OTHER);
    let kept = ours.session(OTHER).kept;
    assert!(kept[0].contains("while the peer restarts"), "{kept:?}");
    assert!(!ours.paths("10.2.0.0/24").is_empty());
    ours.forgets("10.2.0.0/24");
    ours.forgets("fd10:2::/64");
    assert!(ours.session(OTHER).kept.is_empty());
}

/// A daemon that keeps routes for long, and whose own are kept so, two seconds after it is gone.
fn long_lived<'lab>(name: &str, lab: &'lab Lab) -> (Router<'lab>, String) {
    match name {
        "bird" => {
            let words = "long lived graceful restart on; long lived stale time 60; ";
            let text = bird_config(Terms { words, ..GRACEFUL });
            let text = text.replace("restart time 30", "restart time 2");
            (Router::bird(lab, "b", &text), text)
        }
        "frr" => {
            let words = " bgp long-lived-graceful-restart stale-time 60\n";
            let text = frr_config(Terms { words, ..GRACEFUL });
            let text = text.replace("restart-time 30", "restart-time 2");
            (Router::frr(lab, "b", &text), text)
        }
        _ => {
            let family_words = "    [neighbors.afi-safis.long-lived-graceful-restart.config]\n      \
                                enabled = true\n      restart-time = 60\n";
            let text = gobgp_config(Terms {
                family_words,
                ..GRACEFUL
            });
            let text = text.replace("restart-time = 30", "restart-time = 2");
            let text = text.replace(
                "enabled = true\n    restart-time",
                "enabled = true\n    long-lived-enabled = true\n    restart-time",
            );
            let router = Router::gobgp(lab, "b", &text);
            router.tell(&format!("global rib add 10.2.0.0/24 nexthop {OTHER}"));
            (router, text)
        }
    }
}

#[test]
fn who_stays_away_for_long_is_a_last_resort() {
    for (name, program) in [("bird", "bird"), ("frr", "bgpd"), ("gobgp", "gobgpd")] {
        let lab = lab(&format!("bgp-long-{name}"), &Shape::hosts(3));
        let third = ("192.168.50.13", peer(65003));
        let minute = Some(Duration::from_secs(60));
        let we = graceful(&[(OTHER, peer(65002)), third], minute);
        let ours = Speaking::start(&lab, "a", options(we));
        let (mut other, text) = long_lived(name, &lab);
        ours.knows("10.2.0.0/24");
        let agreed = ours.session(OTHER).agreed.unwrap().capabilities;
        let said = "long-lived graceful restart".to_owned();
        assert!(agreed.contains(&said), "{name}: {agreed:?}");
        other.kill_program(program);
        ours.until(OTHER, "its routes are a last resort", |session| {
            let last = |kept: &String| kept.contains("last resort");
            session.kept.iter().any(last).then_some(())
        });
        // They are marked for all who hear of them (RFC 9494 section 4.2).
        let stale = |is: bool| {
            ours.routes("its routes are marked", |routes| {
                let paths = routes.best.get(&"10.2.0.0/24".parse().unwrap());
                let marked = |paths: &[tombolo_bgp::rib::Path]| {
                    let communities = &paths[0].attributes.communities;
                    communities.contains(&Community::LLGR_STALE)
                };
                paths.is_some_and(|paths| marked(paths) == is)
            });
        };
        stale(true);
        other.revive_program(program, &text);
        if name == "gobgp" {
            other.tell(&format!("global rib add 10.2.0.0/24 nexthop {OTHER}"));
        }
        ours.established(OTHER);
        stale(false);
        ours.until(OTHER, "nothing is stale", |session| {
            session.kept.is_empty().then_some(())
        });
        ours.knows("10.2.0.0/24");
    }
}

#[test]
fn we_stay_away_for_long_and_are_a_last_resort() {
    for name in ["bird", "frr", "gobgp"] {
        let lab = lab(&format!("bgp-away-{name}"), &Shape::hosts(2));
        let minute = Some(Duration::from_secs(60));
        let we = graceful(&[(OTHER, peer(65002))], minute);
        let ours = Speaking::start(&lab, "a", options(we.clone()));
        let (other, _) = long_lived(name, &lab);
        ours.established(OTHER);
        other.knows("10.1.0.0/24");
        ours.stop(Stop::Graceful);
        other.parted(US);
        let told = |router: &Router<'_>| match name {
            "bird" => router.ask("show route 10.1.0.0/24 all"),
            "frr" => router.ask("show bgp ipv4 unicast 10.1.0.0/24 json"),
            _ => router.ask("global rib 10.1.0.0/24 -j"),
        };
        // 65535:6, also as one number.
        let is_marked = |text: &str| {
            let marks = [
                "(65535,6)",
                "65535:6",
                "llgr-stale",
                "llgrStale",
                "4294901766",
            ];
            marks.iter().any(|mark| text.contains(mark))
        };
        other.until("our route is a last resort", |router| {
            is_marked(&told(router)).then_some(())
        });
        let mut again = options(we);
        again.restarting = true;
        let ours = Speaking::start(&lab, "a", again);
        ours.established(OTHER);
        other.until("our route is as good as before", |router| {
            let text = told(router);
            (!is_marked(&text) && router.prefixes().contains("10.1.0.0/24")).then_some(())
        });
    }
}

//! BFD with BIRD and FRR: both ends agree that it is up, a cut wire ends the session long before the hold
//! time, and what an operator switches off ends nothing.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use tombolo_bgp::{Bfd, Peer};
use tombolo_lab::Lab;
use tombolo_speaker::BfdStatus;
use tombolo_tests::daemons::{OTHER, OTHER6, PLAIN, Terms, US, US6, bird_config, frr_config};
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, config, options, peer};
use tombolo_tests::{Shape, lab};

const DAEMONS: [&str; 2] = ["bird", "frr"];

/// A peer that is watched: a packet each 300 ms, gone after four.
fn watched() -> Peer {
    let mut peer = peer(65002);
    peer.bfd = Some(Bfd {
        interval: Duration::from_millis(300),
        multiplier: 4,
    });
    peer
}

/// A daemon that watches us in the same way.
fn start<'lab>(name: &str, lab: &'lab Lab, us: &'static str) -> Router<'lab> {
    let peers: &'static [(&str, u32)] = if us == US6 {
        &[(US6, 65001)]
    } else {
        &[(US, 65001)]
    };
    let terms = Terms { peers, ..PLAIN };
    if name == "bird" {
        let text = bird_config(Terms {
            words: "bfd on; ",
            ..terms
        });
        let bfd = "protocol bfd watch { interface \"*\" {
            min rx interval 300 ms; min tx interval 300 ms; multiplier 4; }; }\n";
        return Router::bird(lab, "b", &(text + bfd));
    }
    let text = frr_config(Terms {
        words: " neighbor PEER bfd profile quick\n",
        ..terms
    });
    let bfd = "bfd\n profile quick\n  receive-interval 300\n  transmit-interval 300\n  detect-multiplier 4\n exit\nexit\n";
    Router::frr(lab, "b", &(bfd.to_owned() + &text))
}

fn bfd(ours: &Speaking, peer: &str) -> Option<BfdStatus> {
    let status = ours.handle.status().wait().unwrap();
    status.bfd.get(&peer.parse().unwrap()).cloned()
}

/// Waits until both ends say that it is up, at a packet each 300 ms.
fn stands(name: &str, ours: &Speaking, other: &Router<'_>, at: &str) {
    ours.until(at, "BFD is up here", |_| {
        let bfd = bfd(ours, at)?;
        // At first packets come once in a second (RFC 5880 section 6.8.3).
        let quick = bfd.detection_time.is_some_and(|time| time < 1.5);
        (bfd.state == "Up" && bfd.remote_state == "Up" && quick).then_some(())
    });
    // What was heard since then shows that the session of BGP is not a newer one.
    let before = bfd(ours, at).map_or(0, |bfd| bfd.packets.1);
    ours.until(at, "more is heard", |_| {
        (bfd(ours, at)?.packets.1 > before + 1).then_some(())
    });
    other.until("BFD is up there", |router| {
        let text = match name {
            "bird" => router.ask("show bfd sessions").replace(" Up ", " up "),
            _ => router.ask("show bfd peers"),
        };
        text.to_lowercase().contains("up").then_some(())
    });
}

#[test]
fn a_cut_wire_is_noticed_at_both_ends_long_before_the_hold_time() {
    for (us, at) in [(US, OTHER), (US6, OTHER6)] {
        for name in DAEMONS {
            let lab = lab(&format!("bgp-bfd-{name}"), &Shape::hosts(2));
            let ours = Speaking::start(&lab, "a", options(config(&[(at, watched())])));
            let other = start(name, &lab, us);
            ours.established(at);
            other.established(us);
            stands(name, &ours, &other, at);
            let cut = Instant::now();
            lab.cut("b").unwrap();
            ours.parted(at);
            // The hold time is 9 s with FRR, and 90 with BIRD.
            assert!(
                cut.elapsed() < Duration::from_secs(3),
                "{name}: {:?}",
                cut.elapsed()
            );
            let trouble = ours.session(at).trouble.unwrap().words;
            assert!(trouble.contains("BFD"), "{name}: {trouble}");
            ours.forgets("10.2.0.0/24");
            other.parted(us);
            lab.heal("b").unwrap();
            ours.established(at);
            ours.knows("10.2.0.0/24");
            stands(name, &ours, &other, at);
        }
    }
}

#[test]
fn a_daemon_that_stops_to_watch_ends_no_session() {
    let lab = lab("bgp-bfd-off", &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, watched())])));
    let other = start("frr", &lab, US);
    ours.established(OTHER);
    stands("frr", &ours, &other, OTHER);
    let flaps = ours.session(OTHER).flaps;
    other.tell("conf t\nbfd\nprofile quick\nshutdown");
    ours.until(OTHER, "BFD is switched off there", |_| {
        let bfd = bfd(&ours, OTHER)?;
        (bfd.remote_state == "AdminDown").then_some(())
    });
    // What goes over the session later shows that it still stands.
    ours.tell(&["10.3.0.0/24"]);
    other.knows("10.3.0.0/24");
    assert_eq!(
        ours.session(OTHER).flaps,
        flaps,
        "{:?}",
        ours.session(OTHER).trouble
    );
    // We stop, too.
    ours.configure(config(&[(OTHER, peer(65002))]));
    ours.tell(&["10.4.0.0/24"]);
    other.knows("10.4.0.0/24");
    assert_eq!(
        ours.session(OTHER).flaps,
        flaps,
        "{:?}",
        ours.session(OTHER).trouble
    );
}

//! How sessions end, with BIRD, FRR, GoBGP and ExaBGP: what an operator says when he ends one, what is kept
//! after it and what is not, too many prefixes, a wrong password, a peer that is too far away.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use tombolo_bgp::{Graceful, Password, Peer, Ttl};
use tombolo_lab::Lab;
use tombolo_speaker::Stop;
use tombolo_tests::daemons::{
    DAEMONS, OTHER, PLAIN, Start, Terms, US, bird, exabgp, frr, frr_config, gobgp,
};
use tombolo_tests::raw::Raw;
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, config, options, peer};
use tombolo_tests::{Shape, lab};

#[test]
fn what_an_operator_says_there_is_read_here() {
    let words = "back at ten";
    for (name, start, command) in [
        (
            "bird",
            bird as Start,
            "disable peer0 \"back at ten\"".to_owned(),
        ),
        (
            "frr",
            frr,
            format!("conf t\nrouter bgp 65002\nneighbor {US} shutdown message back at ten"),
        ),
        (
            "gobgp",
            gobgp,
            format!("neighbor {US} shutdown --reason \"back at ten\""),
        ),
    ] {
        let lab = lab(&format!("bgp-words-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = start(&lab, PLAIN);
        ours.knows("10.2.0.0/24");
        other.tell(&command);
        ours.parted(OTHER);
        let trouble = ours.session(OTHER).trouble.unwrap().words;
        assert!(
            trouble.contains("administrative shutdown") && trouble.contains(words),
            "{name}: {trouble}"
        );
        ours.forgets("10.2.0.0/24");
    }
}

#[test]
fn what_an_operator_does_here_is_read_there() {
    let (stopped, reset) = ("we are shut down", "reset by an operator");
    // ExaBGP 4.2 cannot decode words in a Cease, and ends the session for that.
    for (name, start) in DAEMONS.into_iter().filter(|(name, _)| *name != "exabgp") {
        let lab = lab(&format!("bgp-said-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = start(&lab, PLAIN);
        let established = || {
            ours.knows("10.2.0.0/24");
            other.knows("10.1.0.0/24");
        };
        established();
        let flaps = ours.session(OTHER).flaps;
        ours.handle.reset(OTHER.parse().unwrap(), false);
        ours.until(OTHER, "the session ended", |session| {
            (session.flaps > flaps).then_some(())
        });
        other.until("it was told of the reset", |router| {
            last_word(name, router).contains(reset).then_some(())
        });
        established();
        ours.stop(Stop::Cease);
        other.until("it was told of the end", |router| {
            last_word(name, router).contains(stopped).then_some(())
        });
        other.forgets("10.1.0.0/24");
    }
}

/// What a daemon says that it was last told.
fn last_word(name: &str, router: &Router<'_>) -> String {
    match name {
        "bird" => router.ask("show protocols all peer0"),
        "frr" => router.ask(&format!("show bgp neighbors {US} json")) + &router.log(),
        "gobgp" => router.ask(&format!("neighbor {US}")) + &router.log(),
        _ => {
            let lines = router.heard();
            let lines = lines.iter().map(ToString::to_string);
            lines.collect()
        }
    }
}

fn graceful(peers: &[(&str, Peer)]) -> tombolo_bgp::Config {
    tombolo_bgp::Config {
        graceful: Some(Graceful::default()),
        ..config(peers)
    }
}

#[test]
fn a_hard_reset_takes_routes_along_and_another_reset_does_not() {
    let terms = Terms {
        graceful: true,
        ..PLAIN
    };
    for hard in [true, false] {
        let lab = lab("bgp-hard-frr", &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(graceful(&[(OTHER, peer(65002))])));
        let text = match hard {
            true => frr_config(terms),
            false => frr_config(terms).replacen(
                " no bgp ebgp-requires-policy\n",
                " no bgp ebgp-requires-policy\n no bgp hard-administrative-reset\n",
                1,
            ),
        };
        let other = Router::frr(&lab, "b", &text);
        ours.knows("10.2.0.0/24");
        let agreed = ours.session(OTHER).agreed.unwrap().capabilities;
        let said = "graceful restart after NOTIFICATIONs".to_owned();
        assert!(agreed.contains(&said), "{agreed:?}");
        // They end it.
        let flaps = ours.session(OTHER).flaps;
        other.tell(&format!("clear bgp {US}"));
        let ended = ours.until(OTHER, "the session ended", |session| {
            (session.flaps > flaps).then(|| session.clone())
        });
        let trouble = ended.trouble.unwrap().words;
        assert_eq!(trouble.contains("hard reset"), hard, "{trouble}");
        assert_eq!(ended.kept.is_empty(), hard, "{trouble}: {:?}", ended.kept);
        ours.established(OTHER);
        ours.knows("10.2.0.0/24");
        other.knows("10.1.0.0/24");
        // We end it.
        ours.handle.reset(OTHER.parse().unwrap(), hard);
        // Once the session stands again, only its log knows how the last one ended.
        let kind = if hard {
            "NOTIFICATION(Hard Reset)"
        } else {
            "NOTIFICATION"
        };
        let line = format!("%{kind}: received from neighbor {US} 6/4 (Cease/Administrative Reset)");
        other.until("it is told how it ended", |router| {
            router.log().contains(&line).then_some(())
        });
        ours.established(OTHER);
        ours.knows("10.2.0.0/24");
    }
}

#[test]
fn more_prefixes_than_are_allowed_end_the_session_with_words_at_both_ends() {
    for (name, start) in DAEMONS {
        let lab = lab(&format!("bgp-most-{name}"), &Shape::hosts(2));
        let mut them = peer(65002);
        // Of each family they have one.
        them.max_prefixes = Some(0);
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, them)])));
        let other = start(&lab, PLAIN);
        ours.complains(OTHER, "prefixes");
        ours.forgets("10.2.0.0/24");
        ours.forgets("fd10:2::/64");
        // It is left alone for a while, so that what it was told is still to be seen.
        let word = match name {
            "bird" => "Maximum number of prefixes reached",
            "frr" => "Maximum Number of Prefixes Reached",
            "gobgp" => "code 6(cease) subcode 1(maximum number of prefixes reached)",
            _ => "\"code\":6,\"data\"",
        };
        other.until("it is told why", |router| {
            let told = last_word(name, router);
            told.contains(word).then_some(())
        });
        let session = ours.session(OTHER);
        assert_eq!(session.state.to_string(), "Idle", "{name}");
        assert!(session.next_try.unwrap() > 10.0, "{name}");
        // Who may tell as many is spoken with again.
        ours.configure(config(&[(OTHER, peer(65002))]));
        ours.knows("10.2.0.0/24");
    }
}

#[test]
fn a_daemon_that_takes_fewer_prefixes_than_we_tell_says_so() {
    for (name, start, family_words) in [
        ("bird", bird as Start, "receive limit 1 action disable; "),
        ("frr", frr, "  neighbor PEER maximum-prefix 1\n"),
        (
            "gobgp",
            gobgp,
            "    [neighbors.afi-safis.prefix-limit.config]\n      max-prefixes = 1\n",
        ),
    ] {
        let lab = lab(&format!("bgp-limit-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let terms = Terms {
            family_words,
            ..PLAIN
        };
        let other = start(&lab, terms);
        other.knows("10.1.0.0/24");
        ours.tell(&["10.1.0.0/24", "10.3.0.0/24", "10.4.0.0/24"]);
        ours.parted(OTHER);
        ours.complains(OTHER, "maximum number of prefixes");
        drop(other);
    }
}

#[test]
fn a_wrong_password_is_said_with_every_daemon() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-wrong-{name}"), &Shape::hosts(2));
        let mut them = peer(65002);
        them.password = Some(Password::new("ours").unwrap());
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, them.clone())])));
        let terms = Terms {
            password: Some("theirs"),
            ..PLAIN
        };
        let other = start(&lab, terms);
        ours.complains(OTHER, "its password may be another one");
        assert!(other.sessions().is_empty(), "{name}");
        // None at all is as bad.
        let mut bare = them.clone();
        bare.password = None;
        ours.configure(config(&[(OTHER, bare)]));
        ours.complains(OTHER, "asks for a password");
        assert!(other.sessions().is_empty(), "{name}");
        them.password = Some(Password::new("theirs").unwrap());
        ours.configure(config(&[(OTHER, them)]));
        ours.knows("10.2.0.0/24");
    }
}

#[test]
fn who_seems_to_come_from_far_away_is_no_neighbour() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-far-{name}"), &Shape::hosts(2));
        let mut them = peer(65002);
        them.ttl = Ttl::Security(1);
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, them)])));
        // Its packets have a time to live as if many routers lay between.
        let other = start(&lab, PLAIN);
        other.until("its packets are dropped", |_| {
            (drops(&lab, "TCPMinTTLDrop") > 2).then_some(())
        });
        assert!(other.sessions().is_empty(), "{name}");
        other.stop();
        let other = start(
            &lab,
            Terms {
                near: true,
                ..PLAIN
            },
        );
        ours.knows("10.2.0.0/24");
        other.knows("10.1.0.0/24");
    }
}

#[test]
fn who_may_be_too_far_away_is_told_of() {
    let lab = lab("bgp-far-words", &Shape::hosts(2));
    let mut them = peer(65002);
    them.ttl = Ttl::Security(1);
    let listener = Raw::listen(&lab, "b");
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, them)])));
    ours.complains(OTHER, "farther away than 1 hop");
    drop(listener);
}

/// How many packets the kernel of host `a` has dropped for a reason: of /proc/net/netstat, where names
/// stand above their numbers.
fn drops(lab: &Lab, reason: &str) -> u64 {
    let text = lab.output("a", &["cat", "/proc/net/netstat"]).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split(' ').collect()).collect();
    let mut pairs = lines.chunks(2);
    let pair = pairs.find(|pair| pair[0].contains(&reason)).unwrap();
    let at = pair[0].iter().position(|name| *name == reason).unwrap();
    pair[1][at].parse().unwrap()
}

#[test]
fn a_daemon_that_tears_a_session_down_is_understood() {
    let lab = lab("bgp-teardown", &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
    let other = exabgp(&lab, PLAIN);
    for (subcode, words) in [
        (2, "administrative shutdown"),
        (3, "peer de-configured"),
        (4, "administrative reset"),
        (5, "connection rejected"),
        (6, "other configuration change"),
        (8, "out of resources"),
    ] {
        ours.established(OTHER);
        // It takes no such command before the session stands on its side as well.
        other.established(US);
        let flaps = ours.session(OTHER).flaps;
        other.tell(&format!("neighbor {US} teardown {subcode}"));
        ours.until(OTHER, "the session ended", |session| {
            (session.flaps > flaps).then_some(())
        });
        ours.complains(OTHER, words);
    }
    ours.established(OTHER);
}

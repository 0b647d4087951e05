//! What BGP can beyond plain sessions, with real daemons on the other end: reflection, several paths,
//! refresh, restarts, thousands of routes, sessions that come and go, attributes that are malformed.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::collections::BTreeMap;
use std::time::Instant;

use tombolo_bgp::{Asn, Config, Graceful, Origination, Peer, RouterId};
use tombolo_lab::Lab;
use tombolo_speaker::Stop;
use tombolo_tests::daemons::{
    DAEMONS, OTHER, PLAIN, Start, Terms, US, bird, bird_config, exabgp, frr, frr_config, gobgp,
};
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, config, net, options, origins, peer};
use tombolo_tests::{Shape, lab};

const THIRD: &str = "192.168.50.13";
const THIRD6: &str = "fd50::d";

/// A speaker of ours on host `c` or `d`, with its own number, which tells of these prefixes to one peer.
fn further(lab: &Lab, host: &str, asn: u32, at: (&str, Peer), prefixes: &[&str]) -> Speaking {
    let mut config = config(&[at]);
    let last = if host == "c" { 13 } else { 14 };
    config.asn = Asn(asn);
    config.router_id = RouterId([192, 168, 50, last].into());
    for peer in config.peers.values_mut() {
        let v6 = if host == "c" { THIRD6 } else { "fd50::e" };
        peer.next_hops = vec![
            format!("192.168.50.{last}").parse().unwrap(),
            v6.parse().unwrap(),
        ];
    }
    let mut options = options(config);
    options.originate = origins(prefixes);
    Speaking::start(lab, host, options)
}

fn id(text: &str) -> RouterId {
    RouterId(text.parse().unwrap())
}

#[test]
fn we_are_the_client_of_a_reflector() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-client-{name}"), &Shape::hosts(3));
        let terms = Terms {
            asn: 65001,
            peers: &[(US, 65001), (THIRD, 65001)],
            reflector: true,
            ..PLAIN
        };
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65001))])));
        let third = further(
            &lab,
            "c",
            65001,
            (OTHER, peer(65001)),
            &["10.4.0.0/24", "fd10:4::/64"],
        );
        let _reflector = start(&lab, terms);
        for prefix in ["10.4.0.0/24", "fd10:4::/64"] {
            ours.knows(prefix);
            let path = &ours.paths(prefix)[0];
            assert_eq!(path.attributes.originator_id, Some(id(THIRD)), "{name}");
            assert_eq!(path.attributes.cluster_list, [id(OTHER)], "{name}");
        }
        third.knows("10.1.0.0/24");
        third.knows("10.2.0.0/24");
        // What comes back to who told it is refused, and counted.
        assert!(ours.paths("10.1.0.0/24").is_empty());
        third.tell(&[]);
        ours.forgets("10.4.0.0/24");
        ours.forgets("fd10:4::/64");
    }
}

#[test]
fn we_are_the_reflector() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-reflector-{name}"), &Shape::hosts(3));
        let mut client = peer(65001);
        client.client = true;
        let ours = Speaking::start(
            &lab,
            "a",
            options(config(&[(OTHER, client.clone()), (THIRD, client)])),
        );
        let terms = Terms {
            asn: 65001,
            ..PLAIN
        };
        let other = start(&lab, terms);
        let third = further(
            &lab,
            "c",
            65001,
            (US, peer(65001)),
            &["10.4.0.0/24", "fd10:4::/64"],
        );
        other.knows("10.4.0.0/24");
        other.knows("fd10:4::/64");
        third.knows("10.2.0.0/24");
        let path = &third.paths("10.2.0.0/24")[0];
        assert_eq!(path.attributes.originator_id, Some(id(OTHER)), "{name}");
        assert_eq!(path.attributes.cluster_list, [id(US)], "{name}");
        ours.stop(Stop::Cease);
        other.forgets("10.4.0.0/24");
        third.forgets("10.2.0.0/24");
    }
}

#[test]
fn several_paths_to_a_prefix_go_out_and_come_in() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-paths-{name}"), &Shape::hosts(4));
        let all = |asn| {
            let mut peer = peer(asn);
            peer.add_path.send = true;
            peer.add_path.receive = true;
            peer
        };
        // Both of the others tell the daemon and us of one prefix; the daemon and we tell each other.
        let terms = Terms {
            peers: &[(US, 65001), (THIRD, 65003), ("192.168.50.14", 65004)],
            add_path: true,
            ..PLAIN
        };
        let mut we = config(&[(OTHER, all(65002))]);
        we.multipath = 8;
        let ours = Speaking::start(&lab, "a", options(we.clone()));
        let other = start(&lab, terms);
        let paths = |count: u64| {
            ours.until(OTHER, "as many paths come in", |session| {
                (session.prefixes.ipv4.received == count).then_some(())
            });
        };
        let third = further(&lab, "c", 65003, (OTHER, peer(65002)), &["10.9.0.0/24"]);
        ours.knows("10.2.0.0/24");
        ours.knows("10.9.0.0/24");
        other.knows("10.1.0.0/24");
        let one = ours.session(OTHER).prefixes.ipv4.received;
        let fourth = further(&lab, "d", 65004, (OTHER, peer(65002)), &["10.9.0.0/24"]);
        fourth.established(OTHER);
        other.established("192.168.50.14");
        paths(one + 1);
        fourth.tell(&[]);
        other.until("it has lost one of the paths", |router| {
            (paths_of(name, router, "10.9.0.0/24") == 1).then_some(())
        });
        paths(one);
        ours.knows("10.9.0.0/24");
        third.stop(Stop::Cease);
        ours.forgets("10.9.0.0/24");
        fourth.stop(Stop::Cease);
        // The other way: they tell us, we tell the daemon.
        let mut tellers = Vec::new();
        for (host, asn, address) in [("c", 65003, THIRD), ("d", 65004, "192.168.50.14")] {
            we.peers.insert(address.parse().unwrap(), peer(asn));
            ours.configure(we.clone());
            tellers.push(further(
                &lab,
                host,
                asn,
                (US, peer(65001)),
                &["10.8.0.0/24"],
            ));
        }
        other.until("two paths went out", |router| {
            (paths_of(name, router, "10.8.0.0/24") == 2).then_some(())
        });
        drop(tellers);
    }
}

/// How many paths to a prefix a daemon knows.
fn paths_of(name: &str, router: &Router<'_>, prefix: &str) -> usize {
    match name {
        "bird" => {
            let text = router.try_ask(&format!("show route {prefix}"));
            text.unwrap_or_default().matches("unicast [").count()
        }
        "frr" => {
            let table = router.json(&format!("show bgp ipv4 unicast {prefix} json"));
            table["paths"].as_array().map_or(0, Vec::len)
        }
        _ => {
            let text = router.try_ask(&format!("global rib {prefix} -j"));
            let table: serde_json::Value =
                serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
            table[prefix].as_array().map_or(0, Vec::len)
        }
    }
}

#[test]
fn either_side_may_ask_to_hear_everything_again() {
    for (name, start) in DAEMONS {
        let lab = lab(&format!("bgp-refresh-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = start(&lab, PLAIN);
        ours.knows("10.2.0.0/24");
        ours.knows("fd10:2::/64");
        other.knows("10.1.0.0/24");
        let flaps = ours.session(OTHER).flaps;
        let before = ours.session(OTHER).messages;
        // ExaBGP 4.2 asks, but cannot decode the question, and ends the session for that.
        if name != "exabgp" {
            ours.handle.refresh(OTHER.parse().unwrap());
        }
        if name == "frr" {
            // It takes the question, and leaves out what it has said already.
            other.until("it is asked", |router| {
                let stats = &router.json(&format!("show bgp neighbors {US} json"))[US];
                (stats["messageStats"]["routeRefreshRecv"].as_u64()? >= 2).then_some(())
            });
        } else if name != "exabgp" {
            ours.until(OTHER, "it says everything again", |session| {
                (session.messages.received.update >= before.received.update + 2).then_some(())
            });
        }
        match name {
            "bird" => other.tell("reload in peer0"),
            "frr" => other.tell(&format!("clear bgp ipv4 unicast {US} soft in")),
            "exabgp" => other.tell("announce route-refresh ipv4 unicast"),
            // It has kept all that it was told, and does not ask.
            _ => continue,
        }
        ours.until(OTHER, "it asks", |session| {
            (session.messages.received.refresh > before.received.refresh).then_some(())
        });
        ours.until(OTHER, "we say everything again", |session| {
            (session.messages.sent.update > before.sent.update).then_some(())
        });
        assert_eq!(ours.session(OTHER).flaps, flaps, "{name}");
        other.knows("10.1.0.0/24");
        ours.knows("10.2.0.0/24");
        if name == "bird" {
            // Where all begins and ends is said (RFC 7313), by both.
            let session = ours.session(OTHER);
            let agreed = session.agreed.unwrap().capabilities;
            assert!(agreed.contains(&"enhanced route refresh".to_owned()));
            let (sent, received) = (session.messages.sent, session.messages.received);
            assert!(sent.refresh >= before.sent.refresh + 2, "{sent:?}");
            assert!(
                received.refresh >= before.received.refresh + 2,
                "{received:?}"
            );
        }
    }
}

fn graceful(mut config: Config) -> Config {
    config.graceful = Some(Graceful::default());
    config
}

#[test]
fn a_daemon_that_crashes_and_returns_loses_no_route() {
    let terms = Terms {
        graceful: true,
        ..PLAIN
    };
    for (name, start, program, text) in [
        ("bird", bird as Start, "bird", bird_config(terms)),
        ("frr", frr, "bgpd", frr_config(terms)),
    ] {
        let lab = lab(&format!("bgp-crash-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(
            &lab,
            "a",
            options(graceful(config(&[(OTHER, peer(65002))]))),
        );
        let mut other = start(&lab, terms);
        ours.knows("10.2.0.0/24");
        ours.knows("fd10:2::/64");
        let watching = ours.watch_over(&["10.2.0.0/24", "fd10:2::/64"]);
        other.kill_program(program);
        ours.parted(OTHER);
        assert!(!ours.session(OTHER).kept.is_empty(), "{name}");
        other.revive_program(program, &text);
        ours.established(OTHER);
        ours.until(OTHER, "nothing is stale", |session| {
            session.kept.is_empty().then_some(())
        });
        ours.knows("10.2.0.0/24");
        ours.knows("fd10:2::/64");
        drop(ours);
        assert!(!watching.join().unwrap(), "{name}: a route went meanwhile");
    }
}

#[test]
fn we_restart_and_the_daemon_keeps_our_routes() {
    for (name, start) in [("bird", bird as Start), ("frr", frr), ("gobgp", gobgp)] {
        let lab = lab(&format!("bgp-restart-{name}"), &Shape::hosts(2));
        let terms = Terms {
            graceful: true,
            ..PLAIN
        };
        let we = graceful(config(&[(OTHER, peer(65002))]));
        let mut first = options(we.clone());
        first.originate = origins(&["10.1.0.0/24", "10.3.0.0/24", "fd10:1::/64"]);
        let ours = Speaking::start(&lab, "a", first);
        let other = start(&lab, terms);
        for prefix in ["10.1.0.0/24", "10.3.0.0/24", "fd10:1::/64"] {
            other.knows(prefix);
        }
        ours.knows("10.2.0.0/24");
        ours.stop(Stop::Graceful);
        other.parted(US);
        for prefix in ["10.1.0.0/24", "10.3.0.0/24", "fd10:1::/64"] {
            assert!(other.prefixes().contains(prefix), "{name} forgot {prefix}");
        }
        let mut again = options(we);
        again.restarting = true;
        let ours = Speaking::start(&lab, "a", again);
        ours.routes("it has settled", |routes| routes.settled);
        ours.knows("10.2.0.0/24");
        // What is not told again goes; what is told again has been there all the time.
        other.forgets("10.3.0.0/24");
        for prefix in ["10.1.0.0/24", "fd10:1::/64"] {
            assert!(other.prefixes().contains(prefix), "{name} forgot {prefix}");
        }
    }
}

/// So many prefixes of /32 below 10.x/8.
fn many(first: u8, count: u32) -> BTreeMap<ipnet::IpNet, Origination> {
    (0..count)
        .map(|n| {
            let text = format!("{first}.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255);
            (net(&text), Origination::default())
        })
        .collect()
}

#[test]
fn ten_thousand_prefixes_go_both_ways_through_sessions_that_come_and_go() {
    let lab = lab("bgp-many", &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
    let write = "mkdir -p /run/routers/bird && seq 0 9999 | awk \
        '{ printf \"route 20.0.%d.%d/32 blackhole;\\n\", $1 / 256, $1 % 256 }' \
        > /run/routers/bird/table.conf";
    assert!(
        lab.exec("b", &["sh", "-c", write])
            .unwrap()
            .status
            .success()
    );
    let mut text = bird_config(PLAIN);
    text += "protocol static many { ipv4;\ninclude \"/run/routers/bird/table.conf\";\n}\n";
    let other = Router::bird(&lab, "b", &text);
    ours.routes("all of them", |routes| routes.best.len() == 10_002);
    ours.handle.originate(many(30, 10_000));
    let counts = |expected: usize| {
        other.until("it has as many routes", |router| {
            let text = router.ask("show route table master4 count");
            text.contains(&format!("\n{expected} of {expected} routes"))
                .then_some(())
        });
    };
    counts(20_001);
    let begun = Instant::now();
    for round in 0..3_u32 {
        other.tell("restart peer0");
        // Meanwhile what we tell changes, too.
        ours.handle.originate(many(30, 5_000 + round));
        ours.until(OTHER, "the session began anew", |session| {
            (session.flaps > u64::from(round)).then_some(())
        });
        ours.established(OTHER);
        counts(15_001 + round as usize);
        ours.routes("all of them again", |routes| routes.best.len() == 10_002);
    }
    let took = begun.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
}

#[test]
fn a_malformed_attribute_costs_its_routes_and_not_the_session() {
    let lab = lab("bgp-7606", &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
    let other = exabgp(&lab, PLAIN);
    ours.knows("10.2.0.0/24");
    other.tell("announce route 10.66.0.0/24 next-hop 192.168.50.12");
    ours.knows("10.66.0.0/24");
    // COMMUNITIES of three bytes: treat-as-withdraw (RFC 7606 section 7.8).
    other.tell(
        "announce route 10.66.0.0/24 next-hop 192.168.50.12 attribute [ 0x08 0xc0 0x010203 ]",
    );
    ours.forgets("10.66.0.0/24");
    let session = ours.session(OTHER);
    assert!(session.borne > 0 && session.flaps == 0, "{session:?}");
    // An unknown transitive attribute is passed on as it is.
    other.tell("announce route 10.67.0.0/24 next-hop 192.168.50.12 attribute [ 0xf7 0xc0 0xabcd ]");
    ours.knows("10.67.0.0/24");
    let unknown = &ours.paths("10.67.0.0/24")[0].attributes.unknown;
    assert_eq!(
        (unknown[0].code, &unknown[0].value[..]),
        (0xf7, &[0xab, 0xcd][..])
    );
    ours.established(OTHER);
}

#[test]
fn routes_that_must_not_be_believed_are_refused_with_their_reason() {
    let lab = lab("bgp-refused", &Shape::hosts(2));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
    let other = exabgp(&lab, PLAIN);
    ours.knows("10.2.0.0/24");
    // Our own system in the path, another system first, a next hop that is ours, one that is nowhere.
    other.tell("announce route 10.71.0.0/24 next-hop 192.168.50.12 as-path [ 65002 65001 65003 ]");
    other.tell("announce route 10.72.0.0/24 next-hop 192.168.50.12 as-path [ 65009 65002 ]");
    other.tell("announce route 10.73.0.0/24 next-hop 192.168.50.11");
    other.tell("announce route 10.74.0.0/24 next-hop 198.51.100.1");
    other.tell("announce route 10.75.0.0/24 next-hop 192.168.50.12");
    ours.knows("10.75.0.0/24");
    for prefix in [
        "10.71.0.0/24",
        "10.72.0.0/24",
        "10.73.0.0/24",
        "10.74.0.0/24",
    ] {
        assert!(ours.paths(prefix).is_empty(), "{prefix}");
    }
    let refused = ours.session(OTHER).prefixes.refused;
    assert!(refused.values().sum::<u64>() >= 3, "{refused:?}");
}

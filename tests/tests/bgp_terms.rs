//! What a session is agreed to be like, with BIRD, FRR, GoBGP and ExaBGP: who connects, how long silence may
//! last, next hops of the other family, communities, systems whose number an old speaker cannot say;
//! and how its packets look on the wire.
#![allow(clippy::unwrap_used, reason = "a panic is a scenario's report")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tombolo_bgp::{AsSegment, Asn, Community, LargeCommunity, NextHop, Origination, RouterId, Ttl};
use tombolo_lab::Lab;
use tombolo_speaker::Options;
use tombolo_tests::daemons::{
    DAEMONS, OTHER, OTHER6, PLAIN, Start, Terms, US, US6, bird, bird_config, exabgp, frr,
    frr_config, gobgp_config,
};
use tombolo_tests::router::Router;
use tombolo_tests::speaker::{Speaking, address, config, net, options, origins, peer};
use tombolo_tests::{Shape, lab};

/// Each daemon with words of its own.
fn with_words(words: [&'static str; 4]) -> [(&'static str, Start, Terms); 4] {
    let mut words = words.into_iter();
    DAEMONS.map(|(name, start)| {
        let words = words.next().unwrap_or_default();
        (name, start, Terms { words, ..PLAIN })
    })
}

/// Waits until both know a prefix of the other.
fn exchange(ours: &Speaking, other: &Router<'_>) {
    ours.knows("10.2.0.0/24");
    other.knows("10.1.0.0/24");
}

#[test]
fn the_lesser_hold_time_is_kept_to() {
    let short = [
        "hold time 3; keepalive time 1; ",
        " neighbor PEER timers 1 3\n",
        "    hold-time = 3\n    keepalive-interval = 1\n",
        "hold-time 3; ",
    ];
    for (name, start, terms) in with_words(short) {
        let lab = lab(&format!("bgp-hold-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = start(&lab, terms);
        exchange(&ours, &other);
        assert_eq!(ours.session(OTHER).agreed.unwrap().hold_time, 3, "{name}");
        let stands = Instant::now();
        let before = ours.session(OTHER).messages;
        ours.until(OTHER, "keepalives went both ways", |session| {
            let now = session.messages;
            (now.received.keepalive >= before.received.keepalive + 5
                && now.sent.keepalive >= before.sent.keepalive + 5)
                .then_some(())
        });
        assert!(stands.elapsed() > Duration::from_secs(3), "{name}");
        assert_eq!(ours.session(OTHER).flaps, 0, "{name}");
        ours.established(OTHER);
    }
}

#[test]
fn without_a_hold_time_nobody_says_that_he_is_there() {
    // GoBGP takes a hold time of none, and yet ends the session a moment later.
    for (name, start) in DAEMONS.into_iter().filter(|(name, _)| *name != "gobgp") {
        let lab = lab(&format!("bgp-nohold-{name}"), &Shape::hosts(3));
        let mut them = peer(65002);
        them.hold_time = Duration::ZERO;
        let mut quick = peer(65003);
        quick.hold_time = Duration::from_secs(3);
        let peers = [(OTHER, them), ("192.168.50.13", quick)];
        let ours = Speaking::start(&lab, "a", options(config(&peers)));
        let other = start(&lab, PLAIN);
        exchange(&ours, &other);
        let session = ours.session(OTHER);
        assert_eq!(session.agreed.unwrap().hold_time, 0, "{name}");
        // Another session tells how time goes by.
        let watch = watch_of_seconds(&lab);
        let before = ours.session(OTHER).messages;
        watch.until(US, "seconds go by", |session| {
            (session.messages.received.keepalive >= 5).then_some(())
        });
        let after = ours.session(OTHER).messages;
        assert_eq!(after.sent.keepalive, before.sent.keepalive, "{name}");
        assert_eq!(
            after.received.keepalive, before.received.keepalive,
            "{name}"
        );
        ours.tell(&["10.3.0.0/24"]);
        other.knows("10.3.0.0/24");
    }
}

/// A speaker on host `c` to which a keepalive comes each second.
fn watch_of_seconds(lab: &Lab) -> Speaking {
    let mut us = peer(65001);
    us.hold_time = Duration::from_secs(3);
    let mut config = config(&[(US, us)]);
    config.asn = Asn(65003);
    config.router_id = RouterId([192, 168, 50, 13].into());
    Speaking::start(lab, "c", Options::new(config))
}

#[test]
fn who_is_passive_is_connected_to() {
    let waits = [
        "passive on; ",
        " neighbor PEER passive\n",
        "",
        "passive true; ",
    ];
    for (name, start, terms) in with_words(waits) {
        let lab = lab(&format!("bgp-passive-{name}"), &Shape::hosts(2));
        // They wait for us.
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let waits = match name {
            "gobgp" => {
                let waits = "passive-mode = true\n    local-address";
                let text = gobgp_config(PLAIN).replace("local-address", waits);
                Some(Router::gobgp(&lab, "b", &text))
            }
            // It does not listen.
            "exabgp" => None,
            _ => Some(start(&lab, terms)),
        };
        if let Some(other) = waits {
            other.knows("10.1.0.0/24");
            assert_eq!(listens_at(&lab, "a"), 0, "{name} did not wait");
            other.stop();
        }
        // We wait for them.
        let mut them = peer(65002);
        them.passive = true;
        ours.configure(config(&[(OTHER, them)]));
        let other = start(&lab, PLAIN);
        exchange(&ours, &other);
        assert_eq!(listens_at(&lab, "a"), 1, "{name}: we did not wait");
    }
}

/// How many sessions came to the port of a host, rather than from there.
fn listens_at(lab: &Lab, host: &str) -> usize {
    let argv = ["ss", "-Htn", "state", "established", "sport = :179"];
    lab.output(host, &argv).unwrap().lines().count()
}

#[test]
fn ipv4_goes_by_next_hops_of_ipv6_both_ways() {
    let terms = Terms {
        peers: &[(US6, 65001)],
        words: "",
        ..PLAIN
    };
    // GoBGP offers this only to peers that it knows by an interface and no address.
    for name in ["bird", "frr", "exabgp"] {
        let lab = lab(&format!("bgp-8950-{name}"), &Shape::hosts(2));
        let mut them = peer(65002);
        // There is no address of IPv4 that could be told.
        them.next_hops = vec![address(US6)];
        let mut we = options(config(&[(OTHER6, them)]));
        we.next_hops.0 = vec![(net("fd50::/64"), 0)];
        let ours = Speaking::start(&lab, "a", we);
        let other = match name {
            // What is not told its next hop tells its end of the session.
            "bird" => {
                let own = format!("next hop address {OTHER}; ");
                Router::bird(&lab, "b", &bird_config(terms).replace(&own, ""))
            }
            "frr" => frr(&lab, terms),
            _ => {
                let words = "nexthop { ipv4 unicast ipv6; } ";
                exabgp(&lab, Terms { words, ..terms })
            }
        };
        ours.established(OTHER6);
        let agreed = ours.session(OTHER6).agreed.unwrap().capabilities;
        let said = "IPv6 next hops for IPv4".to_owned();
        assert!(agreed.contains(&said), "{name}: {agreed:?}");
        other.knows("10.1.0.0/24");
        let told = told_of(name, &other, "10.1.0.0/24");
        assert!(told.contains(US6), "{name}: {told}");
        if name == "exabgp" {
            other.tell(&format!("announce route 10.2.0.0/24 next-hop {OTHER6}"));
        }
        ours.knows("10.2.0.0/24");
        match ours.paths("10.2.0.0/24")[0].next_hop {
            NextHop::V6 { global, .. } => assert_eq!(address(OTHER6), global, "{name}"),
            NextHop::V4(hop) => panic!("{name}: {hop}"),
        }
    }
}

#[test]
fn ipv6_goes_over_ipv4_by_next_hops_that_are_told() {
    for (name, start) in DAEMONS {
        let lab = lab(&format!("bgp-6over4-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = match name {
            // It is told which address of its own to tell; the others are always.
            "frr" => {
                let terms = Terms {
                    family_words: "  neighbor PEER route-map six out\n",
                    ..PLAIN
                };
                let six = format!("route-map six permit 10\n set ipv6 next-hop global {OTHER6}\n");
                Router::frr(&lab, "b", &(frr_config(terms) + &six))
            }
            _ => start(&lab, PLAIN),
        };
        ours.knows("fd10:2::/64");
        match ours.paths("fd10:2::/64")[0].next_hop {
            NextHop::V6 { global, .. } => assert_eq!(address(OTHER6), global, "{name}"),
            NextHop::V4(hop) => panic!("{name}: {hop}"),
        }
        other.knows("fd10:1::/64");
        let told = told_of(name, &other, "fd10:1::/64");
        assert!(told.contains(US6), "{name}: {told}");
    }
}

/// What a daemon says of a prefix that it was told.
fn told_of(name: &str, router: &Router<'_>, prefix: &str) -> String {
    let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
    match name {
        "bird" => router.ask(&format!("show route {prefix} all")),
        "frr" => router.ask(&format!("show bgp {family} unicast {prefix} json")),
        "gobgp" => router.ask(&format!("global rib -a {family} {prefix} -j")),
        _ => {
            let lines = router.heard();
            let lines = lines.iter().map(ToString::to_string);
            lines.collect()
        }
    }
}

#[test]
fn communities_of_both_sizes_go_both_ways() {
    for (name, start) in DAEMONS {
        let lab = lab(&format!("bgp-communities-{name}"), &Shape::hosts(2));
        let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, peer(65002))])));
        let other = match name {
            "bird" => {
                let text = bird_config(PLAIN)
                    + "protocol static marked { ipv4; route 10.6.0.0/24 blackhole {
                         bgp_community.add((65002, 7)); bgp_large_community.add((65002, 8, 9)); }; }\n";
                Router::bird(&lab, "b", &text)
            }
            "frr" => {
                let text = frr_config(PLAIN).replacen(
                    "  network 10.2.0.0/24\n",
                    "  network 10.2.0.0/24\n  network 10.6.0.0/24 route-map mark\n",
                    1,
                ) + "route-map mark permit 10\n set community 65002:7\n set large-community 65002:8:9\n";
                Router::frr(&lab, "b", &text)
            }
            _ => start(&lab, PLAIN),
        };
        match name {
            "gobgp" => other.tell(&format!(
                "global rib add 10.6.0.0/24 nexthop {OTHER} community 65002:7 large-community 65002:8:9"
            )),
            "exabgp" => other.tell(&format!(
                "announce route 10.6.0.0/24 next-hop {OTHER} community [ 65002:7 ] large-community [ 65002:8:9 ]"
            )),
            _ => {}
        }
        ours.knows("10.6.0.0/24");
        let path = &ours.paths("10.6.0.0/24")[0].attributes;
        assert_eq!(path.communities, [Community::from((65002, 7))], "{name}");
        assert_eq!(
            path.large_communities,
            [LargeCommunity(65002, 8, 9)],
            "{name}"
        );
        let marked = Origination {
            communities: vec![Community::from((65001, 17))],
            large_communities: vec![LargeCommunity(65001, 18, 19)],
            ..Origination::default()
        };
        ours.handle
            .originate([(net("10.7.0.0/24"), marked)].into_iter().collect());
        other.knows("10.7.0.0/24");
        let told = told_of(name, &other, "10.7.0.0/24");
        let (small, large) = match name {
            "bird" => ("(65001,17)", "(65001, 18, 19)"),
            // The number of 65001:17 in one piece.
            "gobgp" => ("4259905553", "65001"),
            "exabgp" => ("[65001,17]", "[65001,18,19]"),
            _ => ("65001:17", "65001:18:19"),
        };
        assert!(
            told.contains(small) && told.contains(large),
            "{name}: {told}"
        );
    }
}

#[test]
fn exabgp_tells_of_several_paths_and_takes_several() {
    let lab = lab("bgp-paths-exabgp", &Shape::hosts(4));
    let mut all = peer(65002);
    (all.add_path.send, all.add_path.receive) = (true, true);
    let third = ("192.168.50.13", peer(65003));
    let fourth = ("192.168.50.14", peer(65004));
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, all), third, fourth])));
    let terms = Terms {
        add_path: true,
        ..PLAIN
    };
    let other = exabgp(&lab, terms);
    ours.knows("10.2.0.0/24");
    let paths = |count: u64| {
        ours.until(OTHER, &format!("{count} paths come in"), |session| {
            (session.prefixes.ipv4.received == count).then_some(())
        });
    };
    let route = |id: &str| format!("route 10.9.0.0/24 next-hop {OTHER} path-information {id}");
    other.tell(&format!("announce {}", route("0.0.0.1")));
    other.tell(&format!("announce {}", route("0.0.0.2")));
    paths(3);
    other.tell(&format!("withdraw {}", route("0.0.0.1")));
    paths(2);
    ours.knows("10.9.0.0/24");
    // The other way: two tell us, we tell ExaBGP of both.
    let teller = |host: &str, asn: u32, last: u8| {
        let mut us = peer(65001);
        // Its own end of the session.
        us.next_hops.clear();
        let mut config = config(&[(US, us)]);
        config.asn = Asn(asn);
        config.router_id = RouterId([192, 168, 50, last].into());
        let mut options = Options::new(config);
        options.originate = origins(&["10.8.0.0/24"]);
        Speaking::start(&lab, host, options)
    };
    let _tellers = [teller("c", 65003, 13), teller("d", 65004, 14)];
    other.until("it hears of both", |router| {
        let lines = router.heard();
        let told = |asn: u32| {
            let path = format!("[65001,{asn}]");
            lines.iter().map(ToString::to_string).any(|line| {
                line.contains("10.8.0.0/24")
                    && line.contains("path-information")
                    && line.contains(&path)
            })
        };
        (told(65003) && told(65004)).then_some(())
    });
}

#[test]
fn an_old_speaker_hears_of_long_numbers_and_tells_of_them() {
    let lab = lab("bgp-as-trans", &Shape::hosts(2));
    let we = 4_200_000_001;
    let mut config = config(&[(OTHER, peer(65002))]);
    config.asn = Asn(we);
    let ours = Speaking::start(&lab, "a", options(config));
    // It has only two octets, and knows us by the number that stands for all that are longer.
    let terms = Terms {
        peers: &[(US, 23456)],
        family_words: "asn4 disable; ",
        ..PLAIN
    };
    let other = exabgp(&lab, terms);
    ours.knows("10.2.0.0/24");
    let agreed = ours.session(OTHER).agreed.unwrap().capabilities;
    assert!(!agreed.contains(&"4-octet AS".to_owned()), "{agreed:?}");
    other.knows("10.1.0.0/24");
    let told = told_of("exabgp", &other, "10.1.0.0/24");
    assert!(told.contains(&we.to_string()), "{told}");
    // AS4_PATH says who the 23456 is (RFC 6793 section 4.2.3).
    other.tell("announce route 10.8.0.0/24 next-hop 192.168.50.12 as-path [ 65002 4200000009 ]");
    ours.knows("10.8.0.0/24");
    let path = &ours.paths("10.8.0.0/24")[0].attributes.as_path.0;
    let whole = AsSegment::Sequence(vec![Asn(65002), Asn(4_200_000_009)]);
    assert_eq!(path, &[whole]);
}

#[test]
fn packets_are_those_of_network_control_and_go_as_far_as_they_are_to() {
    for (asn, ttl, sees) in [
        (65002, Ttl::Default, "ttl 1,"),
        (65001, Ttl::Default, "ttl 64,"),
        (65002, Ttl::Multihop(7), "ttl 7,"),
        (65002, Ttl::Security(1), "ttl 255,"),
    ] {
        for we_connect in [true, false] {
            let lab = lab("bgp-class", &Shape::hosts(2));
            let script = "exec tcpdump -vnli eth0 --immediate-mode 'tcp port 179 and src host $1 \
                          and tcp[13] & 8 != 0' > /run/seen 2> /run/ready";
            let script = script.replace("$1", US);
            let capture = lab.spawn("b", &["sh", "-c", &script]).unwrap();
            let ready = "until grep -q listening /run/ready; do :; done";
            lab.output("b", &["sh", "-c", ready]).unwrap();
            let mut them = peer(asn);
            them.passive = !we_connect;
            them.ttl = ttl;
            let ours = Speaking::start(&lab, "a", options(config(&[(OTHER, them)])));
            let terms = Terms {
                asn,
                words: if we_connect { "passive on; " } else { "" },
                near: ttl == Ttl::Security(1),
                ..PLAIN
            };
            let terms = match ttl {
                Ttl::Multihop(_) if we_connect => Terms {
                    words: "passive on; multihop 7; ",
                    ..terms
                },
                Ttl::Multihop(_) => Terms {
                    words: "multihop 7; ",
                    ..terms
                },
                _ => terms,
            };
            let other = bird(&lab, terms);
            exchange(&ours, &other);
            capture.stop(Signal::SIGTERM).unwrap();
            let seen = lab.output("b", &["cat", "/run/seen"]).unwrap();
            let heads: Vec<&str> = seen.lines().filter(|line| line.contains("tos")).collect();
            assert!(heads.len() >= 2, "{seen}");
            for head in heads {
                assert!(head.contains("tos 0xc0,"), "{head}");
                assert!(head.contains(sees), "{ttl:?} {we_connect}: {head}");
            }
        }
    }
}

#[test]
fn packets_of_ipv6_are_marked_as_those_of_ipv4() {
    let lab = lab("bgp-class6", &Shape::hosts(2));
    let script = "exec tcpdump -vnli eth0 --immediate-mode 'ip6 and tcp port 179 and src host fd50::b' \
                  > /run/seen 2> /run/ready";
    let capture = lab.spawn("b", &["sh", "-c", script]).unwrap();
    let ready = "until grep -q listening /run/ready; do :; done";
    lab.output("b", &["sh", "-c", ready]).unwrap();
    let ours = Speaking::start(&lab, "a", options(config(&[(OTHER6, peer(65002))])));
    let terms = Terms {
        peers: &[(US6, 65001)],
        words: "passive on; ",
        ..PLAIN
    };
    let other = bird(&lab, terms);
    ours.established(OTHER6);
    other.knows("fd10:1::/64");
    capture.stop(Signal::SIGTERM).unwrap();
    let seen = lab.output("b", &["cat", "/run/seen"]).unwrap();
    let heads: Vec<&str> = seen.lines().filter(|line| line.contains("hlim")).collect();
    assert!(heads.len() >= 3, "{seen}");
    for head in heads {
        assert!(head.contains("class 0xc0"), "{head}");
        assert!(head.contains("hlim 1,"), "{head}");
    }
}

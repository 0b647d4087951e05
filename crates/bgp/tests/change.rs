//! A configuration that changes, and what operators do: sessions end only where they must.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

mod stage;

use std::net::IpAddr;

use stage::{Stage, key, open, open_graceful, seconds};
use tombolo_bgp::message::{Message, Refresh, RefreshKind};
use tombolo_bgp::{
    AddPath, Asn, Config, ConnId, Filter, FilterRule, Matching, NextHopMode, Outcome, Password,
    Peer, RouterId, SessionState, Ttl,
};

/// A session with a route, and a change of its peer's configuration.
fn changed(change: impl FnOnce(&mut Config)) -> (Stage, ConnId) {
    let mut stage = Stage::new(|_| ());
    let conn = stage.answer();
    stage.establish(conn, open_graceful(false, true, true));
    stage.tell(conn, &["10.1.0.0/24", "10.2.0.0/24"]);
    let mut config = stage.config.clone();
    change(&mut config);
    stage.drive(|speaker, now| speaker.configure(config, now));
    (stage, conn)
}

fn of_peer(change: impl FnOnce(&mut Peer)) -> impl FnOnce(&mut Config) {
    |config| change(config.peers.get_mut(&key()).unwrap())
}

fn refuse(net: &str) -> Filter {
    Filter {
        rules: vec![FilterRule {
            net: Some(net.parse().unwrap()),
            matching: Matching::In,
            length: None,
            from_peers: false,
            outcome: Outcome::Reject,
            reason: "the test does not want it".to_owned(),
        }],
        otherwise: Outcome::Accept,
    }
}

#[test]
fn what_an_open_or_tcp_says_resets_the_session_and_it_is_begun_anew() {
    type Change = fn(&mut Peer);
    let changes: [(&str, Change); 9] = [
        ("asn", |peer| peer.asn = Asn(7)),
        ("local asn", |peer| peer.local_asn = Some(Asn(7))),
        ("local address", |peer| {
            peer.local_address = Some([10, 0, 0, 7].into())
        }),
        ("families", |peer| peer.families.ipv6 = false),
        ("password", |peer| {
            peer.password = Some(Password::new("secret").unwrap())
        }),
        ("hops", |peer| peer.ttl = Ttl::Multihop(3)),
        ("hold time", |peer| peer.hold_time = seconds(30)),
        ("several paths sent", |peer| {
            peer.add_path = AddPath {
                send: true,
                receive: false,
            }
        }),
        ("several paths taken", |peer| {
            peer.add_path = AddPath {
                send: false,
                receive: true,
            }
        }),
    ];
    for (what, change) in changes {
        let (mut stage, conn) = changed(of_peer(change));
        assert_eq!(stage.farewell(conn).code, 6, "{what}");
        assert_eq!(
            stage.status().trouble.unwrap().words,
            "its configuration changed"
        );
        stage.await_dial(seconds(2));
    }
}

#[test]
fn another_system_or_identifier_of_ours_resets_every_session() {
    let changes: [fn(&mut Config); 2] = [
        |config| config.asn = Asn(7),
        |config| config.router_id = RouterId([10, 0, 0, 7].into()),
    ];
    for change in changes {
        let (mut stage, conn) = changed(change);
        // A hard one: what was told to who we were is worth nothing.
        assert_eq!(stage.farewell_codes(conn), (6, 9));
        assert_eq!(stage.routes(), [] as [&str; 0]);
        let again = stage.answer();
        let Message::Open(open) = stage.hear(again).remove(0) else {
            panic!("no OPEN");
        };
        assert!(open.asn == Asn(7) || open.router_id == RouterId([10, 0, 0, 7].into()));
    }
}

#[test]
fn everything_else_leaves_the_session_alone() {
    type Change = fn(&mut Config);
    let changes: [Change; 12] = [
        |config| config.multipath = 4,
        |config| config.cluster_id = Some(RouterId([1, 1, 1, 1].into())),
        |config| config.graceful = None,
        |config| config.peers.get_mut(&key()).unwrap().name = "renamed".to_owned(),
        |config| config.peers.get_mut(&key()).unwrap().port = 1179,
        |config| config.peers.get_mut(&key()).unwrap().passive = true,
        |config| config.peers.get_mut(&key()).unwrap().client = true,
        |config| config.peers.get_mut(&key()).unwrap().next_hop = NextHopMode::Own,
        |config| config.peers.get_mut(&key()).unwrap().max_prefixes = Some(10),
        |config| config.peers.get_mut(&key()).unwrap().import = refuse("10.9.0.0/16"),
        |config| config.peers.get_mut(&key()).unwrap().export = refuse("10.9.0.0/16"),
        |config| {
            let other: IpAddr = [10, 0, 0, 77].into();
            config
                .peers
                .insert(other.into(), Peer::new("another", Asn(9)));
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let (mut stage, conn) = changed(change);
        assert_eq!(stage.state(), SessionState::Established, "change {at}");
        assert!(!stage.closed.contains(&conn), "change {at}");
        let notifications = stage.hear(conn);
        assert!(
            !notifications
                .iter()
                .any(|m| matches!(m, Message::Notification(_)))
        );
        assert_eq!(
            stage.routes(),
            ["10.1.0.0/24", "10.2.0.0/24"],
            "change {at}"
        );
    }
}

#[test]
fn a_filter_is_held_against_what_is_known_already() {
    let (mut stage, _) = changed(of_peer(|peer| peer.import = refuse("10.2.0.0/16")));
    assert_eq!(stage.routes(), ["10.1.0.0/24"]);
    let config = stage.config.clone();
    stage.drive(|speaker, now| speaker.configure(config, now));
    assert_eq!(
        stage.routes(),
        ["10.1.0.0/24", "10.2.0.0/24"],
        "and without it all is back"
    );
}

#[test]
fn a_peer_that_is_not_configured_any_more_goes_with_its_routes() {
    let (mut stage, conn) = changed(|config| config.peers.clear());
    let told = stage.farewell(conn);
    assert_eq!((told.code, told.subcode), (6, 9));
    assert_eq!(told.data[..2], [6, 3], "peer de-configured");
    assert_eq!(stage.routes(), [] as [&str; 0]);
    assert!(stage.speaker.sessions(stage.now).is_empty());
    let why = stage.accept().unwrap_err();
    assert!(why.contains("no peer with the address 10.0.0.2"), "{why}");
    assert_eq!(stage.speaker.timeout(), None);
}

#[test]
fn an_operator_resets_a_session_softly_or_hard() {
    for (hard, codes, kept) in [(false, (6, 4), 2), (true, (6, 9), 0)] {
        let (mut stage, conn) = changed(|_| ());
        stage.drive(|speaker, now| speaker.reset(&key(), hard, now));
        let farewell = stage.farewell(conn);
        assert_eq!((farewell.code, farewell.subcode), codes);
        assert!(
            farewell.describe().contains("reset by an operator"),
            "{}",
            farewell.describe()
        );
        assert_eq!(stage.routes().len(), kept);
        stage.await_dial(seconds(1));
    }
}

#[test]
fn a_reset_pardons_a_peer_that_is_left_alone() {
    let mut stage = Stage::new(|_| ());
    for _ in 0..3 {
        if let Ok(conn) = stage.accept() {
            stage.say(conn, &Message::Keepalive);
        }
    }
    assert_eq!(stage.state(), SessionState::Idle);
    stage.drive(|speaker, now| speaker.reset(&key(), false, now));
    stage.await_dial(seconds(1));
}

#[test]
fn a_peer_with_too_many_prefixes_is_left_alone_for_a_while() {
    let mut stage = Stage::new(|peer| peer.max_prefixes = Some(2));
    let conn = stage.answer();
    stage.establish(conn, open_graceful(false, true, true));
    stage.tell(conn, &["10.1.0.0/24", "10.2.0.0/24"]);
    assert_eq!(stage.state(), SessionState::Established);
    stage.tell(conn, &["10.3.0.0/24"]);
    let told = stage.farewell(conn);
    assert_eq!(told.data[..2], [6, 1]);
    assert_eq!(stage.routes(), [] as [&str; 0]);
    assert_eq!(stage.state(), SessionState::Idle);
    let words = stage.status().trouble.unwrap().words;
    assert!(words.contains("more than 2 IPv4 prefixes"), "{words}");
    let wait = stage.status().next_try.unwrap();
    assert!((45.0..=60.0).contains(&wait), "{wait}");
    assert!(stage.accept().is_err());
    stage.await_dial(seconds(60));
}

#[test]
fn all_is_said_again_for_who_asks_and_we_ask_when_told_to() {
    let mut stage = Stage::new(|_| ());
    let prefix = "10.7.0.0/24".parse().unwrap();
    stage.drive(|speaker, now| speaker.originate([(prefix, Default::default())].into(), now));
    let conn = stage.answer();
    stage.establish(conn, open(true));
    let request = Refresh {
        family: tombolo_bgp::Family::Ipv4,
        kind: RefreshKind::Request,
    };
    stage.say(conn, &Message::Refresh(request));
    let said = stage.hear(conn);
    let again = said.iter().any(|message| match message {
        Message::Update(update) => !update.announced.is_empty(),
        _ => false,
    });
    assert!(again, "{said:?}");
    stage.drive(|speaker, now| speaker.refresh(&key(), now));
    let asked = stage.hear(conn);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked.contains(&Message::Refresh(request)));
}

#[test]
fn a_connection_of_a_stranger_is_refused() {
    let mut stage = Stage::new(|_| ());
    let stranger: IpAddr = [10, 0, 0, 99].into();
    let why = stage
        .speaker
        .accepted(&stranger.into(), stage::OUR_ADDRESS, stage.now);
    assert_eq!(
        why.unwrap_err(),
        "no peer with the address 10.0.0.99 is configured"
    );
}

#[test]
fn ipv4_addresses_are_known_also_as_the_kernel_writes_them_for_ipv6() {
    let mut stage = Stage::new(|_| ());
    let mapped: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
    assert!(
        stage
            .speaker
            .accepted(&mapped.into(), stage::OUR_ADDRESS, stage.now)
            .is_ok()
    );
}

#[test]
fn who_comes_after_another_inherits_nothing_of_it() {
    let (mut stage, _) = changed(|config| {
        config.peers.clear();
        let other: IpAddr = [10, 0, 0, 77].into();
        config
            .peers
            .insert(other.into(), Peer::new("another", stage::THEIRS));
    });
    assert_eq!(stage.routes(), [] as [&str; 0]);
    let status = stage.status();
    assert_eq!((status.name.as_str(), status.flaps), ("another", 0));
    assert_eq!(status.trouble, None);
    let conn = stage.answer();
    stage.establish(conn, open(true));
    stage.tell(conn, &["10.5.0.0/24"]);
    assert_eq!(stage.routes(), ["10.5.0.0/24"]);
}

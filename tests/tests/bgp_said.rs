//! What an operator reads when BGP goes wrong: `tombolo status` and `tombolo get bgppeers -o wide` of nodes
//! whose peers lie, cannot be reached, or are the node's own double.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing where something must be has failed"
)]

use std::time::{Duration, Instant};

use tombolo_lab::Lab;
use tombolo_tests::raw::{AS_PATH, NEXT_HOP, ORIGIN, Raw, message, open_of, update};
use tombolo_tests::router::Router;
use tombolo_tests::{Cluster, Shape, lab};

const NETWORK: &str = "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {name: default}\nspec: {driver: routed, transport: {type: bgp}, pools: [default-v4, default-v6]}\n";

fn peer(more: &str) -> String {
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{name: odd}}\nspec: {{peerIP: 192.168.50.12, asNumber: 65002{more}}}\n"
    )
}

/// A router of AS 65002 on host `b`, which tells of 10.9.0.0/24.
fn bird<'lab>(lab: &'lab Lab, words: &str) -> Router<'lab> {
    let text = format!(
        "router id 192.168.50.12; protocol device {{}}
        protocol static own {{ ipv4; route 10.9.0.0/24 blackhole; }}
        protocol bgp ours {{
          local 192.168.50.12 as 65002; neighbor 192.168.50.11 as 64512; {words}
          connect delay time 1; connect retry time 1; error wait time 1, 2;
          ipv4 {{ import all; export all; }};
        }}"
    );
    Router::bird(lab, "b", &text)
}

/// What the two tables of sessions say; the uptime is in both.
fn tables(cluster: &Cluster) -> String {
    let wide = ["get", "bgppeers", "-o", "wide"];
    let peers = cluster.lab.tombolo("a", &wide).unwrap();
    peers + &cluster.lab.tombolo("a", &["status"]).unwrap()
}

/// Waits until both tables say something.
fn says(cluster: &Cluster, words: &str) -> String {
    cluster.until(&format!("both say {words}"), || {
        let tables = tables(cluster);
        (tables.matches(words).count() >= 2).then_some(tables)
    })
}

#[test]
fn tables_tell_of_sessions_and_of_what_peers_did() {
    let cluster = Cluster::alone(lab("bgpsaid", &Shape::hosts(2)));
    let _container = cluster.container("a", "c1", "default");
    cluster.apply("a", &(NETWORK.to_owned() + &peer(", passive: true")));
    cluster.until("the speaker waits for it", || {
        let sessions = cluster.status("a")["bgp"]["sessions"].clone();
        (sessions.as_array()?.len() == 1).then_some(())
    });
    // The wrong system: refused, and said with what to do.
    let mut raw = Raw::connect(&cluster.lab, "b");
    raw.say(&open_of(65009, 90, &[65, 4, 0, 0, 0xFD, 0xF1]));
    assert_eq!(raw.farewell(), (2, 2));
    says(&cluster, "it is AS 65009, and it should be AS 65002");
    // As it should be: a row with state and counts.
    let mut raw = Raw::established(&cluster.lab, "b");
    raw.say(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[24, 10, 9, 0]));
    raw.say(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[0]));
    raw.say(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[24, 127, 1, 0]));
    let loops = [0x40, 2, 10, 2, 2, 0, 0, 0xFD, 0xEA, 0, 0, 0xFC, 0];
    raw.say(&update(&[], &[ORIGIN, &loops, NEXT_HOP], &[24, 10, 10, 0]));
    let malformed = [0xC0, 8, 3, 0, 0, 0];
    raw.say(&update(
        &[],
        &[ORIGIN, AS_PATH, NEXT_HOP, &malformed],
        &[24, 10, 12, 0],
    ));
    let tables = says(
        &cluster,
        "2 malformed and borne, the last: COMMUNITIES with 3 bytes",
    );
    let row = tables
        .lines()
        .find(|line| line.contains("Established"))
        .unwrap();
    assert!(
        row.contains("BGPPeer odd") && row.contains("65002"),
        "{row}"
    );
    assert!(row.contains("3 (2 refused)"), "{row}");
    for words in [
        "192.168.50.12: 1 refused: it is a default route",
        "192.168.50.12: 1 refused: our own system is in its AS path",
    ] {
        assert_eq!(tables.matches(words).count(), 2, "{words}: {tables}");
    }
    assert!(tables.contains("1 of 1 sessions stand"), "{tables}");
    cluster.until("the one that is good is in force", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        routes
            .contains("10.9.0.0/24 via 192.168.50.12")
            .then_some(())
    });
    let routes = cluster.sh("a", "ip route show");
    for refused in [
        "127.1.0.0",
        "10.10.0.0",
        "10.12.0.0",
        "default via 192.168.50.12",
    ] {
        assert!(!routes.contains(refused), "{refused}: {routes}");
    }
    // It says goodbye with words, and its route is gone.
    raw.say(&message(3, &[&[6, 2, 11][..], b"back at ten"].concat()));
    says(
        &cluster,
        "the peer closed: cease: administrative shutdown: back at ten",
    );
    cluster.until("the route is gone", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        (!routes.contains("10.9.0.0/24")).then_some(())
    });
    // It is cut off in the middle of an OPEN.
    let mut raw = Raw::connect(&cluster.lab, "b");
    raw.say(&[0xFF; 9]);
    raw.reset();
    says(
        &cluster,
        "the connection is gone: the peer reset the connection",
    );
}

#[test]
fn a_port_that_is_taken_is_named_and_had_when_it_is_free() {
    let cluster = Cluster::alone(lab("bgptaken", &Shape::hosts(2)));
    let other = cluster
        .lab
        .spawn("a", &["socat", "TCP-LISTEN:179", "PIPE"])
        .unwrap();
    let _ = cluster.sh("a", "until ss -Hltn 'sport = :179' | grep -q .; do :; done");
    cluster.apply("a", &(NETWORK.to_owned() + &peer("")));
    let status = cluster.until("the port is named", || {
        let status = cluster.lab.tombolo("a", &["status"]).unwrap();
        let named = status.contains("the port is taken by another program");
        named.then_some(status)
    });
    assert!(status.contains(":179"), "{status}");
    assert!(
        status.contains("stop it, or choose another port"),
        "{status}"
    );
    other.stop(nix::sys::signal::Signal::SIGTERM).unwrap();
    let bird = bird(&cluster.lab, "");
    bird.established("192.168.50.11");
    cluster.until("its route is in force and nothing is said", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        let problems = cluster.status("a")["problems"].to_string();
        (routes.contains("10.9.0.0/24") && !problems.contains("taken")).then_some(())
    });
}

#[test]
fn a_wrong_password_is_in_the_table_until_it_is_right() {
    let cluster = Cluster::alone(lab("bgpwrong", &Shape::hosts(2)));
    let bird = bird(&cluster.lab, "password \"opensesame\"; ");
    let write = |text: &str| cluster.sh("a", &format!("printf '%s\\n' {text} > /run/bgp-password"));
    let _ = write("swordfish");
    let with_file = peer(", password: {file: /run/bgp-password}");
    cluster.apply("a", &(NETWORK.to_owned() + &with_file));
    says(
        &cluster,
        "no answer; it may be down or behind a filter, its password may be another one",
    );
    assert!(bird.sessions().is_empty());
    assert!(
        !tables(&cluster).contains("swordfish"),
        "the password is shown"
    );
    let _ = write("opensesame");
    bird.established("192.168.50.11");
    cluster.until("its route is in force", || {
        let routes = cluster.sh("a", "ip route show proto 84");
        routes.contains("10.9.0.0/24").then_some(())
    });
}

#[test]
fn two_nodes_with_one_router_id_are_told_of_each_other() {
    let cluster = Cluster::up("bgptwins", &Shape::hosts(2));
    let twin = |node: &str| {
        format!(
            "---\napiVersion: tombolo.dev/v1\nkind: Node\nmetadata: {{name: {node}}}\nspec: {{bgp: {{routerID: 192.0.2.1}}}}\n"
        )
    };
    cluster.apply("a", &(NETWORK.to_owned() + &twin("a") + &twin("b")));
    for (host, other) in [("a", "b"), ("b", "a")] {
        cluster.until(&format!("{host} is told of {other}"), || {
            let problems = cluster.status(host)["problems"].to_string();
            let twin = format!("its BGP identifier 192.0.2.1 is node {other}'s too");
            problems.contains(&twin).then_some(())
        });
    }
    // Who speaks first refuses the other, who is told why.
    cluster.until("the session says it, too", || {
        let tables = tables(&cluster);
        let refused = tables.contains("the peer's router ID is 192.0.2.1, which is ours");
        (refused || tables.contains("bad BGP identifier")).then_some(())
    });
    // One of them is given one of its own.
    let own = twin("b").replace("192.0.2.1", "192.0.2.2");
    cluster.apply("a", own.trim_start_matches("---\n"));
    // After some faults a peer is left alone for a while.
    let begun = Instant::now();
    let stands = |host: &str| {
        let status = cluster.status(host);
        let state = &status["bgp"]["sessions"][0]["state"];
        state == "Established" && status["problems"] == serde_json::json!([])
    };
    while !(stands("a") && stands("b")) {
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(90), "{}", cluster.logs());
    }
}

//! Speakers among themselves, on a simulated wire: they find each other, tell each other, and stay together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

use std::time::Duration;

use ipnet::IpNet;
use tombolo_bgp::simulate::{Network, SYSTEM, Wire, block};
use tombolo_bgp::{Peer, PeerKey, SessionState};

const STEP: Duration = Duration::from_millis(10);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

#[test]
fn two_speakers_tell_each_other_their_prefixes_and_take_them_back() {
    let mut network = Network::mesh(1, Wire::default(), 2);
    let up = network.wait(Duration::from_secs(5), STEP, Network::is_converged);
    assert!(
        up.is_some(),
        "{:?}",
        network.speaker(0).sessions(network.now())
    );
    network.originate(1, [net("10.9.0.0/26"), net("fd00:9::/64")]);
    network.run(Duration::from_millis(50));
    let seen: Vec<IpNet> = network.table(0).keys().copied().collect();
    assert_eq!(
        seen,
        [net("10.9.0.0/26")],
        "IPv6 has no next hop over a session of IPv4"
    );
}

#[test]
fn a_full_mesh_converges() {
    for seed in 0..5 {
        let mut network = Network::mesh(seed, Wire::default(), 20);
        let up = network.wait(Duration::from_secs(30), STEP, Network::is_converged);
        assert!(up.is_some(), "seed {seed}");
        network.run(Duration::from_secs(60));
        for node in 0..20 {
            assert_eq!(network.established(node), 19, "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_session_stands_for_a_day_of_keepalives() {
    let mut network = Network::mesh(3, Wire::default(), 2);
    network.run(Duration::from_secs(86_400));
    let session = &network.speaker(0).sessions(network.now())[0];
    assert_eq!(session.state, SessionState::Established);
    assert_eq!(session.flaps, 0);
    // Every 22.5 to 30 s, and the one that confirms the OPEN.
    let sent = session.messages.sent.keepalive;
    assert!((2880..=3841).contains(&sent), "{sent} keepalives");
    assert!(session.seconds > 86_000.0);
}

#[test]
fn reflectors_bring_every_client_every_other_ones_block() {
    for seed in 0..3 {
        let mut network = Network::star(seed, Wire::default(), 2, 60);
        let up = network.wait(Duration::from_secs(30), STEP, Network::is_converged);
        assert!(up.is_some(), "seed {seed}");
        network.run(Duration::from_secs(60));
        assert_eq!(network.established(0), 61, "seed {seed}");
        assert_eq!(network.established(2), 2, "seed {seed}");
    }
}

#[test]
fn a_reflector_that_dies_is_missed_by_nobody() {
    let mut network = Network::star(9, Wire::default(), 2, 20);
    network.run(Duration::from_secs(30));
    network.stop(0, tombolo_bgp::Stop::Cease);
    network.run(Duration::from_secs(5));
    // All but the dead one's own block.
    for node in 1..22 {
        assert_eq!(network.table(node).len(), 20, "node {node}");
    }
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = |seed| {
        let mut network = Network::mesh(seed, Wire::default(), 8);
        let up = network.wait(Duration::from_secs(30), STEP, Network::is_converged);
        network.run(Duration::from_secs(300));
        let sessions = (0..8).flat_map(|node| network.speaker(node).sessions(network.now()));
        (up, sessions.collect::<Vec<_>>())
    };
    assert_eq!(course(4), course(4));
    assert_ne!(course(4), course(5));
}

#[test]
fn rfc8950_ipv4_is_told_over_sessions_of_ipv6() {
    let mut network = Network::new(2, Wire::default());
    let nodes = [1, 2].map(|number| network.add(number, SYSTEM));
    for (node, other) in [(nodes[0], nodes[1]), (nodes[1], nodes[0])] {
        let key = PeerKey::from(network.address6(other));
        network.configure(node, |config| {
            config.peers.insert(key, Peer::new("the other", SYSTEM));
        });
        network.originate(node, [block(node)]);
    }
    let up = network.wait(Duration::from_secs(5), STEP, Network::is_converged);
    assert!(
        up.is_some(),
        "{:?}",
        network.speaker(0).sessions(network.now())
    );
    let path = &network.table(nodes[0])[&block(nodes[1])][0];
    assert_eq!(path.next_hop.address(), network.address6(nodes[1]));
}

//! Speakers among themselves, on a simulated wire: they find each other, tell each other, and stay together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test is its report"
)]

use std::time::Duration;

use ipnet::IpNet;
use tombolo_bgp::simulate::{Network, Wire};
use tombolo_bgp::{Asn, Peer, SessionState};

const SYSTEM: Asn = Asn(64512);
const STEP: Duration = Duration::from_millis(10);

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn block(node: usize) -> IpNet {
    format!("10.{}.{}.0/26", node / 256, node % 256)
        .parse()
        .unwrap()
}

/// So many nodes of one system, each with a block, all peers of each other.
fn mesh(seed: u64, size: usize, wire: Wire) -> Network {
    let mut network = Network::new(seed, wire);
    let nodes: Vec<usize> = (1..=size).map(|n| network.add(n as u16, SYSTEM)).collect();
    for (at, a) in nodes.iter().enumerate() {
        for b in &nodes[at + 1..] {
            network.join(*a, *b, Peer::new("a node of the mesh", SYSTEM));
        }
        network.originate(*a, [block(*a)]);
    }
    network
}

fn is_whole(network: &Network, size: usize) -> bool {
    (0..size).all(|node| network.table(node).len() == size - 1)
}

#[test]
fn two_speakers_tell_each_other_their_prefixes_and_take_them_back() {
    let mut network = mesh(1, 2, Wire::default());
    let up = network.wait(Duration::from_secs(5), STEP, |n| is_whole(n, 2));
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
        let mut network = mesh(seed, 20, Wire::default());
        let up = network.wait(Duration::from_secs(30), STEP, |n| is_whole(n, 20));
        assert!(up.is_some(), "seed {seed}");
        network.run(Duration::from_secs(60));
        for node in 0..20 {
            assert_eq!(network.established(node), 19, "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_session_stands_for_a_day_of_keepalives() {
    let mut network = mesh(3, 2, Wire::default());
    network.run(Duration::from_secs(86_400));
    let session = &network.speaker(0).sessions(network.now())[0];
    assert_eq!(session.state, SessionState::Established);
    assert_eq!(session.flaps, 0);
    // Every 22.5 to 30 s, and the one that confirms the OPEN.
    let sent = session.messages.sent.keepalive;
    assert!((2880..=3841).contains(&sent), "{sent} keepalives");
    assert!(session.seconds > 86_000.0);
}

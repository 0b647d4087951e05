//! Speakers by the hundred in one process and in virtual time: two reflectors, or everybody with everybody.
//!
//! What the clock of the simulation shows is latency and timers; what the machine's clock shows is the work
//! of all speakers together, on one core.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net};
use tombolo_bgp::simulate::{Network, Wire};
use tombolo_bgp::{Asn, Peer, PeerKey};

const SYSTEM: Asn = Asn(64512);
const LIMIT: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_millis(20);
/// Between two looks at the clock where the work of one step is much.
const WINK: Duration = Duration::from_millis(1);

/// How long nodes take until each knows the prefixes of all others: in virtual milliseconds, and in those of
/// this machine.
pub struct Converged {
    pub virtual_time: f64,
    pub work: f64,
}

/// Nodes that all speak with two reflectors, and these with each other.
pub fn reflectors(nodes: u16, seed: u64) -> Result<Converged> {
    let mut network = Network::new(seed, Wire::default());
    let all = add(&mut network, nodes + 2);
    let (pair, clients) = all.split_at(2);
    for reflector in pair {
        let others: Vec<usize> = pair
            .iter()
            .copied()
            .filter(|other| other != reflector)
            .collect();
        meet(&mut network, *reflector, clients, true);
        meet(&mut network, *reflector, &others, false);
    }
    let begun = Instant::now();
    for client in clients {
        meet(&mut network, *client, pair, false);
    }
    converge(&mut network, clients, begun)
}

/// Nodes that all speak with each other.
pub fn mesh(nodes: u16, seed: u64) -> Result<Converged> {
    let mut network = Network::new(seed, Wire::default());
    let all = add(&mut network, nodes);
    let begun = Instant::now();
    for node in &all {
        let others: Vec<usize> = all.iter().copied().filter(|other| other != node).collect();
        meet(&mut network, *node, &others, false);
    }
    converge(&mut network, &all, begun)
}

/// The same for so long on this machine: which share of all that there is to know is known then?
pub fn bounded_mesh(nodes: u16, work: Duration) -> f64 {
    let mut network = Network::new(0, Wire::default());
    let all = add(&mut network, nodes);
    let begun = Instant::now();
    for node in &all {
        let others: Vec<usize> = all.iter().copied().filter(|other| other != node).collect();
        meet(&mut network, *node, &others, false);
    }
    let known = |network: &Network| {
        all.iter()
            .map(|node| network.table(*node).len())
            .sum::<usize>()
    };
    let whole = all.len() * (all.len() - 1);
    network.wait(LIMIT, WINK, |network| {
        known(network) >= whole || begun.elapsed() >= work
    });
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share is printed with few digits"
    )]
    let share = known(&network) as f64 / whole as f64;
    share
}

/// Adds nodes, each with a block of its own to tell.
fn add(network: &mut Network, nodes: u16) -> Vec<usize> {
    let mut all = Vec::new();
    for number in 1..=nodes {
        let node = network.add(number, SYSTEM);
        let block = Ipv4Net::new_assert(((u32::from(number) << 6) | (10 << 24)).into(), 26);
        network.originate(node, [IpNet::V4(block)]);
        all.push(node);
    }
    all
}

/// Gives a node its peers.
fn meet(network: &mut Network, node: usize, others: &[usize], client: bool) {
    let peers = others.iter().map(|other| {
        let peer = Peer {
            client,
            ..Peer::new("another", SYSTEM)
        };
        (PeerKey::from(network.address(*other)), peer)
    });
    let peers: Vec<(PeerKey, Peer)> = peers.collect();
    network.configure(node, |config| config.peers.extend(peers));
}

fn converge(network: &mut Network, nodes: &[usize], begun: Instant) -> Result<Converged> {
    let others = nodes.len() - 1;
    let knows_all = |network: &Network| {
        nodes
            .iter()
            .all(|node| network.table(*node).len() >= others)
    };
    let at = network.wait(LIMIT, STEP, knows_all);
    let at = at.with_context(|| format!("{} nodes do not know each other", nodes.len()))?;
    Ok(Converged {
        virtual_time: at.as_secs_f64() * 1000.0,
        work: begun.elapsed().as_secs_f64() * 1000.0,
    })
}

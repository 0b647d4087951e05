//! Policies at random: what the kernel does to real packets is what the evaluator says.
//!
//! `TOMBOLO_POLICY_ROUNDS` makes it go on for longer, `TOMBOLO_POLICY_SEED` begins elsewhere.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::IpAddr;

use tombolo_model::{Accept, Family, World, parse};
use tombolo_policy::Evaluator;
use tombolo_tests::probe::{Probe, What};
use tombolo_tests::random::{self, Dice};
use tombolo_tests::stage::{Role, Stage};

/// Two hosts, and networks that are routed or on a bridge.
const GROUND: &str = "
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: a, uid: u-a}, spec: {
  addresses: [{address: 192.168.0.1/24, interface: eth0, mtu: 1500}, {address: 'fd00:5::1/64', interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Node, metadata: {name: b, uid: u-b}, spec: {
  addresses: [{address: 192.168.0.2/24, interface: eth0, mtu: 1500}, {address: 'fd00:5::2/64', interface: eth0, mtu: 1500}]}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: default}, spec: {driver: routed, transport: {type: direct}, pools: [p4, p6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: p4}, spec: {cidr: 10.1.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: p6}, spec: {cidr: 'fd00:1::/64', blockSize: 122}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: other}, spec: {driver: routed, transport: {type: direct}, pools: [q4, q6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: q4}, spec: {cidr: 10.2.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: q6}, spec: {cidr: 'fd00:2::/64', blockSize: 122}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: br}, spec: {driver: bridge, pools: [b4, b6]}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: b4}, spec: {cidr: 10.3.0.0/24, natOutgoing: true}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: b6}, spec: {cidr: 'fd00:3::/64', blockSize: 122, natOutgoing: true}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.3.0.0-26}, spec: {cidr: 10.3.0.0/26, pool: b4, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: fd00_3_0_0_0_0_0_0-122}, spec: {cidr: 'fd00:3::/122', pool: b6, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.1.0.0-26}, spec: {cidr: 10.1.0.0/26, pool: p4, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: fd00_1_0_0_0_0_0_0-122}, spec: {cidr: 'fd00:1::0/122', pool: p6, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.1.1.0-26}, spec: {cidr: 10.1.1.0/26, pool: p4, node: b, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: fd00_1_0_0_0_0_0_100-122}, spec: {cidr: 'fd00:1::100/122', pool: p6, node: b, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.2.0.0-26}, spec: {cidr: 10.2.0.0/26, pool: q4, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: fd00_2_0_0_0_0_0_0-122}, spec: {cidr: 'fd00:2::0/122', pool: q6, node: a, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: 10.2.1.0-26}, spec: {cidr: 10.2.1.0/26, pool: q4, node: b, generation: 1}}
---
{apiVersion: tombolo.dev/v1, kind: Block, metadata: {name: fd00_2_0_0_0_0_0_100-122}, spec: {cidr: 'fd00:2::100/122', pool: q6, node: b, generation: 1}}
";

/// Namespace, name, network, the network's number in addresses, node.
const CONTAINERS: [(&str, &str, &str, u8, &str); 8] = [
    ("x", "a", "default", 1, "a"),
    ("x", "b", "default", 1, "a"),
    ("y", "a", "default", 1, "b"),
    ("y", "b", "other", 2, "a"),
    ("z", "a", "other", 2, "b"),
    ("z", "b", "other", 2, "b"),
    ("z", "c", "br", 3, "a"),
    ("z", "d", "br", 3, "a"),
];

/// Everybody: containers, hosts, and somebody outside.
struct Cast {
    stage: Stage,
    containers: Vec<usize>,
}

impl Cast {
    fn new() -> Cast {
        let mut stage = Stage::new(&[
            ("a", &["192.168.0.1/24", "fd00:5::1/64"]),
            ("b", &["192.168.0.2/24", "fd00:5::2/64"]),
        ]);
        stage.outside(&["192.168.0.9".parse().unwrap(), "fd00:5::9".parse().unwrap()]);
        let containers =
            CONTAINERS
                .iter()
                .zip(4..)
                .map(|((namespace, name, _, net, node), last)| {
                    let block = u8::from(*node == "b");
                    let v4: IpAddr = [10, *net, block, last].into();
                    let v6: IpAddr = format!("fd00:{net}::{block}{last:02x}").parse().unwrap();
                    stage.container(namespace, name, &[v4, v6])
                });
        Cast {
            containers: containers.collect(),
            stage,
        }
    }

    /// A World of a seed: labels, profiles and ports of the containers, and policies. Answers it as
    /// text.
    fn set_scene(&mut self, seed: u64) -> String {
        let mut dice = Dice::new(seed);
        let mut text = GROUND.to_owned();
        for (actor, (namespace, name, network, _, node)) in self.containers.iter().zip(CONTAINERS) {
            let addresses = &self.stage.actors[*actor].addresses;
            let (labels, more) = (random::labels(&mut dice), random::endpoint(&mut dice));
            text.push_str(&format!(
                "---\napiVersion: tombolo.dev/v1\nkind: Endpoint
metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}
spec: {{node: {node}, network: {network}, containerID: {namespace}{name}, interface: eth0, sandbox: {sandbox},
  handle: {namespace}{name}, generation: 1, addresses: [{v4}, '{v6}'], mac: '02:00:00:00:01:{actor:02x}'{more}}}\n",
                sandbox = self.stage.sandbox(*actor),
                v4 = addresses[0],
                v6 = addresses[1],
            ));
        }
        // What contradicts itself is refused; then it is the next ones' turn.
        let (text, parsed) = (0..100)
            .find_map(|_| {
                let text = text.clone() + &random::policies(&mut dice);
                let parsed = parse::parse_with("seed.yaml", &text, Accept::Internal);
                parsed.ok().map(|parsed| (text, parsed))
            })
            .expect("some policies make sense");
        self.stage.world = World::default();
        for parsed in parsed {
            self.stage.world.put(parsed.resource);
        }
        text
    }

    /// Whether there is a way from one to the other, and back: there is none between a bridge and
    /// containers on another host.
    fn have_way(&self, from: usize, to: usize) -> bool {
        let container = |actor: usize| {
            let place = self.containers.iter().position(|own| *own == actor);
            place.map(|place| CONTAINERS[place])
        };
        let is_apart = match (container(from), container(to)) {
            (Some((_, _, n, _, a)), Some((_, _, m, _, b))) => a != b && (n == "br" || m == "br"),
            _ => false,
        };
        // From the host of another node, nothing leads to a bridge either, nor from outside.
        let to_bridge = container(to).is_some_and(|to| to.2 == "br") && container(from).is_none();
        let on_same = self.stage.actors[from].role == Role::Host("a".parse().unwrap());
        from != to && !is_apart && (!to_bridge || on_same)
    }

    /// From everybody to everybody, in both families.
    fn probes(&mut self) -> Vec<Probe> {
        let v4 = [What::Icmp(8, 0), What::Icmp(13, 0)];
        let v6 = [What::Icmp(128, 0), What::Icmp(128, 1)];
        let common = [
            What::Tcp(80),
            What::Tcp(81),
            What::Tcp(7460),
            What::Udp(80),
            What::Udp(81),
            What::Sctp(80),
        ];
        let actors = self.stage.actors.len();
        let mut probes = Vec::new();
        for (from, to) in (0..actors * actors).map(|pair| (pair / actors, pair % actors)) {
            let is_way = self.have_way(from, to);
            for (family, icmp) in [(Family::V4, v4), (Family::V6, v6)] {
                let whats = common.into_iter().chain(icmp).filter(|_| is_way);
                probes.extend(whats.filter_map(|what| self.stage.probe(from, to, family, what)));
            }
        }
        probes
    }
}

#[test]
fn the_kernel_agrees_with_the_evaluator() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds: u64 = number("TOMBOLO_POLICY_ROUNDS").unwrap_or(40);
    let first: u64 = number("TOMBOLO_POLICY_SEED").unwrap_or(1);
    let mut cast = Cast::new();
    let (mut asked, mut denied) = (0, 0);
    for seed in first..first + rounds {
        // Before a station has no more ports to send from.
        if seed > first && (seed - first).is_multiple_of(200) {
            cast = Cast::new();
        }
        let text = cast.set_scene(seed);
        cast.stage.apply();
        let probes = cast.probes();
        let stage = &mut cast.stage;
        let flows: Vec<_> = probes.iter().map(|probe| stage.flow(probe)).collect();
        let evaluator = Evaluator::new(&stage.world);
        let expected: Vec<bool> = flows.iter().map(|flow| evaluator.allows(flow)).collect();
        let through = stage.prober.ask(&probes, &expected);
        let verdicts = flows.iter().zip(&through).zip(&expected);
        let wrong = verdicts.filter(|((_, through), expected)| through != expected);
        let wrong: Vec<String> = wrong
            .map(|((flow, through), _)| {
                format!("{flow}: through: {through}: {}", evaluator.verdict(flow))
            })
            .collect();
        let shown: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
        assert!(
            wrong.is_empty(),
            "seed {seed}: {} of {} flows\n{}\n{text}\n{}",
            wrong.len(),
            flows.len(),
            shown.join("\n"),
            stage.ruleset()
        );
        asked += probes.len();
        denied += through.iter().filter(|through| !**through).count();
    }
    assert!(
        denied * 10 > asked && denied * 10 < asked * 9,
        "{denied} of {asked} were denied"
    );
}

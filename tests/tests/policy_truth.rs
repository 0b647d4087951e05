//! The truth tables, through real namespaces: what a person expects of a policy is what packets meet.
//!
//! The tables are those of `crates/policy/tests/cases`, which the evaluator is held against, too. All of
//! them go through one pair of hosts, one after the other: a table's pods are containers of node `n1`
//! (or whichever it says), and each change of tables is a change of policy on a host that runs. Tables in
//! which nothing is of a family hold in IPv6, too.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "../../crates/policy/tests/support/truth.rs"]
mod truth;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{AnyResource, Block, Family, KindName, Name, World};
use tombolo_tests::probe::{Probe, What};
use tombolo_tests::stage::Stage;
use truth::Truth;

/// Everybody who was in any table yet, by name and addresses.
struct Cast {
    stage: Stage,
    known: HashMap<(String, Vec<IpAddr>), usize>,
}

impl Cast {
    fn new() -> Cast {
        let stage = Stage::new(&[
            ("n1", &["192.168.50.1/24", "fd50::1/64"]),
            ("n2", &["192.168.50.2/24", "fd50::2/64"]),
        ]);
        stage.way("10.32.0.0/16", "192.168.50.1");
        stage.way("fd32::/64", "fd50::1");
        Cast {
            stage,
            known: HashMap::new(),
        }
    }

    /// The actor of a party of a table, and its node if it is a pod.
    fn actor(&mut self, table: &Truth, party: &str) -> usize {
        if let Some(pod) = table.pods.iter().find(|pod| pod.title() == party) {
            let key = (format!("{party} on {}", pod.node), vec![pod.ip, pod.ip6]);
            let make =
                |stage: &mut Stage| stage.container(&pod.namespace, &pod.name, &[pod.ip, pod.ip6]);
            return self.known(key, make);
        }
        let other = table
            .others
            .iter()
            .find(|other| other.name == party)
            .unwrap();
        match &other.node {
            Some(node) => self.stage.host_actor(node),
            None => self.known((party.to_owned(), vec![other.ip]), |stage| {
                stage.outside(&[other.ip])
            }),
        }
    }

    fn known(
        &mut self,
        key: (String, Vec<IpAddr>),
        make: impl FnOnce(&mut Stage) -> usize,
    ) -> usize {
        let stage = &mut self.stage;
        *self.known.entry(key).or_insert_with(|| make(stage))
    }

    /// Makes the hosts hold what a table says.
    fn play(&mut self, table: &Truth) {
        let mut world = table.world();
        for pod in &table.pods {
            let actor = self.actor(table, &pod.title());
            for address in [pod.ip, pod.ip6] {
                world.put(block(address, &pod.node));
            }
            seat(
                &mut world,
                &pod.namespace,
                &pod.name,
                &self.stage.sandbox(actor),
            );
        }
        self.stage.world = world;
        self.stage.apply();
    }

    /// Sends what a table expects in a family, and answers the rows that differ.
    fn check(&mut self, table: &Truth, family: Family) -> (usize, String) {
        let mut probes: Vec<Probe> = Vec::new();
        let mut cells = Vec::new();
        for (from, to, what, expected) in table.flows() {
            let (source, target) = (self.actor(table, &from), self.actor(table, &to));
            let sent = self
                .stage
                .probe(source, target, family, packet(&what, family));
            // Who is outside has an address of one family.
            if let Some(probe) = sent {
                probes.push(probe);
                cells.push((from, to, what, expected));
            }
        }
        let expected: Vec<bool> = cells.iter().map(|cell| cell.3).collect();
        let through = self.stage.prober.ask(&probes, &expected);
        let seen: HashMap<_, _> = cells
            .into_iter()
            .zip(through)
            .map(|((from, to, what, expected), through)| ((from, to, what), (expected, through)))
            .collect();
        let count = seen.len();
        let differences = table.differences(|from, to, what| {
            let cell = (from.to_owned(), to.to_owned(), what.clone());
            let sent = seen.get(&cell).map(|(_, through)| *through);
            sent.unwrap_or_else(|| {
                let mut flows = table.flows().into_iter();
                flows.any(|(f, t, w, expected)| expected && (f, t, w) == cell)
            })
        });
        (count, differences)
    }
}

/// The way to a pod's address, which tables leave to the reader.
fn block(address: IpAddr, node: &str) -> AnyResource {
    // No smaller: the route to a pod and the one of a block are two.
    let bits = if address.is_ipv4() { 30 } else { 126 };
    let net = IpNet::new_assert(address, bits).trunc();
    let pool = if address.is_ipv4() { "pods" } else { "pods6" };
    let value = serde_json::json!({
        "metadata": { "name": Block::resource_name(None, net) },
        "spec": { "cidr": net, "pool": pool, "node": node, "generation": 1 },
    });
    AnyResource::from_value(KindName::Block, value).unwrap()
}

/// Gives an endpoint its sandbox.
fn seat(world: &mut World, namespace: &str, name: &str, sandbox: &str) {
    let key = (Name::new(namespace).unwrap(), Name::new(name).unwrap());
    let mut endpoint = world.endpoints[&key].clone();
    endpoint.spec.sandbox = sandbox.to_owned();
    world.put(endpoint.into());
}

/// Whether a table holds in IPv6, too: it says so, or nothing in it is of a family.
fn is_of_both(table: &Truth) -> bool {
    let of_one = [
        "nets",
        "Nets",
        "cidr",
        "ICMP",
        "ipVersion",
        "expectedIPs",
        "HostEndpoint",
    ];
    let is_plain = table.others.is_empty() && !of_one.iter().any(|word| table.text.contains(word));
    table.ipv6 || is_plain
}

fn packet(probe: &truth::Probe, family: Family) -> What {
    match probe {
        truth::Probe::Port(protocol, port) => match protocol.as_str() {
            "TCP" => What::Tcp(*port),
            "UDP" => What::Udp(*port),
            "SCTP" => What::Sctp(*port),
            other => panic!("{other} is sent by no table"),
        },
        truth::Probe::Icmp(8, code) if family == Family::V6 => What::Icmp(128, *code),
        truth::Probe::Icmp(kind, code) => What::Icmp(*kind, *code),
    }
}

#[test]
fn every_table_holds_for_packets() {
    let tables = truth::tables(env!("CARGO_MANIFEST_DIR"));
    assert!(tables.len() >= 150, "{} tables are too few", tables.len());
    let mut report = String::new();
    let mut cells = 0;
    let mut cast = Cast::new();
    for (number, table) in tables.iter().enumerate() {
        // Before a station has no more ports to send from.
        if number % 50 == 49 {
            cast = Cast::new();
        }
        cast.play(table);
        for family in Family::ALL
            .into_iter()
            .take(1 + usize::from(is_of_both(table)))
        {
            let (count, differences) = cast.check(table, family);
            cells += count;
            if !differences.is_empty() {
                let _ = writeln!(
                    report,
                    "{} ({family}): {}\n{differences}",
                    table.name, table.about
                );
            }
        }
    }
    assert!(report.is_empty(), "{report}");
    println!("{} tables, {cells} flows", tables.len());
}

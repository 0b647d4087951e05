//! Containers of a cluster as stations of a prober: who reaches whom, beside what the evaluator says.

use std::net::IpAddr;

use serde_json::Value;
use tombolo_kernel::NetnsHandle;
use tombolo_lab::Lab;
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Accept, Family, Name, World, parse};
use tombolo_policy::{Evaluator, Flow, Party};

use crate::Cluster;
use crate::probe::{Probe, Prober, What};

/// The kinds that a verdict may depend on, as `tombolo get` calls them.
const KINDS: [&str; 13] = [
    "nodes",
    "networks",
    "ippools",
    "endpoints",
    "namespaces",
    "profiles",
    "tiers",
    "networkpolicies",
    "globalnetworkpolicies",
    "networksets",
    "globalnetworksets",
    "hostendpoints",
    "handles",
];

/// Containers and hosts of a cluster that send and are sent to.
pub struct Troupe<'c> {
    cluster: &'c Cluster,
    /// Asks who reaches whom.
    pub prober: Prober,
    actors: Vec<Actor>,
}

struct Actor {
    /// As the lab calls it: `a/web`, or `a` for a host.
    place: String,
    network: String,
    addresses: Vec<IpAddr>,
}

impl<'c> Troupe<'c> {
    /// Nobody yet.
    #[must_use]
    pub fn new(cluster: &'c Cluster) -> Troupe<'c> {
        Troupe {
            cluster,
            prober: Prober::default(),
            actors: Vec::new(),
        }
    }

    /// A container at a place, on a network, with more of a configuration, as `{"labels": …}`.
    ///
    /// # Panics
    /// It is refused.
    pub fn container(&mut self, place: &str, network: &str, more: &Value) -> usize {
        let (host, name) = place.split_once('/').expect("a container is on a host");
        let mut config = Lab::config(network);
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        let addresses = self.cluster.container_with(host, name, &config);
        self.act(place, network, &addresses)
    }

    /// A host itself, with its addresses on the wire between hosts.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn host(&mut self, host: &str) -> usize {
        let script = "ip -o addr show dev eth0 scope global | awk '{print $4}' | cut -d/ -f1";
        let addresses = self.cluster.sh(host, script);
        let addresses: Vec<String> = addresses.lines().map(str::to_owned).collect();
        self.act(host, "", &addresses)
    }

    fn act(&mut self, place: &str, network: &str, addresses: &[String]) -> usize {
        let addresses = addresses.iter().map(|a| a.parse().expect("an address"));
        let addresses: Vec<IpAddr> = addresses.collect();
        self.actors.push(Actor {
            place: place.to_owned(),
            network: network.to_owned(),
            addresses: addresses.clone(),
        });
        self.prober.station(self.netns(place), &addresses)
    }

    /// The namespace of a place.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn netns(&self, place: &str) -> NetnsHandle {
        let (host, path) = match place.split_once('/') {
            Some((host, name)) => (host, format!("/run/netns/{name}")),
            None => (place, "/proc/1/ns/net".to_owned()),
        };
        let netns = NetnsHandle::open(self.cluster.file(host, &path));
        netns.unwrap_or_else(|error| panic!("{place}: {error}"))
    }

    /// An address of an actor.
    ///
    /// # Panics
    /// It has none of the family.
    #[must_use]
    pub fn address(&self, actor: usize, family: Family) -> IpAddr {
        let mut own = self.actors[actor].addresses.iter();
        let own = own.find(|address| Family::of(**address) == family);
        *own.unwrap_or_else(|| panic!("{} has no {family} address", self.actors[actor].place))
    }

    /// Whether packets get from one actor to another, in each family that both have addresses of.
    pub fn get_through(&mut self, from: usize, to: usize, what: What, expected: bool) -> Vec<bool> {
        let probes = self.probes(from, to, &[what]);
        self.prober.ask(&probes, &vec![expected; probes.len()])
    }

    /// Sends a datagram and an echo request from an address that is not the sender's by right; answers
    /// which of them were seen where they were sent to.
    pub fn forge(&mut self, from: usize, to: usize, source: IpAddr) -> Vec<bool> {
        let family = Family::of(source);
        let to = self.address(to, family);
        let kind = if family == Family::V4 { 8 } else { 128 };
        let probes = [What::Udp(80), What::Icmp(kind, 0)].map(|what| Probe {
            from,
            source: Some(source),
            to,
            what,
            source_port: self.prober.fresh_port(from),
        });
        let seen = self.prober.outcomes(&probes, &[false, false]);
        seen.iter().map(|outcome| outcome.arrived).collect()
    }

    /// Asserts it of both families.
    ///
    /// # Panics
    /// It is not so.
    pub fn assert(&mut self, from: usize, to: usize, what: What, expected: bool) {
        let through = self.get_through(from, to, what, expected);
        assert!(
            !through.is_empty(),
            "they have no address of the same family"
        );
        assert!(
            through.iter().all(|through| *through == expected),
            "{} → {} {what:?}: {through:?}, and not {expected}\n{}",
            self.actors[from].place,
            self.actors[to].place,
            self.cluster.logs()
        );
    }

    fn probes(&mut self, from: usize, to: usize, whats: &[What]) -> Vec<Probe> {
        let mut probes = Vec::new();
        for family in Family::ALL {
            let has = |actor: usize| {
                let mut own = self.actors[actor].addresses.iter();
                own.find(|address| Family::of(**address) == family).copied()
            };
            let (Some(_), Some(to)) = (has(from), has(to)) else {
                continue;
            };
            for what in whats {
                let what = match (*what, family) {
                    (What::Icmp(8, code), Family::V6) => What::Icmp(128, code),
                    (what, _) => what,
                };
                let source_port = self.prober.fresh_port(from);
                probes.push(Probe {
                    from,
                    source: None,
                    to,
                    what,
                    source_port,
                });
            }
        }
        probes
    }

    /// Sends from everybody to everybody who may have a way there, and asserts that what gets through
    /// is what the evaluator says. Answers how many packets were allowed, and how many denied.
    ///
    /// # Panics
    /// It is not so.
    pub fn agree(&mut self, whats: &[What]) -> (usize, usize) {
        let world = self.world();
        let mut probes = Vec::new();
        for from in 0..self.actors.len() {
            for to in (0..self.actors.len()).filter(|to| *to != from) {
                probes.extend(self.probes(from, to, whats));
            }
        }
        let flows: Vec<Flow> = probes
            .iter()
            .map(|probe| self.flow(&world, probe))
            .collect();
        let evaluator = Evaluator::new(&world);
        let expected: Vec<bool> = flows.iter().map(|flow| evaluator.allows(flow)).collect();
        let through = self.prober.ask(&probes, &expected);
        let verdicts = flows.iter().zip(&through).zip(&expected);
        let wrong = verdicts.filter(|((_, through), expected)| through != expected);
        let wrong: Vec<String> = wrong
            .map(|((flow, through), _)| {
                format!("{flow}: through: {through}\n{}", evaluator.verdict(flow))
            })
            .collect();
        assert!(
            wrong.is_empty(),
            "{}\n{}",
            wrong.join("\n"),
            self.cluster.logs()
        );
        let allowed = through.iter().filter(|through| **through).count();
        (allowed, through.len() - allowed)
    }

    /// Everything that exists, as the first host's agent says.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn world(&self) -> World {
        let mut world = World::default();
        for kind in KINDS {
            let host = &self.cluster.lab.hosts()[0];
            let answer = self.cluster.json(host, &["get", kind, "-o", "json"]);
            for item in answer["items"].as_array().into_iter().flatten() {
                let parsed = parse::parse_with(kind, &item.to_string(), Accept::Internal);
                for parsed in parsed.unwrap_or_else(|faults| panic!("{item}: {faults}")) {
                    world.put(parsed.resource);
                }
            }
        }
        world
    }

    fn flow(&self, world: &World, probe: &Probe) -> Flow {
        let from = &self.actors[probe.from];
        let to = self.actors.iter();
        // Overlays may have the same addresses: the sender's own network goes first.
        let mut to: Vec<&Actor> = to.filter(|a| a.addresses.contains(&probe.to)).collect();
        to.sort_by_key(|actor| actor.network != from.network);
        let (port, icmp) = match probe.what {
            What::Tcp(port) | What::Udp(port) | What::Sctp(port) => (Some(port), None),
            What::Icmp(kind, code) => (None, Some((kind, code))),
        };
        Flow {
            from: from.party(world),
            to: to.first().expect("somebody has the address").party(world),
            family: Some(Family::of(probe.to)),
            protocol: ProtocolMatch(probe.what.protocol(probe.to)),
            source_port: Some(probe.source_port),
            destination_port: port,
            icmp,
        }
    }
}

impl Actor {
    fn party(&self, world: &World) -> Party {
        let Some((host, name)) = self.place.split_once('/') else {
            return Party::Host(Name::new(&self.place).expect("a host's name is a name"));
        };
        let id = format!("{host}-{name}");
        let mut endpoints = world.endpoints.iter();
        let own = endpoints.find(|(_, endpoint)| endpoint.spec.container_id.as_str() == id);
        let ((namespace, name), _) = own.expect("a container has an endpoint");
        Party::Endpoint(namespace.clone(), name.clone())
    }
}

//! Several nodes, a store and no clock: each node sees the store's events late, applies its plan
//! operation by operation, and says afterwards what it does.
//!
//! ```text
//!   operator ──► store (a log of resources) ──► each node's own view, some events behind
//!                  ▲ status, tunnel addresses        │ plan, diff
//!                  └──────────── node ◄── FakeKernel ┘
//! ```
//!
//! A node's speaker is as its last plan says. What one announces another hears late, peer by peer;
//! routers between subnets know it at once.
//!
//! The agent's contract is in [`Cluster::step`]: it plans only from a view that holds its own last
//! write, and writes its status only after every operation.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::kinds::{NodeNetworkStatus, TransportSpec};
use tombolo_model::{AnyResource, Family, KindName, Name, World};
use tombolo_plan::bgp::BgpPlan;
use tombolo_plan::{Op, diff, needing_tunnels, plan};

use crate::fake_kernel::FakeKernel;
use crate::world;

/// The one network of the cluster.
pub const NETWORK: &str = "net";
/// The place of a node's own address in its block.
const TUNNEL: u32 = 0;
/// The place of its endpoint's address.
const WORKLOAD: u32 = 5;

/// How a cluster begins.
#[derive(Debug, Clone)]
pub struct Shape {
    /// For each node, the subnet that it is in.
    pub subnets: Vec<u8>,
    /// For each node, its underlay's MTU.
    pub mtus: Vec<u32>,
    /// Underlay and network have both families.
    pub dual: bool,
}

/// A node.
pub struct Host {
    /// Its name.
    pub name: Name,
    /// Its kernel.
    pub kernel: FakeKernel,
    /// Its addresses on the underlay.
    pub underlay: Vec<IpAddr>,
    /// The addresses of its endpoint.
    pub workload: Vec<IpAddr>,
    view: World,
    seen: usize,
    last_write: usize,
    planned_at: Option<usize>,
    ops: VecDeque<Op>,
    to_publish: Option<NodeNetworkStatus>,
    has_tunnel: bool,
    speaker: Option<BgpPlan>,
    /// What it has heard from each other one.
    heard: BTreeMap<usize, Vec<IpNet>>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Nothing was left to do.
    Nothing,
    /// Something that changes no kernel.
    Thought(String),
    /// One operation.
    Applied(String),
}

/// Several nodes and their store.
pub struct Cluster {
    /// The nodes.
    pub hosts: Vec<Host>,
    shape: Shape,
    log: Vec<AnyResource>,
}

impl Host {
    /// Whether it announces a prefix at present, so that routers know it.
    pub fn announces(&self, prefix: &IpNet) -> bool {
        let speaker = self.speaker.as_ref();
        speaker.is_some_and(|speaker| speaker.advertise.contains_key(prefix))
    }
}

impl Cluster {
    /// A cluster that has come to rest with a first transport.
    pub fn at_rest(shape: &Shape, transport: &TransportSpec) -> Cluster {
        let mut cluster = Cluster {
            hosts: Vec::new(),
            shape: shape.clone(),
            log: Vec::new(),
        };
        let mut pools = vec!["v4".to_owned()];
        cluster.log.push(world::pool("v4", "10.0.0.0/16", true));
        if shape.dual {
            pools.push("v6".to_owned());
            cluster.log.push(world::pool("v6", "fd00:10::/112", false));
        }
        for index in 0..shape.subnets.len() {
            cluster.add_host(index);
        }
        cluster.change_transport(transport);
        while (0..cluster.hosts.len()).any(|host| cluster.step(host, 1) != Did::Nothing) {}
        cluster
    }

    fn add_host(&mut self, index: usize) {
        let subnet = self.shape.subnets[index];
        let mut underlay = vec![format!("192.168.{subnet}.{}/24", index + 1)];
        let mut workload = vec![format!("10.0.{index}.{WORKLOAD}")];
        if self.shape.dual {
            underlay.push(format!("fd00:{subnet}::{}/64", index + 1));
            workload.push(format!("fd00:10::{index:x}05"));
        }
        let node = world::node(index, &underlay, self.shape.mtus[index]);
        self.log.push(node);
        let addresses = |texts: &[String]| -> Vec<IpAddr> {
            texts
                .iter()
                .map(|text| {
                    let bare = text.split('/').next().expect("a text has a first part");
                    bare.parse().expect("test addresses are addresses")
                })
                .collect()
        };
        let host = Host {
            name: world::name(format!("n{index}")),
            kernel: FakeKernel::default(),
            underlay: addresses(&underlay),
            workload: addresses(&workload),
            view: World::default(),
            seen: 0,
            last_write: 0,
            planned_at: None,
            ops: VecDeque::new(),
            to_publish: None,
            has_tunnel: false,
            speaker: None,
            heard: BTreeMap::new(),
        };
        let called = format!("c{index}");
        let none = serde_json::json!([]);
        let endpoint = world::endpoint(&called, index, NETWORK, &host.workload, &none);
        self.log.push(endpoint);
        self.hosts.push(host);
        self.write_blocks(index);
    }

    /// The operator writes another transport.
    pub fn change_transport(&mut self, transport: &TransportSpec) {
        let mut pools = vec!["v4".to_owned()];
        pools.extend(self.shape.dual.then(|| "v6".to_owned()));
        let network = world::network(NETWORK, "routed", Some(transport), &pools);
        self.log.push(network);
    }

    /// Takes one step of a node; `choice` says which, where several are possible.
    pub fn step(&mut self, index: usize, choice: u8) -> Did {
        let behind = self.hosts[index].seen < self.log.len();
        if choice.is_multiple_of(5)
            && let Some(from) = self.hear(index, choice)
        {
            return Did::Thought(format!("{} hears {from}", self.hosts[index].name));
        }
        if behind && choice.is_multiple_of(4) {
            return self.receive(index);
        }
        let host = &mut self.hosts[index];
        if let Some(op) = host.ops.pop_front() {
            let done = host.kernel.apply(&op);
            done.unwrap_or_else(|why| panic!("{}: {why}", host.name));
            return Did::Applied(format!("{}: {op}", host.name));
        }
        if self.publish(index) {
            return Did::Thought(format!("{} says what it does", self.hosts[index].name));
        }
        let host = &self.hosts[index];
        let is_fresh = host.planned_at == Some(host.seen);
        if host.seen < host.last_write || is_fresh || (behind && choice.is_multiple_of(3)) {
            let did = self.receive(index);
            if did != Did::Nothing {
                return did;
            }
            return match self.hear(index, choice) {
                Some(from) => Did::Thought(format!("{} hears {from}", self.hosts[index].name)),
                None => Did::Nothing,
            };
        }
        self.think(index);
        Did::Thought(format!("{} plans", self.hosts[index].name))
    }

    fn receive(&mut self, index: usize) -> Did {
        let host = &mut self.hosts[index];
        let Some(event) = self.log.get(host.seen) else {
            return Did::Nothing;
        };
        host.view.put(event.clone());
        host.seen += 1;
        Did::Thought(format!("{} sees {}", host.name, event.key()))
    }

    /// Hears what one of the others announces, if that is news. Answers whose it was.
    fn hear(&mut self, index: usize, choice: u8) -> Option<Name> {
        let count = self.hosts.len();
        let order = (0..count).map(|i| (i + usize::from(choice)) % count);
        let (from, told) = order
            .filter(|from| *from != index)
            .map(|from| (from, self.told(from, index)))
            .find(|(from, told)| {
                self.hosts[index].heard.get(from).unwrap_or(&Vec::new()) != told
            })?;
        self.hosts[index].heard.insert(from, told);
        let learned = self.learned(index);
        let host = &mut self.hosts[index];
        host.view.put(learned);
        host.planned_at = None;
        Some(self.hosts[from].name.clone())
    }

    /// What one tells another at present: nothing, unless both want to speak with each other.
    fn told(&self, from: usize, to: usize) -> Vec<IpNet> {
        let wants = |host: &Host, other: &Host| {
            let peers = host
                .speaker
                .iter()
                .flat_map(|speaker| speaker.config.peers.keys());
            peers
                .into_iter()
                .any(|peer| other.underlay.contains(&peer.address))
        };
        let (from, to) = (&self.hosts[from], &self.hosts[to]);
        match &from.speaker {
            Some(speaker) if wants(from, to) && wants(to, from) => {
                speaker.advertise.keys().copied().collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a node has learned, with the router between subnets where there is one.
    fn learned(&self, index: usize) -> AnyResource {
        let host = &self.hosts[index];
        let mut routes = BTreeMap::new();
        for (from, told) in &host.heard {
            for prefix in told {
                let family = Family::of_net(*prefix);
                let far = &self.hosts[*from].underlay;
                let next = far.iter().find(|address| Family::of(**address) == family);
                let mut hop = serde_json::json!({ "address": next, "from": far[0] });
                if self.shape.subnets[*from] != self.shape.subnets[index] {
                    hop["via"] = router(self.shape.subnets[index], family).to_string().into();
                    hop["interface"] = "eth0".into();
                }
                let route = serde_json::json!({ "prefix": prefix, "nextHops": [hop] });
                routes.insert(*prefix, route);
            }
        }
        let routes: Vec<_> = routes.into_values().collect();
        learned(
            &host.name,
            &serde_json::json!({"settled": true, "routes": routes}),
        )
    }

    /// Writes the node's status if it says anything new. Answers whether it did.
    fn publish(&mut self, index: usize) -> bool {
        let host = &mut self.hosts[index];
        let Some(status) = host.to_publish.take() else {
            return false;
        };
        let mut node = host.view.nodes[&host.name].clone();
        let old = node.status.networks.insert(world::name(NETWORK), status);
        if old.as_ref() == node.status.networks.get(&world::name(NETWORK)) {
            return false;
        }
        self.log.push(node.into());
        host.last_write = self.log.len();
        true
    }

    /// Plans, and takes or gives back an address of the node's own.
    fn think(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.planned_at = Some(host.seen);
        let needed = !needing_tunnels(&host.view, &host.name).is_empty();
        let Some(plan) = plan(&host.view, &host.name) else {
            return;
        };
        assert_eq!(
            plan.problems
                .iter()
                .find(|p| !p.message.contains("until then")),
            None,
            "{}",
            host.name
        );
        host.ops = diff(&plan, &host.kernel.observe(&plan)).into();
        host.speaker.clone_from(&plan.bgp);
        host.to_publish = plan.announce.get(&world::name(NETWORK)).cloned();
        if needed != host.has_tunnel {
            host.has_tunnel = needed;
            self.write_blocks(index);
            self.hosts[index].last_write = self.log.len();
        }
    }

    fn write_blocks(&mut self, index: usize) {
        let mut in_use = vec![(WORKLOAD, format!("c{index}"), index, "workload")];
        if self.hosts[index].has_tunnel {
            in_use.push((TUNNEL, format!("n{index}"), index, "tunnel"));
        }
        let v4 = format!("10.0.{index}.0/26");
        self.log.push(world::block(&v4, "v4", Some(index), &in_use));
        if self.shape.dual {
            let v6 = format!("fd00:10::{index:x}00/122");
            self.log.push(world::block(&v6, "v6", Some(index), &in_use));
        }
    }
}

/// The router of a subnet of the underlay.
pub fn router(subnet: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => [192, 168, subnet, 254].into(),
        Family::V6 => [0xfd00, u16::from(subnet), 0, 0, 0, 0, 0, 0xfe].into(),
    }
}

/// What a node has learned by BGP.
fn learned(node: &Name, spec: &serde_json::Value) -> AnyResource {
    world::resource(
        KindName::Learned,
        serde_json::json!({"metadata": {"name": node}, "spec": spec}),
    )
}

//! Who may talk to whom, a second time: slowly, from the resources as they are written, and from the
//! words of the specifications only.
//!
//! Kubernetes: the API reference of `networking.k8s.io/v1` NetworkPolicy, and the concept "Network
//! Policies". Calico: the reference of its `projectcalico.org/v3` resources. Nothing of the crate is
//! used here, not its selectors, not its order, not its parsers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

mod calico;
mod kubernetes;
mod selector;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use crate::truth::{Probe, Truth};

pub type Labels = BTreeMap<String, String>;

/// Everything that there is.
pub struct Naive {
    pub things: Vec<Thing>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, Labels>,
    /// Nodes and their addresses.
    pub nodes: Vec<(String, Vec<IpAddr>)>,
    /// What was applied, as it is written.
    pub applied: Vec<Value>,
}

/// Something with labels and addresses.
#[derive(Clone, Debug)]
pub struct Thing {
    pub namespace: Option<String>,
    pub name: String,
    pub labels: Labels,
    /// Addresses as networks.
    pub nets: Vec<(IpAddr, u8)>,
    pub ports: Vec<(String, u8, u16)>,
    pub profiles: Vec<String>,
    /// For pods and hosts' interfaces.
    pub node: Option<String>,
    pub is_pod: bool,
}

/// One end of a flow.
#[derive(Clone, Debug)]
pub struct End {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

/// A flow.
#[derive(Clone, Debug)]
pub struct Flow {
    pub from: End,
    pub to: End,
    pub protocol: u8,
    pub icmp: Option<(u8, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Ingress,
    Egress,
}

/// What a policy says of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Allow,
    Deny,
    Pass,
    Nothing,
}

/// Everything of a truth table.
pub fn of_table(table: &Truth) -> Naive {
    // Of YAML 1.2: `y` is a name.
    let options = serde_saphyr::options! { strict_booleans: true };
    let applied = serde_saphyr::from_multiple_with_options(&table.text, options);
    let applied: Vec<Value> = applied.unwrap();
    let things = table.pods.iter().map(|pod| Thing {
        namespace: Some(pod.namespace.clone()),
        name: pod.name.clone(),
        labels: pod.labels.clone(),
        nets: vec![(pod.ip, 32), (pod.ip6, 128)],
        ports: pod
            .ports
            .iter()
            .map(|(name, protocol, port)| (name.clone(), calico::protocol(protocol), *port))
            .collect(),
        profiles: pod.profiles.clone(),
        node: Some(pod.node.clone()),
        is_pod: true,
    });
    let nodes = crate::truth::NODES.iter().map(|(name, ip)| {
        let ip6 = format!("fd50::{}", ip.rsplit_once('.').unwrap().1);
        let addresses = vec![ip.parse().unwrap(), ip6.parse().unwrap()];
        ((*name).to_owned(), addresses)
    });
    let things = things.collect();
    Naive::new(things, table.namespaces.clone(), nodes.collect(), applied)
}

impl Naive {
    pub fn new(
        things: Vec<Thing>,
        namespaces: BTreeMap<String, Labels>,
        nodes: Vec<(String, Vec<IpAddr>)>,
        applied: Vec<Value>,
    ) -> Naive {
        let mut naive = Naive {
            things,
            namespaces,
            nodes,
            applied: Vec::new(),
        };
        for value in applied {
            naive.apply(value);
        }
        for thing in &mut naive.things {
            let profiles = thing.profiles.clone();
            for profile in profiles {
                let profile = naive
                    .applied
                    .iter()
                    .find(|v| v["kind"] == "Profile" && v["metadata"]["name"] == profile.as_str());
                let labels = profile.map(|p| &p["spec"]["labelsToApply"]);
                for (label, value) in texts(labels.unwrap_or(&Value::Null)) {
                    thing.labels.entry(label).or_insert(value);
                }
            }
            if let Some(namespace) = &thing.namespace {
                let label = "projectcalico.org/namespace".to_owned();
                thing.labels.insert(label, namespace.clone());
            }
        }
        for (name, labels) in &mut naive.namespaces {
            for label in ["kubernetes.io/metadata.name", "projectcalico.org/name"] {
                labels.insert(label.to_owned(), name.clone());
            }
        }
        naive
    }

    fn apply(&mut self, value: Value) {
        let metadata = &value["metadata"];
        let name = metadata["name"].as_str().unwrap().to_owned();
        let spec = &value["spec"];
        let nets = |list: &Value| -> Vec<(IpAddr, u8)> {
            let list = list.as_array().cloned().unwrap_or_default();
            list.iter()
                .map(|net| calico::net(net.as_str().unwrap()))
                .collect()
        };
        let thing = Thing {
            namespace: None,
            name: name.clone(),
            labels: texts(&metadata["labels"]),
            nets: nets(&spec["nets"]),
            ports: Vec::new(),
            profiles: Vec::new(),
            node: None,
            is_pod: false,
        };
        match value["kind"].as_str().unwrap() {
            "Namespace" => {
                self.namespaces.insert(name, thing.labels);
            }
            "GlobalNetworkSet" => self.things.push(thing),
            "NetworkSet" => {
                let namespace = metadata["namespace"].as_str().unwrap_or("default");
                self.namespaces.entry(namespace.to_owned()).or_default();
                self.things.push(Thing {
                    namespace: Some(namespace.to_owned()),
                    ..thing
                });
            }
            "HostEndpoint" => {
                let ports = spec["ports"].as_array().cloned().unwrap_or_default();
                let ports = ports.iter().map(|port| {
                    let name = port["name"].as_str().unwrap().to_owned();
                    (
                        name,
                        calico::protocol_of(&port["protocol"]),
                        number(&port["port"]),
                    )
                });
                let profiles = spec["profiles"].as_array().cloned().unwrap_or_default();
                self.things.push(Thing {
                    nets: nets(&spec["expectedIPs"]),
                    ports: ports.collect(),
                    profiles: profiles
                        .iter()
                        .map(|p| p.as_str().unwrap().to_owned())
                        .collect(),
                    node: Some(spec["node"].as_str().unwrap().to_owned()),
                    ..thing
                });
                self.applied.push(value);
            }
            _ => self.applied.push(value),
        }
    }

    /// A flow of a truth table.
    pub fn table_flow(
        &self,
        table: &Truth,
        (from, to): (&str, &str),
        probe: &Probe,
        ipv6: bool,
    ) -> bool {
        let ip = |name: &str| {
            let pod = table.pods.iter().find(|pod| pod.title() == name);
            let other = table.others.iter().find(|other| other.name == name);
            match (pod, other) {
                (Some(pod), _) if ipv6 => pod.ip6,
                (Some(pod), _) => pod.ip,
                (None, other) => other.unwrap().ip,
            }
        };
        let (protocol, port, icmp) = match probe {
            Probe::Port(protocol, port) => (calico::protocol(protocol), Some(*port), None),
            Probe::Icmp(8, 0) if ipv6 => (58, None, Some((128, 0))),
            Probe::Icmp(kind, code) => (if ipv6 { 58 } else { 1 }, None, Some((*kind, *code))),
        };
        self.allows(&Flow {
            from: End {
                ip: ip(from),
                port: port.map(|_| 40_000),
            },
            to: End { ip: ip(to), port },
            protocol,
            icmp,
        })
    }

    /// Whether a flow is let through, from who sends it and by who gets it.
    pub fn allows(&self, flow: &Flow) -> bool {
        self.one_side(flow, Way::Egress) && self.one_side(flow, Way::Ingress)
    }

    pub fn one_side(&self, flow: &Flow, way: Way) -> bool {
        let (own, other) = match way {
            Way::Egress => (flow.from.ip, flow.to.ip),
            Way::Ingress => (flow.to.ip, flow.from.ip),
        };
        if let Some(pod) = self.pod(own) {
            // A host is not kept from its own pods: its probes have to reach them.
            if way == Way::Ingress
                && self
                    .host(other)
                    .is_some_and(|h| Some(h) == pod.node.as_deref())
            {
                return true;
            }
            return self.judged(flow, way, pod, false);
        }
        let Some(host) = self.host(own) else {
            return true;
        };
        if self
            .pod(other)
            .is_some_and(|pod| pod.node.as_deref() == Some(host))
        {
            return true;
        }
        match self.host_interface(host, own) {
            Some(interface) => {
                let open = calico::failsafe(way);
                let to = flow.to.port.unwrap_or(0);
                open.contains(&(flow.protocol, to)) || self.judged(flow, way, interface, true)
            }
            None => true,
        }
    }

    fn pod(&self, ip: IpAddr) -> Option<&Thing> {
        let mut pods = self.things.iter().filter(|thing| thing.is_pod);
        pods.find(|pod| pod.nets.iter().any(|(own, _)| *own == ip))
    }

    fn host(&self, ip: IpAddr) -> Option<&str> {
        let host = self.nodes.iter().find(|(_, ips)| ips.contains(&ip));
        host.map(|(name, _)| name.as_str())
    }

    /// The interface of a host that has an address, which is `eth0` for all of a node's, before that
    /// which stands for every interface.
    fn host_interface(&self, host: &str, ip: IpAddr) -> Option<&Thing> {
        let of = |by: &dyn Fn(&Value, &Thing) -> bool| {
            self.things.iter().find(|thing| {
                let written = self.applied.iter().find(|v| {
                    v["kind"] == "HostEndpoint" && v["metadata"]["name"] == thing.name.as_str()
                });
                !thing.is_pod
                    && thing.node.as_deref() == Some(host)
                    && written.is_some_and(|written| by(&written["spec"]["interfaceName"], thing))
            })
        };
        let expects = |thing: &Thing| thing.nets.iter().any(|(own, _)| *own == ip);
        of(&|name, _| name == "eth0")
            .or_else(|| of(&|name, thing| name.is_null() && expects(thing)))
            .or_else(|| of(&|name, _| name == "*"))
    }

    /// Tiers, then profiles.
    fn judged(&self, flow: &Flow, way: Way, who: &Thing, is_host: bool) -> bool {
        for (tier, passes_at_end) in self.tiers() {
            let policies = self.policies(&tier);
            let policies: Vec<&Value> = policies
                .into_iter()
                .filter(|policy| self.applies(policy, way, who))
                .collect();
            if policies.is_empty() {
                continue;
            }
            let mut said = policies.iter().map(|policy| self.says(policy, way, flow));
            match said.find(|say| *say != Say::Nothing) {
                Some(Say::Allow) => return true,
                Some(Say::Deny) => return false,
                Some(_) => {}
                None if passes_at_end => {}
                None => return false,
            }
        }
        if who.profiles.is_empty() {
            return !is_host;
        }
        let mut said = who.profiles.iter().map(|name| {
            let profile = self
                .applied
                .iter()
                .find(|v| v["kind"] == "Profile" && v["metadata"]["name"] == name.as_str());
            profile.map_or(Say::Nothing, |profile| {
                calico::rules(self, profile, way, flow)
            })
        });
        said.find(|say| *say != Say::Nothing) == Some(Say::Allow)
    }

    fn applies(&self, policy: &Value, way: Way, who: &Thing) -> bool {
        match is_kubernetes(policy) {
            true => kubernetes::applies(policy, way, who),
            false => calico::applies(self, policy, way, who),
        }
    }

    fn says(&self, policy: &Value, way: Way, flow: &Flow) -> Say {
        match is_kubernetes(policy) {
            true => kubernetes::says(self, policy, way, flow),
            false => calico::rules(self, policy, way, flow),
        }
    }

    /// Names of tiers in order, and whether packets pass their ends.
    fn tiers(&self) -> Vec<(String, bool)> {
        let mut names: Vec<String> = self.applied.iter().filter_map(tier_of).collect();
        names.sort();
        names.dedup();
        let written = |name: &str| {
            let mut tiers = self.applied.iter().filter(|v| v["kind"] == "Tier");
            tiers.find(|v| v["metadata"]["name"] == name)
        };
        let order = |name: &String| {
            let order = written(name).and_then(|tier| tier["spec"]["order"].as_f64());
            order.unwrap_or(f64::INFINITY)
        };
        names.sort_by(|a, b| order(a).total_cmp(&order(b)));
        let passes =
            |name: &str| written(name).is_some_and(|tier| tier["spec"]["defaultAction"] == "Pass");
        names
            .into_iter()
            .map(|name| (name.clone(), passes(&name)))
            .collect()
    }

    /// A tier's policies in order.
    fn policies(&self, tier: &str) -> Vec<&Value> {
        let of_tier = |policy: &&Value| tier_of(policy).as_deref() == Some(tier);
        let mut policies: Vec<&Value> = self.applied.iter().filter(of_tier).collect();
        let name = |policy: &Value| {
            let name = policy["metadata"]["name"].as_str().unwrap();
            match is_kubernetes(policy) {
                true => format!("knp.default.{name}"),
                false => name.to_owned(),
            }
        };
        let order = |policy: &Value| match is_kubernetes(policy) {
            true => 1000.0,
            false => policy["spec"]["order"].as_f64().unwrap_or(f64::INFINITY),
        };
        policies.sort_by_key(|policy| name(policy));
        policies.sort_by(|a, b| order(a).total_cmp(&order(b)));
        policies
    }
}

fn tier_of(value: &Value) -> Option<String> {
    let kind = value["kind"].as_str()?;
    ["NetworkPolicy", "GlobalNetworkPolicy"]
        .contains(&kind)
        .then(|| {
            value["spec"]["tier"]
                .as_str()
                .unwrap_or("default")
                .to_owned()
        })
}

fn is_kubernetes(value: &Value) -> bool {
    value["apiVersion"] == "networking.k8s.io/v1"
}

pub fn texts(value: &Value) -> Labels {
    let map = value.as_object().cloned().unwrap_or_default();
    let texts = map.into_iter();
    texts
        .map(|(key, value)| (key, value.as_str().unwrap().to_owned()))
        .collect()
}

pub fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}

/// Whether an address is in a network.
pub fn within(ip: IpAddr, (net, length): (IpAddr, u8)) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    let same = bits(ip) ^ bits(net);
    ip.is_ipv4() == net.is_ipv4() && (length == 0 || same >> (128 - u32::from(length)) == 0)
}

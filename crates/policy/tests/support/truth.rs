//! Truth tables: resources, and who reaches whom under them, as files that people read and write.
//!
//! A file is plain YAML as `tombolo apply -f` takes it, of any dialect. Comments that begin with `#:`
//! say what is around it and what is expected:
//!
//! ```text
//! #: pod x/a role=web port:http=TCP/80 profiles:p,q    further labels, ports, profiles; or a new pod
//! #: pod y/b !pod ip:10.32.9.9                         without a label, with another address
//! #: namespace x team=blue                             further labels of a namespace
//! #: outside cloud 192.0.2.7                           somebody outside, by address
//! #: probe TCP 80, TCP 81, SCTP 80, ICMP               what is sent, in place of the custom
//! #: ipv6                                              the same in IPv6, too
//! #: deny  * -> x/a, x/b TCP 80                        at first everything is allowed; the last
//! #: allow y/*, cloud -> x/a TCP                       line that is about a flow decides
//! ```
//!
//! As is the custom in the field, there are the namespaces x, y, z (labelled `ns: x` and so on), each
//! with the pods a, b, c (labelled `pod: a` and so on), all on node `n1` and in network `pods`, and
//! each pod serves ports 80 and 81 on TCP and UDP. Its ports are named `serve-80-tcp` and so on, for
//! SCTP too. `host:n1` and `host:n2` are the nodes themselves; they and who is outside take part only
//! where a line names them. What somebody sends to himself is not looked at.
//!
//! This file knows nothing of the evaluator: what compares, brings its own answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tombolo_model::{AnyResource, KindName, World, parse};

/// A truth table.
pub struct Truth {
    /// The file's name without its ending.
    pub name: String,
    /// What it is about: the comment that it begins with.
    pub about: String,
    /// The resources as they are written, which is what one would apply.
    pub text: String,
    /// Who takes part, pods first.
    pub pods: Vec<Pod>,
    /// Labels of namespaces.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Others who take part: nodes and addresses.
    pub others: Vec<Other>,
    /// What is sent.
    pub probes: Vec<Probe>,
    /// Whether the same holds in IPv6.
    pub ipv6: bool,
    statements: Vec<Statement>,
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub ip: IpAddr,
    pub ip6: IpAddr,
    /// Name, protocol, number.
    pub ports: Vec<(String, String, u16)>,
    pub profiles: Vec<String>,
    pub node: String,
    pub network: String,
}

/// Somebody who is no pod.
#[derive(Clone, Debug)]
pub struct Other {
    /// As lines name it: `cloud`, `host:n1`.
    pub name: String,
    pub ip: IpAddr,
    /// The node, if it is one.
    pub node: Option<String>,
}

/// A packet that is sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// Protocol and destination port.
    Port(String, u16),
    /// Type and code of ICMP (in IPv6 the echo request is another).
    Icmp(u8, u8),
}

#[derive(Debug)]
struct Statement {
    allowed: bool,
    from: Vec<String>,
    to: Vec<String>,
    traffic: Vec<String>,
}

/// To whom, whether it is expected to arrive, and whether it does.
type Cell<'a> = (&'a str, bool, bool);

/// Nodes of every table, with their addresses.
pub const NODES: [(&str, &str); 2] = [("n1", "192.168.50.1"), ("n2", "192.168.50.2")];
/// What is sent where a table does not say it.
const CUSTOM: &str = "TCP 80, TCP 81, UDP 80, UDP 81";

/// Every table of the crate, in order of name. The folder is found from that of a crate beside.
pub fn tables(manifest: &str) -> Vec<Truth> {
    let root = Path::new(manifest);
    let beside = [
        "tests/cases",
        "../crates/policy/tests/cases",
        "../policy/tests/cases",
    ];
    let folder = beside.iter().map(|path| root.join(path));
    let folder = folder
        .filter(|path| path.is_dir())
        .find(|path| !yaml(path).is_empty());
    let files = yaml(&folder.expect("the tables are there"));
    files.iter().map(|file| Truth::read(file)).collect()
}

fn yaml(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    paths.sort();
    paths
}

/// The nine pods.
pub fn custom_pods() -> Vec<Pod> {
    let mut pods = Vec::new();
    for (i, namespace) in ["x", "y", "z"].into_iter().enumerate() {
        for (j, name) in ["a", "b", "c"].into_iter().enumerate() {
            let (i, j) = (i + 1, 10 + 30 * j);
            pods.push(Pod::new(namespace, name, &format!("10.32.{i}.{j}")));
        }
    }
    pods
}

/// The labels of the three namespaces.
pub fn custom_namespaces() -> BTreeMap<String, BTreeMap<String, String>> {
    let labels = |name: &str| BTreeMap::from([("ns".to_owned(), name.to_owned())]);
    let names = ["x", "y", "z"].into_iter();
    names.map(|name| (name.to_owned(), labels(name))).collect()
}

impl Pod {
    pub fn new(namespace: &str, name: &str, ip: &str) -> Pod {
        let ports = [("tcp", "TCP"), ("udp", "UDP"), ("sctp", "SCTP")];
        let ports = ports.iter().flat_map(|(word, protocol)| {
            [80, 81].map(|port| (format!("serve-{port}-{word}"), (*protocol).to_owned(), port))
        });
        Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            labels: BTreeMap::from([("pod".to_owned(), name.to_owned())]),
            ip: ip.parse().unwrap(),
            ip6: format!("fd32::{}", ip.replace('.', ":")).parse().unwrap(),
            ports: ports.collect(),
            profiles: Vec::new(),
            node: "n1".to_owned(),
            network: "pods".to_owned(),
        }
    }

    /// As lines name it.
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn change(&mut self, word: &str) {
        if let Some(label) = word.strip_prefix('!') {
            assert!(
                self.labels.remove(label).is_some(),
                "there is no label {label}"
            );
        } else if let Some(port) = word.strip_prefix("port:") {
            let (name, rest) = port.split_once('=').expect("port:NAME=PROTOCOL/NUMBER");
            let (protocol, number) = rest.split_once('/').expect("port:NAME=PROTOCOL/NUMBER");
            self.ports
                .push((name.into(), protocol.into(), number.parse().unwrap()));
        } else if let Some(profiles) = word.strip_prefix("profiles:") {
            self.profiles = profiles.split(',').map(str::to_owned).collect();
        } else if let Some(ip) = word.strip_prefix("ip:") {
            self.ip = ip.parse().unwrap();
        } else if let Some(node) = word.strip_prefix("node:") {
            self.node = node.to_owned();
        } else {
            let (label, value) = word.split_once('=').expect("LABEL=VALUE");
            self.labels.insert(label.into(), value.into());
        }
    }

    fn resource(&self) -> AnyResource {
        let port = |(name, protocol, port): &(String, String, u16)| serde_json::json!({ "name": name, "protocol": protocol, "port": port });
        let IpAddr::V4(ip) = self.ip else {
            panic!("the first address is IPv4")
        };
        let [_, _, c, d] = ip.octets();
        let value = serde_json::json!({
            "metadata": { "name": self.name, "namespace": self.namespace, "labels": self.labels },
            "spec": {
                "node": self.node, "network": self.network, "interface": "eth0", "sandbox": "",
                "containerID": self.title().replace('/', "-"), "handle": self.title().replace('/', "-"),
                "generation": 1, "addresses": [self.ip, self.ip6], "profiles": self.profiles,
                "mac": format!("02:00:00:00:{c:02x}:{d:02x}"),
                "namedPorts": self.ports.iter().map(port).collect::<Vec<_>>(),
            },
        });
        AnyResource::from_value(KindName::Endpoint, value).unwrap()
    }
}

impl Truth {
    fn read(file: &Path) -> Truth {
        let text = std::fs::read_to_string(file).expect("the table can be read");
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        Truth::parse(&name, &text)
    }

    /// Reads a table.
    pub fn parse(name: &str, text: &str) -> Truth {
        let comment = |line: &&str| line.starts_with('#') && !line.starts_with("#:");
        let about: Vec<&str> = text.lines().take_while(comment).collect();
        let mut truth = Truth {
            name: name.to_owned(),
            about: about.join(" ").replace('#', "").trim().to_owned(),
            text: text.to_owned(),
            pods: custom_pods(),
            namespaces: custom_namespaces(),
            others: Vec::new(),
            probes: CUSTOM.split(',').map(Probe::parse).collect(),
            ipv6: false,
            statements: Vec::new(),
        };
        for line in text.lines().filter_map(|line| line.strip_prefix("#:")) {
            truth.directive(line.trim());
        }
        assert!(
            !truth.about.is_empty(),
            "{name} does not say what it is about"
        );
        assert!(!truth.statements.is_empty(), "{name} expects nothing");
        truth.admit_nodes();
        truth
    }

    fn directive(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let mut words = rest.split_whitespace();
        match verb {
            "pod" => {
                let title = words.next().expect("a pod has a name");
                let known = self.pods.iter().position(|pod| pod.title() == title);
                let place = known.unwrap_or_else(|| {
                    let (namespace, name) = title.split_once('/').expect("NAMESPACE/NAME");
                    let ip = format!("10.32.9.{}", 100 + self.pods.len());
                    self.pods.push(Pod::new(namespace, name, &ip));
                    self.namespaces.entry(namespace.to_owned()).or_default();
                    self.pods.len() - 1
                });
                words.for_each(|word| self.pods[place].change(word));
            }
            "namespace" => {
                let name = words.next().expect("a namespace has a name");
                let labels = self.namespaces.entry(name.to_owned()).or_default();
                for word in words {
                    let (label, value) = word.split_once('=').expect("LABEL=VALUE");
                    labels.insert(label.into(), value.into());
                }
            }
            "outside" => {
                let (name, ip) = rest.split_once(' ').expect("NAME ADDRESS");
                self.others.push(Other {
                    name: name.to_owned(),
                    ip: ip.trim().parse().unwrap(),
                    node: None,
                });
            }
            "probe" => self.probes = rest.split(',').map(Probe::parse).collect(),
            "ipv6" => self.ipv6 = true,
            "allow" | "deny" => self
                .statements
                .push(Statement::parse(verb == "allow", rest)),
            _ => panic!("{}: {line:?} is no line of a table", self.name),
        }
    }

    /// Nodes take part if a line names them.
    fn admit_nodes(&mut self) {
        for (node, ip) in NODES {
            let name = format!("host:{node}");
            let mut named = self
                .statements
                .iter()
                .flat_map(|s| s.from.iter().chain(&s.to));
            if named.any(|party| *party == name) {
                self.others.push(Other {
                    name,
                    ip: ip.parse().unwrap(),
                    node: Some(node.to_owned()),
                });
            }
        }
        for statement in &self.statements {
            for party in statement.from.iter().chain(&statement.to) {
                let known = self.parties().any(|known| is_about(party, &known));
                assert!(known, "{}: {party} is nobody", self.name);
            }
            for traffic in &statement.traffic {
                let known = self.probes.iter().any(|probe| probe.is(traffic));
                assert!(known, "{}: {traffic} is not sent", self.name);
            }
        }
    }

    /// Everybody who takes part, by name.
    pub fn parties(&self) -> impl Iterator<Item = String> {
        let pods = self.pods.iter().map(Pod::title);
        pods.chain(self.others.iter().map(|other| other.name.clone()))
    }

    /// Every flow: from, to, what is sent, and whether it is expected to arrive.
    pub fn flows(&self) -> Vec<(String, String, Probe, bool)> {
        let mut flows = Vec::new();
        let is_outside = |name: &str| {
            let mut others = self.others.iter();
            others.any(|other| other.name == name && other.node.is_none())
        };
        for from in self.parties() {
            for to in self.parties() {
                if from == to || (is_outside(&from) && is_outside(&to)) {
                    continue;
                }
                for probe in &self.probes {
                    let about = |s: &&Statement| s.is_about(&from, &to, probe);
                    let last = self.statements.iter().rev().find(about);
                    let allowed = last.is_none_or(|statement| statement.allowed);
                    flows.push((from.clone(), to.clone(), probe.clone(), allowed));
                }
            }
        }
        flows
    }

    /// The World in which the table holds.
    pub fn world(&self) -> World {
        let file = format!("{}.yaml", self.name);
        let written = parse::parse(&file, &self.text).unwrap_or_else(|e| panic!("{e}"));
        let written = written.into_iter().map(|parsed| parsed.resource);
        world(&self.pods, &self.namespaces, written)
    }

    /// The rows of a table that differ, `.` for what arrives and `X` for what does not, expected and
    /// seen; empty if nothing differs.
    pub fn differences(&self, seen: impl Fn(&str, &str, &Probe) -> bool) -> String {
        let mut report = String::new();
        let mut rows: BTreeMap<(&Probe, &str), Vec<Cell>> = BTreeMap::new();
        let flows = self.flows();
        for (from, to, probe, expected) in &flows {
            let seen = seen(from, to, probe);
            let row = rows.entry((probe, from)).or_default();
            row.push((to, *expected, seen));
        }
        for ((probe, from), row) in rows {
            let wrong: BTreeSet<&str> = row
                .iter()
                .filter(|(_, expected, seen)| expected != seen)
                .map(|(to, ..)| *to)
                .collect();
            if !wrong.is_empty() {
                let text = |seen: bool| -> String {
                    let cells = row.iter().map(|cell| if seen { cell.2 } else { cell.1 });
                    cells
                        .map(|allowed| if allowed { '.' } else { 'X' })
                        .collect()
                };
                let _ = writeln!(
                    report,
                    "{} {probe} from {from}: expected {} seen {}, wrong to {wrong:?}",
                    self.name,
                    text(false),
                    text(true)
                );
            }
        }
        report
    }
}

/// Pods and namespaces on the nodes and the network of every table, and what is applied to them.
pub fn world(
    pods: &[Pod],
    namespaces: &BTreeMap<String, BTreeMap<String, String>>,
    written: impl IntoIterator<Item = AnyResource>,
) -> World {
    const BASE: &str = "
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.32.0.0/16}}
---
{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {name: pods6}, spec: {cidr: 'fd32::/64'}}
---
{apiVersion: tombolo.dev/v1, kind: Network, metadata: {name: pods}, spec: {
  driver: routed, transport: {type: direct}, pools: [pods, pods6]}}
";
    let mut world = parse::world("base.yaml", BASE).unwrap_or_else(|e| panic!("{e}"));
    for (node, ip) in NODES {
        let ip6 = format!("fd50::{}", ip.rsplit_once('.').unwrap().1);
        let address = |address: String| serde_json::json!({ "address": address, "interface": "eth0", "mtu": 1500 });
        let addresses = [address(format!("{ip}/24")), address(format!("{ip6}/64"))];
        let value = serde_json::json!({
            "metadata": { "name": node }, "spec": { "addresses": addresses },
        });
        world.put(AnyResource::from_value(KindName::Node, value).unwrap());
    }
    for (name, labels) in namespaces {
        let value = serde_json::json!({
            "metadata": { "name": name, "labels": labels }, "spec": {},
        });
        world.put(AnyResource::from_value(KindName::Namespace, value).unwrap());
    }
    for pod in pods {
        world.put(pod.resource());
    }
    for resource in written {
        world.put(resource);
    }
    world
}

impl Statement {
    /// `x/*, y/a -> z/a, z/b TCP 80, UDP`
    fn parse(allowed: bool, text: &str) -> Statement {
        let (from, to) = text.split_once("->").expect("FROM -> TO");
        let mut statement = Statement {
            allowed,
            from: from
                .split(',')
                .map(|party| party.trim().to_owned())
                .collect(),
            to: Vec::new(),
            traffic: Vec::new(),
        };
        for item in to.split(',').map(str::trim) {
            let is_traffic = item.starts_with(|c: char| c.is_ascii_uppercase());
            match (is_traffic, item.split_once(' ')) {
                (true, _) => statement.traffic.push(item.to_owned()),
                (false, None) => statement.to.push(item.to_owned()),
                (false, Some((party, traffic))) => {
                    statement.to.push(party.to_owned());
                    statement.traffic.push(traffic.trim().to_owned());
                }
            }
        }
        statement
    }

    fn is_about(&self, from: &str, to: &str, probe: &Probe) -> bool {
        self.from.iter().any(|party| is_about(party, from))
            && self.to.iter().any(|party| is_about(party, to))
            && (self.traffic.is_empty() || self.traffic.iter().any(|traffic| probe.is(traffic)))
    }
}

/// Whether a pattern as `x/*` is about somebody. `*` is every pod, and nobody else.
fn is_about(pattern: &str, party: &str) -> bool {
    if pattern == "*" {
        return party.contains('/');
    }
    if pattern == party {
        return true;
    }
    let (Some((namespace, name)), Some((of, own))) =
        (pattern.split_once('/'), party.split_once('/'))
    else {
        return false;
    };
    (namespace == "*" || namespace == of) && (name == "*" || name == own)
}

impl Probe {
    /// `TCP 80`, `ICMP` (an echo request), `ICMP 3/1`.
    fn parse(text: &str) -> Probe {
        let text = text.trim();
        let (protocol, rest) = text.split_once(' ').unwrap_or((text, "8/0"));
        match protocol {
            "ICMP" => {
                let (icmp_type, code) = rest.split_once('/').expect("TYPE/CODE");
                Probe::Icmp(icmp_type.parse().unwrap(), code.parse().unwrap())
            }
            _ => Probe::Port(protocol.to_owned(), rest.parse().unwrap()),
        }
    }

    /// Whether it is of what a line says: `TCP`, `TCP 80`, `ICMP 8/0`.
    fn is(&self, traffic: &str) -> bool {
        match self {
            Probe::Port(protocol, _) if traffic == protocol => true,
            Probe::Icmp(..) if traffic == "ICMP" => true,
            _ => *traffic == self.to_string(),
        }
    }
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Probe::Port(protocol, port) => write!(f, "{protocol} {port}"),
            Probe::Icmp(icmp_type, code) => write!(f, "ICMP {icmp_type}/{code}"),
        }
    }
}

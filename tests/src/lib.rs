//! Scenarios across crates, on the lab: what a cluster does, seen from outside.
//!
//! A [`Cluster`] is a lab whose hosts are nodes that joined by token, with the real programs. The
//! scenarios below `tests/` each read as a few lines; what they share is here. Everything that is
//! waited for is waited for by an event of the programs (an exit status, an answer), or by asking
//! again until a deadline where the kernel has no event to offer.

pub mod probe;
pub mod proxy;
pub mod runtime;

use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use tombolo_kernel::NetnsHandle;
use tombolo_lab::{Lab, LabSpec, Topology};

pub mod cnm;
pub mod daemons;
pub mod damage;
pub mod docker;
pub mod ground;
pub mod machine;
pub mod measuring;
pub mod network;
pub mod plugin;
pub mod random;
pub mod raw;
pub mod router;
pub mod speaker;
pub mod stage;
pub mod traffic;
pub mod troupe;

/// How long anything may take before a scenario fails, on a machine of usual speed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The variable that says how many times as long it may take here.
pub const PATIENCE: &str = "TOMBOLO_TEST_PATIENCE";

/// How long anything may take here.
#[must_use]
pub fn deadline() -> Duration {
    let times = std::env::var(PATIENCE)
        .ok()
        .and_then(|text| text.parse().ok());
    DEADLINE * times.unwrap_or(1)
}

/// A lab whose hosts are nodes of one cluster.
pub struct Cluster {
    /// The lab.
    pub lab: Lab,
}

/// How a cluster is to be, other than a dual-stack switch with an MTU of 1500.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Hosts.
    pub hosts: usize,
    /// How they are joined.
    pub topology: Topology,
    /// MTU of the wires.
    pub mtu: u32,
    /// Words for `tombolo init`.
    pub init: Vec<String>,
}

impl Shape {
    /// Hosts on one switch.
    #[must_use]
    pub fn hosts(hosts: usize) -> Shape {
        Shape {
            hosts,
            topology: Topology::Switch,
            mtu: 1500,
            init: Vec::new(),
        }
    }

    /// The same with another topology.
    #[must_use]
    pub fn topology(self, topology: Topology) -> Shape {
        Shape { topology, ..self }
    }

    /// The same with another MTU.
    #[must_use]
    pub fn mtu(self, mtu: u32) -> Shape {
        Shape { mtu, ..self }
    }

    /// The same with words for `tombolo init`.
    #[must_use]
    pub fn init(self, words: &[&str]) -> Shape {
        Shape {
            init: words.iter().map(ToString::to_string).collect(),
            ..self
        }
    }
}

/// The folder of the built programs: `$TOMBOLO_BIN_DIR`, else that of this test's own build.
#[must_use]
pub fn programs() -> PathBuf {
    let folder = std::env::var_os("TOMBOLO_BIN_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            let test = std::env::current_exe().expect("a test has a path");
            let deps = test.parent().expect("a test is in a folder");
            deps.parent().expect("and that in target's").to_owned()
        });
    let program = folder.join("tombolo");
    assert!(
        program.exists() && folder.join("tombolo-cni").exists(),
        "{} and tombolo-cni are not built: run `cargo build --workspace --bins` first",
        program.display()
    );
    folder
}

/// A lab under a name of its own, without nodes.
#[must_use]
pub fn lab(name: &str, shape: &Shape) -> Lab {
    let folder = programs();
    let mut spec = LabSpec::for_test(name);
    spec.hosts = (b'a'..)
        .take(shape.hosts)
        .map(|c| char::from(c).to_string())
        .collect();
    spec.topology = shape.topology;
    spec.mtu = shape.mtu;
    spec.tombolo = folder.join("tombolo");
    spec.cni = folder.join("tombolo-cni");
    Lab::up(spec).expect("the lab comes up")
}

impl Cluster {
    /// Raises a cluster: `a` is the first node, the others join it by token.
    #[must_use]
    pub fn up(name: &str, shape: &Shape) -> Cluster {
        Cluster::on(lab(name, shape), shape)
    }

    /// The same on a lab that is there already.
    #[must_use]
    pub fn on(lab: Lab, shape: &Shape) -> Cluster {
        let words: Vec<&str> = shape.init.iter().map(String::as_str).collect();
        Cluster::first(&lab, &words);
        let server = lab.address("a").expect("a has an address").to_string();
        for host in lab.hosts().iter().skip(1) {
            let token = lab.token("a").expect("a token is made");
            lab.join(host, &server, &token, &[])
                .expect("the node joins");
            lab.start_agent(host, &[]).expect("its agent starts");
        }
        let cluster = Cluster { lab };
        cluster.settle();
        cluster
    }

    /// A cluster of one node, `a`; the lab's other hosts are nobody's.
    #[must_use]
    pub fn alone(lab: Lab) -> Cluster {
        Cluster::first(&lab, &[]);
        Cluster { lab }
    }

    fn first(lab: &Lab, words: &[&str]) {
        lab.init("a", words).expect("the first node is made");
        lab.start_agent("a", &[]).expect("its agent starts");
        lab.ready("a").expect("the first node is ready");
    }

    /// Waits until every node's kernel holds the newest revision, and goes on doing so: a node that
    /// says something new makes a newer one.
    pub fn settle(&self) {
        let hosts: Vec<&str> = self.lab.hosts().iter().map(String::as_str).collect();
        self.settle_some(&hosts);
    }

    /// The same of some hosts, where others are no nodes.
    pub fn settle_some(&self, hosts: &[&str]) {
        let all = || -> Vec<i64> { hosts.iter().map(|host| self.revision(host)).collect() };
        self.until("the cluster is settled", || {
            let (revisions, again) = (all(), all());
            let same = revisions.windows(2).all(|pair| pair[0] == pair[1]);
            (same && revisions == again).then_some(())
        });
    }

    fn revision(&self, host: &str) -> i64 {
        self.lab.ready(host).expect("the node is ready");
        self.status(host)["appliedRevision"]
            .as_i64()
            .expect("a revision is a number")
    }

    /// `tombolo status -o json` of a host.
    #[must_use]
    pub fn status(&self, host: &str) -> Value {
        self.json(host, &["status", "-o", "json"])
    }

    /// What a `tombolo` command with `-o json` answers.
    #[must_use]
    pub fn json(&self, host: &str, words: &[&str]) -> Value {
        let text = self.lab.tombolo(host, words).expect("the command succeeds");
        serde_json::from_str(&text).expect("its answer is JSON")
    }

    /// Applies resources from text.
    ///
    /// # Panics
    /// They are refused.
    pub fn apply(&self, host: &str, yaml: &str) {
        self.try_apply(host, yaml)
            .expect("the resources are applied");
    }

    /// Applies resources from text.
    ///
    /// # Errors
    /// What the command said.
    pub fn try_apply(&self, host: &str, yaml: &str) -> Result<String, String> {
        let script =
            format!("cat > /run/apply.yaml <<'END'\n{yaml}\nEND\ntombolo apply -f /run/apply.yaml");
        self.lab
            .output(host, &["sh", "-c", &script])
            .map_err(|error| error.to_string())
    }

    /// Makes a container and attaches it to a network, and answers its addresses.
    #[must_use]
    pub fn container(&self, host: &str, name: &str, network: &str) -> Vec<String> {
        self.container_with(host, name, &Lab::config(network))
    }

    /// The same with a whole configuration.
    #[must_use]
    pub fn container_with(&self, host: &str, name: &str, config: &Value) -> Vec<String> {
        self.lab.container(host, name).expect("a container is made");
        let result = self.lab.attach(host, name, config).expect("it is attached");
        addresses(&result)
    }

    /// Makes a container and attaches it as somebody whose addresses stay its own wherever it is, and
    /// answers them.
    ///
    /// # Panics
    /// It cannot be made, or is not attached.
    #[must_use]
    pub fn container_as(&self, host: &str, name: &str, identity: &str) -> Vec<String> {
        self.lab.container(host, name).expect("a container is made");
        self.attach_as(host, name, identity)
    }

    /// The same of a container that is there.
    ///
    /// # Panics
    /// It is not attached.
    #[must_use]
    pub fn attach_as(&self, host: &str, name: &str, identity: &str) -> Vec<String> {
        let netns = format!("/run/netns/{name}");
        let words = ["attach", "--netns", &netns, "--container", name];
        let words = [&words[..], &["--identity", identity, "-o", "json"]].concat();
        let attached = self.json(host, &words);
        let all = attached["addresses"].as_array().expect("it has addresses");
        let address = |one: &Value| {
            let text = one["address"].as_str().expect("an address is text");
            text.split('/').next().unwrap_or_default().to_owned()
        };
        all.iter().map(address).collect()
    }

    /// Waits until everybody reaches everybody, since a route takes its time to be told, and then looks
    /// whether that stays so.
    pub fn until_all_reach_all(&self, containers: &[(String, Vec<String>)]) {
        for (from, _) in containers {
            for address in containers.iter().flat_map(|(_, addresses)| addresses) {
                self.until(&format!("{from} reaches {address}"), || {
                    self.pings(from, address).then_some(())
                });
            }
        }
        self.all_reach_all(containers);
    }

    /// Whether an address answers a ping, within a second.
    #[must_use]
    pub fn pings(&self, from: &str, address: &str) -> bool {
        self.ping(from, &["-c", "1", "-W", "1", address])
    }

    /// Whether a packet of exactly so many bytes, IP header included, gets there unfragmented.
    #[must_use]
    pub fn fits(&self, from: &str, address: &str, bytes: u32) -> bool {
        let headers = if address.contains(':') { 48 } else { 28 };
        let payload = (bytes - headers).to_string();
        self.ping(
            from,
            &["-c", "1", "-W", "1", "-M", "do", "-s", &payload, address],
        )
    }

    fn ping(&self, from: &str, words: &[&str]) -> bool {
        let mut argv = vec!["ping", "-q"];
        argv.extend(words);
        self.lab
            .exec(from, &argv)
            .expect("ping runs")
            .status
            .success()
    }

    /// Asserts that every container reaches every address, itself included.
    pub fn all_reach_all(&self, containers: &[(String, Vec<String>)]) {
        for (from, _) in containers {
            for (to, addresses) in containers {
                for address in addresses {
                    assert!(
                        self.pings(from, address),
                        "{from} does not reach {to} at {address}"
                    );
                }
            }
        }
    }

    /// Runs a shell command in a host or container and answers what it wrote.
    #[must_use]
    pub fn sh(&self, target: &str, script: &str) -> String {
        self.lab
            .output(target, &["sh", "-c", script])
            .expect("the command succeeds")
    }

    /// Runs a shell command that may fail.
    #[must_use]
    pub fn try_sh(&self, target: &str, script: &str) -> Output {
        self.lab
            .exec(target, &["sh", "-c", script])
            .expect("the shell runs")
    }

    /// Does something inside a container, as `a/c1`, for instance makes a socket, which stays of there.
    ///
    /// # Panics
    /// There is no such container.
    pub fn inside<T: Send>(&self, place: &str, work: impl FnOnce() -> T + Send) -> T {
        let (host, name) = place.split_once('/').expect("a host and a container");
        let path = self.file(host, &format!("/run/netns/{name}"));
        let netns = NetnsHandle::open(path).expect("the container is there");
        netns.run(work).expect("its namespace can be entered")
    }

    /// Where a file of a host is, for this process.
    #[must_use]
    pub fn file(&self, host: &str, path: &str) -> PathBuf {
        let host = self.lab.host(host).expect("there is such a host");
        PathBuf::from(format!("/proc/{}/root{path}", host.process.pid))
    }

    /// Asks again and again until there is an answer, and fails after the deadline.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(
                begun.elapsed() < deadline(),
                "in vain waited until {what}\n{}",
                self.logs()
            );
            std::thread::yield_now();
        }
    }

    /// The last lines of every agent's log, for a failure's report.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for host in self.lab.hosts() {
            let output = self.try_sh(host, "tail -n 25 /run/tombolo/agent.log; tombolo status");
            text.push_str(&format!(
                "--- {host}\n{}",
                String::from_utf8_lossy(&output.stdout)
            ));
        }
        text
    }
}

/// The addresses of a CNI result, without their prefix lengths.
#[must_use]
pub fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ips.iter()
        .filter_map(|ip| ip["address"].as_str()?.split('/').next().map(str::to_owned))
        .collect()
}

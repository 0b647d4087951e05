//! How long a container waits for its network: whole processes of ADD and DEL, one at a time and
//! two hundred at once, ours beside the reference plugins `ptp` and `bridge` with `host-local`.
//!
//! Each contender has a host of one lab to itself: ours with an agent that has the embedded store,
//! the peers' with nothing that would wake up when they work. Each is given one IPv4 address, a
//! default route and masquerading. The clock runs from the start of the process to its end, by a
//! runtime that sits inside the host; network namespaces are made before and removed after.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tombolo_benches::{Figure, Goal, Inside, Report, interleave, milliseconds, serve};
use tombolo_kernel::NetnsHandle;
use tombolo_lab::Lab;
use tombolo_tests::{Shape, lab, programs};

/// Rounds of one container each.
const ROUNDS: usize = 40;
/// Rounds of many containers at once.
const CROWDS: usize = 3;
/// How many that is.
const CROWD: usize = 200;
/// Where Debian's containernetworking-plugins are.
const REFERENCE: &str = "/usr/lib/cni";

/// What the runtime inside a host is asked.
#[derive(Serialize, Deserialize)]
struct Question {
    plugin: Plugin,
    /// How many, all at once.
    containers: usize,
    /// What their names begin with.
    prefix: String,
    /// Whether their namespaces are removed before the answer.
    remove: bool,
}

/// How long it took from the first process's start to the last one's end, in milliseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Took {
    add: f64,
    del: f64,
}

/// A plugin as a runtime knows it.
#[derive(Clone, Serialize, Deserialize)]
struct Plugin {
    folder: String,
    config: Value,
}

impl Plugin {
    /// One of the reference plugins, in a range of its own.
    fn reference(kind: &str, subnet: &str, more: &Value) -> Plugin {
        let mut config = json!({
            "cniVersion": "1.0.0", "name": kind, "type": kind, "ipMasq": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]],
                     "routes": [{"dst": "0.0.0.0/0"}]},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        Plugin {
            folder: REFERENCE.to_owned(),
            config,
        }
    }

    /// Ours, on a network.
    fn ours(network: &str) -> Plugin {
        Plugin {
            folder: programs().display().to_string(),
            config: Lab::config(network),
        }
    }

    /// Starts the plugin for a container.
    fn start(&self, verb: &str, container: &str, previous: Option<&Value>) -> Result<Child> {
        let kind = self.config["type"]
            .as_str()
            .context("a plugin has a type")?;
        let mut config = self.config.clone();
        if let Some(previous) = previous {
            config["prevResult"] = previous.clone();
        }
        let mut child = Command::new(format!("{}/{kind}", self.folder))
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("CNI_PATH", &self.folder),
                ("CNI_COMMAND", verb),
                ("CNI_CONTAINERID", container),
                ("CNI_NETNS", &path(container)),
                ("CNI_IFNAME", "eth0"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("run {kind}"))?;
        let mut input = child.stdin.take().context("its input is piped")?;
        // A plugin that ends without reading says why on its output.
        let _ = input.write_all(config.to_string().as_bytes());
        Ok(child)
    }
}

fn path(container: &str) -> String {
    format!("/run/netns/{container}")
}

/// Waits for a plugin's end: its result.
fn finish(child: Child) -> Result<Value> {
    let output = child.wait_with_output().context("wait for a plugin")?;
    ensure!(
        output.status.success(),
        "a plugin failed: {} {}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.stdout.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).context("read a plugin's result")
}

/// The runtime's part, inside a host: namespaces, all ADDs at once, all DELs at once.
fn answer(question: &Question) -> Result<Took> {
    let plugin = &question.plugin;
    let names: Vec<String> = (0..question.containers)
        .map(|n| format!("{}-{n}", question.prefix))
        .collect();
    for name in &names {
        NetnsHandle::create_at(path(name))?;
    }
    let mut results = Vec::new();
    let add = milliseconds(|| {
        let started: Result<Vec<Child>> = names
            .iter()
            .map(|name| plugin.start("ADD", name, None))
            .collect();
        results = started?.into_iter().map(finish).collect::<Result<_>>()?;
        Ok(())
    })?;
    let addresses: BTreeSet<&str> = results
        .iter()
        .filter_map(|result: &Value| result["ips"][0]["address"].as_str())
        .collect();
    ensure!(
        addresses.len() == names.len(),
        "{} containers have {} addresses",
        names.len(),
        addresses.len()
    );
    let del = milliseconds(|| {
        let started: Result<Vec<Child>> = names
            .iter()
            .zip(&results)
            .map(|(name, result)| plugin.start("DEL", name, Some(result)))
            .collect();
        started?
            .into_iter()
            .try_for_each(|child| finish(child).map(drop))
    })?;
    if question.remove {
        names
            .iter()
            .try_for_each(|name| NetnsHandle::delete(path(name)))?;
    }
    Ok(Took { add, del })
}

/// A contender: a plugin and the runtime in its host.
struct Contender {
    plugin: Plugin,
    inside: Inside,
    turns: usize,
}

impl Contender {
    fn new(lab: &Lab, host: &str, plugin: Plugin) -> Result<Contender> {
        let inside = Inside::start(lab, host)?;
        let mut contender = Contender {
            plugin,
            inside,
            turns: 0,
        };
        // The first makes what the others find: a block, a bridge, chains.
        contender
            .run(1)
            .with_context(|| format!("on host {host}"))?;
        Ok(contender)
    }

    /// The kernel takes a removed namespace apart in its own time, under locks that the next
    /// contender wants. So that of a single container stays until the lab ends; of a crowd it is
    /// removed, which is little beside what a crowd takes, and would be much memory.
    fn run(&mut self, containers: usize) -> Result<Took> {
        self.turns += 1;
        self.inside.ask(&Question {
            plugin: self.plugin.clone(),
            containers,
            prefix: format!(
                "{}{}",
                self.plugin.config["name"].as_str().unwrap_or_default(),
                self.turns
            ),
            remove: containers > 1,
        })
    }
}

/// A network with one pool for each family, beside the first one, which has IPv4 alone.
const DUAL: &str = "apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: dual-v4}
spec: {cidr: 10.245.0.0/16, natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: IPPool
metadata: {name: dual-v6}
spec: {cidr: 'fd00:245::/64', natOutgoing: true}
---
apiVersion: tombolo.dev/v1
kind: Network
metadata: {name: dual}
spec: {driver: routed, transport: {type: vxlan, vni: 4097}, pools: [dual-v4, dual-v6]}
";

/// Raises ours on the first host of a lab.
fn node(lab: &Lab) -> Result<()> {
    lab.init("a", &["--pool", "10.244.0.0/16"])?;
    lab.start_agent("a", &[])?;
    let script =
        format!("cat > /run/dual.yaml <<'END'\n{DUAL}END\ntombolo apply -f /run/dual.yaml");
    lab.ready("a")?;
    lab.output("a", &["sh", "-c", &script])?;
    lab.ready("a")?;
    Ok(())
}

fn adds(took: &[Took]) -> Vec<f64> {
    took.iter().map(|took| took.add).collect()
}

fn dels(took: &[Took]) -> Vec<f64> {
    took.iter().map(|took| took.del).collect()
}

/// Containers per second.
fn rates(milliseconds: &[f64]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "it is a few hundred")]
    milliseconds
        .iter()
        .map(|ms| CROWD as f64 * 1000.0 / ms)
        .collect()
}

/// One container at a time.
fn alone(report: &mut Report, lab: &Lab, [ours, ptp, bridge]: &mut [Contender; 3]) -> Result<()> {
    let mut dual = Contender::new(lab, "a", Plugin::ours("dual"))?;
    let [o, d, p, b] = interleave(
        ROUNDS,
        [
            &mut || ours.run(1),
            &mut || dual.run(1),
            &mut || ptp.run(1),
            &mut || bridge.run(1),
        ],
    )?;
    let third = Goal::RatioAtMost(0.33);
    let half = Goal::RatioAtMost(0.5);
    report.add(Figure::beside("ADD", "ms", &adds(&o), ("ptp", &adds(&p))).goal(third));
    report.add(Figure::beside(
        "ADD",
        "ms",
        &adds(&o),
        ("bridge", &adds(&b)),
    ));
    report.add(Figure::beside("DEL", "ms", &dels(&o), ("ptp", &dels(&p))).goal(half));
    report.add(Figure::beside(
        "DEL",
        "ms",
        &dels(&o),
        ("bridge", &dels(&b)),
    ));
    report.add(Figure::alone("ADD, IPv4 and IPv6", "ms", &adds(&d)));
    report.add(Figure::alone("DEL, IPv4 and IPv6", "ms", &dels(&d)));
    Ok(())
}

/// Many containers at once.
fn crowded(report: &mut Report, [ours, ptp, bridge]: &mut [Contender; 3]) -> Result<()> {
    let [o, p, b] = interleave(
        CROWDS,
        [&mut || ours.run(CROWD), &mut || ptp.run(CROWD), &mut || {
            bridge.run(CROWD)
        }],
    )?;
    for (name, took) in [("ptp", &p), ("bridge", &b)] {
        let (add, peers) = (rates(&adds(&o)), rates(&adds(took)));
        report.add(Figure::beside(
            "200 ADDs at once",
            "1/s",
            &add,
            (name, &peers),
        ));
        let (del, peers) = (rates(&dels(&o)), rates(&dels(took)));
        report.add(Figure::beside(
            "200 DELs at once",
            "1/s",
            &del,
            (name, &peers),
        ));
    }
    Ok(())
}

fn main() -> Result<ExitCode> {
    if let Some(code) = serve(|question: Question| answer(&question)) {
        return Ok(code);
    }
    ensure!(
        std::path::Path::new(REFERENCE).join("ptp").exists(),
        "{REFERENCE}/ptp is missing: install containernetworking-plugins"
    );
    let lab = lab("bench-cni", &Shape::hosts(3));
    node(&lab)?;
    let ptp = Plugin::reference("ptp", "10.77.0.0/16", &json!({}));
    let more = json!({"bridge": "cni0", "isGateway": true});
    let bridge = Plugin::reference("bridge", "10.78.0.0/16", &more);
    let mut contenders = [
        Contender::new(&lab, "a", Plugin::ours("default"))?,
        Contender::new(&lab, "b", ptp)?,
        Contender::new(&lab, "c", bridge)?,
    ];
    let mut report = Report::new("cni");
    alone(&mut report, &lab, &mut contenders)?;
    crowded(&mut report, &mut contenders)?;
    report.finish()?;
    Ok(ExitCode::SUCCESS)
}

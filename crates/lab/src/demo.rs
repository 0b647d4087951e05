//! The demo: three hosts, six containers, one network, and what happens to them.
//!
//! Every step runs the real programs, and every figure is measured while it is shown. Flows of
//! numbered datagrams run between containers during the faults, so that the loss is a count and
//! not an impression.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::measure::{Flow, ping, throughput};
use crate::{Lab, LabError, LabSpec};

/// How long a repair or a change may take.
const LIMIT: Duration = Duration::from_secs(15);
/// How often speeds are measured.
const ROUNDS: usize = 5;
/// Datagrams a second in each flow.
const RATE: u32 = 500;

/// Runs the demo and prints what it does.
///
/// # Errors
/// A step fails; the lab is taken down all the same.
pub fn run(mut spec: LabSpec) -> Result<(), LabError> {
    let begun = Instant::now();
    spec.hosts = ["a", "b", "c"].map(str::to_owned).to_vec();
    spec.bound_to_parent = true;
    let mut demo = Demo {
        lab: step("three hosts on one switch", || Lab::up(spec))?,
        containers: Vec::new(),
    };
    demo.join_hosts()?;
    demo.attach_containers()?;
    demo.show_matrix()?;
    demo.show_speed()?;
    demo.show_faults()?;
    step("everything is taken down", || demo.lab.down())?;
    println!(
        "\n{:.0} s in all. Nothing is left on this machine.",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

struct Demo {
    lab: Lab,
    containers: Vec<Container>,
}

struct Container {
    /// `a/c1`.
    place: String,
    addresses: Vec<IpAddr>,
}

/// Does a step and says how long it took.
fn step<T>(what: &str, work: impl FnOnce() -> Result<T, LabError>) -> Result<T, LabError> {
    print!("  {what:<58}");
    // A line that is not shown yet is only less pretty.
    let _ = std::io::stdout().flush();
    let begun = Instant::now();
    let outcome = work();
    let seconds = begun.elapsed().as_secs_f64();
    match &outcome {
        Ok(_) => println!("{seconds:6.2} s"),
        Err(_) => println!("failed after {seconds:.2} s"),
    }
    outcome
}

impl Demo {
    fn join_hosts(&self) -> Result<(), LabError> {
        step("a: tombolo init, tombolo agent", || {
            self.lab.init("a", &[])?;
            self.lab.start_agent("a", &[])?;
            self.lab.ready("a")
        })?;
        let server = self.lab.address("a")?.to_string();
        for host in ["b", "c"] {
            step(
                &format!("{host}: tombolo join {server} --token …, tombolo agent"),
                || {
                    let token = self.lab.token("a")?;
                    self.lab.join(host, &server, &token, &[])?;
                    self.lab.start_agent(host, &[])?;
                    self.lab.ready(host)
                },
            )?;
        }
        Ok(())
    }

    fn attach_containers(&mut self) -> Result<(), LabError> {
        let lab = &self.lab;
        self.containers = step("two containers on each host, by CNI ADD", || {
            let mut all = Vec::new();
            for host in lab.hosts() {
                for name in ["c1", "c2"] {
                    lab.container(host, name)?;
                    let result = lab.attach(host, name, &Lab::config("default"))?;
                    all.push(Container {
                        place: format!("{host}/{name}"),
                        addresses: addresses(&result),
                    });
                }
            }
            for host in lab.hosts() {
                lab.ready(host)?;
            }
            Ok(all)
        })?;
        Ok(())
    }

    fn show_matrix(&self) -> Result<(), LabError> {
        println!("\nWho reaches whom (IPv4 and IPv6: ✓✓)\n");
        print!("  {:<8}", "");
        for to in &self.containers {
            print!("{:>7}", to.place);
        }
        println!();
        for from in &self.containers {
            print!("  {:<8}", from.place);
            for to in &self.containers {
                let mut cell = String::new();
                for address in &to.addresses {
                    let answered = ping(&self.lab, from.place.as_str(), *address, 1)?.received == 1;
                    cell.push(if answered { '✓' } else { '✗' });
                }
                print!("{cell:>7}");
            }
            let addresses: Vec<String> = from.addresses.iter().map(ToString::to_string).collect();
            println!("   {}", addresses.join("  "));
        }
        Ok(())
    }

    /// Latency and throughput between two hosts, and between containers on them: in turns, since the
    /// machine's own speed drifts.
    fn show_speed(&self) -> Result<(), LabError> {
        println!(
            "\nFrom host a to host b, medians of {ROUNDS} rounds in turns with the bare hosts\n\n  {:<22}{:>12}{:>16}",
            "", "latency", "one TCP stream"
        );
        let vxlan = self.rounds()?;
        self.set_transport("direct")?;
        let direct = self.rounds()?;
        self.set_transport("vxlan")?;
        show_speed("bare hosts", &direct[0], direct[0].rate);
        show_speed("containers, direct", &direct[1], direct[0].rate);
        show_speed("containers, vxlan", &vxlan[1], vxlan[0].rate);
        Ok(())
    }

    /// Medians of the bare hosts and of containers on them.
    fn rounds(&self) -> Result<[Speed; 2], LabError> {
        let (mut hosts, mut containers) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            hosts.push(self.speed("a", "b", self.lab.address("b")?)?);
            containers.push(self.speed("a/c1", "b/c1", self.first("b/c1")?)?);
        }
        Ok([median(&hosts), median(&containers)])
    }

    fn speed(&self, from: &str, to: &str, address: IpAddr) -> Result<Speed, LabError> {
        let latency = ping(&self.lab, from, address, 300)?
            .median_us
            .unwrap_or(f64::NAN);
        let rate = throughput(&self.lab, from, to, address, 500)?;
        Ok(Speed { latency, rate })
    }

    fn first(&self, place: &str) -> Result<IpAddr, LabError> {
        let found = self
            .containers
            .iter()
            .find(|container| container.place == place);
        found
            .and_then(|container| container.addresses.first().copied())
            .ok_or_else(|| LabError::Demo(format!("container {place} has no address")))
    }

    fn show_faults(&self) -> Result<(), LabError> {
        println!(
            "\nUnder {RATE} datagrams a second from a/c1 to b/c1 and from b/c2 to c/c1\n\n  {:<44}{:>12}{:>10}{:>8}",
            "", "until well", "sent", "lost"
        );
        let block = "ip route del $(ip route show proto 84 dev tbx4096 | head -n1 | cut -d' ' -f1)";
        let fdb = "bridge fdb show dev tbx4096 | head -n1 | (read mac rest; bridge fdb del $mac dev tbx4096)";
        self.fault("agent of b killed (SIGKILL) and started", || {
            self.lab.kill_agent("b")?;
            self.lab.start_agent("b", &[])?;
            self.lab.ready("b")
        })?;
        self.damage(
            "a route to another host's block deleted",
            "b",
            block,
            "ip route show proto 84",
        )?;
        self.damage(
            "an FDB entry of the tunnel deleted",
            "b",
            fdb,
            "bridge fdb show dev tbx4096",
        )?;
        self.damage(
            "the nftables table deleted",
            "b",
            "nft delete table inet tombolo",
            "nft list tables",
        )?;
        self.fault("transport changed: vxlan → direct", || {
            self.set_transport("direct")
        })?;
        self.fault("transport changed: direct → vxlan", || {
            self.set_transport("vxlan")
        })?;
        println!(
            "\n  A route or FDB entry that is deleted leaves a gap until it is back; that is the loss above.\n  What we do ourselves loses nothing."
        );
        Ok(())
    }

    /// Runs something under traffic, and prints how long it took and what was lost.
    fn fault(
        &self,
        what: &str,
        work: impl FnOnce() -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let flows = [("a/c1", "b/c1"), ("b/c2", "c/c1")];
        let started: Result<Vec<Flow>, LabError> = flows
            .into_iter()
            .map(|(from, to)| Flow::start(&self.lab, from, to, self.first(to)?, RATE))
            .collect();
        let started = started?;
        let begun = Instant::now();
        work()?;
        let time = begun.elapsed();
        let (mut sent, mut lost) = (0, 0);
        for flow in started {
            let count = flow.stop()?;
            sent += count.sent;
            lost += count.lost();
        }
        println!(
            "  {what:<44}{:>9.0} ms{sent:>10}{lost:>8}",
            time.as_secs_f64() * 1000.0
        );
        Ok(())
    }

    /// Damages a host's kernel, and waits until it shows the same as before.
    fn damage(&self, what: &str, host: &str, damage: &str, show: &str) -> Result<(), LabError> {
        let look = || -> Result<Vec<String>, LabError> {
            let text = self.lab.output(host, &["sh", "-c", show])?;
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            Ok(lines)
        };
        let before = look()?;
        self.fault(what, || {
            self.lab.output(host, &["sh", "-c", damage])?;
            let begun = Instant::now();
            while look()? != before {
                if begun.elapsed() > LIMIT {
                    return Err(LabError::Demo(format!(
                        "`{damage}` on {host} was not repaired"
                    )));
                }
            }
            Ok(())
        })
    }

    /// Changes the network's transport, and waits until every host sends by it and by no other.
    fn set_transport(&self, transport: &str) -> Result<(), LabError> {
        let yaml = format!(
            "apiVersion: tombolo.dev/v1\nkind: Network\nmetadata: {{name: default}}\nspec:\n  driver: routed\n  transport: {{type: {transport}}}\n  pools: [default-v4, default-v6]\n"
        );
        let script = format!(
            "cat > /run/network.yaml <<'END'\n{yaml}END\ntombolo apply -f /run/network.yaml"
        );
        self.lab.output("a", &["sh", "-c", &script])?;
        let begun = Instant::now();
        while !self.all_send_by(transport)? {
            if begun.elapsed() > LIMIT {
                return Err(LabError::Demo(format!(
                    "not every host sends by {transport}"
                )));
            }
        }
        Ok(())
    }

    fn all_send_by(&self, transport: &str) -> Result<bool, LabError> {
        for host in self.lab.hosts() {
            self.lab.ready(host)?;
        }
        let text = self.lab.tombolo("a", &["get", "nodes", "-o", "json"])?;
        let nodes: Value = serde_json::from_str(&text).map_err(|error| {
            LabError::Demo(format!("`tombolo get nodes` answered no JSON: {error}"))
        })?;
        let nodes = nodes.as_array().or_else(|| nodes["items"].as_array());
        Ok(nodes.is_some_and(|nodes| {
            nodes.iter().all(|node| {
                let sends = &node["status"]["networks"]["default"]["sends"];
                sends.as_array().is_some_and(|sends| {
                    !sends.is_empty() && sends.iter().all(|by| by["type"] == transport)
                })
            })
        }))
    }
}

/// A latency in microseconds, and a rate in bits per second.
#[derive(Clone, Copy)]
struct Speed {
    latency: f64,
    rate: f64,
}

fn median(speeds: &[Speed]) -> Speed {
    let middle = |figure: fn(&Speed) -> f64| {
        let mut figures: Vec<f64> = speeds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Speed {
        latency: middle(|s| s.latency),
        rate: middle(|s| s.rate),
    }
}

fn show_speed(name: &str, speed: &Speed, hosts: f64) {
    println!(
        "  {name:<22}{:>9.0} µs{:>11.1} Gbit/s   {:>4.0} % of the hosts'",
        speed.latency,
        speed.rate / 1e9,
        100.0 * speed.rate / hosts
    );
}

/// The addresses of a CNI result.
fn addresses(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    ips.iter()
        .filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok())
        .collect()
}

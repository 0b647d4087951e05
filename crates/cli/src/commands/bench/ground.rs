//! The lab on which everything is compared.
//!
//! ```text
//!  a, b   nodes with agents, and a container of each network on each
//!  c, d   bare hosts on the same switch, which know nothing of us
//! ```
//!
//! Each place has a measuring program of its own. The lab is bound to this process: the kernel ends
//! it, however we end.

use std::net::{IpAddr, SocketAddr};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tombolo_bench::{
    BenchError, Contender, Kind, Measured, Report, STATION, Skipped, Station, Trial, Window,
};
use tombolo_lab::{Lab, LabError, LabSpec, Running};

use super::candidates::Candidate;

/// How long it may take until containers of a network reach each other: routes may have to be told.
const PATIENCE: Duration = Duration::from_secs(20);

/// The bare hosts' name in the report.
const BARE: &str = "bare hosts";

/// A lab, and what was put on it.
pub(super) struct Ground {
    lab: Lab,
    ways: Vec<Way>,
    about: Vec<&'static str>,
    skipped: Vec<Skipped>,
}

impl Ground {
    /// Raises the lab and attaches containers. What the kernel lacks, and what does not come up, is
    /// noted and left out. `tell` is told what is being done.
    pub fn raise(candidates: &[Candidate], tell: &dyn Fn(&str)) -> Result<Ground> {
        tell("raising hosts");
        let lab = Lab::up(LabSpec::new(format!("bench-{}", std::process::id()), 4))?;
        let mut ground = Ground {
            lab,
            ways: Vec::new(),
            about: Vec::new(),
            skipped: Vec::new(),
        };
        let bare = ground.lab.address("d")?;
        let bare = Way::open(&ground.lab, BARE, ["c", "d"], bare)?;
        bare_reach(bare, &mut ground)?;
        tell("making nodes of two of them");
        ground.make_nodes()?;
        for candidate in candidates {
            tell(&candidate.name);
            let outcome = match candidate.lacks() {
                Some(why) => Err(anyhow::anyhow!("{why}")),
                None => ground.attach(candidate),
            };
            match outcome {
                Ok(way) => {
                    ground.ways.push(way);
                    ground.about.push(candidate.about());
                }
                Err(error) => ground.skipped.push(Skipped {
                    name: candidate.name.clone(),
                    why: format!("{error:#}"),
                }),
            }
        }
        Ok(ground)
    }

    fn make_nodes(&self) -> Result<(), LabError> {
        let lab = &self.lab;
        lab.init("a", &["--transport", "direct"])?;
        lab.start_agent("a", &[])?;
        lab.ready("a")?;
        let (server, token) = (lab.address("a")?.to_string(), lab.token("a")?);
        lab.join("b", &server, &token, &[])?;
        lab.start_agent("b", &[])?;
        lab.ready("b")
    }

    /// A network, a container of it on either node, and the way between them once it is one.
    fn attach(&self, candidate: &Candidate) -> Result<Way> {
        let lab = &self.lab;
        let script = format!(
            "cat > /run/bench.yaml <<'END'\n{}END\ntombolo apply -f /run/bench.yaml",
            candidate.resources
        );
        lab.output("a", &["sh", "-c", &script])?;
        let mut addresses = Vec::new();
        for host in ["a", "b"] {
            lab.container(host, &candidate.id)?;
            let result = lab.attach(host, &candidate.id, &Lab::config(&candidate.id))?;
            let address = result["ips"]
                .as_array()
                .and_then(|ips| ips.iter().find_map(address))
                .with_context(|| format!("CNI ADD gave no address: {result}"))?;
            addresses.push(address);
        }
        for host in ["a", "b"] {
            lab.ready(host)?;
        }
        let places = ["a", "b"].map(|host| format!("{host}/{}", candidate.id));
        let places = [places[0].as_str(), places[1].as_str()];
        let mut way = Way::open(lab, &candidate.name, places, addresses[1])?;
        way.await_reach()?;
        Ok(way)
    }

    /// Who takes part; the bare hosts are the first.
    pub fn contenders(&mut self) -> Vec<Box<dyn Contender + '_>> {
        let ways = self.ways.iter_mut();
        ways.map(|way| Box::new(way) as Box<dyn Contender + '_>)
            .collect()
    }

    /// Puts into the report what it knows of who took part and who did not.
    pub fn describe(&self, report: &mut Report) {
        for (entrant, about) in report.contenders.iter_mut().zip(&self.about) {
            (*about).clone_into(&mut entrant.about);
        }
        report.skipped.extend(self.skipped.iter().cloned());
    }
}

/// The bare hosts are what all is compared with: without them there is nothing to tell.
fn bare_reach(mut bare: Way, ground: &mut Ground) -> Result<()> {
    bare.await_reach()
        .context("the lab's hosts do not reach each other")?;
    ground.ways.push(bare);
    ground.about.push("no containers");
    Ok(())
}

/// The address of an element of `ips` in a CNI result.
fn address(ip: &Value) -> Option<IpAddr> {
    ip["address"].as_str()?.split('/').next()?.parse().ok()
}

/// A way from one place to another, with a measuring program at either end.
struct Way {
    name: String,
    near: Place,
    server: SocketAddr,
    token: String,
    _far: Place,
}

struct Place {
    station: Station<ChildStdin, ChildStdout>,
    // Ends the program when this is dropped.
    _running: Running,
}

impl Place {
    fn open(lab: &Lab, place: &str) -> Result<Place> {
        let program = lab.record().spec.tombolo.display().to_string();
        let mut running = lab.spawn(place, &[program.as_str(), STATION])?;
        let input = running.child.stdin.take().context("its input is piped")?;
        let output = running.child.stdout.take().context("its output is piped")?;
        Ok(Place {
            station: Station::new(input, output),
            _running: running,
        })
    }
}

impl Way {
    /// From the first place to the second, which has this address.
    fn open(lab: &Lab, name: &str, places: [&str; 2], address: IpAddr) -> Result<Way> {
        let [near, far] = places;
        let near = Place::open(lab, near)?;
        let mut far = Place::open(lab, far)?;
        let token = lab.record().spec.name.clone();
        let server = far.station.serve(address, &token)?;
        Ok(Way {
            name: name.to_owned(),
            near,
            server,
            token,
            _far: far,
        })
    }

    /// Waits until packets come through both ways.
    fn await_reach(&mut self) -> Result<(), BenchError> {
        let trial = Trial {
            kind: Kind::TcpLatency,
            message: 1,
            streams: 1,
            window: Window {
                warm_up: 0,
                measured: 1,
            },
        };
        let begun = Instant::now();
        loop {
            match self.near.station.measure(self.server, &self.token, &trial) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                // A refusal comes at once: the machine is left alone for a moment.
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Contender for &mut Way {
    fn name(&self) -> &str {
        &self.name
    }

    fn measure(&mut self, trial: &Trial) -> Result<Measured, BenchError> {
        let (server, token) = (self.server, &self.token);
        self.near.station.measure(server, token, trial)
    }
}

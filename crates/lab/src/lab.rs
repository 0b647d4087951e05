//! A lab's life: up, found, cut, killed, down.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::{fs, io};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::layout::Layout;
use crate::registry::{self, HostRecord, ProcessRef, Record};
use crate::roles::MARK;
use crate::{LabError, LabSpec, Target};

/// A lab that runs.
#[derive(Debug)]
pub struct Lab {
    pub(crate) record: Record,
    /// Only where it is bound to us: its first process and what keeps it alive.
    bound: Option<(Child, ChildStdin)>,
}

impl Lab {
    /// Makes a lab and waits until its hosts reach each other.
    ///
    /// # Errors
    /// The spec is refused, the name is taken, or the machine allows no namespaces: the error says
    /// what is missing and what to do.
    pub fn up(spec: LabSpec) -> Result<Lab, LabError> {
        spec.check()?;
        // Reading them removes those whose labs are gone.
        if registry::list()?
            .iter()
            .any(|record| record.spec.name == spec.name)
        {
            return Err(LabError::Exists(spec.name));
        }
        let text = serde_json::to_string(&spec).expect("a spec has only text keys");
        let stdin = if spec.bound_to_parent {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = Command::new(&spec.tombolo)
            .args([MARK, "root", &text])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(LabError::system("start", spec.tombolo.display()))?;
        let record = match answer(&spec, &mut child) {
            Ok(record) => record,
            Err(error) => {
                drop(child.stdin.take());
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let bound = match (spec.bound_to_parent, child.stdin.take()) {
            (true, Some(lifeline)) => Some((child, lifeline)),
            _ => None,
        };
        let mut lab = Lab { record, bound };
        if let Err(error) = registry::write(&lab.record) {
            // A lab that nobody can find is not left behind.
            let _ = lab.end();
            return Err(error);
        }
        Ok(lab)
    }

    /// A lab that runs, by its name. It is not bound to us, whoever made it.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Lab, LabError> {
        if let Some(record) = registry::read(name)? {
            return Ok(Lab {
                record,
                bound: None,
            });
        }
        let names: Vec<String> = Lab::list()?
            .into_iter()
            .map(|record| record.spec.name)
            .collect();
        let hint = match names.as_slice() {
            [] => "no lab is up: make one by `tombolo lab up`".to_owned(),
            names => format!("these are up: {}", names.join(", ")),
        };
        Err(LabError::Missing {
            what: "lab",
            name: name.to_owned(),
            hint,
        })
    }

    /// All labs that run.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn list() -> Result<Vec<Record>, LabError> {
        registry::list()
    }

    /// Ends the lab and waits until nothing of it is left. Dropping one that is bound does the same.
    ///
    /// # Errors
    /// Its processes cannot be ended or its record not be removed.
    pub fn down(mut self) -> Result<(), LabError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), LabError> {
        let bound = self.bound.take();
        let root = self.record.root;
        if root.runs() {
            match kill(Pid::from_raw(root.pid), Signal::SIGKILL) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(errno) => return Err(LabError::errno("kill", "the lab's pid 1")(errno)),
            }
        }
        match bound {
            // It ends only once it has reaped pid 1, which ends only once its namespace is empty.
            Some((mut child, _)) => drop(child.wait()),
            None => await_end(root),
        }
        registry::remove(&self.record.spec.name)
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Its addresses, segments and routes.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::of(&self.record.spec)
    }

    /// The names of its hosts, in the order of the spec.
    #[must_use]
    pub fn hosts(&self) -> &[String] {
        &self.record.spec.hosts
    }

    /// The names of the routers that its topology brings besides the hosts.
    #[must_use]
    pub fn routers(&self) -> Vec<String> {
        self.record.spec.topology.routers()
    }

    /// A host or router by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn host(&self, name: &str) -> Result<&HostRecord, LabError> {
        self.record
            .hosts
            .get(name)
            .ok_or_else(|| LabError::Missing {
                what: "host",
                name: name.to_owned(),
                hint: format!(
                    "lab {} has {}",
                    self.record.spec.name,
                    self.hosts().join(", ")
                ),
            })
    }

    /// The IPv4 address of a host's first interface, which is `eth0` unless it is a spine.
    ///
    /// # Errors
    /// There is no such host.
    pub fn address(&self, host: &str) -> Result<IpAddr, LabError> {
        let addresses = &self.host(host)?.addresses;
        Ok(*addresses
            .first()
            .expect("every interface of a layout has an IPv4 address"))
    }

    /// Kills a host as a crash would: no process of it is told, its interfaces vanish.
    ///
    /// # Errors
    /// There is no such host, or it cannot be killed.
    pub fn kill(&self, host: &str) -> Result<(), LabError> {
        let process = self.host(host)?.process;
        if process.runs() {
            kill(Pid::from_raw(process.pid), Signal::SIGKILL)
                .map_err(LabError::errno("kill", host))?;
            await_end(process);
        }
        self.wire(&["unplug", host])
    }

    /// Cuts a host's wires: its frames are lost in silence.
    ///
    /// # Errors
    /// There is no such host, or the switch refuses.
    pub fn cut(&self, host: &str) -> Result<(), LabError> {
        self.wire(&["cut", &self.known(host)?])
    }

    /// Puts a host's wires back.
    ///
    /// # Errors
    /// As [`Lab::cut`].
    pub fn heal(&self, host: &str) -> Result<(), LabError> {
        self.wire(&["heal", &self.known(host)?])
    }

    /// Lets two hosts of one segment lose each other's frames; each still reaches all others.
    ///
    /// # Errors
    /// They share no segment, or one is not there.
    pub fn cut_between(&self, a: &str, b: &str) -> Result<(), LabError> {
        self.wire_pair("part", a, b)
    }

    /// Undoes [`Lab::cut_between`].
    ///
    /// # Errors
    /// As [`Lab::cut_between`].
    pub fn heal_between(&self, a: &str, b: &str) -> Result<(), LabError> {
        self.wire_pair("join", a, b)
    }

    fn known(&self, host: &str) -> Result<String, LabError> {
        self.host(host).map(|_| host.to_owned())
    }

    fn wire_pair(&self, verb: &str, a: &str, b: &str) -> Result<(), LabError> {
        let (pa, pb) = (self.host(a)?.inner_pid, self.host(b)?.inner_pid);
        self.wire(&[verb, a, &pa.to_string(), b, &pb.to_string()])
    }

    fn wire(&self, words: &[&str]) -> Result<(), LabError> {
        let spec = serde_json::to_string(&self.record.spec).expect("a spec has only text keys");
        let mut argv = vec!["/proc/self/exe", MARK, "wire", &spec];
        argv.extend(words);
        self.output(Target::from("."), &argv).map(drop)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.bound.is_some() {
            // Nobody is left to tell, and the kernel ends it in any case when we do.
            let _ = self.end();
        }
    }
}

/// Reads what the new lab's processes tell about themselves.
fn answer(spec: &LabSpec, child: &mut Child) -> Result<Record, LabError> {
    let mut lines =
        BufReader::new(child.stdout.take().ok_or_else(|| refused(spec, child))?).lines();
    let mut next = || lines.next().and_then(Result::ok);
    let (Some(root), Some(hosts)) = (next(), next()) else {
        return Err(refused(spec, child));
    };
    let inner: BTreeMap<String, i32> =
        serde_json::from_str(&hosts).map_err(|_| refused(spec, child))?;
    let root: i32 = root.parse().map_err(|_| refused(spec, child))?;
    let root = ProcessRef::of(root).ok_or_else(|| refused(spec, child))?;
    let layout = Layout::of(spec);
    let outer = children_of(root.pid).map_err(LabError::system("read", "/proc"))?;
    let mut records = BTreeMap::new();
    for (name, inner_pid) in inner {
        let process = outer
            .get(&inner_pid)
            .copied()
            .ok_or_else(|| refused(spec, child))?;
        let addresses = layout.host(&name).map_or_else(Vec::new, |host| {
            host.interfaces[0]
                .addresses
                .iter()
                .map(ipnet::IpNet::addr)
                .collect()
        });
        records.insert(
            name,
            HostRecord {
                process,
                inner_pid,
                addresses,
            },
        );
    }
    Ok(Record {
        spec: spec.clone(),
        root,
        hosts: records,
    })
}

/// The error of a lab that did not come up: what its processes wrote before they ended.
fn refused(spec: &LabSpec, child: &mut Child) -> LabError {
    let mut message = String::new();
    drop(child.stdin.take());
    let _ = child.kill();
    if let Some(mut out) = child.stderr.take() {
        let _ = out.read_to_string(&mut message);
    }
    if message.trim().is_empty() {
        message = format!(
            "{} ended without a word: is it a program that calls tombolo_lab::reexec first?",
            spec.tombolo.display()
        );
    }
    LabError::Start {
        name: spec.name.clone(),
        message: message.trim().to_owned(),
    }
}

/// The children of the lab's pid 1, by their ids as it sees them (`NSpid` in proc_pid_status(5)).
fn children_of(root: i32) -> io::Result<BTreeMap<i32, ProcessRef>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        // One that ended meanwhile is none of ours.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        if field("PPid:").and_then(|text| text.trim().parse().ok()) != Some(root) {
            continue;
        }
        let ids: Vec<i32> = field("NSpid:")
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect();
        // The last is its id in its own namespace, which is 1; the one before is ours to find.
        if let ([.., inner, _], Some(process)) = (ids.as_slice(), ProcessRef::of(pid)) {
            found.insert(*inner, process);
        }
    }
    Ok(found)
}

/// Waits for the end of a process that is not our child.
fn await_end(process: ProcessRef) {
    // The kernel has no event for this that is to be had without unsafe code; it takes a few ms.
    while process.runs() {
        std::thread::yield_now();
    }
}

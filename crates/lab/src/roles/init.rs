//! The lab's pid 1: starts the hosts, lays the wires, and then holds everything.
//!
//! When it ends, for whatever reason, the kernel ends every process of the lab and so removes every
//! namespace, link and mount. It ends when its creator's lifeline (its standard input) closes, if
//! the lab is bound to its creator, and when `root` dies.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ExitCode, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{again, mounts, usage, word};
use crate::layout::Layout;
use crate::{LabError, LabSpec, wires};

/// `__lab init SPEC`: writes the hosts' process ids, as it sees them, as one line of JSON.
pub(crate) fn play(words: &[String]) -> Result<ExitCode, LabError> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .map_err(LabError::errno("set the death signal", "the lab's pid 1"))?;
    let spec = spec(word(words, 0, "init")?)?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()
        .map_err(LabError::errno("block signals", "the lab's pid 1"))?;
    let children = SignalFd::new(&mask).map_err(LabError::errno("watch", "children"))?;
    mounts::make_private()?;
    mounts::proc()?;
    mounts::trust_addresses()?;
    mounts::memory("/run")?;
    nix::unistd::sethostname(&spec.name).map_err(LabError::errno("set the name", &spec.name))?;

    let mut hosts = BTreeMap::new();
    let mut starting = Vec::new();
    for host in spec.hosts.iter().chain(&spec.topology.routers()) {
        starting.push((host.clone(), start_host(host)?));
    }
    for (host, mut child) in starting {
        await_host(&host, &mut child)?;
        hosts.insert(
            host,
            i32::try_from(child.id()).expect("a process id is an i32"),
        );
    }
    wires::lay(&Layout::of(&spec), &hosts)?;
    let answer = serde_json::to_string(&hosts).expect("names and numbers are JSON");
    let mut out = io::stdout();
    writeln!(out, "{answer}")
        .and_then(|()| out.flush())
        .map_err(LabError::system("report", "the lab's hosts"))?;
    hold(spec.bound_to_parent, &children)
}

/// `__lab wire SPEC cut|heal|unplug HOST` or `__lab wire SPEC part|join A PID B PID`, in the lab.
pub(crate) fn wire(words: &[String]) -> Result<ExitCode, LabError> {
    let layout = Layout::of(&spec(word(words, 0, "wire")?)?);
    let verb = word(words, 1, "wire")?;
    match verb {
        "cut" | "heal" => wires::cut(&layout, word(words, 2, "wire")?, verb == "heal")?,
        "unplug" => wires::unplug(&layout, word(words, 2, "wire")?)?,
        "part" | "join" => {
            let a = (word(words, 2, "wire")?, super::parsed(words, 3, "wire")?);
            let b = (word(words, 4, "wire")?, super::parsed(words, 5, "wire")?);
            wires::part(&layout, [a, b], verb == "join")?;
        }
        _ => return Err(usage(verb)),
    }
    Ok(ExitCode::SUCCESS)
}

fn spec(text: &str) -> Result<LabSpec, LabError> {
    serde_json::from_str(text).map_err(|_| usage("SPEC"))
}

/// Starts a host as pid 1 of a pid namespace of its own.
fn start_host(host: &str) -> Result<Child, LabError> {
    // Only a child enters the new pid namespace; afterwards children are to be born in ours again,
    // or the kernel refuses the next one.
    let ours = std::fs::File::open("/proc/self/ns/pid")
        .map_err(LabError::system("open", "/proc/self/ns/pid"))?;
    unshare(CloneFlags::CLONE_NEWPID).map_err(LabError::errno("unshare", host))?;
    let child = again("host").arg(host).stdout(Stdio::piped()).spawn();
    setns(ours.as_fd(), CloneFlags::CLONE_NEWPID).map_err(LabError::errno("setns", "pid"))?;
    child.map_err(LabError::system("start host", host))
}

/// Waits until a host has its namespaces and mounts. Why it has not is on standard error.
fn await_host(host: &str, child: &mut Child) -> Result<(), LabError> {
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out)
            .read_line(&mut line)
            .map_err(LabError::system("wait for", host))?;
    }
    if line.trim() == "ready" {
        return Ok(());
    }
    Err(LabError::Start {
        name: host.to_owned(),
        message: "the host ended early".to_owned(),
    })
}

/// Reaps children until the creator is gone.
fn hold(bound: bool, children: &SignalFd) -> Result<ExitCode, LabError> {
    let lifeline = io::stdin();
    loop {
        let mut watched = vec![PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        if bound {
            watched.push(PollFd::new(lifeline.as_fd(), PollFlags::empty()));
        }
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(LabError::errno("wait", "the lab's pid 1")(errno)),
        }
        let gone = watched.get(1).and_then(PollFd::any).unwrap_or(false);
        if gone {
            return Ok(ExitCode::SUCCESS);
        }
        reap(children);
    }
}

/// Empties the signal queue and reaps every child that has ended.
pub(super) fn reap(children: &SignalFd) {
    let _ = children.read_signal();
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
    }
}

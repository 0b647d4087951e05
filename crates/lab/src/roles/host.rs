//! A host: pid 1 of its own pid namespace, with a network, mounts and a name of its own.
//!
//! It does nothing but hold the namespaces and reap what is orphaned in it. Killing it is the crash
//! of the node: the kernel ends its processes and removes its interfaces.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use tombolo_kernel::NetnsHandle;

use super::{init, mounts, usage, word};
use crate::LabError;

/// `__lab host NAME`: writes `ready` once it is whole.
pub(crate) fn play(words: &[String]) -> Result<ExitCode, LabError> {
    let name = word(words, 0, "host")?;
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
    unshare(own).map_err(LabError::errno("unshare", name))?;
    nix::unistd::sethostname(name).map_err(LabError::errno("set the name", name))?;
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block()
        .map_err(LabError::errno("block signals", name))?;
    let children = SignalFd::new(&mask).map_err(LabError::errno("watch", "children"))?;
    mounts::host()?;
    mounts::trust_addresses()?;
    let mut out = io::stdout();
    writeln!(out, "ready")
        .and_then(|()| out.flush())
        .map_err(LabError::system("report", name))?;
    loop {
        // Blocks until a child ends.
        init::reap(&children);
    }
}

/// `__lab netns add|delete NAME`, in a host: a sandbox under `/run/netns`.
pub(crate) fn netns(words: &[String]) -> Result<ExitCode, LabError> {
    let path = Path::new("/run/netns").join(word(words, 1, "netns")?);
    match word(words, 0, "netns")? {
        "add" => drop(NetnsHandle::create_at(&path)?),
        "delete" => NetnsHandle::delete(&path)?,
        other => return Err(usage(other)),
    }
    Ok(ExitCode::SUCCESS)
}

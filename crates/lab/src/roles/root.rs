//! The first process of a lab: leaves the creator's namespaces and starts the lab's pid 1.
//!
//! It needs no root: where namespaces are refused without a user namespace, it makes one in which
//! the caller is root. It stays behind in the creator's pid namespace only to reap pid 1. Killed,
//! it takes pid 1 and with it the lab along (`PR_SET_PDEATHSIG` of its child).

use std::io::Write;
use std::process::{ExitCode, Stdio};
use std::{fs, io};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, setsid};

use super::{again, word};
use crate::LabError;

/// `__lab root SPEC`: the first line of its output is the id of the lab's pid 1.
pub(crate) fn play(words: &[String]) -> Result<ExitCode, LabError> {
    let spec = word(words, 0, "root")?;
    // Ctrl-C at the creator's terminal is the creator's: the lab ends when its creator does.
    setsid().map_err(LabError::errno("setsid", "the lab"))?;
    leave()?;
    let mut command = again("init");
    // The creator's lifeline, which pid 1 watches.
    command.arg(spec).stdin(Stdio::inherit());
    let mut init = command
        .spawn()
        .map_err(LabError::system("start", "the lab's pid 1"))?;
    let mut out = io::stdout();
    writeln!(out, "{}", init.id())
        .and_then(|()| out.flush())
        .map_err(LabError::system("report", "the lab's pid 1"))?;
    let status = init
        .wait()
        .map_err(LabError::system("wait for", "the lab's pid 1"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Namespaces of its own, plainly or by way of a user namespace.
fn leave() -> Result<(), LabError> {
    let own = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWPID;
    match unshare(own) {
        Ok(()) => return Ok(()),
        Err(nix::errno::Errno::EPERM) => {}
        Err(errno) => return Err(LabError::errno("unshare", "namespaces")(errno)),
    }
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(LabError::errno("unshare user", "the user namespace"))?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {uid} 1")),
        ("gid_map", format!("0 {gid} 1")),
    ] {
        let path = format!("/proc/self/{file}");
        fs::write(&path, text).map_err(LabError::system("write", path))?;
    }
    unshare(own).map_err(LabError::errno(
        "unshare",
        "namespaces inside a user namespace",
    ))
}

//! The processes that a lab is made of: this program, run again as `__lab ROLE …`.
//!
//! Namespaces belong to processes, and a pid namespace takes only children, so each step of the way
//! into a lab is a process of its own. Every role is single-threaded until it runs the kernel
//! crate, and none writes anything but its answer.

mod enter;
mod host;
mod init;
mod mounts;
mod root;
mod traffic;

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use crate::LabError;

/// The first argument that makes this program a part of a lab.
pub(crate) const MARK: &str = "__lab";

/// Plays a role if the arguments, with the program's name first, ask for one. To be called before
/// any thread or runtime exists, since namespaces are a thread's and are inherited.
pub fn reexec(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter().skip(1);
    if args.next()? != MARK {
        return None;
    }
    let mut words = Vec::new();
    for arg in args {
        match arg.into_string() {
            Ok(word) => words.push(word),
            Err(bad) => {
                eprintln!("tombolo lab: argument {bad:?} is not UTF-8");
                return Some(ExitCode::from(2));
            }
        }
    }
    let (role, rest) = words.split_first()?;
    let result = match role.as_str() {
        "root" => root::play(rest),
        "init" => init::play(rest),
        "host" => host::play(rest),
        "enter" => enter::play(rest),
        "run" => enter::run(rest),
        "signal" => enter::signal_named(rest),
        "wire" => init::wire(rest),
        "netns" => host::netns(rest),
        "tcp-send" => traffic::tcp_send(rest),
        "tcp-receive" => traffic::tcp_receive(rest),
        "flow-send" => traffic::flow_send(rest),
        "flow-receive" => traffic::flow_receive(rest),
        _ => Err(usage(role)),
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    }))
}

/// This program in a role. `/proc/self/exe` is found in whatever mount namespace the child starts.
pub(crate) fn again(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(MARK).arg(role).stdin(Stdio::null());
    command
}

/// The error of a role that was called with the wrong words.
fn usage(role: &str) -> LabError {
    LabError::Spec {
        what: "the inner command",
        value: role.to_owned(),
        rule: "it is for the lab's own use, with the words that the lab gives it",
    }
}

/// The word at an index.
fn word<'a>(words: &'a [String], index: usize, role: &str) -> Result<&'a str, LabError> {
    words
        .get(index)
        .map(String::as_str)
        .ok_or_else(|| usage(role))
}

/// The word at an index, parsed.
fn parsed<T: std::str::FromStr>(words: &[String], index: usize, role: &str) -> Result<T, LabError> {
    word(words, index, role)?.parse().map_err(|_| usage(role))
}

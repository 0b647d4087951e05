//! The way into a host: `enter` joins its namespaces, `run` becomes the command inside.
//!
//! ```text
//!  caller ──lifeline──► enter (caller's pid namespace; forwards signals, tells the status)
//!                         └─► run (host's pid namespace; dies with enter) ──exec──► the command
//! ```
//! `enter` ends with its caller, whom it watches by a pipe and not by the parent-death signal: that
//! one is sent when the calling *thread* ends. `run --name N` is not bound to `enter`: it leaves its
//! id in `/run/lab/N.pid`, which it keeps locked for as long as it lives.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use super::{again, usage, word};
use crate::LabError;

/// How long a program may take to end after it was told to.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// `__lab enter PID LIFELINE NETNS|- [RUN-WORDS…] -- COMMAND…`; a lifeline of `-` is none.
pub(crate) fn play(words: &[String]) -> Result<ExitCode, LabError> {
    let pid: i32 = super::parsed(words, 0, "enter")?;
    let lifeline = match word(words, 1, "enter")? {
        "-" => None,
        path => Some(open(path)?),
    };
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        mask.add(signal);
    }
    mask.thread_block()
        .map_err(LabError::errno("block signals", "enter"))?;
    let signals = SignalFd::new(&mask).map_err(LabError::errno("watch", "signals"))?;
    join(pid, word(words, 2, "enter")?)?;
    let mut command = again("run");
    command.args(&words[3..]).stdin(Stdio::inherit());
    if words.get(3).is_some_and(|w| w == "--name") {
        return leave_behind(command);
    }
    let mut child = command
        .spawn()
        .map_err(LabError::system("start", "the command"))?;
    let status = accompany(&mut child, lifeline.as_ref(), &signals)?;
    Ok(ExitCode::from(code(status)))
}

/// Starts what is to outlive us, and waits until it has become the program that it is to be: then
/// its end of the pipe gives way to the log.
fn leave_behind(mut command: Command) -> Result<ExitCode, LabError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(LabError::system("start", "the program"))?;
    let mut refusal = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut refusal)
            .map_err(LabError::system("read from", "the program"))?;
    }
    if refusal.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprint!("{refusal}");
    Ok(ExitCode::FAILURE)
}

/// Joins the namespaces of a process, and the named network namespace as its mounts show it.
fn join(pid: i32, netns: &str) -> Result<(), LabError> {
    let kinds = [
        ("user", CloneFlags::CLONE_NEWUSER),
        ("pid", CloneFlags::CLONE_NEWPID),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("net", CloneFlags::CLONE_NEWNET),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    // All are opened first: afterwards `/proc` is another one.
    let mut spaces = Vec::new();
    for (kind, flag) in kinds {
        let path = format!("/proc/{pid}/ns/{kind}");
        let ours = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok();
        if ours.is_none() || ours != std::fs::read_link(&path).ok() {
            spaces.push((open(&path)?, flag, path));
        }
    }
    for (space, flag, path) in &spaces {
        setns(space.as_fd(), *flag).map_err(LabError::errno("enter", path))?;
    }
    if netns != "-" {
        let space = open(netns)?;
        setns(space.as_fd(), CloneFlags::CLONE_NEWNET).map_err(LabError::errno("enter", netns))?;
    }
    Ok(())
}

fn open(path: &str) -> Result<File, LabError> {
    File::open(path).map_err(LabError::system("open", path))
}

/// Waits for the child, passing signals on, until it or the caller ends.
fn accompany(
    child: &mut Child,
    lifeline: Option<&File>,
    signals: &SignalFd,
) -> Result<ExitStatus, LabError> {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id is an i32"));
    loop {
        let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if let Some(lifeline) = lifeline {
            watched.push(PollFd::new(lifeline.as_fd(), PollFlags::empty()));
        }
        match poll(&mut watched, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(LabError::errno("wait for", "the command")(errno)),
        }
        if watched.get(1).and_then(PollFd::any).unwrap_or(false) {
            let _ = child.kill();
            return child
                .wait()
                .map_err(LabError::system("wait for", "the command"));
        }
        if let Some(status) = child
            .try_wait()
            .map_err(LabError::system("wait for", "the command"))?
        {
            return Ok(status);
        }
        if let Ok(Some(signal)) = signals.read_signal() {
            let number = i32::try_from(signal.ssi_signo).unwrap_or_default();
            match Signal::try_from(number) {
                // A terminal has told the command already.
                Ok(Signal::SIGINT) if io::stdin().is_terminal() => {}
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT)) => {
                    let _ = kill(pid, signal);
                }
                _ => {}
            }
        }
        if let Some(status) = child
            .try_wait()
            .map_err(LabError::system("wait for", "the command"))?
        {
            return Ok(status);
        }
    }
}

/// As a shell tells it: the exit status, or 128 and the signal.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

/// `__lab run [--name N] -- COMMAND…`: becomes the command.
pub(crate) fn run(words: &[String]) -> Result<ExitCode, LabError> {
    let split = words
        .iter()
        .position(|w| w == "--")
        .ok_or_else(|| usage("run"))?;
    let (options, command) = (&words[..split], &words[split + 1..]);
    let program = word(command, 0, "run")?;
    let mut next = Command::new(program);
    next.args(&command[1..]).current_dir("/");
    if let [flag, name] = options
        && flag == "--name"
    {
        let log = leave_name(name).inspect_err(|error| println!("{error}"))?;
        let again = log
            .try_clone()
            .map_err(LabError::system("open the log of", name))?;
        next.stdin(Stdio::null()).stdout(again).stderr(log);
    } else {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
            .map_err(LabError::errno("set the death signal", program))?;
    }
    // What `enter` blocked is inherited, and an exec keeps it.
    SigSet::empty()
        .thread_set_mask()
        .map_err(LabError::errno("unblock signals", program))?;
    let error = next.exec();
    eprintln!("tombolo lab: cannot run {program:?}: {error}");
    Ok(ExitCode::from(127))
}

/// Starts a process group of its own, locks the pid file for life, and opens the log.
fn leave_name(name: &str) -> Result<File, LabError> {
    nix::unistd::setsid().map_err(LabError::errno("setsid", name))?;
    let path = format!("/run/lab/{name}.pid");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(LabError::system("open", &path))?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| LabError::errno("start a second", name)(errno))?;
    lock.set_len(0)
        .and_then(|()| write!(lock, "{}", std::process::id()))
        .map_err(LabError::system("write", &path))?;
    fcntl(lock.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))
        .map_err(LabError::errno("keep open", &path))?;
    // Held until the process ends: the kernel drops it with the last descriptor.
    std::mem::forget(lock);
    let folder = format!("/run/{name}");
    std::fs::create_dir_all(&folder).map_err(LabError::system("create", &folder))?;
    let path = format!("{folder}/agent.log");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(LabError::system("open", path))
}

/// `__lab signal NAME TERM|KILL`, in a host: ends what `run --name` started and waits for its end.
pub(crate) fn signal_named(words: &[String]) -> Result<ExitCode, LabError> {
    let name = word(words, 0, "signal")?;
    let signal = match word(words, 1, "signal")? {
        "TERM" => Signal::SIGTERM,
        "KILL" => Signal::SIGKILL,
        other => return Err(usage(other)),
    };
    let path = format!("/run/lab/{name}.pid");
    let mut file = open(&path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(LabError::system("read", &path))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_) => return Ok(ExitCode::SUCCESS), // it has ended already
        Err((file, _)) => file,
    };
    let pid = text.trim().parse().map_err(|_| usage("signal"))?;
    kill(Pid::from_raw(pid), signal).map_err(LabError::errno("signal", name))?;
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(Flock::lock(file, FlockArg::LockExclusive).is_ok());
    });
    match ended.recv_timeout(STOP_WITHIN) {
        Ok(true) => Ok(ExitCode::SUCCESS),
        _ => Err(LabError::Wiring(format!(
            "{name} did not end within {STOP_WITHIN:?}"
        ))),
    }
}

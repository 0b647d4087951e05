//! Running commands in a host or in a container of it.
//!
//! A command never outlives its handle or this process, nor its host. It sees the host's mounts and
//! processes, starts in `/`, and finds the lab's programs first on its `PATH`.

use std::fmt;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

use crate::registry::Record;
use crate::roles::MARK;
use crate::{Lab, LabError};

/// Where a command runs, as written: `a` a host, `a/c1` a container on it, `.` the lab itself,
/// which is the gateway and the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: Option<String>,
    container: Option<String>,
}

impl Target {
    /// A host.
    #[must_use]
    pub fn host(name: &str) -> Target {
        Target {
            host: Some(name.to_owned()),
            container: None,
        }
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Target {
        match text.split_once('/') {
            _ if text == "." => Target {
                host: None,
                container: None,
            },
            Some((host, container)) => Target {
                host: Some(host.to_owned()),
                container: Some(container.to_owned()),
            },
            None => Target::host(text),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_deref().unwrap_or("."))?;
        match &self.container {
            Some(container) => write!(f, "/{container}"),
            None => Ok(()),
        }
    }
}

/// A command that runs in the lab; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// The process that stands for it here: its output, its status, its signals.
    pub child: Child,
    /// Closes with this process, even a killed one.
    _lifeline: OwnedFd,
}

impl Running {
    /// Waits for its end; a signal's number is added to 128, as a shell does.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn wait(mut self) -> Result<ExitStatus, LabError> {
        self.child
            .wait()
            .map_err(LabError::system("wait for", "a command"))
    }

    /// Sends SIGINT or SIGTERM to the command, waits for its end, and returns what it wrote to the
    /// standard output.
    ///
    /// # Errors
    /// The process cannot be told or waited for.
    pub fn stop(mut self, signal: Signal) -> Result<String, LabError> {
        let pid = i32::try_from(self.child.id()).expect("a process id is an i32");
        kill(Pid::from_raw(pid), signal).map_err(LabError::errno("signal", "a command"))?;
        self.finish()
    }

    /// Waits for its end and returns what it wrote to the standard output.
    ///
    /// # Errors
    /// The process cannot be read from or waited for.
    pub fn finish(&mut self) -> Result<String, LabError> {
        let mut text = String::new();
        if let Some(out) = self.child.stdout.as_mut() {
            out.read_to_string(&mut text)
                .map_err(LabError::system("read from", "a command"))?;
        }
        self.child
            .wait()
            .map_err(LabError::system("wait for", "a command"))?;
        Ok(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lab {
    /// Runs a command to its end, without input.
    ///
    /// # Errors
    /// There is no such host, or the command cannot be started. A command that fails is no error.
    pub fn exec<A: AsRef<str>>(
        &self,
        target: impl Into<Target>,
        argv: &[A],
    ) -> Result<Output, LabError> {
        let (mut command, lifeline) = self.command(&target.into(), &[], argv)?;
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(LabError::system("run", command.get_program().display()));
        drop(lifeline);
        output
    }

    /// Runs a command to its end and returns what it wrote.
    ///
    /// # Errors
    /// As [`Lab::exec`], and where the command fails, with what it wrote.
    pub fn output<A: AsRef<str>>(
        &self,
        target: impl Into<Target>,
        argv: &[A],
    ) -> Result<String, LabError> {
        let target = target.into();
        let output = self.exec(target.clone(), argv)?;
        checked(&target, argv, output)
    }

    /// Starts a command in the background, its output piped.
    ///
    /// # Errors
    /// There is no such host, or the command cannot be started.
    pub fn spawn<A: AsRef<str>>(
        &self,
        target: impl Into<Target>,
        argv: &[A],
    ) -> Result<Running, LabError> {
        let (mut command, lifeline) = self.command(&target.into(), &[], argv)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        start(command, lifeline)
    }

    /// Runs a command at this terminal and returns its status.
    ///
    /// # Errors
    /// There is no such host, or the command cannot be started.
    pub fn interactive<A: AsRef<str>>(
        &self,
        target: impl Into<Target>,
        argv: &[A],
    ) -> Result<ExitStatus, LabError> {
        let (command, lifeline) = self.command(&target.into(), &[], argv)?;
        start(command, lifeline)?.wait()
    }

    /// The command that enters a target, and the pipe that ends it with us. `run` are words for
    /// the last step, before the command.
    pub(crate) fn command<A: AsRef<str>>(
        &self,
        target: &Target,
        run: &[&str],
        argv: &[A],
    ) -> Result<(Command, OwnedFd), LabError> {
        let pid = match &target.host {
            Some(host) => self.host(host)?.process.pid,
            None => self.record.root.pid,
        };
        let netns = match &target.container {
            Some(name) => format!("/run/netns/{name}"),
            None => "-".to_owned(),
        };
        // The pipe exists for its end: the other side opens it for reading by our `/proc`, so that
        // no other child inherits it, and sees it hang up when we close it or die.
        let (_, lifeline) = pipe2(OFlag::O_CLOEXEC).map_err(LabError::errno("make", "a pipe"))?;
        let spec = &self.record.spec;
        let mut command = Command::new(&spec.tombolo);
        command.args([MARK, "enter", &pid.to_string()]);
        if run.is_empty() {
            command.arg(format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                lifeline.as_raw_fd()
            ));
        } else {
            command.arg("-");
        }
        command
            .arg(netns)
            .args(run)
            .arg("--")
            .args(argv.iter().map(AsRef::as_ref));
        command.env("PATH", path(&self.record));
        Ok((command, lifeline))
    }
}

fn start(mut command: Command, lifeline: OwnedFd) -> Result<Running, LabError> {
    let child = command
        .spawn()
        .map_err(LabError::system("run", command.get_program().display()))?;
    Ok(Running {
        child,
        _lifeline: lifeline,
    })
}

/// The output of a command that succeeded.
pub(crate) fn checked<A: AsRef<str>>(
    target: &Target,
    argv: &[A],
    output: Output,
) -> Result<String, LabError> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let words: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
    Err(LabError::Command {
        command: words.join(" "),
        target: target.to_string(),
        status: output.status.to_string(),
        output: format!("{text}{}", String::from_utf8_lossy(&output.stderr))
            .trim()
            .to_owned(),
    })
}

/// The lab's programs first, then the caller's path, then where the system's tools are.
fn path(record: &Record) -> String {
    let mut folders: Vec<String> = [&record.spec.tombolo, &record.spec.cni]
        .iter()
        .filter_map(|program| program.parent())
        .map(|folder| folder.display().to_string())
        .collect();
    folders.extend(std::env::var("PATH"));
    folders.push("/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    folders.join(":")
}

//! The real agent in a host: started, stopped, killed, and joined by token.

use std::process::Stdio;

use crate::exec::checked;
use crate::roles::MARK;
use crate::{Lab, LabError, Target};

/// What the agent's pid file and folder are called.
const AGENT: &str = "tombolo";

impl Lab {
    /// Runs `tombolo` in a host and returns what it wrote.
    ///
    /// # Errors
    /// It fails; the error holds what it wrote.
    pub fn tombolo(&self, host: &str, words: &[&str]) -> Result<String, LabError> {
        let program = self.record.spec.tombolo.display().to_string();
        let mut argv = vec![program.as_str()];
        argv.extend(words);
        self.output(host, &argv)
    }

    /// `tombolo init` with further words.
    ///
    /// # Errors
    /// As [`Lab::tombolo`].
    pub fn init(&self, host: &str, words: &[&str]) -> Result<String, LabError> {
        let mut all = vec!["init"];
        all.extend(words);
        self.tombolo(host, &all)
    }

    /// `tombolo token create` on a host: the token.
    ///
    /// # Errors
    /// As [`Lab::tombolo`].
    pub fn token(&self, host: &str) -> Result<String, LabError> {
        self.tombolo(host, &["token", "create"])
            .map(|text| text.trim().to_owned())
    }

    /// `tombolo join SERVER --token TOKEN` on a host, and further words.
    ///
    /// # Errors
    /// As [`Lab::tombolo`].
    pub fn join(
        &self,
        host: &str,
        server: &str,
        token: &str,
        words: &[&str],
    ) -> Result<String, LabError> {
        let mut all = vec!["join", server, "--token", token];
        all.extend(words);
        self.tombolo(host, &all)
    }

    /// Starts `tombolo agent` in a host. It outlives this process where the lab does, and logs to
    /// `/run/tombolo/agent.log` in the host. [`Lab::ready`] waits until it serves.
    ///
    /// # Errors
    /// There is no such host, or an agent runs already.
    pub fn start_agent(&self, host: &str, words: &[&str]) -> Result<(), LabError> {
        let target = Target::host(host);
        let program = self.record.spec.tombolo.display().to_string();
        let mut argv = vec![program.as_str(), "agent"];
        argv.extend(words);
        let (mut command, _lifeline) = self.command(&target, &["--name", AGENT], &argv)?;
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(LabError::system("run", &program))?;
        checked(&target, &argv, output).map(drop)
    }

    /// Waits until the host's kernel holds the newest revision: `tombolo status --wait`.
    ///
    /// # Errors
    /// As [`Lab::tombolo`].
    pub fn ready(&self, host: &str) -> Result<(), LabError> {
        self.tombolo(host, &["status", "--wait"]).map(drop)
    }

    /// Ends the agent by SIGTERM and waits for its end.
    ///
    /// # Errors
    /// None was started, or it does not end within 30 s.
    pub fn stop_agent(&self, host: &str) -> Result<(), LabError> {
        self.signal_agent(host, "TERM")
    }

    /// Kills the agent by SIGKILL and waits for its end.
    ///
    /// # Errors
    /// As [`Lab::stop_agent`].
    pub fn kill_agent(&self, host: &str) -> Result<(), LabError> {
        self.signal_agent(host, "KILL")
    }

    fn signal_agent(&self, host: &str, signal: &str) -> Result<(), LabError> {
        self.output(host, &["/proc/self/exe", MARK, "signal", AGENT, signal])
            .map(drop)
    }
}

//! Containers: named network namespaces in a host, plugged in by the real CNI plugin.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::exec::checked;
use crate::roles::MARK;
use crate::{Lab, LabError, Target};

/// What the plugin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CniVerb {
    /// ADD.
    Add,
    /// CHECK.
    Check,
    /// DEL.
    Del,
}

impl CniVerb {
    fn as_str(self) -> &'static str {
        match self {
            CniVerb::Add => "ADD",
            CniVerb::Check => "CHECK",
            CniVerb::Del => "DEL",
        }
    }
}

impl Lab {
    /// Makes a container: an empty network namespace at `/run/netns/NAME` in the host.
    ///
    /// # Errors
    /// There is no such host, or the name is taken.
    pub fn container(&self, host: &str, name: &str) -> Result<(), LabError> {
        self.netns("add", host, name)
    }

    /// Removes a container's namespace, as a runtime does after DEL.
    ///
    /// # Errors
    /// There is no such host or container.
    pub fn remove_container(&self, host: &str, name: &str) -> Result<(), LabError> {
        self.netns("delete", host, name)
    }

    fn netns(&self, verb: &str, host: &str, name: &str) -> Result<(), LabError> {
        self.output(host, &["/proc/self/exe", MARK, "netns", verb, name])
            .map(drop)
    }

    /// Attaches a container to the network of a configuration, as a runtime does, and returns the
    /// plugin's result (CNI 1.1.0).
    ///
    /// # Errors
    /// The plugin refuses; the error holds what it said.
    pub fn attach(&self, host: &str, name: &str, config: &Value) -> Result<Value, LabError> {
        self.cni(CniVerb::Add, host, name, config)
    }

    /// Detaches a container.
    ///
    /// # Errors
    /// As [`Lab::attach`].
    pub fn detach(&self, host: &str, name: &str, config: &Value) -> Result<(), LabError> {
        self.cni(CniVerb::Del, host, name, config).map(drop)
    }

    /// The configuration for a network: what a list of one plugin gives it.
    #[must_use]
    pub fn config(network: &str) -> Value {
        json!({"cniVersion": "1.1.0", "name": network, "type": "tombolo-cni"})
    }

    /// Runs the plugin for a container's `eth0`. The container's id is `HOST-NAME`.
    ///
    /// # Errors
    /// The plugin fails; the error holds what it said.
    pub fn cni(
        &self,
        verb: CniVerb,
        host: &str,
        name: &str,
        config: &Value,
    ) -> Result<Value, LabError> {
        let target = Target::host(host);
        let plugin = self.record.spec.cni.display().to_string();
        let argv = [plugin.as_str()];
        let (mut command, _lifeline) = self.command(&target, &[], &argv)?;
        let folder = self
            .record
            .spec
            .cni
            .parent()
            .unwrap_or(&self.record.spec.cni);
        command
            .env("CNI_COMMAND", verb.as_str())
            .env("CNI_CONTAINERID", format!("{host}-{name}"))
            .env("CNI_NETNS", format!("/run/netns/{name}"))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(LabError::system("run", &plugin))?;
        if let Some(mut input) = child.stdin.take() {
            // A plugin that ends without reading says why on its output.
            let _ = input.write_all(config.to_string().as_bytes());
        }
        let output = child
            .wait_with_output()
            .map_err(LabError::system("run", &plugin))?;
        let words = [format!("{plugin} {}", verb.as_str())];
        let text = checked(&target, &words, output)?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| LabError::Command {
            command: words[0].clone(),
            target: target.to_string(),
            status: format!("answered what is no JSON: {error}"),
            output: text,
        })
    }
}

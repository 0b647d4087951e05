//! Which call is which: path and body in, status and JSON out.

use std::sync::Mutex;

use ipnet::IpNet;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Settings;
use crate::bell::Bell;
use crate::namer::Namer;
use crate::state::State;

/// Why a call cannot be carried out, in words for the user.
pub(crate) type Refused = String;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

impl Reply {
    fn done(answer: &impl Serialize) -> Reply {
        match serde_json::to_string(answer) {
            Ok(body) => Reply { status: 200, body },
            Err(error) => Reply::refused(500, error.to_string()),
        }
    }

    /// The request itself is at fault. Docker shows `Err` of such an answer too.
    pub(crate) fn refused(status: u16, message: String) -> Reply {
        let body = json!({"Err": message, "Error": message}).to_string();
        Reply { status, body }
    }

    /// The call was understood, and cannot be carried out. IPAM's errors have another name.
    pub(crate) fn failed(path: &str, message: &str) -> Reply {
        let field = if path.starts_with("/IpamDriver.") {
            "Error"
        } else {
            "Err"
        };
        Reply::done(&json!({ field: message }))
    }
}

/// The plugin: what its calls share.
pub struct Plugin {
    pub(crate) settings: Settings,
    pub(crate) state: State,
    pub(crate) namer: Namer,
    pub(crate) mirror: Bell,
    /// The ranges of the bridge by which Docker leads containers out.
    pub(crate) exits: Mutex<Vec<IpNet>>,
}

/// The names of IPAM's address spaces. There is one truth for all hosts, so one is as good as the
/// other.
pub(crate) const SPACES: [&str; 2] = ["tombolo-local", "tombolo-global"];

impl Plugin {
    /// A plugin over what an earlier one has left.
    ///
    /// # Errors
    /// Its state cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Plugin> {
        let state = State::open(&settings.state_dir)?;
        Ok(Plugin {
            settings,
            state,
            namer: Namer::default(),
            mirror: Bell::default(),
            exits: Mutex::default(),
        })
    }

    /// Carries a call out.
    #[must_use]
    pub fn call(&self, path: &str, body: &[u8]) -> Reply {
        let begun = std::time::Instant::now();
        let reply = self.dispatch(path, body);
        tracing::debug!(path, status = reply.status, answer = reply.body, took = ?begun.elapsed());
        reply
    }

    fn dispatch(&self, path: &str, body: &[u8]) -> Reply {
        match path {
            "/Plugin.Activate" => {
                Reply::done(&json!({"Implements": ["NetworkDriver", "IpamDriver"]}))
            }
            // Each engine keeps its own record of a network; the truth is Tombolo's, on all nodes.
            "/NetworkDriver.GetCapabilities" => {
                Reply::done(&json!({"Scope": "local", "ConnectivityScope": "global"}))
            }
            // Nodes are found by the agents themselves.
            "/NetworkDriver.CreateNetwork" => with(path, body, |call| self.create_network(&call)),
            "/NetworkDriver.DeleteNetwork" => with(path, body, |call| self.delete_network(&call)),
            "/NetworkDriver.CreateEndpoint" => with(path, body, |call| self.create_endpoint(&call)),
            "/NetworkDriver.DeleteEndpoint" => with(path, body, |call| self.delete_endpoint(&call)),
            "/NetworkDriver.EndpointOperInfo" => with(path, body, |call| self.oper_info(&call)),
            "/NetworkDriver.Join" => with(path, body, |call| self.join(&call)),
            "/NetworkDriver.Leave" => with(path, body, |call| self.leave(&call)),
            "/NetworkDriver.ProgramExternalConnectivity" => {
                with(path, body, |call| self.publish(&call))
            }
            "/NetworkDriver.RevokeExternalConnectivity" => {
                with(path, body, |call| self.revoke(&call))
            }
            "/NetworkDriver.DiscoverNew" | "/NetworkDriver.DiscoverDelete" => {
                with(path, body, |_: Value| Ok(json!({})))
            }
            "/IpamDriver.GetCapabilities" => {
                Reply::done(&json!({"RequiresMACAddress": true, "RequiresRequestReplay": false}))
            }
            "/IpamDriver.GetDefaultAddressSpaces" => Reply::done(&json!({
                "LocalDefaultAddressSpace": SPACES[0], "GlobalDefaultAddressSpace": SPACES[1],
            })),
            "/IpamDriver.RequestPool" => with(path, body, |call| self.request_pool(&call)),
            "/IpamDriver.ReleasePool" => with(path, body, |call| self.release_pool(&call)),
            "/IpamDriver.RequestAddress" => with(path, body, |call| self.request_address(&call)),
            "/IpamDriver.ReleaseAddress" => with(path, body, |call| self.release_address(&call)),
            _ => Reply::refused(404, format!("{path} is no call of this plugin")),
        }
    }
}

/// Reads the body, carries the call out, and words the answer.
fn with<T: DeserializeOwned, A: Serialize>(
    path: &str,
    body: &[u8],
    call: impl FnOnce(T) -> Result<A, Refused>,
) -> Reply {
    let request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            return Reply::refused(400, format!("{path}: the body is not understood: {error}"));
        }
    };
    match call(request) {
        Ok(answer) => Reply::done(&answer),
        Err(message) => {
            tracing::warn!(path, message, "refused");
            Reply::failed(path, &message)
        }
    }
}

#[cfg(test)]
mod tests;

//! Asking the agent, in time.

use std::time::{Duration, Instant};

use tombolo_api::{Client, ClientError, DetachRequest, FaultKind};
use tombolo_model::{ContainerId, IfName};

use crate::Settings;
use crate::dispatch::Refused;

/// How long a call may take in all. It is less than what Docker is promised, so that what could not
/// be done can still be said.
const LIMIT: Duration = Duration::from_secs(8);
/// How long the agent may be silent before it is asked whether it is alive.
const SILENCE: Duration = Duration::from_millis(1500);
/// The name under which the agent knows the interface of an endpoint of Docker's: only Docker knows
/// how it is called in the sandbox.
const INTERFACE: &str = "eth0";

/// The agent, for one call.
pub(crate) struct Agent<'a> {
    settings: &'a Settings,
    until: Instant,
}

impl<'a> Agent<'a> {
    pub fn new(settings: &'a Settings) -> Agent<'a> {
        Agent {
            settings,
            until: Instant::now() + LIMIT,
        }
    }

    /// When the call must be over.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// A client that gives up in time.
    pub fn client(&self) -> Client {
        let left = self.until.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(100));
        Client::new(&self.settings.agent, Some(left)).impatient(SILENCE.min(left))
    }

    /// Unplugs an endpoint; one that is not plugged in is no error.
    pub fn detach(&self, endpoint: &str) -> Result<(), Refused> {
        let (container_id, interface) = named(endpoint)?;
        let request = DetachRequest {
            container_id,
            interface,
        };
        let detached = self.client().post::<()>("/v1/detach", &request);
        detached.map_err(|error| error.to_string())
    }
}

/// The names under which the agent knows an endpoint of Docker's.
pub(crate) fn named(endpoint: &str) -> Result<(ContainerId, IfName), Refused> {
    let container = ContainerId::new(endpoint).map_err(|error| format!("EndpointID: {error}"))?;
    let interface = IfName::new(INTERFACE).map_err(|error| error.to_string())?;
    Ok((container, interface))
}

/// What kind of fault the agent answered, if it did.
pub(crate) fn fault(error: &ClientError) -> Option<FaultKind> {
    match error {
        ClientError::Fault(fault) => Some(fault.kind),
        _ => None,
    }
}

/// Whether what was asked for may have been done, or may be yet.
pub(crate) fn is_unsure(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::NoAnswer { .. } | ClientError::Unreadable { .. }
    )
}

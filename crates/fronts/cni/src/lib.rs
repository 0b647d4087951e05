//! `tombolo-cni`: the CNI plugin (specification 1.1.0 and before).
//!
//! A small program without a runtime: a container's start waits for it. It turns what the runtime
//! gives (environment and standard input) into a request to the agent, and the agent's answer into
//! a result of the version that was asked for. It decides nothing and changes nothing itself.
//!
//! ```text
//!  environment, stdin ──wire──► Call ──handle──► agent ──► result ──► stdout
//!                         └─────────── error ◄─────┘
//! ```

mod error;
pub mod fuzzing;
mod handle;
mod result;
mod wire;

use std::io::Read;

pub use wire::Environment;
use wire::SUPPORTED;

/// What is written to the standard output, and whether the call succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text; JSON, or nothing.
    pub text: String,
    /// Whether the exit status is 0.
    pub succeeded: bool,
}

/// Carries one call out.
pub fn call(environment: &Environment, input: impl Read) -> Answer {
    let mut bytes = Vec::new();
    let outcome = input
        .take(wire::MAX_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| error::CniError::Io(format!("cannot read the configuration: {cause}")))
        .and_then(|_| handle::run(environment, &bytes));
    match outcome {
        Ok(text) => Answer {
            text,
            succeeded: true,
        },
        Err(error) => Answer {
            text: error.to_json(&wire::version_of(&bytes)).to_string(),
            succeeded: false,
        },
    }
}

/// What the plugin says of itself when nobody tells it what to do.
#[must_use]
pub fn about() -> String {
    format!(
        "tombolo-cni {}: plugs containers into Tombolo's networks; CNI versions {}; run by a container runtime, which sets CNI_COMMAND",
        env!("CARGO_PKG_VERSION"),
        SUPPORTED.join(", ")
    )
}

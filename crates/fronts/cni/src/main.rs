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
mod handle;
mod result;
mod wire;

use std::io::{Read, Write};
use std::process::ExitCode;

use error::CniError;
use wire::{Environment, SUPPORTED};

fn main() -> ExitCode {
    let environment = Environment::of_process();
    if environment.get("CNI_COMMAND").is_none_or(str::is_empty) {
        eprintln!(
            "tombolo-cni {}: plugs containers into Tombolo's networks; CNI versions {}; run by a container runtime, which sets CNI_COMMAND",
            env!("CARGO_PKG_VERSION"),
            SUPPORTED.join(", ")
        );
        return ExitCode::SUCCESS;
    }
    let mut input = Vec::new();
    let outcome = std::io::stdin()
        .take(wire::MAX_INPUT + 1)
        .read_to_end(&mut input)
        .map_err(|cause| CniError::Io(format!("cannot read the configuration: {cause}")))
        .and_then(|_| handle::run(&environment, &input));
    let (text, code) = match outcome {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => {
            let version = wire::version_of(&input);
            (error.to_json(&version).to_string(), ExitCode::FAILURE)
        }
    };
    // A runtime that does not listen cannot be told that it does not.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

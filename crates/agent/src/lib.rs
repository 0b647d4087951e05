//! The agent: wires watch → plan → apply, owns every task, serves the local API.
//!
//! ```text
//!  store ──follow──► World ──apply (a thread): plan, converge──► kernel
//!                      ▲                │ applied revision, plan, problems
//!  http ── attach, resources, tokens ───┤
//!  addresses, publish: what this node writes back ──► store
//! ```
//!
//! Nothing here decides how a network works, which address is given, or what a kernel needs: that
//! is in the pure crates. Nothing here is remembered on disk but the node's configuration and
//! certificate, and what the store does not know or nobody can read of it any more: a restart reads
//! World and kernel and goes on.

mod addresses;
mod admit;
mod apply;
mod attach;
mod bgp;
mod clock;
mod config;
mod follow;
mod http;
mod init;
mod join;
mod journal;
mod kept;
mod listen;
mod meant;
mod metrics;
mod policy;
mod publish;
mod renew;
mod run;
mod shared;
mod store;
mod tunnel;
mod underlay;

pub use config::{AgentOptions, Config, DEFAULT_STATE_DIR, LogFormat};
pub use init::{EtcdOptions, InitOptions, Initialised, init};
pub use join::{JoinOptions, Joined, join};
pub use policy::flow::explain as explain_flow;
pub use run::{cleanup, run};

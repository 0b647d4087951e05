//! World in, HostPlan out: where the networking knowledge lives.
//!
//! [`plan()`] says everything that one host should hold, as plain ordered data, each object with
//! the resource and the rule that asked for it. It is pure: no clock, no randomness, no I/O.
//! [`diff()`] says the fewest operations that make a kernel match, in an order that never breaks
//! traffic.
//!
//! ```text
//!  World ──► plan ─────────────► HostPlan ──► diff ──► Vec<Op> ──► (crate kernel)
//!             ├ attachment/*.rs   objects/*     ▲
//!             ├ transport/*.rs    + origin      └── Observed (crate kernel)
//!             ├ network.rs
//!             ├ bgp/*.rs
//!             └ nat.rs
//! ```

pub mod attachment;
pub mod bgp;
pub mod check;
pub mod diff;
pub mod driver;
mod egress;
pub mod explain;
pub mod filter;
pub mod host_plan;
pub mod naming;
mod nat;
mod network;
pub mod objects;
pub mod order;
mod plan;
pub mod policy;
mod segment;
mod traffic;
pub mod transport;
pub mod tunnel;
pub mod underlay;
mod ways;

pub use diff::{Observed, Op, diff};
pub use host_plan::{HostPlan, Origin, Planned, Problem};
pub use objects::{Key, Netns, Object, Place};
pub use plan::plan;
pub use traffic::traffic;
pub use ways::{Peering, needing_tunnels, peerings};

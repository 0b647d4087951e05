//! World in, HostPlan out: where the networking knowledge lives.
//!
//! `plan(&World, &NodeName) -> HostPlan` says everything that one host should hold, as plain
//! ordered data, each object with the resource and the rule that asked for it. It is pure: no
//! clock, no randomness, no I/O. `diff(&HostPlan, &Observed) -> Vec<Op>` says the fewest
//! operations that make a kernel match, in an order that never breaks traffic.
//!
//! ```text
//!  World ──► plan ──────────────► HostPlan ──► diff ──► Vec<Op> ──► (crate kernel)
//!             ├ attachment/*.rs    objects/*      ▲
//!             ├ transport/*.rs     + origin       └── Observed (crate kernel)
//!             └ nat.rs
//! ```

pub mod diff;
pub mod host_plan;
pub mod objects;
pub mod order;

pub use diff::{Observed, Op, diff};
pub use host_plan::{HostPlan, Origin, Planned, Problem};
pub use objects::{Key, Netns, Object, Place};

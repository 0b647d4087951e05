//! Hosts, wires and containers made of namespaces, on one machine.
//!
//! The demo, the scenario tests and the benchmarks stand on it. A lab is a tree of processes in
//! namespaces of its own; killing its root ends everything, and the kernel cleans up. It decides
//! nothing about container networks: it runs the real programs in its hosts.
//!
//! ```text
//!  creator ─► __lab root ─► __lab init (pid 1 of the lab: bridges, gateway, "the internet")
//!     │                       ├─► __lab host a (pid 1 of host a: net, mount, uts, pid)
//!     │                       └─► __lab host b …
//!     └─► __lab enter PID ──setns──► __lab run ──exec──► the command, inside a host
//! ```
//!
//! A program that makes labs calls [`reexec`] first, before any thread or runtime exists.

mod container;
pub mod demo;
mod error;
mod exec;
mod lab;
mod layout;
pub mod measure;
mod node;
mod registry;
mod roles;
mod spec;
mod wires;

pub use container::CniVerb;
pub use error::LabError;
pub use exec::{Running, Target};
pub use lab::Lab;
pub use layout::{HostLayout, Interface, Layout, Segment};
pub use registry::{HostRecord, ProcessRef, Record};
pub use roles::reexec;
pub use spec::{LabSpec, Topology};

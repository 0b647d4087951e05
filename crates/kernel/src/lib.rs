//! Reads, changes and watches Linux kernels: what a plan wants becomes so.
//!
//! The crate is synchronous and needs no runtime. It decides nothing about networks: it says what a
//! kernel holds in the words of `tombolo_plan::objects`, and carries operations out. It speaks
//! netlink itself, and never starts `ip`, `nft` or any other program.
//!
//! ```text
//!  Kernel ─┬─ read ──► Observed        session (one namespace) ──► netlink ──► sys
//!          ├─ apply ◄─ Vec<Op>          ├ link/ address route rule neighbour fdb: read, encode
//!          ├─ converge (read, diff,     ├ sysctl
//!          │   │        apply)          └ nft/: one transaction
//!          │   └ memory: what was read
//!          └─ watch ──► Event ──► Look
//! ```

pub mod boot;
pub mod conntrack;
pub mod echo;
pub mod error;
pub mod filters;
#[doc(hidden)]
pub mod fuzzing;
pub mod netns;
pub mod nflog;
pub mod survey;
pub mod underlay;

mod address;
mod announce;
mod apply;
mod encap;
mod encode;
mod fdb;
mod hint;
mod kernel;
mod link;
mod look;
mod memory;
mod namespaces;
mod neighbour;
mod netlink;
mod nft;
mod nsid;
mod read;
mod record;
mod route;
mod rule;
mod session;
mod station;
mod sys;
mod sysctl;
mod watch;

pub use boot::boot_id;
pub use error::{KernelError, NetlinkError};
pub use kernel::{Applied, Convergence, Kernel, Ownership};
pub use look::Look;
pub use netns::NetnsHandle;
pub use nft::Counter;
pub use record::record;
pub use sys::give_back_memory;
pub use watch::{Event, Watcher};

#[cfg(test)]
mod testing;

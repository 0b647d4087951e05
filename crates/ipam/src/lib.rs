//! Which address: pools, blocks, handles and generations, as pure steps.
//!
//! A step reads a [`World`](tombolo_model::World) and answers with [`Write`]s. The caller commits
//! all writes of one list as one compare-and-swap transaction: each names what it expects to find,
//! so a step that was computed from an old world is refused as a whole, and is computed again from
//! a newer one. Nothing here does I/O or asks a clock, and the same world gives the same answer.
//!
//! ```text
//!  world ──assign──► Claim { addresses, generation, writes }     a container starts
//!  world ──release─► writes                                      it stops
//!  world ──leaks──► Leak ──reclaim──► writes                     it was lost, by evidence
//!  world ──ask, lend, close──► writes                            one node borrows of another
//!  world ──release_node, surplus_blocks──► writes                a node goes, or holds too much
//!  world ──show, check──► tables and findings for people
//! ```
//!
//! A **block** is the slice of a pool that one node takes addresses from first. A **handle** is who
//! an address was given to; it stays after the address was given back, so that the same identity
//! gets it again while nobody needed it. Every assignment grows the handle's **generation**, and a
//! release names the generation that it releases, so an owner of the past can never take an address
//! away from the present one.

mod assign;
mod draft;
mod error;
mod floor;
mod leaks;
mod lend;
mod place;
mod pools;
mod release;
mod report;
mod request;
#[cfg(test)]
mod tests;

pub use assign::assign;
pub use error::IpamError;
pub use leaks::{Evidence, Leak, LeakReason, leaks, reclaim};
pub use lend::{ask, close, lend};
pub use release::{MAX_WRITES, release, release_node, surplus_blocks};
pub use report::{BlockUsage, Fault, Finding, NodeUsage, PoolUsage, Usage, check, show};
pub use request::{Claim, Request, Reserve};

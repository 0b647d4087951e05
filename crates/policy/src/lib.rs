//! Who may talk to whom.
//!
//! ```text
//!  World ─► Rulebook    every policy, in the order in which they are asked
//!        ─► Directory   everything that has labels, and the addresses that it is known by
//!  both  ─► Stack       what is asked for one endpoint in one direction
//! ```
//!
//! The planner makes packet filters of stacks (`crates/plan/src/policy`), and the evaluator answers for
//! one flow; both read the same rulebook, and tests hold them against each other in the kernel.
//!
//! The crate is pure: no I/O, no clock, no randomness.

mod directory;
mod rulebook;
mod stack;

pub use directory::{Class, Directory, Labels, Member};
pub use rulebook::{End, Group, Policy, ProfileRules, Rule, RuleId, Rulebook, Scope, Tier};
pub use stack::{Fallback, Stack, StackTier, Subject};

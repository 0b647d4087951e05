//! Who may talk to whom.
//!
//! ```text
//!  World ─► Rulebook    every policy, in the order in which they are asked
//!        ─► Directory   everything that has labels, and the addresses that it is known by
//!  both  ─► Stack       what is asked for one endpoint in one direction
//!        ─► Evaluator   a flow's verdict, with everything that was looked at
//! ```
//!
//! From the evaluator come also what would let a denied flow through ([`Evaluator::advice`]), and which
//! flows between endpoints another World would judge differently ([`changes`]).
//!
//! The planner makes packet filters of stacks (`crates/plan/src/policy`), and the evaluator answers for
//! one flow; both read the same rulebook, and tests hold them against each other in the kernel.
//!
//! The crate is pure: no I/O, no clock, no randomness.

mod addresses;
mod advice;
mod changes;
mod course;
mod crowd;
mod directory;
mod evaluator;
pub mod failsafe;
mod flow;
mod labels;
mod matching;
mod probes;
mod remedy;
mod rulebook;
mod stack;
mod trace;
mod verdict;

pub use changes::{Change, Changes, changes};
pub use directory::{Class, Directory, Labels, Member};
pub use evaluator::Evaluator;
pub use flow::{Flow, Party};
pub use probes::Traffic;
pub use rulebook::{End, Group, Policy, ProfileRules, Rule, RuleId, Rulebook, Scope, Tier};
pub use stack::{Fallback, Stack, StackTier, Subject};
pub use verdict::{Decision, RuleName, Stage, Step, Verdict, Way};

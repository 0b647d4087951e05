//! What the benchmarks share: rounds, figures and how they are shown, large Worlds, and a way to
//! measure from inside a host of the lab.
//!
//! A benchmark is one file in `benches/benches/`, named as in `make bench NAME=…`. It measures ours
//! and the peer in one run, in rounds that take turns, so that what else the machine does meets
//! both; it keeps every sample and lets [`Report`] tell medians and ratios. It measures, and judges
//! nothing but errors: a figure that misses its goal is marked as such and fails nothing, a lost
//! packet or a duplicate address ends the run.
//!
//! ```no_run
//! use tombolo_benches::{Figure, Goal, Report, interleave, milliseconds};
//! # fn ours() -> anyhow::Result<()> { Ok(()) }
//! # fn theirs() -> anyhow::Result<()> { Ok(()) }
//! # fn main() -> anyhow::Result<()> {
//! let [a, b] = interleave(30, [&mut || milliseconds(ours), &mut || milliseconds(theirs)])?;
//! let mut report = Report::new("cni");
//! report.add(Figure::beside("ADD", "ms", &a, ("ptp", &b)).goal(Goal::RatioAtMost(0.33)));
//! report.finish()
//! # }
//! ```

pub mod etcd;
mod figures;
mod inside;
pub mod large;
mod memory;
pub mod path;
mod rounds;

pub use figures::{Figure, Goal, Report};
pub use inside::{Inside, serve};
pub use memory::{peak, resident, resident_of};
pub use rounds::{interleave, median, milliseconds};

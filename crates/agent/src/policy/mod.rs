//! What the agent does about policy beside planning it: answers who may talk to whom, cuts connections
//! that are not allowed any more, and tells what was denied.
//!
//! What rules mean is in `tombolo_policy`, what the kernel is made to ask in `tombolo_plan::policy`.

mod connections;
pub(crate) mod denials;
pub(crate) mod flow;

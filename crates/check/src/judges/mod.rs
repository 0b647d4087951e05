//! The judges, by what they look at. Each reads facts and says what they mean.

pub(crate) mod features;
pub(crate) mod filters;
pub(crate) mod host;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod segments;

//! What the agent does about policy beside planning it: answers who may talk to whom, cuts connections
//! that are not allowed any more, and tells what was denied.
//!
//! What rules mean is in `tombolo_policy`, what the kernel is made to ask in `tombolo_plan::policy`.

mod connections;
mod cut;
pub(crate) mod denials;
pub(crate) mod flow;
mod listen;
mod places;
pub(crate) mod tally;

use std::sync::Arc;

use anyhow::Result;
use tombolo_model::KindName;

use crate::shared::Shared;

/// Starts what follows the kernel's rules: the cutting of connections, the listening to denials. Both
/// end with the process.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    cut::start(Arc::clone(shared))?;
    listen::start(Arc::clone(shared))
}

/// Whether resources of a kind say who may talk to whom.
pub(crate) fn is_policy(kind: KindName) -> bool {
    matches!(
        kind,
        KindName::Profile
            | KindName::Tier
            | KindName::NetworkPolicy
            | KindName::GlobalNetworkPolicy
            | KindName::NetworkSet
            | KindName::GlobalNetworkSet
            | KindName::HostEndpoint
            | KindName::Namespace
    )
}

//! The namespaces in which policies judge: how they are entered, and whose addresses are meant there.

use tombolo_kernel::{KernelError, NetnsHandle, Ownership};
use tombolo_model::{Name, World};
use tombolo_plan::{HostPlan, Netns, naming};

/// Enters a namespace of a plan. A sandbox's path that leads to another namespace by now leads to
/// none.
pub(super) fn open(
    netns: &Netns,
    plan: &HostPlan,
    ownership: &Ownership,
) -> Result<NetnsHandle, KernelError> {
    let path = match netns {
        Netns::Host => return NetnsHandle::current(),
        Netns::Segment(name) => ownership.namespaces.join(name.as_str()),
        Netns::Sandbox(path) => path.into(),
        Netns::Numbered(_) => return Err(gone(netns)),
    };
    let handle = NetnsHandle::open(path)?;
    let (_, inode) = handle.identity();
    let known = match netns {
        Netns::Sandbox(path) => plan.sandboxes.get(path),
        _ => None,
    };
    match known.is_none_or(|known| *known == inode) {
        true => Ok(handle),
        false => Err(gone(netns)),
    }
}

fn gone(netns: &Netns) -> KernelError {
    KernelError::SandboxGone {
        path: netns.to_string(),
    }
}

/// The network whose endpoints meet in a namespace; none for the host's own, where several do.
pub(super) fn network<'w>(world: &'w World, node: &Name, netns: &Netns) -> Option<&'w Name> {
    match netns {
        Netns::Host | Netns::Numbered(_) => None,
        Netns::Segment(name) => {
            let mut networks = world.networks.keys();
            networks.find(|network| naming::segment(node, network) == *name)
        }
        Netns::Sandbox(path) => {
            let mut own = world.endpoints.values();
            let found = own.find(|one| one.spec.node == *node && one.spec.sandbox == *path);
            found.map(|endpoint| &endpoint.spec.network)
        }
    }
}

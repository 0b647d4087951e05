//! Network namespaces of ours: each holds the segment of a network, and everything in it is ours.
//!
//! They are mounted where `ip netns` looks, so that `ip netns exec` leads into them. A namespace
//! does not say who made it; ours are known by their names.

use std::path::Path;

use nix::errno::Errno;
use tombolo_model::{IfName, Name};
use tombolo_plan::{Key, Netns, Object, Op};

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::link;
use crate::netns::NetnsHandle;
use crate::nsid;
use crate::read::Scope;

/// The namespaces that are ours, and those that the plan names.
pub(crate) fn read(scope: &Scope<'_>) -> Result<Vec<(Key, Object)>, KernelError> {
    let folder = &scope.ownership.namespaces;
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list the folder", folder, &error)),
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().and_then(|n| Name::new(n).ok()) else {
            continue;
        };
        let prefix = &scope.ownership.namespace_prefix;
        let ours = !prefix.is_empty() && name.as_str().starts_with(prefix);
        let key = Key::Namespace(name);
        // A file that nothing is mounted on is what is left of one.
        if (ours || scope.planned(&key)) && NetnsHandle::open(entry.path()).is_ok() {
            found.push((key, Object::Namespace));
        }
    }
    Ok(found)
}

/// Makes or removes one.
pub(crate) fn apply(kernel: &mut Kernel, name: &Name, op: &Op) -> Result<(), KernelError> {
    let folder = kernel.ownership.namespaces.clone();
    let path = folder.join(name.as_str());
    if matches!(op, Op::Remove { .. }) {
        empty(kernel, name)?;
        return NetnsHandle::delete(&path);
    }
    std::fs::create_dir_all(&folder).map_err(|error| failed("make the folder", &folder, &error))?;
    NetnsHandle::delete(&path)?;
    let made = NetnsHandle::create_at(&path)?;
    // By a number of its own its events are heard.
    nsid::assign(&mut kernel.host, &made).map(drop)
}

/// Removes the links in a namespace first: the kernel takes it apart only some time after its last
/// user has left, and until then its VXLAN devices keep their numbers.
fn empty(kernel: &mut Kernel, name: &Name) -> Result<(), KernelError> {
    let netns = Netns::Segment(name.clone());
    let handle = match kernel.open_namespace(&netns) {
        Ok(handle) => handle,
        Err(KernelError::SandboxGone { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut session = kernel.session_in(handle, &netns)?;
    session.load_links()?;
    let prefix = &kernel.ownership.link_prefix;
    let links: Vec<IfName> = session
        .links
        .iter()
        .filter(|link| link.name.starts_with(prefix))
        .filter_map(|link| IfName::new(link.name.as_str()).ok())
        .collect();
    let links: Vec<&IfName> = links.iter().collect();
    for outcome in link::remove_all(&mut session, &links, kernel.sandbox_port) {
        match outcome {
            Err(error) if error.errno() != Some(Errno::ENODEV) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn failed(operation: &'static str, path: &Path, error: &std::io::Error) -> KernelError {
    KernelError::Namespace {
        operation,
        netns: path.display().to_string(),
        errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

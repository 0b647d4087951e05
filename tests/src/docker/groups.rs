//! The control groups of a lab's engines, which are the machine's, and their end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::DEADLINE;

const PREFIX: &str = "tombolo-test-";

/// The parent group of a lab's engines. When this is dropped it is removed with what is in it, once
/// the processes have left it; a test that was killed leaves it to the next.
pub(super) struct Groups {
    name: String,
}

impl Groups {
    /// The group of a lab of this process.
    pub(super) fn new(lab: &str) -> Groups {
        sweep();
        let name = format!("{PREFIX}{}-{lab}", std::process::id());
        Groups { name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let begun = Instant::now();
        for group in folders().iter().map(|folder| folder.join(&self.name)) {
            // A process that was killed is in its group until it is reaped.
            while !removed(&group) && begun.elapsed() < DEADLINE {
                std::thread::yield_now();
            }
        }
    }
}

/// Where groups are: each mounted hierarchy.
fn folders() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| matches!(fields[..], [_, _, "cgroup" | "cgroup2", ..]))
        .map(|fields| PathBuf::from(fields[1]))
        .collect()
}

/// Removes a group and those in it, from the innermost: whether it is gone.
fn removed(group: &Path) -> bool {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        removed(&entry.path());
    }
    let _ = fs::remove_dir(group);
    !group.exists()
}

/// Removes the groups of processes that are gone.
fn sweep() {
    for folder in folders() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            let owner = rest.and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                removed(&entry.path());
            }
        }
    }
}

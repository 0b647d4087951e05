//! What a lab's processes see of the file system: the machine's, with private places to write.
//!
//! `/run` is empty and in memory. `/etc` and `/var/lib` show the machine's files, but what is
//! written there stays in memory (overlay over tmpfs; where the kernel has none, a tmpfs of
//! symbolic links). The state folders start empty whatever the machine has. `/tmp` and the rest are
//! the machine's own, so that tests can pass files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::LabError;

/// Folders that are empty in each host.
const EMPTY: &[&str] = &[
    "/var/lib/tombolo",
    "/etc/tombolo",
    "/var/lib/cni",
    "/etc/cni",
];

/// Where what the mounts need is kept.
const STORE: &str = "/run/lab";

/// Keeps everything that is mounted from now on from being seen outside.
pub(crate) fn make_private() -> Result<(), LabError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(LabError::errno("make mounts private", "/"))
}

/// The `/proc` of the caller's pid namespace.
pub(crate) fn proc() -> Result<(), LabError> {
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(LabError::errno("mount proc", "/proc"))
}

/// Lets interfaces that are made from now on use their IPv6 addresses at once: in a lab nobody else
/// has them, and a router without a link-local address forwards nothing (a second or two of
/// duplicate address detection, RFC 4862 section 5.4). A kernel without IPv6 has no such setting.
pub(crate) fn trust_addresses() -> Result<(), LabError> {
    let path = "/proc/sys/net/ipv6/conf/default/accept_dad";
    match fs::write(path, "0") {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::system("write", path)(error))
        }
        _ => Ok(()),
    }
}

/// An empty folder in memory, over what is there.
pub(crate) fn memory(at: &str) -> Result<(), LabError> {
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .map_err(LabError::errno("mount tmpfs", at))
}

/// Everything that a host needs of its own.
pub(crate) fn host() -> Result<(), LabError> {
    proc()?;
    memory("/run")?;
    fs::create_dir_all(STORE).map_err(LabError::system("create", STORE))?;
    fs::create_dir_all("/run/netns").map_err(LabError::system("create", "/run/netns"))?;
    sys()?;
    for (at, store) in [("/etc", "etc"), ("/var/lib", "var-lib")] {
        if overlay(at, store).is_err() {
            links(at, store)?;
        }
    }
    for at in EMPTY {
        fs::create_dir_all(at).map_err(LabError::system("create", at))?;
        memory(at)?;
    }
    Ok(())
}

/// A `/sys` that shows the host's own interfaces, with the machine's cgroups kept.
fn sys() -> Result<(), LabError> {
    let (cgroup, kept) = ("/sys/fs/cgroup", format!("{STORE}/cgroup"));
    fs::create_dir(&kept).map_err(LabError::system("create", &kept))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let none = None::<&str>;
    let has_cgroup = mount(Some(cgroup), kept.as_str(), none, bind, none).is_ok();
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none)
        .map_err(LabError::errno("mount sysfs", "/sys"))?;
    if has_cgroup && Path::new(cgroup).exists() {
        mount(Some(kept.as_str()), cgroup, none, MsFlags::MS_MOVE, none)
            .or_else(|_| mount(Some(kept.as_str()), cgroup, none, bind, none))
            .map_err(LabError::errno("keep cgroups", cgroup))?;
    }
    Ok(())
}

fn overlay(at: &str, store: &str) -> Result<(), LabError> {
    let (upper, work) = (
        format!("{STORE}/{store}/upper"),
        format!("{STORE}/{store}/work"),
    );
    for folder in [&upper, &work] {
        fs::create_dir_all(folder).map_err(LabError::system("create", folder))?;
    }
    let options = format!("lowerdir={at},upperdir={upper},workdir={work}");
    mount(
        Some("overlay"),
        at,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(LabError::errno("mount overlay", at))
}

/// Where there is no overlay: a folder in memory with a link to each of the machine's entries.
fn links(at: &str, store: &str) -> Result<(), LabError> {
    let lower = format!("{STORE}/{store}/lower");
    fs::create_dir_all(&lower).map_err(LabError::system("create", &lower))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(at), lower.as_str(), None::<&str>, bind, None::<&str>)
        .map_err(LabError::errno("bind", at))?;
    memory(at)?;
    for entry in fs::read_dir(&lower)
        .map_err(LabError::system("list", &lower))?
        .flatten()
    {
        let here = Path::new(at).join(entry.file_name());
        if EMPTY.iter().any(|empty| here == Path::new(empty)) {
            continue;
        }
        symlink(entry.path(), &here).map_err(LabError::system("link", here.display()))?;
    }
    Ok(())
}

//! Kernel settings below `/proc/sys`.
//!
//! `/proc/sys/net` shows the settings of the namespace of whoever opens it, so files of another
//! namespace are opened by a thread inside. A setting of a link is there only while the link is.

use nix::errno::Errno;

use crate::error::{KernelError, hint_for};
use crate::netns::NetnsHandle;

/// Reads settings of one namespace; those that do not exist are left out.
pub(crate) fn read(
    netns: &NetnsHandle,
    keys: &[&str],
) -> Result<Vec<(String, String)>, KernelError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    inside(netns, || {
        let read = |key: &&str| {
            let value = std::fs::read_to_string(path(key)?).ok()?;
            Some(((*key).to_owned(), value.trim_end().to_owned()))
        };
        keys.iter().filter_map(read).collect()
    })
}

/// Writes settings of one namespace, each with its own result.
pub(crate) fn write(
    netns: &NetnsHandle,
    settings: &[(&str, &str)],
) -> Result<Vec<Result<(), KernelError>>, KernelError> {
    inside(netns, || {
        settings
            .iter()
            .map(|(key, value)| write_one(key, value))
            .collect()
    })
}

fn write_one(key: &str, value: &str) -> Result<(), KernelError> {
    let path = path(key).ok_or_else(|| KernelError::Impossible {
        operation: format!("write sysctl {key}"),
        reason: "settings are paths below net/, without `.` or `..` as a step",
    })?;
    std::fs::write(&path, value).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        KernelError::File {
            operation: "write",
            path,
            errno,
            hint: hint(key, errno),
        }
    })
}

/// What a missing setting means.
fn hint(key: &str, errno: Errno) -> &'static str {
    if errno != Errno::ENOENT {
        return hint_for(errno);
    }
    if key.starts_with("net/netfilter/") {
        "the kernel lacks connection tracking: modprobe nf_conntrack"
    } else if key.starts_with("net/bridge/") {
        "the kernel lacks bridge netfilter: modprobe br_netfilter"
    } else if key.starts_with("net/ipv6/") {
        "the kernel has no IPv6, or the interface is gone"
    } else {
        "the kernel has no such setting, or the interface is gone"
    }
}

/// The file of a setting; none where it would lead elsewhere.
fn path(key: &str) -> Option<String> {
    let sound =
        key.starts_with("net/") && key.split('/').all(|step| !matches!(step, "" | "." | ".."));
    sound.then(|| format!("/proc/sys/{key}"))
}

fn inside<T: Send>(netns: &NetnsHandle, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
    if NetnsHandle::current()?.identity() == netns.identity() {
        Ok(work())
    } else {
        netns.run(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_stay_below_net() {
        for key in [
            "kernel/hostname",
            "net/../kernel/x",
            "net//x",
            "/net/x",
            "net/ipv4/./x",
        ] {
            assert_eq!(path(key), None, "{key}");
        }
        assert!(path("net/ipv4/conf/eth0.5/forwarding").is_some());
    }
}

//! Network namespaces: opened by path or descriptor, entered by a thread, made and removed.
//!
//! A namespace belongs to a thread, not to a process: who calls `setns` on a thread of a runtime's
//! pool changes where somebody else's later code runs. So work in a namespace is done by a thread
//! that is made for it and ends with it ([`NetnsHandle::run`]), and the caller never moves.
//!
//! An open handle, and any socket opened inside, keeps the namespace alive. Handles to sandboxes
//! are therefore never kept longer than one read or one apply.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::KernelError;

/// Magic number of the file system of namespaces (`NSFS_MAGIC`, linux/magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;
const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace.
#[derive(Debug, Clone)]
pub struct NetnsHandle {
    fd: Arc<OwnedFd>,
    name: String,
    identity: (u64, u64),
}

impl NetnsHandle {
    /// Opens the namespace at a path, as `/run/netns/a` or `/proc/1/ns/net`.
    ///
    /// # Errors
    /// [`KernelError::SandboxGone`] if there is no namespace at the path.
    pub fn open(path: impl AsRef<Path>) -> Result<NetnsHandle, KernelError> {
        let name = path.as_ref().display().to_string();
        let file = File::open(path).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH | libc::ENOTDIR) => {
                KernelError::SandboxGone { path: name.clone() }
            }
            code => KernelError::Namespace {
                operation: "open the network namespace",
                netns: name.clone(),
                errno: Errno::from_raw(code.unwrap_or(libc::EIO)),
            },
        })?;
        NetnsHandle::from_fd(file.into(), name)
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> Result<NetnsHandle, KernelError> {
        let mut handle = NetnsHandle::open(OWN)?;
        handle.name = "host".to_owned();
        Ok(handle)
    }

    /// A namespace by an open descriptor; `name` is for messages only.
    ///
    /// # Errors
    /// The descriptor is not a namespace's: a path whose mount is gone leaves a plain file.
    pub fn from_fd(fd: OwnedFd, name: impl Into<String>) -> Result<NetnsHandle, KernelError> {
        let name = name.into();
        let failed = |errno| KernelError::Namespace {
            operation: "open the network namespace",
            netns: name.clone(),
            errno,
        };
        let kind = nix::sys::statfs::fstatfs(&fd)
            .map_err(failed)?
            .filesystem_type();
        if kind.0 != NSFS_MAGIC {
            return Err(KernelError::SandboxGone { path: name });
        }
        let file = File::from(fd);
        let stat = file
            .metadata()
            .map_err(|e| failed(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))?;
        let identity = (stat.dev(), stat.ino());
        Ok(NetnsHandle {
            fd: Arc::new(file.into()),
            name,
            identity,
        })
    }

    /// Makes a namespace without a name: it lives as long as its handles, and what is in it.
    ///
    /// # Errors
    /// Needs CAP_SYS_ADMIN.
    pub fn create() -> Result<NetnsHandle, KernelError> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| KernelError::Namespace {
                operation: "make",
                netns: "a network namespace".to_owned(),
                errno,
            })?;
            let mut handle = NetnsHandle::open(OWN)?;
            handle.name = format!("net:[{}]", handle.identity.1);
            Ok(handle)
        })
    }

    /// Makes a namespace and mounts it on a new file, as `ip netns add` does.
    ///
    /// # Errors
    /// Needs CAP_SYS_ADMIN; the file must not exist, and its folder must.
    pub fn create_at(path: impl AsRef<Path>) -> Result<NetnsHandle, KernelError> {
        let path = path.as_ref();
        let failed = |operation, errno| KernelError::Namespace {
            operation,
            netns: path.display().to_string(),
            errno,
        };
        File::create_new(path).map_err(|e| {
            failed(
                "make the file",
                Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)),
            )
        })?;
        let made = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| failed("make the namespace", e))?;
            mount(
                Some(OWN),
                path,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            )
            .map_err(|e| failed("mount the namespace on", e))
        });
        if let Err(error) = made {
            // The file was made by this call; leaving it would make the next call fail.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        NetnsHandle::open(path)
    }

    /// Unmounts a namespace from its file and removes the file. What is not there is no error.
    ///
    /// # Errors
    /// The mount or the file could not be removed.
    pub fn delete(path: impl AsRef<Path>) -> Result<(), KernelError> {
        let path = path.as_ref();
        let failed = |errno| KernelError::Namespace {
            operation: "remove the namespace",
            netns: path.display().to_string(),
            errno,
        };
        match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(failed(errno)),
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(
                Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            )),
            _ => Ok(()),
        }
    }

    /// Device and inode number of the namespace: equal if and only if it is the same one.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// How it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a function in a thread of its own inside the namespace, and waits for it.
    ///
    /// # Errors
    /// The namespace cannot be entered: without CAP_SYS_ADMIN, or it is of another kind.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        in_thread(|| {
            setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| KernelError::Namespace {
                operation: "enter the network namespace",
                netns: self.name.clone(),
                errno,
            })?;
            Ok(work())
        })
    }
}

impl AsFd for NetnsHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Runs a function in a new thread; a panic in it goes on in the caller.
fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_stays_where_it_is() {
        let before = NetnsHandle::current().unwrap().identity();
        let other = NetnsHandle::create().unwrap();
        let inside = other
            .run(|| NetnsHandle::current().unwrap().identity())
            .unwrap();
        assert_eq!(inside, other.identity());
        assert_ne!(inside, before);
        assert_eq!(NetnsHandle::current().unwrap().identity(), before);
    }

    #[test]
    fn a_path_without_a_namespace_is_a_sandbox_that_is_gone() {
        for path in ["/nonexistent/netns", "/proc/version"] {
            let error = NetnsHandle::open(path).unwrap_err();
            assert_eq!(error, KernelError::SandboxGone { path: path.into() });
        }
    }

    #[test]
    fn a_mounted_namespace_comes_and_goes() {
        let path = std::env::temp_dir().join(format!("tombolo-netns-{}", std::process::id()));
        let made = NetnsHandle::create_at(&path).unwrap();
        let opened = NetnsHandle::open(&path).unwrap();
        assert_eq!(made.identity(), opened.identity());
        NetnsHandle::delete(&path).unwrap();
        assert!(matches!(
            NetnsHandle::open(&path),
            Err(KernelError::SandboxGone { .. })
        ));
        NetnsHandle::delete(&path).unwrap();
    }
}

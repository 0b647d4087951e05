//! What can go wrong with a lab, and what to do about it.

use std::io;

use tombolo_kernel::KernelError;

/// Why something with a lab failed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The caller asked for what no lab can be.
    #[error("lab: {what} {value:?} is not allowed: {rule}")]
    Spec {
        /// What it was to be.
        what: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// There is no such lab, or no such host in it.
    #[error("lab: there is no {what} {name:?}; {hint}")]
    Missing {
        /// `lab` or `host`.
        what: &'static str,
        /// Its name.
        name: String,
        /// What there is instead.
        hint: String,
    },
    /// A lab of this name runs already.
    #[error(
        "lab {0:?} is up already; end it by `tombolo lab down --name {0}` or choose another name"
    )]
    Exists(String),
    /// An operation of the system failed.
    #[error("lab: {operation} on {object}: {source}{hint}")]
    System {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        object: String,
        /// The system's answer.
        source: io::Error,
        /// What to do, starting with `; `, or nothing.
        hint: &'static str,
    },
    /// The kernel's network did not become as wanted.
    #[error("lab: {0}")]
    Kernel(#[from] KernelError),
    /// The wires could not be laid.
    #[error("lab: wiring failed: {0}")]
    Wiring(String),
    /// A step of the demo did not come out as it should.
    #[error("demo: {0}")]
    Demo(String),
    /// A process of the lab said why it could not start.
    #[error("lab {name:?} did not start: {message}")]
    Start {
        /// The lab.
        name: String,
        /// What its processes said.
        message: String,
    },
    /// A command in the lab failed.
    #[error("lab: `{command}` on {target} failed ({status}): {output}")]
    Command {
        /// What was run.
        command: String,
        /// Where.
        target: String,
        /// How it ended.
        status: String,
        /// What it wrote.
        output: String,
    },
}

impl LabError {
    /// An operation of the system that failed.
    pub(crate) fn system(
        operation: &'static str,
        object: impl ToString,
    ) -> impl FnOnce(io::Error) -> LabError {
        let object = object.to_string();
        move |source| LabError::System {
            operation,
            object,
            source,
            hint: "",
        }
    }

    /// The same for what `nix` answers.
    pub(crate) fn errno(
        operation: &'static str,
        object: impl ToString,
    ) -> impl FnOnce(nix::Error) -> LabError {
        let object = object.to_string();
        move |errno| LabError::System {
            operation,
            object,
            source: errno.into(),
            hint: hint(operation, errno),
        }
    }
}

/// What to do where a namespace or a mount is refused.
fn hint(operation: &str, errno: nix::Error) -> &'static str {
    use nix::errno::Errno::{EACCES, EINVAL, ENOSPC, EPERM};
    match (operation, errno) {
        ("unshare user", EPERM | EACCES | EINVAL) => {
            "; user namespaces are not allowed here: set sysctl kernel.unprivileged_userns_clone=1 \
             (Debian) or kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), or run as root"
        }
        ("unshare user" | "unshare", ENOSPC) => {
            "; too many namespaces: raise sysctl user.max_user_namespaces and its like, or run as root"
        }
        ("unshare", EPERM | EACCES) => {
            "; the lab needs CAP_SYS_ADMIN or an unrestricted user namespace \
             (sysctl kernel.apparmor_restrict_unprivileged_userns=0): run as root"
        }
        ("mount proc" | "mount sysfs", EPERM) => {
            "; inside a container parts of /proc or /sys are hidden, and the kernel allows no fresh \
             one: run the container privileged, or the lab outside of it"
        }
        _ => "",
    }
}

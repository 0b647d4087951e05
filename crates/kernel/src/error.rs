//! What can go wrong between this crate and a kernel, with what to do about it.
//!
//! Every error names the operation, the object, the namespace, and the kernel's own words where it
//! has any (the extended acknowledgement of netlink), else the meaning of its error number.

use std::fmt;

use nix::errno::Errno;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The kernel refused an operation.
    #[error("{operation} in {netns}: {cause}{}", Hint(hint))]
    Refused {
        /// What was attempted, on which object.
        operation: String,
        /// The namespace.
        netns: String,
        /// The kernel's answer.
        cause: NetlinkError,
        /// What to do about it, where that is known.
        hint: &'static str,
    },
    /// The nftables transaction was refused because of other operations in it; nothing of it was
    /// done.
    #[error(
        "{operation} in {netns}: not done, because the transaction that it is part of was refused: {cause}"
    )]
    Aborted {
        /// What was attempted, on which object.
        operation: String,
        /// The namespace.
        netns: String,
        /// The first refusal.
        cause: String,
    },
    /// A sandbox does not exist any more.
    #[error(
        "the sandbox {path} is gone: there is no network namespace at that path; detach its endpoint"
    )]
    SandboxGone {
        /// Its path.
        path: String,
    },
    /// An object needs a link that is not there.
    #[error("{operation} in {netns}: there is no link {link}; it has to be made first")]
    NoLink {
        /// What was attempted, on which object.
        operation: String,
        /// The namespace.
        netns: String,
        /// The missing link.
        link: String,
    },
    /// An interface cannot stand on the one that it is meant to.
    #[error("{operation}: its parent {parent} {reason}")]
    Parent {
        /// What was attempted, on which object.
        operation: String,
        /// The interface of the host.
        parent: String,
        /// Why it cannot bear it, and what to do.
        reason: String,
    },
    /// A file could not be used.
    #[error("{operation} {path}: {}{}", errno.desc(), Hint(hint))]
    File {
        /// `read`, `write`, `open`, ….
        operation: &'static str,
        /// The file.
        path: String,
        /// Why.
        errno: Errno,
        /// What to do about it, where that is known.
        hint: &'static str,
    },
    /// A namespace could not be made, entered or removed, or a socket in it could not be opened.
    #[error("{operation} {netns}: {}{}", errno.desc(), Hint(hint_for(*errno)))]
    Namespace {
        /// What was attempted.
        operation: &'static str,
        /// The namespace.
        netns: String,
        /// Why.
        errno: Errno,
    },
    /// The wish cannot be expressed to a kernel.
    #[error("{operation}: {reason}")]
    Impossible {
        /// What was attempted, on which object.
        operation: String,
        /// Why it cannot be.
        reason: &'static str,
    },
}

impl KernelError {
    /// The kernel's error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            KernelError::Refused { cause, .. } => Some(cause.errno),
            KernelError::File { errno, .. } | KernelError::Namespace { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// A refusal, with the hint that fits it.
    pub(crate) fn refused(
        operation: impl fmt::Display,
        netns: impl fmt::Display,
        cause: NetlinkError,
    ) -> KernelError {
        KernelError::refused_with(operation, netns, cause, None)
    }

    /// A refusal, with a hint of the caller's if he has one, else that which fits the error number.
    pub(crate) fn refused_with(
        operation: impl fmt::Display,
        netns: impl fmt::Display,
        cause: NetlinkError,
        hint: Option<&'static str>,
    ) -> KernelError {
        let hint = hint.unwrap_or_else(|| hint_for(cause.errno));
        KernelError::Refused {
            operation: operation.to_string(),
            netns: netns.to_string(),
            cause,
            hint,
        }
    }
}

/// A netlink error: number, the kernel's own words, and where in the message it found the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetlinkError {
    /// The error number.
    pub errno: Errno,
    /// `NLMSGERR_ATTR_MSG`: the kernel's explanation.
    pub message: Option<String>,
    /// `NLMSGERR_ATTR_OFFS`: bytes from the start of the message to the attribute at fault.
    pub offset: Option<u32>,
}

impl From<Errno> for NetlinkError {
    fn from(errno: Errno) -> NetlinkError {
        NetlinkError {
            errno,
            message: None,
            offset: None,
        }
    }
}

impl fmt::Display for NetlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(
                f,
                "{} ({})",
                message.trim_end_matches('.'),
                self.errno.desc()
            ),
            None => f.write_str(self.errno.desc()),
        }
    }
}

impl std::error::Error for NetlinkError {}

/// Prints a hint behind a semicolon, or nothing.
struct Hint<'a>(&'a str);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, "; {}", self.0)
        }
    }
}

/// What to do about an error number.
pub(crate) fn hint_for(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "this needs CAP_NET_ADMIN (and CAP_SYS_ADMIN for sandboxes): run as root, or in a user namespace of your own"
        }
        Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT => {
            "the kernel lacks this feature: load its module (modprobe veth bridge vxlan nf_tables), or boot a kernel that has it"
        }
        Errno::ENODEV => "an interface that it names does not exist",
        Errno::ENETUNREACH | Errno::EHOSTUNREACH => {
            "the gateway is not on the link: give the link an address in its subnet, or mark the route onlink"
        }
        Errno::ENETDOWN => "the link is down: set it up first",
        Errno::EEXIST => {
            "something else holds its place: look at it with ip or nft, and remove it if it is not needed"
        }
        Errno::EBUSY => "something still refers to it",
        Errno::ENOBUFS => {
            "netlink's buffers were too small for the answer: raise net.core.rmem_max"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_failed_where_why_and_what_to_do() {
        let cause = NetlinkError {
            errno: Errno::ENETUNREACH,
            message: Some("Nexthop has invalid gateway".into()),
            offset: None,
        };
        let text = KernelError::refused("create route 10.0.0.0/8", "host", cause).to_string();
        assert_eq!(
            text,
            "create route 10.0.0.0/8 in host: Nexthop has invalid gateway (Network is unreachable); \
             the gateway is not on the link: give the link an address in its subnet, or mark the route onlink"
        );
    }
}

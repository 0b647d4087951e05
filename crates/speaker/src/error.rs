//! What keeps a speaker from speaking at all.
//!
//! That a peer cannot be reached, refuses, or breaks the protocol is no error of the speaker's: it is
//! the state of that session, and is told there.

use std::net::SocketAddr;

/// Why a speaker does not run as it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpeakerError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the port is taken by another program, most likely a BGP daemon \
         that is already running on this host; stop it, or choose another port"
    )]
    PortTaken {
        /// The address and the port.
        address: SocketAddr,
    },
    /// The kernel does not let us listen there.
    #[error(
        "cannot listen on {address}: {cause}; a port below 1024 needs CAP_NET_BIND_SERVICE, and the \
         address must be one of this host"
    )]
    Listen {
        /// The address and the port.
        address: SocketAddr,
        /// The kernel's reason.
        cause: String,
    },
    /// The kernel has no more of something.
    #[error("cannot {operation}: {cause}; the limit of open files may be too low")]
    Resources {
        /// What was attempted.
        operation: &'static str,
        /// The kernel's reason.
        cause: String,
    },
    /// The speaker has ended.
    #[error("the speaker has stopped; start another one")]
    Stopped,
}

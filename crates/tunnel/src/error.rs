//! What keeps a tunnel from being opened.

use std::net::SocketAddr;

use nix::errno::Errno;

/// Why a tunnel is not as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// The TUN device cannot be opened.
    #[error("cannot open the TUN device {device}: {operation}: {errno}; {hint}")]
    Device {
        /// The device's name.
        device: String,
        /// What was attempted.
        operation: &'static str,
        /// The kernel's reason.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// A UDP socket cannot be had.
    #[error("cannot listen on UDP {address}: {operation}: {errno}; {hint}")]
    Socket {
        /// The address and the port.
        address: SocketAddr,
        /// What was attempted.
        operation: &'static str,
        /// The kernel's reason.
        errno: Errno,
        /// What to do.
        hint: &'static str,
    },
    /// A message could not be sent.
    #[error("cannot send {bytes} bytes to {to}: {errno}")]
    Send {
        /// To whom.
        to: SocketAddr,
        /// How large the UDP payload was.
        bytes: usize,
        /// The kernel's reason; `EMSGSIZE` if it is larger than the way's first device.
        errno: Errno,
    },
    /// There is no socket of that port and family.
    #[error("no socket of this tunnel is on port {port} and could send to {to}")]
    NoSocket {
        /// The local port.
        port: u16,
        /// To whom.
        to: SocketAddr,
    },
    /// The process that runs the tunnel cannot be asked.
    #[error("cannot speak with the tunnel at {path}: {cause}; is `tombolo tunnel` running there?")]
    Process {
        /// The socket.
        path: String,
        /// Why.
        cause: String,
    },
    /// The tunnel has ended.
    #[error("the tunnel has stopped; start another one")]
    Stopped,
    /// The kernel has no more of something.
    #[error("cannot {operation}: {errno}; the limit of processes or of open files may be too low")]
    Resources {
        /// What was attempted.
        operation: &'static str,
        /// The kernel's reason.
        errno: Errno,
    },
}

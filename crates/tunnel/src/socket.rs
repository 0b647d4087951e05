//! The UDP sockets of a tunnel: several on one port, so that peers are spread over the threads, and the
//! packets of one peer stay in order.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, getsockname,
    setsockopt, socket, sockopt,
};

use crate::error::TunnelError;
use crate::sys;

/// As much may wait on a socket. The kernel counts its own overhead too.
const BUFFER_BYTES: usize = 8 << 20;

/// A UDP socket of the tunnel.
#[derive(Debug)]
pub struct Socket {
    /// Where it listens.
    pub address: SocketAddr,
    /// The socket.
    pub fd: OwnedFd,
}

impl Socket {
    /// Opens so many sockets on one address, in the namespace of the calling thread.
    ///
    /// # Errors
    /// The port is taken, or the address is none of this host's.
    pub fn open(address: SocketAddr, count: usize) -> Result<Vec<Socket>, TunnelError> {
        let mut sockets = Vec::new();
        let mut address = address;
        for _ in 0..count.max(1) {
            let socket = open(address)?;
            // A port that the kernel chose for the first is that of all.
            address = socket.address;
            sockets.push(socket);
        }
        Ok(sockets)
    }

    /// A socket that was opened before, perhaps by another process.
    ///
    /// # Errors
    /// It is no UDP socket that is bound.
    pub fn from_fd(fd: OwnedFd) -> Result<Socket, TunnelError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = local(&fd).map_err(|errno| failed(unknown, "take the socket over", errno))?;
        Ok(Socket { address, fd })
    }
}

fn open(address: SocketAddr) -> Result<Socket, TunnelError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let step = |operation| move |errno| failed(address, operation, errno);
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Datagram, flags, SockProtocol::Udp)
        .map_err(step("open a socket"))?;
    setsockopt(&fd, sockopt::ReusePort, &true)
        .map_err(step("share the port among our own sockets"))?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true).map_err(step("keep IPv4 apart"))?;
    }
    sys::forbid_fragments(fd.as_fd(), address.is_ipv6()).map_err(step("forbid fragments"))?;
    // A kernel without it (before Linux 5.0) hands the datagrams over one by one.
    let _ = setsockopt(&fd, sockopt::UdpGroSegment, &true);
    // Without the right to it the usual room has to do.
    let _ = setsockopt(&fd, sockopt::RcvBufForce, &BUFFER_BYTES);
    let _ = setsockopt(&fd, sockopt::SndBufForce, &BUFFER_BYTES);
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).map_err(step("bind"))?;
    let address = local(&fd).map_err(step("ask for the port"))?;
    Ok(Socket { address, fd })
}

fn local(fd: &OwnedFd) -> Result<SocketAddr, Errno> {
    let name: SockaddrStorage = getsockname(fd.as_raw_fd())?;
    let v4 = name.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    let v6 = name
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()));
    v4.or(v6)
        .filter(|address| address.port() > 0)
        .ok_or(Errno::EINVAL)
}

fn failed(address: SocketAddr, operation: &'static str, errno: Errno) -> TunnelError {
    let hint = match errno {
        Errno::EADDRINUSE => "another program has the port; choose another one for the network",
        Errno::EADDRNOTAVAIL => "the address is none of this host's",
        Errno::EAFNOSUPPORT => "this host has no IPv6",
        Errno::EACCES | Errno::EPERM => "a port below 1024 needs CAP_NET_BIND_SERVICE",
        _ => "see the limits of open files and of memory for sockets",
    };
    TunnelError::Socket {
        address,
        operation,
        errno,
        hint,
    }
}

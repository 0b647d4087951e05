//! The only unsafe code of the crate: system calls that no safe wrapper has as they are needed here, many
//! messages in one call, from and to buffers that are there already.
//!
//! It decides nothing. Callers say by [`Piece`](crate::packet::Piece) which parts of which buffer are
//! meant; here they become the kernel's vectors, after their bounds are checked.

#![allow(unsafe_code)]

mod address;
mod receive;
mod send;
mod tun;

pub(crate) use receive::{Received, Receiver};
pub(crate) use send::{Outgoing, Vectors};
pub(crate) use tun::{device_name, open_queue, persist, set_offloads};

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// Has datagrams that are larger than the way refused, whatever the kernel believes of the way (ip(7),
/// `IP_PMTUDISC_PROBE`). Other options of sockets are `nix`'s.
pub(crate) fn forbid_fragments(fd: BorrowedFd<'_>, ipv6: bool) -> Result<(), Errno> {
    let (level, option, value) = if ipv6 {
        let probe = libc::IPV6_PMTUDISC_PROBE;
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, probe)
    } else {
        let probe = libc::IP_PMTUDISC_PROBE;
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, probe)
    };
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the pointer and the size are
    // those of one live integer, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    Errno::result(result).map(drop)
}

/// Takes a descriptor that another process has just sent, and that nobody here has besides.
pub(crate) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has made it for this process in this very call, whose result is used once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

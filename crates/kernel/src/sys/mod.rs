//! The only unsafe code of the crate: socket options of netlink that no safe wrapper knows.
//!
//! It decides nothing. Everything else that the crate asks of the kernel goes through `nix`'s safe
//! functions or through files.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Sets an integer option of level `SOL_NETLINK` (linux/netlink.h).
pub(crate) fn set_netlink_option(
    fd: BorrowedFd<'_>,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the pointer and the size are
    // those of one live integer, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    Errno::result(result).map(drop)
}

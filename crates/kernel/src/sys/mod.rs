//! The only unsafe code of the crate: what no safe wrapper knows of sockets and of the C library.
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
    set_option(fd, libc::SOL_NETLINK, option, value)
}

/// Sets an integer option of a socket.
pub(crate) fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
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

/// Reads an option whose question and answer share one buffer, as those of iptables do.
pub(crate) fn get_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    buffer: &mut [u8],
) -> Result<(), Errno> {
    let mut size = libc::socklen_t::try_from(buffer.len()).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads and writes at
    // most `size` bytes of the buffer, which is exactly so long and borrowed alone.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    Errno::result(result).map(drop)
}

/// Sends a frame by an interface.
pub(crate) fn send_frame(fd: BorrowedFd<'_>, link: u32, frame: &[u8]) -> Result<(), Errno> {
    let mut address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: libc::c_int::try_from(link).map_err(|_| Errno::ENODEV)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    };
    for (place, byte) in address.sll_addr.iter_mut().zip(frame.iter().take(6)) {
        *place = *byte;
    }
    // SAFETY: frame and address live until the call returns, which only reads them, each by its own
    // length.
    let sent = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    Errno::result(sent).map(drop)
}

/// Makes a persistent TUN device of several queues, whose packets have a `virtio_net_hdr` before them, in
/// the namespace of the calling thread (linux/if_tun.h). `control` is an open `/dev/net/tun`.
pub(crate) fn make_tun(control: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags as libc::c_short,
        },
    };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel reads and writes the one
    // live structure, whose name ends with a zero.
    let made = unsafe { libc::ioctl(control.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(made)?;
    let persist: libc::c_ulong = 1;
    // SAFETY: the descriptor is open for as long as it is borrowed; the argument is a number.
    let kept = unsafe { libc::ioctl(control.as_raw_fd(), libc::TUNSETPERSIST, persist) };
    Errno::result(kept).map(drop)
}

/// Gives memory that is free by now back to the kernel. After a large list was taken apart that is
/// more than the allocator gives back by itself. Does nothing where the C library cannot.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and the allocator locks itself (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

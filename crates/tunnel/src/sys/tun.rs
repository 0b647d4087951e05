//! TUN devices (Documentation/networking/tuntap.rst, linux/if_tun.h).

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Attaches an open `/dev/net/tun` to the device of that name as one of its queues. Makes the device if it
/// is not there. The flags are `IFF_…`.
pub(crate) fn open_queue(fd: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> Result<(), Errno> {
    let mut request = request();
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: the kernel reads and writes one `ifreq`, which is alive and borrowed alone.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    Errno::result(result).map(drop)
}

/// The name of the device that a queue is of.
pub(crate) fn device_name(fd: BorrowedFd<'_>) -> Result<String, Errno> {
    let mut request = request();
    // SAFETY: the kernel writes one `ifreq`, which is alive and borrowed alone.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) };
    Errno::result(result)?;
    let name = request.ifr_name.iter().take_while(|byte| **byte != 0);
    Ok(name.map(|byte| char::from(*byte as u8)).collect())
}

/// Whether the device stays when nobody has it open.
pub(crate) fn persist(fd: BorrowedFd<'_>, stay: bool) -> Result<(), Errno> {
    // SAFETY: the argument is a number.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETPERSIST,
            libc::c_ulong::from(stay),
        )
    };
    Errno::result(result).map(drop)
}

/// Which super-packets may be handed to us as they are (`TUN_F_…`).
pub(crate) fn set_offloads(fd: BorrowedFd<'_>, offloads: u32) -> Result<(), Errno> {
    // SAFETY: the argument is a number.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            libc::c_ulong::from(offloads),
        )
    };
    Errno::result(result).map(drop)
}

fn request() -> libc::ifreq {
    // SAFETY: `ifreq` is a plain structure, for which zero bytes are a value.
    unsafe { std::mem::zeroed() }
}

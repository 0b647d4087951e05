//! A network's TUN device, with all the offloads that the kernel has.
//!
//! To see it: `ip -d link show type tun`, `ethtool -k NAME`, and the packets before they are wrapped with
//! `tcpdump -i NAME`. The device is made to stay when nobody reads it, so that its routes stay as well.

use std::fs::OpenOptions;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

use crate::error::TunnelError;
use crate::{NetworkId, sys};

const CHECKSUM: u32 = 0x01;
const TCP: u32 = 0x02 | 0x04;
/// `TUN_F_USO4`, `TUN_F_USO6`: since Linux 6.2.
const UDP: u32 = 0x20 | 0x40;

/// The queues of a network's device.
#[derive(Debug)]
pub struct Device {
    /// Whose packets it carries.
    pub network: NetworkId,
    /// The device's queues.
    pub queues: Vec<OwnedFd>,
}

impl Device {
    /// Opens so many queues of the device of that name, in the namespace of the calling thread. It is made
    /// if it is not there, and stays.
    ///
    /// # Errors
    /// No `/dev/net/tun`, no right to it (CAP_NET_ADMIN), or another device has the name.
    pub fn open(name: &str, network: NetworkId, queues: usize) -> Result<Device, TunnelError> {
        let queues = (0..queues.max(1))
            .map(|_| open(name))
            .collect::<Result<Vec<OwnedFd>, TunnelError>>()?;
        Ok(Device { network, queues })
    }

    /// Opens a device without offloads, whose one queue blocks who reads it: packet after packet, as they
    /// would be on a wire. It is what simple tunnels do, and what this one is measured by.
    ///
    /// # Errors
    /// As of [`Device::open`].
    pub fn open_plain(name: &str) -> Result<OwnedFd, TunnelError> {
        let queue = attach(name, libc::IFF_TUN | libc::IFF_NO_PI, 0)?;
        sys::persist(queue.as_fd(), true).map_err(|errno| failed(name, "make it stay", errno))?;
        Ok(queue)
    }

    /// What the device is called now.
    ///
    /// # Errors
    /// The device is gone.
    pub fn name(&self) -> Result<String, TunnelError> {
        let name = self
            .queues
            .first()
            .map(|queue| sys::device_name(queue.as_fd()));
        name.unwrap_or(Err(Errno::EBADFD))
            .map_err(|errno| failed("?", "ask for its name", errno))
    }

    /// Whether the kernel hands UDP super-packets through such devices.
    #[must_use]
    pub fn offers_udp_segmentation(&self) -> bool {
        let all = CHECKSUM | TCP | UDP;
        self.queues
            .first()
            .is_some_and(|queue| sys::set_offloads(queue.as_fd(), all).is_ok())
    }
}

fn attach(name: &str, flags: libc::c_int, open: libc::c_int) -> Result<OwnedFd, TunnelError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(open)
        .open("/dev/net/tun")
        .map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
            failed(name, "open /dev/net/tun", errno)
        })?;
    let queue = OwnedFd::from(file);
    sys::open_queue(queue.as_fd(), name, flags)
        .map_err(|errno| failed(name, "attach to it", errno))?;
    Ok(queue)
}

fn open(name: &str) -> Result<OwnedFd, TunnelError> {
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_MULTI_QUEUE;
    let queue = attach(name, flags, libc::O_NONBLOCK)?;
    let step = |operation, result: Result<(), Errno>| {
        result.map_err(|errno| failed(name, operation, errno))
    };
    step("make it stay", sys::persist(queue.as_fd(), true))?;
    let offloads = [CHECKSUM | TCP | UDP, CHECKSUM | TCP, CHECKSUM, 0];
    let set = offloads
        .iter()
        .map(|offloads| sys::set_offloads(queue.as_fd(), *offloads))
        .find(|result| *result != Err(Errno::EINVAL));
    step("set its offloads", set.unwrap_or(Err(Errno::EINVAL)))?;
    Ok(queue)
}

fn failed(device: &str, operation: &'static str, errno: Errno) -> TunnelError {
    let hint = match errno {
        Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => "load the kernel module: modprobe tun",
        Errno::EPERM | Errno::EACCES => "it needs CAP_NET_ADMIN",
        Errno::EINVAL => {
            "a device of that name is there and is none with several queues; delete it: ip link del"
        }
        Errno::EBUSY => "another process has as many queues of it open as it may have",
        _ => "see the kernel's log",
    };
    TunnelError::Device {
        device: device.to_owned(),
        operation,
        errno,
        hint,
    }
}

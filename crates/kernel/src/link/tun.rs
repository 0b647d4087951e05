//! TUN devices: persistent, so that their routes stay while no process reads them.
//!
//! They are the one kind of link that rtnetlink does not make: it is done by the descriptor of
//! `/dev/net/tun` (Documentation/networking/tuntap.rst), in the namespace that the thread is in. What is
//! set is what a process may choose when it attaches its queues: it must choose the same.

use std::os::fd::AsFd;

use nix::errno::Errno;
use tombolo_model::IfName;
use tombolo_plan::Netns;

use crate::error::KernelError;
use crate::netlink::Attribute;
use crate::netns::NetnsHandle;
use crate::sys;

const DEVICE: &str = "/dev/net/tun";

/// `IFLA_TUN_*` of linux/if_link.h.
const TYPE: u16 = 3;
const PACKET_INFORMATION: u16 = 4;
const VNET_HEADER: u16 = 5;
const PERSIST: u16 = 6;
const MULTI_QUEUE: u16 = 7;

/// Makes a device.
pub(crate) fn create(host: &NetnsHandle, name: &IfName) -> Result<(), KernelError> {
    let made = host.run(|| {
        let file = std::fs::File::options().read(true).write(true).open(DEVICE);
        let file = file.map_err(|error| KernelError::File {
            operation: "open",
            path: DEVICE.to_owned(),
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
            hint: "the kernel has no TUN devices: load their module (modprobe tun), or use another transport than udp",
        })?;
        sys::make_tun(file.as_fd(), name.as_str()).map_err(|errno| {
            let operation = format!("create link {name}");
            KernelError::refused(operation, Netns::Host, errno.into())
        })
    });
    made?
}

/// Whether a device is as [`create`] makes it.
pub(super) fn is_ours(data: &Attribute<'_>) -> bool {
    let byte = |number| data.find(number).and_then(|found| found.u8());
    byte(TYPE) == Some(1)
        && byte(PACKET_INFORMATION) == Some(0)
        && [VNET_HEADER, PERSIST, MULTI_QUEUE]
            .into_iter()
            .all(|flag| byte(flag) == Some(1))
}

//! Descriptors on their way from one process to another (unix(7), `SCM_RIGHTS`).
//!
//! ```text
//!   new: hand over ──► old: stops its threads, tells what it has
//!   new: ready ──────► old: sends the descriptors
//!   new: starts with them, serves at the socket, says taken ──► old: ends
//! ```
//!
//! What fails on the way leaves the old one as it was: it keeps its descriptors until the last word.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

use super::handle::Handed;
use super::wire::Inventory;
use crate::{Device, Ports, Socket, TunnelError, sys};

/// So many at once: the kernel takes 253.
const AT_ONCE: usize = 128;

/// What is told of all that is handed over.
pub(super) fn inventory(handed: &Handed) -> Inventory {
    let devices = handed.ports.devices.iter();
    Inventory {
        config: handed.config.clone(),
        ways: handed.ways.clone(),
        devices: devices.map(|d| (d.network, d.queues.len())).collect(),
        sockets: handed.ports.sockets.len(),
    }
}

/// Sends the descriptors.
pub(super) fn send(stream: &UnixStream, ports: &Ports) -> Result<(), Errno> {
    let queues = ports.devices.iter().flat_map(|device| &device.queues);
    let sockets = ports.sockets.iter().map(|socket| &socket.fd);
    let all: Vec<RawFd> = queues.chain(sockets).map(AsRawFd::as_raw_fd).collect();
    for some in all.chunks(AT_ONCE) {
        let rights = [ControlMessage::ScmRights(some)];
        let byte = [IoSlice::new(b"F")];
        sendmsg::<UnixAddr>(stream.as_raw_fd(), &byte, &rights, MsgFlags::empty(), None)?;
    }
    Ok(())
}

/// Receives the descriptors that an inventory tells of.
pub(super) fn receive(stream: &UnixStream, inventory: Inventory) -> Result<Handed, TunnelError> {
    let queues: usize = inventory.devices.iter().map(|(_, queues)| queues).sum();
    let wanted = queues + inventory.sockets;
    let mut all = Vec::new();
    while all.len() < wanted {
        let more = receive_some(stream).map_err(|errno| TunnelError::Resources {
            operation: "take descriptors over",
            errno,
        })?;
        all.extend(more);
    }
    let mut all = all.into_iter();
    let devices = inventory
        .devices
        .into_iter()
        .map(|(network, queues)| Device {
            network,
            queues: all.by_ref().take(queues).collect(),
        });
    let devices = devices.collect();
    let sockets = all.map(Socket::from_fd).collect::<Result<_, _>>()?;
    Ok(Handed {
        config: inventory.config,
        ways: inventory.ways,
        ports: Ports { devices, sockets },
    })
}

fn receive_some(stream: &UnixStream) -> Result<Vec<OwnedFd>, Errno> {
    let mut byte = [0; 1];
    let mut vectors = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; AT_ONCE]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(stream.as_raw_fd(), &mut vectors, Some(&mut space), flags)?;
    let mut found = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            found.extend(descriptors.into_iter().map(sys::own));
        }
    }
    // The other side has gone.
    if found.is_empty() {
        return Err(Errno::ECONNRESET);
    }
    Ok(found)
}

//! The number by which one namespace knows another (linux/net_namespace.h).
//!
//! The kernel gives the namespace of a pair's other end a number as soon as it tells of the pair.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, attributes};
use crate::netns::NetnsHandle;
use crate::session::Session;

const NEW: u16 = 88;
const GET: u16 = 90;
/// `NETNSA_NSID`, `NETNSA_FD`.
const NUMBER: u16 = 1;
const DESCRIPTOR: u16 = 3;

/// Gives a namespace a number, if it has none.
pub(crate) fn assign(session: &mut Session, netns: &NetnsHandle) -> Result<(), KernelError> {
    if of(session, netns).is_some() {
        return Ok(());
    }
    let mut message = Message::new(NEW, 0, &[0; 4]);
    message.put(NUMBER, &(-1i32).to_ne_bytes());
    message.put(DESCRIPTOR, &netns.as_fd().as_raw_fd().to_ne_bytes());
    let outcome: Result<(), NetlinkError> = session.socket.batch(&[message]).into_iter().collect();
    match outcome {
        // Somebody else was faster.
        Err(cause) if cause.errno == Errno::EEXIST => Ok(()),
        outcome => outcome
            .map_err(|cause| session.refused(format!("give {} a number", netns.name()), cause)),
    }
}

/// The number of a namespace, if it has one.
pub(crate) fn of(session: &mut Session, netns: &NetnsHandle) -> Option<i32> {
    // `struct rtgenmsg`, padded.
    let mut message = Message::new(GET, 0, &[0; 4]);
    message.put(DESCRIPTOR, &netns.as_fd().as_raw_fd().to_ne_bytes());
    let (_, body) = session.socket.request(&message).ok()?;
    let number = attributes(body.get(4..)?).find(|a| a.kind == NUMBER)?;
    let number = i32::from_ne_bytes(number.data.get(..4)?.try_into().ok()?);
    (number >= 0).then_some(number)
}

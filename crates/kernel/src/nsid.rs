//! The number by which one namespace knows another (linux/net_namespace.h).
//!
//! The kernel gives the namespace of a pair's other end a number as soon as it tells of the pair. Where
//! nothing of the host leads into a sandbox, as with macvlan, it is given one here: what happens in a
//! namespace is heard on the host only if it has a number there.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, attributes};
use crate::netns::NetnsHandle;
use crate::session::Session;

/// `RTM_NEWNSID`, `RTM_GETNSID`.
const NEW: u16 = 88;
const GET: u16 = 90;
/// `NETNSA_NSID`, `NETNSA_FD`.
const NUMBER: u16 = 1;
const DESCRIPTOR: u16 = 3;

/// `struct rtgenmsg`, padded.
const HEADER: [u8; 4] = [0; 4];

/// The number of a namespace; it is given one if it has none.
pub(crate) fn assign(session: &mut Session, netns: &NetnsHandle) -> Result<i32, KernelError> {
    if let Some(number) = of(session, netns) {
        return Ok(number);
    }
    let mut message = Message::new(NEW, 0, &HEADER);
    message
        .put(NUMBER, &(-1_i32).to_ne_bytes())
        .put(DESCRIPTOR, &netns.as_fd().as_raw_fd().to_ne_bytes());
    let outcome: Result<(), NetlinkError> = session.socket.batch(&[message]).into_iter().collect();
    match (outcome, of(session, netns)) {
        // Somebody else may have been faster.
        (_, Some(number)) => Ok(number),
        (outcome, None) => {
            let cause = outcome.err().unwrap_or_else(|| Errno::ENOENT.into());
            Err(session.refused(format!("give {} a number", netns.name()), cause))
        }
    }
}

/// Every number that this namespace knows another one by.
pub(crate) fn all(session: &mut Session) -> Result<Vec<i32>, KernelError> {
    let message = Message::new(GET, 0, &HEADER);
    session.dump("numbers of namespaces", &message, |reply| {
        number(reply.body)
    })
}

/// The number of a namespace, if it has one.
pub(crate) fn of(session: &mut Session, netns: &NetnsHandle) -> Option<i32> {
    let mut message = Message::new(GET, 0, &HEADER);
    message.put(DESCRIPTOR, &netns.as_fd().as_raw_fd().to_ne_bytes());
    let (_, body) = session.socket.request(&message).ok()?;
    number(&body)
}

fn number(body: &[u8]) -> Option<i32> {
    let number = attributes(body.get(4..)?).find(|a| a.kind == NUMBER)?;
    let number = i32::from_ne_bytes(number.data.get(..4)?.try_into().ok()?);
    (number >= 0).then_some(number)
}

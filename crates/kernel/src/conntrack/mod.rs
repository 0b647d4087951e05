//! Connections that a namespace's kernel tracks: told all at once, and marked or forgotten one by one.
//!
//! Policy that changes is a matter of packets; a connection that is established goes on until somebody
//! does something to its entry. What, and to which ones, is decided elsewhere. It is precise: an entry is
//! touched only if it is the very one that was told, and not another that has the same addresses and
//! ports by now.
//!
//! To see the same: `conntrack -L -o id,zone`.

mod wire;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::IpAddr;

use nix::errno::Errno;
use tombolo_model::Family;

use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, Protocol, Socket};
use crate::netns::NetnsHandle;

use wire::decode;

/// What to do where the kernel does not know the question.
const HINT: &str =
    "load the kernel's module (modprobe nf_conntrack_netlink), or boot one that has it";

/// A connection, or what the kernel takes for one: with UDP, packets that answer each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Its family.
    pub family: Family,
    /// Its transport protocol (IANA, protocol numbers).
    pub protocol: u8,
    /// The zone that it is tracked in; 0 if none was chosen.
    pub zone: u16,
    /// In which of its directions the zone is looked at.
    pub zone_side: ZoneSide,
    /// Who began it, as seen by the packets that began it.
    pub source: IpAddr,
    /// To whom, before any translation.
    pub destination: IpAddr,
    /// The port of who began it; 0 where the protocol has none.
    pub source_port: u16,
    /// The port that was asked for; 0 where the protocol has none.
    pub destination_port: u16,
    /// Type, code and identifier of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8, u16)>,
    /// Who answers: the destination after translation.
    pub reply_source: IpAddr,
    /// To whom the answers go: the source after translation.
    pub reply_destination: IpAddr,
    /// The port of who answers.
    pub reply_source_port: u16,
    /// The port that answers go to.
    pub reply_destination_port: u16,
    /// Its mark.
    pub mark: u32,
    /// The kernel's number for it: no other has the same, nor gets it soon.
    pub id: u32,
}

/// In which of a connection's directions its zone is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoneSide {
    /// In both.
    Both,
    /// In that in which it began (`ct original zone`).
    Original,
    /// In that of the answers.
    Reply,
}

/// Every connection that a namespace tracks, in both families.
///
/// # Errors
/// The namespace cannot be entered, or its kernel refuses to tell.
pub fn dump(netns: &NetnsHandle) -> Result<Vec<Connection>, KernelError> {
    let mut socket = Socket::open(netns, Protocol::Netfilter)?;
    let found = RefCell::new(Vec::new());
    socket
        .dump(
            &wire::question(),
            &mut |reply| found.borrow_mut().extend(decode(reply.body)),
            &mut || found.borrow_mut().clear(),
        )
        .map_err(|cause| refused("read connections", netns, cause))?;
    Ok(found.into_inner())
}

/// Cuts connections, as they were told. Answers how many were still there; that one is gone is no error.
/// Goes on after an error.
///
/// # Errors
/// The namespace cannot be entered, or its kernel refuses to cut one that is there: the first refusal.
pub fn delete(netns: &NetnsHandle, connections: &[Connection]) -> Result<usize, KernelError> {
    let messages = connections.iter().map(wire::delete).collect();
    carry_out(netns, messages, "cut connections")
}

/// Sets bits of the marks of connections, to `value` under `mask`, and answers how many were there.
/// Goes on after an error.
///
/// # Errors
/// The namespace cannot be entered, or its kernel refuses to mark one that is there: the first refusal.
pub fn mark(
    netns: &NetnsHandle,
    connections: &[Connection],
    mask: u32,
    value: u32,
) -> Result<usize, KernelError> {
    let message = |connection| wire::mark(connection, mask, value);
    let messages = connections.iter().map(message).collect();
    carry_out(netns, messages, "mark connections")
}

/// Sends messages that are each about one connection; one that is gone is none.
fn carry_out(
    netns: &NetnsHandle,
    messages: Vec<Message>,
    what: &str,
) -> Result<usize, KernelError> {
    if messages.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::open(netns, Protocol::Netfilter)?;
    let mut done = 0;
    let mut failed = None;
    for outcome in socket.batch(&messages) {
        match outcome {
            Ok(()) => done += 1,
            Err(cause) if cause.errno == Errno::ENOENT => {}
            Err(cause) => {
                failed.get_or_insert(cause);
            }
        }
    }
    match failed {
        None => Ok(done),
        Some(cause) => Err(refused(what, netns, cause)),
    }
}

/// Takes a message apart, and names what it tells of again, for the fuzz target.
pub(crate) fn decode_any(body: &[u8]) {
    let _ = decode(body).map(|connection| wire::delete(&connection));
}

fn refused(operation: &str, netns: &NetnsHandle, cause: NetlinkError) -> KernelError {
    let lacks = matches!(cause.errno, Errno::EOPNOTSUPP | Errno::EINVAL);
    KernelError::refused_with(operation, netns.name(), cause, lacks.then_some(HINT))
}

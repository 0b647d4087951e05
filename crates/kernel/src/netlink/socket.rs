//! A blocking netlink socket: dumps, single questions, and batches of changes.
//!
//! Facts of the kernel that it is built on: a request is carried out within `send`, so every answer
//! to a change is waiting when `send` returns; errors are always reported, so that only the last
//! message of a batch asks for an acknowledgement (asking for all overflows the receive buffer); a
//! socket stays in the namespace in which it was opened, whatever its threads do later, and keeps
//! that namespace alive.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType,
    bind, getsockname, recv, recvmsg, send, setsockopt, socket, sockopt,
};

use super::attributes;
use super::message::{HEADER, Message};
use crate::error::{KernelError, NetlinkError};
use crate::netns::NetnsHandle;
use crate::sys::set_netlink_option;

/// Bytes of one `send` of a batch, and messages in it. The second bounds what errors need of the
/// receive buffer when every message fails.
const BATCH_BYTES: usize = 128 << 10;
const BATCH_MESSAGES: usize = 512;
/// Wanted bytes of the buffers. The first only bounds what is sent at once: 50,000 set elements are 2 MB,
/// the chains of 10,000 endpoints 15 MB.
const SEND_BUFFER: usize = 256 << 20;
const RECEIVE_BUFFER: usize = 4 << 20;
/// `NETLINK_LISTEN_ALL_NSID` (linux/netlink.h).
const LISTEN_ALL_NSID: libc::c_int = 8;
/// How often a dump that others' changes interrupted is started again.
const DUMP_ATTEMPTS: usize = 10;

/// Which netlink family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// rtnetlink(7).
    Route,
    /// nfnetlink, which carries nftables.
    Netfilter,
}

/// One message from the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub port: u32,
    /// All behind the netlink header.
    pub body: &'a [u8],
    /// The number of the namespace that it is of, if that is not the socket's own.
    pub namespace: Option<i32>,
}

/// A netlink socket in one namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket inside a namespace.
    pub(crate) fn open(netns: &NetnsHandle, protocol: Protocol) -> Result<Socket, KernelError> {
        Socket::open_at(netns, protocol, 0)
    }

    /// The same under a port number that the kernel names in notifications of what it did, if
    /// nobody has that number there; 0 leaves the choice to the kernel.
    pub(crate) fn open_at(
        netns: &NetnsHandle,
        protocol: Protocol,
        port: u32,
    ) -> Result<Socket, KernelError> {
        let opened = if NetnsHandle::current()?.identity() == netns.identity() {
            Socket::open_here(protocol, port)
        } else {
            netns.run(|| Socket::open_here(protocol, port))?
        };
        opened.map_err(|errno| KernelError::Namespace {
            operation: "open a netlink socket in",
            netns: netns.name().to_owned(),
            errno,
        })
    }

    fn open_here(protocol: Protocol, port: u32) -> Result<Socket, Errno> {
        let protocol = match protocol {
            Protocol::Route => SockProtocol::NetlinkRoute,
            Protocol::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        match bind(fd.as_raw_fd(), &NetlinkAddr::new(port, 0)) {
            Err(Errno::EADDRINUSE) => bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?,
            bound => bound?,
        }
        // Without privileges over the namespace the ordinary, limited sizes have to do.
        if setsockopt(&fd, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            let _ = setsockopt(&fd, sockopt::SndBuf, &SEND_BUFFER);
        }
        if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        // Explanations of errors, without the copy of the request; filters in dumps. Old kernels
        // lack some of these, and are only less helpful or slower for it.
        for option in [
            libc::NETLINK_EXT_ACK,
            libc::NETLINK_CAP_ACK,
            libc::NETLINK_GET_STRICT_CHK,
        ] {
            let _ = set_netlink_option(fd.as_fd(), option, 1);
        }
        let address: NetlinkAddr = getsockname(fd.as_raw_fd())?;
        Ok(Socket {
            fd,
            port: address.pid(),
            sequence: 0,
            buffer: vec![0; 64 << 10],
        })
    }

    /// The number by which the kernel names this socket in notifications.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Listens to a multicast group.
    pub(crate) fn join(&self, group: libc::c_int) -> Result<(), Errno> {
        set_netlink_option(self.fd.as_fd(), libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    /// Hears what is told in every namespace that this one has a number for.
    pub(crate) fn hear_all(&self) -> Result<(), Errno> {
        set_netlink_option(self.fd.as_fd(), LISTEN_ALL_NSID, 1)
    }

    /// Goes through everything of a kind. `each` gets a message's type and body; it sees messages
    /// again if others' changes interrupted the dump, and is told so by `restart`.
    pub(crate) fn dump(
        &mut self,
        message: &Message,
        each: &mut dyn FnMut(Reply<'_>),
        restart: &mut dyn FnMut(),
    ) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            restart();
            match self.dump_once(message, each) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.errno == Errno::EINTR => {}
                Err(error) => return Err(error),
            }
        }
        Err(NetlinkError {
            errno: Errno::EAGAIN,
            message: Some("it changes faster than it can be read".to_owned()),
            offset: None,
        })
    }

    /// Whether the dump was whole.
    fn dump_once(
        &mut self,
        message: &Message,
        each: &mut dyn FnMut(Reply<'_>),
    ) -> Result<bool, NetlinkError> {
        self.sequence += 1;
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        message.finish(sequence, libc::NLM_F_DUMP, &mut bytes);
        self.send(&bytes)?;
        let mut whole = true;
        loop {
            let length = self.receive(MsgFlags::empty())?;
            for reply in replies(&self.buffer[..length]) {
                if reply.sequence != sequence {
                    continue;
                }
                whole &= reply.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                match i32::from(reply.kind) {
                    libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                        return error_of(&reply).map(|()| whole);
                    }
                    libc::NLMSG_NOOP => {}
                    _ => each(reply),
                }
            }
        }
    }

    /// Asks one question and gives the answer's type and body.
    pub(crate) fn request(&mut self, message: &Message) -> Result<(u16, Vec<u8>), NetlinkError> {
        self.sequence += 1;
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        message.finish(sequence, 0, &mut bytes);
        self.send(&bytes)?;
        loop {
            let length = self.receive(MsgFlags::empty())?;
            for reply in replies(&self.buffer[..length]) {
                if reply.sequence != sequence {
                    continue;
                }
                if i32::from(reply.kind) == libc::NLMSG_ERROR {
                    error_of(&reply)?;
                }
                return Ok((reply.kind, reply.body.to_vec()));
            }
        }
    }

    /// Carries changes out, many in one `send`, and tells of each how it went. A failed one does
    /// not keep the kernel from going on with the next.
    pub(crate) fn batch(&mut self, messages: &[Message]) -> Vec<Result<(), NetlinkError>> {
        let mut results = Vec::with_capacity(messages.len());
        let mut start = 0;
        while start < messages.len() {
            let mut end = start;
            let mut size = 0;
            while end < messages.len() && end - start < BATCH_MESSAGES {
                size += messages[end].len();
                if end > start && size > BATCH_BYTES {
                    break;
                }
                end += 1;
            }
            results.extend(self.send_together(&messages[start..end], end - start - 1));
            start = end;
        }
        results
    }

    /// Carries a transaction out: its first message begins it, its last one ends it. The last but
    /// one is the last that is acknowledged on all kernels.
    pub(crate) fn transact(&mut self, messages: &[Message]) -> Vec<Result<(), NetlinkError>> {
        self.send_together(messages, messages.len().saturating_sub(2))
    }

    /// Sends messages in one `send`. The acknowledgement of one proves that all were seen.
    fn send_together(
        &mut self,
        messages: &[Message],
        proof: usize,
    ) -> Vec<Result<(), NetlinkError>> {
        let first = self.sequence + 1;
        let mut bytes = Vec::with_capacity(messages.iter().map(Message::len).sum());
        for (index, message) in messages.iter().enumerate() {
            self.sequence += 1;
            let ack = if index == proof { libc::NLM_F_ACK } else { 0 };
            message.finish(self.sequence, ack, &mut bytes);
        }
        let mut results = vec![Ok(()); messages.len()];
        if let Err(errno) = self.send(&bytes) {
            results.fill(Err(errno.into()));
            return results;
        }
        let mut acknowledged = false;
        loop {
            match self.receive(MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    for reply in replies(&self.buffer[..length]) {
                        let index = reply.sequence.wrapping_sub(first) as usize;
                        if i32::from(reply.kind) != libc::NLMSG_ERROR || index >= results.len() {
                            continue;
                        }
                        acknowledged |= index == proof;
                        let result = error_of(&reply);
                        if result.is_err() && results[index].is_ok() {
                            results[index] = result;
                        }
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(errno) => {
                    results.fill(Err(errno.into()));
                    acknowledged = true;
                }
            }
        }
        if !acknowledged && results.iter().all(Result::is_ok) {
            results.fill(Err(Errno::ENOBUFS.into()));
        }
        results
    }

    /// Takes what is waiting and gives each message to `each`; whether there was any.
    pub(crate) fn drain(&mut self, each: &mut dyn FnMut(Reply<'_>)) -> Result<bool, Errno> {
        let mut any = false;
        loop {
            match self.receive_from() {
                Ok((length, namespace)) => {
                    any = true;
                    for reply in replies(&self.buffer[..length]) {
                        each(Reply { namespace, ..reply });
                    }
                }
                Err(Errno::EAGAIN) => return Ok(any),
                Err(errno) => return Err(errno),
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        loop {
            match send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// A datagram that is waiting into the buffer; its length, and the namespace that it is of if
    /// that is another one.
    fn receive_from(&mut self) -> Result<(usize, Option<i32>), Errno> {
        loop {
            let mut control = nix::cmsg_space!(libc::c_int);
            let mut parts = [std::io::IoSliceMut::new(&mut self.buffer)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            let fd = self.fd.as_raw_fd();
            match recvmsg::<NetlinkAddr>(fd, &mut parts, Some(&mut control), flags) {
                Ok(message) => {
                    let length = message.bytes;
                    let namespace = message
                        .cmsgs()
                        .ok()
                        .and_then(|mut told| told.find_map(number));
                    if length > self.buffer.len() {
                        self.buffer.resize(length.next_power_of_two(), 0);
                        return Err(Errno::ENOBUFS);
                    }
                    return Ok((length, namespace));
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// One datagram into the buffer; its length.
    fn receive(&mut self, flags: MsgFlags) -> Result<usize, Errno> {
        loop {
            match recv(
                self.fd.as_raw_fd(),
                &mut self.buffer,
                flags | MsgFlags::MSG_TRUNC,
            ) {
                Ok(length) if length <= self.buffer.len() => return Ok(length),
                Ok(length) => {
                    // The rest is lost; there is room the next time.
                    self.buffer.resize(length.next_power_of_two(), 0);
                    return Err(Errno::ENOBUFS);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of a namespace that comes beside a datagram.
fn number(told: ControlMessageOwned) -> Option<i32> {
    match told {
        ControlMessageOwned::Unknown(told)
            if told.cmsg_header.cmsg_level == libc::SOL_NETLINK
                && told.cmsg_header.cmsg_type == LISTEN_ALL_NSID =>
        {
            let bytes = told.data_bytes.get(..4)?.try_into().ok()?;
            Some(i32::from_ne_bytes(bytes))
        }
        _ => None,
    }
}

/// The messages in a datagram.
pub(crate) fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    let word =
        |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let types = word(bytes, 4)?.to_ne_bytes();
        let reply = Reply {
            kind: u16::from_ne_bytes([types[0], types[1]]),
            flags: u16::from_ne_bytes([types[2], types[3]]),
            sequence: word(bytes, 8)?,
            port: word(bytes, 12)?,
            body: bytes.get(HEADER..length)?,
            namespace: None,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

/// The error in an `NLMSG_ERROR` or at the end of a dump, with the kernel's explanation.
pub(crate) fn error_of(reply: &Reply<'_>) -> Result<(), NetlinkError> {
    /// `NLMSGERR_ATTR_MSG` and `NLMSGERR_ATTR_OFFS` (linux/netlink.h).
    const TEXT: u16 = 1;
    const OFFSET: u16 = 2;
    let code = reply
        .body
        .get(..4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i32::from_ne_bytes);
    if code >= 0 {
        return Ok(());
    }
    // Behind an error stands the header of the request, behind the end of a dump nothing.
    let skip = if i32::from(reply.kind) == libc::NLMSG_ERROR {
        4 + HEADER
    } else {
        4
    };
    let mut error = NetlinkError::from(Errno::from_raw(code.saturating_neg()));
    for attribute in attributes(reply.body.get(skip..).unwrap_or_default()) {
        match attribute.kind {
            TEXT => error.message = attribute.text().map(str::to_owned),
            OFFSET => error.offset = attribute.u32(),
            _ => {}
        }
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `NLMSG_ERROR` with a code, and the header of the request behind it.
    fn refusal(code: i32) -> Vec<u8> {
        let mut body = code.to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        body
    }

    #[test]
    fn any_number_is_an_error_or_none() {
        for (code, errno) in [
            (0, None),
            (7, None),
            (-17, Some(Errno::EEXIST)),
            (i32::MIN, Some(Errno::UnknownErrno)),
        ] {
            let reply = Reply {
                kind: libc::NLMSG_ERROR as u16,
                flags: 0,
                sequence: 1,
                port: 1,
                body: &refusal(code),
                namespace: None,
            };
            let found = error_of(&reply).err().map(|error| error.errno);
            assert_eq!(found, errno, "{code}");
        }
    }
}

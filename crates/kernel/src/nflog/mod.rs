//! Packets that rules told of: what `log group N` sends, read as who sent what to whom.
//!
//! The kernel tells of them in bundles, at the latest after a tenth of a second. When nobody reads fast
//! enough it drops what does not fit; that is counted, not an error. What a packet means for a policy is
//! decided elsewhere. Frames of bridges and ARP are left out.

mod packet;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tombolo_model::IfName;
use tombolo_plan::Netns;

use crate::error::{KernelError, NetlinkError};
use crate::netlink::{Message, Protocol, Socket, attributes};
use crate::netns::NetnsHandle;
use crate::session::Session;

/// `NFNL_SUBSYS_ULOG`; `NFULNL_MSG_PACKET`, `_CONFIG` (linux/netfilter/nfnetlink_log.h).
const SUBSYSTEM: u16 = 4;
const PACKET: u16 = 0;
const CONFIG: u16 = 1;
/// `NFULA_CFG_*`, and the command and the mode of them.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const TIMEOUT: u16 = 4;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// How much of a packet is told: headers of IPv6 with extensions, and those of the transport.
const SNAPSHOT: u32 = 256;
/// Hundredths of a second after which a bundle is told.
const BUNDLE: u32 = 10;
/// `NFULA_*`.
const IN: u16 = 4;
const OUT: u16 = 5;
const IN_PORT: u16 = 6;
const OUT_PORT: u16 = 7;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;

/// A packet that a rule told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// What the rule tells it with.
    pub prefix: String,
    /// The interface that it came in by; none for what this namespace sent itself.
    pub in_interface: Option<Interface>,
    /// The interface that it is about to leave by.
    pub out_interface: Option<Interface>,
    /// If it came in by a bridge: the bridge's port.
    pub in_port: Option<Interface>,
    /// If it is about to leave by a bridge: the bridge's port.
    pub out_port: Option<Interface>,
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The transport protocol (IANA, protocol numbers), behind any extension headers.
    pub protocol: u8,
    /// The source port; none where the protocol has none, and in fragments but the first.
    pub source_port: Option<u16>,
    /// The destination port, likewise.
    pub destination_port: Option<u16>,
    /// Type and code of ICMP and ICMPv6.
    pub icmp: Option<(u8, u8)>,
}

/// An interface, by its name where there still is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// By its name.
    Named(IfName),
    /// By the number that it had: nothing has it any more.
    Numbered(u32),
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::Named(name) => name.fmt(f),
            Interface::Numbered(number) => write!(f, "interface {number}"),
        }
    }
}

/// Reads what rules of one namespace tell one group. It keeps the namespace open as long as it lives.
#[derive(Debug)]
pub struct Reader {
    socket: Socket,
    session: Session,
    names: BTreeMap<u32, IfName>,
    overruns: u64,
}

impl Reader {
    /// Listens to a group. Only one can.
    ///
    /// # Errors
    /// The namespace cannot be entered; its kernel has no nfnetlink_log; or somebody else listens to
    /// this group there.
    pub fn open(netns: &NetnsHandle, group: u16) -> Result<Reader, KernelError> {
        let mut socket = Socket::open(netns, Protocol::Netfilter)?;
        let config = || {
            let [high, low] = group.to_be_bytes();
            Message::new(SUBSYSTEM << 8 | CONFIG, 0, &[0, 0, high, low])
        };
        let (mut bind, mut mode, mut timeout) = (config(), config(), config());
        bind.put_u8(COMMAND, BIND);
        // `struct nfulnl_msg_config_mode`.
        let [a, b, c, d] = SNAPSHOT.to_be_bytes();
        mode.put(MODE, &[a, b, c, d, COPY_PACKET, 0]);
        timeout.put_be32(TIMEOUT, BUNDLE);
        let outcomes = socket.batch(&[bind, mode, timeout]);
        let outcome: Result<(), NetlinkError> = outcomes.into_iter().collect();
        outcome.map_err(|cause| {
            let hint = match cause.errno {
                Errno::EPERM | Errno::EBUSY => Some(
                    "another program listens to this group there, or this one lacks CAP_NET_ADMIN",
                ),
                Errno::EINVAL | Errno::EOPNOTSUPP => Some(
                    "load the kernel's module (modprobe nfnetlink_log), or boot one that has it",
                ),
                _ => None,
            };
            let operation = format!("listen to nflog group {group}");
            KernelError::refused_with(operation, netns.name(), cause, hint)
        })?;
        Ok(Reader {
            socket,
            session: Session::open(netns.clone(), Netns::Host)?,
            names: BTreeMap::new(),
            overruns: 0,
        })
    }

    /// Waits until rules have told of packets; nothing if the time is over before.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn next(&mut self, timeout: Duration) -> Result<Vec<Logged>, KernelError> {
        let end = Instant::now() + timeout;
        loop {
            let found = self.take()?;
            let left = end.saturating_duration_since(Instant::now());
            if !found.is_empty() || left.is_zero() {
                return Ok(found);
            }
            // Rounded up, so as not to spin through the last millisecond.
            let limit = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            match poll(
                &mut ready,
                PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
            ) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
        }
    }

    /// How often the kernel had to drop packets' tidings, because they were not read fast enough.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// Everything that is waiting.
    fn take(&mut self) -> Result<Vec<Logged>, KernelError> {
        let mut told = Vec::new();
        loop {
            let outcome = self.socket.drain(&mut |reply| {
                if reply.kind == SUBSYSTEM << 8 | PACKET {
                    told.extend(decode(reply.body));
                }
            });
            match outcome {
                Ok(_) => break,
                Err(Errno::ENOBUFS) => self.overruns += 1,
                Err(errno) => return Err(self.failed(errno)),
            }
        }
        self.learn(&told);
        Ok(told.into_iter().map(|told| self.named(told)).collect())
    }

    /// Looks for the names of interfaces that are not known. It looks once, whatever it finds.
    fn learn(&mut self, told: &[Told]) {
        let mut links = told
            .iter()
            .flat_map(|told| told.links.into_iter().flatten());
        let is_known = |link: u32| self.names.contains_key(&link);
        if links.all(is_known) || self.session.load_links().is_err() {
            return;
        }
        let links = self.session.links.iter();
        let named = links.filter_map(|link| Some((link.index, IfName::new(&*link.name).ok()?)));
        self.names = named.collect();
    }

    fn named(&self, told: Told) -> Logged {
        let name = |index: u32| match self.names.get(&index) {
            Some(name) => Interface::Named(name.clone()),
            None => Interface::Numbered(index),
        };
        let [in_interface, out_interface, in_port, out_port] =
            told.links.map(|link| link.map(name));
        let packet = told.packet;
        Logged {
            prefix: told.prefix,
            in_interface,
            out_interface,
            in_port,
            out_port,
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            source_port: packet.ports.map(|(source, _)| source),
            destination_port: packet.ports.map(|(_, destination)| destination),
            icmp: packet.icmp,
        }
    }

    fn failed(&self, errno: Errno) -> KernelError {
        KernelError::Namespace {
            operation: "read what nflog tells of",
            netns: self.session.handle.name().to_owned(),
            errno,
        }
    }
}

/// Its descriptor is readable when there is something.
impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A packet as the kernel tells of it: interfaces by number, in the order of [`Logged`].
struct Told {
    prefix: String,
    links: [Option<u32>; 4],
    packet: packet::Headers,
}

fn decode(body: &[u8]) -> Option<Told> {
    let family = i32::from(*body.first()?);
    if family != libc::AF_INET && family != libc::AF_INET6 {
        return None;
    }
    let find = |kind| attributes(body.get(4..).unwrap_or_default()).find(|a| a.kind == kind);
    let link = |kind| find(kind).and_then(|link| link.be32());
    let prefix = find(PREFIX)
        .and_then(|prefix| prefix.text())
        .unwrap_or_default();
    Some(Told {
        prefix: prefix.to_owned(),
        links: [IN, OUT, IN_PORT, OUT_PORT].map(link),
        packet: packet::parse(find(PAYLOAD)?.data)?,
    })
}

/// Takes a message apart, and its packet, for the fuzz target.
pub(crate) fn decode_any(bytes: &[u8]) {
    let _ = decode(bytes);
    let _ = packet::parse(bytes);
}

//! Asks other hosts, in the way that every kernel answers: ICMP echo of an exact size that may not
//! be fragmented, and ICMP timestamp for the time there.
//!
//! It reports what came back. How often one asks, and what an answer means, is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvfrom, sendto,
    socket,
};
use tombolo_model::Family;

use crate::error::KernelError;
use crate::netns::NetnsHandle;
use crate::sys::set_option;

/// ICMP types (RFC 792, RFC 4443).
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);
const TIMESTAMP: (u8, u8) = (13, 14);
/// Bytes of an ICMP header.
const ICMP: usize = 8;
/// Milliseconds of a day.
const DAY: i64 = 24 * 3600 * 1000;

/// Each socket of this process has an identifier of its own: every one sees all answers.
static IDENTIFIER: AtomicU16 = AtomicU16::new(0);

/// What came of an echo request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was answered, after this time.
    Replied(Duration),
    /// This host's own interface takes no packet so large.
    TooLarge,
    /// This host has no way there: why.
    NoWay(String),
    /// Nothing came back in time.
    Silent,
}

/// A socket for ICMP in one namespace.
#[derive(Debug)]
pub struct Echo {
    fd: OwnedFd,
    family: Family,
    identifier: u16,
    sequence: u16,
}

impl Echo {
    /// Opens a socket for a family. Its packets may not be fragmented on their way.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or without the family in the kernel.
    pub fn open(netns: &NetnsHandle, family: Family) -> Result<Echo, KernelError> {
        let fd = netns.run(|| open(family))?;
        let fd = fd.map_err(|errno| KernelError::Namespace {
            operation: "open a socket for ICMP (this needs CAP_NET_RAW) in",
            netns: netns.name().to_owned(),
            errno,
        })?;
        let process = std::process::id() as u16;
        let identifier = process.wrapping_add(IDENTIFIER.fetch_add(1, Ordering::Relaxed));
        Ok(Echo {
            fd,
            family,
            identifier,
            sequence: 0,
        })
    }

    /// Sends one echo request, and waits for its answer. `size` is the whole packet's, in bytes, IP
    /// header included.
    ///
    /// # Errors
    /// The socket fails.
    pub fn ping(
        &mut self,
        to: IpAddr,
        size: u32,
        patience: Duration,
    ) -> Result<Answer, KernelError> {
        let headers = self.family.header_bytes() as usize + ICMP;
        let filling = (size as usize).saturating_sub(headers);
        let types = match self.family {
            Family::V4 => ECHO_V4,
            Family::V6 => ECHO_V6,
        };
        let packet = self.packet(types.0, &vec![0x54; filling]);
        let begun = Instant::now();
        match self.send(to, &packet) {
            Ok(()) => {}
            Err(Errno::EMSGSIZE) => return Ok(Answer::TooLarge),
            Err(
                errno @ (Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EINVAL | Errno::EPERM),
            ) => {
                return Ok(Answer::NoWay(errno.desc().to_owned()));
            }
            Err(errno) => return Err(failed(to, errno)),
        }
        let answer = self.await_answer(to, types.1, begun + patience)?;
        Ok(answer.map_or(Answer::Silent, |_| Answer::Replied(begun.elapsed())))
    }

    /// How far another host's clock is before this one's, in milliseconds, by an ICMP timestamp (RFC
    /// 792): the middle between going and coming, as NTP reckons. It tells the time of day only, so a
    /// difference of whole days is not seen. Nothing if it does not answer; IPv6 has no such message.
    ///
    /// # Errors
    /// The socket fails.
    pub fn clock_ahead(
        &mut self,
        to: Ipv4Addr,
        patience: Duration,
    ) -> Result<Option<i64>, KernelError> {
        let to = IpAddr::V4(to);
        let sent = time_of_day();
        let mut times = [0; 12];
        times[..4].copy_from_slice(&u32::try_from(sent).unwrap_or(0).to_be_bytes());
        let packet = self.packet(TIMESTAMP.0, &times);
        match self.send(to, &packet) {
            Ok(()) => {}
            Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EPERM) => return Ok(None),
            Err(errno) => return Err(failed(to, errno)),
        }
        let Some(body) = self.await_answer(to, TIMESTAMP.1, Instant::now() + patience)? else {
            return Ok(None);
        };
        let came = time_of_day();
        let word = |at: usize| {
            let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
            // The highest bit says that the time is none of day (RFC 792).
            let value = i64::from(u32::from_be_bytes(bytes));
            (value < DAY).then_some(value)
        };
        let (Some(received), Some(answered)) = (word(4), word(8)) else {
            return Ok(None);
        };
        Ok(Some(i64::midpoint(
            around(received - sent),
            around(answered - came),
        )))
    }

    fn packet(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = vec![kind, 0, 0, 0];
        packet.extend_from_slice(&self.identifier.to_be_bytes());
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(body);
        // The kernel does the sum of ICMPv6, which needs addresses that only it knows.
        if self.family == Family::V4 {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    fn send(&self, to: IpAddr, packet: &[u8]) -> Result<(), Errno> {
        let address = SockaddrStorage::from(SocketAddr::new(to, 0));
        loop {
            match sendto(self.fd.as_raw_fd(), packet, &address, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The body of the answer to the last packet.
    fn await_answer(
        &self,
        from: IpAddr,
        kind: u8,
        until: Instant,
    ) -> Result<Option<Vec<u8>>, KernelError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(wait)) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(failed(from, errno)),
            }
            let (length, sender) =
                match recvfrom::<SockaddrStorage>(self.fd.as_raw_fd(), &mut buffer) {
                    Ok(received) => received,
                    // What another packet met on its way is none of ours.
                    Err(_) => continue,
                };
            let is_from = sender.is_some_and(|sender| address_of(&sender) == Some(from));
            let body = self.answer(&buffer[..length], kind).filter(|_| is_from);
            if let Some(body) = body {
                return Ok(Some(body.to_vec()));
            }
        }
    }

    /// What is behind the ICMP header, if a packet answers the last one sent.
    fn answer<'a>(&self, packet: &'a [u8], kind: u8) -> Option<&'a [u8]> {
        let icmp = match self.family {
            // Of IPv4 a raw socket sees the IP header too.
            Family::V4 => packet.get(usize::from(packet.first()? & 0x0f) * 4..)?,
            Family::V6 => packet,
        };
        let mut wanted = vec![kind, 0];
        wanted.extend_from_slice(&self.identifier.to_be_bytes());
        wanted.extend_from_slice(&self.sequence.to_be_bytes());
        let seen = [icmp.get(..2)?, icmp.get(4..ICMP)?].concat();
        (seen == wanted).then(|| &icmp[ICMP..])
    }
}

fn open(family: Family) -> Result<OwnedFd, Errno> {
    let (address, protocol) = match family {
        Family::V4 => (AddressFamily::Inet, SockProtocol::Icmp),
        Family::V6 => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(address, SockType::Raw, flags, protocol)?;
    // Not to be fragmented, and whatever was learned of the path before is not asked.
    match family {
        Family::V4 => set_option(
            fd.as_fd(),
            libc::SOL_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_PROBE,
        )?,
        Family::V6 => {
            set_option(
                fd.as_fd(),
                libc::SOL_IPV6,
                libc::IPV6_MTU_DISCOVER,
                libc::IPV6_PMTUDISC_PROBE,
            )?;
            set_option(fd.as_fd(), libc::SOL_IPV6, libc::IPV6_DONTFRAG, 1)?;
        }
    }
    Ok(fd)
}

fn address_of(sender: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = sender.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| Some(IpAddr::V6(sender.as_sockaddr_in6()?.ip())))
}

fn failed(to: IpAddr, errno: Errno) -> KernelError {
    KernelError::refused(format!("send ICMP to {to}"), "host", errno.into())
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Milliseconds since midnight, universal time.
fn time_of_day() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0) % DAY
}

/// A difference of times of day, the shorter way around.
fn around(difference: i64) -> i64 {
    (difference + DAY / 2).rem_euclid(DAY) - DAY / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn midnight_is_no_jump() {
        assert_eq!(around(DAY - 5), -5);
        assert_eq!(around(-DAY + 5), 5);
        assert_eq!(around(1234), 1234);
    }

    #[test]
    fn a_neighbour_answers_packets_that_fit() {
        let host = Host::new();
        let path = host.path();
        host.run(&format!(
            "ip link add v0 type veth peer name v1; ip link set v1 netns {path}"
        ));
        host.run("ip link set v0 up mtu 1400; ip addr add 192.0.2.1/24 dev v0; ip addr add 2001:db8::1/64 dev v0 nodad");
        crate::testing::run(
            &host.sandbox,
            "ip link set v1 up mtu 1400; ip addr add 192.0.2.2/24 dev v1; ip addr add 2001:db8::2/64 dev v1 nodad",
        );
        let patience = Duration::from_secs(5);
        for (family, peer) in [(Family::V4, "192.0.2.2"), (Family::V6, "2001:db8::2")] {
            let peer: IpAddr = peer.parse().unwrap();
            let mut echo = Echo::open(&host.netns, family).unwrap();
            for size in [84, 1399, 1400] {
                let answer = echo.ping(peer, size, patience).unwrap();
                assert!(
                    matches!(answer, Answer::Replied(_)),
                    "{peer} {size}: {answer:?}"
                );
            }
            let answer = echo.ping(peer, 1401, patience).unwrap();
            assert_eq!(answer, Answer::TooLarge, "{peer}");
        }
        let mut echo = Echo::open(&host.netns, Family::V4).unwrap();
        let ahead = echo
            .clock_ahead(Ipv4Addr::new(192, 0, 2, 2), patience)
            .unwrap();
        assert!(ahead.unwrap().abs() < 1000, "{ahead:?}");
        let nobody = echo.ping("192.0.2.9".parse().unwrap(), 84, Duration::from_millis(50));
        assert_eq!(nobody.unwrap(), Answer::Silent);
        let nowhere = echo
            .ping("203.0.113.1".parse().unwrap(), 84, patience)
            .unwrap();
        assert!(matches!(nowhere, Answer::NoWay(_)), "{nowhere:?}");
    }
}

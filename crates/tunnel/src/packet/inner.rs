//! What must be known of an IP packet to send it on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::get;
use crate::Reason;

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;

/// An IP packet's header in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner {
    /// From whom.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The protocol behind the first header.
    pub protocol: u8,
    /// Where that begins.
    pub transport: usize,
    /// Whether it is a fragment of IPv4.
    pub fragment: bool,
    /// Whether IPv4 may cut it into fragments on its way.
    pub may_fragment: bool,
}

impl Inner {
    /// Reads the first header; the packet must be as long as that says.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if it is no IP packet, [`Reason::Truncated`] or [`Reason::Oversized`] if its
    /// length is another than its header's.
    pub fn read(packet: &[u8]) -> Result<Inner, Reason> {
        match packet.first().map(|byte| byte >> 4) {
            Some(4) => read_v4(packet),
            Some(6) => read_v6(packet),
            Some(_) => Err(Reason::Malformed),
            None => Err(Reason::Truncated),
        }
    }
}

fn read_v4(packet: &[u8]) -> Result<Inner, Reason> {
    let (header, _) = packet.split_first_chunk::<20>().ok_or(Reason::Truncated)?;
    let transport = usize::from(header[0] & 0xf) * 4;
    if transport < 20 {
        return Err(Reason::Malformed);
    }
    let total = usize::from(get(header, 2));
    if total < transport {
        return Err(Reason::Malformed);
    }
    check(packet.len(), total)?;
    let fragment = get(header, 6);
    let address = |at: usize| {
        IpAddr::V4(Ipv4Addr::new(
            header[at],
            header[at + 1],
            header[at + 2],
            header[at + 3],
        ))
    };
    Ok(Inner {
        source: address(12),
        destination: address(16),
        protocol: header[9],
        transport,
        fragment: fragment & 0x3fff != 0,
        may_fragment: fragment & 0x4000 == 0,
    })
}

fn read_v6(packet: &[u8]) -> Result<Inner, Reason> {
    let (header, _) = packet.split_first_chunk::<40>().ok_or(Reason::Truncated)?;
    check(packet.len(), usize::from(get(header, 4)) + 40)?;
    let address = |at: usize| {
        let mut bits = [0; 16];
        bits.copy_from_slice(&header[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(bits))
    };
    Ok(Inner {
        source: address(8),
        destination: address(24),
        protocol: header[6],
        transport: 40,
        fragment: false,
        may_fragment: false,
    })
}

fn check(there: usize, said: usize) -> Result<(), Reason> {
    match there.cmp(&said) {
        std::cmp::Ordering::Less => Err(Reason::Truncated),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Reason::Oversized),
    }
}

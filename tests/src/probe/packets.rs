//! Packets that no socket of the kernel sends: ICMP of any type, and SCTP where the kernel has none.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Probe, What};

/// Echo requests (RFC 792, RFC 4443).
pub(super) const ECHO: u8 = 8;
pub(super) const ECHO_V6: u8 = 128;
/// Echo replies.
pub(super) const REPLY: u8 = 0;
pub(super) const REPLY_V6: u8 = 129;
/// SCTP, which nix and socket2 do not name.
pub(super) const SCTP: i32 = 132;

/// Sends the packet of a probe from the thread's namespace.
pub(super) fn send(probe: &Probe, token: [u8; 8]) {
    let bytes = match probe.what {
        What::Icmp(kind, code) => icmp(kind, code, probe, token),
        What::Sctp(port) => sctp(probe.source_port, port, token),
        What::Tcp(_) | What::Udp(_) => unreachable!("these have sockets"),
    };
    let socket =
        raw(probe.to, probe.what.protocol(probe.to).into()).expect("root makes raw sockets");
    if let Some(source) = probe.source {
        let bound = socket.bind(&SocketAddr::new(source, 0).into());
        bound.unwrap_or_else(|error| panic!("{probe:?}: {error}"));
    }
    let to = SocketAddr::new(probe.to, 0);
    super::sent(probe, socket.send_to(&bytes, &to.into()));
}

/// A raw socket of the thread's namespace, for the family of an address.
pub(super) fn raw(family: IpAddr, protocol: i32) -> std::io::Result<Socket> {
    let domain = Domain::for_address((family, 0).into());
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Type, code, checksum, identifier, number, token. The kernel counts ICMPv6's checksum.
fn icmp(kind: u8, code: u8, probe: &Probe, token: [u8; 8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(probe.source_port.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(token);
    // Timestamps and masks have fields of a length of their own (RFC 792).
    bytes.resize(28, 0);
    if probe.to.is_ipv4() {
        let sum = !internet_sum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// RFC 1071.
fn internet_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

/// A packet with an INIT chunk and, in a chunk parameter that nobody knows, the token (RFC 9260).
fn sctp(source_port: u16, port: u16, token: [u8; 8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(source_port.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    // The verification tag of an INIT is 0; the checksum comes last.
    bytes.extend([0; 8]);
    // INIT, no flags, length; initiate tag, window, streams out and in, first number.
    bytes.extend([1, 0, 0, 32, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    // A parameter that is skipped by who does not know it: 0x8000 and its length.
    bytes.extend([0x80, 0, 0, 12]);
    bytes.extend(token);
    let sum = crc32c(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Where the token is in such a packet.
pub(super) const SCTP_TOKEN: usize = 36;

/// CRC32c (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0x82f6_3b78,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// A raw socket read as one of datagrams.
pub(super) fn datagrams(socket: Socket) -> UdpSocket {
    socket.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of CRC-32C (RFC 3720, appendix B.4: 32 bytes of zeroes).
    #[test]
    fn checksums_are_those_of_the_standards() {
        assert_eq!(crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        // The example of RFC 1071, section 3.
        let sum = internet_sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum, 0xddf2);
    }
}

//! What stands before each packet on the wire: 8 bytes, in network byte order.
//!
//! ```text
//!  0        4        8               16                              32
//!  ├ version ┼ kind  ┼     flags     ┼   length of what follows      ┤
//!  ├                         network                                 ┤
//! ```
//!
//! One datagram holds one header and one whole IP packet, or one message of the control protocol.
//! With UDP it costs 36 bytes of a packet over IPv4 and 56 over IPv6. Bits that this version gives no
//! meaning must be zero: they are kept for encryption and relaying, and who does not know them must
//! not guess.

use crate::{NetworkId, Reason};

/// Length of the header, in bytes.
pub const HEADER_BYTES: usize = 8;
/// The version that is spoken.
pub const VERSION: u8 = 1;
/// Flag: the inner checksum of TCP or UDP holds the sum of its pseudo-header only. Between the hosts the
/// outer UDP checksum guards the packet; who receives it, completes it.
pub const FLAG_PARTIAL_CHECKSUM: u8 = 1;

/// What a datagram holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IP packet.
    Data,
    /// A message between the tunnels themselves.
    Control,
}

/// A header whose datagram was checked against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// Whether the inner checksum is that of the pseudo-header only.
    pub partial_checksum: bool,
    /// How many bytes follow.
    pub length: u16,
    /// Whose packet it is.
    pub network: NetworkId,
}

impl Header {
    /// The header of an IP packet of so many bytes.
    #[must_use]
    pub fn data(network: NetworkId, length: u16, partial_checksum: bool) -> Header {
        Header {
            kind: Kind::Data,
            partial_checksum,
            length,
            network,
        }
    }

    /// The header of a message of the control protocol.
    #[must_use]
    pub fn control(length: u16) -> Header {
        Header {
            kind: Kind::Control,
            partial_checksum: false,
            length,
            network: NetworkId(0),
        }
    }

    /// As it goes onto the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::Control => 1,
        };
        let flags = if self.partial_checksum {
            FLAG_PARTIAL_CHECKSUM
        } else {
            0
        };
        let length = self.length.to_be_bytes();
        let network = self.network.0.to_be_bytes();
        [
            VERSION << 4 | kind,
            flags,
            length[0],
            length[1],
            network[0],
            network[1],
            network[2],
            network[3],
        ]
    }

    /// Reads the header of a datagram, which must hold exactly what the header says.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if less is there, [`Reason::Oversized`] if more is, [`Reason::Version`] if
    /// it is of another version, of an unknown kind, or sets a bit that has no meaning yet.
    pub fn read(datagram: &[u8]) -> Result<(Header, &[u8]), Reason> {
        let (bytes, rest) = datagram
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(Reason::Truncated)?;
        let kind = match bytes[0] {
            byte if byte >> 4 != VERSION => return Err(Reason::Version),
            byte if byte & 0xf == 0 => Kind::Data,
            byte if byte & 0xf == 1 => Kind::Control,
            _ => return Err(Reason::Version),
        };
        if bytes[1] & !FLAG_PARTIAL_CHECKSUM != 0 {
            return Err(Reason::Version);
        }
        let length = u16::from_be_bytes([bytes[2], bytes[3]]);
        match rest.len() {
            there if there < usize::from(length) => return Err(Reason::Truncated),
            there if there > usize::from(length) => return Err(Reason::Oversized),
            _ => {}
        }
        let network = NetworkId(u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
        let header = Header {
            kind,
            partial_checksum: bytes[1] & FLAG_PARTIAL_CHECKSUM != 0,
            length,
            network,
        };
        Ok((header, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_what_the_picture_says() {
        let header = Header::data(NetworkId(0x0102_0304), 3, true);
        assert_eq!(header.to_bytes(), [0x10, 1, 0, 3, 1, 2, 3, 4]);
        assert_eq!(
            Header::control(0x100).to_bytes(),
            [0x11, 0, 1, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn what_is_written_is_read() {
        for header in [
            Header::data(NetworkId(7), 2, false),
            Header::data(NetworkId(u32::MAX), 2, true),
            Header::control(2),
        ] {
            let mut datagram = header.to_bytes().to_vec();
            datagram.extend([8, 9]);
            assert_eq!(Header::read(&datagram), Ok((header, &[8, 9][..])));
        }
    }

    #[test]
    fn what_is_no_datagram_of_ours_is_refused_with_its_reason() {
        let good = [0x10, 0, 0, 1, 0, 0, 0, 1, 0xff];
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Header::read(&bytes).map(|_| ())
        };
        assert_eq!(with(0, 0x10), Ok(()));
        assert_eq!(with(0, 0x20), Err(Reason::Version));
        assert_eq!(with(0, 0x12), Err(Reason::Version));
        assert_eq!(with(1, 2), Err(Reason::Version));
        assert_eq!(with(3, 2), Err(Reason::Truncated));
        assert_eq!(with(3, 0), Err(Reason::Oversized));
        assert_eq!(Header::read(&good[..7]), Err(Reason::Truncated));
        assert_eq!(Header::read(&[]), Err(Reason::Truncated));
    }
}

//! `struct virtio_net_hdr` (linux/virtio_net.h): what a TUN device says before each packet, and is told.
//!
//! Its numbers are in the byte order of the machine, as TUN has it unless it is told otherwise.

/// Its length, in bytes.
pub const OFFLOAD_BYTES: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// The first segment alone has the flag CWR (RFC 3168).
const GSO_ECN: u8 = 0x80;

/// Into what a packet is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gso {
    /// Nothing: it is one packet.
    None,
    /// TCP segments over IPv4.
    Tcp4,
    /// TCP segments over IPv6.
    Tcp6,
    /// UDP datagrams.
    Udp,
}

/// What is left to be done to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// Into what it is cut.
    pub gso: Gso,
    /// How much payload a segment has.
    pub segment: u16,
    /// How long the headers are.
    pub header: u16,
    /// Where the checksum's sum begins, and how far behind it the field is; none if it is complete.
    pub checksum: Option<(u16, u16)>,
}

impl Offload {
    /// Reads it. None if it is of a sort that was not asked for.
    #[must_use]
    pub fn read(bytes: &[u8; OFFLOAD_BYTES]) -> Option<Offload> {
        let number = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let gso = match bytes[1] & !GSO_ECN {
            GSO_NONE => Gso::None,
            GSO_TCP4 => Gso::Tcp4,
            GSO_TCP6 => Gso::Tcp6,
            GSO_UDP => Gso::Udp,
            _ => return None,
        };
        Some(Offload {
            gso,
            header: number(2),
            segment: number(4),
            checksum: (bytes[0] & NEEDS_CHECKSUM != 0).then(|| (number(6), number(8))),
        })
    }

    /// As the device is told.
    #[must_use]
    pub fn to_bytes(self) -> [u8; OFFLOAD_BYTES] {
        let mut bytes = [0; OFFLOAD_BYTES];
        bytes[1] = match self.gso {
            Gso::None => GSO_NONE,
            Gso::Tcp4 => GSO_TCP4,
            Gso::Tcp6 => GSO_TCP6,
            Gso::Udp => GSO_UDP,
        };
        bytes[2..4].copy_from_slice(&self.header.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.segment.to_ne_bytes());
        if let Some((start, offset)) = self.checksum {
            bytes[0] = NEEDS_CHECKSUM;
            bytes[6..8].copy_from_slice(&start.to_ne_bytes());
            bytes[8..10].copy_from_slice(&offset.to_ne_bytes());
        }
        bytes
    }
}

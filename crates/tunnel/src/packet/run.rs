//! A run: packets of one flow, in order, of one size, that go to the device as one super-packet.

use super::checksum::{field, finish_ipv4, pseudo_header};
use super::inner::{Inner, TCP, UDP};
use super::offload::{Gso, OFFLOAD_BYTES, Offload};
use super::{Piece, get, put};
use crate::NetworkId;

/// What goes before the payload of a run is at most so long: what the device is told, IPv4 or IPv6 without
/// options, and TCP with all of its.
pub const HEAD_BYTES: usize = OFFLOAD_BYTES + 100;

/// The largest IP packet.
const MAX_BYTES: usize = 65_535;
/// The kernel takes so many datagrams at once (`UDP_MAX_SEGMENTS`, linux/udp.h, before Linux 6.9).
const MAX_DATAGRAMS: usize = 64;

const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
/// Flags of which none may be set in a packet that is joined to others: SYN, RST, URG, CWR.
const ALONE: u8 = 0x02 | 0x04 | 0x20 | 0x80;

/// Packets that are going to be one.
#[derive(Debug, Default)]
pub struct Run {
    /// Whose device it goes to.
    pub network: NetworkId,
    head: Vec<u8>,
    pieces: Vec<Piece>,
    protocol: u8,
    transport: usize,
    /// The payload of all but the last packet.
    segment: usize,
    length: usize,
    packets: usize,
    /// The next packet's sequence number, of TCP.
    next: u32,
    /// Whether nothing may be joined any more.
    sealed: bool,
    partial_checksum: bool,
}

impl Run {
    /// Begins anew with a packet, whose bytes these are.
    pub fn begin(&mut self, packet: &Packet, bytes: &[u8]) {
        let Packet { inner, piece, .. } = *packet;
        self.network = packet.network;
        self.pieces.clear();
        self.head.clear();
        self.protocol = inner.protocol;
        self.transport = inner.transport;
        self.packets = 1;
        self.length = bytes.len();
        self.partial_checksum = packet.partial_checksum && can_carry(&inner, bytes);
        self.sealed = true;
        let header = match header(bytes, packet) {
            Some(header) if header < bytes.len() => header,
            _ => {
                // It goes alone, as it is.
                self.segment = 0;
                self.pieces.push(piece);
                return;
            }
        };
        self.head.extend_from_slice(&bytes[..header]);
        self.segment = bytes.len() - header;
        self.pieces
            .push(Piece::new(piece.at as usize + header, self.segment));
        if inner.protocol == TCP {
            self.next = sequence(bytes, self.transport).wrapping_add(self.segment as u32);
            self.sealed = bytes[self.transport + 13] & (FIN | PSH) != 0;
        } else {
            self.sealed = false;
        }
    }

    /// Joins a packet to the run if it is its next one.
    pub fn join(&mut self, packet: &Packet, bytes: &[u8]) -> bool {
        if self.sealed || packet.network != self.network || packet.inner.protocol != self.protocol {
            return false;
        }
        let header = self.head.len();
        if header_is_other(&self.head, bytes, self.transport, self.packets)
            || self::header(bytes, packet) != Some(header)
        {
            return false;
        }
        let payload = bytes.len() - header;
        let full = self.length + payload > MAX_BYTES
            || (self.protocol == UDP && self.packets == MAX_DATAGRAMS);
        if payload == 0 || payload > self.segment || full {
            return false;
        }
        if self.protocol == TCP {
            if sequence(bytes, self.transport) != self.next {
                return false;
            }
            self.next = self.next.wrapping_add(payload as u32);
            let flags = bytes[self.transport + 13];
            self.head[self.transport + 13] |= flags & (FIN | PSH);
            self.sealed = flags & (FIN | PSH) != 0;
        }
        self.sealed |= payload < self.segment;
        self.pieces
            .push(Piece::new(packet.piece.at as usize + header, payload));
        self.length += payload;
        self.packets += 1;
        true
    }

    /// How many packets it has.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Where the payload is.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Writes what goes before the payload, and answers how long that is.
    pub fn write_head(&self, out: &mut [u8; HEAD_BYTES]) -> usize {
        let header = self.head.len();
        let several = self.packets > 1;
        let gso = match (several, self.protocol, self.transport) {
            (false, ..) => Gso::None,
            (_, UDP, _) => Gso::Udp,
            (_, _, 20) => Gso::Tcp4,
            _ => Gso::Tcp6,
        };
        let offset = field(self.protocol).filter(|_| self.partial_checksum);
        let offload = Offload {
            gso,
            segment: if several { self.segment as u16 } else { 0 },
            header: if several { header as u16 } else { 0 },
            checksum: offset.map(|offset| (self.transport as u16, offset as u16)),
        };
        out[..OFFLOAD_BYTES].copy_from_slice(&offload.to_bytes());
        let head = &mut out[OFFLOAD_BYTES..OFFLOAD_BYTES + header];
        head.copy_from_slice(&self.head);
        if several {
            self.lengthen(head);
        }
        OFFLOAD_BYTES + header
    }

    /// The lengths and sums of the whole, into the header of the first.
    fn lengthen(&self, head: &mut [u8]) {
        if head[0] >> 4 == 4 {
            put(head, 2, self.length as u16);
            finish_ipv4(head, self.transport);
        } else {
            put(head, 4, (self.length - self.transport) as u16);
        }
        let behind = self.length - self.transport;
        let pseudo = pseudo_header(head, self.protocol, behind);
        if self.protocol == UDP {
            put(head, self.transport + 4, behind as u16);
        }
        if let Some(field) = field(self.protocol) {
            put(head, self.transport + field, pseudo);
        }
    }
}

/// A packet that was checked.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Whose it is.
    pub network: NetworkId,
    /// Where it lies.
    pub piece: Piece,
    /// Its first header.
    pub inner: Inner,
    /// Whether its checksum is that of the pseudo-header only.
    pub partial_checksum: bool,
}

/// Whether there is a checksum field to complete.
fn can_carry(inner: &Inner, bytes: &[u8]) -> bool {
    !inner.fragment
        && field(inner.protocol).is_some_and(|field| inner.transport + field + 2 <= bytes.len())
}

/// How long the headers are of a packet that can be joined to others. Only packets whose checksum nobody
/// has computed: a computed one would have to be checked first, or an error would be lost.
fn header(bytes: &[u8], packet: &Packet) -> Option<usize> {
    let inner = &packet.inner;
    let plain = bytes[0] == 0x45 || bytes[0] >> 4 == 6;
    if !plain || inner.fragment || !packet.partial_checksum {
        return None;
    }
    let transport = inner.transport;
    match inner.protocol {
        TCP if bytes.len() >= transport + 20 => {
            let header = transport + usize::from(bytes[transport + 12] >> 4) * 4;
            let alone = bytes[transport + 13] & ALONE != 0;
            (!alone && header >= transport + 20 && header <= bytes.len()).then_some(header)
        }
        UDP if bytes.len() > transport + 8 => {
            let said = usize::from(get(bytes, transport + 4));
            (said == bytes.len() - transport).then_some(transport + 8)
        }
        _ => None,
    }
}

fn sequence(bytes: &[u8], transport: usize) -> u32 {
    u32::from(get(bytes, transport + 4)) << 16 | u32::from(get(bytes, transport + 6))
}

/// Whether a packet's headers differ from the run's in what must be the same in all of its packets.
fn header_is_other(head: &[u8], bytes: &[u8], transport: usize, packets: usize) -> bool {
    if bytes.len() < head.len() || head.len() < transport {
        return true;
    }
    let ip_is_other = if head[0] == 0x45 {
        // Who may be cut on the way is known by its identification, which must go on as when the kernel
        // cuts the whole again.
        let counted = get(head, 4).wrapping_add(packets as u16) == get(bytes, 4);
        head[..2] != bytes[..2]
            || head[6..10] != bytes[6..10]
            || head[12..20] != bytes[12..20]
            || (head[6] & 0x40 == 0 && !counted)
    } else {
        head[..4] != bytes[..4] || head[6..40] != bytes[6..40]
    };
    let (a, b) = (&head[transport..], &bytes[transport..head.len()]);
    let transport_is_other = if a.len() == 8 {
        a[..4] != b[..4]
    } else {
        a[..4] != b[..4]
            || a[8..13] != b[8..13]
            || (a[13] ^ b[13]) & !(FIN | PSH) != 0
            || a[14..16] != b[14..16]
            || a[18..] != b[18..]
    };
    ip_is_other || transport_is_other
}

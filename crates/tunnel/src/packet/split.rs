//! A super-packet, cut into what goes onto the wire by its headers alone (as RFC 9293 and RFC 768 let
//! segments of one stream differ): lengths, sequence numbers, identifications, flags. The payload stays
//! where it is.

use super::checksum::{self, fold, pseudo_header};
use super::inner::{Inner, TCP, UDP};
use super::offload::{Gso, Offload};
use super::{get, put};
use crate::Reason;

/// The headers of an inner packet that is cut are at most so long: IPv4 with all options and TCP with all
/// of its, or IPv6 with extensions of that size.
pub const MAX_HEADER_BYTES: usize = 160;

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// A packet that came from the device, and how it is to be cut.
#[derive(Debug, Clone, Copy)]
pub struct Super {
    /// Its first header.
    pub inner: Inner,
    /// How many bytes of headers each segment has; none where the packet goes as it is.
    header: usize,
    /// Where TCP or UDP begins.
    transport: usize,
    protocol: u8,
    segment: usize,
    length: usize,
    /// Whether TCP's or UDP's checksum is that of the pseudo-header only.
    pub partial_checksum: bool,
    /// Sums of what is the same in all segments: the pseudo-header, and IPv4's header.
    pseudo: u16,
    ipv4: u16,
    identification: u16,
    sequence: u32,
    flags: u8,
}

impl Super {
    /// Understands a packet.
    ///
    /// # Errors
    /// [`Reason::Malformed`] and its like if the packet is not what it says.
    pub fn read(packet: &mut [u8], offload: &Offload) -> Result<Super, Reason> {
        let inner = Inner::read(packet)?;
        let whole = Super {
            inner,
            header: 0,
            transport: inner.transport,
            protocol: inner.protocol,
            segment: packet.len(),
            length: packet.len(),
            partial_checksum: false,
            pseudo: 0,
            ipv4: 0,
            identification: 0,
            sequence: 0,
            flags: 0,
        };
        match (offload.gso, offload.checksum) {
            (Gso::None, None) => Ok(whole),
            (Gso::None, Some((start, offset))) => {
                let (start, offset) = (usize::from(start), usize::from(offset));
                let usual = checksum::is_usual(packet, &inner, start, offset);
                if !usual && !checksum::complete(packet, start, offset) {
                    return Err(Reason::Malformed);
                }
                Ok(Super {
                    partial_checksum: usual,
                    ..whole
                })
            }
            (gso, Some((start, _))) => whole.cut(packet, gso, start.into(), offload.segment.into()),
            (_, None) => Err(Reason::Malformed),
        }
    }

    fn cut(
        self,
        packet: &[u8],
        gso: Gso,
        transport: usize,
        segment: usize,
    ) -> Result<Super, Reason> {
        let least = if gso == Gso::Udp { 8 } else { 20 };
        let fits = transport >= self.inner.transport && transport + least <= packet.len();
        if !fits || segment == 0 || self.inner.fragment {
            return Err(Reason::Malformed);
        }
        let (protocol, behind) = match gso {
            Gso::Udp => (UDP, 8),
            _ => (TCP, usize::from(packet[transport + 12] >> 4) * 4),
        };
        let header = transport + behind;
        if behind < least || header > packet.len() || header > MAX_HEADER_BYTES {
            return Err(Reason::Malformed);
        }
        let ipv4 = if packet[0] >> 4 == 4 {
            // All but the length, the identification, and the sum itself.
            let end = self.inner.transport;
            let rest = checksum::sum(&packet[6..10], get(packet, 0));
            checksum::sum(&packet[12..end], rest)
        } else {
            0
        };
        let sequence = match protocol {
            TCP => {
                u32::from(get(packet, transport + 4)) << 16 | u32::from(get(packet, transport + 6))
            }
            _ => 0,
        };
        Ok(Super {
            header,
            transport,
            protocol,
            segment,
            partial_checksum: true,
            pseudo: pseudo_header(packet, protocol, 0),
            ipv4,
            identification: get(packet, 4),
            sequence,
            flags: if protocol == TCP {
                packet[transport + 13]
            } else {
                0
            },
            ..self
        })
    }

    /// Into how many packets it is cut.
    #[must_use]
    pub fn segments(&self) -> usize {
        match self.header {
            0 => 1,
            header => (self.length - header).div_ceil(self.segment).max(1),
        }
    }

    /// The length of the largest of them.
    #[must_use]
    pub fn largest(&self) -> usize {
        self.length.min(self.header + self.segment)
    }

    /// How many bytes of headers go before each payload: none where the packet goes as it is.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.header
    }

    /// Where the payload of a segment is in the packet.
    #[must_use]
    pub fn payload(&self, index: usize) -> std::ops::Range<usize> {
        let begin = (self.header + index * self.segment).min(self.length);
        begin..(begin + self.segment).min(self.length)
    }

    /// Writes the headers of a segment to `out`, which is [`Super::header_bytes`] long.
    pub fn write(&self, packet: &[u8], index: usize, out: &mut [u8]) {
        if self.header == 0 {
            return;
        }
        out.copy_from_slice(&packet[..self.header]);
        let length = self.header + self.payload(index).len();
        if out[0] >> 4 == 4 {
            let identification = self.identification.wrapping_add(index as u16);
            put(out, 2, length as u16);
            put(out, 4, identification);
            let total = u64::from(self.ipv4) + length as u64 + u64::from(identification);
            put(out, 10, !fold(total));
        } else {
            put(out, 4, (length - 40) as u16);
        }
        let transport = &mut out[self.transport..];
        let behind = length - self.transport;
        let pseudo = fold(u64::from(self.pseudo) + behind as u64);
        if self.protocol == UDP {
            put(transport, 4, behind as u16);
            put(transport, 6, pseudo);
            return;
        }
        let sequence = self.sequence.wrapping_add((index * self.segment) as u32);
        transport[4..8].copy_from_slice(&sequence.to_be_bytes());
        let mut flags = self.flags;
        if index > 0 {
            flags &= !CWR;
        }
        if index + 1 < self.segments() {
            flags &= !FIN_PSH;
        }
        transport[13] = flags;
        put(transport, 16, pseudo);
    }
}

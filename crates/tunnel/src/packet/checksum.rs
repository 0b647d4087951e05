//! The Internet checksum (RFC 1071): the sum of 16-bit words in ones' complement.

use super::inner::{Inner, TCP, UDP};
use super::{get, put};

/// Adds the words of some bytes, the last odd one padded by zero, to a sum that is folded.
#[must_use]
pub fn sum(bytes: &[u8], start: u16) -> u16 {
    let mut total = u64::from(start);
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        total += u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut rest = [0; 4];
    let left = words.remainder();
    rest[..left.len()].copy_from_slice(left);
    fold(total + u64::from(u32::from_be_bytes(rest)))
}

/// Ones' complement addition: what is carried out of 16 bits comes in again.
pub(super) fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// The sum of the pseudo-header of TCP and UDP (RFC 9293 §3.1, RFC 8200 §8.1) of a packet, for a segment of
/// so many bytes: what the field holds until the checksum is completed.
#[must_use]
pub fn pseudo_header(packet: &[u8], protocol: u8, length: usize) -> u16 {
    let addresses = match packet[0] >> 4 {
        4 => &packet[12..20],
        _ => &packet[8..40],
    };
    let rest = length as u64 + u64::from(protocol);
    fold(u64::from(sum(addresses, 0)) + rest)
}

/// Completes a checksum whose field holds the sum of the pseudo-header: over everything from `start` on,
/// into the field that is `offset` bytes behind it. Answers whether there is such a field.
pub fn complete(packet: &mut [u8], start: usize, offset: usize) -> bool {
    let at = start + offset;
    if at + 2 > packet.len() {
        return false;
    }
    let value = !sum(&packet[start..], 0);
    // A checksum of zero means that there is none, where it may be left out (RFC 768).
    put(packet, at, if value == 0 { 0xffff } else { value });
    true
}

/// The header checksum of IPv4 (RFC 791 §3.1), over the header as it is, into its field.
pub(super) fn finish_ipv4(header: &mut [u8], length: usize) {
    put(header, 10, 0);
    let value = !sum(&header[..length], 0);
    put(header, 10, value);
}

/// Where TCP and UDP have their checksums, behind the beginning of their headers.
pub(super) fn field(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(16),
        UDP => Some(6),
        _ => None,
    }
}

/// Whether the packet's TCP or UDP checksum is right, computed from nothing. For tests.
#[cfg(test)]
pub(super) fn is_right(packet: &[u8]) -> bool {
    let inner = Inner::read(packet).unwrap();
    let length = packet.len() - inner.transport;
    let start = pseudo_header(packet, inner.protocol, length);
    let header_is_right = packet[0] >> 4 == 6 || sum(&packet[..inner.transport], 0) == 0xffff;
    header_is_right && sum(&packet[inner.transport..], start) == 0xffff
}

/// Whether a packet's checksum field is the one that its protocol has, so that who receives it finds it.
pub(super) fn is_usual(packet: &[u8], inner: &Inner, start: usize, offset: usize) -> bool {
    start == inner.transport
        && field(inner.protocol) == Some(offset)
        && start + offset + 2 <= packet.len()
        && !inner.fragment
        && get(packet, start + offset) != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the RFC says it, word by word.
    fn slow(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
            if total > 0xffff {
                total -= 0xffff;
            }
        }
        total as u16
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes, 0), 0xddf2);
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_slow_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // 0 and 0xffff are the same number.
            prop_assert_eq!(sum(&bytes, 0) % 0xffff, slow(&bytes) % 0xffff);
        }

        #[test]
        fn a_completed_checksum_is_right(bytes in prop::collection::vec(any::<u8>(), 8..99), pseudo: u16) {
            let mut bytes = bytes;
            put(&mut bytes, 6, pseudo);
            prop_assert!(complete(&mut bytes, 0, 6));
            prop_assert_eq!(sum(&bytes, pseudo) % 0xffff, 0);
        }
    }
}

//! "It is too big", told to who sent it: ICMP fragmentation needed (RFC 792, RFC 1191) and ICMPv6 packet
//! too big (RFC 4443 §3.2).
//!
//! It is handed to the device, as if it had come from whom the packet was for: an address of this host
//! would be refused there.

use std::net::IpAddr;
use std::time::Duration;

use super::checksum::{finish_ipv4, pseudo_header, sum};
use super::inner::Inner;
use super::put;

/// As much of the packet is quoted: enough for the headers, and never more than the least MTU holds.
const QUOTED: usize = 512;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// The answer to a packet that is larger than `mtu`. None to packets that must not be answered: errors of
/// ICMP, and fragments but the first.
#[must_use]
pub fn too_big(packet: &[u8], inner: &Inner, mtu: u16) -> Option<Vec<u8>> {
    let is_error = match inner.protocol {
        ICMP => !matches!(packet.get(inner.transport), Some(0 | 8)),
        ICMPV6 => packet.get(inner.transport).is_none_or(|kind| *kind < 128),
        _ => false,
    };
    if is_error || (inner.fragment && packet[6] & 0x1f | packet[7] != 0) {
        return None;
    }
    let quoted = &packet[..packet.len().min(QUOTED)];
    Some(match inner.source {
        IpAddr::V4(_) => v4(packet, quoted, mtu),
        IpAddr::V6(_) => v6(packet, quoted, mtu),
    })
}

fn v4(packet: &[u8], quoted: &[u8], mtu: u16) -> Vec<u8> {
    let mut bytes = vec![0; 28 + quoted.len()];
    bytes[0] = 0x45;
    let length = bytes.len() as u16;
    put(&mut bytes, 2, length);
    bytes[8] = 64;
    bytes[9] = ICMP;
    bytes[12..16].copy_from_slice(&packet[16..20]);
    bytes[16..20].copy_from_slice(&packet[12..16]);
    finish_ipv4(&mut bytes, 20);
    bytes[20] = 3;
    bytes[21] = 4;
    put(&mut bytes, 26, mtu);
    bytes[28..].copy_from_slice(quoted);
    let checksum = !sum(&bytes[20..], 0);
    put(&mut bytes, 22, checksum);
    bytes
}

fn v6(packet: &[u8], quoted: &[u8], mtu: u16) -> Vec<u8> {
    let mut bytes = vec![0; 48 + quoted.len()];
    bytes[0] = 0x60;
    let length = (8 + quoted.len()) as u16;
    put(&mut bytes, 4, length);
    bytes[6] = ICMPV6;
    bytes[7] = 64;
    bytes[8..24].copy_from_slice(&packet[24..40]);
    bytes[24..40].copy_from_slice(&packet[8..24]);
    bytes[40] = 2;
    put(&mut bytes, 46, mtu);
    bytes[48..].copy_from_slice(quoted);
    let pseudo = pseudo_header(&bytes, ICMPV6, length.into());
    let checksum = !sum(&bytes[40..], pseudo);
    put(&mut bytes, 42, checksum);
    bytes
}

/// So many answers at once, and so many a second (RFC 1812 §4.3.2.8, RFC 4443 §2.4 f).
const BURST: u32 = 50;
const PERIOD: Duration = Duration::from_millis(1);

/// Lets answers out at a bounded rate.
#[derive(Debug)]
pub struct Limiter {
    left: u32,
    filled: Duration,
}

impl Default for Limiter {
    fn default() -> Limiter {
        Limiter {
            left: BURST,
            filled: Duration::ZERO,
        }
    }
}

impl Limiter {
    /// Whether one more may go, at a time since an origin that is always the same.
    pub fn allow(&mut self, now: Duration) -> bool {
        let periods = now.saturating_sub(self.filled).as_millis() / PERIOD.as_millis();
        if periods > 0 {
            let more = u32::try_from(periods).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(more).min(BURST);
            self.filled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet_v4(protocol: u8, kind: u8) -> Vec<u8> {
        let mut packet = vec![0; 900];
        packet[0] = 0x45;
        put(&mut packet, 2, 900);
        packet[9] = protocol;
        packet[12..20].copy_from_slice(&[10, 0, 1, 2, 10, 0, 2, 2]);
        finish_ipv4(&mut packet, 20);
        packet[20] = kind;
        packet
    }

    fn answer(packet: &[u8]) -> Option<Vec<u8>> {
        too_big(packet, &Inner::read(packet).unwrap(), 1400)
    }

    #[test]
    fn an_answer_of_ipv4_is_whole_and_goes_back() {
        let packet = packet_v4(17, 0);
        let told = answer(&packet).unwrap();
        let inner = Inner::read(&told).unwrap();
        assert_eq!(inner.source.to_string(), "10.0.2.2");
        assert_eq!(inner.destination.to_string(), "10.0.1.2");
        assert_eq!(told[20..22], [3, 4]);
        assert_eq!(told[26..28], 1400u16.to_be_bytes());
        assert_eq!(sum(&told[..20], 0), 0xffff);
        assert_eq!(sum(&told[20..], 0), 0xffff);
        assert_eq!(told[28..], packet[..QUOTED]);
    }

    #[test]
    fn an_answer_of_ipv6_is_whole_and_goes_back() {
        let mut packet = vec![0; 1500];
        packet[0] = 0x60;
        put(&mut packet, 4, 1460);
        packet[6] = 17;
        packet[23] = 1;
        packet[39] = 2;
        let told = answer(&packet).unwrap();
        let inner = Inner::read(&told).unwrap();
        assert_eq!(
            (inner.source.to_string(), inner.destination.to_string()),
            ("::2".into(), "::1".into())
        );
        assert_eq!(told[40..42], [2, 0]);
        assert_eq!(told[44..48], 1400u32.to_be_bytes());
        let pseudo = pseudo_header(&told, ICMPV6, told.len() - 40);
        assert_eq!(sum(&told[40..], pseudo), 0xffff);
    }

    #[test]
    fn errors_and_later_fragments_are_not_answered() {
        assert!(answer(&packet_v4(1, 8)).is_some());
        assert_eq!(answer(&packet_v4(1, 3)), None);
        let mut fragment = packet_v4(17, 0);
        fragment[7] = 8;
        assert_eq!(answer(&fragment), None);
    }

    #[test]
    fn a_flood_is_answered_at_a_bounded_rate() {
        let mut limiter = Limiter::default();
        let allowed = |limiter: &mut Limiter, at| {
            let at = Duration::from_millis(at);
            (0..1000).filter(|_| limiter.allow(at)).count()
        };
        assert_eq!(allowed(&mut limiter, 0), 50);
        assert_eq!(allowed(&mut limiter, 10), 10);
        assert_eq!(allowed(&mut limiter, 10_000), 50);
    }
}

//! IPv4 fragments (RFC 791 §3.2) of a packet that lets itself be cut.

use super::checksum::finish_ipv4;
use super::{get, put};

/// More fragments follow.
const MORE: u16 = 0x2000;

/// One fragment: a header of its own, and a range of the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Its header.
    pub header: Vec<u8>,
    /// Where its payload is.
    pub payload: std::ops::Range<usize>,
}

/// Cuts an IPv4 packet, whose header is `transport` bytes long and whose checksums are complete, into
/// fragments of at most `mtu` bytes. None if that is too little for any.
#[must_use]
pub fn fragments(packet: &[u8], transport: usize, mtu: u16) -> Option<Vec<Fragment>> {
    let later = later_header(packet, transport);
    let room = usize::from(mtu).checked_sub(transport)? & !7;
    if room == 0 {
        return None;
    }
    let before = get(packet, 6);
    let mut list = Vec::new();
    let mut at = transport;
    while at < packet.len() {
        let end = (at + room).min(packet.len());
        let mut header = if at == transport {
            packet[..transport].to_vec()
        } else {
            later.clone()
        };
        let offset = (before & 0x1fff) + ((at - transport) / 8) as u16;
        let more = if end < packet.len() {
            MORE
        } else {
            before & MORE
        };
        let length = header.len() + (end - at);
        put(&mut header, 2, length as u16);
        put(&mut header, 6, offset | more);
        let size = header.len();
        finish_ipv4(&mut header, size);
        list.push(Fragment {
            header,
            payload: at..end,
        });
        at = end;
    }
    Some(list)
}

/// The header of all but the first: only options that ask to be copied are in it.
fn later_header(packet: &[u8], transport: usize) -> Vec<u8> {
    let mut header = packet[..20].to_vec();
    let mut at = 20;
    while at < transport {
        let kind = packet[at];
        let length = match kind {
            0 => break,
            1 => 1,
            _ if at + 1 < transport => usize::from(packet[at + 1]).max(2),
            _ => break,
        };
        let end = (at + length).min(transport);
        if kind & 0x80 != 0 {
            header.extend_from_slice(&packet[at..end]);
        }
        at = end;
    }
    header.resize(header.len().next_multiple_of(4), 0);
    header[0] = 0x40 | (header.len() / 4) as u8;
    header
}

#[cfg(test)]
mod tests {
    use super::super::checksum::sum;
    use super::super::inner::Inner;
    use super::*;

    fn packet(options: &[u8], payload: usize) -> Vec<u8> {
        let transport = 20 + options.len();
        let mut packet = vec![0; transport];
        packet[0] = 0x40 | (transport / 4) as u8;
        packet[20..].copy_from_slice(options);
        packet.extend((0..payload).map(|n| n as u8));
        let length = packet.len() as u16;
        put(&mut packet, 2, length);
        finish_ipv4(&mut packet, transport);
        packet
    }

    #[test]
    fn fragments_put_together_are_the_packet() {
        let whole = packet(&[], 3000);
        let list = fragments(&whole, 20, 1400).unwrap();
        assert_eq!(list.len(), 3);
        let mut payload = Vec::new();
        for (index, fragment) in list.iter().enumerate() {
            let offset = get(&fragment.header, 6);
            assert_eq!(usize::from(offset & 0x1fff) * 8, payload.len());
            assert_eq!(offset & MORE != 0, index < 2);
            assert_eq!(sum(&fragment.header, 0), 0xffff);
            payload.extend_from_slice(&whole[fragment.payload.clone()]);
            let bytes = [&fragment.header[..], &whole[fragment.payload.clone()]].concat();
            assert!(bytes.len() <= 1400);
            assert!(Inner::read(&bytes).unwrap().fragment);
        }
        assert_eq!(payload, whole[20..]);
    }

    #[test]
    fn a_fragment_is_cut_on_where_it_stood() {
        let mut whole = packet(&[], 1000);
        put(&mut whole, 6, MORE | 100);
        let list = fragments(&whole, 20, 620).unwrap();
        let words: Vec<u16> = list.iter().map(|f| get(&f.header, 6)).collect();
        assert_eq!(words, [MORE | 100, MORE | 175]);
    }

    #[test]
    fn only_options_that_ask_for_it_are_copied() {
        // Nothing, then one that is not copied, then one that is, then the end.
        let options = [1, 7, 3, 9, 0x94, 4, 8, 8, 0, 0, 0, 0];
        let list = fragments(&packet(&options, 100), 32, 84).unwrap();
        assert_eq!(list[0].header.len(), 32);
        assert_eq!(list[1].header[20..], [0x94, 4, 8, 8]);
        assert_eq!(list[1].header[0], 0x46);
    }

    #[test]
    fn no_room_is_no_fragment() {
        assert_eq!(fragments(&packet(&[], 100), 20, 27), None);
        assert_eq!(fragments(&packet(&[], 100), 20, 10), None);
    }
}

//! Super-packets cut and sewn again are what they were; what is cut is right by a slow reference.

use proptest::prelude::*;

use super::checksum::{finish_ipv4, is_right};
use super::*;
use crate::{NetworkId, Reason};

const NETWORK: NetworkId = NetworkId(7);

/// A super-packet as a device hands it over.
#[derive(Debug, Clone)]
struct Whole {
    packet: Vec<u8>,
    offload: Offload,
}

fn ip(v6: bool, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; if v6 { 40 } else { 20 }];
    if v6 {
        packet[0] = 0x60;
        packet[3] = 5;
        put(&mut packet, 4, body.len() as u16);
        packet[6] = protocol;
        packet[7] = 63;
        packet[8..24].copy_from_slice(&[0xfd; 16]);
        packet[24..40].copy_from_slice(&[0xfe; 16]);
    } else {
        packet[0] = 0x45;
        put(&mut packet, 2, 20 + body.len() as u16);
        put(&mut packet, 4, 0xfffd);
        packet[6] = 0x40;
        packet[8] = 63;
        packet[9] = protocol;
        packet[12..20].copy_from_slice(&[10, 0, 1, 2, 10, 0, 2, 3]);
        finish_ipv4(&mut packet, 20);
    }
    packet.extend_from_slice(body);
    packet
}

fn tcp(v6: bool, flags: u8, options: usize, segment: u16, payload: &[u8]) -> Whole {
    let mut body = vec![0; 20 + options];
    body[..8].copy_from_slice(&[0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0]);
    body[12] = (((20 + options) / 4) << 4) as u8;
    body[13] = flags;
    put(&mut body, 14, 501);
    body[20..].fill(1);
    body.extend_from_slice(payload);
    let gso = if v6 { Gso::Tcp6 } else { Gso::Tcp4 };
    seal(ip(v6, TCP, &body), gso, 20 + options, segment)
}

fn udp(v6: bool, segment: u16, payload: &[u8]) -> Whole {
    let mut body = vec![0x12, 0x34, 0, 53, 0, 0, 0, 0];
    put(&mut body, 4, 8 + payload.len() as u16);
    body.extend_from_slice(payload);
    seal(ip(v6, UDP, &body), Gso::Udp, 8, segment)
}

/// Puts the sum of the pseudo-header where the checksum will be.
fn seal(mut packet: Vec<u8>, gso: Gso, header: usize, segment: u16) -> Whole {
    let inner = Inner::read(&packet).unwrap();
    let field = checksum::field(inner.protocol).unwrap();
    let pseudo = pseudo_header(&packet, inner.protocol, packet.len() - inner.transport);
    put(&mut packet, inner.transport + field, pseudo);
    let one = packet.len() - inner.transport - header <= usize::from(segment);
    Whole {
        packet,
        offload: Offload {
            gso: if one { Gso::None } else { gso },
            segment: if one { 0 } else { segment },
            header: if one {
                0
            } else {
                (inner.transport + header) as u16
            },
            checksum: Some((inner.transport as u16, field as u16)),
        },
    }
}

/// All packets that it is cut into.
fn split(whole: &Whole) -> Vec<Vec<u8>> {
    let mut packet = whole.packet.clone();
    let cut = Super::read(&mut packet, &whole.offload).unwrap();
    assert!(cut.partial_checksum);
    let segments = 0..cut.segments();
    segments
        .map(|index| {
            let mut bytes = vec![0; cut.header_bytes()];
            cut.write(&packet, index, &mut bytes);
            bytes.extend_from_slice(&packet[cut.payload(index)]);
            bytes
        })
        .collect()
}

/// What the device would be handed: with what is said of it, as one.
fn merge(packets: &[Vec<u8>], partial_checksum: bool) -> Vec<Whole> {
    let bytes = packets.concat();
    let mut merged = Vec::new();
    let mut write = |run: &Run| {
        let mut head = [0; HEAD_BYTES];
        let length = run.write_head(&mut head);
        let (said, head) = head[..length].split_first_chunk().unwrap();
        let mut packet = head.to_vec();
        for piece in run.pieces() {
            packet.extend_from_slice(&bytes[piece.range()]);
        }
        let offload = Offload::read(said).unwrap();
        merged.push(Whole { packet, offload });
    };
    let mut merger = Merger::default();
    let mut at = 0;
    for packet in packets {
        let of = Packet {
            network: NETWORK,
            piece: Piece::new(at, packet.len()),
            inner: Inner::read(packet).unwrap(),
            partial_checksum,
        };
        at += packet.len();
        merger.push(&of, &bytes, &mut write);
    }
    merger.finish(&mut write);
    merged
}

/// Computes the checksums that are left.
fn completed(mut packet: Vec<u8>) -> Vec<u8> {
    let inner = Inner::read(&packet).unwrap();
    let field = checksum::field(inner.protocol).unwrap();
    assert!(complete(&mut packet, inner.transport, field));
    packet
}

/// How long its headers are.
fn header_of(packet: &[u8]) -> usize {
    let inner = Inner::read(packet).unwrap();
    inner.transport
        + match inner.protocol {
            UDP => 8,
            _ => usize::from(packet[inner.transport + 12] >> 4) * 4,
        }
}

/// Without its identification, which says nothing of a packet that must not be cut (RFC 6864 §4.1).
fn unnumbered(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        put(&mut packet, 4, 0);
        put(&mut packet, 10, 0);
    }
    packet
}

fn any_whole() -> impl Strategy<Value = Whole> {
    let payload = prop::collection::vec(any::<u8>(), 1..9000);
    let flags = prop::sample::select(vec![0x10u8, 0x18, 0x11, 0x19, 0x50]);
    let options = prop::sample::select(vec![0usize, 12, 40]);
    // No more than 64 datagrams go at once.
    (
        any::<bool>(),
        any::<bool>(),
        flags,
        options,
        150u16..1500,
        payload,
    )
        .prop_map(|(v6, is_tcp, flags, options, segment, payload)| {
            if is_tcp {
                tcp(v6, flags, options, segment, &payload)
            } else {
                udp(v6, segment, &payload)
            }
        })
}

proptest! {
    #[test]
    fn what_is_cut_and_sewn_is_what_it_was(whole in any_whole()) {
        let merged = merge(&split(&whole), true);
        prop_assert_eq!(merged.len(), 1);
        prop_assert_eq!(&merged[0].packet, &whole.packet);
        prop_assert_eq!(merged[0].offload, whole.offload);
    }

    #[test]
    fn every_segment_is_a_right_packet_and_holds_its_part(whole in any_whole()) {
        let header = header_of(&whole.packet);
        let mut payload = Vec::new();
        for segment in split(&whole) {
            let segment = completed(segment);
            prop_assert!(is_right(&segment));
            payload.extend_from_slice(&segment[header..]);
        }
        prop_assert_eq!(&payload[..], &whole.packet[header..]);
    }

    /// Whatever comes in, all of it goes on, in its order, and nothing is joined that the kernel would cut
    /// otherwise than it was.
    #[test]
    fn flows_that_are_mixed_lose_nothing(
        list in prop::collection::vec(any_whole(), 1..6),
        shuffle in prop::collection::vec(any::<prop::sample::Index>(), 40),
        partial_checksum: bool,
    ) {
        let mut packets: Vec<Vec<u8>> = list.iter().flat_map(split).collect();
        for (at, index) in shuffle.iter().enumerate() {
            let len = packets.len();
            packets.swap(at % len, index.index(len));
        }
        let merged = merge(&packets, partial_checksum);
        let cut = |whole: &Whole| match whole.offload.gso {
            Gso::None => vec![whole.packet.clone()],
            _ => split(whole),
        };
        let again: Vec<Vec<u8>> = merged.iter().flat_map(cut).collect();
        let same = |list: Vec<Vec<u8>>| list.into_iter().map(unnumbered).collect::<Vec<_>>();
        prop_assert_eq!(same(again), same(packets));
    }

    #[test]
    fn no_bytes_make_it_panic(
        said in any::<[u8; OFFLOAD_BYTES]>(),
        first in prop::sample::select(vec![0x45u8, 0x46, 0x4f, 0x60, 0]),
        protocol in prop::sample::select(vec![TCP, UDP, 1]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut packet = bytes;
        if packet.len() > 9 {
            let length = packet.len() as u16;
            packet[0] = first;
            put(&mut packet, 2, length);
            put(&mut packet, 4, length.wrapping_sub(40));
            let at = if first == 0x60 { 6 } else { 9 };
            packet[at] = protocol;
        }
        if let Some(offload) = Offload::read(&said) {
            let read = Super::read(&mut packet.clone(), &offload);
            if let Ok(cut) = read {
                for index in 0..cut.segments() {
                    let mut out = vec![0; cut.header_bytes()];
                    cut.write(&packet, index, &mut out);
                }
            }
        }
        if Inner::read(&packet).is_ok() {
            let _ = merge(&[packet.clone(), packet.clone()], true);
        }
    }
}

#[test]
fn a_segment_that_is_missing_ends_a_run() {
    let mut packets = split(&tcp(false, 0x10, 12, 100, &[3; 1000]));
    packets.remove(4);
    let merged = merge(&packets, true);
    let lengths: Vec<usize> = merged.iter().map(|whole| whole.packet.len()).collect();
    assert_eq!(lengths, [52 + 400, 52 + 500]);
}

#[test]
fn flags_that_mean_something_are_never_joined() {
    for flags in [0x12, 0x14, 0x30, 0x90] {
        let packets = split(&tcp(false, 0x10, 0, 100, &[3; 200]));
        let mut marked = packets.clone();
        marked[1][33] = flags;
        assert_eq!(merge(&packets, true).len(), 1);
        assert_eq!(merge(&marked, true).len(), 2, "{flags:#x}");
    }
}

#[test]
fn the_first_segment_alone_has_the_sign_of_a_reduced_window() {
    let flags: Vec<u8> = split(&tcp(true, 0x98, 0, 100, &[3; 300]))
        .iter()
        .map(|packet| packet[53])
        .collect();
    assert_eq!(flags, [0x90, 0x10, 0x18]);
}

#[test]
fn packets_whose_checksum_was_computed_are_not_joined() {
    let packets: Vec<_> = split(&udp(false, 100, &[3; 300]))
        .into_iter()
        .map(completed)
        .collect();
    let merged = merge(&packets, false);
    assert_eq!(merged.len(), 3);
    assert!(merged.iter().all(|whole| whole.offload.checksum.is_none()));
    assert!(
        merged
            .iter()
            .zip(&packets)
            .all(|(whole, packet)| whole.packet == *packet)
    );
}

#[test]
fn a_checksum_at_an_unusual_place_is_computed_before_the_packet_leaves() {
    // As of a tunnel within: the field belongs to a header that is further inside.
    let mut whole = udp(false, 1000, &[3; 100]);
    let (start, offset) = (40, 6);
    whole.offload.checksum = Some((start, offset));
    let cut = Super::read(&mut whole.packet, &whole.offload).unwrap();
    assert!(!cut.partial_checksum);
    let begin = usize::from(start);
    let expected = !sum(&[3; 88], 0);
    let told = get(&whole.packet, begin + usize::from(offset));
    // The field itself was part of the sum: three, as all of the payload.
    assert_eq!(told, expected);
}

#[test]
fn a_length_that_is_not_its_own_is_refused() {
    let whole = udp(false, 1000, &[3; 100]);
    let with = |length: usize| {
        let mut packet = whole.packet.clone();
        packet.resize(length, 0);
        Inner::read(&packet).map(|_| ())
    };
    assert_eq!(with(128), Ok(()));
    assert_eq!(with(127), Err(Reason::Truncated));
    assert_eq!(with(129), Err(Reason::Oversized));
    assert_eq!(with(19), Err(Reason::Truncated));
    assert_eq!(with(0), Err(Reason::Truncated));
    assert_eq!(Inner::read(&[0x50; 40]), Err(Reason::Malformed));
}

//! What goes out together: datagrams to one peer that are of one size are one message to the kernel, which
//! cuts it (`UDP_SEGMENT`), and several messages are one call. Pure.

use std::net::SocketAddr;

use crate::packet::Piece;
use crate::sys::Outgoing;

/// The kernel cuts a message into so many datagrams at most (`UDP_MAX_SEGMENTS` before Linux 6.9).
const SEGMENTS: usize = 64;
/// The largest payload of UDP over IPv4: all datagrams of a message together.
const BYTES: usize = 65_507;
/// So many messages go in one call.
pub(super) const MESSAGES: usize = 64;

/// Each datagram is two pieces: what goes before the packet's payload, and that payload.
pub(super) const PIECES: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pieces: Vec<Piece>,
    pub(super) messages: Vec<Outgoing>,
    segment: usize,
    bytes: usize,
    closed: bool,
}

impl Batch {
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= MESSAGES
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.messages.clear();
        self.closed = true;
    }

    /// Adds a datagram.
    pub(super) fn push(&mut self, to: SocketAddr, head: Piece, payload: Piece) {
        let size = (head.length + payload.length) as usize;
        if !self.join(to, size) {
            let begin = self.pieces.len();
            self.messages.push(Outgoing {
                pieces: begin..begin,
                to,
                segment: 0,
            });
            self.segment = size;
            self.bytes = 0;
            self.closed = false;
        }
        self.pieces.extend([head, payload]);
        self.bytes += size;
        self.closed |= size < self.segment;
        if let Some(message) = self.messages.last_mut() {
            message.pieces.end = self.pieces.len();
            if message.pieces.len() > PIECES {
                message.segment = self.segment as u16;
            }
        }
    }

    fn join(&self, to: SocketAddr, size: usize) -> bool {
        self.messages.last().is_some_and(|message| {
            !self.closed
                && message.to == to
                && size <= self.segment
                && self.bytes + size <= BYTES
                && message.pieces.len() < SEGMENTS * PIECES
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 4799))
    }

    /// The batch of datagrams of these sizes: how many datagrams each message has, and of which size.
    fn messages(sizes: &[(u8, u32)]) -> Vec<(usize, u16)> {
        let mut batch = Batch::default();
        for &(to, size) in sizes {
            let head = Piece { at: 0, length: 48 };
            let payload = Piece {
                at: 0,
                length: size - 48,
            };
            batch.push(peer(to), head, payload);
        }
        let told = |message: &Outgoing| (message.pieces.len() / PIECES, message.segment);
        batch.messages.iter().map(told).collect()
    }

    #[test]
    fn datagrams_of_one_size_to_one_peer_are_one_message() {
        assert_eq!(messages(&[(1, 100), (1, 100), (1, 100)]), [(3, 100)]);
        assert_eq!(
            messages(&[(1, 100), (2, 100), (2, 100)]),
            [(1, 0), (2, 100)]
        );
    }

    #[test]
    fn a_shorter_one_is_the_last_and_a_longer_one_begins_anew() {
        assert_eq!(
            messages(&[(1, 100), (1, 90), (1, 90), (1, 100)]),
            [(2, 100), (1, 0), (1, 0)]
        );
    }

    #[test]
    fn a_message_is_no_larger_than_udp_and_has_no_more_segments_than_the_kernel_cuts() {
        assert_eq!(messages(&[(1, 1472); 46]), [(44, 1472), (2, 1472)]);
        assert_eq!(messages(&[(1, 100); 70]), [(64, 100), (6, 100)]);
    }

    proptest! {
        #[test]
        fn no_datagram_is_lost_or_out_of_order(
            sizes in prop::collection::vec((1u8..3, 49u32..1500), 0..200),
        ) {
            let mut batch = Batch::default();
            for (at, &(to, size)) in (0..).zip(&sizes) {
                let head = Piece { at, length: 48 };
                batch.push(peer(to), head, Piece { at, length: size - 48 });
            }
            let mut seen = Vec::new();
            for message in &batch.messages {
                let list = &batch.pieces[message.pieces.clone()];
                let last = list.len() / PIECES - 1;
                for (index, pair) in list.chunks(PIECES).enumerate() {
                    let size = pair[0].length + pair[1].length;
                    let segment = u32::from(message.segment);
                    prop_assert!(segment == 0 || size == segment || (index == last && size < segment));
                    prop_assert_eq!(pair[0].at as usize, seen.len());
                    seen.push((message.to, size));
                }
            }
            let all: Vec<_> = sizes.iter().map(|&(to, size)| (peer(to), size)).collect();
            prop_assert_eq!(seen, all);
        }
    }
}

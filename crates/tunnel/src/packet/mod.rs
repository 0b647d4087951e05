//! Inner packets as bytes: what they are, cut into segments, sewn together, completed. Pure: offsets in,
//! offsets and headers out; no payload is copied here.
//!
//! ```text
//!  from TUN: Offload + packet ─► Super::read ─► per segment: headers of its own, a range of payload
//!  to TUN:   packet, packet … ─► Merger ─► Offload + headers of all + ranges of payload
//! ```

mod checksum;
mod fragment;
mod icmp;
mod inner;
mod merge;
mod offload;
mod run;
mod split;
#[cfg(test)]
mod tests;

pub use checksum::{complete, pseudo_header, sum};
pub use fragment::{Fragment, fragments};
pub use icmp::{Limiter, too_big};
pub use inner::{Inner, TCP, UDP};
pub use merge::Merger;
pub use offload::{Gso, OFFLOAD_BYTES, Offload};
pub use run::{HEAD_BYTES, Packet, Run};
pub use split::{MAX_HEADER_BYTES, Super};

/// A part of the buffers that a thread works in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub at: u32,
    /// How many bytes it has.
    pub length: u32,
}

impl Piece {
    /// A piece of a buffer, all of whose offsets fit 32 bits.
    #[must_use]
    pub fn new(at: usize, length: usize) -> Piece {
        Piece {
            at: at as u32,
            length: length as u32,
        }
    }

    /// Where its bytes are.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        let at = self.at as usize;
        at..at + self.length as usize
    }
}

/// Two bytes in network order.
fn get(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

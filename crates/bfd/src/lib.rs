//! Bidirectional Forwarding Detection: is the way to a neighbour alive? RFC 5880, over UDP as RFC
//! 5881 (one hop) and RFC 5883 (several) say.
//!
//! The protocol without sockets: bytes and the time come in, bytes, events and the time of the next
//! look come out. No clock, no randomness: the jitter comes from a seed. So hours of a session run
//! in microseconds over a wire that loses packets, and a failure repeats itself.
//!
//! ```text
//!  datagram ─► Sessions ─► Session::receive ─► Event       now ─► Session::tick ─► datagrams, Event
//!              (whose?)    (discarded: why)                       Session::timeout: when to look again
//! ```
//!
//! What it leaves out: authentication (packets that carry it are discarded, and counted), the echo
//! function (it tells others that it answers none), and demand mode on this side. A neighbour that
//! asks for demand mode gets it.

#![forbid(unsafe_code)]

mod discard;
mod packet;
mod session;
mod sessions;

pub use discard::{Discard, Discards};
pub use packet::{Diagnostic, PACKET_BYTES, Packet, State};
pub use session::{Config, Event, Hops, Session, Status, Timers};
pub use sessions::Sessions;

/// A point in time: how long after an origin that the caller chooses, the same for all calls.
pub type Moment = std::time::Duration;

/// UDP port of sessions over one hop (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// UDP port of sessions over several hops (RFC 5883 §5).
pub const MULTI_HOP_PORT: u16 = 4784;
/// The ports that packets over one hop must come from (RFC 5881 §4).
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Time to live, or hop limit, of every packet that is sent, and over one hop of every packet that
/// is accepted (RFC 5881 §5).
pub const TTL: u8 = 255;

//! The fastest way for packets through user space: a TUN device and UDP sockets, in batches.
//!
//! ```text
//!  container ─► route ─► TUN ─► lookup ─► split by headers ─► one sendmsg (UDP_SEGMENT) ─► peer
//!  container ◄─ route ◄─ TUN ◄─ merge ◄── who, what, whose? ◄─ one recvmmsg (UDP_GRO) ◄── peer
//! ```
//!
//! A super-packet of 64 KiB stays whole through both kernels: it is cut and sewn by its headers, and its
//! payload is touched by nothing but the system calls. Each datagram holds one whole packet, so that what
//! is lost costs one segment, and who receives keeps no state.
//!
//! What decides is pure and knows no socket: [`header`], [`packet`], [`Table`]. The datapath
//! ([`Datapath`]) moves bytes by it and judges nothing. It knows nothing of containers: which packets go
//! where is said by one table, which is swapped whole.

#![deny(unsafe_code)]

mod config;
pub mod control;
mod counters;
mod datapath;
mod device;
mod error;
pub mod header;
pub mod packet;
pub mod process;
mod socket;
mod sys;
mod table;

pub use config::{Config, Key, Network, NetworkId, NodeId, Peer, PeerId, overhead};
pub use counters::{Counters, Reason, Sums, Traffic};
pub use datapath::{ControlMessage, Datapath, Ports};
pub use device::Device;
pub use error::TunnelError;
pub use socket::Socket;
pub use table::{NetworkEntry, PeerEntry, Table};

/// UDP port of a network that names none.
pub const DEFAULT_PORT: u16 = 4799;

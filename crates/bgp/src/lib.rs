//! A BGP-4 speaker (RFC 4271) without sockets, tasks or a clock.
//!
//! ```text
//!  bytes ─► message ─► session ─► rib: Adj-RIB-In ─► decision ─► best routes out
//!  bytes ◄─ message ◄─ session ◄─ rib: Adj-RIB-Out ◄──────┘
//! ```
//!
//! What arrives goes in with the time, what is to be sent and done comes out: hours of protocol run in
//! microseconds over a simulated wire. [`Config`] says with whom to speak and what to let in and out. The
//! crate `tombolo-speaker` carries it over TCP; nothing here knows of the rest of Tombolo.
//!
//! The crate is pure: no I/O, no clock, no randomness.

mod attributes;
mod config;
mod filter;
pub mod message;
pub mod rib;
mod session;
pub mod simulate;
mod speaker;
mod types;

pub use attributes::{AsPath, AsSegment, Attributes, NextHop, Origin, Unknown};
pub use config::{
    AddPath, Bfd, Config, Graceful, NextHopMode, Origination, Password, Peer, PeerKey, Ttl,
};
pub use filter::{Filter, FilterRule, Matching, Outcome};
pub use session::{Messages, Traffic};
pub use speaker::{
    Action, Agreed, ConnId, SessionState, SessionStatus, Speaker, Stop, TroubleStatus,
};
pub use types::{Asn, Community, Families, Family, LargeCommunity, Moment, Nlri, PathId, RouterId};

//! Carries a BGP speaker over real sockets, with BFD beside it.
//!
//! [`tombolo_bgp::Speaker`] says what is to be done and knows neither socket nor clock; this crate
//! knows nothing else. It runs in a thread of its own, BFD in another one, in the network namespace of
//! who starts it, and needs no runtime. It does not know the rest of Tombolo: `examples/speaker.rs` is a daemon in itself.
//!
//! ```text
//!  Handle ──configure, originate──► Driver ──► Speaker (pure)
//!    ▲  routes, status                │  ├────► socket: listener, dial
//!    └────────────────────────────────┘  └────► Detection ──► Sessions of BFD (pure), socket: datagram
//! ```

#![forbid(unsafe_code)]

mod detection;
mod driver;
mod error;
mod handle;
mod poller;
mod routes;
mod socket;
mod status;

pub use error::SpeakerError;
pub use handle::{Handle, Options, Reply, start};
pub use routes::{Routes, RoutesWatch};
pub use status::{BfdStatus, Status};
pub use tombolo_bgp::Stop;

//! The whole tunnel: the datapath, the control that finds its ways, and who tells both what to be.
//!
//! ```text
//!   Config ──► Runner ──► Control ──► ways ──► Table ──► Datapath
//!                ▲                                          │
//!                └────────── messages, what was sent ◄──────┘
//! ```
//!
//! It runs in a thread of whoever starts it ([`start`]), or as a process of its own ([`serve`]) which is
//! told the same over a unix socket ([`Client`]). A process that starts while another one serves at its
//! socket takes over from it: its queues, its sockets, what it was told, and what it found out. What
//! waits in them waits on, so no packet is lost.

mod board;
mod client;
mod handle;
mod handover;
mod opened;
mod runner;
mod serve;
mod wire;

pub use board::Status;
pub use client::Client;
pub use handle::{Handle, Options, start};
pub use serve::{ServeOptions, serve};

/// Where a process of its own listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tombolo/tunnel.sock";

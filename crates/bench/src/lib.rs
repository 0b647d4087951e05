//! A traffic generator, the study that it is for, and the report of it.
//!
//! Anybody can measure between any two places: [`Server`] on one, [`Client`] on the other, one
//! [`Trial`] after another. Threads and blocking sockets, no runtime: what is measured is the way,
//! as a plain program meets it. A [`Station`] is either of them in another process, asked by lines.
//!
//! ```text
//!  Client ──control: hello, prepare, mark, finish──► Server
//!     └────data: streams, datagrams, questions─────────┘
//! ```
//!
//! [`study`] takes a list of contenders through a list of trials in turns, and sums up; [`Report`] is
//! what it found, and [`render`] makes tables, plots and a page of one, purely.
//!
//! It knows nothing of containers, nodes or the lab: they bring it two places and get figures.

pub mod client;
pub mod cpu;
mod error;
mod histogram;
mod measured;
pub mod render;
mod report;
mod server;
mod socket;
mod station;
pub mod study;
mod trial;
mod wire;

pub use client::Client;
pub use error::{BenchError, Direction, Protocol};
pub use measured::{Flow, Measured, RoundTrips};
pub use report::{Entrant, Failure, Report, Row, Scene, Skipped, Spread, Which};
pub use server::Server;
pub use station::{STATION, Station, serve_station};
pub use study::{Contender, Step, Study};
pub use trial::{Kind, LARGEST, LARGEST_DATAGRAM, Trial, Window};
pub use wire::VERSION;

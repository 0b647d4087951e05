//! What can go wrong with a measurement, and what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::wire::VERSION;

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    There,
    /// From the server to the client.
    Back,
}

/// What a data connection is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::There => "to",
            Direction::Back => "back from",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

/// Why something was not measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The server is not there, or something is between.
    #[error(
        "measure: no connection to the server at {server}: {source}; is it running, and does \
         every packet filter between let TCP pass to port {port}?", port = server.port()
    )]
    Unreachable {
        /// The server.
        server: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The control connection works and data do not come through.
    #[error(
        "measure: the control connection to {peer} works, but {protocol} does not come through \
         {direction} port {port} there ({why}): a packet filter between drops it; let {protocol} \
         pass to the ports that the server was given, or to all of them"
    )]
    Blocked {
        /// The server's address.
        peer: std::net::IpAddr,
        /// Of which protocol.
        protocol: Protocol,
        /// Which way.
        direction: Direction,
        /// The server's port.
        port: u16,
        /// What was seen.
        why: String,
    },
    /// The two programs are not of one kind.
    #[error(
        "measure: {peer} speaks version {theirs} of the control protocol and this program version \
         {VERSION}: run the same release on both"
    )]
    Version {
        /// Who.
        peer: SocketAddr,
        /// Its version.
        theirs: u32,
    },
    /// The other side does not want to.
    #[error("measure: {peer} refuses: {why}")]
    Refused {
        /// Who.
        peer: SocketAddr,
        /// In its words.
        why: String,
    },
    /// What came over the control connection is none of ours.
    #[error(
        "measure: {peer} says what no measuring program says: {what}; is the port the right one?"
    )]
    Gibberish {
        /// Who.
        peer: SocketAddr,
        /// What it said, shortened.
        what: String,
    },
    /// A connection that worked does not any more.
    #[error("measure: {operation} {peer}: {source}; did the other side end, or the way to it?")]
    Lost {
        /// What was attempted.
        operation: &'static str,
        /// With whom.
        peer: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// Nothing came through during a whole trial.
    #[error("measure: of {what} nothing came through from {peer}: the way is broken for it")]
    Nothing {
        /// With whom.
        peer: SocketAddr,
        /// Of which trial.
        what: String,
    },
    /// This host does not do what a measurement needs.
    #[error("measure: {operation} on this host: {source}")]
    System {
        /// What was attempted.
        operation: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A trial that cannot be.
    #[error("measure: {what} is not allowed: {rule}")]
    Trial {
        /// What was asked for.
        what: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// The program that measures in another place ended, or said what it never says.
    #[error("measure: {0}")]
    Station(String),
}

impl BenchError {
    pub(crate) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> BenchError {
        move |source| BenchError::System { operation, source }
    }

    pub(crate) fn lost(
        operation: &'static str,
        peer: SocketAddr,
    ) -> impl FnOnce(io::Error) -> BenchError {
        move |source| BenchError::Lost {
            operation,
            peer,
            source,
        }
    }
}

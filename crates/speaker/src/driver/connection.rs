//! One connection: what it is about to write, and how it ends.
//!
//! ```text
//!  Dialling ──writable──► Open ──Close──► Closing ──all written──► Lingering ──peer's end, or 1 s──► gone
//! ```
//!
//! A connection that is closed while unread bytes wait is reset, and with that the peer may lose the
//! NOTIFICATION that says why. So our end is shut first, and the rest is read to nowhere for a while.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown};

use socket2::Socket;
use tombolo_bgp::{Moment, PeerKey};

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connecting.
    Dialling,
    /// Messages go both ways.
    Open,
    /// What is left is written, then it is shut; at this moment whatever has become of it.
    Closing(Moment),
    /// Shut; what still comes goes nowhere, until this moment.
    Lingering(Moment),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) peer: PeerKey,
    pub(super) phase: Phase,
    /// What waits to be written, and how much of it is.
    out: Vec<u8>,
    written: usize,
    /// The speaker may have more for it than was taken; not known before the socket takes more.
    pub(super) has_more: bool,
    /// What epoll was last told to wait for.
    pub(super) interest: (bool, bool),
}

/// What reading found.
#[derive(Debug)]
pub(super) enum Found {
    /// So many bytes, and perhaps more.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The end, in words.
    End(String),
}

impl Connection {
    pub(super) fn new(socket: Socket, peer: PeerKey, phase: Phase) -> Connection {
        Connection {
            socket,
            peer,
            phase,
            out: Vec::new(),
            written: 0,
            has_more: false,
            interest: (true, false),
        }
    }

    /// Whether connecting has succeeded, and from which address.
    ///
    /// # Errors
    /// Why it failed, in words.
    pub(super) fn finish_dialling(&self) -> Result<IpAddr, String> {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(words(&error)),
        }
        // Without an address at the other end it is not connected yet or no longer.
        self.socket.peer_addr().map_err(|error| words(&error))?;
        let local = self.socket.local_addr().map_err(|error| words(&error))?;
        (local.as_socket().map(|local| local.ip())).ok_or_else(|| "no address".to_owned())
    }

    /// Reads what there is.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Found {
        loop {
            match (&self.socket).read(buffer) {
                Ok(0) => return Found::End("the peer closed the connection".to_owned()),
                Ok(count) => return Found::Bytes(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Found::Nothing,
                Err(error) => return Found::End(words(&error)),
            }
        }
    }

    /// The place for what is to be written next, once all before it has gone.
    pub(super) fn out(&mut self) -> Option<&mut Vec<u8>> {
        if self.written < self.out.len() {
            return None;
        }
        self.out.clear();
        self.written = 0;
        Some(&mut self.out)
    }

    /// There is nothing more to write for now: room for it is not kept, since there may be many
    /// connections.
    pub(super) fn rest(&mut self) {
        self.has_more = false;
        self.out = Vec::new();
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// The end, in words.
    pub(super) fn write(&mut self) -> Result<(), String> {
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            match (&self.socket).write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(words(&error)),
            }
        }
        Ok(())
    }

    /// Shuts our end.
    pub(super) fn shut(&mut self, until: Moment) {
        self.phase = Phase::Lingering(until);
        // It fails where the peer was faster.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// What epoll should wait for now.
    pub(super) fn wants(&self) -> (bool, bool) {
        match self.phase {
            Phase::Dialling => (false, true),
            Phase::Open | Phase::Closing(_) => (true, self.has_more),
            Phase::Lingering(_) => (true, false),
        }
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "the peer refuses the connection".to_owned(),
        ErrorKind::ConnectionReset => "the peer reset the connection".to_owned(),
        ErrorKind::TimedOut => "the connection timed out".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no way to the peer".to_owned()
        }
        _ => error.to_string(),
    }
}

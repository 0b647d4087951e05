//! Where a joining node asks, and how long it waits: the address as people write it, and a stream
//! with one deadline for everything, so that a server that sends a byte now and then cannot hold
//! a client for ever.
//!
//! It resolves no names and opens no connections.

use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use super::error::JoinError;

/// The TCP port where nodes join unless told otherwise.
pub const DEFAULT_PORT: u16 = 7461;

/// Where to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Target {
    /// Reads `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT` or a bare IPv6 address.
    pub(crate) fn parse(given: &str) -> Result<Target, JoinError> {
        let fault = |why: &str| JoinError::Address {
            given: given.to_owned(),
            why: why.to_owned(),
        };
        let (host, port) = if let Some(rest) = given.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| fault("']' is missing"))?;
            let port = match rest {
                "" => None,
                rest => Some(
                    rest.strip_prefix(':')
                        .ok_or_else(|| fault("after ']' comes :PORT"))?,
                ),
            };
            (host, port)
        } else if given.parse::<IpAddr>().is_ok() {
            (given, None)
        } else {
            match given.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (given, None),
            }
        };
        let port = match port.map(str::parse) {
            None => DEFAULT_PORT,
            Some(Ok(0) | Err(_)) => return Err(fault("a port is a number from 1 to 65535")),
            Some(Ok(port)) => port,
        };
        let target = Target {
            host: host.to_owned(),
            port,
        };
        target
            .server_name()
            .map_err(|_| fault("the host is neither an address nor a name"))?;
        Ok(target)
    }

    /// The host as TLS wants it.
    pub(crate) fn server_name(&self) -> Result<ServerName<'static>, JoinError> {
        ServerName::try_from(self.host.clone()).map_err(|e| JoinError::Address {
            given: self.host.clone(),
            why: e.to_string(),
        })
    }
}

/// A stream of which everything must be over by a moment.
pub(crate) struct Deadline {
    stream: TcpStream,
    until: Instant,
}

impl Deadline {
    /// Everything must be over after that time.
    pub(crate) fn after(stream: TcpStream, time: Duration) -> Deadline {
        let until = Instant::now() + time;
        Deadline { stream, until }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

impl Read for Deadline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Deadline {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    // The TLS library tries one write to tell why it gives up; a plain `write` would send only
    // the first record of it, and the other side would never learn the reason.
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (given, shown) in [
            ("10.0.0.1", "10.0.0.1:7461"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("a.example", "a.example:7461"),
            ("a:1", "a:1"),
            ("2001:db8::1", "[2001:db8::1]:7461"),
            ("[2001:db8::1]", "[2001:db8::1]:7461"),
            ("[::1]:99", "[::1]:99"),
        ] {
            assert_eq!(Target::parse(given).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn addresses_that_are_none() {
        for given in [
            "", ":1", "a:", "a:0", "a:65536", "a:x", "[::1", "[::1]1", "a b", "a/b",
        ] {
            let told = Target::parse(given).unwrap_err().to_string();
            assert!(told.contains("give HOST or HOST:PORT"), "{told}");
        }
    }
}

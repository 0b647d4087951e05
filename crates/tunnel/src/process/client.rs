//! Asks a tunnel that runs as a process of its own.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Status;
use super::handle::Handed;
use super::handover;
use super::wire::{Reply, Request, hear, say};
use crate::{Config, TunnelError};

/// How long an answer may take: longer than who waits for changes is let wait.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks a tunnel at a socket. Each question is a connection of its own, so that one that was replaced
/// meanwhile is no failure.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// Who asks at a socket.
    #[must_use]
    pub fn new(path: &Path) -> Client {
        Client {
            path: path.to_owned(),
        }
    }

    /// Whether somebody listens there.
    #[must_use]
    pub fn is_served(&self) -> bool {
        UnixStream::connect(&self.path).is_ok()
    }

    /// Makes the tunnel as a configuration says, as far as that is possible.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn configure(&self, config: Config) -> Result<(), TunnelError> {
        match self.ask(&Request::Configure(Box::new(config)))? {
            Reply::Done => Ok(()),
            other => Err(self.surprised(other)),
        }
    }

    /// How it is.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn status(&self) -> Result<Status, TunnelError> {
        self.asked_status(&Request::Status)
    }

    /// How it is once a way has changed since an edition, or some seconds are over.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn wait(&self, edition: u64) -> Result<Status, TunnelError> {
        self.asked_status(&Request::Wait { edition })
    }

    fn asked_status(&self, request: &Request) -> Result<Status, TunnelError> {
        match self.ask(request)? {
            Reply::Status(status) => Ok(*status),
            other => Err(self.surprised(other)),
        }
    }

    /// Takes all from the process there. It ends at the word of [`Takeover::done`].
    pub(super) fn take_over(&self) -> Result<Takeover, TunnelError> {
        let stream = self.connect()?;
        let failed = |error| self.failed(&error);
        let mut reader = BufReader::new(&stream);
        say(&stream, &Request::HandOver).map_err(failed)?;
        let inventory = match hear(&mut reader).map_err(failed)? {
            Some(Reply::Handed(inventory)) => *inventory,
            Some(other) => return Err(self.surprised(other)),
            None => return Err(TunnelError::Stopped),
        };
        say(&stream, &Request::Ready).map_err(failed)?;
        let handed = handover::receive(&stream, inventory)?;
        Ok(Takeover { stream, handed })
    }

    fn ask(&self, request: &Request) -> Result<Reply, TunnelError> {
        let stream = self.connect()?;
        let failed = |error| self.failed(&error);
        say(&stream, request).map_err(failed)?;
        let reply = hear(&mut BufReader::new(&stream)).map_err(failed)?;
        reply.ok_or(TunnelError::Stopped)
    }

    fn connect(&self) -> Result<UnixStream, TunnelError> {
        let connected = UnixStream::connect(&self.path).and_then(|stream| {
            stream.set_read_timeout(Some(ANSWER))?;
            stream.set_write_timeout(Some(ANSWER))?;
            Ok(stream)
        });
        connected.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> TunnelError {
        TunnelError::Process {
            path: self.path.display().to_string(),
            cause: error.to_string(),
        }
    }

    fn surprised(&self, reply: Reply) -> TunnelError {
        let cause = match reply {
            Reply::Failed(cause) => cause,
            _ => "it answered something else than it was asked".to_owned(),
        };
        TunnelError::Process {
            path: self.path.display().to_string(),
            cause,
        }
    }
}

/// What was taken from another process, which waits for word that all is well.
pub(super) struct Takeover {
    stream: UnixStream,
    pub handed: Handed,
}

impl Takeover {
    /// What was taken, and how to say that it works.
    pub fn split(self) -> (Handed, impl FnOnce()) {
        let stream = self.stream;
        // One that has gone by itself needs no word.
        let done = move || drop(say(&stream, &Request::Taken));
        (self.handed, done)
    }
}

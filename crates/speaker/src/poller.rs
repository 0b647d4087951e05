//! Which socket is ready, or whether somebody wants something: epoll(7), and an eventfd to be woken by.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tombolo_bgp::ConnId;

use crate::error::SpeakerError;

const BATCH: usize = 256;

/// Whose a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Token {
    /// Somebody calls.
    Waker,
    /// A socket that BFD is heard by, by its place.
    Ear(u8),
    /// A socket that peers connect to, by its place.
    Listener(u8),
    /// A connection.
    Connection(ConnId),
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: Token,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// What to wait for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    waker: Arc<EventFd>,
}

impl Poller {
    pub(crate) fn new() -> Result<(Poller, Arc<EventFd>), SpeakerError> {
        let failed = |operation| move |errno| resources(operation, errno);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("open an epoll"))?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let waker = Arc::new(EventFd::from_flags(flags).map_err(failed("open an eventfd"))?);
        let poller = Poller {
            epoll,
            waker: Arc::clone(&waker),
        };
        poller.add(&waker, Token::Waker)?;
        Ok((poller, waker))
    }

    /// Waits for a descriptor to be readable.
    pub(crate) fn add(&self, fd: impl AsFd, token: Token) -> Result<(), SpeakerError> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token.to_bits());
        (self.epoll.add(fd, event)).map_err(|errno| resources("wait for a socket", errno))
    }

    /// Waits for a descriptor to be readable, writable, both or none.
    pub(crate) fn interest(
        &self,
        fd: impl AsFd,
        token: Token,
        (read, write): (bool, bool),
    ) -> Result<(), SpeakerError> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, read);
        flags.set(EpollFlags::EPOLLOUT, write);
        let mut event = EpollEvent::new(flags, token.to_bits());
        (self.epoll.modify(fd, &mut event)).map_err(|errno| resources("wait for a socket", errno))
    }

    /// Waits, and gives what is ready: calls first.
    pub(crate) fn wait(&self, limit: Option<Duration>, ready: &mut Vec<Ready>) {
        ready.clear();
        let mut events = [EpollEvent::empty(); BATCH];
        let count = match self.epoll.wait(&mut events, timeout(limit)) {
            Ok(count) => count,
            // A signal, most likely. What is ready stays ready.
            Err(_) => return,
        };
        for event in events.iter().take(count) {
            let flags = event.events();
            let broken = flags.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP);
            ready.push(Ready {
                token: Token::from_bits(event.data()),
                readable: broken || flags.contains(EpollFlags::EPOLLIN),
                writable: broken || flags.contains(EpollFlags::EPOLLOUT),
            });
        }
        ready.sort_by_key(|ready| ready.token);
        if ready
            .first()
            .is_some_and(|first| first.token == Token::Waker)
        {
            let _ = self.waker.read();
        }
    }
}

/// In whole milliseconds, rounded up: whoever is woken too early finds nothing to do.
fn timeout(limit: Option<Duration>) -> EpollTimeout {
    let Some(limit) = limit else {
        return EpollTimeout::NONE;
    };
    let millis = limit.as_micros().div_ceil(1000);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}

fn resources(operation: &'static str, errno: Errno) -> SpeakerError {
    SpeakerError::Resources {
        operation,
        cause: errno.desc().to_owned(),
    }
}

impl Token {
    /// The kind in the upper byte.
    fn to_bits(self) -> u64 {
        let (kind, value) = match self {
            Token::Waker => (0, 0),
            Token::Ear(place) => (1, u64::from(place)),
            Token::Listener(place) => (2, u64::from(place)),
            Token::Connection(ConnId(id)) => (3, id),
        };
        kind << 56 | value
    }

    fn from_bits(bits: u64) -> Token {
        let value = bits & ((1 << 56) - 1);
        match bits >> 56 {
            0 => Token::Waker,
            1 => Token::Ear(value as u8),
            2 => Token::Listener(value as u8),
            _ => Token::Connection(ConnId(value)),
        }
    }
}

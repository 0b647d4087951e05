//! One message at a time, there and back.

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{CONNECT, Client, GRACE, Way, stream};
use crate::histogram::Histogram;
use crate::socket::is_early;
use crate::{BenchError, Kind, RoundTrips, Trial};

/// Round trips that count from a moment on, until another.
struct Clock {
    from: Instant,
    until: Instant,
    times: Histogram,
}

impl Clock {
    fn start(trial: &Trial) -> Clock {
        let from = Instant::now() + trial.window.before();
        Clock {
            from,
            until: from + trial.window.counted(),
            times: Histogram::new(),
        }
    }

    /// One that began then and ends now; whether another is to begin. One that counts is waited for
    /// even if it takes longer than the window.
    fn lap(&mut self, begun: Instant) -> bool {
        let now = Instant::now();
        if begun >= self.from {
            let taken = u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX);
            self.times.add(taken);
        }
        now < self.until || self.times.is_empty()
    }

    /// Whether the time for answers that do not come is over.
    fn is_over(&self) -> bool {
        let until = if self.times.is_empty() {
            self.until + GRACE
        } else {
            self.until
        };
        Instant::now() >= until
    }
}

pub(super) fn measure(
    client: &mut Client,
    trial: &Trial,
    way: Way,
) -> Result<RoundTrips, BenchError> {
    let (times, lost) = match trial.kind {
        Kind::UdpLatency => {
            let socket = client.knock(way)?;
            by_datagrams(&socket, trial, way)?
        }
        _ => (by_stream(trial, way)?, 0),
    };
    client.finish(0)?;
    times.round_trips(lost).ok_or_else(|| client.nothing(trial))
}

fn by_stream(trial: &Trial, way: Way) -> Result<Histogram, BenchError> {
    let mut stream = stream(way)?;
    let failed = |error| BenchError::lost("exchange messages with", way.to)(error);
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(CONNECT)).map_err(failed)?;
    let mut message = vec![0; trial.message as usize];
    let mut clock = Clock::start(trial);
    loop {
        let begun = Instant::now();
        stream.write_all(&message).map_err(failed)?;
        stream.read_exact(&mut message).map_err(failed)?;
        if !clock.lap(begun) {
            return Ok(clock.times);
        }
    }
}

/// Datagrams begin with their number, as much of it as they have room for, so that an answer that
/// was given up is not taken for the next one's.
fn by_datagrams(
    socket: &UdpSocket,
    trial: &Trial,
    way: Way,
) -> Result<(Histogram, u64), BenchError> {
    let failed = |error| BenchError::lost("exchange datagrams with", way.to)(error);
    let mut message = vec![0; trial.message as usize];
    let mut answer = message.clone();
    let room = message.len().min(8);
    let mut clock = Clock::start(trial);
    let (mut number, mut lost) = (0_u64, 0_u64);
    loop {
        number += 1;
        message[..room].copy_from_slice(&number.to_le_bytes()[..room]);
        let begun = Instant::now();
        let came = match socket.send(&message) {
            Ok(_) => is_answered(socket, &message[..room], &mut answer),
            Err(error) => Err(error),
        };
        match came {
            Ok(true) => {
                if !clock.lap(begun) {
                    return Ok((clock.times, lost));
                }
            }
            // Also one that a router found too large: it has told so, and the next is in pieces.
            Ok(false) => lost += 1,
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => lost += 1,
            Err(error) => return Err(failed(error)),
        }
        if clock.is_over() {
            return Ok((clock.times, lost));
        }
    }
}

/// Waits for the answer that begins with this number.
fn is_answered(
    socket: &UdpSocket,
    number: &[u8],
    answer: &mut [u8],
) -> Result<bool, std::io::Error> {
    let begun = Instant::now();
    while begun.elapsed() < super::PATIENCE + Duration::from_millis(10) {
        match socket.recv(answer) {
            Ok(length) if length >= number.len() && answer.starts_with(number) => return Ok(true),
            Ok(_) => {}
            Err(error) if is_early(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

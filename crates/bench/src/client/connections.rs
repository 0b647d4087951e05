//! Connections: opened, asked one byte, answered one, closed; again and again.
//!
//! This is what a service with many short connections pays: three packets to open, two with data,
//! and the end, with all that a host and its packet filters remember of each.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use super::{CONNECT, Way, open};
use crate::{BenchError, Trial};

pub(super) fn measure(trial: &Trial, way: Way) -> Result<f64, BenchError> {
    let from = Instant::now() + trial.window.before();
    let mut count = 0_u32;
    loop {
        let begun = Instant::now();
        let stream = open(way)?;
        once(stream).map_err(BenchError::lost("ask once", way.to))?;
        let now = Instant::now();
        if begun >= from {
            count += 1;
        }
        if now >= from + trial.window.counted() && count > 0 {
            let seconds = now
                .saturating_duration_since(from)
                .max(Duration::from_nanos(1));
            return Ok(f64::from(count) / seconds.as_secs_f64());
        }
    }
}

fn once(mut stream: std::net::TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CONNECT))?;
    stream.write_all(&[1])?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    // The server closes first.
    match stream.read(&mut byte)? {
        0 => Ok(()),
        _ => Err(io::Error::other("the answer is longer than one byte")),
    }
}

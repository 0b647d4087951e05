//! Data in one direction, as fast as they go.
//!
//! Threads send until they are told to stop. What counts is what the server saw arrive between two
//! marks, by its own clock: so it does not matter how long a mark is on its way, nor what still lies
//! in buffers at the end. What was lost is counted over the whole flow, from its first datagram on.

use std::io::{self, IoSlice, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

use super::{Client, GRACE, Way, stream};
use crate::socket::{TICK, is_early};
use crate::trial::BATCH;
use crate::wire::Mark;
use crate::{BenchError, Flow, Kind, Trial};

/// Threads that send until this is dropped.
struct Pumps {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<u64>>>,
}

impl Pumps {
    fn start(client: &mut Client, trial: &Trial, way: Way) -> Result<Pumps, BenchError> {
        let over = Arc::new(AtomicBool::new(false));
        let mut pumps = Pumps {
            over,
            threads: Vec::new(),
        };
        let message = vec![0; trial.message as usize];
        if trial.kind.is_udp() {
            let (socket, over) = (client.knock(way)?, Arc::clone(&pumps.over));
            let send = match trial.kind {
                Kind::UdpPackets => send_batches,
                _ => send_each,
            };
            pumps
                .threads
                .push(std::thread::spawn(move || send(&socket, &message, &over)));
            return Ok(pumps);
        }
        // All are open before one begins: the first ones would slow the others' opening.
        let streams: Result<Vec<TcpStream>, BenchError> =
            (0..trial.streams).map(|_| stream(way)).collect();
        for stream in streams? {
            let (message, over) = (message.clone(), Arc::clone(&pumps.over));
            pumps
                .threads
                .push(std::thread::spawn(move || pour(&stream, &message, &over)));
        }
        Ok(pumps)
    }

    /// Ends them; how many datagrams were sent.
    fn stop(mut self) -> io::Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        let mut sent = 0;
        for thread in self.threads.drain(..) {
            let panicked = |_| io::Error::other("a sending thread panicked");
            sent += thread.join().map_err(panicked)??;
        }
        Ok(sent)
    }
}

impl Drop for Pumps {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

pub(super) fn measure(client: &mut Client, trial: &Trial, way: Way) -> Result<Flow, BenchError> {
    let pumps = Pumps::start(client, trial, way)?;
    std::thread::sleep(trial.window.before());
    let (first, busy) = client.mark()?;
    std::thread::sleep(trial.window.counted());
    let late = Instant::now() + GRACE;
    let (mut last, mut busy_then) = client.mark()?;
    while last.bytes == first.bytes && Instant::now() < late {
        std::thread::sleep(TICK);
        (last, busy_then) = client.mark()?;
    }
    let sent = pumps.stop().map_err(BenchError::lost("send to", way.to))?;
    let all = client.finish(sent)?;
    if last.bytes == first.bytes {
        return Err(client.nothing(trial));
    }
    Ok(flow(
        trial,
        [&first, &last],
        busy_then.saturating_sub(busy).as_secs_f64(),
        (sent, all.datagrams),
    ))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate is shown with few digits"
)]
fn flow(trial: &Trial, [first, last]: [&Mark; 2], cpu: f64, (sent, arrived): (u64, u64)) -> Flow {
    let seconds = (last.nanoseconds - first.nanoseconds).max(1) as f64 / 1e9;
    let bytes = (last.bytes - first.bytes) as f64;
    let datagrams = (last.datagrams - first.datagrams) as f64;
    let is_udp = trial.kind.is_udp();
    let share = 1.0 - (arrived as f64 / sent.max(1) as f64).min(1.0);
    Flow {
        bytes_per_second: bytes / seconds,
        packets_per_second: is_udp.then_some(datagrams / seconds),
        lost: is_udp.then_some(share),
        cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
    }
}

fn pour(mut stream: &TcpStream, message: &[u8], over: &AtomicBool) -> io::Result<u64> {
    while !over.load(Ordering::Relaxed) {
        stream.write_all(message)?;
    }
    Ok(0)
}

fn send_each(socket: &UdpSocket, message: &[u8], over: &AtomicBool) -> io::Result<u64> {
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        match socket.send(message) {
            Ok(_) => sent += 1,
            Err(error) if is_lost(&error) => sent += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

fn send_batches(socket: &UdpSocket, message: &[u8], over: &AtomicBool) -> io::Result<u64> {
    let slices: Vec<[IoSlice; 1]> = (0..BATCH).map(|_| [IoSlice::new(message)]).collect();
    let addresses: [Option<()>; BATCH] = [None; BATCH];
    let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let flags = MsgFlags::empty();
        let done = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &slices,
            addresses,
            [],
            flags,
        );
        match done.map(Iterator::count).map_err(io::Error::from) {
            Ok(count) => sent += count as u64,
            Err(error) if is_lost(&error) => sent += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Whether a datagram that the kernel did not take counts as one that was lost: a queue was full, a
/// router had said that one before was too large, or its port was closed for a moment.
fn is_lost(error: &io::Error) -> bool {
    let lost = [
        nix::libc::ENOBUFS,
        nix::libc::EMSGSIZE,
        nix::libc::ECONNREFUSED,
    ];
    is_early(error)
        || error
            .raw_os_error()
            .is_some_and(|code| lost.contains(&code))
}

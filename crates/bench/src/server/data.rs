//! The data of one trial: a port, and threads that take in what comes there.
//!
//! Streams are read and counted, or each message is sent back; datagrams likewise. The threads end
//! with the [`Data`], or when their client closes.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};

use crate::socket::{self, fill, is_early};
use crate::trial::BATCH;
use crate::{BenchError, Kind, Trial};

/// What is read in one call.
const BUFFER: usize = 128 * 1024;

/// After so many ticks without a datagram those that are missing are lost.
const QUIET: u32 = 5;

/// The data of one trial.
pub(super) struct Data {
    pub port: u16,
    pub cookie: u64,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    trial: Trial,
    cookie: [u8; 8],
    /// Bytes of streams; a datagram is as long as the trial says.
    bytes: AtomicU64,
    datagrams: AtomicU64,
    knocks: AtomicU64,
    /// How many datagrams are to come, once that is known; then it ends.
    expected: AtomicU64,
    over: AtomicBool,
}

impl Data {
    /// Opens a port, any if it is 0, at the address by which the client came.
    pub fn open(trial: Trial, here: IpAddr, port: u16) -> Result<Data, BenchError> {
        let cookie = RandomState::new().hash_one(port);
        let shared = Arc::new(Shared {
            trial,
            cookie: cookie.to_be_bytes(),
            bytes: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            knocks: AtomicU64::new(0),
            expected: AtomicU64::new(u64::MAX),
            over: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let failed = BenchError::system("open a port for data");
        let opened = if trial.kind.is_udp() {
            socket::datagrams(here, port).and_then(|socket| {
                let port = socket.local_addr()?.port();
                let thread = std::thread::spawn(move || for_thread.take_datagrams(&socket));
                Ok((port, thread))
            })
        } else {
            socket::listen(SocketAddr::new(here, port)).and_then(|listener| {
                let port = listener.local_addr()?.port();
                let thread = std::thread::spawn(move || for_thread.take_streams(&listener));
                Ok((port, thread))
            })
        };
        let (port, thread) = opened.map_err(failed)?;
        Ok(Data {
            port,
            cookie,
            shared,
            threads: vec![thread],
        })
    }

    /// Bytes, datagrams, and how often somebody knocked.
    pub fn counted(&self) -> (u64, u64, u64) {
        let shared = &self.shared;
        let datagrams = shared.datagrams.load(Ordering::Relaxed);
        // Two counters that are read one after the other would not be of one moment.
        let bytes = if shared.trial.kind.is_udp() {
            datagrams * u64::from(shared.trial.message)
        } else {
            shared.bytes.load(Ordering::Relaxed)
        };
        (bytes, datagrams, shared.knocks.load(Ordering::Relaxed))
    }

    /// Waits until so many datagrams have arrived, or no more come.
    pub fn finish(&mut self, sent: u64) {
        self.shared.expected.store(sent, Ordering::Relaxed);
        if !self.shared.trial.kind.is_udp() {
            self.shared.over.store(true, Ordering::Relaxed);
        }
        self.join();
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.join();
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn take_streams(self: &Arc<Shared>, listener: &TcpListener) {
        let mut threads = Vec::new();
        while !self.is_over() {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_early(&error) => continue,
                Err(_) => break,
            };
            if self.trial.kind == Kind::Connections {
                // A connection that breaks is the client's to tell.
                let _ = answer_once(stream, &self.over);
                continue;
            }
            let shared = Arc::clone(self);
            threads.push(std::thread::spawn(move || {
                drop(shared.take_stream(&stream))
            }));
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn take_stream(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(socket::TICK))?;
        let mut cookie = [0; 8];
        if !fill(stream, &mut cookie, &self.over)? || cookie != self.cookie {
            return Ok(());
        }
        self.knocks.fetch_add(1, Ordering::Relaxed);
        if self.trial.kind == Kind::TcpLatency {
            stream.set_nodelay(true)?;
            return self.echo_stream(stream);
        }
        let mut buffer = vec![0; BUFFER];
        let mut reader = stream;
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.bytes.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if is_early(&error) && !self.is_over() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn echo_stream(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut message = vec![0; self.trial.message as usize];
        while fill(stream, &mut message, &self.over)? {
            stream.write_all(&message)?;
        }
        Ok(())
    }

    fn take_datagrams(&self, socket: &UdpSocket) {
        // A refusal that came back for what was sent earlier says nothing about what comes.
        let _ = self.await_knock(socket).and_then(|came| match came {
            false => Ok(()),
            true if self.trial.kind == Kind::UdpPackets => self.count_batches(socket),
            true => self.take_each(socket),
        });
    }

    /// The client is whoever knows the cookie; from then on the kernel lets nobody else in.
    fn await_knock(&self, socket: &UdpSocket) -> io::Result<bool> {
        let mut datagram = [0; 16];
        while !self.is_over() {
            match socket.recv_from(&mut datagram) {
                Ok((8, client)) if datagram[..8] == self.cookie => {
                    self.knocks.fetch_add(1, Ordering::Relaxed);
                    socket.connect(client)?;
                    socket.send(&self.cookie)?;
                    return Ok(true);
                }
                Ok(_) => {}
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Whether more is to come, after so many ticks without a datagram.
    fn goes_on(&self, quiet: u32) -> bool {
        let expected = self.expected.load(Ordering::Relaxed);
        let arrived = self.datagrams.load(Ordering::Relaxed);
        let is_complete = arrived >= expected || (expected < u64::MAX && quiet >= QUIET);
        !self.is_over() && !is_complete
    }

    /// Counts datagrams one by one, and sends them back where round trips are measured.
    fn take_each(&self, socket: &UdpSocket) -> io::Result<()> {
        let is_echo = self.trial.kind == Kind::UdpLatency;
        let mut datagram = vec![0; BUFFER];
        let mut quiet = 0;
        while self.goes_on(quiet) {
            match socket.recv(&mut datagram) {
                // The client knocks again where the answer was late or lost.
                Ok(8) if datagram[..8] == self.cookie => {
                    self.knocks.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send(&self.cookie);
                }
                Ok(length) => {
                    quiet = 0;
                    self.datagrams.fetch_add(1, Ordering::Relaxed);
                    if is_echo {
                        let _ = socket.send(&datagram[..length]);
                    }
                }
                Err(error) if is_early(&error) => quiet += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts as many as have come, in each call.
    fn count_batches(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut buffers = vec![vec![0_u8; self.trial.message as usize]; BATCH];
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
        let mut quiet = 0;
        while self.goes_on(quiet) {
            let mut slices: Vec<[IoSliceMut; 1]> = buffers
                .iter_mut()
                .map(|buffer| [IoSliceMut::new(buffer)])
                .collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            let received = recvmmsg(
                socket.as_raw_fd(),
                &mut headers,
                slices.iter_mut(),
                flags,
                None,
            );
            match received.map_err(io::Error::from) {
                Ok(messages) => {
                    quiet = 0;
                    let count = messages.count() as u64;
                    self.datagrams.fetch_add(count, Ordering::Relaxed);
                }
                Err(error) if is_early(&error) => quiet += 1,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One byte in, one byte out, and we close first: so it is this side that remembers the connection
/// for a minute (RFC 9293 section 3.6.1), and the client does not run out of ports.
fn answer_once(mut stream: TcpStream, over: &AtomicBool) -> io::Result<()> {
    let mut byte = [0];
    // The listener's tick is the stream's, too: a byte may take longer to come.
    if fill(&stream, &mut byte, over)? {
        stream.write_all(&byte)?;
    }
    Ok(())
}

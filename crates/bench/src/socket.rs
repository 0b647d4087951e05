//! Sockets that give up in time.
//!
//! Every call here ends after a while, so that a thread can look whether it is still wanted, and so
//! that a host that vanished is an error and no hang. On Linux a socket's timeouts hold for
//! `connect` and `accept` as well (socket(7)).

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// How often a thread that waits looks whether it is still wanted.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Whether nothing came within a socket's timeout, or a signal came.
pub(crate) fn is_early(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// A listener whose `accept` ends after a tick.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1024)?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket.into())
}

/// A datagram socket whose `recv` ends after a tick.
pub(crate) fn datagrams(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::new(address, port))?;
    socket.set_read_timeout(Some(TICK))?;
    Ok(socket)
}

/// Connects, and bounds that and every later write.
pub(crate) fn connect(to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_write_timeout(Some(patience))?;
    socket.connect(&SockAddr::from(to)).map_err(|error| {
        // What the kernel says where the time is over (socket(7)) reads as if there were more to do.
        let is_over = error.raw_os_error() == Some(nix::libc::EINPROGRESS);
        if is_over {
            io::Error::from(io::ErrorKind::TimedOut)
        } else {
            error
        }
    })?;
    Ok(socket.into())
}

/// Fills the buffer, in as many ticks as it takes; false where the other side has closed or nobody
/// waits any more.
pub(crate) fn fill(
    mut stream: &TcpStream,
    buffer: &mut [u8],
    over: &AtomicBool,
) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(error) if is_early(&error) => {
                if over.load(Ordering::Relaxed) {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

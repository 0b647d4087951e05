//! Senders and receivers of measured traffic, run inside the lab's namespaces.
//!
//! A receiver says on which port it listens and ends when its input closes; a sender of a flow ends
//! when its input closes. So a measurement has no sleeps and nothing to guess.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::parsed;
use crate::LabError;

/// How long a receiver waits for packets that are on their way when it is told to end.
const LAST_CALL: Duration = Duration::from_millis(300);

/// Any address of the family of `like`, any port.
fn any(like: IpAddr) -> SocketAddr {
    let address: IpAddr = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(address, 0)
}

fn tell(line: impl std::fmt::Display) -> Result<(), LabError> {
    let mut out = io::stdout();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(LabError::system("report", "traffic"))
}

/// `__lab tcp-receive ADDRESS`: tells its port, takes one connection, tells bytes and microseconds.
pub(crate) fn tcp_receive(words: &[String]) -> Result<ExitCode, LabError> {
    let address: IpAddr = parsed(words, 0, "tcp-receive")?;
    let listener =
        TcpListener::bind(any(address)).map_err(LabError::system("listen on", address))?;
    let port = listener
        .local_addr()
        .map_err(LabError::system("ask for", "the port"))?
        .port();
    tell(port)?;
    let (mut stream, peer) = listener
        .accept()
        .map_err(LabError::system("accept on", address))?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut bytes, start) = (0_u64, Instant::now());
    loop {
        match stream
            .read(&mut buffer)
            .map_err(LabError::system("receive from", peer))?
        {
            0 => break,
            count => bytes += count as u64,
        }
    }
    tell(format_args!("{bytes} {}", start.elapsed().as_micros()))?;
    Ok(ExitCode::SUCCESS)
}

/// `__lab tcp-send ADDRESS PORT MILLISECONDS`: sends as fast as it can for that long.
pub(crate) fn tcp_send(words: &[String]) -> Result<ExitCode, LabError> {
    let address: IpAddr = parsed(words, 0, "tcp-send")?;
    let to = SocketAddr::new(address, parsed(words, 1, "tcp-send")?);
    let end = Instant::now() + Duration::from_millis(parsed(words, 2, "tcp-send")?);
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))
        .map_err(LabError::system("connect to", to))?;
    let buffer = vec![0; 256 * 1024];
    while Instant::now() < end {
        stream
            .write_all(&buffer)
            .map_err(LabError::system("send to", to))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the flag once the input closes.
fn until_input_closes() -> Arc<AtomicBool> {
    let closed = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&closed);
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        flag.store(true, Ordering::Relaxed);
    });
    closed
}

/// `__lab flow-send ADDRESS PORT PER-SECOND`: numbered datagrams until the input closes; tells how
/// many were sent, counting those that the kernel refused to send: they are lost as well.
pub(crate) fn flow_send(words: &[String]) -> Result<ExitCode, LabError> {
    let address: IpAddr = parsed(words, 0, "flow-send")?;
    let to = SocketAddr::new(address, parsed(words, 1, "flow-send")?);
    let rate: u32 = parsed(words, 2, "flow-send")?;
    let socket = UdpSocket::bind(any(address)).map_err(LabError::system("bind for", to))?;
    let closed = until_input_closes();
    let (start, step) = (Instant::now(), Duration::from_secs(1) / rate.max(1));
    let mut sent = 0_u64;
    while !closed.load(Ordering::Relaxed) {
        let _ = socket.send_to(&sent.to_be_bytes(), to);
        sent += 1;
        // The pace of the flow, by the clock and not by the last packet, so that it does not drift.
        let due = step * u32::try_from(sent).unwrap_or(u32::MAX);
        if let Some(rest) = due.checked_sub(start.elapsed()) {
            std::thread::sleep(rest);
        }
    }
    tell(sent)?;
    Ok(ExitCode::SUCCESS)
}

/// `__lab flow-receive ADDRESS`: tells its port, then, when the input closes and no more comes, how
/// many different datagrams arrived, how many came twice, and how many came late.
pub(crate) fn flow_receive(words: &[String]) -> Result<ExitCode, LabError> {
    let address: IpAddr = parsed(words, 0, "flow-receive")?;
    let socket = UdpSocket::bind(any(address)).map_err(LabError::system("bind for", address))?;
    socket
        .set_read_timeout(Some(LAST_CALL))
        .map_err(LabError::system("set the timeout of", address))?;
    tell(
        socket
            .local_addr()
            .map_err(LabError::system("ask for", "the port"))?
            .port(),
    )?;
    let closed = until_input_closes();
    let (mut next, mut missing) = (0_u64, BTreeSet::new());
    let (mut received, mut twice, mut late) = (0_u64, 0_u64, 0_u64);
    let mut datagram = [0; 8];
    loop {
        match socket.recv(&mut datagram) {
            Ok(8) => {}
            Ok(_) => continue,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                if closed.load(Ordering::Relaxed) {
                    break;
                }
                continue;
            }
            // A refusal that came back for an earlier datagram says nothing about this one.
            Err(_) => continue,
        }
        let number = u64::from_be_bytes(datagram);
        if number >= next {
            missing.extend(next..number);
            next = number + 1;
            received += 1;
        } else if missing.remove(&number) {
            received += 1;
            late += 1;
        } else {
            twice += 1;
        }
    }
    tell(format_args!("{received} {twice} {late}"))?;
    Ok(ExitCode::SUCCESS)
}

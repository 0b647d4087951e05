//! A way between two places of a lab, and what a packet pays on it: TCP throughput, and round trips
//! of UDP datagrams between two waiting processes.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tombolo_lab::{Lab, measure};

use crate::{Inside, median};

/// How long one TCP connection sends, in milliseconds.
const SEND: u32 = 800;
/// Round trips of one measurement, of a datagram of so many bytes.
const ROUND_TRIPS: usize = 1500;
const DATAGRAM: usize = 64;
/// How long one knock waits, and all of them.
const TRY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// What the processes at the ends of ways are asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    /// Echo datagrams: on which port?
    Echo,
    /// The median round trip to an echo, in microseconds?
    RoundTrip(SocketAddr),
    /// How long, in milliseconds, until this address answers at all?
    Answered(IpAddr),
}

/// What they answer.
///
/// # Errors
/// A socket cannot be had, a datagram is lost, or nobody answers within 20 s.
pub fn answer(question: &Question) -> Result<f64> {
    match question {
        Question::Echo => echo(),
        Question::RoundTrip(to) => {
            let socket = socket()?;
            socket.connect(to).context("connect to the echo")?;
            let patience = Some(Duration::from_secs(2));
            socket.set_read_timeout(patience).context("set a timeout")?;
            (0..ROUND_TRIPS)
                .map(|_| round_trip(&socket))
                .collect::<Result<Vec<f64>>>()
                .map(|trips| median(&trips))
        }
        Question::Answered(by) => answered(*by),
    }
}

fn socket() -> Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind a UDP socket")
}

/// Echoes datagrams until this process ends.
fn echo() -> Result<f64> {
    let socket = socket()?;
    let port = socket.local_addr().context("ask for the port")?.port();
    std::thread::spawn(move || {
        let mut datagram = [0; DATAGRAM];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let _ = socket.send_to(&datagram[..length], from);
        }
    });
    Ok(port.into())
}

/// Nobody listens on port 9, so that who is there refuses, which is an answer.
fn answered(by: IpAddr) -> Result<f64> {
    let begun = Instant::now();
    loop {
        let said = TcpStream::connect_timeout(&SocketAddr::new(by, 9), TRY);
        if said.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            return Ok(begun.elapsed().as_secs_f64() * 1e3);
        }
        ensure!(begun.elapsed() < PATIENCE, "{by} does not answer");
    }
}

fn round_trip(socket: &UdpSocket) -> Result<f64> {
    let mut datagram = [0; DATAGRAM];
    let begun = Instant::now();
    socket.send(&datagram).context("send a datagram")?;
    let length = socket.recv(&mut datagram).context("a datagram was lost")?;
    ensure!(
        length == DATAGRAM,
        "a datagram came back with {length} bytes"
    );
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

/// A way from one place to another, with an echo at its far end.
#[derive(Debug)]
pub struct Path<'a> {
    lab: &'a Lab,
    from: String,
    to: String,
    address: IpAddr,
    near: Inside,
    _far: Inside,
    echo: SocketAddr,
}

/// What was measured on it once.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// TCP throughput, in Gbit/s.
    pub gigabits: f64,
    /// Median of the round trips, in microseconds.
    pub microseconds: f64,
}

impl<'a> Path<'a> {
    /// The way from a place on `a` to the same on `b`, which has this address. A place is empty, or
    /// `/` and a container.
    ///
    /// # Errors
    /// There is no such place.
    pub fn new(lab: &'a Lab, place: &str, address: IpAddr) -> Result<Path<'a>> {
        let (from, to) = (format!("a{place}"), format!("b{place}"));
        let near = Inside::start(lab, from.as_str())?;
        let mut far = Inside::start(lab, to.as_str())?;
        let port: f64 = far.ask(&Question::Echo)?;
        Ok(Path {
            lab,
            from,
            to,
            address,
            near,
            _far: far,
            echo: format!("{address}:{port}").parse()?,
        })
    }

    /// Measures once.
    ///
    /// # Errors
    /// A connection fails, or a datagram is lost.
    pub fn measure(&mut self) -> Result<Seen> {
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let bits = measure::throughput(self.lab, from, to, self.address, SEND)?;
        let microseconds = self.near.ask(&Question::RoundTrip(self.echo))?;
        Ok(Seen {
            gigabits: bits / 1e9,
            microseconds,
        })
    }
}

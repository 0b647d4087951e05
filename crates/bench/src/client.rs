//! The side that sends, asks and keeps the time.

mod connections;
mod flow;
mod round_trips;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::wire::{Ask, Control, Mark, PROTOCOL, Say, VERSION};
use crate::{BenchError, Direction, Kind, Measured, Protocol, Trial, cpu, socket, wire};

/// A datagram that is not answered within this time is lost.
pub const PATIENCE: Duration = Duration::from_millis(200);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How much longer than its window a trial may take in which nothing has come through yet: a machine
/// that is busy elsewhere, or a packet that has to be sent again.
const GRACE: Duration = Duration::from_secs(2);

/// How often a client knocks before it says that datagrams do not come through.
const KNOCKS: u32 = 10;

/// A client of one server.
#[derive(Debug)]
pub struct Client {
    control: Control,
    server: SocketAddr,
    /// Whether the server is on this machine.
    is_here: bool,
}

/// Where the data of a trial go.
#[derive(Debug, Clone, Copy)]
struct Way {
    to: SocketAddr,
    cookie: [u8; 8],
}

impl Client {
    /// Connects to a server, and makes sure that it is one of the same version.
    ///
    /// # Errors
    /// It is not there, is of another version, does not know the token, or measures already.
    pub fn connect(server: SocketAddr, token: &str) -> Result<Client, BenchError> {
        let stream = socket::connect(server, CONNECT)
            .map_err(|source| BenchError::Unreachable { server, source })?;
        let mut control = Control::new(stream, Some(wire::PATIENCE))
            .map_err(BenchError::system("use a connection"))?;
        let hello = Ask::Hello {
            protocol: PROTOCOL.to_owned(),
            version: VERSION,
            token: token.to_owned(),
        };
        match control.ask(&hello)? {
            Say::Hello { version, machine } if version == VERSION => Ok(Client {
                control,
                server,
                is_here: machine == cpu::machine(),
            }),
            Say::Hello { version, .. } => Err(BenchError::Version {
                peer: server,
                theirs: version,
            }),
            other => Err(control.gibberish(&format!("{other:?}"))),
        }
    }

    /// Measures once.
    ///
    /// # Errors
    /// The trial cannot be, data do not come through, or the server is gone.
    pub fn measure(&mut self, trial: &Trial) -> Result<Measured, BenchError> {
        let trial = trial.check()?;
        let way = match self.control.ask(&Ask::Prepare(trial))? {
            Say::Ready { port, cookie } => Way {
                to: SocketAddr::new(self.server.ip(), port),
                cookie: cookie.to_be_bytes(),
            },
            other => return Err(self.control.gibberish(&format!("{other:?}"))),
        };
        match trial.kind {
            Kind::TcpBandwidth | Kind::UdpBandwidth | Kind::UdpPackets => {
                flow::measure(self, &trial, way).map(Measured::Flow)
            }
            Kind::TcpLatency | Kind::UdpLatency => {
                round_trips::measure(self, &trial, way).map(Measured::RoundTrips)
            }
            Kind::Connections => connections::measure(&trial, way).map(Measured::Connections),
        }
    }

    /// What had arrived until now, and the processor time of both machines until now.
    fn mark(&mut self) -> Result<(Mark, Duration), BenchError> {
        let mark = match self.control.ask(&Ask::Mark)? {
            Say::Marked(mark) => mark,
            other => return Err(self.control.gibberish(&format!("{other:?}"))),
        };
        let there = Duration::from_micros(mark.cpu);
        let both = if self.is_here {
            there
        } else {
            there + cpu::busy()?
        };
        Ok((mark, both))
    }

    /// What arrived in all.
    fn finish(&mut self, sent: u64) -> Result<Mark, BenchError> {
        match self.control.ask(&Ask::Finish { sent })? {
            Say::Finished(mark) => Ok(mark),
            other => Err(self.control.gibberish(&format!("{other:?}"))),
        }
    }

    fn nothing(&self, trial: &Trial) -> BenchError {
        BenchError::Nothing {
            peer: self.server,
            what: trial.to_string(),
        }
    }

    /// A socket whose datagrams reach the server, and back.
    fn knock(&mut self, way: Way) -> Result<UdpSocket, BenchError> {
        let any: IpAddr = match way.to.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let failed = BenchError::system("open a socket for datagrams");
        let opened = socket::datagrams(any, 0).and_then(|socket| {
            socket.connect(way.to)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        });
        let socket = opened.map_err(failed)?;
        let mut refusal = None;
        for _ in 0..KNOCKS {
            let answered = socket
                .send(&way.cookie)
                .and_then(|_| socket.recv(&mut [0; 8]));
            match answered {
                Ok(_) => return Ok(socket),
                Err(error) if socket::is_early(&error) => {}
                Err(error) => {
                    // A refusal comes at once; whoever is late to open gets the time of an answer.
                    std::thread::sleep(socket::TICK);
                    refusal = Some(error);
                }
            }
        }
        let (mark, _) = self.mark()?;
        let (direction, seen) = if mark.knocks > 0 {
            (
                Direction::Back,
                "the server answered, and no answer arrived".to_owned(),
            )
        } else {
            let waited = (PATIENCE * KNOCKS).as_secs();
            let silence = || format!("of {KNOCKS} datagrams in {waited} s none arrived");
            (
                Direction::There,
                refusal.map_or_else(silence, |error| error.to_string()),
            )
        };
        Err(blocked(way, Protocol::Udp, direction, seen))
    }
}

/// A stream to the server that has shown the cookie.
fn stream(way: Way) -> Result<TcpStream, BenchError> {
    use std::io::Write;
    let mut stream = open(way)?;
    stream
        .write_all(&way.cookie)
        .map_err(BenchError::lost("send to", way.to))?;
    Ok(stream)
}

fn open(way: Way) -> Result<TcpStream, BenchError> {
    socket::connect(way.to, CONNECT).map_err(|error: io::Error| {
        blocked(way, Protocol::Tcp, Direction::There, error.to_string())
    })
}

fn blocked(way: Way, protocol: Protocol, direction: Direction, why: String) -> BenchError {
    BenchError::Blocked {
        peer: way.to.ip(),
        protocol,
        direction,
        port: way.to.port(),
        why,
    }
}

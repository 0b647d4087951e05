//! Who reaches whom, asked by real packets of many flows at once.
//!
//! Every [`Station`] is a namespace with servers in it: TCP and UDP on a few ports, and raw sockets
//! that see what ICMP and SCTP packets arrive. A round ([`Prober::ask`]) sends one packet for each
//! [`Probe`] and waits. What is expected to get through is waited for as long as it takes; what is
//! expected to be dropped gets the time in which everything becomes quiet. One thread does it all: a
//! socket stays in the namespace in which it was made.
//!
//! Each probe has a source port (or ICMP identifier) of its own, so that none belongs to a connection
//! of an earlier round.

mod packets;
mod servers;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockAddr, Socket, Type};
use tombolo_kernel::NetnsHandle;

use self::servers::{Heard, Servers};

/// Ports on which every station has servers, of TCP and of UDP. Others answer to TCP, too, by refusing.
pub const PORTS: [u16; 7] = [22, 53, 68, 80, 81, 443, 7460];
/// How long what is expected may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long nothing may have happened before what is not expected counts as dropped.
const QUIET: Duration = Duration::from_millis(30);

/// A namespace from which and to which is probed.
struct Station {
    netns: NetnsHandle,
    servers: Servers,
    next_port: u16,
}

/// A packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The station that sends it.
    pub from: usize,
    /// The address that it is sent from, where the kernel is not to choose.
    pub source: Option<IpAddr>,
    /// The address that it is sent to.
    pub to: IpAddr,
    /// What is sent.
    pub what: What,
    /// Where it comes from; an ICMP packet has it as its identifier.
    pub source_port: u16,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The SYN of a connection to a port.
    Tcp(u16),
    /// A datagram to a port.
    Udp(u16),
    /// An INIT chunk to a port.
    Sctp(u16),
    /// An ICMP or ICMPv6 packet of a type and code; not an echo reply, which is taken for an answer.
    Icmp(u8, u8),
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// It was seen where it was sent to.
    pub arrived: bool,
    /// The answer came back; of SCTP, and of ICMP that is no echo request, none is awaited.
    pub answered: bool,
}

/// Sends packets from many namespaces and hears what arrives.
#[derive(Default)]
pub struct Prober {
    stations: Vec<Station>,
    round: u32,
}

/// A packet on its way.
struct Flight {
    probe: Probe,
    socket: Option<Socket>,
    outcome: Outcome,
}

impl Prober {
    /// Makes a namespace a station, which has these addresses or will get them: its servers run from
    /// now on.
    ///
    /// # Panics
    /// Its ports are taken, or we are not root.
    pub fn station(&mut self, netns: NetnsHandle, addresses: &[IpAddr]) -> usize {
        let servers = netns.run(|| Servers::start(addresses));
        let servers = servers.expect("the namespace is entered");
        self.stations.push(Station {
            netns,
            servers: servers.expect("servers start in an empty namespace"),
            next_port: 20_000,
        });
        self.stations.len() - 1
    }

    /// A source port that a station has not sent from before.
    ///
    /// # Panics
    /// There is none left.
    pub fn fresh_port(&mut self, station: usize) -> u16 {
        let next = &mut self.stations[station].next_port;
        *next = next.checked_add(1).expect("a port is left");
        *next
    }

    /// Sends all packets and says of each whether it got through. One that is expected to has also to
    /// be answered where an answer is to be had; one that is not must not even arrive.
    ///
    /// # Panics
    /// A packet cannot be sent.
    pub fn ask(&mut self, probes: &[Probe], expected: &[bool]) -> Vec<bool> {
        let outcomes = self.outcomes(probes, expected);
        let through = probes.iter().zip(outcomes).zip(expected);
        through
            .map(|((probe, outcome), expected)| {
                let lacks = *expected && probe.what.is_answered() && !outcome.answered;
                outcome.arrived && !lacks
            })
            .collect()
    }

    /// The same, with what became of each packet.
    ///
    /// # Panics
    /// A packet cannot be sent.
    pub fn outcomes(&mut self, probes: &[Probe], expected: &[bool]) -> Vec<Outcome> {
        self.round += 1;
        self.hear(&mut [], Duration::ZERO);
        let mut flights = self.send(probes);
        let begun = Instant::now();
        let mut last = begun;
        loop {
            if self.hear(&mut flights, QUIET) {
                last = Instant::now();
            }
            let missing = flights.iter().zip(expected);
            let missing = missing.filter(|(flight, through)| **through && !flight.is_done());
            let is_quiet = last.elapsed() >= QUIET;
            if is_quiet && (missing.count() == 0 || begun.elapsed() >= PATIENCE) {
                return flights.into_iter().map(|flight| flight.outcome).collect();
            }
        }
    }

    fn send(&self, probes: &[Probe]) -> Vec<Flight> {
        let senders: BTreeSet<usize> = probes.iter().map(|probe| probe.from).collect();
        let mut flights: Vec<Option<Flight>> = probes.iter().map(|_| None).collect();
        for from in senders {
            let own = probes.iter().zip(&mut flights).enumerate();
            let own = own.filter(|(_, (probe, _))| probe.from == from);
            let netns = &self.stations[from].netns;
            let sent = netns.run(|| {
                for (index, (probe, flight)) in own {
                    *flight = Some(Flight::begin(*probe, self.token(index)));
                }
            });
            sent.expect("the namespace is entered");
        }
        flights.into_iter().flatten().collect()
    }

    /// What a packet carries, so that it is known again.
    fn token(&self, index: usize) -> [u8; 8] {
        let index = u32::try_from(index).expect("a round has fewer packets");
        let mut token = [0; 8];
        token[..4].copy_from_slice(&self.round.to_be_bytes());
        token[4..].copy_from_slice(&index.to_be_bytes());
        token
    }

    /// Waits until something happens, and takes it in. Answers whether anything did.
    fn hear(&mut self, flights: &mut [Flight], timeout: Duration) -> bool {
        let timeout = PollTimeout::try_from(timeout).expect("a wait is short");
        let waiting: Vec<usize> = (0..flights.len())
            .filter(|index| flights[*index].socket.is_some() && !flights[*index].is_done())
            .collect();
        let events: Vec<Vec<bool>> = {
            let mut fds: Vec<PollFd> = Vec::new();
            for index in &waiting {
                let flight = &flights[*index];
                let wanted = match flight.probe.what {
                    What::Tcp(_) => PollFlags::POLLOUT,
                    _ => PollFlags::POLLIN,
                };
                if let Some(socket) = &flight.socket {
                    fds.push(PollFd::new(socket.as_fd(), wanted));
                }
            }
            for station in &self.stations {
                let sockets = station.servers.sockets();
                fds.extend(sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
            }
            poll(&mut fds, timeout).expect("sockets can be waited for");
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
            let (own, mut rest) = ready.split_at(waiting.len());
            let mut events = vec![own.to_vec()];
            for station in &self.stations {
                let (its, others) = rest.split_at(station.servers.sockets().count());
                events.push(its.to_vec());
                rest = others;
            }
            events
        };
        for (index, ready) in waiting.into_iter().zip(&events[0]) {
            if *ready {
                flights[index].answer();
            }
        }
        let mut heard = Vec::new();
        for (number, ready) in events[1..].iter().enumerate() {
            let station = &self.stations[number].servers;
            heard.extend(station.hear(ready).into_iter().map(|heard| (number, heard)));
        }
        for (station, heard) in heard {
            self.take(station, &heard, flights);
        }
        events.iter().flatten().any(|ready| *ready)
    }

    /// Notes what a station heard.
    fn take(&self, station: usize, heard: &Heard, flights: &mut [Flight]) {
        let (round, index) = heard.token.split_at(4);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        let index = usize::try_from(number(index)).unwrap_or(usize::MAX);
        let Some(flight) = flights.get_mut(index) else {
            return;
        };
        if number(round) != self.round {
            return;
        }
        match heard.is_answer {
            // A sender's raw sockets hear its packets to itself, too.
            true if flight.probe.from == station => flight.outcome.answered = true,
            true => {}
            false => flight.outcome.arrived = true,
        }
    }
}

impl Flight {
    /// Sends a packet.
    fn begin(probe: Probe, token: [u8; 8]) -> Flight {
        let socket = match probe.what {
            What::Tcp(port) => connect(&probe, Type::STREAM, port),
            What::Udp(port) => {
                let socket = connect(&probe, Type::DGRAM, port);
                if let Some(mut socket) = socket.as_ref() {
                    sent(&probe, socket.write(&token));
                }
                socket
            }
            What::Sctp(_) | What::Icmp(..) => {
                packets::send(&probe, token);
                None
            }
        };
        Flight {
            probe,
            socket,
            outcome: Outcome::default(),
        }
    }

    /// There is something to know at its socket.
    fn answer(&mut self) {
        let Some(socket) = &self.socket else { return };
        match self.probe.what {
            What::Tcp(_) => {
                // Who refuses answers, too.
                let error = socket.take_error().expect("a socket has a state");
                let kind = error.map(|error| error.kind());
                let reached = match kind {
                    None | Some(ErrorKind::ConnectionRefused) => true,
                    Some(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable) => false,
                    Some(kind) => panic!("{:?}: {kind}", self.probe),
                };
                self.outcome = Outcome {
                    arrived: reached,
                    answered: reached,
                };
                self.socket = None;
            }
            _ => {
                let mut buffer = [0; 64];
                let read = std::io::Read::read(&mut &*socket, &mut buffer);
                self.outcome.answered |= read.is_ok_and(|bytes| bytes == 8);
            }
        }
    }

    fn is_done(&self) -> bool {
        let answered = !self.probe.what.is_answered() || self.outcome.answered;
        self.outcome.arrived && answered
    }
}

impl What {
    /// The protocol's number, in a family of IP.
    #[must_use]
    pub fn protocol(self, to: IpAddr) -> u8 {
        match (self, to) {
            (What::Tcp(_), _) => 6,
            (What::Udp(_), _) => 17,
            (What::Sctp(_), _) => 132,
            (What::Icmp(..), IpAddr::V4(_)) => 1,
            (What::Icmp(..), IpAddr::V6(_)) => 58,
        }
    }

    fn is_answered(self) -> bool {
        match self {
            What::Tcp(_) | What::Udp(_) => true,
            What::Icmp(kind, _) => matches!(kind, packets::ECHO | packets::ECHO_V6),
            What::Sctp(_) => false,
        }
    }
}

/// A packet was sent, or dropped before it left, or there was no way for it.
fn sent(probe: &Probe, sent: std::io::Result<usize>) {
    match sent.map_err(|error| error.kind()) {
        Ok(_) | Err(ErrorKind::PermissionDenied | ErrorKind::NetworkUnreachable) => {}
        Err(error) => panic!("{probe:?}: {error}"),
    }
}

/// A socket that comes from a port and is connected, or on its way to be; none if there is no way.
fn connect(probe: &Probe, kind: Type, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::for_address((probe.to, port).into()), kind, None);
    let socket = socket.expect("a socket is made");
    let any = match probe.to {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let own = SocketAddr::new(probe.source.unwrap_or(any), probe.source_port);
    socket.set_nonblocking(true).expect("a socket can be asked");
    socket.set_reuse_address(true).expect("ports are shared");
    // A connection that ends leaves nothing behind.
    if kind == Type::STREAM {
        let end = socket.set_linger(Some(Duration::ZERO));
        end.expect("a connection can be reset");
    }
    socket
        .bind(&own.into())
        .unwrap_or_else(|error| panic!("{probe:?}: {error}"));
    match socket.connect(&SockAddr::from(SocketAddr::new(probe.to, port))) {
        Ok(()) => Some(socket),
        Err(error) if error.raw_os_error() == Some(nix::libc::EINPROGRESS) => Some(socket),
        Err(error) if error.kind() == ErrorKind::NetworkUnreachable => None,
        Err(error) => panic!("{probe:?}: {error}"),
    }
}

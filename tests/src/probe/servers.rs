//! What listens in a station.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Socket, Type};

use super::PORTS;
use super::packets::{self, REPLY, REPLY_V6, SCTP, SCTP_TOKEN};

/// The sockets of a station.
pub(super) struct Servers(Vec<Server>);

/// One of them.
pub(super) enum Server {
    Tcp(TcpListener),
    Udp(UdpSocket),
    /// ICMP or ICMPv6: how many bytes come before the message.
    Icmp(UdpSocket, usize),
    /// SCTP: how many bytes come before it.
    Sctp(UdpSocket, usize),
}

/// A packet that arrived.
pub(super) struct Heard {
    pub token: [u8; 8],
    /// It is the answer to one that this station sent.
    pub is_answer: bool,
}

/// The header of IPv4, which raw sockets read and those of IPv6 do not.
const IPV4_HEADER: usize = 20;

impl Servers {
    /// Starts them in the thread's namespace. It may get the addresses later.
    pub fn start(addresses: &[IpAddr]) -> io::Result<Servers> {
        let mut servers = Vec::new();
        for port in PORTS {
            match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
                Ok(tcp) => {
                    tcp.set_nonblocking(true)?;
                    servers.push(Server::Tcp(tcp));
                }
                // Somebody answers there already.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
            for address in addresses {
                servers.push(Server::Udp(echo(SocketAddr::new(*address, port))?));
            }
        }
        let families: [(IpAddr, i32, usize); 2] = [
            (Ipv4Addr::UNSPECIFIED.into(), 1, IPV4_HEADER),
            (Ipv6Addr::UNSPECIFIED.into(), 58, 0),
        ];
        for (family, icmp, header) in families {
            let raw = |protocol| packets::raw(family, protocol).map(packets::datagrams);
            servers.push(Server::Icmp(raw(icmp)?, header));
            servers.push(Server::Sctp(raw(SCTP)?, header));
        }
        Ok(Servers(servers))
    }

    /// Their sockets, always in the same order.
    pub fn sockets(&self) -> impl Iterator<Item = &Server> {
        self.0.iter()
    }

    /// What came to those that are ready.
    pub fn hear(&self, ready: &[bool]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (server, _) in self.0.iter().zip(ready).filter(|(_, ready)| **ready) {
            while let Some(packet) = server.take() {
                heard.extend(packet.ok());
            }
        }
        heard
    }
}

/// A socket for datagrams to one address, so that answers come from it, too.
fn echo(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Something came that is not ours to judge.
struct Other;

impl Server {
    /// The next packet, if there is one.
    fn take(&self) -> Option<Result<Heard, Other>> {
        let mut buffer = [0; 256];
        match self {
            Server::Tcp(listener) => {
                // The one who connects knows that it did.
                let _ = listener.accept().ok()?;
                Some(Err(Other))
            }
            Server::Udp(socket) => {
                let (length, from) = socket.recv_from(&mut buffer).ok()?;
                // An echo that cannot be sent is missed by the one who waits for it.
                let _ = socket.send_to(&buffer[..length], from);
                Some(token(&buffer[..length], 0, false))
            }
            Server::Icmp(socket, header) => {
                let (length, _) = socket.recv_from(&mut buffer).ok()?;
                let message = buffer.get(*header..length).unwrap_or_default();
                let reply = if *header == 0 { REPLY_V6 } else { REPLY };
                Some(token(message, 8, message.first() == Some(&reply)))
            }
            Server::Sctp(socket, header) => {
                let (length, _) = socket.recv_from(&mut buffer).ok()?;
                let packet = buffer.get(*header..length).unwrap_or_default();
                Some(token(packet, SCTP_TOKEN, false))
            }
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Server::Tcp(socket) => socket.as_fd(),
            Server::Udp(socket) | Server::Icmp(socket, _) | Server::Sctp(socket, _) => {
                socket.as_fd()
            }
        }
    }
}

fn token(bytes: &[u8], at: usize, is_answer: bool) -> Result<Heard, Other> {
    let token = bytes
        .get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok());
    let heard = token.map(|token| Heard { token, is_answer });
    heard.ok_or(Other)
}

//! UDP for BFD (RFC 5881 section 4, RFC 5883 section 5).
//!
//! One socket for each family and port hears everybody. Each session sends by a socket of its own,
//! since the port that it comes from is to be its own, and since a connected socket lets the kernel
//! choose the address that it comes from, the same way as for the TCP connection beside it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tombolo_bfd::{SOURCE_PORTS, TTL};

use super::local_address;
use super::options::{self, Reach};
use crate::error::SpeakerError;

/// Longer ones are none of ours.
const LONGEST: usize = 256;
/// How many ports are tried before giving up: of 16384, and few are in use.
const TRIES: u16 = 64;

/// Hears all packets to a port.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) socket: Socket,
}

/// A packet, from whom, and with which time to live; 0 if the kernel did not tell.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) from: SocketAddr,
    pub(crate) ttl: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Ear {
    /// Listens on a port, for IPv6 or IPv4.
    ///
    /// # Errors
    /// The port is taken: another program speaks BFD here.
    pub(crate) fn open(v6: bool, port: u16) -> Result<Ear, SpeakerError> {
        let address = SocketAddr::new(any(v6), port);
        let open = || {
            let socket = datagram_socket(address)?;
            if v6 {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            } else {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            }
            socket.bind(&address.into())?;
            Ok(Ear { socket })
        };
        open().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => SpeakerError::PortTaken { address },
            _ => SpeakerError::Listen {
                address,
                cause: error.to_string(),
            },
        })
    }

    /// The next packet, if one has come.
    pub(crate) fn hear(&self) -> io::Result<Option<Heard>> {
        let mut bytes = [0; LONGEST];
        let mut control = nix::cmsg_space!(libc::c_int, libc::c_int);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let message = match received {
            Ok(message) => message,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut ttl = 0;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) =
                control
            {
                ttl = u8::try_from(value).unwrap_or(0);
            }
        }
        let length = message.bytes;
        let Some(from) = message.address.as_ref().and_then(socket_address) else {
            return Ok(None);
        };
        Ok(Some(Heard {
            from,
            ttl,
            bytes: bytes.get(..length).unwrap_or_default().to_vec(),
        }))
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(std::net::SocketAddrV4::from(*v4).into());
    }
    (storage.as_sockaddr_in6()).map(|v6| std::net::SocketAddrV6::from(*v6).into())
}

/// A socket that sends one session's packets, from a port of its own. `seed` says where to begin to
/// look for one.
///
/// # Errors
/// The address is not of this host, there is no route, or no port is free.
pub(crate) fn mouth(local: Option<IpAddr>, remote: SocketAddr, seed: u64) -> io::Result<Socket> {
    let v6 = remote.is_ipv6();
    let socket = datagram_socket(remote)?;
    let reach = Reach {
        send: TTL,
        least: 0,
    };
    options::set_reach(&socket, v6, reach)?;
    let local = local.unwrap_or_else(|| any(v6));
    let (first, last) = (*SOURCE_PORTS.start(), *SOURCE_PORTS.end());
    let count = u64::from(last - first) + 1;
    for offset in 0..TRIES {
        // Below 65536, since the remainder is below the number of ports.
        let port = first + ((seed.wrapping_add(u64::from(offset))) % count) as u16;
        match socket.bind(&local_address(local, port, remote).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
            Ok(()) => {
                socket.connect(&remote.into())?;
                return Ok(socket);
            }
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    options::set_class(&socket, address.is_ipv6())?;
    Ok(socket)
}

fn any(v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    }
}

//! Connections to peers, and what all connections wear.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tombolo_bgp::{Peer, PeerKey};

use super::options::{self, Reach};
use super::{address_of, local_address};

/// Begins to connect. The socket becomes writable when that has succeeded or failed.
///
/// # Errors
/// Why it failed at once, in words.
pub(crate) fn dial(key: &PeerKey, peer: &Peer, internal: bool) -> Result<Socket, String> {
    let remote = address_of(key, peer.port)?;
    let begun = begin(remote, peer, internal);
    begun.map_err(|error| match (error.kind(), peer.local_address) {
        (io::ErrorKind::AddrNotAvailable, Some(local)) => {
            format!("cannot connect from {local}: this host does not have the address")
        }
        _ => format!("cannot connect to {remote}: {error}"),
    })
}

fn begin(remote: SocketAddr, peer: &Peer, internal: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(remote),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    dress(&socket, remote.ip(), peer, internal)?;
    if let Some(password) = &peer.password {
        options::set_password(&socket, remote.ip(), Some(password))?;
    }
    if let Some(local) = peer.local_address {
        socket.bind(&local_address(local, 0, remote).into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// What a connection wears, whoever made it. The key of a listener goes over to what it accepts.
pub(crate) fn dress(
    socket: &Socket,
    remote: IpAddr,
    peer: &Peer,
    internal: bool,
) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    options::set_class(socket, remote.is_ipv6())?;
    options::set_reach(socket, remote.is_ipv6(), Reach::of(peer.ttl, internal))
}

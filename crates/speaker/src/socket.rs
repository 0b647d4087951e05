//! The sockets of a speaker: TCP for BGP, UDP for BFD.
//!
//! They decide nothing but how a packet looks outside of its payload: from which address, with which
//! time to live, class of service and signature. All of them are non-blocking, and live in the network
//! namespace of the thread that opens them.

pub(crate) mod datagram;
pub(crate) mod dial;
pub(crate) mod listener;
pub(crate) mod options;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use nix::net::if_::{if_indextoname, if_nametoindex};
use tombolo_bgp::PeerKey;

/// The socket address of a peer.
///
/// # Errors
/// Its interface does not exist, in words.
pub(crate) fn address_of(peer: &PeerKey, port: u16) -> Result<SocketAddr, String> {
    let scope = match &peer.interface {
        Some(name) => if_nametoindex(name.as_str())
            .map_err(|errno| format!("interface {name}: {}", errno.desc()))?,
        None => 0,
    };
    Ok(match peer.address {
        IpAddr::V4(address) => (address, port).into(),
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
    })
}

/// An address of ours to speak to somebody from; on the same link if it is one of a link.
pub(crate) fn local_address(local: IpAddr, port: u16, remote: SocketAddr) -> SocketAddr {
    match (local, remote) {
        (IpAddr::V6(local), SocketAddr::V6(remote)) if local.is_unicast_link_local() => {
            SocketAddrV6::new(local, port, 0, remote.scope_id()).into()
        }
        _ => (local, port).into(),
    }
}

/// Who speaks from a socket address: by interface as well where the address is one of a link.
pub(crate) fn peer_at(address: SocketAddr) -> PeerKey {
    let interface = match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => if_indextoname(v6.scope_id())
            .ok()
            .and_then(|name| name.into_string().ok()),
        _ => None,
    };
    PeerKey {
        address: address.ip(),
        interface,
    }
}

//! What is set on sockets: time to live, class of service, signatures.
//!
//! Three options have no safe wrapper in a library: the least time to live that is accepted, for both
//! families, and the key of TCP's signatures. `nix` has macros to declare such options. What they need
//! to be told right is the type that the kernel reads: an integer for the first two
//! (`do_ip_setsockopt`, `do_ipv6_setsockopt`), and `struct tcp_md5sig` of linux/tcp.h, which is laid
//! out here byte by byte.

use std::io;
use std::net::IpAddr;

use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use socket2::Socket;
use tombolo_bgp::{Password, Ttl};

/// Class selector 6, network control (RFC 4594 section 3.2), as the byte of the IP header.
const NETWORK_CONTROL: u32 = 6 << 5;
/// The most that a packet can have.
const FARTHEST: u8 = 255;
/// What the kernel gives packets by itself.
const USUAL: u8 = 64;

sockopt_impl!(
    LeastTtl,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MINTTL,
    libc::c_int
);
sockopt_impl!(
    LeastHops,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MINHOPCOUNT,
    libc::c_int
);
sockopt_impl!(
    Signature,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_MD5SIG,
    SignatureKey
);

/// `struct tcp_md5sig`: the address as `sockaddr_storage` (128 bytes), flags, the length of the
/// prefix, the length of the key (2 bytes), an interface (4 bytes), the key (80 bytes).
pub(crate) type SignatureKey = [u8; 216];
const KEY_LENGTH_AT: usize = 130;
const KEY_AT: usize = 136;

/// How far packets go, and how far they may have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The time to live that packets are sent with.
    pub(crate) send: u8,
    /// The least time to live that packets are accepted with; 0 for any.
    pub(crate) least: u8,
}

impl Reach {
    /// Of a connection to a peer, which is `internal` if it is of our own system.
    pub(crate) fn of(ttl: Ttl, internal: bool) -> Reach {
        match ttl {
            Ttl::Default if internal => Reach::to(USUAL),
            Ttl::Default => Reach::to(1),
            Ttl::Multihop(hops) => Reach::to(hops.max(1)),
            Ttl::Security(hops) => Reach {
                send: FARTHEST,
                // Over one hop it is still 255 on arrival: no router has touched it (RFC 5082).
                least: FARTHEST - (hops.max(1) - 1),
            },
        }
    }

    /// Of a listener: its answers must reach who requires 255, and it refuses what all peers refuse.
    pub(crate) fn of_listener(least: u8) -> Reach {
        Reach {
            send: FARTHEST,
            least,
        }
    }

    fn to(send: u8) -> Reach {
        Reach { send, least: 0 }
    }
}

/// Sets how far packets go, and how far they may have come.
pub(crate) fn set_reach(socket: &Socket, v6: bool, reach: Reach) -> io::Result<()> {
    let least = libc::c_int::from(reach.least);
    if v6 {
        socket.set_unicast_hops_v6(u32::from(reach.send))?;
        setsockopt(socket, LeastHops, &least)?;
    } else {
        socket.set_ttl_v4(u32::from(reach.send))?;
        setsockopt(socket, LeastTtl, &least)?;
    }
    Ok(())
}

/// Marks packets as those that keep the network together.
pub(crate) fn set_class(socket: &Socket, v6: bool) -> io::Result<()> {
    if v6 {
        socket.set_tclass_v6(NETWORK_CONTROL)
    } else {
        socket.set_tos_v4(NETWORK_CONTROL)
    }
}

/// Signs what goes to a peer, and requires it of what comes from there (RFC 2385). None to stop that.
pub(crate) fn set_password(
    socket: &Socket,
    peer: IpAddr,
    password: Option<&Password>,
) -> io::Result<()> {
    let key = signature_key(peer, password.map_or(&[], Password::reveal));
    match setsockopt(socket, Signature, &key) {
        // There was none.
        Err(nix::errno::Errno::ENOENT) if password.is_none() => Ok(()),
        result => Ok(result?),
    }
}

fn signature_key(peer: IpAddr, key: &[u8]) -> SignatureKey {
    let mut bytes = [0; 216];
    let mut put = |at: usize, part: &[u8]| {
        for (place, byte) in bytes.iter_mut().skip(at).zip(part) {
            *place = *byte;
        }
    };
    let family = |family: libc::c_int| (family as u16).to_ne_bytes();
    match peer {
        IpAddr::V4(address) => {
            put(0, &family(libc::AF_INET));
            put(4, &address.octets());
        }
        IpAddr::V6(address) => {
            put(0, &family(libc::AF_INET6));
            put(8, &address.octets());
        }
    }
    // A password has at most 80 bytes.
    put(KEY_LENGTH_AT, &(key.len() as u16).to_ne_bytes());
    put(KEY_AT, key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_laid_out_as_the_kernel_reads_it() {
        let key = signature_key("10.1.2.3".parse().unwrap(), b"secret");
        assert_eq!(key[0..8], [2, 0, 0, 0, 10, 1, 2, 3]);
        assert_eq!(key[128..136], [0, 0, 6, 0, 0, 0, 0, 0]);
        assert_eq!(key[136..143], *b"secret\0");
        let key = signature_key("fd00::1".parse().unwrap(), b"");
        assert_eq!(key[0..10], [10, 0, 0, 0, 0, 0, 0, 0, 0xfd, 0]);
        assert_eq!(key[23], 1);
    }

    #[test]
    fn how_far_packets_go_follows_from_who_the_peer_is() {
        let table = [
            (Ttl::Default, false, (1, 0)),
            (Ttl::Default, true, (64, 0)),
            (Ttl::Multihop(5), false, (5, 0)),
            (Ttl::Multihop(0), false, (1, 0)),
            (Ttl::Security(1), false, (255, 255)),
            (Ttl::Security(3), true, (255, 253)),
        ];
        for (ttl, internal, (send, least)) in table {
            assert_eq!(Reach::of(ttl, internal), Reach { send, least });
        }
    }
}

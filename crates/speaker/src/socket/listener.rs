//! Where peers connect to.
//!
//! One listener for each address. Its signatures and its least time to live are changed in place, so
//! that a change of one peer closes nobody's door.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tombolo_bgp::{Config, Moment, Password, PeerKey};

use super::options::{self, Reach};
use super::peer_at;
use crate::error::SpeakerError;

const BACKLOG: i32 = 1024;

/// A listening TCP socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    address: SocketAddr,
    keys: BTreeMap<IpAddr, Password>,
    /// Until when nobody is taken in, for want of something.
    pub(crate) rests_until: Option<Moment>,
    /// Why nobody was taken in the last time.
    want: Option<String>,
}

impl Listener {
    /// Listens on an address; none if the kernel has no such family. Nobody comes in before the
    /// signatures are set.
    ///
    /// # Errors
    /// The port is taken, or it may not be used.
    pub(crate) fn open(
        address: SocketAddr,
        config: &Config,
    ) -> Result<Option<Listener>, SpeakerError> {
        let opened = bind(address).and_then(|socket| {
            let mut listener = Listener {
                socket,
                address,
                keys: BTreeMap::new(),
                rests_until: None,
                want: None,
            };
            // What it cannot do is told when the configuration is followed.
            listener.follow(config);
            listener.socket.listen(BACKLOG)?;
            Ok(listener)
        });
        match opened {
            Ok(listener) => Ok(Some(listener)),
            Err(error) if no_family(&error, address) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(SpeakerError::PortTaken { address })
            }
            Err(error) => Err(SpeakerError::Listen {
                address,
                cause: error.to_string(),
            }),
        }
    }

    /// Follows the configuration: keys of peers, and how far connections may come from. Gives what
    /// the kernel refused, in words.
    pub(crate) fn follow(&mut self, config: &Config) -> Vec<String> {
        let (wanted, mut refused) = self.wanted_keys(config);
        for peer in self.keys.keys().filter(|peer| !wanted.contains_key(peer)) {
            refused.extend(self.sign(*peer, None));
        }
        self.keys.retain(|peer, _| wanted.contains_key(peer));
        for (peer, password) in wanted {
            if self.keys.get(&peer) == Some(&password) {
                continue;
            }
            // What the kernel did not take is tried again, and until then nobody comes in unsigned.
            self.keys.remove(&peer);
            match self.sign(peer, Some(&password)) {
                None => {
                    self.keys.insert(peer, password);
                }
                why => refused.extend(why),
            }
        }
        let least = (config.peers.values())
            .map(|peer| Reach::of(peer.ttl, peer.asn == config.asn).least)
            .min();
        let reach = Reach::of_listener(least.unwrap_or(0));
        if let Err(error) = options::set_reach(&self.socket, self.address.is_ipv6(), reach) {
            refused.push(format!("time to live of {}: {error}", self.address));
        }
        refused
    }

    /// The keys by address, and what cannot be: the kernel has one key for an address, and two links
    /// may each have a peer of the same.
    fn wanted_keys(&self, config: &Config) -> (BTreeMap<IpAddr, Password>, Vec<String>) {
        let mut owners: BTreeMap<IpAddr, (&PeerKey, Option<&Password>)> = BTreeMap::new();
        let mut refused = Vec::new();
        for (key, peer) in &config.peers {
            if key.address.is_ipv6() != self.address.is_ipv6() {
                continue;
            }
            let password = peer.password.as_ref();
            let (owner, theirs) = *owners.entry(key.address).or_insert((key, password));
            if theirs != password {
                refused.push(format!(
                    "the kernel knows one TCP signature for an address, whichever link it is on, so \
                     {key} cannot connect to us beside {owner}: give both the same password, or one \
                     of them another address"
                ));
            }
        }
        let owners = owners.into_iter();
        let wanted =
            owners.filter_map(|(address, (_, password))| Some((address, password?.clone())));
        (wanted.collect(), refused)
    }

    fn sign(&self, peer: IpAddr, password: Option<&Password>) -> Option<String> {
        let result = options::set_password(&self.socket, peer, password);
        result.err().map(|error| {
            format!(
                "the kernel takes no TCP signature for {peer}: {error}; it needs CONFIG_TCP_MD5SIG"
            )
        })
    }

    /// Whether connections of a peer come in signed as its password says, if it has one.
    pub(crate) fn guards(&self, peer: &PeerKey, password: Option<&Password>) -> bool {
        self.keys.get(&peer.address) == password
    }

    /// Takes nobody in until a moment.
    pub(crate) fn rest(&mut self, error: &io::Error, until: Moment) {
        self.rests_until = Some(until);
        self.want = Some(error.to_string());
    }

    /// Why nobody is taken in, in words, if that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        let (want, _) = self.want.as_ref().zip(self.rests_until)?;
        Some(format!(
            "no connection can be taken on {}: {want}; the limit of open files may be too low",
            self.address
        ))
    }

    /// A connection that waits to be taken, if there is one.
    pub(crate) fn accept(&self) -> io::Result<Option<Accepted>> {
        let (socket, remote) = match self.socket.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let (Some(remote), Some(local)) = (
            remote.as_socket(),
            socket.local_addr().ok().and_then(|a| a.as_socket()),
        ) else {
            return Ok(None);
        };
        socket.set_nonblocking(true)?;
        Ok(Some(Accepted {
            peer: peer_at(remote),
            local: local.ip(),
            socket,
        }))
    }
}

/// A connection that a peer made.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) peer: PeerKey,
    pub(crate) local: IpAddr,
    pub(crate) socket: Socket,
}

/// Whether the kernel, or this process, has no more of what a connection takes.
pub(crate) fn has_run_out(error: &io::Error) -> bool {
    const WANTS: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| WANTS.contains(&code))
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of a former life may still be dying on the port.
    socket.set_reuse_address(true)?;
    options::set_class(&socket, address.is_ipv6())?;
    options::set_reach(&socket, address.is_ipv6(), Reach::of_listener(0))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A kernel without IPv6 has nobody who could connect by it.
fn no_family(error: &io::Error, address: SocketAddr) -> bool {
    let code = error.raw_os_error();
    address.ip().is_unspecified()
        && (code == Some(libc::EAFNOSUPPORT) || code == Some(libc::EADDRNOTAVAIL))
}

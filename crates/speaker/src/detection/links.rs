//! A session of BFD with each peer that is configured for it, over sockets.
//!
//! What is told is that a peer is gone. That a side switched its session off says nothing of the way to
//! it, so nothing is told (RFC 5882 section 3.2).

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use fastrand::Rng;
use socket2::Socket;
use tombolo_bfd::{
    Config as Pace, Event, Hops, MULTI_HOP_PORT, Moment, SINGLE_HOP_PORT, Session, Sessions,
    Status, Timers,
};
use tombolo_bgp::{Bfd, Config, Peer, PeerKey, Ttl};

use crate::error::SpeakerError;
use crate::poller::{Poller, Token};
use crate::socket::datagram::{Ear, mouth};
use crate::socket::{address_of, peer_at};

/// Both families, each with both ports; the place in this list is the place of the ear.
const EARS: [(bool, Hops); 4] = [
    (false, Hops::Single),
    (false, Hops::Several),
    (true, Hops::Single),
    (true, Hops::Several),
];

/// For how long a session that nobody wants any more says that it is switched off: once a second, so
/// that the peer hears it although packets may be lost (RFC 5880 section 6.8.16).
const FAREWELL: Duration = Duration::from_millis(3500);

/// As many packets are heard at once, and for each session so many more: who sends a flood does not
/// keep the thread from sending, and of a moment in which it could not run nothing is left over.
const HEARD_AT_ONCE: usize = 256;
const HEARD_OF_EACH: usize = 8;

/// The sessions that there are to be.
pub(super) type Wanted = BTreeMap<PeerKey, (Manner, Timers)>;

/// How a session is made; another one is made when this changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manner {
    hops: Hops,
    local: Option<std::net::IpAddr>,
}

#[derive(Debug)]
struct Link {
    manner: Manner,
    timers: Timers,
    /// None while the kernel gave none: there is no such interface or address yet.
    mouth: Option<Socket>,
    seed: u64,
    /// Until when it says goodbye, if nobody wants it any more.
    leaves: Option<Moment>,
}

/// All sessions, with their sockets.
#[derive(Debug)]
pub(super) struct Links {
    sessions: Sessions<PeerKey>,
    links: BTreeMap<PeerKey, Link>,
    ears: [Option<Ear>; 4],
    random: Rng,
}

impl Links {
    pub(super) fn new(seed: u64) -> Links {
        Links {
            sessions: Sessions::default(),
            links: BTreeMap::new(),
            ears: [const { None }; 4],
            random: Rng::with_seed(seed),
        }
    }

    /// Makes the sessions those that are wanted. What could not be done, in words of the errors.
    pub(super) fn follow(
        &mut self,
        wanted: Wanted,
        poller: &Poller,
        now: Moment,
    ) -> Vec<SpeakerError> {
        let sessions = &mut self.sessions;
        self.links.retain(|key, link| match wanted.get(key) {
            Some((manner, _)) if *manner == link.manner && link.leaves.is_none() => true,
            Some(_) => {
                sessions.remove(key);
                false
            }
            None => {
                if let Some(session) = sessions.get_mut(key) {
                    session.switch_off(now);
                }
                link.leaves.get_or_insert(now + FAREWELL);
                true
            }
        });
        let failed = self.open_ears(&wanted, poller);
        for (key, (manner, timers)) in wanted {
            self.meet(&key, manner, timers, now);
        }
        failed
    }

    /// Begins a session, or changes the pace of the one that there is.
    fn meet(&mut self, key: &PeerKey, manner: Manner, timers: Timers, now: Moment) {
        if let Some(link) = self.links.get_mut(key) {
            if link.timers != timers {
                link.timers = timers;
                if let Some(session) = self.sessions.get_mut(key) {
                    session.set_timers(timers, now);
                }
            }
            return;
        }
        let discriminator = self.free_discriminator();
        let session = Session::new(
            Pace {
                discriminator,
                timers,
                hops: manner.hops,
                seed: self.random.u64(..),
            },
            now,
        );
        self.sessions.insert(key.clone(), session);
        let link = Link {
            manner,
            timers,
            mouth: None,
            leaves: None,
            seed: self.random.u64(..),
        };
        self.links.insert(key.clone(), link);
    }

    fn open_ears(&mut self, wanted: &Wanted, poller: &Poller) -> Vec<SpeakerError> {
        let mut needed = [false; 4];
        for (key, (manner, _)) in wanted {
            let kind = (key.address.is_ipv6(), manner.hops);
            for (needed, ear) in needed.iter_mut().zip(EARS) {
                *needed |= ear == kind;
            }
        }
        let mut failed = Vec::new();
        for (place, (needed, (v6, hops))) in needed.into_iter().zip(EARS).enumerate() {
            let Some(ear) = self.ears.get_mut(place) else {
                continue;
            };
            if !needed {
                *ear = None;
            } else if ear.is_none() {
                let opened = Ear::open(v6, port(hops)).and_then(|opened| {
                    poller.add(&opened.socket, Token::Ear(place as u8))?;
                    Ok(opened)
                });
                match opened {
                    Ok(opened) => *ear = Some(opened),
                    Err(error) => failed.push(error),
                }
            }
        }
        failed
    }

    /// Takes everything that has come to an ear.
    pub(super) fn hear(&mut self, place: u8, now: Moment, gone: &mut Vec<PeerKey>) {
        let (Some(Some(ear)), Some((_, hops))) = (
            self.ears.get(usize::from(place)),
            EARS.get(usize::from(place)),
        ) else {
            return;
        };
        for _ in 0..HEARD_AT_ONCE + HEARD_OF_EACH * self.links.len() {
            let Ok(Some(heard)) = ear.hear() else {
                break;
            };
            let peer = peer_at(heard.from);
            // To the other port somebody spoke who is configured otherwise than we are.
            if (self.links.get(&peer)).is_some_and(|link| link.manner.hops != *hops) {
                continue;
            }
            match self.sessions.receive(&peer, &heard.bytes, heard.ttl, now) {
                Ok(event) => gone.extend(event.and_then(|event| failed(&peer, event))),
                Err(reason) => tracing::debug!(%peer, %reason, "a BFD packet is discarded"),
            }
        }
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        let farewells = self.links.values().filter_map(|link| link.leaves);
        farewells.chain(self.sessions.timeout()).min()
    }

    /// Does what is due: sends packets, and finds who is silent.
    pub(super) fn tick(&mut self, now: Moment, gone: &mut Vec<PeerKey>) {
        let (links, sessions) = (&mut self.links, &mut self.sessions);
        links.retain(|key, link| {
            let stays = link.leaves.is_none_or(|until| until > now);
            if !stays {
                sessions.remove(key);
            }
            stays
        });
        sessions.tick(
            now,
            |peer, packet| {
                if let Some(link) = links.get_mut(peer) {
                    link.send(peer, packet);
                }
            },
            |peer, event| gone.extend(failed(peer, event)),
        );
    }

    /// When a peer was last heard while its session was up.
    pub(super) fn heard_up(&self, peer: &PeerKey) -> Option<Moment> {
        self.sessions.get(peer).and_then(Session::heard_up)
    }

    /// What an administrator wants to see of the sessions that are wanted.
    pub(super) fn statuses(&self) -> BTreeMap<PeerKey, Status> {
        let wanted = self.links.iter().filter(|(_, link)| link.leaves.is_none());
        wanted
            .filter_map(|(peer, _)| Some((peer.clone(), self.sessions.get(peer)?.status())))
            .collect()
    }

    /// Says to everybody that the sessions are switched off, so that nobody takes our end for a
    /// failure of the way.
    pub(super) fn switch_off(&mut self, now: Moment) {
        for key in self.links.keys() {
            if let Some(session) = self.sessions.get_mut(key) {
                session.switch_off(now);
            }
        }
        self.tick(now, &mut Vec::new());
    }

    fn free_discriminator(&mut self) -> NonZeroU32 {
        loop {
            let Some(candidate) = NonZeroU32::new(self.random.u32(..)) else {
                continue;
            };
            let taken = |session: &Session| session.discriminator() == candidate;
            if !self.sessions.iter().any(|(_, session)| taken(session)) {
                return candidate;
            }
        }
    }
}

impl Link {
    /// Sends a packet. Where that fails, it is as if the packet were lost; and with another socket the
    /// next one may come through, since the address or the interface may be another one by now.
    fn send(&mut self, peer: &PeerKey, packet: &[u8]) {
        if self.mouth.is_none() {
            self.mouth = address_of(peer, port(self.manner.hops))
                .ok()
                .and_then(|remote| mouth(self.manner.local, remote, self.seed).ok());
        }
        let sent = self.mouth.as_ref().map(|mouth| mouth.send(packet));
        if let Some(Err(error)) = sent
            && error.kind() != std::io::ErrorKind::ConnectionRefused
        {
            self.mouth = None;
        }
    }
}

/// The sessions that a configuration asks for.
pub(super) fn wanted(config: &Config) -> Wanted {
    let each = config.peers.iter();
    each.filter_map(|(key, peer)| {
        let timers = timers(peer.bfd?);
        Some((key.clone(), (manner(peer, config), timers)))
    })
    .collect()
}

fn failed(peer: &PeerKey, event: Event) -> Option<PeerKey> {
    let Event::Failed(why) = event else {
        return None;
    };
    tracing::info!(%peer, %why, "BFD: the peer is gone");
    Some(peer.clone())
}

fn port(hops: Hops) -> u16 {
    match hops {
        Hops::Single => SINGLE_HOP_PORT,
        Hops::Several => MULTI_HOP_PORT,
    }
}

/// Who may be several hops away for TCP may be so for BFD.
fn manner(peer: &Peer, config: &Config) -> Manner {
    let ours = peer.local_asn.unwrap_or(config.asn);
    let single = match peer.ttl {
        Ttl::Default => peer.asn != ours,
        Ttl::Multihop(hops) | Ttl::Security(hops) => hops <= 1,
    };
    Manner {
        hops: if single { Hops::Single } else { Hops::Several },
        local: peer.local_address,
    }
}

fn timers(bfd: Bfd) -> Timers {
    Timers {
        desired_min_tx: bfd.interval,
        required_min_rx: bfd.interval,
        multiplier: NonZeroU8::new(bfd.multiplier).unwrap_or(NonZeroU8::MIN),
    }
}

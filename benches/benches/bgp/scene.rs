//! Who speaks with whom: one speaker under test and its peers, written down for each contender.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tombolo_bgp::{Asn, Config, Families, Peer, PeerKey, RouterId};

/// The system of the speaker under test.
pub const OURS: Asn = Asn(65000);

/// Peers say nothing once they have told all: no run takes so long.
pub const HOLD_TIME: Duration = Duration::from_secs(240);

/// A speaker under test and its peers, which connect to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scene {
    /// Where the speaker is.
    pub speaker: Ipv4Addr,
    /// The peers.
    pub parts: Vec<Part>,
    /// Whether the time counts from before the first connection, or from when all sessions stand.
    pub cold: bool,
}

/// A peer: what it tells, and how many prefixes it waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// Where it is.
    pub address: Ipv4Addr,
    /// Its system; of the speaker's own if it is a client of a reflector.
    pub asn: Asn,
    /// The number of its first prefix, and how many it tells.
    pub tells: (u32, u32),
    /// It is done when it has heard so many.
    pub hears: u32,
}

impl Scene {
    /// One peer tells a table to the speaker, and so many others wait for all of it.
    pub fn table(speaker: Ipv4Addr, prefixes: u32, sinks: u8) -> Scene {
        let part = |number: u8| Part {
            address: peer(number.into()),
            asn: Asn(65100 + u32::from(number)),
            tells: if number == 0 { (0, prefixes) } else { (0, 0) },
            hears: if number == 0 { 0 } else { prefixes },
        };
        Scene {
            speaker,
            parts: (0..=sinks).map(part).collect(),
            cold: false,
        }
    }

    /// One peer tells a table to the speaker, and nobody else is there.
    pub fn feed(speaker: Ipv4Addr, prefixes: u32) -> Scene {
        Scene::table(speaker, prefixes, 0)
    }

    /// The speaker is a reflector; each of its clients tells one prefix and waits for those of all others.
    pub fn reflector(speaker: Ipv4Addr, clients: u16) -> Scene {
        let part = |number: u16| Part {
            address: peer(number),
            asn: OURS,
            tells: (number.into(), 1),
            hears: u32::from(clients) - 1,
        };
        Scene {
            speaker,
            parts: (0..clients).map(part).collect(),
            cold: true,
        }
    }

    /// For our own speaker.
    pub fn config(&self) -> Config {
        let peers = self.parts.iter().map(|part| {
            let mut peer = Peer::new(part.address.to_string(), part.asn);
            peer.passive = true;
            peer.hold_time = HOLD_TIME;
            peer.client = part.asn == OURS;
            peer.families = Families {
                ipv4: true,
                ipv6: false,
            };
            (PeerKey::from(std::net::IpAddr::from(part.address)), peer)
        });
        Config {
            asn: OURS,
            router_id: RouterId(self.speaker),
            port: 179,
            cluster_id: None,
            multipath: 1,
            graceful: None,
            peers: peers.collect(),
        }
    }

    /// For BIRD 2.
    pub fn bird(&self) -> String {
        let mut text = format!("router id {};\nprotocol device {{}}\n", self.speaker);
        for (number, part) in self.parts.iter().enumerate() {
            let (speaker, address, asn) = (self.speaker, part.address, part.asn);
            let _ = writeln!(
                text,
                "protocol bgp p{number} {{ local {speaker} as {OURS}; neighbor {address} as {asn}; \
                 passive on; graceful restart off; ipv4 {{ import all; export all; }}; }}"
            );
        }
        text
    }

    /// For GoBGP.
    pub fn gobgp(&self) -> String {
        let mut text = format!(
            "[global.config]\n as = {OURS}\n router-id = \"{}\"\n",
            self.speaker
        );
        for part in &self.parts {
            let _ = write!(
                text,
                "[[neighbors]]\n [neighbors.config]\n  neighbor-address = \"{}\"\n  peer-as = {}\n \
                 [neighbors.transport.config]\n  passive-mode = true\n \
                 [neighbors.timers.config]\n  hold-time = 240\n  keepalive-interval = 80\n",
                part.address, part.asn
            );
        }
        text
    }
}

/// The address of a peer.
pub fn peer(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 99, high + 1, low)
}

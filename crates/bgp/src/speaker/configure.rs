//! Another configuration: sessions are reset only where what was agreed on would be another.
//!
//! | what changes | what happens |
//! | --- | --- |
//! | a peer is new, or gone | it begins, or ends (Cease, peer de-configured) |
//! | who we are, who the peer is, how TCP is made, what an OPEN says | the session is reset (Cease, other configuration change) |
//! | filters, next hops, reflection, limits | routes are judged anew, in place |
//! | name, port, retry, BFD, graceful restart | it holds from the next connection on |

use std::sync::Arc;

use crate::config::{Config, Peer, PeerKey};
use crate::message::Cease;
use crate::rib::PeerId;
use crate::session::{Cause, Ending};
use crate::types::Moment;

use super::peering::Peering;
use super::{Speaker, local, plain};

impl Speaker {
    /// Makes the speaker what a configuration says.
    pub fn configure(&mut self, config: Config, now: Moment) {
        let mut config = config;
        config.peers = config
            .peers
            .into_iter()
            .map(|(key, peer)| (plain_key(key), peer))
            .collect();
        let gone = self
            .ids
            .keys()
            .filter(|key| !config.peers.contains_key(*key));
        let gone: Vec<PeerKey> = gone.cloned().collect();
        for key in gone {
            self.dismiss(&key, now);
        }
        let other_self = config.asn != self.config.asn || config.router_id != self.config.router_id;
        if local(&config) != local(&self.config) {
            self.rib.set_local(local(&config));
        }
        let peers = std::mem::take(&mut config.peers);
        self.config = config;
        for (key, peer) in peers {
            match self.ids.get(&key).copied() {
                Some(id) => self.reconfigure(id, peer, other_self, now),
                None => self.introduce(key, peer, now),
            }
        }
    }

    fn introduce(&mut self, key: PeerKey, peer: Peer, now: Moment) {
        let Some(id) = self.free_id() else {
            return;
        };
        self.ids.insert(key.clone(), id);
        self.wait_for(id, peer.families);
        self.peers.insert(id, Peering::new(key, peer, now));
        self.begin(id, now);
    }

    /// The least number that is not a peer's.
    fn free_id(&self) -> Option<PeerId> {
        (0..u16::MAX)
            .map(PeerId)
            .find(|id| !self.peers.contains_key(id))
    }

    fn reconfigure(&mut self, id: PeerId, peer: Peer, other_self: bool, now: Moment) {
        let Some(peering) = self.peers.get_mut(&id) else {
            return;
        };
        if *peering.config == peer && !other_self {
            return;
        }
        let other_pair = other_self || is_another(&peering.config, &peer);
        let reset = other_pair || needs_reset(&peering.config, &peer);
        let routes = judges_otherwise(&peering.config, &peer);
        let dials = peering.config.passive != peer.passive || peering.config.port != peer.port;
        peering.config = Arc::new(peer);
        if reset {
            let cause = Cause::Wanted { hard: other_pair };
            let ending = Ending::ceased(cause, Cease::Reconfigured, "its configuration changed");
            self.end_all(id, &ending, now);
        } else if routes && let Some(peering) = self.peers.get(&id) {
            self.rib.peer_changed(id, &peering.config);
        }
        if reset || routes || dials {
            self.pardon(id);
            self.begin_if_alone(id, now);
        }
    }

    fn begin_if_alone(&mut self, id: PeerId, now: Moment) {
        if self
            .peers
            .get(&id)
            .is_some_and(|peering| peering.connections.is_empty())
        {
            self.begin(id, now);
        }
    }
}

/// Whether it is another peer, or we are another to it: what it told is worth nothing then.
fn is_another(before: &Peer, after: &Peer) -> bool {
    before.asn != after.asn
        || before.local_asn != after.local_asn
        || before.families != after.families
}

/// Whether what was agreed on with a peer would be another.
fn needs_reset(before: &Peer, after: &Peer) -> bool {
    before.local_address != after.local_address
        || before.password != after.password
        || before.ttl != after.ttl
        || before.hold_time != after.hold_time
        || before.add_path != after.add_path
}

/// Whether the routes from or to a peer may be others.
fn judges_otherwise(before: &Peer, after: &Peer) -> bool {
    before.next_hops != after.next_hops
        || before.next_hop != after.next_hop
        || before.client != after.client
        || before.outside != after.outside
        || before.allow_own_asn != after.allow_own_asn
        || before.max_prefixes != after.max_prefixes
        || before.import != after.import
        || before.export != after.export
}

fn plain_key(key: PeerKey) -> PeerKey {
    PeerKey {
        address: plain(key.address),
        interface: key.interface,
    }
}

//! The routing table: what peers tell, which of it is used, and what they are told.
//!
//! ```text
//!  UPDATE ─► import ─► table: paths of each prefix ─► decision ─► changes(), for the kernel
//!                                                         │
//!  UPDATE ◄─ export ◄─ transmit, each peer at its pace ◄─ journal
//! ```
//!
//! There is one table a family, and it is Adj-RIB-In, Loc-RIB and Adj-RIB-Out at once (RFC 4271 section
//! 3.2). Attributes are held once. What a peer was told is a bit of the prefix, and what it is still to
//! be told is a position in the [`journal`], so a peer costs next to nothing. What is chosen and told
//! depends on what is known, never on how it came to be known.

mod chunks;
mod decision;
mod export;
mod import;
mod journal;
mod local;
mod next_hops;
mod paths;
mod peers;
mod pool;
mod report;
mod side;
mod stale;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod transmit;
mod unreachable;

pub use decision::Step;
pub use export::Withheld;
pub use local::Local;
pub use next_hops::NextHops;
pub use peers::{PeerId, Role};
pub use report::{Counts, FamilyCounts, Path, Row, Standing};
pub use stale::Down;

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::config::{Origination, Peer};
use crate::message::{Cease, Fault, Update};
use crate::types::{Families, Family, Nlri, PathId, RouterId};
use decision::Judge;
use next_hops::Resolver;
use paths::Held;
use peers::Peers;
use pool::Pool;
use table::Table;

/// The routing table.
#[derive(Debug)]
pub struct Rib {
    local: Local,
    peers: Peers,
    resolver: Resolver,
    pool: Pool,
    /// In the order of [`Family::ALL`].
    tables: [Table; 2],
    originated: BTreeMap<IpNet, Origination>,
    held: bool,
}

impl Rib {
    /// An empty table. Nothing can be reached before [`Rib::set_next_hops`].
    #[must_use]
    pub fn new(local: Local) -> Rib {
        Rib {
            local,
            peers: Peers::default(),
            resolver: Resolver::default(),
            pool: Pool::new(),
            tables: Family::ALL.map(Table::new),
            originated: BTreeMap::new(),
            held: false,
        }
    }

    /// Which next hops can be reached. Routes by others are kept, but not used.
    pub fn set_next_hops(&mut self, hops: NextHops) {
        if !self.resolver.replace(hops) {
            return;
        }
        let Rib {
            local,
            peers,
            tables,
            resolver,
            ..
        } = self;
        let multipath = local.multipath;
        let judge = Judge { peers, multipath };
        for table in tables {
            table.resolve(resolver, &judge);
        }
    }

    /// A session is established: the peer is told everything, and that this was it (RFC 4724) for each
    /// family. What is still stale of it stays so until it says it again.
    pub fn peer_up(&mut self, peer: PeerId, role: Role) {
        let families = role.negotiated.families;
        let several = role.negotiated.add_path_send;
        self.leave(peer);
        let before = self.peers.role(peer).map(bearing);
        let is_other = before.is_some_and(|before| before != bearing(&role));
        self.peers.insert(peer, role);
        for family in families.iter() {
            let table = &mut self.tables[family as usize];
            table.several += usize::from(several.contains(family));
            table.rewind(peer);
            table.side_mut(peer).end_of_rib = true;
        }
        self.judge_again(peer);
        if is_other {
            self.tables.iter_mut().for_each(|table| table.outdate(peer));
        }
    }

    /// What is let in from a peer and out to it changed, without a reset.
    pub fn peer_changed(&mut self, peer: PeerId, config: &Peer) {
        let Some(member) = self.peers.get_mut(peer) else {
            return;
        };
        let was = std::mem::replace(&mut member.role.peer, config.clone());
        for table in &mut self.tables {
            table.rewind(peer);
            if was.client != config.client {
                table.outdate(peer);
            }
        }
        if (&was.import, was.allow_own_asn, &was.next_hops)
            != (&config.import, config.allow_own_asn, &config.next_hops)
        {
            self.judge_again(peer);
        }
    }

    /// A session is over.
    pub fn peer_down(&mut self, peer: PeerId, how: Down) {
        self.leave(peer);
        let kept = match how {
            Down::Forget => Families::default(),
            Down::KeepStale(families) => families,
        };
        for family in Family::ALL {
            if kept.contains(family) {
                self.begin_stale(peer, family);
            } else {
                self.drop_paths(peer, family, |_| true);
            }
        }
    }

    /// A peer is gone for good, and its number may be given to another.
    pub fn forget(&mut self, peer: PeerId) {
        self.peer_down(peer, Down::Forget);
        self.peers.remove(peer);
        self.tables
            .iter_mut()
            .for_each(|table| *table.side_mut(peer) = side::Side::default());
    }

    /// Takes in what a peer told. Families that were not agreed on are ignored.
    ///
    /// # Errors
    /// There are more prefixes than the peer may have (RFC 4486): the session has to end.
    pub fn update(&mut self, peer: PeerId, update: Update) -> Result<(), Fault> {
        let Rib {
            local,
            peers,
            resolver,
            pool,
            tables,
            ..
        } = self;
        let Some(role) = peers.up(peer) else {
            return Ok(());
        };
        let multipath = local.multipath;
        let judge = Judge { peers, multipath };
        let is_spoken = |nlri: &&Nlri| role.negotiated.families.contains(Family::of(nlri.prefix));
        for nlri in update.withdrawn.iter().filter(is_spoken) {
            let table = &mut tables[Family::of(nlri.prefix) as usize];
            if let Some(index) = table.find(nlri.prefix) {
                table.drop_paths(index, peer, &judge, |path| path.received == nlri.path);
            }
        }
        for (mut attributes, prefixes) in update.announced {
            import::clean(&mut attributes, role);
            let verdict = import::judge(&attributes, role, local);
            let metric = resolver.metric(attributes.next_hop, role);
            let attributes = pool.share(attributes);
            for nlri in prefixes.iter().filter(is_spoken) {
                let path = Held {
                    attributes: attributes.clone(),
                    metric,
                    received: nlri.path,
                    sent: PathId(0),
                    source: peer,
                    verdict: verdict.and(|| import::filter(nlri.prefix, role)),
                    stale: false,
                };
                tables[Family::of(nlri.prefix) as usize].put(nlri.prefix, path, &judge);
            }
        }
        self.check_limit(peer)
    }

    /// A peer asked for everything again (RFC 2918), between marks if `enhanced` (RFC 7313).
    pub fn resend(&mut self, peer: PeerId, family: Family, enhanced: bool) {
        if self
            .peers
            .up(peer)
            .is_some_and(|role| role.negotiated.families.contains(family))
        {
            let table = &mut self.tables[family as usize];
            table.rewind(peer);
            let side = table.side_mut(peer);
            side.refresh_begins |= enhanced;
            side.refresh_ends |= enhanced;
        }
    }

    /// From now on nothing is told to anybody: not all that is to be known is known yet (RFC 4724
    /// section 4.1).
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Everything is known.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// The peer is no longer told anything, and nobody remembers what it was told.
    fn leave(&mut self, peer: PeerId) {
        let Some(member) = self.peers.get_mut(peer).filter(|member| member.up) else {
            return;
        };
        member.up = false;
        let negotiated = &member.role.negotiated;
        for family in negotiated.families.iter() {
            let table = &mut self.tables[family as usize];
            table.several -= usize::from(negotiated.add_path_send.contains(family));
            table.forget_told(peer);
        }
    }

    /// Holds what a peer told against the filter and our identity once more.
    fn judge_again(&mut self, peer: PeerId) {
        let Rib {
            local,
            peers,
            tables,
            ..
        } = self;
        let Some(role) = peers.role(peer) else {
            return;
        };
        let multipath = local.multipath;
        let judge = Judge { peers, multipath };
        for table in tables {
            table.judge_again(peer, &judge, |prefix, attributes| {
                let verdict = import::judge(attributes, role, local);
                verdict.and(|| import::filter(prefix, role))
            });
        }
    }

    fn check_limit(&self, peer: PeerId) -> Result<(), Fault> {
        let limit = self
            .peers
            .role(peer)
            .and_then(|role| role.peer.max_prefixes);
        let Some(limit) = limit else {
            return Ok(());
        };
        for table in &self.tables {
            let received = table.side(peer).map_or(0, |side| side.received);
            if received > u64::from(limit) {
                let family = table.family;
                return Err(too_many(family, limit));
            }
        }
        Ok(())
    }
}

/// What others are told of a peer's routes depends on.
fn bearing(role: &Role) -> (RouterId, bool, bool) {
    let negotiated = &role.negotiated;
    (negotiated.peer_id, negotiated.internal, role.peer.client)
}

/// A cease as RFC 4486 section 4 has it: the family and the limit with it.
fn too_many(family: Family, limit: u32) -> Fault {
    let mut data = family.afi().to_be_bytes().to_vec();
    data.push(1);
    data.extend_from_slice(&limit.to_be_bytes());
    let message = format!(
        "the peer told more than {limit} {family} prefixes, the limit of its configuration"
    );
    Fault::new(6, Cease::MaximumPrefixes as u8, &data, message)
}

//! What begins here, and who we are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::import::Verdict;
use super::paths::Held;
use super::{Judge, PeerId, Rib};
use crate::attributes::{Attributes, NextHop};
use crate::config::Origination;
use crate::types::{Asn, Family, PathId, RouterId};

/// Who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Our system.
    pub asn: Asn,
    /// Our identifier.
    pub router_id: RouterId,
    /// The cluster that we reflect within (RFC 4456).
    pub cluster_id: RouterId,
    /// At most so many equally good paths are used at once; 1 for none but the best.
    pub multipath: u8,
}

impl Rib {
    /// Becomes somebody else. Everything is judged and told again.
    pub fn set_local(&mut self, local: Local) {
        if self.local == local {
            return;
        }
        self.local = local;
        for peer in self.peers.ids().collect::<Vec<_>>() {
            self.judge_again(peer);
            self.tables.iter_mut().for_each(|table| table.rewind(peer));
        }
        let judge = Judge {
            peers: &self.peers,
            multipath: self.local.multipath,
        };
        for table in &mut self.tables {
            for index in table.places() {
                table.alter(index, &judge, |_| {});
            }
        }
    }

    /// Tells of these prefixes as our own, and of no others.
    pub fn originate(&mut self, routes: BTreeMap<IpNet, Origination>) {
        let before = std::mem::replace(&mut self.originated, routes);
        let gone = before
            .keys()
            .filter(|prefix| !self.originated.contains_key(prefix));
        let judge = Judge {
            peers: &self.peers,
            multipath: self.local.multipath,
        };
        for prefix in gone {
            let table = &mut self.tables[Family::of(*prefix) as usize];
            if let Some(index) = table.find(*prefix) {
                table.drop_paths(index, PeerId::LOCAL, &judge, |_| true);
            }
        }
        for (prefix, told) in &self.originated {
            if before.get(prefix) != Some(told) {
                let attributes = self.pool.share(attributes(*prefix, told));
                let path = Held {
                    attributes,
                    metric: 0,
                    received: PathId(0),
                    sent: PathId(0),
                    source: PeerId::LOCAL,
                    verdict: Verdict::Accepted,
                    stale: false,
                };
                self.tables[Family::of(*prefix) as usize].put(*prefix, path, &judge);
            }
        }
    }
}

/// What is known of a prefix that begins here. Each peer is told a next hop of its own.
pub(super) fn attributes(prefix: IpNet, told: &Origination) -> Attributes {
    let mut attributes = Attributes::local(match prefix {
        IpNet::V4(_) => NextHop::from(IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        IpNet::V6(_) => NextHop::from(IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    });
    attributes.med = told.med;
    attributes.local_pref = told.local_pref;
    attributes.communities.clone_from(&told.communities);
    attributes.communities.sort_unstable();
    attributes.communities.dedup();
    attributes
        .large_communities
        .clone_from(&told.large_communities);
    attributes.large_communities.sort_unstable();
    attributes.large_communities.dedup();
    attributes
}

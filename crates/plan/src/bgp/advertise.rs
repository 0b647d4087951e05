//! What a host's speaker announces of its own: blocks, single addresses, ranges of services, and the
//! node's own address where it is on no wire.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tombolo_bgp::{Community, LargeCommunity, Origination};
use tombolo_model::{Block, Family, Resource};

use super::{Advertised, Site};
use crate::host_plan::Origin;

/// The prefixes, with what is told of them.
pub(super) fn of(site: &Site) -> BTreeMap<IpNet, Advertised> {
    let mut found = BTreeMap::new();
    let me = site.me.name();
    let routed = site
        .networks
        .iter()
        .flat_map(|speaking| speaking.ways.blocks());
    for block in routed.chain(site.shared_blocks()) {
        let origin = |rule| Origin {
            resource: block.key(),
            rule,
        };
        let is_own = block.spec.node.as_ref() == Some(me);
        if is_own {
            let rule = "bgp: a block of this node is announced";
            site.announce(block.spec.cidr, origin(rule), &mut found);
        }
        let foreign = (block.spec.in_use()).filter(|(_, held)| !is_own && held.node == *me);
        for (address, _) in foreign {
            let rule = "bgp: an address that is here, of no block of this node, is announced";
            site.announce(Family::host_net(address), origin(rule), &mut found);
        }
    }
    for own in site
        .me
        .spec
        .addresses
        .iter()
        .filter(|own| own.is_on_loopback())
    {
        let origin = Origin {
            resource: site.me.key(),
            rule: "bgp: this node's own address, which is on the loopback, is announced",
        };
        let address = Family::host_net(own.address.addr());
        site.announce(address, origin, &mut found);
    }
    for (range, configuration) in site.settings.service_ranges() {
        let origin = Origin {
            resource: configuration.key(),
            rule: "bgp: a range of services is announced by every node",
        };
        site.announce(range, origin, &mut found);
    }
    found
}

impl<'a> Site<'a> {
    /// Blocks of containers that share the interface by which others reach this node. Packets for them
    /// must come in by that one: what comes by another is not handed over.
    fn shared_blocks(&self) -> impl Iterator<Item = &'a Resource<Block>> {
        let blocks = self.world.blocks.values();
        blocks.filter(|block| {
            let family = Family::of_net(block.spec.cidr);
            let own = self.me.spec.address(family);
            self.sharing.iter().any(|(network, spec)| {
                network.spec.pools.contains(&block.spec.pool)
                    && spec.vlan.is_none()
                    && own.is_some_and(|own| own.interface == spec.parent)
            })
        })
    }

    fn announce(&self, prefix: IpNet, origin: Origin, found: &mut BTreeMap<IpNet, Advertised>) {
        let mut origination = Origination::default();
        for word in self.settings.communities(prefix) {
            // Their kind shows by how many numbers they have; what is neither was refused before.
            origination
                .communities
                .extend(word.parse::<Community>().ok());
            origination
                .large_communities
                .extend(word.parse::<LargeCommunity>().ok());
        }
        origination.communities.sort_unstable();
        origination.communities.dedup();
        origination.large_communities.sort_unstable();
        origination.large_communities.dedup();
        found.entry(prefix).or_insert(Advertised {
            origination,
            origin,
        });
    }
}

//! Networks apart: who is reached only if a rule says so.
//!
//! At the end of what is asked for a packet to an endpoint that no policy applies to, or that policies
//! passed on, stands a chain of its network: from an address of a network that is closed to it, the
//! packet is dropped. Networks of which one has `isolation: network` are closed to each other.
//!
//! Networks whose packets the host does not route take no part: overlays have no way to others
//! ([`crate::egress`]), and a physical network is everybody's.

use tombolo_model::kinds::Isolation;
use tombolo_model::{Family, IpPool, Network, Resource, World};

use super::rules::denial;
use super::stacks::Target;
use super::writer::Writer;
use crate::attachment::Passing;
use crate::driver::{self, Reach};
use crate::host_plan::Origin;
use crate::objects::{Action, AddressMatch, Addresses, Datum, Field, Match, Members, NftSet, Rule};

impl Writer<'_, '_> {
    /// The chain that keeps other networks from a network's endpoints, if there are any.
    pub fn isolation(&mut self, network: &Resource<Network>) -> Target {
        let others = closed(self.world, network);
        if others.is_empty() || self.domain.passing != Passing::Routed {
            return Target::Open;
        }
        let name = format!("ingress.open/{}", network.name());
        if self.has_chain(&name) {
            return Target::Chain(name);
        }
        let origin = Origin {
            resource: network.key(),
            rule: "policy: networks are kept apart",
        };
        let mut rules = Vec::new();
        let own: Vec<_> = pools(self.world, network).collect();
        for pool in own {
            let family = Family::of_net(pool.spec.cidr);
            let own = within(family, Addresses::Net(pool.spec.cidr));
            rules.push(Rule::new([own], Action::Accept));
        }
        let set = match network.spec.isolation {
            Isolation::Network => "networks",
            Isolation::None => "isolated",
        };
        for family in self.families.clone() {
            let of_family = |pool: &&&Resource<IpPool>| Family::of_net(pool.spec.cidr) == family;
            // All of them, its own too: those were let through before, and one set does for all.
            let pools = members(self.world, network.spec.isolation);
            let nets: Vec<_> = pools
                .iter()
                .filter(of_family)
                .map(|p| p.spec.cidr)
                .collect();
            if nets.is_empty() {
                continue;
            }
            let set = format!("{set}-{family}");
            let description = NftSet {
                key: vec![Field::address(family)],
                data: Vec::new(),
                interval: true,
            };
            let nets = Members::of_set(nets.into_iter().map(|net| vec![Datum::Net(net)]));
            self.set(&set, description, nets, origin.clone());
            let from = within(family, Addresses::Set(set));
            rules.extend(denial(
                &[from],
                &format!("ingress, isolation of network {}", network.name()),
            ));
        }
        self.chain(&name, None, rules, origin);
        Target::Chain(name)
    }
}

fn within(family: Family, addresses: Addresses) -> Match {
    Match::Source(AddressMatch {
        family,
        addresses,
        not: false,
    })
}

/// The networks that are closed to one.
fn closed<'a>(world: &'a World, network: &Resource<Network>) -> Vec<&'a Resource<Network>> {
    let is_closed = |other: &&Resource<Network>| {
        other.name() != network.name()
            && takes_part(other)
            && (other.spec.isolation == Isolation::Network
                || network.spec.isolation == Isolation::Network)
            && pools(world, other).next().is_some()
    };
    match takes_part(network) {
        true => world.networks.values().filter(is_closed).collect(),
        false => Vec::new(),
    }
}

/// The pools of those that are closed to a network of an isolation.
fn members(world: &World, isolation: Isolation) -> Vec<&Resource<IpPool>> {
    let is_closed = |other: &&Resource<Network>| {
        takes_part(other)
            && (isolation == Isolation::Network || other.spec.isolation == Isolation::Network)
    };
    let networks = world.networks.values().filter(is_closed);
    networks.flat_map(|network| pools(world, network)).collect()
}

/// Whether hosts route a network's packets by their addresses alone.
fn takes_part(network: &Resource<Network>) -> bool {
    driver::find(&network.spec.driver).is_some_and(|d| d.forwards() && d.reach != Reach::Segment)
}

fn pools<'a>(
    world: &'a World,
    network: &Resource<Network>,
) -> impl Iterator<Item = &'a Resource<IpPool>> {
    let names = network.spec.pools.clone();
    names.into_iter().filter_map(|name| world.pools.get(&name))
}

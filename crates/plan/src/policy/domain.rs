//! Where packets are judged: each namespace with the endpoints whose packets pass it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tombolo_model::kinds::Tracking;
use tombolo_model::{Endpoint, Family, IfName, Name, Network, Resource, World};
use tombolo_policy::{Directory, Subject};

use crate::attachment::{Guard, Passing};
use crate::driver;
use crate::host_plan::HostPlan;
use crate::network::Residents;
use crate::objects::{Key, Netns, Place};

/// A namespace in which packets are judged.
pub(super) struct Domain<'a> {
    pub netns: Netns,
    /// How packets pass it.
    pub passing: Passing,
    /// The networks of its address space: an address means who has it in one of these.
    pub networks: HashSet<&'a Name>,
    /// Whether it is the space that hosts route in.
    pub is_hosts_space: bool,
    /// Whether the host's own interfaces are judged here, too, by the same chains.
    pub has_host: bool,
    /// The endpoints whose packets are judged here.
    pub residents: Vec<Resident<'a>>,
}

/// An endpoint of this host.
pub(super) struct Resident<'a> {
    pub endpoint: &'a Resource<Endpoint>,
    pub network: &'a Resource<Network>,
    pub subject: Subject<'a>,
    pub guard: Guard,
}

impl Domain<'_> {
    /// Where an object is in the domain.
    pub fn place(&self, key: Key) -> Place {
        Place {
            netns: self.netns.clone(),
            key,
        }
    }

    /// Whether nobody asks which connection a packet is of: there is no policy at all, on no node, and all
    /// networks can do without. Nothing is let in then that its network's isolation would not let out again.
    pub fn is_untracked(&self, world: &World) -> bool {
        let policies = world.network_policies.len() + world.global_network_policies.len();
        let can_do_without =
            |resident: &Resident| resident.network.spec.tracking == Tracking::Needed;
        policies + world.profiles.len() == 0 && self.residents.iter().all(can_do_without)
    }

    /// The families that are judged: those that its endpoints have addresses of, and a host has both.
    pub fn families(&self) -> Vec<Family> {
        if self.has_host {
            return Family::ALL.to_vec();
        }
        let addresses = self
            .residents
            .iter()
            .flat_map(|r| &r.endpoint.spec.addresses);
        let families: BTreeSet<Family> = addresses.map(|address| Family::of(*address)).collect();
        families.into_iter().collect()
    }
}

/// The domains of a host, with the endpoints that are planned.
pub(super) fn all<'a>(
    residents: &Residents<'a>,
    node: &Name,
    directory: &'a Directory<'a>,
    plan: &HostPlan,
) -> Vec<Domain<'a>> {
    let world = residents.world;
    let mut domains: BTreeMap<Netns, Domain<'a>> = BTreeMap::new();
    for ((namespace, _), endpoint) in residents.here() {
        let class = directory.class_of(namespace, endpoint);
        let resident = class.and_then(|class| {
            let subject = Subject::endpoint(endpoint, namespace, &class.labels);
            resident(world, node, endpoint, subject, plan)
        });
        let Some(resident) = resident else {
            continue;
        };
        let domain = domains
            .entry(resident.guard.netns.clone())
            .or_insert_with(|| empty(world, &resident));
        domain.residents.push(resident);
    }
    domains.into_values().collect()
}

/// An endpoint, if it is planned and its packets can be judged.
fn resident<'a>(
    world: &'a World,
    node: &Name,
    endpoint: &'a Resource<Endpoint>,
    subject: Subject<'a>,
    plan: &HostPlan,
) -> Option<Resident<'a>> {
    let network = world.networks.get(&endpoint.spec.network)?;
    let attachment = driver::find(&network.spec.driver)?.attachment;
    let guard = attachment.guard(node, endpoint)?;
    let link: &IfName = guard.port.as_ref().unwrap_or(&guard.interface);
    let link = Place {
        netns: guard.netns.clone(),
        key: Key::Link(link.clone()),
    };
    plan.objects.contains_key(&link).then_some(())?;
    Some(Resident {
        endpoint,
        network,
        subject,
        guard,
    })
}

/// The domain of an endpoint, without any yet.
fn empty<'a>(world: &'a World, resident: &Resident<'a>) -> Domain<'a> {
    let space = world.space_of(resident.network.name());
    let networks = world.networks.keys();
    Domain {
        netns: resident.guard.netns.clone(),
        passing: resident.guard.passing,
        networks: networks
            .filter(|network| world.space_of(network) == space)
            .collect(),
        is_hosts_space: space.is_none(),
        has_host: resident.guard.netns == Netns::Host
            && (world.host_endpoints.values())
                .any(|host| host.spec.node == resident.endpoint.spec.node),
        residents: Vec::new(),
    }
}

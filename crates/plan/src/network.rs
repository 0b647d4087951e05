//! One network on one host: which transport each peer is reached by, and what follows from it.
//!
//! A network may change its transport while packets flow. No node waits for another, and there is
//! no coordinator: every node looks at what the others say they do and does
//! the next thing that cannot lose a packet.
//!
//! ```text
//!  a node receives   by the present transport, by any that some peer still sends by, and by any
//!                    that it has said it receives by and has not withdrawn
//!  a node sends      by the present transport to a peer that says it receives by it, once it has
//!                    said so itself; until then by one that the peer does receive by
//!  endpoints' MTU    the smallest of all transports that are in use by anybody
//! ```

use std::collections::BTreeMap;

use tombolo_model::{Endpoint, Family, IfName, IpPool, Name, Network, Node, Resource, World};

use crate::attachment::{self, Plug};
use crate::driver::{self, Driver, Reach};
use crate::host_plan::HostPlan;
use crate::objects::Netns;
use crate::ways::Ways;
use crate::{naming, segment};

/// Plans one network.
pub(crate) fn plan(
    residents: &Residents<'_>,
    me: &Resource<Node>,
    network: &Resource<Network>,
    plan: &mut HostPlan,
) {
    let world = residents.world;
    let Some(driver) = driver::find(&network.spec.driver) else {
        let message = format!(
            "driver {} is not known; set spec.driver to one of {}",
            network.spec.driver,
            driver::names()
        );
        return plan.problem(network.key(), message);
    };
    let ways = Ways::new(world, me, network, driver);
    let Some(mtu) = ways.endpoint_mtu() else {
        let message = "the underlay's MTU leaves no room for packets; raise it or use a transport \
                       with less overhead";
        return plan.problem(network.key(), message);
    };
    if mtu.get() < 1280 && ways.carries(Family::V6) {
        let message = format!("its MTU is {mtu}, but IPv6 needs 1280 (RFC 8200)");
        plan.problem(network.key(), message);
    }
    let site = attachment::Site {
        world,
        me,
        network,
        mtu,
        members: residents.members(network.name()),
    };
    for pool in &network.spec.pools {
        let labels = &me.metadata.labels;
        let is_for_me = |pool: &Resource<IpPool>| pool.spec.node_selector.matches(labels);
        if let Some(Err(why)) = world.given_block(pool, me.name())
            && world.pools.get(pool).is_some_and(is_for_me)
        {
            plan.problem(network.key(), why);
        }
    }
    driver.attachment.plan_network(&site, plan);
    plan_endpoints(driver, &site, residents, plan);
    match driver.reach {
        Reach::Host => {}
        Reach::Routes => ways.plan(mtu, plan),
        Reach::Segment => segment::plan(&site, &ways, plan),
    }
}

/// The endpoints of one host, picked out of all of the cluster's once for all networks.
pub(crate) struct Residents<'a> {
    pub(crate) world: &'a World,
    endpoints: Vec<(&'a (Name, Name), &'a Resource<Endpoint>)>,
    /// The interface that a sandbox's default route goes through: `eth0`, else the first by name.
    default_interfaces: BTreeMap<&'a str, &'a IfName>,
    /// The endpoints of the networks that are one segment, on whichever host.
    segments: BTreeMap<&'a Name, Vec<&'a Resource<Endpoint>>>,
}

impl<'a> Residents<'a> {
    pub(crate) fn of(world: &'a World, node: &Name) -> Residents<'a> {
        let endpoints: Vec<_> = world
            .endpoints
            .iter()
            .filter(|(_, endpoint)| endpoint.spec.node == *node)
            .collect();
        let rank = |name: &IfName| (name.as_str() != "eth0", name.clone());
        let mut default_interfaces = BTreeMap::<&str, &IfName>::new();
        for (_, endpoint) in &endpoints {
            let interface = &endpoint.spec.interface;
            let first = default_interfaces
                .entry(&endpoint.spec.sandbox)
                .or_insert(interface);
            if rank(interface) < rank(first) {
                *first = interface;
            }
        }
        Residents {
            world,
            endpoints,
            default_interfaces,
            segments: segments(world),
        }
    }

    /// The endpoints of the host.
    pub(crate) fn here(&self) -> impl Iterator<Item = (&'a (Name, Name), &'a Resource<Endpoint>)> {
        self.endpoints.iter().copied()
    }

    /// The endpoints of a network that is one segment, on whichever host.
    fn members(&self, network: &Name) -> &[&'a Resource<Endpoint>] {
        self.segments.get(network).map_or(&[], Vec::as_slice)
    }
}

fn segments(world: &World) -> BTreeMap<&Name, Vec<&Resource<Endpoint>>> {
    let is_segment = |network: &&Resource<Network>| {
        driver::find(&network.spec.driver).is_some_and(|d| d.reach == Reach::Segment)
    };
    let mut segments: BTreeMap<&Name, Vec<_>> = world
        .networks
        .values()
        .filter(is_segment)
        .map(|network| (network.name(), Vec::new()))
        .collect();
    if segments.is_empty() {
        return segments;
    }
    for endpoint in world.endpoints.values() {
        if let Some(members) = segments.get_mut(&endpoint.spec.network)
            && !world.is_superseded(endpoint)
        {
            members.push(endpoint);
        }
    }
    segments
}

fn plan_endpoints(
    driver: &Driver,
    site: &attachment::Site,
    residents: &Residents<'_>,
    plan: &mut HostPlan,
) {
    for ((namespace, name), endpoint) in &residents.endpoints {
        let spec = &endpoint.spec;
        if spec.network != *site.network.name() || site.world.is_superseded(endpoint) {
            continue;
        }
        let default = residents.default_interfaces.get(spec.sandbox.as_str());
        let plug = Plug {
            endpoint,
            host_end: naming::host_end(namespace, name),
            outside: (driver.attachment).outside(site.me.name(), site.network.name()),
            is_default: default.is_some_and(|default| **default == spec.interface),
        };
        if spec.handover.is_some() {
            plan_handed_over(driver, site, &plug, plan);
            continue;
        }
        if let Some(id) = spec.sandbox_id {
            plan.sandboxes.insert(spec.sandbox.clone(), id);
        }
        driver.attachment.plan_endpoint(site, &plug, plan);
    }
}

/// Plans an endpoint whose sandbox is the runtime's affair: what an attachment wants there is left
/// out, so that attachments need not know of it.
fn plan_handed_over(driver: &Driver, site: &attachment::Site, plug: &Plug, plan: &mut HostPlan) {
    let mut own = HostPlan::default();
    driver.attachment.plan_endpoint(site, plug, &mut own);
    for (place, planned) in own.objects {
        if !matches!(place.netns, Netns::Sandbox(_)) {
            plan.want(place, planned.object, planned.origin);
        }
    }
    plan.problems.extend(own.problems);
}

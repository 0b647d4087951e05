//! The host itself: what comes to it and leaves it by interfaces that are endpoints of it.
//!
//! A few ports stay open whatever policies say, so that nobody locks himself or the cluster out
//! (`tombolo_policy::failsafe`). Packets between the host and its own containers are not judged here.

use tombolo_model::kinds::policy::{Direction, ProtocolMatch};
use tombolo_model::{Family, HostEndpoint, Name, Resource, World};
use tombolo_policy::failsafe::{self, Failsafe};
use tombolo_policy::{Directory, Labels, Member, Rulebook, Stack, Subject};

use super::dispatch::{before_judging, hook, neighbour_discovery};
use super::domain::Domain;
use super::stacks::to;
use super::tunnels;
use super::writer::Writer;
use crate::attachment::Passing;
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{Action, HookPoint, InterfaceMatch, Match, Netns, PortSet, Rule, Side};

/// The base chains.
pub(super) const INGRESS: &str = "policy-host-ingress";
pub(super) const EGRESS: &str = "policy-host-egress";
/// Behind what is judged for endpoints.
const PRIORITY: i32 = -18;
/// Every interface that is not a container's.
const ANY: &str = "*";

/// An interface of this host.
struct Interface<'a> {
    host: &'a Resource<HostEndpoint>,
    labels: &'a Labels,
    name: String,
}

/// Plans the chains of the host's own interfaces, if any is an endpoint.
pub(super) fn plan<'a>(
    world: &'a World,
    node: &Name,
    rulebook: &Rulebook<'a>,
    directory: &'a Directory<'a>,
    plan: &mut HostPlan,
) {
    let interfaces = interfaces(world, node, directory, plan);
    if interfaces.is_empty() {
        return;
    }
    let networks = world.networks.keys();
    let domain = Domain {
        netns: Netns::Host,
        passing: Passing::Routed,
        networks: networks
            .filter(|network| world.space_of(network).is_none())
            .collect(),
        is_hosts_space: true,
        has_host: true,
        residents: Vec::new(),
    };
    let mut writer = Writer {
        world,
        rulebook,
        directory,
        domain: &domain,
        families: Family::ALL.to_vec(),
        groups: Default::default(),
        asker: interfaces[0].host.key(),
        plan,
    };
    for direction in Direction::ALL {
        writer.host_chain(direction, &interfaces);
    }
}

/// The host's endpoints with the names of their interfaces; those for every interface last.
fn interfaces<'a>(
    world: &World,
    node: &Name,
    directory: &'a Directory<'a>,
    plan: &mut HostPlan,
) -> Vec<Interface<'a>> {
    let mut found = Vec::new();
    for class in &directory.classes {
        for member in &class.members {
            let Member::Host(host) = member else { continue };
            if host.spec.node != *node {
                continue;
            }
            match interface(world, host) {
                Some(name) => found.push(Interface {
                    host,
                    labels: &class.labels,
                    name,
                }),
                None => plan.problem(
                    host.key(),
                    "node has no address of expectedIPs; name the interface in interfaceName, or \
                     give an address by which the node is known",
                ),
            }
        }
    }
    found.sort_by_key(|interface| (interface.name == ANY, interface.host.name().clone()));
    found
}

fn interface(world: &World, host: &HostEndpointResource) -> Option<String> {
    if let Some(name) = &host.spec.interface_name {
        return Some(name.clone());
    }
    let node = world.nodes.get(&host.spec.node)?;
    let own = node.spec.addresses.iter();
    let mut own = own.filter(|own| host.spec.expected_ips.contains(&own.address.addr()));
    own.next().map(|own| own.interface.to_string())
}

type HostEndpointResource = Resource<HostEndpoint>;

impl<'a> Writer<'_, 'a> {
    fn host_chain(&mut self, direction: Direction, interfaces: &[Interface<'a>]) {
        let mut rules = before_judging();
        rules.push(Rule::new([at(direction, "lo")], Action::Accept));
        rules.extend(neighbour_discovery());
        rules.extend(failsafe::ports(direction).iter().map(open));
        rules.extend(tunnels::open(self.world, direction, self.plan));
        for interface in interfaces {
            let subject = Subject::host(interface.host, interface.labels);
            let stack = Stack::of(self.rulebook, self.directory, subject, direction);
            self.asker = interface.host.key();
            let target = self.stack(&stack, direction, None);
            rules.push(Rule::new([at(direction, &interface.name)], to(&target)));
        }
        let origin = Origin {
            resource: interfaces[0].host.key(),
            rule: "policy: what the host itself is asked and says",
        };
        let (name, point) = match direction {
            Direction::Ingress => (INGRESS, HookPoint::Input),
            Direction::Egress => (EGRESS, HookPoint::Output),
        };
        self.chain(name, Some(hook(point, PRIORITY)), rules, origin);
    }
}

/// The interface of a packet to the host, or from it.
fn at(direction: Direction, interface: &str) -> Match {
    let interface = match interface {
        ANY => InterfaceMatch {
            name: naming::LINK_PREFIX.to_owned(),
            prefix: true,
            not: true,
        },
        name => InterfaceMatch {
            name: name.to_owned(),
            prefix: false,
            not: false,
        },
    };
    match direction {
        Direction::Ingress => Match::InInterface(interface),
        Direction::Egress => Match::OutInterface(interface),
    }
}

/// Lets packets to a failsafe port through.
fn open(port: &Failsafe) -> Rule {
    let ProtocolMatch(number) = port.protocol;
    let port = Match::Ports {
        side: Side::Destination,
        ports: PortSet::Range(port.port, port.port),
        not: false,
    };
    Rule::new(
        [Match::ProtocolNumber { number, not: false }, port],
        Action::Accept,
    )
}

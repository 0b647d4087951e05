//! Address translation: out of the pools, and in by published ports.
//!
//! ```text
//!  nat-prerouting, nat-output   host port → container, by a map of all published ports
//!  nat-postrouting              pool → outside: masquerade
//!                               container → itself, or a neighbour on its segment, by a published
//!                               port; host's loopback → container: masquerade, so that the answer
//!                               comes back this way
//!  guard                        containers do not reach the host's loopback by route_localnet
//! ```
//!
//! A packet's cost does not grow with the number of pools, endpoints or ports: they are elements of
//! sets. The client's address is kept wherever the answer comes back this way by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Endpoint, Family, IfName, Name, Resource, World};

use crate::driver::{self, Reach};
use crate::egress;
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::network::Residents;
use crate::objects::{
    Action, AddressMatch, Addresses, Chain, ChainType, Datum, Field, Hook, HookPoint,
    InterfaceMatch, Key, Match, NftName, NftSet, Object, PacketField, Place, Policy, Rule,
};

/// Priorities of the hooks (`NF_IP_PRI_*`, linux/netfilter_ipv4.h).
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const SOURCE_NAT: i32 = 100;

/// Plans all translation.
pub(crate) fn plan(residents: &Residents<'_>, node: &Name, plan: &mut HostPlan) {
    let world = residents.world;
    let mut postrouting = Vec::new();
    let published = published(residents, plan);
    let publishing = published.iter().map(|p| &p.endpoint.spec.network);
    let publishing: BTreeSet<&Name> = publishing.collect();
    for family in Family::ALL {
        let ports: Vec<_> = published
            .iter()
            .filter(|p| Family::of(p.address) == family)
            .collect();
        let mut rules = Vec::new();
        if !ports.is_empty() {
            want_ports(family, &ports, plan);
            rules = returning_rules(world, node, family, &ports);
        }
        rules.extend(egress::postrouting(world, family, &publishing, plan));
        want_pools(world, family, &mut rules, plan);
        postrouting.append(&mut rules);
    }
    let origin = published.first().map(|p| p.origin("nat: published ports"));
    let marked = published.iter().filter_map(|p| {
        let port = (Family::of(p.address), p.mapping);
        egress::marking(world, &p.endpoint.spec, port, plan)
    });
    let marked: Vec<Rule> = marked.collect();
    if let Some(origin) = origin {
        want_chain(
            "nat-prerouting",
            hook(ChainType::Nat, HookPoint::Prerouting, DESTINATION_NAT),
            marked
                .iter()
                .cloned()
                .chain(translating_rules(&published))
                .collect(),
            &origin,
            plan,
        );
        want_chain(
            "nat-output",
            hook(ChainType::Nat, HookPoint::Output, DESTINATION_NAT),
            marked
                .iter()
                .cloned()
                .chain(translating_rules(&published))
                .collect(),
            &origin,
            plan,
        );
        want_loopback(&published, &origin, plan);
    }
    let pool = world.pools.values().find(|p| p.spec.nat_outgoing);
    let origin = origin_of_postrouting(pool.map(Resource::key), published.first());
    if let Some(origin) = origin.filter(|_| !postrouting.is_empty()) {
        let hook = hook(ChainType::Nat, HookPoint::Postrouting, SOURCE_NAT);
        want_chain("nat-postrouting", hook, postrouting, &origin, plan);
    }
}

fn origin_of_postrouting(
    pool: Option<tombolo_model::ResourceKey>,
    published: Option<&Published>,
) -> Option<Origin> {
    let rule = "nat: translation of source addresses";
    pool.map(|resource| Origin { resource, rule })
        .or_else(|| Some(published?.origin(rule)))
}

/// A published port of an endpoint on this host, for one of its addresses.
struct Published<'a> {
    endpoint: &'a Resource<Endpoint>,
    /// The host's interface towards the container.
    towards: IfName,
    address: IpAddr,
    mapping: &'a tombolo_model::PortMapping,
}

impl Published<'_> {
    fn origin(&self, rule: &'static str) -> Origin {
        Origin {
            resource: self.endpoint.key(),
            rule,
        }
    }
}

/// Every published port. Where two endpoints publish the same one, the second is a problem.
fn published<'a>(residents: &Residents<'a>, plan: &mut HostPlan) -> Vec<Published<'a>> {
    let mut list: Vec<Published> = Vec::new();
    for ((namespace, name), endpoint) in residents.here() {
        let spec = &endpoint.spec;
        if spec.ports.is_empty() {
            continue;
        }
        let host_end = naming::host_end(namespace, name);
        // One that was not planned publishes nothing.
        let Some(towards) = towards(residents.world, spec, host_end, plan) else {
            continue;
        };
        for mapping in &spec.ports {
            let taken = list.iter().find(|p| clashes(p.mapping, mapping));
            if let Some(other) = taken.filter(|p| p.endpoint.key() != endpoint.key()) {
                let message = format!(
                    "port {}/{} of the host is published by {} already",
                    mapping.host_port,
                    mapping.protocol,
                    other.endpoint.key()
                );
                plan.problem(endpoint.key(), message);
                continue;
            }
            for address in &spec.addresses {
                if publishes(mapping, Family::of(*address)) {
                    list.push(Published {
                        endpoint,
                        towards: towards.clone(),
                        address: *address,
                        mapping,
                    });
                }
            }
        }
    }
    list
}

/// The host's interface towards an endpoint that is planned.
fn towards(
    world: &World,
    endpoint: &Endpoint,
    host_end: IfName,
    plan: &HostPlan,
) -> Option<IfName> {
    let network = world.networks.get(&endpoint.network)?;
    let planned = |link: &IfName| {
        plan.objects
            .contains_key(&Place::host(Key::Link(link.clone())))
    };
    let driver = driver::find(&network.spec.driver)?;
    if driver.reach == Reach::Segment {
        return Some(naming::gateway(&endpoint.network)).filter(planned);
    }
    let host_end = Some(host_end).filter(planned)?;
    let bridge = driver
        .has_bridge()
        .then(|| naming::bridge(&endpoint.network));
    Some(bridge.unwrap_or(host_end))
}

/// Whether a port is published in a family: `0.0.0.0` is every address of IPv4 and none of IPv6,
/// as for a socket.
fn publishes(mapping: &tombolo_model::PortMapping, family: Family) -> bool {
    mapping
        .host_ip
        .is_none_or(|host| Family::of(host) == family)
}

fn clashes(a: &tombolo_model::PortMapping, b: &tombolo_model::PortMapping) -> bool {
    let any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    let meet = |family: &Family| publishes(a, *family) && publishes(b, *family);
    a.host_port == b.host_port
        && a.protocol == b.protocol
        && Family::ALL.iter().any(meet)
        && (any(a.host_ip) || any(b.host_ip) || a.host_ip == b.host_ip)
}

fn name(what: &str, family: Family) -> String {
    format!("{what}-{family}")
}

/// The maps from published ports to containers, and the containers that may reach themselves.
fn want_ports(family: Family, ports: &[&Published], plan: &mut HostPlan) {
    let address = Field::address(family);
    let any = vec![Field::Protocol, Field::Port];
    let at = vec![address, Field::Protocol, Field::Port];
    let data = vec![address, Field::Port];
    for port in ports {
        let origin = port.origin("nat: a published port");
        let set = |key: &Vec<Field>| NftSet {
            key: key.clone(),
            data: data.clone(),
            interval: false,
        };
        let mapping = port.mapping;
        let mut key = vec![
            Datum::Protocol(mapping.protocol),
            Datum::Port(mapping.host_port),
        ];
        let host_ip = mapping.host_ip.filter(|ip| !ip.is_unspecified());
        let (map, set) = match host_ip {
            Some(ip) => {
                key.insert(0, Datum::Ip(ip));
                (name("ports-at", family), set(&at))
            }
            None => (name("ports", family), set(&any)),
        };
        plan.want(
            Place::host(Key::NftSet(NftName::inet(&map))),
            Object::NftSet(set),
            origin.clone(),
        );
        let to = vec![Datum::Ip(port.address), Datum::Port(mapping.container_port)];
        let element = Key::NftElement {
            set: NftName::inet(map),
            key,
        };
        plan.want(Place::host(element), Object::NftElement(to), origin.clone());
        let own = name("hairpin", family);
        let set = NftSet {
            key: vec![address, address],
            data: Vec::new(),
            interval: false,
        };
        plan.want(
            Place::host(Key::NftSet(NftName::inet(&own))),
            Object::NftSet(set),
            origin.clone(),
        );
        let key = vec![Datum::Ip(port.address), Datum::Ip(port.address)];
        let element = Key::NftElement {
            set: NftName::inet(own),
            key,
        };
        plan.want(Place::host(element), Object::NftElement(Vec::new()), origin);
    }
}

/// Host port → container: first ports published at one address of the host, then those at any.
fn translating_rules(published: &[Published]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for family in Family::ALL {
        let of_family = || published.iter().filter(|p| Family::of(p.address) == family);
        let at_one = |p: &Published| p.mapping.host_ip.is_some_and(|ip| !ip.is_unspecified());
        let fields = vec![PacketField::Protocol, PacketField::DestinationPort];
        if of_family().any(at_one) {
            let mut fields = fields.clone();
            fields.insert(0, PacketField::Destination(family));
            rules.push(Rule::new(
                vec![Match::Family(family)],
                Action::TranslateDestination {
                    family,
                    fields,
                    map: name("ports-at", family),
                },
            ));
        }
        if of_family().any(|p| !at_one(p)) {
            rules.push(Rule::new(
                vec![Match::Family(family), Match::LocalDestination],
                Action::TranslateDestination {
                    family,
                    fields,
                    map: name("ports", family),
                },
            ));
        }
    }
    rules
}

/// Translated connections whose answers would not come back through this host by themselves.
fn returning_rules(world: &World, node: &Name, family: Family, ports: &[&Published]) -> Vec<Rule> {
    let masquerade = |matches: Vec<Match>| Rule::new(matches, Action::Masquerade);
    let fields = vec![
        PacketField::Source(family),
        PacketField::Destination(family),
    ];
    let mut rules = vec![masquerade(vec![
        Match::Family(family),
        Match::DestinationTranslated,
        Match::InSet {
            fields,
            set: name("hairpin", family),
            not: false,
        },
    ])];
    if family == Family::V4 {
        let loopback = IpNet::new_assert([127, 0, 0, 0].into(), 8);
        rules.push(masquerade(vec![
            Match::DestinationTranslated,
            Match::Source(within(family, Addresses::Net(loopback), false)),
        ]));
    }
    for block in world.blocks.values() {
        let bridged = world.networks.values().any(|network| {
            driver::find(&network.spec.driver).is_some_and(driver::Driver::has_bridge)
                && network.spec.pools.contains(&block.spec.pool)
        });
        let here = block.spec.node.as_ref() == Some(node)
            && ports.iter().any(|p| block.spec.cidr.contains(&p.address));
        if bridged && here {
            let segment = || within(family, Addresses::Net(block.spec.cidr), false);
            rules.push(masquerade(vec![
                Match::DestinationTranslated,
                Match::Source(segment()),
                Match::Destination(segment()),
            ]));
        }
    }
    rules
}

/// The pools of a family, and the rule for packets that leave all of them.
fn want_pools(world: &World, family: Family, rules: &mut Vec<Rule>, plan: &mut HostPlan) {
    let used = |pool: &Name| {
        world.networks.values().any(|network| {
            network.spec.pools.contains(pool)
                && driver::find(&network.spec.driver)
                    .is_some_and(|d| d.forwards() && d.reach != Reach::Segment)
        })
    };
    // What leaves a segment is known by where it comes from, not by its address.
    let of_family = |pool: &&Resource<tombolo_model::IpPool>| {
        Family::of_net(pool.spec.cidr) == family && used(pool.name())
    };
    if !world
        .pools
        .values()
        .filter(of_family)
        .any(|pool| pool.spec.nat_outgoing)
    {
        return;
    }
    let set = NftSet {
        key: vec![Field::address(family)],
        data: Vec::new(),
        interval: true,
    };
    for pool in world.pools.values().filter(of_family) {
        let sets = [("pools", true), ("nat-outgoing", pool.spec.nat_outgoing)];
        for (what, _) in sets.into_iter().filter(|(_, listed)| *listed) {
            let origin = Origin {
                resource: pool.key(),
                rule: "nat: packets that leave the pools",
            };
            let set_name = name(what, family);
            plan.want(
                Place::host(Key::NftSet(NftName::inet(&set_name))),
                Object::NftSet(set.clone()),
                origin.clone(),
            );
            let element = Key::NftElement {
                set: NftName::inet(set_name),
                key: vec![Datum::Net(pool.spec.cidr)],
            };
            plan.want(Place::host(element), Object::NftElement(Vec::new()), origin);
        }
    }
    let inside = |what, not| within(family, Addresses::Set(name(what, family)), not);
    rules.push(Rule::new(
        vec![
            Match::Source(inside("nat-outgoing", false)),
            Match::Destination(inside("pools", true)),
        ],
        Action::Masquerade,
    ));
}

/// The host's own 127.0.0.1 leads to published ports too. The kernel must be told that such packets
/// may leave by the container's interface, and then containers must be kept from the host's
/// loopback (CVE-2020-8558).
fn want_loopback(published: &[Published], origin: &Origin, plan: &mut HostPlan) {
    for port in published.iter().filter(|p| p.address.is_ipv4()) {
        let path = format!("net/ipv4/conf/{}/route_localnet", port.towards);
        plan.want(
            Place::host(Key::Sysctl(path)),
            Object::Sysctl("1".to_owned()),
            port.origin("nat: the host's loopback reaches published ports"),
        );
    }
    let loopback = IpNet::new_assert([127, 0, 0, 0].into(), 8);
    let ours = InterfaceMatch {
        name: naming::LINK_PREFIX.to_owned(),
        prefix: true,
        not: false,
    };
    let rule = Rule::new(
        vec![
            Match::InInterface(ours),
            Match::Destination(within(Family::V4, Addresses::Net(loopback), false)),
        ],
        Action::Drop,
    );
    let hook = hook(ChainType::Filter, HookPoint::Prerouting, RAW);
    want_chain("guard", hook, vec![rule], origin, plan);
}

fn within(family: Family, addresses: Addresses, not: bool) -> AddressMatch {
    AddressMatch {
        family,
        addresses,
        not,
    }
}

fn hook(chain_type: ChainType, point: HookPoint, priority: i32) -> Hook {
    Hook {
        chain_type,
        point,
        priority,
        policy: Policy::Accept,
    }
}

fn want_chain(name: &str, hook: Hook, rules: Vec<Rule>, origin: &Origin, plan: &mut HostPlan) {
    let chain = Chain {
        hook: Some(hook),
        rules,
    };
    plan.want(
        Place::host(Key::NftChain(NftName::inet(name))),
        Object::NftChain(chain),
        origin.clone(),
    );
}

//! Ways out of segments: from a gateway on, where addresses alone do not say which network they are
//! of.
//!
//! Two segments may have the same addresses, and both their containers may talk to the same server
//! at once. So the host knows a packet by its mark, which says the segment, and its connection by a
//! zone of connection tracking:
//!
//! ```text
//!  from a segment   gateway tbg… ─► zone, mark ─► the host's routes ─► masquerade ─► outside
//!  answers          outside ─► connection ─► its mark ─► the segment's own table ─► tbg…
//!  published ports  outside ─► mark by the port ─► translation ─► the segment's table ─► tbg…
//! ```
//!
//! Zones are of the direction of who began a connection; the other direction has translated
//! addresses, which connection tracking keeps unique by itself. Packets between segments, and between
//! a segment and other networks, are dropped here unless they go to a published port.
//!
//! To see it: `ip rule`, `ip route show table all proto 84`, `conntrack -L -o zone`.

use std::collections::BTreeSet;

use ipnet::IpNet;
use tombolo_model::{Endpoint, Family, Name, Network, PortMapping, Resource, World};

use crate::attachment::overlay;
use crate::driver::{self, Reach};
use crate::host_plan::{HostPlan, Origin};
use crate::naming;
use crate::objects::{
    Action, AddressMatch, Addresses, Chain, ChainType, Hook, HookPoint, InterfaceMatch, Key, Match,
    NextHop, NftName, Object, Place, Policy, Route, RoutingRule, Rule,
};
use crate::transport;

/// The first byte of our marks, and of the numbers of our tables: `T`.
const OURS: u32 = 0x5400_0000;
const OURS_MASK: u32 = 0xff00_0000;
/// Priorities of the hooks (`NF_IP_PRI_*`, linux/netfilter_ipv4.h).
const RAW: i32 = -300;
const MANGLE: i32 = -150;
const FILTER: i32 = 0;
/// Where our rules stand among those that choose a routing table, before the main one's 32766.
const FIRST_RULE: u32 = 1000;
const RULES: u32 = 30_000;

/// A segment with a way out of this host.
struct Segment<'a> {
    network: &'a Resource<Network>,
    mark: u32,
}

/// Plans the ways out of all segments that have a gateway here.
pub(crate) fn plan(world: &World, plan: &mut HostPlan) {
    let segments: Vec<Segment> = world
        .networks
        .values()
        .filter_map(|network| segment(network, plan))
        .collect();
    for segment in &segments {
        want_way_in(world, segment, plan);
    }
    if let Some(first) = segments.first() {
        want_chains(world, first.network, &segments, plan);
    }
}

/// The chains by which packets of all segments are told apart.
fn want_chains(
    world: &World,
    first: &Resource<Network>,
    segments: &[Segment],
    plan: &mut HostPlan,
) {
    let origin = || Origin {
        resource: first.key(),
        rule: "egress: which segment a packet is of",
    };
    let chain = |chain_type, point, priority, rules| Chain {
        hook: Some(Hook {
            chain_type,
            point,
            priority,
            policy: Policy::Accept,
        }),
        rules,
    };
    let mut want = |name: &str, chain| {
        let place = Place::host(Key::NftChain(NftName::inet(name)));
        plan.want(place, Object::NftChain(chain), origin());
    };
    let filter = ChainType::Filter;
    let raw = from_each(segments, |segment| Action::OriginalZone(zone(segment.mark)));
    want(
        "segment-zones",
        chain(filter, HookPoint::Prerouting, RAW, raw),
    );
    // One that has a mark keeps it: what goes to a published port is of the port's segment.
    let mut marks = from_each(segments, |segment| Action::Mark(segment.mark));
    for rule in &mut marks {
        rule.matches.push(Match::ConnectionMark {
            mask: OURS_MASK,
            value: 0,
        });
    }
    marks.push(restore());
    want(
        "segment-marks",
        chain(filter, HookPoint::Prerouting, MANGLE, marks),
    );
    let own = chain(ChainType::Route, HookPoint::Output, MANGLE, vec![restore()]);
    want("segment-answers", own);
    let apart = chain(filter, HookPoint::Forward, FILTER, isolation(world));
    want("segment-isolation", apart);
}

/// A rule for packets from each segment.
fn from_each(segments: &[Segment], action: fn(&Segment) -> Action) -> Vec<Rule> {
    let rule =
        |segment: &Segment| Rule::new(vec![Match::InInterface(gateway(segment))], action(segment));
    segments.iter().map(rule).collect()
}

/// Packets of a segment's connection get its mark.
fn restore() -> Rule {
    Rule::new(
        vec![Match::ConnectionMark {
            mask: OURS_MASK,
            value: OURS,
        }],
        Action::RestoreMark,
    )
}

/// Rules that translate sources: who leaves a segment is the host from then on, and so is who comes
/// back to the segment that it is in itself, by a port that is published there.
pub(crate) fn postrouting(
    world: &World,
    family: Family,
    publishing: &BTreeSet<&Name>,
    plan: &HostPlan,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    let masquerade = |matches| Rule::new(matches, Action::Masquerade);
    for segment in world.networks.values().filter_map(|n| segment(n, plan)) {
        let pools = overlay::pools(world, segment.network);
        for pool in pools.filter(|pool| Family::of_net(pool.spec.cidr) == family) {
            let source = |pool| {
                Match::Source(AddressMatch {
                    family,
                    addresses: Addresses::Net(pool),
                    not: false,
                })
            };
            if pool.spec.nat_outgoing {
                let outside = InterfaceMatch {
                    name: naming::LINK_PREFIX.to_owned(),
                    prefix: true,
                    not: true,
                };
                rules.push(masquerade(vec![
                    Match::Mark(segment.mark),
                    Match::OutInterface(outside),
                    source(pool.spec.cidr),
                ]));
            }
            if publishing.contains(segment.network.name()) {
                rules.push(masquerade(vec![
                    Match::DestinationTranslated,
                    Match::Mark(segment.mark),
                    Match::OutInterface(gateway(&segment)),
                    source(pool.spec.cidr),
                ]));
            }
        }
    }
    rules
}

/// Packets to a published port of an endpoint on a segment get the segment's mark before their
/// destination is translated: the address alone does not say which segment it is of.
pub(crate) fn marking(
    world: &World,
    endpoint: &Endpoint,
    (family, mapping): (Family, &PortMapping),
    plan: &HostPlan,
) -> Option<Rule> {
    let network = world.networks.get(&endpoint.network)?;
    let mark = segment(network, plan)?.mark;
    let to = match mapping.host_ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => Match::Destination(AddressMatch {
            family,
            addresses: Addresses::Net(Family::host_net(ip)),
            not: false,
        }),
        None => Match::LocalDestination,
    };
    Some(Rule::new(
        vec![
            Match::Family(family),
            to,
            Match::Protocol(mapping.protocol),
            Match::DestinationPort(mapping.host_port),
        ],
        Action::Mark(mark),
    ))
}

/// A network as a segment, if it is one and its gateway is planned.
fn segment<'a>(network: &'a Resource<Network>, plan: &HostPlan) -> Option<Segment<'a>> {
    let driver = driver::find(&network.spec.driver)?;
    let gateway = Place::host(Key::Link(naming::gateway(network.name())));
    if driver.reach != Reach::Segment || !plan.objects.contains_key(&gateway) {
        return None;
    }
    let spec = network.spec.transport.as_ref()?;
    let vni = transport::find(spec.name.as_str())?.vni(spec)?;
    Some(Segment {
        network,
        mark: OURS | vni,
    })
}

/// A zone for a mark: there are fewer of them, and none is 0. Two segments of one zone are in each
/// other's way only if their containers' connections are the same in all of addresses and ports.
fn zone(mark: u32) -> u16 {
    let vni = mark & !OURS_MASK;
    u16::try_from((vni ^ (vni >> 16)) & 0xffff).map_or(1, |zone| zone.max(1))
}

fn gateway(segment: &Segment) -> InterfaceMatch {
    InterfaceMatch {
        name: naming::gateway(segment.network.name()).to_string(),
        prefix: false,
        not: false,
    }
}

/// Segments and other networks of ours do not reach each other, but for published ports: neither by our
/// interfaces, nor on other hosts to which packets go as they are.
fn isolation(world: &World) -> Vec<Rule> {
    let links = |name: &str| InterfaceMatch {
        name: name.to_owned(),
        prefix: true,
        not: false,
    };
    let any = || links(naming::LINK_PREFIX);
    let gateways = || links(naming::GATEWAY_PREFIX);
    let drop = |from, to| {
        Rule::new(
            vec![Match::InInterface(from), Match::OutInterface(to)],
            Action::Drop,
        )
    };
    let mut rules = vec![
        Rule::new(vec![Match::DestinationTranslated], Action::Return),
        drop(gateways(), any()),
        drop(any(), gateways()),
    ];
    rules.extend(routed_pools(world).map(|net| {
        let to = Match::Destination(AddressMatch {
            family: Family::of_net(net),
            addresses: Addresses::Net(net),
            not: false,
        });
        Rule::new(vec![Match::InInterface(gateways()), to], Action::Drop)
    }));
    rules
}

/// The pools of networks whose packets hosts route by their addresses alone.
fn routed_pools(world: &World) -> impl Iterator<Item = IpNet> {
    let is_routed = |network: &&Resource<Network>| {
        driver::find(&network.spec.driver)
            .is_some_and(|driver| driver.forwards() && driver.reach != Reach::Segment)
    };
    let networks = world.networks.values().filter(is_routed);
    let pools = networks.flat_map(|network| &network.spec.pools);
    let pools = pools.filter_map(|pool| world.pools.get(pool));
    pools.map(|pool| pool.spec.cidr)
}

/// A routing table of the segment's own, for packets with its mark.
fn want_way_in(world: &World, segment: &Segment, plan: &mut HostPlan) {
    let link = naming::gateway(segment.network.name());
    let origin = |rule| Origin {
        resource: segment.network.key(),
        rule,
    };
    // The check of a packet's source (`rp_filter`) is made by the table of its mark too.
    plan.want(
        Place::host(Key::Sysctl(format!("net/ipv4/conf/{link}/src_valid_mark"))),
        Object::Sysctl("1".to_owned()),
        origin("egress: a source address is looked for in the segment's table"),
    );
    for pool in overlay::pools(world, segment.network) {
        let family = Family::of_net(pool.spec.cidr);
        let route = Route {
            next: NextHop::Link(link.clone()),
            source: None,
            mtu: None,
        };
        plan.want(
            Place::host(Key::Route {
                table: segment.mark,
                dst: pool.spec.cidr,
                metric: 0,
            }),
            Object::Route(route),
            origin("egress: way to the segment"),
        );
        let rule = RoutingRule {
            from: None,
            to: None,
            mark: Some((segment.mark, u32::MAX)),
            table: segment.mark,
        };
        let place = free_priority(segment, family, &rule, plan);
        plan.want(
            place,
            Object::RoutingRule(rule),
            origin("egress: packets with the segment's mark take its table"),
        );
    }
}

/// A place for a rule: its own, unless another segment's rule has it already.
fn free_priority(segment: &Segment, family: Family, rule: &RoutingRule, plan: &HostPlan) -> Place {
    let wanted = (segment.mark & !OURS_MASK) % RULES;
    let place = |number: u32| {
        Place::host(Key::RoutingRule {
            family,
            priority: FIRST_RULE + number % RULES,
        })
    };
    let free = |at: &Place| {
        let present = plan.objects.get(at).map(|planned| &planned.object);
        present.is_none_or(|object| matches!(object, Object::RoutingRule(r) if r == rule))
    };
    let mut places = (wanted..wanted + RULES).map(place);
    places.find(free).unwrap_or_else(|| place(wanted))
}

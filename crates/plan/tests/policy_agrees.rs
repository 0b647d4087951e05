//! What the planned filters do to a packet is what the evaluator says of its flow.
//!
//! Worlds of policies are made at random, and the planned chains are walked as the kernel walks them.
//! The kernel itself is held against the evaluator in the lab; this finds more, and says where.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use tombolo_model::kinds::policy::ProtocolMatch;
use tombolo_model::{Family, Name, World, parse};
use tombolo_plan::objects::{
    Action, Addresses, Chain, ChainType, Datum, HookPoint, Match, Members, NftName, PacketField,
    Policy, PortSet, Rule, Side,
};
use tombolo_plan::{HostPlan, Key, Netns, Object, Place, naming, plan};
use tombolo_policy::{Evaluator, Flow, Party};

/// Endpoints of the world: namespace, name, network, labels, profile, named port.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("x", "a", "net"),
    ("x", "b", "net"),
    ("y", "a", "net"),
    ("y", "b", "other"),
    ("z", "c", "other"),
];
const LABELS: &[&str] = &["app", "role"];
const VALUES: &[&str] = &["p", "q"];
const OUTSIDE: &[&str] = &["192.0.2.7", "198.51.100.9", "2001:db8::7"];

fn selector() -> impl Strategy<Value = String> {
    let label = prop::sample::select(LABELS);
    let value = prop::sample::select(VALUES);
    let one = (label, value, 0..5u8).prop_map(|(label, value, form)| match form {
        0 => format!("{label} == '{value}'"),
        1 => format!("{label} != '{value}'"),
        2 => format!("has({label})"),
        3 => format!("!has({label})"),
        _ => "all()".to_owned(),
    });
    prop::collection::vec(one, 1..3).prop_map(|parts| parts.join(" && "))
}

fn namespaces() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "all()".to_owned(),
        "global()".to_owned(),
        "kubernetes.io/metadata.name == 'x'".to_owned(),
        "team == 'p'".to_owned(),
        "team != 'p'".to_owned(),
    ])
}

fn nets() -> impl Strategy<Value = String> {
    let net = prop::sample::select(vec![
        "10.1.0.0/16",
        "10.1.0.5/32",
        "10.2.0.0/24",
        "192.0.2.0/24",
        "0.0.0.0/0",
        "fd00:1::/64",
        "2001:db8::/32",
        "fd00:1::6/128",
    ]);
    prop::collection::vec(net, 1..3).prop_map(|nets| format!("['{}']", nets.join("', '")))
}

fn ports() -> impl Strategy<Value = String> {
    let port = prop::sample::select(vec!["80", "81", "'80:90'", "web", "7"]);
    prop::collection::vec(port, 1..3).prop_map(|ports| format!("[{}]", ports.join(", ")))
}

fn end(has_ports: bool) -> impl Strategy<Value = String> {
    let maybe = |weight: f64| prop::bool::weighted(weight);
    let texts = (
        selector(),
        selector(),
        namespaces(),
        nets(),
        nets(),
        ports(),
        ports(),
    );
    let wanted = (
        maybe(0.4),
        maybe(0.15),
        maybe(0.2),
        maybe(0.2),
        maybe(0.15),
        maybe(0.4),
        maybe(0.1),
    );
    (texts, wanted).prop_map(move |(texts, wanted)| {
        let mut fields = Vec::new();
        let mut add = |wanted: bool, name: &str, text: &str| {
            if wanted {
                fields.push(format!("{name}: {text}"));
            }
        };
        add(wanted.0, "selector", &format!("\"{}\"", texts.0));
        add(wanted.1, "notSelector", &format!("\"{}\"", texts.1));
        add(wanted.2, "namespaceSelector", &format!("\"{}\"", texts.2));
        add(wanted.3, "nets", &texts.3);
        add(wanted.4, "notNets", &texts.4);
        add(wanted.5 && has_ports, "ports", &texts.5);
        add(wanted.6 && has_ports, "notPorts", &texts.6);
        format!("{{{}}}", fields.join(", "))
    })
}

fn rule(may_pass: bool) -> impl Strategy<Value = String> {
    let actions = match may_pass {
        true => vec!["Allow", "Allow", "Deny", "Pass", "Log"],
        false => vec!["Allow", "Allow", "Deny", "Log"],
    };
    let action = prop::sample::select(actions);
    let protocol = prop::sample::select(vec![
        "",
        "protocol: TCP, ",
        "protocol: UDP, ",
        "notProtocol: TCP, ",
        "protocol: 50, ",
        "protocol: ICMP, icmp: {type: 8}, ",
        "protocol: ICMP, notICMP: {type: 8, code: 0}, ",
        "protocol: ICMPv6, ",
        "ipVersion: 4, ",
        "ipVersion: 6, ",
    ]);
    (action, protocol).prop_flat_map(|(action, protocol)| {
        let has_ports = protocol.contains("protocol: TCP") || protocol.contains("protocol: UDP");
        let has_ports = has_ports && !protocol.contains("not");
        // Prefixes of the other family beside a version are refused when they are read.
        let one_family = protocol.contains("ipVersion") || protocol.contains("ICMP");
        (end(has_ports), end(has_ports)).prop_map(move |(source, destination)| {
            let (source, destination) = match one_family {
                true => (without_nets(&source), without_nets(&destination)),
                false => (source, destination),
            };
            format!("{{action: {action}, {protocol}source: {source}, destination: {destination}}}")
        })
    })
}

fn without_nets(end: &str) -> String {
    let inner = end.trim_start_matches('{').trim_end_matches('}');
    let mut kept = Vec::new();
    for field in inner
        .split(", ")
        .fold(Vec::<String>::new(), |mut fields, part| {
            match part.contains(": ") {
                true => fields.push(part.to_owned()),
                false => {
                    if let Some(last) = fields.last_mut() {
                        last.push_str(", ");
                        last.push_str(part);
                    }
                }
            }
            fields
        })
    {
        if !field.starts_with("nets") && !field.starts_with("notNets") {
            kept.push(field);
        }
    }
    format!("{{{}}}", kept.join(", "))
}

fn rules(may_pass: bool) -> impl Strategy<Value = String> {
    prop::collection::vec(rule(may_pass), 0..4).prop_map(|rules| format!("[{}]", rules.join(", ")))
}

fn policy(number: usize) -> impl Strategy<Value = String> {
    let place = prop::sample::select(vec!["", "x", "y", "z"]);
    let tier = prop::sample::select(vec!["default", "first", "loose"]);
    let types = prop::sample::select(vec!["[]", "[Ingress]", "[Egress]", "[Ingress, Egress]"]);
    let order = prop::sample::select(vec!["", "order: 1, ", "order: 2, "]);
    (place, tier, types, order, selector(), rules(true), rules(true)).prop_map(
        move |(place, tier, types, order, selector, ingress, egress)| {
            let (kind, namespace) = match place {
                "" => ("GlobalNetworkPolicy", String::new()),
                place => ("NetworkPolicy", format!(", namespace: {place}")),
            };
            format!(
                "---\n{{apiVersion: tombolo.dev/v1, kind: {kind}, metadata: {{name: p{number}{namespace}}}, \
                 spec: {{tier: {tier}, {order}selector: \"{selector}\", types: {types}, \
                 ingress: {ingress}, egress: {egress}}}}}\n"
            )
        },
    )
}

fn labels() -> impl Strategy<Value = String> {
    let value = || prop::option::of(prop::sample::select(VALUES));
    (value(), value()).prop_map(|(app, role)| {
        let pairs = [("app", app), ("role", role)];
        let pairs = pairs
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}: {}", value?)));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
    })
}

fn text() -> impl Strategy<Value = String> {
    let policies = (0..5usize).prop_flat_map(|many| (0..many).map(policy).collect::<Vec<_>>());
    let endpoints = prop::collection::vec(
        (labels(), prop::bool::weighted(0.3), any::<bool>()),
        ENDPOINTS.len(),
    );
    let isolation = prop::sample::select(vec!["network", "none"]);
    let others = (rules(false), rules(false), labels(), labels());
    (policies, endpoints, isolation, others).prop_map(|(policies, endpoints, isolation, others)| {
        let (ingress, egress, set_labels, global_labels) = others;
        let mut text = format!(
            "{{apiVersion: tombolo.dev/v1, kind: Node, metadata: {{name: n, uid: u}}, spec: {{\
             addresses: [{{address: 172.16.0.1/24, interface: eth0, mtu: 1500}}]}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: net}}, spec: {{driver: ptp, pools: [p4, p6]}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Network, metadata: {{name: other}}, spec: {{driver: ptp, pools: [q4], isolation: {isolation}}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: p4}}, spec: {{cidr: 10.1.0.0/16}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: p6}}, spec: {{cidr: 'fd00:1::/64'}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: IPPool, metadata: {{name: q4}}, spec: {{cidr: 10.2.0.0/16}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {{name: first}}, spec: {{order: 1}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Tier, metadata: {{name: loose}}, spec: {{order: 2, defaultAction: Pass}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Namespace, metadata: {{name: y, labels: {{team: p}}}}, spec: {{}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: NetworkSet, metadata: {{name: s, namespace: x, labels: {set_labels}}}, spec: {{nets: [192.0.2.0/24, '2001:db8::/64']}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: GlobalNetworkSet, metadata: {{name: g, labels: {global_labels}}}, spec: {{nets: [198.51.100.0/24, 10.1.0.5/32]}}}}\n\
             ---\n{{apiVersion: tombolo.dev/v1, kind: Profile, metadata: {{name: prof}}, spec: {{labelsToApply: {{role: q}}, ingress: {ingress}, egress: {egress}}}}}\n"
        );
        for (number, ((namespace, name, network), (labels, profile, web))) in ENDPOINTS.iter().zip(endpoints).enumerate() {
            let last = number + 5;
            let addresses = match *network {
                "net" => format!("[10.1.0.{last}, 'fd00:1::{last}']"),
                _ => format!("[10.2.0.{last}]"),
            };
            let profiles = if profile { "profiles: [prof], " } else { "" };
            let port = if web { 81 } else { 7 };
            text += &format!(
                "---\n{{apiVersion: tombolo.dev/v1, kind: Endpoint, metadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}, spec: {{\
                 node: n, network: {network}, containerID: {namespace}-{name}, interface: eth0, sandbox: /run/netns/{namespace}-{name}, \
                 handle: h{number}, generation: 1, addresses: {addresses}, mac: '02:00:00:00:00:0{number}', {profiles}\
                 namedPorts: [{{name: web, protocol: TCP, port: {port}}}]}}}}\n"
            );
        }
        text + &policies.concat()
    })
}

/// A packet that the host forwards.
#[derive(Debug, Clone)]
struct Packet {
    input: String,
    output: String,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ports: Option<(u16, u16)>,
    icmp: Option<(u8, u8)>,
    mark: u32,
}

enum Verdict {
    Accept,
    Drop,
    /// Back to the caller, or beyond the end.
    Return,
    /// Back to the caller of the one that went here.
    Ended,
}

struct Filters<'a> {
    chains: BTreeMap<&'a str, &'a Chain>,
    members: BTreeMap<&'a str, &'a Members>,
}

impl<'a> Filters<'a> {
    fn of(plan: &'a HostPlan) -> Filters<'a> {
        let mut filters = Filters {
            chains: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        for (place, planned) in &plan.objects {
            match (place, &planned.object) {
                (
                    Place {
                        netns: Netns::Host,
                        key: Key::NftChain(NftName { name, .. }),
                    },
                    Object::NftChain(chain),
                ) => {
                    filters.chains.insert(name, chain);
                }
                (
                    Place {
                        netns: Netns::Host,
                        key: Key::NftMembers(NftName { name, .. }),
                    },
                    Object::NftMembers(members),
                ) => {
                    filters.members.insert(name, members);
                }
                _ => {}
            }
        }
        filters
    }

    /// Whether a forwarded packet comes through all chains that filter.
    fn lets_through(&self, packet: &Packet) -> bool {
        let points = [HookPoint::Prerouting, HookPoint::Forward];
        let mut bases: Vec<(usize, i32, &Chain)> = Vec::new();
        for chain in self.chains.values() {
            let Some(hook) = chain
                .hook
                .filter(|hook| hook.chain_type == ChainType::Filter)
            else {
                continue;
            };
            if let Some(point) = points.iter().position(|point| *point == hook.point) {
                assert_eq!(hook.policy, Policy::Accept);
                bases.push((point, hook.priority, chain));
            }
        }
        bases.sort_by_key(|(point, priority, _)| (*point, *priority));
        let mut packet = packet.clone();
        bases
            .iter()
            .all(|(_, _, chain)| !matches!(self.walk(chain, &mut packet), Verdict::Drop))
    }

    fn walk(&self, chain: &Chain, packet: &mut Packet) -> Verdict {
        for Rule {
            matches, action, ..
        } in &chain.rules
        {
            if !matches
                .iter()
                .all(|condition| self.holds(condition, packet))
            {
                continue;
            }
            let verdict = match action {
                Action::Accept => Verdict::Accept,
                Action::Drop | Action::Reset => Verdict::Drop,
                Action::Return => Verdict::Return,
                Action::Jump(name) => match self.walk(self.chains[name.as_str()], packet) {
                    Verdict::Return | Verdict::Ended => continue,
                    decided => decided,
                },
                Action::Goto(name) => self.gone(name, packet),
                Action::Dispatch { fields, map } => {
                    let key: Vec<Datum> = fields.iter().map(|field| packet.field(*field)).collect();
                    match self.members[map.as_str()].0.get(&key).map(Vec::as_slice) {
                        Some([Datum::Goto(name)]) => self.gone(name, packet),
                        None => continue,
                        other => panic!("{other:?} in a map"),
                    }
                }
                Action::MarkBits { mask, value } => {
                    packet.mark = packet.mark & !mask | value;
                    continue;
                }
                Action::Log { .. } | Action::Continue => continue,
                other => panic!("{other} in a filter"),
            };
            return verdict;
        }
        Verdict::Ended
    }

    fn gone(&self, name: &str, packet: &mut Packet) -> Verdict {
        self.walk(self.chains[name], packet)
    }

    fn holds(&self, condition: &Match, packet: &Packet) -> bool {
        let family = Family::of(packet.source);
        match condition {
            Match::Family(wanted) => *wanted == family,
            Match::ProtocolNumber { number, not } => (*number == packet.protocol) != *not,
            Match::InInterface(wanted) | Match::OutInterface(wanted) => {
                let link = match condition {
                    Match::InInterface(_) => &packet.input,
                    _ => &packet.output,
                };
                let same = match wanted.prefix {
                    true => link.starts_with(&wanted.name),
                    false => *link == wanted.name,
                };
                same != wanted.not
            }
            Match::Source(wanted) | Match::Destination(wanted) => {
                let address = match condition {
                    Match::Source(_) => packet.source,
                    _ => packet.destination,
                };
                let within = match &wanted.addresses {
                    Addresses::Net(net) => net.contains(&address),
                    Addresses::Set(set) => {
                        self.members[set.as_str()].iter().any(|(key, _)| match key {
                            [Datum::Ip(ip)] => *ip == address,
                            [Datum::Net(net)] => net.contains(&address),
                            other => panic!("{other:?} among addresses"),
                        })
                    }
                };
                wanted.family == family && within != wanted.not
            }
            Match::InSet { fields, set, not } => {
                let of_family = |field: &PacketField| match field {
                    PacketField::Source(of) | PacketField::Destination(of) => *of == family,
                    PacketField::SourcePort | PacketField::DestinationPort => {
                        packet.ports.is_some()
                    }
                    _ => true,
                };
                if !fields.iter().all(of_family) {
                    return false;
                }
                let key: Vec<Datum> = fields.iter().map(|field| packet.field(*field)).collect();
                self.members[set.as_str()].0.contains_key(&key) != *not
            }
            Match::Ports { side, ports, not } => {
                packet.ports.is_some_and(|(source, destination)| {
                    let port = match side {
                        Side::Source => source,
                        Side::Destination => destination,
                    };
                    let among = |first: u16, last: u16| (first..=last).contains(&port);
                    let found = match ports {
                        PortSet::Range(first, last) => among(*first, *last),
                        PortSet::Set(set) => {
                            self.members[set.as_str()].iter().any(|(key, _)| match key {
                                [Datum::PortRange(first, last)] => among(*first, *last),
                                other => panic!("{other:?} among ports"),
                            })
                        }
                    };
                    found != *not
                })
            }
            Match::Icmp {
                icmp_type,
                code,
                not,
                ..
            } => packet.icmp.is_some_and(|(kind, number)| {
                (kind == *icmp_type && code.is_none_or(|code| code == number)) != *not
            }),
            Match::MarkBits { mask, value } => packet.mark & mask == *value,
            // It is the first packet of a connection, and of none that was cut.
            Match::ConnectionState(_) | Match::ConnectionMark { .. } => false,
            Match::Limit { .. } => true,
            other => panic!("{other} in a filter"),
        }
    }
}

impl Packet {
    fn field(&self, field: PacketField) -> Datum {
        let interface = |name: &str| Datum::Interface(name.parse().unwrap());
        match field {
            PacketField::Source(_) => Datum::Ip(self.source),
            PacketField::Destination(_) => Datum::Ip(self.destination),
            PacketField::InInterface => interface(&self.input),
            PacketField::OutInterface => interface(&self.output),
            PacketField::Protocol => Datum::protocol(self.protocol),
            PacketField::SourcePort => Datum::Port(self.ports.unwrap().0),
            PacketField::DestinationPort => Datum::Port(self.ports.unwrap().1),
            other => panic!("{other} in a filter"),
        }
    }
}

/// Everybody, with the interface by which the host reaches him.
fn parties(world: &World) -> Vec<(IpAddr, String)> {
    let endpoints = world
        .endpoints
        .iter()
        .flat_map(|((namespace, name), endpoint)| {
            let link = naming::host_end(namespace, name).to_string();
            endpoint
                .spec
                .addresses
                .iter()
                .map(move |address| (*address, link.clone()))
        });
    let outside = OUTSIDE
        .iter()
        .map(|address| (address.parse().unwrap(), "eth0".to_owned()));
    endpoints.chain(outside).collect()
}

fn check(text: &str) {
    let world = parse::world("world.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let planned = plan(&world, &Name::new("n").unwrap()).unwrap();
    assert!(planned.problems.is_empty(), "{:?}", planned.problems);
    let filters = Filters::of(&planned);
    let evaluator = Evaluator::new(&world);
    let parties = parties(&world);
    for (source, input) in &parties {
        for (destination, output) in &parties {
            let family = Family::of(*source);
            if family != Family::of(*destination) || input == output {
                continue;
            }
            let icmp = match family {
                Family::V4 => (ProtocolMatch::ICMP, None, Some((8, 0))),
                Family::V6 => (ProtocolMatch::ICMPV6, None, Some((128, 0))),
            };
            let probes = [
                (ProtocolMatch::TCP, Some((40_000, 80)), None),
                (ProtocolMatch::TCP, Some((40_000, 81)), None),
                (ProtocolMatch::UDP, Some((7, 80)), None),
                (ProtocolMatch(50), None, None),
                icmp,
            ];
            for (protocol, ports, icmp) in probes {
                let packet = Packet {
                    input: input.clone(),
                    output: output.clone(),
                    source: *source,
                    destination: *destination,
                    protocol: protocol.0,
                    ports,
                    icmp,
                    mark: 0,
                };
                let flow = Flow {
                    source_port: ports.map(|(source, _)| source),
                    destination_port: ports.map(|(_, destination)| destination),
                    icmp,
                    ..Flow::of(
                        Party::address(*source),
                        Party::address(*destination),
                        protocol,
                    )
                };
                let said = evaluator.allows(&flow);
                assert_eq!(
                    filters.lets_through(&packet),
                    said,
                    "{packet:?}\n{}\n{text}\n{planned}",
                    evaluator.verdict(&flow)
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn filters_do_what_the_evaluator_says(text in text()) {
        check(&text);
    }
}

//! Random desired states: each is reached from the one before it, whatever that was and whatever
//! somebody broke in between, and nothing is left to do then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tombolo_model::{Family, MacAddr, Mtu, Protocol, Vni};
use tombolo_plan::objects::{
    Action, BridgePort, Chain, Datum, Field, Link, LinkKind, Members, NextHop, NftName, NftSet,
    PacketField, Route, RoutingRule, Rule, Stations,
};
use tombolo_plan::{HostPlan, Key, Object, Place};

use crate::testing::{Host, link, name, pair, plan};

/// What a plan may hold, by number; each stands for itself and what it needs.
type Choice = BTreeMap<u8, u8>;

fn choice() -> impl Strategy<Value = Choice> {
    prop::collection::btree_map(0u8..72, any::<u8>(), 0..20)
}

fn wanted(choice: &Choice, sandbox: &str) -> HostPlan {
    let mut objects: BTreeMap<Place, Object> = BTreeMap::new();
    for (which, how) in choice {
        objects.extend(piece(*which, *how, sandbox));
    }
    plan(objects)
}

fn piece(which: u8, how: u8, sandbox: &str) -> Vec<(Place, Object)> {
    let host = |key, object| vec![(Place::host(key), object)];
    let number = which % 4;
    match which / 4 {
        0 => bridge(number, how),
        1 => port(number, how, sandbox),
        2 => vxlan(number, how),
        3 => blackhole(&format!("10.{number}.0.0/{}", 16 + how % 8), how),
        4 => blackhole(&format!("fd00:{number}::/{}", 32 + how % 8), how),
        5 => prefix(&format!("10.{}.0.0/{}", number * (how % 3), 8 + how % 9)),
        6 => {
            let rule = RoutingRule {
                from: None,
                to: Some("10.0.0.0/8".parse().unwrap()),
                mark: None,
                table: u32::from(how) + 300,
            };
            let family = Family::V4;
            let priority = 100 + u32::from(number);
            host(
                Key::RoutingRule { family, priority },
                Object::RoutingRule(rule),
            )
        }
        7 => {
            let action = if how.is_multiple_of(2) {
                Action::Accept
            } else {
                Action::Drop
            };
            let rules = vec![Rule::new([], action); usize::from(how % 3)];
            let chain = Chain { hook: None, rules };
            host(
                Key::NftChain(format!("c{number}").into()),
                Object::NftChain(chain),
            )
        }
        8 => host(
            Key::Sysctl("net/ipv4/ip_forward".into()),
            Object::Sysctl((how % 2).to_string()),
        ),
        10 => inside(number, how, sandbox),
        11 => ports(how, number),
        12 => rule6(number, how),
        13 => address6(number, how),
        14 => crowd(number, how),
        15 => port_ranges(how),
        16 => verdicts(number, how),
        17 => table_inside(how, sandbox),
        _ => {
            let key = Key::Address {
                link: name(&format!("tbb{number}")),
                net: format!("10.2{number}.0.{}/24", how % 3 + 1)
                    .parse()
                    .unwrap(),
            };
            let mut objects = bridge(number, 0);
            objects.push((Place::host(key), Object::Address));
            objects
        }
    }
}

/// What a sandbox holds besides its end: a route by a neighbour, and a setting of its own.
fn inside(number: u8, how: u8, sandbox: &str) -> Vec<(Place, Object)> {
    let mut objects = pair("tbv0", sandbox);
    let gateway = format!("169.254.1.{}", how % 3 + 1).parse().unwrap();
    let (link, mac) = (name("eth0"), MacAddr([2, 0, 0, 0, 7, how]));
    let next = NextHop::Via {
        gateway,
        link: link.clone(),
        onlink: true,
    };
    let route = Route {
        next,
        source: None,
        mtu: None,
    };
    let dst = format!("10.{}.0.0/16", 100 + number).parse().unwrap();
    let (table, metric) = (254, 0);
    let neighbour = Key::Neighbour {
        link: link.clone(),
        address: gateway,
    };
    let setting = Key::Sysctl("net/ipv4/ip_forward".into());
    // Without any address the kernel takes no gateway at all.
    let address = Key::Address {
        link: link.clone(),
        net: "10.244.0.9/32".parse().unwrap(),
    };
    for (key, object) in [
        (address, Object::Address),
        (neighbour, Object::Neighbour(mac)),
        (Key::Route { table, dst, metric }, Object::Route(route)),
        (setting, Object::Sysctl((how % 2).to_string())),
    ] {
        objects.push((Place::sandbox(sandbox, key), object));
    }
    objects
}

/// A set of addresses that is told all at once, in either table.
fn crowd(number: u8, how: u8) -> Vec<(Place, Object)> {
    let name = if number < 2 {
        NftName::inet("crowd")
    } else {
        NftName::bridge("crowd")
    };
    let address = |last: u8| Datum::Ip(Ipv4Addr::new(10, 244, 0, last).into());
    let members = (how % 5..how % 11).map(|last| vec![address(last)]);
    let set = NftSet {
        key: vec![Field::Ipv4],
        data: Vec::new(),
        interval: false,
    };
    whole(name, set, Members::of_set(members))
}

/// Ranges of ports that may overlap and touch.
fn port_ranges(how: u8) -> Vec<(Place, Object)> {
    let from = u16::from(how) * 250;
    let ranges = [
        (from, from + 500),
        (from + 300, from + 700),
        (from + 701, 65535),
    ];
    let ranges = ranges.into_iter().take(usize::from(how % 4));
    let set = NftSet {
        key: vec![Field::Port],
        data: Vec::new(),
        interval: true,
    };
    let members = ranges.map(|(first, last)| vec![Datum::PortRange(first, last)]);
    whole(NftName::inet("ranges"), set, Members::of_set(members))
}

/// A chain that goes on by a map of verdicts, in chains that are there for some elements only.
fn verdicts(number: u8, how: u8) -> Vec<(Place, Object)> {
    let to = |end: u8| format!("v{}", end % 3);
    let (first, second) = (to(how), to(how / 3));
    let set = NftSet {
        key: vec![Field::Protocol],
        data: vec![Field::Verdict],
        interval: false,
    };
    let members = [
        (vec![Datum::protocol(6)], vec![Datum::Goto(first.clone())]),
        (vec![Datum::protocol(47)], vec![Datum::Jump(second.clone())]),
    ];
    let name = NftName::inet("verdicts");
    let mut objects = whole(name, set, members.into_iter().collect());
    let dispatch = Action::Dispatch {
        fields: vec![PacketField::Protocol],
        map: "verdicts".into(),
    };
    let end = if number == 0 {
        Action::Drop
    } else {
        Action::Accept
    };
    for (name, action) in [
        ("dispatch", dispatch),
        (&first, end.clone()),
        (&second, end),
    ] {
        let chain = Chain {
            hook: None,
            rules: vec![Rule::new([], action).counted()],
        };
        let key = Key::NftChain(NftName::inet(name));
        objects.push((Place::host(key), Object::NftChain(chain)));
    }
    objects
}

/// Chains of our tables in a sandbox.
fn table_inside(how: u8, sandbox: &str) -> Vec<(Place, Object)> {
    let mut objects = pair("tbv0", sandbox);
    for name in [NftName::inet("inside"), NftName::bridge("inside")] {
        let chain = Chain {
            hook: None,
            rules: vec![Rule::new([], Action::Accept); usize::from(how % 3)],
        };
        let place = Place::sandbox(sandbox, Key::NftChain(name));
        objects.push((place, Object::NftChain(chain)));
    }
    objects
}

fn whole(name: NftName, set: NftSet, members: Members) -> Vec<(Place, Object)> {
    vec![
        (Place::host(Key::NftSet(name.clone())), Object::NftSet(set)),
        (
            Place::host(Key::NftMembers(name)),
            Object::NftMembers(members),
        ),
    ]
}

/// A map from protocol and port to address and port, with one element.
fn ports(how: u8, number: u8) -> Vec<(Place, Object)> {
    let set = NftSet {
        key: vec![Field::Protocol, Field::Port],
        data: vec![Field::Ipv4, Field::Port],
        interval: false,
    };
    let key = Key::NftElement {
        set: "ports".into(),
        key: vec![
            Datum::Protocol(Protocol::Tcp),
            Datum::Port(8000 + u16::from(number)),
        ],
    };
    let target = format!("10.244.0.{}", how % 3 + 1).parse().unwrap();
    let data = vec![Datum::Ip(target), Datum::Port(80 + u16::from(how % 2))];
    vec![
        (
            Place::host(Key::NftSet("ports".into())),
            Object::NftSet(set),
        ),
        (Place::host(key), Object::NftElement(data)),
    ]
}

fn rule6(number: u8, how: u8) -> Vec<(Place, Object)> {
    let rule = RoutingRule {
        from: Some("fd00::/8".parse().unwrap()),
        to: None,
        mark: how
            .is_multiple_of(2)
            .then_some((u32::from(how) + 1, 0xffff)),
        table: u32::from(how) + 300,
    };
    let (family, priority) = (Family::V6, 200 + u32::from(number));
    vec![(
        Place::host(Key::RoutingRule { family, priority }),
        Object::RoutingRule(rule),
    )]
}

fn address6(number: u8, how: u8) -> Vec<(Place, Object)> {
    let key = Key::Address {
        link: name(&format!("tbb{number}")),
        net: format!("fd00:{number}::{}/64", how % 3 + 1)
            .parse()
            .unwrap(),
    };
    let mut objects = bridge(number, 0);
    objects.push((Place::host(key), Object::Address));
    objects
}

fn bridge(number: u8, how: u8) -> Vec<(Place, Object)> {
    let mac = (how % 2 == 1).then_some(MacAddr([2, 0, 0, 0, how, number]));
    let bridge = Link {
        mac,
        ..link(LinkKind::Bridge)
    };
    vec![(
        Place::host(Key::Link(name(&format!("tbb{number}")))),
        Object::Link(bridge),
    )]
}

fn port(number: u8, how: u8, sandbox: &str) -> Vec<(Place, Object)> {
    if number > 0 {
        return Vec::new();
    }
    let mut objects = pair("tbv0", sandbox);
    if !how.is_multiple_of(3) {
        end_as_port(&mut objects, how);
        objects.extend(bridge(0, 0));
    }
    let net = format!("10.244.0.{}/32", how % 5 + 1).parse().unwrap();
    let address = Key::Address {
        link: name("eth0"),
        net,
    };
    objects.push((Place::sandbox(sandbox, address), Object::Address));
    objects
}

fn end_as_port(objects: &mut [(Place, Object)], how: u8) {
    if let Object::Link(end) = &mut objects[0].1 {
        let bridge = name("tbb0");
        end.port = Some(BridgePort {
            bridge,
            hairpin: how.is_multiple_of(2),
            isolated: how % 4 < 2,
            stations: Stations::Learned,
        });
    }
}

fn vxlan(number: u8, how: u8) -> Vec<(Place, Object)> {
    let device = name(&format!("tbx{number}"));
    let kind = LinkKind::Vxlan {
        vni: Vni::new(u64::from(number) + 1).unwrap(),
        port: 4789 + u16::from(how % 2),
        local: "192.0.2.1".parse().unwrap(),
        parent: name("under"),
    };
    let mtu = Some(Mtu::new(1400 + u64::from(how % 3)).unwrap());
    let mac = MacAddr([2, 0, 0, 0, 9, how]);
    let remote = format!("192.0.2.{}", how % 4 + 2).parse().unwrap();
    let gateway = format!("10.250.{number}.0").parse().unwrap();
    let next = NextHop::Via {
        gateway,
        link: device.clone(),
        onlink: true,
    };
    let route = Route {
        next,
        source: None,
        mtu: how.is_multiple_of(2).then_some(1300),
    };
    let dst = format!("10.250.{number}.0/26").parse().unwrap();
    let objects = [
        (
            Key::Link(device.clone()),
            Object::Link(Link { mtu, ..link(kind) }),
        ),
        (
            Key::Fdb {
                link: device.clone(),
                mac,
                remote: None,
            },
            Object::Fdb(remote),
        ),
        (
            Key::Neighbour {
                link: device,
                address: gateway,
            },
            Object::Neighbour(mac),
        ),
        (
            Key::Route {
                table: 254,
                dst,
                metric: u32::from(how % 3),
            },
            Object::Route(route),
        ),
    ];
    objects
        .map(|(key, object)| (Place::host(key), object))
        .to_vec()
}

fn blackhole(dst: &str, how: u8) -> Vec<(Place, Object)> {
    let dst: ipnet::IpNet = dst.parse().unwrap();
    let key = Key::Route {
        table: 254 + u32::from(how % 2) * 100,
        dst: dst.trunc(),
        metric: 0,
    };
    let route = Route {
        next: NextHop::Blackhole,
        source: None,
        mtu: None,
    };
    vec![(Place::host(key), Object::Route(route))]
}

fn prefix(net: &str) -> Vec<(Place, Object)> {
    let net: ipnet::IpNet = net.parse().unwrap();
    let key = vec![Datum::Net(net.trunc())];
    let set = NftSet {
        key: vec![Field::Ipv4],
        data: Vec::new(),
        interval: true,
    };
    vec![
        (
            Place::host(Key::NftSet("pools".into())),
            Object::NftSet(set),
        ),
        (
            Place::host(Key::NftElement {
                set: "pools".into(),
                key,
            }),
            Object::NftElement(Vec::new()),
        ),
    ]
}

/// What somebody else may do to a host, for every kind of object: taken away, changed, or put
/// beside. Each may find nothing to break. `inside` runs a command in the sandbox.
const DAMAGE: [&str; 34] = [
    "ip link del tbb0",
    "ip link del tbx0",
    "ip link del tbv0",
    "ip link set tbv0 nomaster",
    "ip link set tbv0 down",
    "ip link set tbv0 mtu 1300",
    "ip link set tbv0 address 02:00:00:00:00:99",
    "bridge link set dev tbv0 isolated off hairpin off",
    "ip link set tbx0 down mtu 1300",
    "ip link add tbb0 type dummy || ip link add tbb1 type dummy",
    "ip addr flush dev tbb0",
    "ip addr add 10.99.0.1/24 dev tbb0",
    "ip route flush proto 84",
    "ip -6 route flush proto 84",
    "ip route flush table 354",
    "ip route add blackhole 10.99.0.0/16 proto 84",
    "ip rule del priority 100; ip -6 rule del priority 200",
    "ip rule add priority 101 to 10.0.0.0/8 table 299 proto 84",
    "ip neigh flush nud permanent",
    "bridge fdb show dev tbx0 | while read mac rest; do bridge fdb del $mac dev tbx0; done",
    "nft delete table inet tombolo",
    "nft flush ruleset",
    "nft add element inet tombolo pools '{ 200.0.0.0/8 }'",
    "nft flush set inet tombolo pools; nft flush map inet tombolo ports",
    "nft flush chain inet tombolo c0; nft add rule inet tombolo c1 accept",
    "nft add chain inet tombolo foreign",
    "nft delete table bridge tombolo; nft add element inet tombolo crowd '{ 10.244.0.77 }'",
    "nft flush set inet tombolo crowd; nft delete element inet tombolo crowd '{ 10.244.0.5 }'",
    "nft add element inet tombolo ranges '{ 1-2 }'; nft flush map inet tombolo verdicts",
    "nft delete element inet tombolo verdicts '{ tcp }'; nft flush chain inet tombolo dispatch",
    "inside nft flush ruleset; inside nft add chain inet tombolo more",
    "echo 1 > /proc/sys/net/ipv4/ip_forward; inside sysctl -qw net.ipv4.ip_forward=1",
    "inside ip link set eth0 down; inside ip addr flush dev eth0",
    "inside ip route flush table main; inside ip neigh flush nud permanent",
];

#[test]
fn any_state_is_reached_from_any_other() {
    let steps = prop::collection::vec((choice(), 0..DAMAGE.len()), 1..4);
    let mut runner = TestRunner::new(Config {
        cases: 48,
        ..Config::default()
    });
    runner
        .run(&steps, |steps| {
            let mut host = Host::new();
            let path = host.path();
            host.run("ip link set lo up; ip link add under type bridge; ip link set under up");
            host.run("ip addr add 192.0.2.1/24 dev under");
            for (choice, damage) in steps {
                let plan = wanted(&choice, &path);
                host.converge(&plan);
                host.run(&format!(
                    "inside() {{ nsenter --net={path} \"$@\"; }}; {{ {}; }} 2>/dev/null || true",
                    DAMAGE[damage]
                ));
                host.converge(&plan);
            }
            host.converge(&HostPlan::default());
            assert_eq!(
                host.run("nft list ruleset; ip route show table all proto 84"),
                ""
            );
            Ok(())
        })
        .unwrap();
}

#[test]
fn ten_thousand_routes_are_made_and_read_among_a_thousand_links() {
    let mut host = Host::new();
    let mut objects: Vec<(Place, Object)> = Vec::new();
    host.run("ip link set lo up");
    for n in 0..10_000u32 {
        let dst = format!("10.{}.{}.0/26", n / 256, n % 256);
        objects.extend(blackhole(&dst, 0));
    }
    let plan = plan(objects);
    host.converge(&plan);
    host.run(
        "for n in $(seq 500); do echo link add tbz$n type veth peer name tby$n; done | ip -batch -",
    );
    assert!(host.observe(&plan).len() >= 11_000);
}

mod members;
mod rules;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tombolo_model::{Family, Protocol};
use tombolo_plan::objects::{
    Action, AddressMatch, Addresses, Chain, ChainType, Datum, Field, Hook, HookPoint,
    InterfaceMatch, Match, NextHop, NftSet, PacketField, Policy, Route, Rule,
};
use tombolo_plan::{HostPlan, Key, Object, Place, diff};

use crate::NetnsHandle;
use crate::testing::{Host, address, name, pair, path, plan, run};

fn set(name: &str, key: &[Field], data: &[Field], interval: bool) -> (Place, Object) {
    let set = NftSet {
        key: key.to_vec(),
        data: data.to_vec(),
        interval,
    };
    (Place::host(Key::NftSet(name.into())), Object::NftSet(set))
}

fn element(set: &str, key: &[Datum], data: &[Datum]) -> (Place, Object) {
    let key = Key::NftElement {
        set: set.into(),
        key: key.to_vec(),
    };
    (Place::host(key), Object::NftElement(data.to_vec()))
}

fn net(text: &str) -> Datum {
    Datum::Net(text.parse().unwrap())
}

fn ip(text: &str) -> Datum {
    Datum::Ip(text.parse().unwrap())
}

fn chain(name: &str, chain_type: ChainType, point: HookPoint, rules: Vec<Rule>) -> (Place, Object) {
    let hook = Some(Hook {
        chain_type,
        point,
        priority: -100,
        policy: Policy::Accept,
    });
    (
        Place::host(Key::NftChain(name.into())),
        Object::NftChain(Chain { hook, rules }),
    )
}

fn rule(matches: Vec<Match>, action: Action) -> Rule {
    Rule::new(matches, action)
}

fn in_set(family: Family, set: &str, not: bool) -> AddressMatch {
    AddressMatch {
        family,
        addresses: Addresses::Set(set.into()),
        not,
    }
}

/// Translation of published ports, and of what leaves the pools, for both families.
fn translation(family: Family, backend: &str) -> Vec<(Place, Object)> {
    let word = if family == Family::V4 { "4" } else { "6" };
    let map = format!("ports{word}");
    let pools = format!("pools{word}");
    let field = Field::address(family);
    let fields = vec![PacketField::Protocol, PacketField::DestinationPort];
    let publish = Action::TranslateDestination {
        family,
        fields,
        map: map.clone(),
    };
    let mine = InterfaceMatch {
        name: "tbv".into(),
        prefix: true,
        not: true,
    };
    let masquerade = vec![
        Match::Source(in_set(family, &pools, false)),
        Match::Destination(in_set(family, &pools, true)),
        Match::OutInterface(mine),
    ];
    let hairpin = vec![Match::Family(family), Match::DestinationTranslated];
    let before = vec![rule(vec![Match::LocalDestination], publish)];
    vec![
        set(
            &map,
            &[Field::Protocol, Field::Port],
            &[field, Field::Port],
            false,
        ),
        element(
            &map,
            &[Datum::Protocol(Protocol::Tcp), Datum::Port(8080)],
            &[ip(backend), Datum::Port(80)],
        ),
        set(&pools, &[field], &[], true),
        chain(
            &format!("pre{word}"),
            ChainType::Nat,
            HookPoint::Prerouting,
            before.clone(),
        ),
        chain(
            &format!("out{word}"),
            ChainType::Nat,
            HookPoint::Output,
            before,
        ),
        chain(
            &format!("post{word}"),
            ChainType::Nat,
            HookPoint::Postrouting,
            vec![
                rule(masquerade, Action::Masquerade),
                rule(hairpin, Action::Masquerade),
            ],
        ),
    ]
}

fn everything() -> Vec<(Place, Object)> {
    let mut objects = translation(Family::V4, "10.244.0.2");
    objects.extend(translation(Family::V6, "fd00::2"));
    for prefix in ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8", "192.0.2.0/24"] {
        objects.push(element("pools4", &[net(prefix)], &[]));
    }
    objects.push(element("pools6", &[net("fd00::/8")], &[]));
    let services = [Field::Ipv4, Field::Protocol, Field::Port];
    objects.push(set("services", &services, &[], false));
    let service = [
        ip("10.96.0.1"),
        Datum::Protocol(Protocol::Udp),
        Datum::Port(53),
    ];
    objects.push(element("services", &service, &[]));
    objects.push(set("links", &[Field::Interface], &[], false));
    objects.push(element(
        "links",
        &[Datum::Interface("eth0".parse().unwrap())],
        &[],
    ));
    let jumped = Chain {
        hook: None,
        rules: vec![rule(vec![], Action::Drop)],
    };
    objects.push((
        Place::host(Key::NftChain("denied".into())),
        Object::NftChain(jumped),
    ));
    let net = AddressMatch {
        family: Family::V4,
        addresses: Addresses::Net("10.64.0.0/10".parse().unwrap()),
        not: false,
    };
    let fields = vec![
        PacketField::Destination(Family::V4),
        PacketField::Protocol,
        PacketField::DestinationPort,
    ];
    let lo = InterfaceMatch {
        name: "lo".into(),
        prefix: false,
        not: false,
    };
    let rules = vec![
        rule(vec![Match::Source(net)], Action::Jump("denied".into())),
        rule(
            vec![Match::InSet {
                fields,
                set: "services".into(),
                not: false,
            }],
            Action::Accept,
        ),
        rule(
            vec![
                Match::InInterface(lo),
                Match::Protocol(Protocol::Tcp),
                Match::DestinationPort(22),
            ],
            Action::Return,
        ),
    ];
    objects.push(chain(
        "forward",
        ChainType::Filter,
        HookPoint::Forward,
        rules,
    ));
    objects
}

#[test]
fn nft_lists_what_the_plan_wants() {
    let mut host = Host::new();
    host.converge(&plan(everything()));
    let listed = host.run("nft list ruleset");
    for part in [
        "elements = { 10.0.0.0/7, 192.0.2.0/24 }",
        "elements = { fd00::/8 }",
        "tcp . 8080 : 10.244.0.2 . 80",
        "tcp . 8080 : fd00::2 . 80",
        "10.96.0.1 . udp . 53",
        "\"eth0\"",
        "type nat hook prerouting priority dstnat; policy accept;",
        "fib daddr type local",
        "masquerade",
        "oifname != \"tbv*\"",
        "ct status dnat",
        "ip saddr 10.64.0.0/10 jump denied",
        "ip daddr . meta l4proto . th dport @services accept",
        "iifname \"lo\" tcp dport 22 return",
    ] {
        assert!(listed.contains(part), "{part}\n{listed}");
    }
    host.converge(&HostPlan::default());
    assert_eq!(host.run("nft list ruleset"), "");
}

#[test]
fn damage_is_repaired() {
    let mut host = Host::new();
    let plan = plan(everything());
    host.run("nft add table inet other; nft add chain inet other c");
    host.converge(&plan);
    for damage in [
        "nft delete table inet tombolo",
        "nft flush chain inet tombolo forward",
        "nft insert rule inet tombolo forward counter",
        "nft add rule inet tombolo denied accept",
        "nft add chain inet tombolo more",
        "nft flush set inet tombolo pools4",
        "nft add element inet tombolo pools4 '{ 172.16.0.0/12 }'",
        "nft delete element inet tombolo pools4 '{ 192.0.2.0/24 }'",
        "nft flush map inet tombolo ports4",
        "nft add element inet tombolo ports4 '{ udp . 9 : 10.9.9.9 . 9 }'",
        "nft add set inet tombolo more '{ type ether_addr; }'",
        "nft flush map inet tombolo ports4; \
         nft add element inet tombolo ports4 '{ tcp . 8080 : 10.9.9.9 . 9 }'",
        "nft add chain inet tombolo forward '{ policy drop; }'",
    ] {
        host.run(damage);
        assert!(!diff(&plan, &host.observe(&plan)).is_empty(), "{damage}");
        host.converge(&plan);
    }
    assert!(host.run("nft list ruleset").contains("table inet other"));
}

#[test]
fn prefixes_come_and_go_whatever_they_overlap() {
    let mut host = Host::new();
    let mut with = |prefixes: &[&str]| {
        let mut objects = vec![set("pools", &[Field::Ipv4], &[], true)];
        objects.extend(
            prefixes
                .iter()
                .map(|prefix| element("pools", &[net(prefix)], &[])),
        );
        host.converge(&plan(objects));
        host.run("nft list set inet tombolo pools")
    };
    with(&["10.0.0.0/8", "10.1.0.0/16"]);
    assert!(with(&["10.1.0.0/16"]).contains("{ 10.1.0.0/16 }"));
    assert!(with(&["10.1.0.0/16", "10.1.2.0/24"]).contains("{ 10.1.0.0/16 }"));
    assert!(with(&["0.0.0.0/0"]).contains("0.0.0.0/0"));
    with(&["0.0.0.0/1", "128.0.0.0/1"]);
    assert!(with(&["255.255.255.255/32"]).contains("255.255.255.255"));
    assert!(!with(&[]).contains("elements"));
}

#[test]
fn a_set_in_use_changes_its_type() {
    let mut host = Host::new();
    let with = |interval, key: Datum| {
        let rules = vec![rule(
            vec![Match::Source(in_set(Family::V4, "pools", false))],
            Action::Accept,
        )];
        plan([
            set("pools", &[Field::Ipv4], &[], interval),
            element("pools", &[key], &[]),
            chain("c", ChainType::Filter, HookPoint::Input, rules),
        ])
    };
    host.converge(&with(true, net("10.0.0.0/8")));
    host.converge(&with(false, ip("10.0.0.1")));
    host.converge(&with(true, net("10.0.0.0/8")));
}

#[test]
fn many_elements_go_at_once_and_one_refusal_stops_only_its_own() {
    let mut host = Host::new();
    let mut objects = vec![set("many", &[Field::Ipv4], &[], false)];
    let all = (0..50_000u32).map(|n| Datum::Ip(Ipv4Addr::from(0x0a00_0000 + n).into()));
    objects.extend(all.map(|key| element("many", &[key], &[])));
    host.converge(&plan(objects.clone()));
    objects.truncate(10);
    let rules = vec![rule(
        vec![Match::Source(in_set(Family::V4, "missing", false))],
        Action::Accept,
    )];
    objects.push(chain("c", ChainType::Filter, HookPoint::Input, rules));
    let result = host.kernel.converge(&plan(objects)).unwrap();
    assert_eq!(result.failed.len(), 1, "{:?}", result.failed);
    assert!(
        result.failed[0]
            .1
            .to_string()
            .starts_with("create nft chain c in host: ")
    );
    let listed = host.run("nft list set inet tombolo many");
    assert!(
        listed.contains("10.0.0.8") && !listed.contains("10.0.1.0"),
        "{listed}"
    );
}

/// Answers one connection with the address that it came from.
fn answer_once(netns: &NetnsHandle, at: SocketAddr) -> std::thread::JoinHandle<()> {
    let listener = netns.run(|| TcpListener::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        stream.write_all(from.ip().to_string().as_bytes()).unwrap();
    })
}

fn ask(netns: &NetnsHandle, at: SocketAddr) -> String {
    let limit = Duration::from_secs(5);
    let mut stream = netns
        .run(|| TcpStream::connect_timeout(&at, limit))
        .unwrap()
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A host between a client, on `up1`, and a container, on `tbv1`, for one family.
struct Between {
    host: Host,
    client: NetnsHandle,
}

impl Between {
    fn new(family: Family) -> Between {
        let mut host = Host::new();
        let client = NetnsHandle::create().unwrap();
        let (near, far, outside) = match family {
            Family::V4 => (
                "10.244.0.1/24",
                "10.244.0.2/24",
                ["192.0.2.1/24", "192.0.2.2/24"],
            ),
            Family::V6 => (
                "fd00::1/64",
                "fd00::2/64",
                ["2001:db8::1/64", "2001:db8::2/64"],
            ),
        };
        host.run(&format!(
            "ip link add up0 type veth peer name up1 netns {}",
            path(&client)
        ));
        host.run(&format!(
            "ip link set up0 up; ip addr add {} dev up0 nodad",
            outside[0]
        ));
        run(
            &client,
            &format!(
                "ip link set up1 up; ip addr add {} dev up1 nodad",
                outside[1]
            ),
        );
        let sandbox = host.path();
        let mut objects = translation(family, far.split('/').next().unwrap());
        objects.extend(pair("tbv1", &sandbox));
        let segment = |link: &str| {
            let dst: ipnet::IpNet = near.parse().unwrap();
            let key = Key::Route {
                table: 254,
                dst: dst.trunc(),
                metric: 0,
            };
            let next = NextHop::Link(name(link));
            (
                key,
                Object::Route(Route {
                    next,
                    source: None,
                    mtu: None,
                }),
            )
        };
        for (key, object) in [address("tbv1", near), segment("tbv1")] {
            objects.push((Place::host(key), object));
        }
        for (key, object) in [address("eth0", far), segment("eth0")] {
            objects.push((Place::sandbox(&sandbox, key), object));
        }
        let word = if family == Family::V4 { "4" } else { "6" };
        let pool = if family == Family::V4 {
            "10.244.0.0/16"
        } else {
            "fd00::/8"
        };
        objects.push(element(&format!("pools{word}"), &[net(pool)], &[]));
        for setting in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            objects.push((
                Place::host(Key::Sysctl(setting.into())),
                Object::Sysctl("1".into()),
            ));
        }
        host.converge(&plan(objects));
        let default = near.split('/').next().unwrap();
        run(
            &host.sandbox,
            &format!("ip route add default via {default}"),
        );
        Between { host, client }
    }
}

#[test]
fn published_ports_masquerade_and_hairpin_carry_traffic() {
    for (family, host, client, container) in [
        (Family::V4, "192.0.2.1", "192.0.2.2", "10.244.0.2"),
        (Family::V6, "2001:db8::1", "2001:db8::2", "fd00::2"),
    ] {
        let between = Between::new(family);
        let at = |address: &str, port| SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
        let gateway = if family == Family::V4 {
            "10.244.0.1"
        } else {
            "fd00::1"
        };
        let published = at(host, 8080);
        // From outside, through the published port; from the host itself; from the container to
        // itself, which only works if the way back leads over the host.
        for (from, seen) in [
            (&between.client, gateway),
            (&between.host.netns, gateway),
            (&between.host.sandbox, gateway),
        ] {
            let server = answer_once(&between.host.sandbox, at(container, 80));
            assert_eq!(ask(from, published), seen, "{family}");
            server.join().unwrap();
        }
        // From the container outwards, as the host.
        let server = answer_once(&between.client, at(client, 90));
        assert_eq!(ask(&between.host.sandbox, at(client, 90)), host, "{family}");
        server.join().unwrap();
    }
}

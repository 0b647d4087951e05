//! Every condition and action, as `nft` reads it out of the kernel.

use tombolo_model::Family;
use tombolo_plan::objects::{
    Action, AddressMatch, Addresses, Chain, ChainType, ConnState, Datum, Field, Hook, HookPoint,
    InterfaceMatch, Match, NftName, NftSet, PacketField, Policy, PortSet, Rule, Side, Table,
};
use tombolo_plan::{HostPlan, Key, Object, Place};

use crate::testing::{Host, plan};

fn set(name: NftName, key: &[Field], data: &[Field], interval: bool) -> (Place, Object) {
    let set = NftSet {
        key: key.to_vec(),
        data: data.to_vec(),
        interval,
    };
    (Place::host(Key::NftSet(name)), Object::NftSet(set))
}

fn filter(name: NftName, point: HookPoint, rules: Vec<Rule>) -> (Place, Object) {
    let hook = Some(Hook {
        chain_type: ChainType::Filter,
        point,
        priority: -300,
        policy: Policy::Accept,
    });
    let chain = Chain { hook, rules };
    (Place::host(Key::NftChain(name)), Object::NftChain(chain))
}

fn element(set: NftName, key: Vec<Datum>, data: Vec<Datum>) -> (Place, Object) {
    let key = Key::NftElement { set, key };
    (Place::host(key), Object::NftElement(data))
}

fn regular(name: NftName, rules: Vec<Rule>) -> (Place, Object) {
    let chain = Chain { hook: None, rules };
    (Place::host(Key::NftChain(name)), Object::NftChain(chain))
}

fn ports(side: Side, ports: PortSet, not: bool) -> Match {
    Match::Ports { side, ports, not }
}

fn icmp(family: Family, icmp_type: u8, code: Option<u8>, not: bool) -> Match {
    Match::Icmp {
        family,
        icmp_type,
        code,
        not,
    }
}

fn source(net: &str, not: bool) -> Match {
    let net: ipnet::IpNet = net.parse().unwrap();
    Match::Source(AddressMatch {
        family: Family::of_net(net),
        addresses: Addresses::Net(net),
        not,
    })
}

/// Conditions, with what `nft` says of a rule that has them and accepts.
fn conditions() -> Vec<(Vec<Match>, &'static str)> {
    use ConnState::{Established, Invalid, New, Related};
    let proto = |number, not| Match::ProtocolNumber { number, not };
    let web = || PortSet::Set("web".into());
    vec![
        (
            vec![Match::ConnectionState(vec![Established, Related])],
            "ct state established,related accept",
        ),
        (
            vec![Match::ConnectionState(vec![New, Invalid])],
            "ct state invalid,new accept",
        ),
        (vec![proto(47, false)], "meta l4proto gre accept"),
        (vec![proto(47, true)], "meta l4proto != gre accept"),
        (
            vec![
                proto(6, false),
                ports(Side::Destination, PortSet::Range(80, 80), false),
            ],
            "tcp dport 80 accept",
        ),
        (
            vec![
                proto(17, false),
                ports(Side::Source, PortSet::Range(1, 1024), false),
            ],
            "udp sport 1-1024 accept",
        ),
        (
            vec![
                proto(6, false),
                ports(Side::Destination, PortSet::Range(5, 65535), true),
            ],
            "tcp dport != 5-65535 accept",
        ),
        (
            vec![
                proto(6, false),
                ports(Side::Destination, PortSet::Range(7, 7), true),
            ],
            "tcp dport != 7 accept",
        ),
        (
            vec![proto(6, false), ports(Side::Destination, web(), false)],
            "tcp dport @web accept",
        ),
        (
            vec![proto(6, false), ports(Side::Source, web(), true)],
            "tcp sport != @web accept",
        ),
        (
            vec![proto(1, false), icmp(Family::V4, 8, None, false)],
            "icmp type echo-request accept",
        ),
        (
            vec![proto(1, false), icmp(Family::V4, 3, Some(4), true)],
            // It is one comparison of two bytes, which `nft` prints as if it were two.
            "icmp type != destination-unreachable icmp code != frag-needed accept",
        ),
        (
            vec![proto(58, false), icmp(Family::V6, 128, None, true)],
            "icmpv6 type != echo-request accept",
        ),
        (
            vec![Match::Limit {
                per_second: 10,
                burst: 7,
            }],
            "limit rate 10/second burst 7 packets accept",
        ),
        (
            vec![Match::MarkBits {
                mask: 0xf000,
                value: 0x3000,
            }],
            "meta mark & 0x0000f000 == 0x00003000 accept",
        ),
        (
            vec![Match::InSet {
                fields: vec![PacketField::InInterface, PacketField::Source(Family::V6)],
                set: "own6".into(),
                not: true,
            }],
            "iifname . ip6 saddr != @own6 accept",
        ),
        (
            vec![Match::InSet {
                fields: vec![PacketField::OutInterface, PacketField::SourcePort],
                set: "out".into(),
                not: false,
            }],
            "oifname . th sport @out accept",
        ),
    ]
}

/// Actions, with what `nft` says of a rule that has them alone.
fn actions() -> Vec<(Action, &'static str)> {
    let dispatch = Action::Dispatch {
        fields: vec![PacketField::InInterface],
        map: "dispatch".into(),
    };
    vec![
        (dispatch, "iifname vmap @dispatch"),
        (Action::Goto("one".into()), "goto one"),
        (
            Action::Log {
                group: 9,
                prefix: "deny p1".into(),
            },
            "log prefix \"deny p1\" group 9",
        ),
        (
            Action::MarkBits {
                mask: 0xff00,
                value: 0x1200,
            },
            "meta mark set meta mark & 0xffff12ff | 0x00001200",
        ),
    ]
}

#[test]
fn nft_reads_every_condition_and_action() {
    let mut host = Host::new();
    let name = |text: &str| NftName::inet(text);
    let (conditions, actions) = (conditions(), actions());
    let mut rules: Vec<Rule> = conditions
        .iter()
        .map(|(matches, _)| Rule::new(matches.clone(), Action::Accept))
        .collect();
    rules.extend(
        actions
            .iter()
            .map(|(action, _)| Rule::new([], action.clone())),
    );
    rules.push(Rule::new([source("10.0.0.0/8", false)], Action::Continue).counted());
    let tcp = Match::ProtocolNumber {
        number: 6,
        not: false,
    };
    rules.push(Rule::new([tcp], Action::Reset));
    let end = |chain: &str| vec![Datum::Goto(chain.into())];
    let link = |link: &str| vec![Datum::Interface(link.parse().unwrap())];
    let wanted = plan([
        set(name("web"), &[Field::Port], &[], true),
        element(name("web"), vec![Datum::PortRange(80, 80)], vec![]),
        element(name("web"), vec![Datum::PortRange(8000, 8100)], vec![]),
        element(name("web"), vec![Datum::PortRange(60000, 65535)], vec![]),
        set(name("own6"), &[Field::Interface, Field::Ipv6], &[], false),
        set(name("out"), &[Field::Interface, Field::Port], &[], false),
        set(
            name("dispatch"),
            &[Field::Interface],
            &[Field::Verdict],
            false,
        ),
        set(name("macs"), &[Field::Mac, Field::EtherType], &[], false),
        set(
            name("numbers"),
            &[Field::Protocol],
            &[Field::Verdict],
            false,
        ),
        element(name("dispatch"), link("tbv1"), end("one")),
        element(
            name("dispatch"),
            link("tbv2"),
            vec![Datum::Jump("two".into())],
        ),
        element(
            name("macs"),
            vec![
                Datum::Mac("02:00:00:00:00:07".parse().unwrap()),
                Datum::EtherType(0x0806),
            ],
            vec![],
        ),
        element(name("numbers"), vec![Datum::protocol(47)], end("one")),
        regular(name("one"), vec![Rule::new([], Action::Drop).counted()]),
        regular(name("two"), vec![]),
        filter(name("forward"), HookPoint::Forward, rules),
    ]);
    host.converge(&wanted);
    let listed = host.run("nft list table inet tombolo");
    let more = [
        "elements = { 80, 8000-8100, 60000-65535 }",
        "\"tbv1\" : goto one",
        "\"tbv2\" : jump two",
        "02:00:00:00:00:07 . arp",
        "elements = { gre : goto one }",
        "counter packets 0 bytes 0 drop",
        "ip saddr 10.0.0.0/8 counter packets 0 bytes 0\n",
    ];
    let texts = conditions.iter().map(|(_, text)| *text);
    for text in texts
        .chain(actions.iter().map(|(_, text)| *text))
        .chain(more)
    {
        assert!(listed.contains(text), "{text}\n{listed}");
    }
    host.converge(&HostPlan::default());
    assert_eq!(host.run("nft list ruleset"), "");
}

#[test]
fn nft_reads_what_is_asked_of_frames() {
    let mut host = Host::new();
    let name = |text: &str| NftName::bridge(text);
    let in_set = |fields: &[PacketField], set: &str| Match::InSet {
        fields: fields.to_vec(),
        set: set.into(),
        not: true,
    };
    use PacketField::{ArpSource, ArpSourceMac, EtherSource, InInterface, NeighbourTarget};
    let arp = || Match::EtherType(0x0806);
    let drop = |matches: Vec<Match>| Rule::new(matches, Action::Drop);
    let advertised = Match::ProtocolNumber {
        number: 58,
        not: false,
    };
    let rules = vec![
        drop(vec![in_set(&[InInterface, EtherSource], "macs")]),
        drop(vec![arp(), in_set(&[InInterface, ArpSource], "own4")]),
        drop(vec![arp(), in_set(&[InInterface, ArpSourceMac], "macs")]),
        drop(vec![source("10.1.0.0/16", true)]),
        drop(vec![source("fd00::/64", true)]),
        drop(vec![
            Match::Family(Family::V6),
            advertised,
            icmp(Family::V6, 136, None, false),
            in_set(&[InInterface, NeighbourTarget], "own6"),
        ]),
        drop(vec![Match::InInterface(InterfaceMatch {
            name: "tbv".into(),
            prefix: true,
            not: false,
        })]),
    ];
    let wanted = plan([
        set(name("macs"), &[Field::Interface, Field::Mac], &[], false),
        set(name("own4"), &[Field::Interface, Field::Ipv4], &[], false),
        set(name("own6"), &[Field::Interface, Field::Ipv6], &[], false),
        filter(name("spoofed"), HookPoint::Prerouting, rules),
        // The other table has a chain of the same name.
        regular(NftName::inet("spoofed"), vec![]),
    ]);
    host.converge(&wanted);
    let listed = host.run("nft list table bridge tombolo");
    for text in [
        "type filter hook prerouting priority dstnat; policy accept;",
        "iifname . ether saddr != @macs drop",
        "iifname . arp saddr ip != @own4 drop",
        "iifname . arp saddr ether != @macs drop",
        "ip saddr != 10.1.0.0/16 drop",
        "ip6 saddr != fd00::/64 drop",
        "icmpv6 type nd-neighbor-advert",
        "iifname \"tbv*\" drop",
    ] {
        assert!(listed.contains(text), "{text}\n{listed}");
    }
    for damage in [
        "nft delete table bridge tombolo",
        "nft flush chain bridge tombolo spoofed",
        "nft add rule inet tombolo spoofed accept",
        "nft add set bridge tombolo more '{ type ether_addr; }'",
        "nft add element bridge tombolo macs '{ \"x\" . 02:00:00:00:00:01 }'",
    ] {
        host.run(damage);
        host.converge(&wanted);
    }
    let keys: Vec<Table> = [Table::Inet, Table::Bridge].into();
    let observed = host.observe(&wanted);
    for table in keys {
        let named = |place: &&Place| matches!(&place.key, Key::NftChain(n) if n.table == table);
        assert_eq!(observed.keys().filter(named).count(), 1);
    }
    host.converge(&HostPlan::default());
    assert_eq!(host.run("nft list ruleset"), "");
}

use super::*;
use crate::host_plan::Origin;
use crate::objects::{
    BridgePort, Datum, Field, Members, NextHop, NftSet, Route, Stations, VethPeer,
};
use tombolo_model::kinds::MacvlanMode;
use tombolo_model::{IfName, KindName, MacAddr, Mtu, Name, ResourceKey};

fn origin() -> Origin {
    let name = Name::new("n").unwrap();
    Origin {
        resource: ResourceKey {
            kind: KindName::Network,
            namespace: None,
            name,
        },
        rule: "t",
    }
}

fn plan(objects: Vec<(Place, Object)>) -> HostPlan {
    let objects = objects
        .into_iter()
        .map(|(p, object)| {
            (
                p,
                Planned {
                    object,
                    origin: origin(),
                },
            )
        })
        .collect();
    HostPlan {
        objects,
        ..HostPlan::default()
    }
}

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn veth() -> (Place, Object) {
    let peer = VethPeer {
        netns: Netns::Sandbox("/c".into()),
        name: name("eth0"),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        handed_over: false,
    };
    let link = Link {
        kind: LinkKind::Veth(peer),
        mtu: Some(Mtu::new(1450).unwrap()),
        mac: None,
        up: true,
        port: None,
    };
    (Place::host(Key::Link(name("tbv1"))), Object::Link(link))
}

fn end() -> (Place, Object) {
    let link = Link {
        kind: LinkKind::VethEnd,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    };
    (
        Place::sandbox("/c", Key::Link(name("eth0"))),
        Object::Link(link),
    )
}

fn route(dst: &str, next: NextHop) -> (Place, Object) {
    let key = Key::Route {
        table: 254,
        dst: dst.parse().unwrap(),
        metric: 0,
    };
    (
        Place::host(key),
        Object::Route(Route {
            next,
            source: None,
            mtu: None,
        }),
    )
}

fn text(ops: &[Op]) -> Vec<String> {
    ops.iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_that_is_met_needs_nothing() {
    let objects = vec![veth(), end(), route("10.0.0.0/26", NextHop::Blackhole)];
    let observed: Observed = objects.iter().cloned().collect();
    assert_eq!(diff(&plan(objects), &observed), vec![]);
}

#[test]
fn links_come_before_routes_and_makings_before_removals() {
    let old = route("10.9.0.0/26", NextHop::Blackhole);
    let observed: Observed = [old].into_iter().collect();
    let wanted = plan(vec![
        route("10.0.0.5/32", NextHop::Link(name("tbv1"))),
        veth(),
        end(),
    ]);
    let ops = text(&diff(&wanted, &observed));
    assert_eq!(ops.len(), 3, "{ops:?}");
    assert!(ops[0].starts_with("create host link tbv1"), "{ops:?}");
    assert!(
        ops[1].starts_with("create host route 10.0.0.5/32"),
        "{ops:?}"
    );
    assert_eq!(ops[2], "remove host route 10.9.0.0/26");
}

#[test]
fn a_route_is_replaced_in_place() {
    let observed: Observed = [route("10.0.0.0/26", NextHop::Blackhole)]
        .into_iter()
        .collect();
    let wanted = plan(vec![route("10.0.0.0/26", NextHop::Link(name("tbv1")))]);
    let ops = diff(&wanted, &observed);
    assert!(matches!(&ops[..], [Op::Change { .. }]), "{ops:?}");
}

#[test]
fn a_device_of_another_kind_is_removed_first() {
    let (place, _) = veth();
    let bridge = Link {
        kind: LinkKind::Bridge,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    };
    let observed: Observed = [(place, Object::Link(bridge)), end()].into_iter().collect();
    let ops = text(&diff(&plan(vec![veth(), end()]), &observed));
    assert_eq!(ops.len(), 2, "{ops:?}");
    assert!(
        ops[0].starts_with("remove") && ops[1].starts_with("create"),
        "{ops:?}"
    );
}

#[test]
fn a_pair_whose_other_end_is_lost_is_made_anew() {
    let observed: Observed = [veth()].into_iter().collect();
    let ops = text(&diff(&plan(vec![veth(), end()]), &observed));
    assert_eq!(ops.len(), 2, "{ops:?}");
    assert!(ops[0].starts_with("remove host link tbv1"), "{ops:?}");
    assert!(ops[1].starts_with("create host link tbv1"), "{ops:?}");
}

#[test]
fn an_end_that_is_handed_over_is_the_runtimes() {
    let peer = VethPeer {
        netns: Netns::Host,
        name: name("tbc1"),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        handed_over: true,
    };
    let (place, object) = veth();
    let Object::Link(link) = object else {
        unreachable!()
    };
    let pair = Link {
        kind: LinkKind::Veth(peer),
        ..link.clone()
    };
    let wanted = || plan(vec![(place.clone(), Object::Link(pair.clone()))]);
    let present = Link {
        kind: LinkKind::VethEnd,
        ..link
    };
    let in_sandbox: Observed = [(place.clone(), Object::Link(present.clone()))]
        .into_iter()
        .collect();
    assert_eq!(diff(&wanted(), &in_sandbox), vec![]);
    let mut on_host = in_sandbox.clone();
    let end = Place::host(Key::Link(name("tbc1")));
    on_host.insert(end, Object::Link(present));
    let address = Key::Address {
        link: name("tbc1"),
        net: "10.0.0.5/24".parse().unwrap(),
    };
    on_host.insert(Place::host(address), Object::Address);
    assert_eq!(diff(&wanted(), &on_host), vec![]);
    // Without its pair it is nobody's.
    let ops = text(&diff(&plan(vec![]), &on_host));
    assert!(ops.contains(&"remove host link tbc1".to_owned()), "{ops:?}");
    let ops = text(&diff(&wanted(), &Observed::new()));
    assert_eq!(ops.len(), 1, "{ops:?}");
}

#[test]
fn a_link_that_is_down_or_unplugged_is_changed() {
    let (place, object) = veth();
    let Object::Link(link) = object else {
        unreachable!()
    };
    let port = BridgePort {
        bridge: name("tbb1"),
        hairpin: true,
        isolated: false,
        stations: Stations::Learned,
    };
    for present in [
        Link {
            up: false,
            ..link.clone()
        },
        Link {
            mtu: Some(Mtu::new(1500).unwrap()),
            ..link.clone()
        },
        Link {
            port: Some(port),
            ..link
        },
    ] {
        let observed: Observed = [(place.clone(), Object::Link(present)), end()]
            .into_iter()
            .collect();
        let ops = diff(&plan(vec![veth(), end()]), &observed);
        assert!(matches!(&ops[..], [Op::Change { .. }]), "{ops:?}");
    }
}

#[test]
fn what_falls_with_a_replaced_link_is_made_anew() {
    let vxlan = |port| {
        let kind = LinkKind::Vxlan {
            vni: tombolo_model::Vni::new(7).unwrap(),
            port,
            local: "192.168.0.1".parse().unwrap(),
            parent: name("eth0"),
        };
        let link = Link {
            kind,
            mtu: None,
            mac: None,
            up: true,
            port: None,
        };
        (Place::host(Key::Link(name("tbx7"))), Object::Link(link))
    };
    let on_it = vec![
        route("10.0.1.0/26", NextHop::Link(name("tbx7"))),
        (
            Place::host(Key::Neighbour {
                link: name("tbx7"),
                address: "10.0.1.0".parse().unwrap(),
            }),
            Object::Neighbour(MacAddr([2; 6])),
        ),
        (
            Place::host(Key::Sysctl("net/ipv4/conf/tbx7/route_localnet".to_owned())),
            Object::Sysctl("1".to_owned()),
        ),
    ];
    let elsewhere = route("10.0.2.0/26", NextHop::Blackhole);
    let unwanted = route("10.0.3.0/26", NextHop::Link(name("tbx7")));
    let with = |link| {
        let mut all = on_it.clone();
        all.extend([link, elsewhere.clone()]);
        all
    };
    let mut observed: Observed = with(vxlan(8472)).into_iter().collect();
    observed.extend([unwanted]);
    let ops = text(&diff(&plan(with(vxlan(4789))), &observed));
    let firsts: Vec<String> = ops
        .iter()
        .map(|op| op.split(' ').take(3).collect::<Vec<_>>().join(" "))
        .collect();
    // The route that nobody wants has gone with the link, and the one elsewhere stays.
    assert_eq!(
        firsts,
        [
            "remove host link",
            "create host link",
            "create host sysctl",
            "create host neighbour",
            "create host route"
        ],
        "{ops:?}"
    );
}

#[test]
fn a_container_is_narrowed_before_its_host_end_and_widened_after_it() {
    let pair = |mtu| {
        [veth(), end()].map(|(place, object)| {
            let Object::Link(link) = object else {
                unreachable!()
            };
            let mtu = Some(Mtu::new(mtu).unwrap());
            (place, Object::Link(Link { mtu, ..link }))
        })
    };
    for (from, to, first) in [(1500, 1450, "change /c"), (1450, 1500, "change host")] {
        let observed: Observed = pair(from).into_iter().collect();
        let ops = text(&diff(&plan(pair(to).to_vec()), &observed));
        assert_eq!(ops.len(), 2, "{ops:?}");
        assert!(ops[0].starts_with(first), "{ops:?}");
    }
}

/// A VLAN on the host, and a container's interface on it.
fn on_vlan(id: u16, mode: MacvlanMode) -> Vec<(Place, Object)> {
    let link = |kind| Link {
        kind,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    };
    let vlan = LinkKind::Vlan {
        parent: name("eth1"),
        id,
    };
    let macvlan = LinkKind::Macvlan {
        parent: name("tbl1"),
        mode,
        mark: Some(name("tbv1")),
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        handed_over: false,
    };
    let address = Key::Address {
        link: name("eth0"),
        net: "10.0.0.5/24".parse().unwrap(),
    };
    // The VLAN is behind the shim by name.
    vec![
        (
            Place::host(Key::Link(name("tba1"))),
            Object::Link(link(macvlan.clone())),
        ),
        (
            Place::host(Key::Link(name("tbl1"))),
            Object::Link(link(vlan)),
        ),
        (
            Place::sandbox("/c", Key::Link(name("eth0"))),
            Object::Link(link(macvlan)),
        ),
        (Place::sandbox("/c", address), Object::Address),
    ]
}

#[test]
fn what_stands_on_a_link_is_made_after_it_and_removed_before() {
    let objects = on_vlan(7, MacvlanMode::Bridge);
    let making: Vec<String> = text(&diff(&plan(objects.clone()), &Observed::new()));
    let order: Vec<&str> = making
        .iter()
        .filter_map(|op| op.split(' ').nth(3))
        .collect();
    assert_eq!(order[..2], ["tbl1", "tba1"], "{making:?}");
    let observed: Observed = objects.into_iter().collect();
    let removing = text(&diff(&HostPlan::default(), &observed));
    assert_eq!(removing.last().unwrap(), "remove host link tbl1");
}

#[test]
fn with_a_vlan_goes_what_stands_on_it_in_every_namespace() {
    let observed: Observed = on_vlan(7, MacvlanMode::Bridge).into_iter().collect();
    let ops = text(&diff(&plan(on_vlan(8, MacvlanMode::Bridge)), &observed));
    let begins: Vec<&str> = ops
        .iter()
        .map(|op| op.split(" on ").next().unwrap())
        .collect();
    assert_eq!(
        begins,
        [
            "remove host link tbl1",
            "create host link tbl1 vlan",
            "create host link tba1 macvlan",
            "create /c link eth0 macvlan",
            "create /c address 10.0.0.5/24 dev eth0 ",
        ]
    );
}

#[test]
fn a_mode_is_changed_in_place_where_the_kernel_can() {
    let observed: Observed = on_vlan(7, MacvlanMode::Bridge).into_iter().collect();
    let ops = diff(&plan(on_vlan(7, MacvlanMode::Private)), &observed);
    assert!(
        ops.iter().all(|op| matches!(op, Op::Change { .. })),
        "{ops:?}"
    );
    assert_eq!(ops.len(), 2);
    let ops = text(&diff(&plan(on_vlan(7, MacvlanMode::Passthru)), &observed));
    assert!(ops.contains(&"remove /c link eth0".to_owned()), "{ops:?}");
    assert_eq!(ops.len(), 5, "{ops:?}");
}

/// A set of ports with members, of an interval type or not.
fn ports(interval: bool, members: &[u16]) -> Vec<(Place, Object)> {
    let set = NftSet {
        key: vec![Field::Port],
        data: Vec::new(),
        interval,
    };
    let members = Members::of_set(members.iter().map(|port| vec![Datum::Port(*port)]));
    vec![
        (Place::host(Key::NftSet("s".into())), Object::NftSet(set)),
        (
            Place::host(Key::NftMembers("s".into())),
            Object::NftMembers(members),
        ),
    ]
}

#[test]
fn a_set_that_is_made_anew_is_filled_anew() {
    let observed: Observed = ports(false, &[1, 2]).into_iter().collect();
    let ops = text(&diff(&plan(ports(false, &[2, 3, 4])), &observed));
    assert_eq!(ops, ["change host nft members s by 2 more and 1 less"]);
    let ops = text(&diff(&plan(ports(true, &[1, 2])), &observed));
    assert_eq!(
        ops,
        [
            "remove host nft set s",
            "create host nft set s type inet_service flags interval",
            "create host nft members s with 2",
        ]
    );
    assert_eq!(diff(&plan(ports(false, &[1, 2])), &observed), []);
}

#[test]
fn a_segments_filter_comes_behind_its_namespace_and_before_its_links() {
    let segment = Name::new("tbn1").unwrap();
    let bridge = Link {
        kind: LinkKind::Bridge,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    };
    let mut objects: Vec<(Place, Object)> = ports(false, &[1])
        .into_iter()
        .map(|(place, object)| (Place::segment(&segment, place.key), object))
        .collect();
    objects.push((
        Place::host(Key::Namespace(segment.clone())),
        Object::Namespace,
    ));
    objects.push((
        Place::segment(&segment, Key::Link(name("tbb1"))),
        Object::Link(bridge),
    ));
    let kinds = |ops: Vec<Op>| -> Vec<&str> {
        let keys = ops.iter().map(|op| crate::order::kind(&op.place().key));
        keys.collect()
    };
    let order = ["namespace", "nft set", "nft members", "link"];
    assert_eq!(kinds(diff(&plan(objects.clone()), &Observed::new())), order);
    let observed: Observed = objects.into_iter().collect();
    let mut removing = kinds(diff(&HostPlan::default(), &observed));
    removing.reverse();
    assert_eq!(removing, order);
}

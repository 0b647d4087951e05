//! Everything in a set as one object: filled, changed by what differs, repaired.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tombolo_model::Family;
use tombolo_plan::objects::{
    Action, Chain, ChainType, Datum, Field, Hook, HookPoint, Members, NftName, NftSet, PacketField,
    Policy, Rule,
};
use tombolo_plan::{HostPlan, Key, Object, Place, diff};

use crate::Look;
use crate::testing::{Host, plan};
use crate::watch::Event;

fn set(name: &str, key: &[Field], data: &[Field], interval: bool) -> (Place, Object) {
    let set = NftSet {
        key: key.to_vec(),
        data: data.to_vec(),
        interval,
    };
    (Place::host(Key::NftSet(name.into())), Object::NftSet(set))
}

fn members(set: &str, members: Members) -> (Place, Object) {
    let place = Place::host(Key::NftMembers(set.into()));
    (place, Object::NftMembers(members))
}

fn chain(name: &str, hook: Option<HookPoint>, rules: Vec<Rule>) -> (Place, Object) {
    let hook = hook.map(|point| Hook {
        chain_type: ChainType::Filter,
        point,
        priority: 0,
        policy: Policy::Accept,
    });
    let chain = Object::NftChain(Chain { hook, rules });
    (Place::host(Key::NftChain(NftName::inet(name))), chain)
}

fn ip(number: u32) -> Datum {
    Datum::Ip(Ipv4Addr::from(0x0a00_0000 + number).into())
}

fn addresses(numbers: impl IntoIterator<Item = u32>) -> Members {
    Members::of_set(numbers.into_iter().map(|number| vec![ip(number)]))
}

fn one_set(all: Members) -> HostPlan {
    plan([
        set("crowd", &[Field::Ipv4], &[], false),
        members("crowd", all),
    ])
}

#[test]
fn a_change_is_what_differs() {
    let mut host = Host::new();
    host.converge(&one_set(addresses(0..3000)));
    let mut watcher = host.kernel.watch().unwrap();
    let next = one_set(addresses((1..3000).chain([5000])));
    let done = host.kernel.converge_at(&next, &Look::nowhere()).unwrap();
    assert_eq!(done.done.len(), 1, "{:?}", done.done);
    // The kernel tells of each element that comes or goes: one event, were they alike.
    // What others do to links and addresses meanwhile is their affair.
    let nft = |event: &Event| event.kind == "nft";
    let events = loop {
        let events = watcher.wait(None).unwrap();
        if events.iter().any(nft) {
            break events;
        }
    };
    let mut told = events.iter().filter(|event| nft(event));
    assert!(told.all(|event| event.own_process), "{events:?}");
    host.converge(&next);
    let listed = host.run("nft list set inet tombolo crowd");
    assert!(listed.contains("10.0.19.136"), "{listed}");
    assert!(!listed.contains("10.0.0.0,"), "{listed}");
    host.converge(&one_set(Members::default()));
    assert!(!host.run("nft list set inet tombolo crowd").contains("10."));
}

#[test]
fn what_somebody_else_did_to_a_set_is_undone() {
    let mut host = Host::new();
    let wanted = one_set(addresses(0..100));
    host.converge(&wanted);
    for damage in [
        "nft flush set inet tombolo crowd",
        "nft add element inet tombolo crowd '{ 192.0.2.1 }'",
        "nft delete element inet tombolo crowd '{ 10.0.0.7 }'",
        "nft flush ruleset",
    ] {
        host.run(damage);
        assert!(
            !diff(&wanted, &host.observe(&wanted)).is_empty(),
            "{damage}"
        );
        host.converge(&wanted);
    }
    // Nobody tells of it, and a change goes by what was there: the kernel refuses, and it is filled anew.
    host.run("nft delete element inet tombolo crowd '{ 10.0.0.7 }'");
    let next = one_set(addresses(8..100));
    let done = host.kernel.converge_at(&next, &Look::nowhere()).unwrap();
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    host.converge(&next);
}

#[test]
fn ranges_of_ports_and_prefixes_come_and_go_whatever_they_overlap() {
    let mut host = Host::new();
    let mut with = |ports: &[(u16, u16)], nets: &[&str]| {
        let ports = ports.iter().map(|(a, b)| vec![Datum::PortRange(*a, *b)]);
        let nets = nets
            .iter()
            .map(|net| vec![Datum::Net(net.parse().unwrap())]);
        host.converge(&plan([
            set("ports", &[Field::Port], &[], true),
            members("ports", Members::of_set(ports)),
            set("nets", &[Field::Ipv6], &[], true),
            members("nets", Members::of_set(nets)),
        ]));
        host.run("nft list ruleset")
    };
    let listed = with(
        &[(80, 90), (85, 100), (65535, 65535)],
        &["fd00::/64", "fd00::/48"],
    );
    assert!(listed.contains("{ 80-100, 65535 }"), "{listed}");
    assert!(listed.contains("{ fd00::/48 }"), "{listed}");
    let listed = with(
        &[(85, 100), (50000, 65535)],
        &["fd00::/64", "fd00:0:0:1::/64"],
    );
    assert!(listed.contains("{ 85-100, 50000-65535 }"), "{listed}");
    assert!(listed.contains("{ fd00::/63 }"), "{listed}");
    let listed = with(&[(0, 65535)], &["::/0"]);
    assert!(listed.contains("0-65535"), "{listed}");
    with(&[(1, 1), (3, 3), (5, 5)], &["fd00::1/128", "fd00::3/128"]);
    with(&[(2, 2), (3, 3), (4, 4)], &["fd00::2/128", "fd00::3/128"]);
    let listed = with(&[], &[]);
    assert!(!listed.contains("elements"), "{listed}");
}

#[test]
fn a_set_goes_from_elements_to_members_and_back_and_changes_its_type() {
    let mut host = Host::new();
    let element = |number: u32| {
        let key = Key::NftElement {
            set: "crowd".into(),
            key: vec![ip(number)],
        };
        (Place::host(key), Object::NftElement(vec![]))
    };
    let single = plan([
        set("crowd", &[Field::Ipv4], &[], false),
        element(1),
        element(2),
    ]);
    let nets = Members::of_set([vec![Datum::Net("10.0.0.0/8".parse().unwrap())]]);
    let ranges = plan([
        set("crowd", &[Field::Ipv4], &[], true),
        members("crowd", nets),
    ]);
    for look in [Look::everywhere(), Look::nowhere()] {
        for next in [
            &single,
            &one_set(addresses([2, 3])),
            &single,
            &ranges,
            &single,
        ] {
            let done = host.kernel.converge_at(next, &look).unwrap();
            assert!(done.failed.is_empty(), "{:?}", done.failed);
            assert!(diff(next, &host.observe(next)).is_empty());
        }
    }
    host.converge(&HostPlan::default());
}

/// A map of verdicts from the destination's address, and the chains that it leads to.
fn dispatching(to: &str) -> HostPlan {
    let all: Members = [(
        vec![Datum::Ip(Ipv4Addr::LOCALHOST.into())],
        vec![Datum::Goto(to.into())],
    )]
    .into_iter()
    .collect();
    let dispatch = Action::Dispatch {
        fields: vec![PacketField::Destination(Family::V4)],
        map: "dispatch".into(),
    };
    let rules = vec![Rule::new([], dispatch), Rule::new([], Action::Drop)];
    plan([
        set("dispatch", &[Field::Ipv4], &[Field::Verdict], false),
        members("dispatch", all),
        chain(to, None, vec![Rule::new([], Action::Accept).counted()]),
        chain("output", Some(HookPoint::Output), rules),
    ])
}

#[test]
fn a_verdict_moves_to_a_new_chain_and_no_packet_is_between() {
    let mut host = Host::new();
    host.run("ip link set lo up");
    host.converge(&dispatching("a"));
    let socket = host
        .netns
        .run(|| UdpSocket::bind("127.0.0.1:0"))
        .unwrap()
        .unwrap();
    let (to, stop, sent) = (
        socket.local_addr().unwrap(),
        AtomicBool::new(false),
        AtomicU64::new(0),
    );
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // What is dropped on its way out is told as an error.
                socket.send_to(b"x", to)?;
                sent.fetch_add(1, Ordering::Relaxed);
            }
            std::io::Result::Ok(())
        });
        for round in 0.. {
            if round >= 100 && sent.load(Ordering::Relaxed) > 1000 {
                break;
            }
            let next = dispatching(if round % 2 == 0 { "b" } else { "a" });
            let done = host.kernel.converge_at(&next, &Look::nowhere()).unwrap();
            assert!(
                done.failed.is_empty() && done.rounds == 1,
                "{:?}",
                done.failed
            );
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap().unwrap();
    });
    host.converge(&dispatching("a"));
    socket.send_to(b"x", to).unwrap();
    let counters = host.kernel.counters().unwrap();
    assert_eq!(counters.len(), 1, "{counters:?}");
    assert_eq!(counters[0].place, Place::host(Key::NftChain("a".into())));
    assert!(counters[0].packets > 0 && counters[0].bytes >= counters[0].packets * 29);
    host.converge(&dispatching("a"));
    // Without the element the packet goes on to the next rule.
    host.run("nft flush map inet tombolo dispatch");
    assert!(socket.send_to(b"x", to).is_err());
}

/// Ten thousand endpoints, a thousand chains of ten rules, and sets of twenty thousand.
fn large(member: u32, shift: u32) -> HostPlan {
    let ends = (0..10_000u32).map(|number| {
        let to = format!("c{}", (number + shift) % 1000);
        (vec![ip(number)], vec![Datum::Goto(to)])
    });
    let mut objects = vec![
        set("dispatch", &[Field::Ipv4], &[Field::Verdict], false),
        members("dispatch", ends.collect()),
    ];
    for number in 0..2 {
        let name = format!("s{number}");
        objects.push(set(&name, &[Field::Ipv4], &[], false));
        objects.push(members(&name, addresses((0..20_000).chain([member]))));
    }
    for number in 0..1000u16 {
        let rule = |port| {
            let matches = [tombolo_plan::objects::Match::DestinationPort(port)];
            Rule::new(matches, Action::Accept)
        };
        let rules = (number..number + 10).map(rule).collect();
        objects.push(chain(&format!("c{number}"), None, rules));
    }
    let dispatch = Action::Dispatch {
        fields: vec![PacketField::Destination(Family::V4)],
        map: "dispatch".into(),
    };
    let rules = vec![Rule::new([], dispatch)];
    objects.push(chain("forward", Some(HookPoint::Forward), rules));
    plan(objects)
}

#[test]
fn ten_thousand_endpoints_are_made_at_once_and_one_more_is_one_more() {
    let mut host = Host::new();
    let mut timed = |what: &str, next: &HostPlan, look: Look| {
        let start = Instant::now();
        let done = host.kernel.converge_at(next, &look).unwrap();
        println!(
            "{what}: {:?}, {} operations",
            start.elapsed(),
            done.done.len()
        );
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        done.done.len()
    };
    let first = large(30_000, 0);
    timed("from nothing", &first, Look::everywhere());
    assert_eq!(
        timed("read, and nothing to do", &first, Look::everywhere()),
        0
    );
    let second = large(30_001, 0);
    assert_eq!(timed("a member of two sets", &second, Look::nowhere()), 2);
    let third = large(30_001, 1);
    assert_eq!(timed("ten thousand verdicts", &third, Look::nowhere()), 1);
    let mut fourth = third.clone();
    let place = Place::host(Key::NftMembers("dispatch".into()));
    let Object::NftMembers(map) = &third.objects[&place].object else {
        panic!("it is a map");
    };
    let mut map = (*map.0).clone();
    map.insert(vec![ip(20_000)], vec![Datum::Goto("c5".into())]);
    let planned = fourth.objects.get_mut(&place).unwrap();
    planned.object = Object::NftMembers(map.into_iter().collect());
    assert_eq!(timed("a verdict", &fourth, Look::nowhere()), 1);
    assert_eq!(
        timed("read, and nothing to do", &fourth, Look::everywhere()),
        0
    );
    timed("to nothing", &HostPlan::default(), Look::nowhere());
    assert_eq!(host.run("nft list ruleset"), "");
}

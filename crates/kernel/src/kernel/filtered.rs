//! Our nftables in namespaces other than the host's, and on bridges.

use std::time::Duration;

use tombolo_model::{Family, Name};
use tombolo_plan::objects::{
    Action, Chain, ChainType, Datum, Field, Hook, HookPoint, Match, Members, NftName, NftSet,
    PacketField, Policy, Rule,
};
use tombolo_plan::{HostPlan, Key, Netns, Object, Place};

use super::segments::{Own, segment};
use crate::testing::{Host, pair, path, plan, run};
use crate::{Event, Look, NetnsHandle, Watcher};

const LIMIT: Option<Duration> = Some(Duration::from_secs(5));

type Objects = Vec<(Key, Object)>;

fn hook(point: HookPoint) -> Option<Hook> {
    Some(Hook {
        chain_type: ChainType::Filter,
        point,
        priority: -300,
        policy: Policy::Accept,
    })
}

fn set(name: NftName, key: &[Field], members: Members) -> Objects {
    let set = NftSet {
        key: key.to_vec(),
        data: Vec::new(),
        interval: false,
    };
    vec![
        (Key::NftSet(name.clone()), Object::NftSet(set)),
        (Key::NftMembers(name), Object::NftMembers(members)),
    ]
}

fn unless(fields: &[PacketField], set: &str) -> Match {
    Match::InSet {
        fields: fields.to_vec(),
        set: set.into(),
        not: true,
    }
}

/// A set and a chain in both tables.
fn tables(addresses: &[&str]) -> Objects {
    let keys = addresses
        .iter()
        .map(|address| vec![Datum::Ip(address.parse().unwrap())]);
    let members = Members::of_set(keys);
    let mut objects = Objects::new();
    for (name, point) in [
        (NftName::inet("own"), HookPoint::Forward),
        (NftName::bridge("own"), HookPoint::Prerouting),
    ] {
        let matches = vec![unless(&[PacketField::Source(Family::V4)], "own")];
        let chain = Chain {
            hook: hook(point),
            rules: vec![Rule::new(matches, Action::Drop).counted()],
        };
        objects.push((
            Key::NftChain(name.beside("strange")),
            Object::NftChain(chain),
        ));
        objects.extend(set(name, &[Field::Ipv4], members.clone()));
    }
    objects
}

fn within(netns: &Netns, objects: Objects) -> impl Iterator<Item = (Place, Object)> {
    let place = move |key| Place {
        netns: netns.clone(),
        key,
    };
    objects
        .into_iter()
        .map(move |(key, object)| (place(key), object))
}

fn with(plan: &HostPlan, objects: impl Iterator<Item = (Place, Object)>) -> HostPlan {
    let present = plan.objects.iter();
    let present = present.map(|(place, planned)| (place.clone(), planned.object.clone()));
    crate::testing::plan(present.chain(objects))
}

/// What is told until the kernel has been silent for a moment.
fn settle(watcher: &mut Watcher) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let told = watcher.wait(Some(Duration::from_millis(50))).unwrap();
        if told.is_empty() {
            return all;
        }
        all.extend(told);
    }
}

/// Waits for word of somebody else's change of nftables in another namespace.
fn foreign(watcher: &mut Watcher) -> Look {
    loop {
        let told = watcher.wait(LIMIT).unwrap();
        assert!(!told.is_empty(), "nobody tells of it");
        let mut told = told.iter();
        if let Some(event) = told.find(|event| event.kind == "nft" && !event.own_process) {
            assert!(event.namespace.is_some(), "{event:?}");
            return event.look();
        }
    }
}

#[test]
fn a_segment_has_tables_and_what_others_do_to_them_is_heard_and_undone() {
    let mut own = Own::new();
    let here = Netns::Segment(Name::new("tbn1").unwrap());
    let bare = segment(&own.host);
    let first = with(&bare, within(&here, tables(&["10.0.0.1", "10.0.0.2"])));
    let mut watcher = own.host.kernel.watch().unwrap();
    own.host.converge(&first);
    let listed = own.inside("nft list ruleset");
    for part in [
        "table inet tombolo",
        "table bridge tombolo",
        "hook prerouting priority dstnat",
        "ip saddr != @own counter packets 0 bytes 0 drop",
        "{ 10.0.0.1, 10.0.0.2 }",
    ] {
        assert!(listed.contains(part), "{part}\n{listed}");
    }
    assert_eq!(own.host.kernel.counters().unwrap().len(), 2);
    let told = settle(&mut watcher);
    let nft = |event: &&Event| event.kind == "nft";
    assert!(
        told.iter()
            .any(|event| nft(&event) && event.namespace.is_some())
    );
    assert!(
        told.iter().filter(nft).all(|event| event.own_process),
        "{told:?}"
    );
    for damage in [
        "nft flush ruleset",
        "nft delete element bridge tombolo own '{ 10.0.0.1 }'",
        "nft insert rule inet tombolo strange accept",
        "nft add chain bridge tombolo more",
    ] {
        own.inside(damage);
        let look = foreign(&mut watcher);
        let done = own.host.kernel.converge_at(&first, &look).unwrap();
        assert!(!done.done.is_empty() && done.failed.is_empty(), "{damage}");
        own.host.converge(&first);
        settle(&mut watcher);
    }
    // A change costs what changes.
    let second = with(&bare, within(&here, tables(&["10.0.0.1", "10.0.0.3"])));
    let done = own
        .host
        .kernel
        .converge_at(&second, &Look::nowhere())
        .unwrap();
    assert_eq!(done.done.len(), 2, "{:?}", done.done);
    own.host.converge(&second);
    own.host.converge(&bare);
    assert_eq!(own.inside("nft list ruleset"), "");
    own.host.converge(&first);
    own.host.converge(&HostPlan::default());
}

#[test]
fn a_sandbox_has_tables_as_long_as_the_plan_wants_them() {
    let mut host = Host::new();
    let sandbox = Netns::Sandbox(host.path());
    let bare = plan(pair("tbv0", &host.path()));
    let first = with(&bare, within(&sandbox, tables(&["10.0.0.1"])));
    let mut watcher = host.kernel.watch().unwrap();
    host.converge(&first);
    assert!(run(&host.sandbox, "nft list ruleset").contains("table bridge tombolo"));
    settle(&mut watcher);
    run(&host.sandbox, "nft flush ruleset; nft add table ip other");
    let look = foreign(&mut watcher);
    let done = host.kernel.converge_at(&first, &look).unwrap();
    assert_eq!(done.done.len(), 6, "{:?}", done.done);
    host.converge(&first);
    let strange = "nft add element inet tombolo own '{ 10.0.0.9 }'";
    run(&host.sandbox, strange);
    host.converge(&first);
    for look in [Look::nowhere(), Look::everywhere()] {
        host.converge(&first);
        let done = host.kernel.converge_at(&bare, &look).unwrap();
        assert!(done.failed.is_empty(), "{:?}", done.failed);
        let left = run(&host.sandbox, "nft list ruleset");
        assert!(
            !left.contains("tombolo") && left.contains("other"),
            "{left}"
        );
    }
}

/// Two stations of a bridge, which know what they may be.
struct Bridged {
    host: Host,
    other: NetnsHandle,
}

const FORGED_MAC: usize = 0;
const FORGED_ARP: usize = 1;
const FORGED_ARP_MAC: usize = 2;
const FORGED_ADVERTISEMENT: usize = 3;
const FORGED_V4: usize = 4;
const FORGED_V6: usize = 5;

impl Bridged {
    fn new() -> Bridged {
        let host = Host::new();
        let other = NetnsHandle::create().unwrap();
        host.run("ip link add br0 type bridge mcast_snooping 0; ip link set br0 up");
        for (number, netns) in [(1, &host.sandbox), (2, &other)] {
            host.run(&format!(
                "ip link add port{number} type veth peer name eth0 address 02:00:00:00:00:0{number} \
                 netns {}; ip link set port{number} master br0 up addrgenmode none",
                path(netns)
            ));
            run(
                netns,
                &format!(
                    "ip link set eth0 addrgenmode none; ip link set eth0 up; \
                     ip addr add 10.9.0.{number}/24 dev eth0; \
                     ip addr add fd00::{number}/64 dev eth0 nodad"
                ),
            );
        }
        let mut bridged = Bridged { host, other };
        bridged.host.converge(&own_only());
        bridged
    }

    /// Whether the first reaches the second, in so many seconds.
    fn reaches(&self, how: &str, within: &str) -> bool {
        let line = format!("ping -q -c 1 -W {within} {how} >&2 && echo yes || true");
        run(&self.host.sandbox, &line).contains("yes")
    }

    fn dropped(&mut self) -> Vec<u64> {
        let counters = self.host.kernel.counters().unwrap();
        counters.iter().map(|counter| counter.packets).collect()
    }

    /// What the first does is dropped by this rule, and by no other.
    fn is_dropped(&mut self, rule: usize, prepare: &str, how: &str) {
        run(&self.host.sandbox, prepare);
        let before = self.dropped();
        assert!(!self.reaches(how, "0.5"), "{prepare}; {how}");
        let after = self.dropped();
        let hit: Vec<usize> = (0..after.len())
            .filter(|n| after[*n] > before[*n])
            .collect();
        assert_eq!(hit, [rule], "{prepare}; {how}");
    }
}

/// Frames from addresses that are not their port's are dropped.
fn own_only() -> HostPlan {
    use PacketField::{ArpSource, ArpSourceMac, EtherSource, InInterface, NeighbourTarget, Source};
    let port = |number: u8| Datum::Interface(format!("port{number}").parse().unwrap());
    let all = |own: fn(u8) -> String, datum: fn(&str) -> Datum| {
        let stations = [1, 2].map(|number| vec![port(number), datum(&own(number))]);
        Members::of_set(stations)
    };
    let ip = |text: &str| Datum::Ip(text.parse().unwrap());
    let mac = |text: &str| Datum::Mac(text.parse().unwrap());
    let arp = || Match::EtherType(0x0806);
    let icmp6 = || Match::ProtocolNumber {
        number: 58,
        not: false,
    };
    let advertisement = Match::Icmp {
        family: Family::V6,
        icmp_type: 136,
        code: None,
        not: false,
    };
    let conditions = [
        vec![unless(&[InInterface, EtherSource], "macs")],
        vec![arp(), unless(&[InInterface, ArpSource], "own4")],
        vec![arp(), unless(&[InInterface, ArpSourceMac], "macs")],
        vec![
            Match::Family(Family::V6),
            icmp6(),
            advertisement,
            unless(&[InInterface, NeighbourTarget], "own6"),
        ],
        vec![unless(&[InInterface, Source(Family::V4)], "own4")],
        vec![unless(&[InInterface, Source(Family::V6)], "own6")],
    ];
    let rules = conditions.map(|matches| Rule::new(matches, Action::Drop).counted());
    let chain = Chain {
        hook: hook(HookPoint::Prerouting),
        rules: rules.into(),
    };
    let name = NftName::bridge;
    let mut objects = vec![(Key::NftChain(name("spoofed")), Object::NftChain(chain))];
    let field = |field| [Field::Interface, field];
    let v4 = all(|number| format!("10.9.0.{number}"), ip);
    objects.extend(set(name("own4"), &field(Field::Ipv4), v4));
    let mut v6 = (*all(|number| format!("fd00::{number}"), ip).0).clone();
    // Who has no address yet, says which groups it is in.
    v6.extend([1, 2].map(|number| (vec![port(number), ip("::")], vec![])));
    let v6 = v6.into_iter().collect();
    objects.extend(set(name("own6"), &field(Field::Ipv6), v6));
    let macs = all(|number| format!("02:00:00:00:00:0{number}"), mac);
    objects.extend(set(name("macs"), &field(Field::Mac), macs));
    plan(within(&Netns::Host, objects))
}

#[test]
fn a_station_is_heard_only_as_what_it_is() {
    let mut bridged = Bridged::new();
    for to in ["10.9.0.2", "fd00::2"] {
        assert!(bridged.reaches(to, "5"), "{to}: {:?}", bridged.dropped());
    }
    assert!(bridged.dropped().iter().all(|packets| *packets == 0));
    bridged.is_dropped(
        FORGED_ARP,
        "ip addr add 10.9.0.99/24 dev eth0; ip neigh flush dev eth0",
        "-I 10.9.0.99 10.9.0.2",
    );
    let known = "ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent; \
                 ip neigh replace fd00::2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent";
    bridged.is_dropped(FORGED_V4, known, "-I 10.9.0.99 10.9.0.2");
    bridged.is_dropped(
        FORGED_V6,
        "ip addr add fd00::99/64 dev eth0 nodad",
        "-I fd00::99 fd00::2",
    );
    // The second asks for an address that the first only says to have.
    let before = bridged.dropped();
    let asked = run(
        &bridged.other,
        "ping -q -c 1 -W 0.5 fd00::99 >&2 || echo no",
    );
    assert!(asked.contains("no"));
    let after = bridged.dropped();
    assert!(after[FORGED_ADVERTISEMENT] > before[FORGED_ADVERTISEMENT]);
    bridged.is_dropped(
        FORGED_MAC,
        "ip link set eth0 address 02:00:00:00:00:66",
        "10.9.0.2",
    );
    run(
        &bridged.host.sandbox,
        "ip link set eth0 address 02:00:00:00:00:01",
    );
    run(&bridged.host.sandbox, known);
    assert!(bridged.reaches("-I 10.9.0.1 10.9.0.2", "5"));
    assert_eq!(bridged.dropped()[FORGED_ARP_MAC], 0);
}

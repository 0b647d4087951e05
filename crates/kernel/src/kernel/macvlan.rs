//! Interfaces in sandboxes that stand on one of the host's: made, found, repaired, and removed when
//! nobody names their sandbox any more.

use std::time::Duration;

use tombolo_model::kinds::MacvlanMode;
use tombolo_model::{MacAddr, Mtu};
use tombolo_plan::objects::{Link, LinkKind, NextHop, Route};
use tombolo_plan::{HostPlan, Key, Netns, Object, Op, Place};

use crate::testing::{Host, address, link, name, plan, run};
use crate::{Kernel, Look, NetnsHandle, Ownership};

const LIMIT: Option<Duration> = Some(Duration::from_secs(5));
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

/// A host with an interface `up0`, at whose other end is another machine.
pub(super) struct Segment {
    pub(super) host: Host,
    pub(super) machine: NetnsHandle,
}

impl Segment {
    pub(super) fn new() -> Segment {
        let host = Host::new();
        let machine = NetnsHandle::create().unwrap();
        // A sandbox's interface may be called as one of the host's.
        host.run("ip link add eth0 type bridge");
        let segment = Segment { host, machine };
        segment.wire("up0");
        segment
    }

    /// Joins an interface of the host to the machine.
    fn wire(&self, parent: &str) {
        let path = crate::testing::path(&self.machine);
        self.host
            .run(&format!("ip link add {parent} type veth peer name far"));
        self.host.run(&format!(
            "ip link set far netns {path}; ip link set {parent} up"
        ));
        run(
            &self.machine,
            "ip link set lo up; ip link set far up; ip addr add 10.1.0.1/24 dev far; ip -6 addr add fd00:1::1/64 dev far nodad",
        );
    }

    /// A container's interface on a parent, with addresses and the route of its segment.
    fn container(&self, parent: &str, mode: MacvlanMode) -> Vec<(Place, Object)> {
        self.of_kind(macvlan(parent, mode, Some("tbv1")))
    }

    /// The same of any kind of interface.
    pub(super) fn of_kind(&self, kind: LinkKind) -> Vec<(Place, Object)> {
        let path = self.host.path();
        let segment = |dst: &str| {
            let key = Key::Route {
                table: 254,
                dst: dst.parse().unwrap(),
                metric: 0,
            };
            let route = Route {
                next: NextHop::Link(name("eth0")),
                source: None,
                mtu: None,
            };
            (key, Object::Route(route))
        };
        let interface = link(kind);
        [
            (Key::Link(name("eth0")), Object::Link(interface)),
            address("eth0", "10.1.0.5/24"),
            address("eth0", "fd00:1::5/64"),
            segment("10.1.0.0/24"),
            segment("fd00:1::/64"),
        ]
        .map(|(key, object)| (Place::sandbox(&path, key), object))
        .into()
    }

    pub(super) fn answers(&self) {
        run(
            &self.machine,
            "ping -qc1 -W2 10.1.0.5; ping -qc1 -W2 fd00:1::5",
        );
    }

    pub(super) fn inside(&self, line: &str) -> String {
        run(&self.host.sandbox, line)
    }
}

fn macvlan(parent: &str, mode: MacvlanMode, mark: Option<&str>) -> LinkKind {
    LinkKind::Macvlan {
        parent: name(parent),
        mode,
        mark: mark.map(name),
        mac: MAC,
        handed_over: false,
    }
}

pub(super) fn failures(kernel: &mut Kernel, plan: &HostPlan) -> String {
    let outcome = kernel.converge(plan).unwrap();
    let failed = outcome.failed.iter().map(|(_, error)| error.to_string());
    failed.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_container_is_on_the_segment_in_every_mode() {
    for mode in [
        MacvlanMode::Bridge,
        MacvlanMode::Private,
        MacvlanMode::Vepa,
        MacvlanMode::Passthru,
    ] {
        let mut segment = Segment::new();
        let wanted = plan(segment.container("up0", mode));
        segment.host.converge(&wanted);
        segment.answers();
        let shown = segment.inside("ip -d link show eth0");
        for part in [&format!("mode {mode}"), "02:00:00:00:00:07", "alias tbv1"] {
            assert!(shown.contains(part), "no {part}: {shown}");
        }
        assert!(!segment.host.run("ip link").contains("tbv1"));
        // The parent's own address comes back.
        segment.host.converge(&HostPlan::default());
        assert_eq!(segment.inside("ip -o link show eth0 || true"), "");
        let parent = segment.host.run("ip link show up0");
        assert!(!parent.contains("02:00:00:00:00:07"), "{parent}");
    }
}

#[test]
fn what_others_do_to_it_is_repaired() {
    let mut segment = Segment::new();
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    segment.host.converge(&wanted);
    for damage in [
        "ip link del eth0",
        "ip link set eth0 down",
        "ip link set eth0 down; ip link set eth0 name other; ip link set other up",
        "ip link set eth0 type macvlan mode private",
        "ip link set eth0 alias mine",
        "ip addr flush dev eth0",
        "ip link del eth0; ip link add eth0 type bridge",
    ] {
        segment.inside(damage);
        segment.host.kernel.converge(&wanted).unwrap();
        segment.host.converge(&wanted);
        let left = segment.inside("ip -br link | grep -vc '^lo'");
        assert_eq!(left.trim(), "1", "after {damage}");
        segment.answers();
    }
}

#[test]
fn it_is_made_anew_on_the_parent_that_is_wanted() {
    let mut segment = Segment::new();
    segment
        .host
        .run("ip link add up1 type bridge; ip link set up1 up");
    let elsewhere = plan(segment.container("up1", MacvlanMode::Bridge));
    segment.host.converge(&elsewhere);
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    segment.host.converge(&wanted);
    segment.answers();
}

#[test]
fn with_the_parent_it_goes_and_comes() {
    let mut segment = Segment::new();
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    segment.host.converge(&wanted);
    let mut watcher = segment.host.kernel.watch().unwrap();
    segment.host.run("ip link del up0");
    let mut look = Look::nowhere();
    let events = watcher.wait(LIMIT).unwrap();
    events.iter().for_each(|event| look.add(event.look()));
    let outcome = segment.host.kernel.converge_at(&wanted, &look).unwrap();
    let told = outcome.failed[0].1.to_string();
    assert!(told.contains("its parent up0 is not there"), "{told}");
    segment.wire("up0");
    let look = Look::host();
    segment.host.kernel.converge_at(&wanted, &look).unwrap();
    segment.host.converge(&wanted);
    segment.answers();
}

#[test]
fn what_happens_to_it_is_heard_on_the_host() {
    let mut segment = Segment::new();
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    let mut watcher = segment.host.kernel.watch().unwrap();
    segment.host.converge(&wanted);
    while !watcher
        .wait(Some(Duration::from_millis(50)))
        .unwrap()
        .is_empty()
    {}
    segment.inside("ip link del eth0");
    let events = watcher.wait(LIMIT).unwrap();
    let event = events.iter().find(|event| event.what == "eth0").unwrap();
    assert!(event.namespace.is_some() && !event.own_process, "{event:?}");
    let kernel = &mut segment.host.kernel;
    let done = kernel.converge_at(&wanted, &event.look()).unwrap();
    assert_eq!(done.done.len(), 5, "{:?}", done.done);
    segment.answers();
    // The host's own events are still the host's.
    segment.host.run("ip link add tbforeign type bridge");
    let events = watcher.wait(LIMIT).unwrap();
    let event = events
        .iter()
        .find(|event| event.what == "tbforeign")
        .unwrap();
    assert_eq!(event.namespace, None);
}

/// The endpoint is gone, its sandbox is not: at once, and by who was started since.
#[test]
fn it_is_removed_from_a_sandbox_that_nobody_names() {
    let mut segment = Segment::new();
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    for restarted in [false, true] {
        segment.host.converge(&wanted);
        segment.inside("ip link add foreign type bridge; ip link set lo up");
        segment
            .host
            .run("ip link add link up0 name foreign type macvlan mode bridge");
        if restarted {
            segment.host.kernel = Kernel::open(&segment.host.netns, Ownership::default()).unwrap();
        }
        let look = if restarted {
            Look::everywhere()
        } else {
            Look::nowhere()
        };
        let kernel = &mut segment.host.kernel;
        let done = kernel.converge_at(&HostPlan::default(), &look).unwrap();
        let places: Vec<String> = done.done.iter().map(ToString::to_string).collect();
        assert!(
            places.len() == 1 && places[0].ends_with("link eth0"),
            "{places:?}"
        );
        let [Op::Remove { place, .. }] = &done.done[..] else {
            panic!("{:?}", done.done);
        };
        assert!(matches!(place.netns, Netns::Numbered(_)), "{place}");
        let left = segment.inside("ip -br link");
        assert!(left.contains("foreign") && !left.contains("eth0"), "{left}");
        segment.inside("ip link del foreign");
        segment.host.run("ip link del foreign");
    }
}

/// Another host whose namespace ours knows by number keeps what is its own.
#[test]
fn what_stands_on_another_hosts_interfaces_is_left_alone() {
    let mut other = Segment::new();
    let wanted = plan(other.container("up0", MacvlanMode::Bridge));
    other.host.converge(&wanted);
    let mut here = Host::new();
    let path = other.host.path();
    here.run(&format!(
        "ip link add tie type veth peer name tie netns {path}"
    ));
    here.run("ip link show tie");
    let outcome = here.kernel.converge(&HostPlan::default()).unwrap();
    assert_eq!(outcome.done, [], "{:?}", outcome.done);
    other.answers();
}

#[test]
fn a_parent_that_cannot_bear_it_is_named() {
    let mut segment = Segment::new();
    segment.host.run(
        "ip link add down0 type bridge; ip link add other0 type bridge; ip link set other0 up; \
         ip link add port0 type veth peer name port1; ip link set port0 up; ip link set port0 master other0; \
         ip link add link up0 name mv type macvlan mode bridge; ip link set mv up; ip link set lo up",
    );
    for (parent, why) in [
        ("nowhere", "its parent nowhere is not there; this host has "),
        ("down0", "is down: set it up (`ip link set down0 up`)"),
        ("port0", "is a port of other0"),
        ("mv", "is itself a macvlan interface"),
        ("lo", "is the loopback"),
    ] {
        let wanted = plan(segment.container(parent, MacvlanMode::Bridge));
        let told = failures(&mut segment.host.kernel, &wanted);
        assert!(told.contains(why), "{parent}: {told}");
    }
    let wanted = plan(segment.container("up0", MacvlanMode::Passthru));
    let told = failures(&mut segment.host.kernel, &wanted);
    assert!(
        told.contains("somebody else has the parent for himself"),
        "{told}"
    );
}

/// The host has an interface of its own beside its container's, and each reaches the other through
/// it; without it they do not.
#[test]
fn a_shim_joins_the_host_to_its_container() {
    let mut segment = Segment::new();
    let mut objects = segment.container("up0", MacvlanMode::Bridge);
    segment.host.converge(&plan(objects.clone()));
    segment
        .host
        .run("ip addr add 10.1.0.2/24 dev up0; ! ping -qc1 -W1 10.1.0.5");
    let mac = MacAddr([2, 0, 0, 0, 0, 8]);
    let kind = LinkKind::Macvlan {
        parent: name("up0"),
        mode: MacvlanMode::Bridge,
        mark: None,
        mac,
        handed_over: false,
    };
    let shim = Link {
        mac: Some(mac),
        mtu: Some(Mtu::new(1400).unwrap()),
        ..link(kind)
    };
    let way = |dst: &str, source: &str| {
        let key = Key::Route {
            table: 254,
            dst: dst.parse().unwrap(),
            metric: 0,
        };
        let route = Route {
            next: NextHop::Link(name("tbm1")),
            source: Some(source.parse().unwrap()),
            mtu: None,
        };
        (key, Object::Route(route))
    };
    for (key, object) in [
        (Key::Link(name("tbm1")), Object::Link(shim)),
        address("tbm1", "10.1.0.9/32"),
        address("tbm1", "fd00:1::9/128"),
        way("10.1.0.5/32", "10.1.0.9"),
        way("fd00:1::5/128", "fd00:1::9"),
    ] {
        objects.push((Place::host(key), object));
    }
    let wanted = plan(objects);
    segment.host.converge(&wanted);
    let reach = |segment: &Segment| {
        segment
            .host
            .run("ping -qc1 -W2 10.1.0.5; ping -qc1 -W2 fd00:1::5");
        segment.inside("ping -qc1 -W2 10.1.0.9; ping -qc1 -W2 fd00:1::9");
    };
    reach(&segment);
    for damage in [
        "ip link del tbm1",
        "ip addr flush dev tbm1",
        "ip link set tbm1 down",
    ] {
        segment.host.run(damage);
        segment.host.converge(&wanted);
        reach(&segment);
    }
}

/// A VLAN of the parent; where the kernel has none, the error says so.
#[test]
fn a_vlan_of_the_parent_or_why_there_is_none() {
    let mut segment = Segment::new();
    let mut objects = segment.container("tbl1", MacvlanMode::Bridge);
    let vlan = LinkKind::Vlan {
        parent: name("up0"),
        id: 7,
    };
    let key = Key::Link(name("tbl1"));
    objects.push((Place::host(key), Object::Link(link(vlan))));
    let wanted = plan(objects);
    let add = "ip link add link far name far.7 type vlan id 7";
    let has_vlans = segment
        .machine
        .run(|| std::process::Command::new("sh").args(["-c", add]).status())
        .unwrap()
        .unwrap()
        .success();
    if !has_vlans {
        let told = failures(&mut segment.host.kernel, &wanted);
        assert!(told.contains("the kernel has no 802.1Q VLANs"), "{told}");
        return;
    }
    run(
        &segment.machine,
        "ip addr flush dev far; ip link set far.7 up; ip addr add 10.1.0.1/24 dev far.7; ip -6 addr add fd00:1::1/64 dev far.7 nodad",
    );
    segment.host.converge(&wanted);
    segment.answers();
    segment
        .host
        .run("ip link del tbl1; ip link add link up0 name tbl1 type vlan id 8");
    segment.host.kernel.converge(&wanted).unwrap();
    segment.host.converge(&wanted);
    segment.answers();
    segment.host.converge(&HostPlan::default());
    assert_eq!(
        segment.host.run("ip -br link | grep -c tb || true").trim(),
        "0"
    );
}

/// A runtime that puts it into the sandbox by itself finds it on the host, and may bring it back.
#[test]
fn one_that_is_handed_over_is_known_by_its_mark_wherever_it_is() {
    let mut segment = Segment::new();
    let handed = Link {
        up: false,
        ..link(LinkKind::Macvlan {
            parent: name("up0"),
            mode: MacvlanMode::Bridge,
            mark: Some(name("tbv1")),
            mac: MAC,
            handed_over: true,
        })
    };
    let place = Place::host(Key::Link(name("tbc1")));
    let wanted = plan([(place, Object::Link(handed))]);
    segment.host.converge(&wanted);
    let mut watcher = segment.host.kernel.watch().unwrap();
    for round in 0..2 {
        let path = segment.host.path();
        segment.host.run(&format!("ip link set tbc1 netns {path}"));
        segment.inside(
            "ip link set tbc1 name eth0; ip addr add 10.1.0.5/24 dev eth0; ip link set eth0 up",
        );
        segment.inside("ip -6 addr add fd00:1::5/64 dev eth0 nodad");
        let mut look = Look::nowhere();
        for event in watcher.wait(LIMIT).unwrap() {
            look.add(event.look());
        }
        let outcome = segment.host.kernel.converge_at(&wanted, &look).unwrap();
        assert_eq!(
            (outcome.done.len(), outcome.failed.len()),
            (0, 0),
            "{outcome:?}"
        );
        segment.answers();
        if round == 0 {
            // As Docker does when a container leaves a network.
            segment.inside("ip link set eth0 down; ip link set eth0 name tbc1");
            let back = crate::testing::path(&segment.host.netns);
            segment.inside(&format!("ip link set tbc1 netns {back}"));
            segment
                .host
                .kernel
                .converge_at(&wanted, &Look::host())
                .unwrap();
            assert!(segment.host.run("ip link").contains("tbc1"));
        }
    }
    // Lost with its sandbox, it is there again to be taken.
    segment.inside("ip link del eth0");
    segment.host.kernel.converge(&wanted).unwrap();
    assert!(segment.host.run("ip link").contains("tbc1"));
    let path = segment.host.path();
    segment.host.run(&format!("ip link set tbc1 netns {path}"));
    segment.host.converge(&wanted);
    // The endpoint goes, and with it the interface, wherever it is.
    segment.host.kernel.converge(&HostPlan::default()).unwrap();
    assert!(!segment.inside("ip -o link").contains("tbc1"));
}

/// Who had the address before had another link-layer address, and the machine remembers it.
#[test]
fn an_address_is_announced_to_who_remembers_another() {
    let mut segment = Segment::new();
    run(
        &segment.machine,
        "ip neigh add 10.1.0.5 lladdr 02:00:00:00:00:99 dev far nud stale; ip neigh add fd00:1::5 lladdr 02:00:00:00:00:99 dev far nud stale",
    );
    let wanted = plan(segment.container("up0", MacvlanMode::Bridge));
    segment.host.converge(&wanted);
    for address in ["10.1.0.5", "fd00:1::5"] {
        let end = std::time::Instant::now() + Duration::from_secs(5);
        while !run(&segment.machine, &format!("ip neigh show {address}"))
            .contains("02:00:00:00:00:07")
        {
            assert!(
                std::time::Instant::now() < end,
                "{address} was not announced"
            );
        }
    }
}

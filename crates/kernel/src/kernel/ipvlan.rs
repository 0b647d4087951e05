//! Interfaces in sandboxes that share the link-layer address of the host's one below them. What they
//! have in common with macvlan is tried there; a kernel that has none must say so.

use tombolo_model::kinds::{IpvlanFlag, IpvlanMode};
use tombolo_plan::objects::{LinkKind, NextHop, Route};
use tombolo_plan::{HostPlan, Key, Object, Place};

use super::macvlan::{Segment, failures};
use crate::testing::{address, link, name, plan, run};

const MODES: [IpvlanMode; 3] = [IpvlanMode::L2, IpvlanMode::L3, IpvlanMode::L3s];

fn ipvlan(mode: IpvlanMode, flag: IpvlanFlag, mark: Option<&str>) -> LinkKind {
    LinkKind::Ipvlan {
        parent: name("up0"),
        mode,
        flag,
        mark: mark.map(name),
        handed_over: false,
    }
}

/// A segment, if the kernel can put such an interface on it; if not, what it lacks must be said.
fn segment() -> Option<Segment> {
    let mut segment = Segment::new();
    let add = "ip link add link up0 name probe type ipvlan && ip link del probe";
    let probe = || std::process::Command::new("sh").args(["-c", add]).status();
    if segment.host.netns.run(probe).unwrap().unwrap().success() {
        return Some(segment);
    }
    let kind = ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge, Some("tbv1"));
    let wanted = plan(segment.of_kind(kind));
    let told = failures(&mut segment.host.kernel, &wanted);
    assert!(told.contains("the kernel has no ipvlan"), "{told}");
    None
}

/// In the routed modes nobody on the segment is answered who asks for a container, so the machine is
/// told that the host routes to it.
fn tell_machine(segment: &Segment) {
    segment
        .host
        .run("ip addr add 10.1.0.2/24 dev up0; ip -6 addr add fd00:1::2/64 dev up0 nodad");
    run(
        &segment.machine,
        "ip route replace 10.1.0.5/32 via 10.1.0.2; ip -6 route replace fd00:1::5/128 via fd00:1::2",
    );
}

#[test]
fn a_container_is_on_the_segment_in_every_mode_or_the_lack_is_named() {
    let Some(_) = segment() else { return };
    for mode in MODES {
        for flag in [IpvlanFlag::Bridge, IpvlanFlag::Private, IpvlanFlag::Vepa] {
            let mut segment = Segment::new();
            let wanted = plan(segment.of_kind(ipvlan(mode, flag, Some("tbv1"))));
            segment.host.converge(&wanted);
            if mode.is_routed() {
                tell_machine(&segment);
            }
            segment.answers();
            let shown = segment.inside("ip -d link show eth0");
            for part in [&format!("mode {mode} {flag}"), "alias tbv1"] {
                assert!(shown.contains(part), "no {part}: {shown}");
            }
            segment.host.converge(&HostPlan::default());
            assert_eq!(segment.inside("ip -o link show eth0 || true"), "");
        }
    }
}

#[test]
fn what_others_do_to_it_is_repaired_or_the_lack_is_named() {
    let Some(mut segment) = segment() else {
        return;
    };
    let kind = ipvlan(IpvlanMode::L2, IpvlanFlag::Bridge, Some("tbv1"));
    let wanted = plan(segment.of_kind(kind));
    segment.host.converge(&wanted);
    for damage in [
        "ip link del eth0",
        "ip link set eth0 down",
        "ip link set eth0 alias mine",
        "ip addr flush dev eth0",
        "ip link set eth0 type ipvlan mode l3 private",
        "ip link del eth0; ip link add eth0 type bridge",
    ] {
        segment.inside(damage);
        segment.host.kernel.converge(&wanted).unwrap();
        segment.host.converge(&wanted);
        let left = segment.inside("ip -br link | grep -cE '^(eth0|tbv1)'");
        assert_eq!(left.trim(), "1", "after {damage}");
        segment.answers();
    }
}

/// The host has an interface among its containers, and so reaches them.
#[test]
fn the_host_reaches_its_container_through_one_of_its_own_or_the_lack_is_named() {
    let Some(_) = segment() else { return };
    for mode in MODES {
        let mut segment = Segment::new();
        let mut objects = segment.of_kind(ipvlan(mode, IpvlanFlag::Bridge, Some("tbv1")));
        let shim = link(ipvlan(mode, IpvlanFlag::Bridge, None));
        objects.push((Place::host(Key::Link(name("tbm1"))), Object::Link(shim)));
        let (key, object) = address("tbm1", "10.1.0.9/32");
        objects.push((Place::host(key), object));
        let key = Key::Route {
            table: 254,
            dst: "10.1.0.5/32".parse().unwrap(),
            metric: 0,
        };
        let route = Route {
            next: NextHop::Link(name("tbm1")),
            source: Some("10.1.0.9".parse().unwrap()),
            mtu: None,
        };
        objects.push((Place::host(key), Object::Route(route)));
        segment.host.converge(&plan(objects));
        segment.host.run("ping -qc1 -W2 10.1.0.5");
        segment.inside("ping -qc1 -W2 10.1.0.9");
    }
}

use tombolo_model::{Family, MacAddr, Mtu, Vni};
use tombolo_plan::objects::{BridgePort, Link, LinkKind, NextHop, Route, RoutingRule, Stations};
use tombolo_plan::{Key, Object, Place};

use super::*;
use crate::testing::{Host, address, link, name, pair, plan, run};

fn route(dst: &str, next: NextHop) -> (Key, Object) {
    let key = Key::Route {
        table: 254,
        dst: dst.parse().unwrap(),
        metric: 0,
    };
    (
        key,
        Object::Route(Route {
            next,
            source: None,
            mtu: None,
        }),
    )
}

fn via(gateway: &str, link: &str) -> NextHop {
    NextHop::Via {
        gateway: gateway.parse().unwrap(),
        link: name(link),
        onlink: true,
    }
}

/// A sandbox with addresses of both families and default routes, as the `routed` driver wants it.
fn container(path: &str) -> Vec<(Place, Object)> {
    let mut objects = pair("tbv1", path);
    for (key, object) in [
        address("eth0", "10.244.0.2/32"),
        address("eth0", "fd00::2/128"),
        route("0.0.0.0/0", via("169.254.1.1", "eth0")),
        route("::/0", via("fe80::1", "eth0")),
    ] {
        objects.push((Place::sandbox(path, key), object));
    }
    for (key, object) in [
        route("10.244.0.2/32", NextHop::Link(name("tbv1"))),
        route("fd00::2/128", NextHop::Link(name("tbv1"))),
        address("tbv1", "fe80::1/64"),
        address("tbv1", "169.254.1.1/32"),
        route("10.244.0.0/26", NextHop::Blackhole),
        route("fd00::/122", NextHop::Blackhole),
        (
            Key::Sysctl("net/ipv4/ip_forward".into()),
            Object::Sysctl("1".into()),
        ),
        (
            Key::Sysctl("net/ipv4/conf/tbv1/proxy_arp".into()),
            Object::Sysctl("1".into()),
        ),
        (
            Key::Neighbour {
                link: name("tbv1"),
                address: "10.244.0.2".parse().unwrap(),
            },
            Object::Neighbour(MacAddr([2, 0, 0, 0, 0, 7])),
        ),
    ] {
        objects.push((Place::host(key), object));
    }
    objects
}

#[test]
fn a_container_is_attached_and_answers() {
    let mut host = Host::new();
    let path = host.path();
    let mut objects = container(&path);
    objects.push((
        Place::host(Key::Link(name("lo"))),
        Object::Link(link(LinkKind::Existing)),
    ));
    host.converge(&plan(objects));
    // A link that just came up may lose the first packet: the kernel starts its queue by and by.
    host.run("ip addr add 192.0.2.1/32 dev lo; ping -c5 -i0.2 -W2 -I 192.0.2.1 10.244.0.2");
    let inside = run(
        &host.sandbox,
        "ip -j -d addr show eth0; ip route; ip -6 route",
    );
    for part in [
        "\"02:00:00:00:00:07\"",
        "10.244.0.2",
        "\"mtu\":1450",
        "default via fe80::1",
    ] {
        assert!(inside.contains(part), "{part}: {inside}");
    }
    let outside = host.run("ip route; ip -6 route; ip neigh");
    for part in [
        "blackhole 10.244.0.0/26 proto 84",
        "blackhole fd00::/122",
        "PERMANENT",
    ] {
        assert!(outside.contains(part), "{part}: {outside}");
    }
}

#[test]
fn an_empty_plan_removes_what_is_ours_and_nothing_else() {
    let mut host = Host::new();
    let path = host.path();
    host.run("ip link set lo up; ip link add foreign type bridge; ip link set foreign up");
    host.run(
        "ip route add 10.244.0.0/26 dev foreign metric 7; ip route add 10.9.0.0/16 dev foreign",
    );
    host.converge(&plan(container(&path)));
    host.converge(&HostPlan::default());
    assert_eq!(host.run("ip -br link | grep -c tb || true").trim(), "0");
    assert_eq!(
        host.run("ip route show proto 84; ip -6 route show proto 84"),
        ""
    );
    assert_eq!(host.run("ip route").lines().count(), 2);
    assert!(host.run("ip link show foreign").contains("foreign"));
}

#[test]
fn a_bridge_with_ports_is_as_planned_and_is_repaired() {
    let mut host = Host::new();
    let path = host.path();
    let mut objects = pair("tbv1", &path);
    let Object::Link(end) = &mut objects[0].1 else {
        unreachable!()
    };
    end.port = Some(BridgePort {
        bridge: name("tbb0"),
        hairpin: true,
        isolated: true,
        stations: Stations::Learned,
    });
    let bridge = Link {
        mac: Some(MacAddr([2, 0, 0, 0, 1, 1])),
        mtu: Some(Mtu::new(1400).unwrap()),
        ..link(LinkKind::Bridge)
    };
    objects.push((Place::host(Key::Link(name("tbb0"))), Object::Link(bridge)));
    for (key, object) in [
        address("tbb0", "10.22.0.1/16"),
        route("10.22.0.0/16", NextHop::Link(name("tbb0"))),
    ] {
        objects.push((Place::host(key), object));
    }
    let plan = plan(objects);
    host.converge(&plan);
    let shown = host.run("ip -d link show tbv1; ip -d link show tbb0; ip route");
    for part in [
        "hairpin on",
        "isolated on",
        "master tbb0",
        "stp_state 0",
        "10.22.0.0/16 dev tbb0 proto 84",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    for damage in [
        "ip link set tbv1 nomaster",
        "ip link set tbv1 down",
        "ip link set tbb0 address 02:00:00:00:09:09",
        "ip link set tbb0 mtu 1300",
        "ip link set tbv1 type bridge_slave hairpin off isolated off",
        "ip addr flush dev tbb0",
        "ip addr add 10.99.0.1/24 dev tbb0",
        "ip link del tbb0",
        "ip link del tbv1",
        "ip link add tbv99 type veth peer name tbv98",
    ] {
        host.run(damage);
        assert!(!diff(&plan, &host.observe(&plan)).is_empty(), "{damage}");
        host.converge(&plan);
    }
}

#[test]
fn a_vxlan_device_and_its_entries_are_as_planned_and_are_repaired() {
    let mut host = Host::new();
    host.run("ip link add under type bridge; ip link set under up");
    host.run("ip addr add 192.0.2.1/24 dev under; ip addr add 2001:db8::1/64 dev under nodad");
    for (local, remote, other) in [
        ("192.0.2.1", "192.0.2.2", "192.0.2.3"),
        ("2001:db8::1", "2001:db8::2", "2001:db8::3"),
    ] {
        let kind = LinkKind::Vxlan {
            vni: Vni::new(4096).unwrap(),
            port: 4789,
            local: local.parse().unwrap(),
            parent: name("under"),
        };
        let device = Link {
            mtu: Some(Mtu::new(1400).unwrap()),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
            ..link(kind)
        };
        let mac = MacAddr([2, 0, 0, 0, 0, 2]);
        let fdb = |mac, remote: &str, many: bool| {
            let remote = remote.parse().unwrap();
            let key = Key::Fdb {
                link: name("tbx0"),
                mac,
                remote: many.then_some(remote),
            };
            (Place::host(key), Object::Fdb(remote))
        };
        let gateway = "10.244.1.0".parse().unwrap();
        let next = NextHop::Via {
            gateway,
            link: name("tbx0"),
            onlink: true,
        };
        let peer = route("10.244.1.0/26", next);
        let plan = plan([
            (Place::host(Key::Link(name("tbx0"))), Object::Link(device)),
            fdb(mac, remote, false),
            fdb(MacAddr([0; 6]), remote, true),
            fdb(MacAddr([0; 6]), other, true),
            (
                Place::host(Key::Neighbour {
                    link: name("tbx0"),
                    address: gateway,
                }),
                Object::Neighbour(mac),
            ),
            (Place::host(peer.0), peer.1),
        ]);
        host.converge(&plan);
        let shown = host.run("ip -d link show tbx0; bridge fdb show dev tbx0; ip route");
        for part in [
            "id 4096",
            "nolearning",
            "dstport 4789",
            remote,
            other,
            "onlink",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        for damage in [
            format!("bridge fdb del 02:00:00:00:00:02 dev tbx0 dst {remote}"),
            format!("bridge fdb replace 02:00:00:00:00:02 dev tbx0 dst {other}"),
            format!("bridge fdb append 00:00:00:00:00:00 dev tbx0 dst {local}"),
            "ip neigh del 10.244.1.0 dev tbx0".to_owned(),
            "ip neigh replace 10.244.1.0 lladdr 02:02:02:02:02:02 dev tbx0 nud permanent"
                .to_owned(),
            "ip route del 10.244.1.0/26".to_owned(),
            "ip route replace blackhole 10.244.1.0/26 proto 84".to_owned(),
            "ip route add 10.77.0.0/16 dev tbx0 proto 84".to_owned(),
            "ip link set tbx0 address 02:00:00:00:00:09".to_owned(),
            "ip link del tbx0".to_owned(),
        ] {
            host.run(&damage);
            assert!(!diff(&plan, &host.observe(&plan)).is_empty(), "{damage}");
            host.converge(&plan);
        }
    }
}

#[test]
fn rules_are_made_changed_and_removed() {
    let mut host = Host::new();
    for family in Family::ALL {
        let key = Key::RoutingRule {
            family,
            priority: 300,
        };
        let rule = |table| {
            let mark = Some((0x10, 0xf0));
            Object::RoutingRule(RoutingRule {
                from: None,
                to: None,
                mark,
                table,
            })
        };
        host.converge(&plan([(Place::host(key.clone()), rule(100))]));
        host.converge(&plan([(Place::host(key), rule(1000))]));
        let flag = if family == Family::V6 { "-6" } else { "-4" };
        let shown = host.run(&format!("ip {flag} rule"));
        assert!(
            shown.contains("300:\tfrom all fwmark 0x10/0xf0 lookup 1000 proto 84"),
            "{shown}"
        );
        assert_eq!(shown.matches("300:").count(), 1, "{shown}");
    }
    host.converge(&HostPlan::default());
    assert!(!host.run("ip rule; ip -6 rule").contains("300:"));
}

#[test]
fn an_error_has_the_kernels_own_words() {
    let mut host = Host::new();
    host.run("ip link add tbb0 type bridge; ip link set tbb0 up");
    let next = NextHop::Via {
        gateway: "203.0.113.1".parse().unwrap(),
        link: name("tbb0"),
        onlink: false,
    };
    let (key, object) = route("10.0.0.0/8", next);
    let bridge = (
        Place::host(Key::Link(name("tbb0"))),
        Object::Link(link(LinkKind::Bridge)),
    );
    let result = host
        .kernel
        .converge(&plan([bridge, (Place::host(key), object)]))
        .unwrap();
    let text = result.failed[0].1.to_string();
    assert!(
        text.starts_with("create route 10.0.0.0/8 in host: Nexthop has invalid gateway"),
        "{text}"
    );
    assert!(text.contains("mark the route onlink"), "{text}");
}

#[test]
fn a_sandbox_that_is_gone_does_not_stop_the_rest() {
    let mut host = Host::new();
    let mut objects = pair("tbv1", "/nonexistent/netns");
    let (key, object) = route("10.1.0.0/16", NextHop::Blackhole);
    objects.push((Place::host(key), object));
    let result = host.kernel.converge(&plan(objects)).unwrap();
    assert_eq!(result.done.len(), 1);
    let gone = KernelError::SandboxGone {
        path: "/nonexistent/netns".into(),
    };
    assert!(
        result.failed.iter().all(|(_, error)| *error == gone),
        "{:?}",
        result.failed
    );
    assert!(host.run("ip route").contains("blackhole 10.1.0.0/16"));
}

#[test]
fn what_exists_already_counts_as_made_and_what_is_gone_as_removed() {
    let mut host = Host::new();
    host.run("ip link set lo up; ip route add blackhole 10.1.0.0/16 proto 84");
    let (key, object) = route("10.1.0.0/16", NextHop::Blackhole);
    let place = Place::host(key);
    let create = Op::Create {
        place: place.clone(),
        object: object.clone(),
    };
    assert!(
        host.kernel
            .apply(std::slice::from_ref(&create))
            .failed
            .is_empty()
    );
    let remove = Op::Remove { place, object };
    for _ in 0..2 {
        assert!(
            host.kernel
                .apply(std::slice::from_ref(&remove))
                .failed
                .is_empty()
        );
    }
    host.run("ip route add blackhole 10.1.0.0/16");
    let failed = host.kernel.apply(&[create]).failed;
    assert!(
        failed[0]
            .1
            .to_string()
            .contains("something else holds its place"),
        "{failed:?}"
    );
}

#[test]
fn a_kernel_and_a_watcher_may_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Kernel>();
    is_send::<Watcher>();
}

/// An observation that is carried on by `record` is what reading would show.
#[test]
fn recording_what_was_done_is_as_good_as_reading() {
    let mut host = Host::new();
    let path = host.path();
    let plan = plan(container(&path));
    let mut observed = host.observe(&plan);
    let mut round = |host: &mut Host, wanted: &HostPlan| {
        let applied = host.kernel.apply(&diff(wanted, &observed));
        assert!(applied.failed.is_empty(), "{:?}", applied.failed);
        applied
            .done
            .iter()
            .for_each(|op| crate::record(&mut observed, op));
        assert_eq!(diff(wanted, &observed), []);
        assert_eq!(diff(wanted, &host.observe(wanted)), []);
    };
    round(&mut host, &plan);
    let without: HostPlan = {
        let mut fewer = plan.clone();
        fewer.objects.retain(|place, _| place.netns == Netns::Host);
        fewer.objects.retain(
            |place, _| matches!(place.key, Key::Sysctl(ref s) if s.ends_with("ip_forward")),
        );
        fewer
    };
    round(&mut host, &without);
}

#[test]
fn an_end_that_is_handed_over_may_go_into_a_sandbox_and_come_back() {
    let mut host = Host::new();
    let mut objects = pair("tbv1", "/none");
    let (_, Object::Link(near)) = &mut objects[0] else {
        unreachable!()
    };
    let LinkKind::Veth(peer) = &mut near.kind else {
        unreachable!()
    };
    (peer.netns, peer.name) = (Netns::Host, name("tbc1"));
    peer.handed_over = true;
    let wanted = plan(objects.into_iter().take(1));
    host.converge(&wanted);
    let end = host.run("ip -o link show tbc1");
    assert!(
        end.contains("state DOWN") && end.contains("02:00:00:00:00:07"),
        "{end}"
    );
    // As a runtime does it: a new name, an address, up.
    let index = host.run("ip -o link show tbv1");
    let sleeper = host
        .sandbox
        .run(|| std::process::Command::new("sleep").arg("60").spawn())
        .unwrap();
    let mut sleeper = sleeper.unwrap();
    host.run(&format!("ip link set tbc1 netns {}", sleeper.id()));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    run(
        &host.sandbox,
        "ip link set tbc1 name eth0; ip addr add 10.0.0.5/24 dev eth0; ip link set eth0 up",
    );
    host.converge(&wanted);
    assert_eq!(
        host.run("ip -o link show tbv1").split(':').next(),
        index.split(':').next()
    );
    let inside = run(&host.sandbox, "ip -o addr show eth0");
    assert!(inside.contains("10.0.0.5/24"), "{inside}");
    // The pair goes, and the end with it, wherever it is.
    host.converge(&plan([]));
    assert!(!run(&host.sandbox, "ip -o link").contains("eth0"));
}

//! Routes with several gateways, and with gateways of the other family.

use std::net::IpAddr;

use tombolo_plan::objects::{Hop, MAIN_TABLE, NextHop, Route};
use tombolo_plan::{HostPlan, Key, Object, Place};

use crate::testing::{Host, name, path, plan};

fn hop(gateway: &str, link: &str) -> Hop {
    Hop {
        gateway: gateway.parse().unwrap(),
        link: name(link),
        onlink: false,
    }
}

/// Through one gateway as plans have it, through several in their order.
fn through(hops: &[(&str, &str)]) -> NextHop {
    let mut hops: Vec<Hop> = hops.iter().map(|(via, dev)| hop(via, dev)).collect();
    hops.sort();
    match hops.as_slice() {
        [one] => NextHop::Via {
            gateway: one.gateway,
            link: one.link.clone(),
            onlink: false,
        },
        _ => NextHop::Many(hops),
    }
}

fn routes(wanted: &[(&str, &[(&str, &str)])]) -> HostPlan {
    plan(wanted.iter().map(|(dst, hops)| {
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: dst.parse().unwrap(),
            metric: 2000,
        };
        let route = Route {
            next: through(hops),
            source: None,
            mtu: Some(1400),
        };
        (Place::host(key), Object::Route(route))
    }))
}

/// A host with two wires that lead nowhere, each with a subnet of both families.
fn host() -> Host {
    let host = Host::new();
    for (index, wire) in ["up0", "up1"].into_iter().enumerate() {
        host.run(&format!(
            "ip link add {wire} type veth peer name far{index}; ip link set far{index} up; \
             ip link set {wire} up; ip addr add 192.0.{index}.1/24 dev {wire}; \
             ip -6 addr add fd00:{index}::1/64 dev {wire} nodad"
        ));
    }
    host
}

const V4: &[(&str, &str)] = &[("192.0.0.2", "up0"), ("192.0.1.2", "up1")];
const V6: &[(&str, &str)] = &[("fd00:1::2", "up1"), ("fd00::2", "up0")];

#[test]
fn routes_with_several_gateways_are_as_planned() {
    let mut host = host();
    for step in [
        routes(&[
            ("10.1.0.0/16", V4),
            ("fd01::/64", V6),
            ("10.2.0.0/16", V6),
            ("10.3.0.0/16", &V6[..1]),
            ("10.4.0.0/16", &[V4[0], V6[0]]),
        ]),
        // From several to one and the other way round, in place.
        routes(&[
            ("10.1.0.0/16", &V4[..1]),
            ("fd01::/64", &V6[..1]),
            ("10.2.0.0/16", V4),
            ("10.3.0.0/16", V6),
            ("10.4.0.0/16", &V6[1..]),
        ]),
        routes(&[
            ("10.1.0.0/16", V4),
            ("fd01::/64", &[V6[0], V6[1], ("fd00::3", "up0")]),
            ("10.3.0.0/16", &[V6[0], ("fd00::3", "up0")]),
        ]),
    ] {
        host.converge(&step);
    }
    let shown = host.run("ip route show proto 84");
    assert!(shown.contains("nexthop via 192.0.1.2 dev up1"), "{shown}");
    assert!(shown.contains("via inet6 fd00::3 dev up0"), "{shown}");
    host.converge(&HostPlan::default());
    assert_eq!(
        host.run("ip route show proto 84; ip -6 route show proto 84"),
        ""
    );
}

#[test]
fn a_gateway_that_somebody_takes_away_is_put_back() {
    let mut host = host();
    let wanted = routes(&[("10.1.0.0/16", V4), ("fd01::/64", V6)]);
    host.converge(&wanted);
    host.run("ip route replace 10.1.0.0/16 metric 2000 proto 84 via 192.0.0.2");
    host.run("ip -6 route del fd01::/64 metric 2000 via fd00::2 dev up0");
    host.converge(&wanted);
    let shown = host.run("ip route show proto 84; ip -6 route show proto 84");
    assert_eq!(shown.matches("nexthop").count(), 4, "{shown}");
    // Other weights are others' wishes.
    host.run(
        "ip route replace 10.1.0.0/16 metric 2000 proto 84 nexthop via 192.0.0.2 weight 7 \
         nexthop via 192.0.1.2",
    );
    host.converge(&wanted);
    let shown = host.run("ip route show proto 84");
    assert!(!shown.contains("weight 7"), "{shown}");
}

#[test]
fn ipv4_goes_over_a_wire_that_has_ipv6_only() {
    let mut hosts = [Host::new(), Host::new()];
    hosts[0].run("ip link add up0 type veth peer name far");
    let there = path(&hosts[1].netns);
    hosts[0].run(&format!("ip link set far netns {there} name up0"));
    for (here, host) in hosts.iter().enumerate() {
        host.run(&format!(
            "ip link set lo up; ip link set up0 up; ip addr add 10.0.{here}.1/32 dev lo; \
             ip -6 addr add fd00::{here}:1/64 dev up0 nodad"
        ));
    }
    for (here, host) in hosts.iter_mut().enumerate() {
        let there = 1 - here;
        let gateway: IpAddr = format!("fd00::{there}:1").parse().unwrap();
        let gateway = gateway.to_string();
        let prefix = format!("10.0.{there}.0/24");
        host.converge(&routes(&[(&prefix, &[(&gateway, "up0")])]));
    }
    hosts[0].run("ping -c5 -i0.2 -W5 -I 10.0.0.1 10.0.1.1");
}

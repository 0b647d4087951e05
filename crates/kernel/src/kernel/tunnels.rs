//! Tunnels between two hosts. A kernel that has none of a sort must say which one lacks.

use std::net::IpAddr;
use std::process::Command;

use tombolo_model::{Family, Mtu};
use tombolo_plan::objects::{Encap, Link, LinkKind, NextHop, Route, Tunnel};
use tombolo_plan::{HostPlan, Key, Object, Place};

use crate::testing::{Host, link, name, path, plan};

/// Two hosts on a wire, each with a tunnel's device and an address of each inner family.
struct Ends {
    hosts: [Host; 2],
    plans: [HostPlan; 2],
}

impl Ends {
    fn new(tunnel: fn(IpAddr) -> Tunnel, inner: &[Family], key: Option<u32>) -> Ends {
        let hosts = [Host::new(), Host::new()];
        hosts[0].run("ip link set lo up; ip link add up0 type veth peer name far");
        let there = path(&hosts[1].netns);
        hosts[0].run(&format!("ip link set far netns {there} name up0"));
        hosts[1].run("ip link set lo up");
        for (index, host) in hosts.iter().enumerate() {
            host.run(&format!(
                "ip link set up0 up; ip addr add {}/24 dev up0; ip -6 addr add {}/64 dev up0 nodad",
                outer(index, Family::V4),
                outer(index, Family::V6)
            ));
        }
        let plans = [0, 1].map(|here| wanted(here, tunnel, inner, key));
        Ends { hosts, plans }
    }

    fn converge(&mut self) {
        for (host, plan) in self.hosts.iter_mut().zip(&self.plans) {
            host.converge(plan);
        }
    }

    fn answers(&self, inner: &[Family]) {
        for family in inner {
            let there = own(1, *family);
            self.hosts[0].run(&format!("ping -c5 -i0.2 -W5 -s 1300 {there}"));
        }
    }

    /// Whether the kernel makes devices of this sort, as `ip` sees it. Where it does not, what it
    /// lacks must be said.
    fn are_possible(&mut self, sort: &str, lack: &str) -> bool {
        let which = if sort == "sit" {
            "local 192.0.2.77"
        } else {
            "external"
        };
        let add = format!("ip link add probe type {sort} {which} && ip link del probe");
        let probe = || Command::new("sh").args(["-c", &add]).status();
        let made = self.hosts[0].netns.run(probe);
        if made.unwrap().unwrap().success() {
            return true;
        }
        let told = self.hosts[0].kernel.converge(&self.plans[0]).unwrap();
        let told: Vec<String> = told.failed.iter().map(|(_, e)| e.to_string()).collect();
        assert!(told.iter().any(|text| text.contains(lack)), "{told:#?}");
        false
    }
}

fn outer(host: usize, family: Family) -> IpAddr {
    let text = match family {
        Family::V4 => format!("192.0.2.{}", host + 1),
        Family::V6 => format!("2001:db8::{}", host + 1),
    };
    text.parse().unwrap()
}

fn own(host: usize, family: Family) -> IpAddr {
    let text = match family {
        Family::V4 => format!("10.244.{}.0", host + 1),
        Family::V6 => format!("fd00:10::{}", host + 1),
    };
    text.parse().unwrap()
}

fn wanted(
    here: usize,
    tunnel: fn(IpAddr) -> Tunnel,
    inner: &[Family],
    key: Option<u32>,
) -> HostPlan {
    let device = name("tbi4");
    let tunnel = tunnel(outer(here, Family::V4));
    let family = tunnel.outer();
    let link = Link {
        mtu: Some(Mtu::new(1400).unwrap()),
        ..link(LinkKind::Tunnel(tunnel))
    };
    let mut objects = vec![(Key::Link(device.clone()), Object::Link(link))];
    for inner in inner {
        let net = Family::host_net(own(here, *inner));
        let link = device.clone();
        objects.push((Key::Address { link, net }, Object::Address));
        let there = outer(1 - here, family);
        let next = match (tunnel, there) {
            (Tunnel::Sit(_), IpAddr::V4(there)) => NextHop::Via {
                gateway: there.to_ipv6_compatible().into(),
                link: device.clone(),
                onlink: true,
            },
            _ => NextHop::Tunnel {
                gateway: match inner {
                    Family::V4 => own(1 - here, Family::V4),
                    Family::V6 => "fe80::9".parse().unwrap(),
                },
                link: device.clone(),
                encap: Encap {
                    from: outer(here, family),
                    to: there,
                    key,
                },
            },
        };
        let route = Route {
            next,
            source: Some(own(here, *inner)),
            mtu: key.map(|_| 1390),
        };
        let dst = Family::host_net(own(1 - here, *inner));
        let table = 254;
        let metric = 0;
        objects.push((Key::Route { table, dst, metric }, Object::Route(route)));
    }
    plan(
        objects
            .into_iter()
            .map(|(key, object)| (Place::host(key), object)),
    )
}

/// Packets pass, damage is repaired, and nothing is left; or the error says what the kernel lacks.
fn carries(tunnel: fn(IpAddr) -> Tunnel, inner: &[Family], lack: &str) {
    let mut ends = Ends::new(tunnel, inner, None);
    let sort = tunnel(outer(0, Family::V4)).name();
    if !ends.are_possible(sort, lack) {
        return;
    }
    ends.converge();
    ends.answers(inner);
    for damage in [
        "ip link del tbi4".to_owned(),
        "ip addr flush dev tbi4".to_owned(),
        "ip link set tbi4 down".to_owned(),
        "ip link set tbi4 mtu 1300".to_owned(),
        "ip route flush proto 84; ip -6 route flush proto 84".to_owned(),
        format!(
            "ip link del tbi4; ip link add tbi4 type {sort} local 192.0.2.1 remote 192.0.2.9 || ip link add tbi4 type bridge"
        ),
    ] {
        ends.hosts[0].run(&damage);
        ends.hosts[0].kernel.converge(&ends.plans[0]).unwrap();
        ends.converge();
        ends.answers(inner);
    }
    ends.hosts[0].converge(&HostPlan::default());
    let left = ends.hosts[0].run("ip -br link | grep -c '^tb' || true");
    assert_eq!(left.trim(), "0");
}

#[test]
fn packets_of_ipv4_travel_in_ipv4_or_the_lack_is_named() {
    carries(|_| Tunnel::Ipip, &[Family::V4], "modprobe ipip");
}

#[test]
fn packets_of_ipv6_travel_in_ipv4_or_the_lack_is_named() {
    let sit = |here| match here {
        IpAddr::V4(here) => Tunnel::Sit(here),
        IpAddr::V6(_) => Tunnel::Ip6tnl,
    };
    carries(sit, &[Family::V6], "modprobe sit");
}

#[test]
fn packets_of_both_families_travel_in_ipv6_or_the_lack_is_named() {
    carries(|_| Tunnel::Ip6tnl, &Family::ALL, "modprobe ip6_tunnel");
}

#[test]
fn packets_of_both_families_travel_in_gre_or_the_lack_is_named() {
    carries(|_| Tunnel::Gre, &Family::ALL, "modprobe ip_gre");
}

#[test]
fn packets_of_both_families_travel_in_gre_over_ipv6_or_the_lack_is_named() {
    carries(|_| Tunnel::Ip6gre, &Family::ALL, "modprobe ip6_gre");
}

/// Routes that say otherwise than planned where packets go, or how, are put right; those of another
/// sort of encapsulation give way.
#[test]
fn what_a_route_says_of_the_outer_packets_is_kept_as_planned() {
    let mut ends = Ends::new(|_| Tunnel::Gre, &Family::ALL, Some(7));
    if !ends.are_possible("gre", "modprobe ip_gre") {
        return;
    }
    ends.converge();
    ends.answers(&Family::ALL);
    let shown = ends.hosts[0].run("ip route; ip -6 route");
    assert_eq!(shown.matches("encap ip id 7").count(), 2, "{shown}");
    for wrong in [
        "encap ip id 8 key src 192.0.2.1 dst 192.0.2.2 ttl 64 via 10.244.2.0 dev tbi4 onlink",
        "encap ip id 7 src 192.0.2.1 dst 192.0.2.2 ttl 64 via 10.244.2.0 dev tbi4 onlink",
        "encap ip id 7 key src 192.0.2.1 dst 192.0.2.9 ttl 64 via 10.244.2.0 dev tbi4 onlink",
        "encap ip id 7 key dst 192.0.2.2 ttl 64 via 10.244.2.0 dev tbi4 onlink",
        "encap ip id 7 key src 192.0.2.1 dst 192.0.2.2 ttl 3 via 10.244.2.0 dev tbi4 onlink",
        "encap ip id 7 key src 192.0.2.1 dst 192.0.2.2 ttl 64 dev tbi4",
        "via 192.0.2.2 dev up0",
    ] {
        ends.hosts[0].run(&format!("ip route replace 10.244.2.0/32 proto 84 {wrong}"));
        let off = ends.hosts[0].kernel.converge(&ends.plans[0]).unwrap();
        assert_eq!(off.done.len(), 1, "{wrong}: {:?}", off.done);
        ends.converge();
        ends.answers(&Family::ALL);
    }
}

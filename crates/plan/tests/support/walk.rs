//! A packet's way from one node's container to another's, as the kernels would take it.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, IfName};
use tombolo_plan::bgp::BGP_METRIC;
use tombolo_plan::objects::{Encap, Link, LinkKind, MAIN_TABLE, NextHop, Route, Tunnel};
use tombolo_plan::{Key, Netns, Object, Place};

use crate::cluster::{Host, Shape};
use crate::fake_kernel::FakeKernel;

/// Whether a packet from the container of one node reaches that of another; why not, if not.
pub fn walk(hosts: &[Host], shape: &Shape, from: usize, to: usize) -> Result<(), String> {
    for target in hosts[to].workload.iter().copied() {
        reach(hosts, shape, (from, to), target)
            .map_err(|why| format!("{} → {target}: {why}", hosts[from].name))?;
    }
    Ok(())
}

fn reach(
    hosts: &[Host],
    shape: &Shape,
    (from, to): (usize, usize),
    target: IpAddr,
) -> Result<(), String> {
    let (sender, receiver) = (&hosts[from], &hosts[to]);
    let (dst, route) = lookup(&sender.kernel, target).ok_or("the sender has no route")?;
    let overhead = match &route.next {
        NextHop::Tunnel { link, encap, .. } => through_encap(sender, receiver, link, encap)?,
        NextHop::Via { gateway, link, .. } if link.as_str().starts_with("tbx") => {
            through_tunnel(sender, receiver, link, *gateway)?
        }
        NextHop::Via { gateway, link, .. } if link.as_str().starts_with("tbi") => {
            through_sit(sender, receiver, link, *gateway)?
        }
        NextHop::Via { gateway, .. }
            if *gateway == crate::cluster::router(shape.subnets[from], Family::of(target)) =>
        {
            if !receiver.announces(&dst) {
                return Err(format!("{gateway} does not know {dst}"));
            }
            0
        }
        NextHop::Via { gateway, .. } => {
            if !receiver.underlay.contains(gateway) {
                return Err(format!("{gateway} is not the receiver"));
            }
            if shape.subnets[from] != shape.subnets[to] {
                return Err(format!("{gateway} is behind a router"));
            }
            0
        }
        _ => return Err(format!("the sender's route is {route}")),
    };
    let path = shape.mtus[from].min(shape.mtus[to]);
    let largest = endpoint_mtu(sender)?.min(route.mtu.unwrap_or(u32::MAX));
    if largest + overhead > path {
        return Err(format!(
            "packets of {largest} and {overhead} bytes do not pass {path}"
        ));
    }
    match lookup(&receiver.kernel, target) {
        Some((
            net,
            Route {
                next: NextHop::Link(_),
                ..
            },
        )) if net == Family::host_net(target) => Ok(()),
        other => Err(format!("the receiver does not deliver it: {other:?}")),
    }
}

/// Longest prefix first; only lengths that plans of these tests have.
fn lookup(kernel: &FakeKernel, target: IpAddr) -> Option<(IpNet, Route)> {
    let lengths: &[u8] = match target {
        IpAddr::V4(_) => &[32, 26, 16],
        IpAddr::V6(_) => &[128, 122, 112],
    };
    let at = |length: u8, metric: u32| {
        let dst = IpNet::new_assert(target, length).trunc();
        let key = Key::Route {
            table: MAIN_TABLE,
            dst,
            metric,
        };
        match kernel.objects.get(&Place::host(key)) {
            Some(Object::Route(route)) => Some((dst, route.clone())),
            _ => None,
        }
    };
    let by_metric = |length| at(length, 0).or_else(|| at(length, BGP_METRIC));
    lengths.iter().find_map(|length| by_metric(*length))
}

/// Bytes that the tunnel adds, if both ends of it fit together at this moment.
fn through_tunnel(
    sender: &Host,
    receiver: &Host,
    device: &IfName,
    gateway: IpAddr,
) -> Result<u32, String> {
    let neighbour = Key::Neighbour {
        link: device.clone(),
        address: gateway,
    };
    let Some(Object::Neighbour(mac)) = sender.kernel.objects.get(&Place::host(neighbour)) else {
        return Err(format!("{gateway} has no link-layer address"));
    };
    let fdb = Key::Fdb {
        link: device.clone(),
        mac: *mac,
        remote: None,
    };
    let Some(Object::Fdb(remote)) = sender.kernel.objects.get(&Place::host(fdb)) else {
        return Err(format!("{mac} has no remote"));
    };
    if !receiver.underlay.contains(remote) {
        return Err(format!("{mac} is at {remote}, which is not the receiver"));
    }
    let key = Place::host(Key::Link(device.clone()));
    let Some(Object::Link(Link {
        kind: LinkKind::Vxlan { vni, port, .. },
        ..
    })) = sender.kernel.objects.get(&key)
    else {
        return Err(format!("the sender has no device {device}"));
    };
    let fits = receiver.kernel.objects.values().any(|object| match object {
        Object::Link(Link {
            kind:
                LinkKind::Vxlan {
                    vni: v,
                    port: p,
                    local,
                    ..
                },
            mac: Some(m),
            up: true,
            ..
        }) => v == vni && p == port && local == remote && m == mac,
        _ => false,
    });
    let overhead = Family::of(*remote).header_bytes() + 8 + 8 + 14;
    fits.then_some(overhead)
        .ok_or_else(|| format!("the receiver does not listen for {vni} on {port} at {remote}"))
}

/// The same of a tunnel whose routes say where its other end is.
fn through_encap(
    sender: &Host,
    receiver: &Host,
    device: &IfName,
    encap: &Encap,
) -> Result<u32, String> {
    let tunnel = tunnel_of(sender, device)?;
    if !sender.underlay.contains(&encap.from) || !receiver.underlay.contains(&encap.to) {
        return Err(format!("{encap} is not the way to the receiver"));
    }
    if !tunnels(receiver).any(|other| other == tunnel) {
        return Err(format!("the receiver has no {tunnel}"));
    }
    let key = if encap.key.is_some() { 4 } else { 0 };
    let header = match tunnel {
        Tunnel::Gre | Tunnel::Ip6gre => 4 + key,
        _ => 0,
    };
    Ok(Family::of(encap.to).header_bytes() + header)
}

/// The same of one whose next hop is its other end.
fn through_sit(
    sender: &Host,
    receiver: &Host,
    device: &IfName,
    gateway: IpAddr,
) -> Result<u32, String> {
    let (Tunnel::Sit(_), IpAddr::V6(gateway)) = (tunnel_of(sender, device)?, gateway) else {
        return Err(format!("{device} does not lead to {gateway}"));
    };
    let there = gateway.to_ipv4().ok_or("the gateway is no IPv4 address")?;
    if !receiver.underlay.contains(&there.into()) {
        return Err(format!("{gateway} is not the receiver"));
    }
    let fits = tunnels(receiver).any(|other| other == Tunnel::Sit(there));
    fits.then_some(20)
        .ok_or_else(|| format!("the receiver has no tunnel at {there}"))
}

fn tunnel_of(host: &Host, device: &IfName) -> Result<Tunnel, String> {
    match host
        .kernel
        .objects
        .get(&Place::host(Key::Link(device.clone())))
    {
        Some(Object::Link(Link {
            kind: LinkKind::Tunnel(tunnel),
            up: true,
            ..
        })) => Ok(*tunnel),
        _ => Err(format!("the sender has no device {device}")),
    }
}

fn tunnels(host: &Host) -> impl Iterator<Item = Tunnel> {
    host.kernel
        .objects
        .values()
        .filter_map(|object| match object {
            Object::Link(Link {
                kind: LinkKind::Tunnel(tunnel),
                up: true,
                ..
            }) => Some(*tunnel),
            _ => None,
        })
}

/// The larger of the two ends' MTU.
fn endpoint_mtu(host: &Host) -> Result<u32, String> {
    let ends = host.kernel.objects.iter().filter_map(|(place, object)| {
        let is_container = matches!(&place.netns, Netns::Sandbox(_));
        match object {
            Object::Link(link) if is_container || matches!(link.kind, LinkKind::Veth(_)) => {
                Some(link.mtu?.get())
            }
            _ => None,
        }
    });
    ends.max()
        .ok_or_else(|| "the sender has no endpoint".to_owned())
}

//! What the network between the nodes looks like from here: interfaces, default route, and the way
//! to an address. It reports; which one is used is decided elsewhere.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, IfName, MacAddr};
use tombolo_plan::Netns;
use tombolo_plan::objects::{MAIN_TABLE, NextHop};

use crate::address;
use crate::error::KernelError;
use crate::link::LinkInfo;
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::route::{DST, decode, family_number, object, read_all};
use crate::session::Session;

/// An interface with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: IfName,
    /// Its index.
    pub index: u32,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// Its link-layer address, if it has one of Ethernet.
    pub mac: Option<MacAddr>,
    /// Whether it is set up.
    pub up: bool,
    /// Whether frames can leave and come: a cable is plugged in, and somebody at its other end.
    pub carrier: bool,
    /// Its addresses, with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// `veth`, `bridge`, …; none for hardware.
    pub kind: Option<String>,
    /// Whether it is the loopback.
    pub loopback: bool,
}

/// How a packet to an address would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteAnswer {
    /// By this interface.
    pub link: IfName,
    /// From this address.
    pub source: Option<IpAddr>,
    /// Through this gateway; none where the address is on the link.
    pub gateway: Option<IpAddr>,
}

/// All interfaces of a namespace, by index.
///
/// # Errors
/// The kernel refuses to tell.
pub fn interfaces(netns: &NetnsHandle) -> Result<Vec<Interface>, KernelError> {
    let mut session = open(netns)?;
    let addresses = address::read_all(&mut session)?;
    let interface = |link: &LinkInfo| {
        Some(Interface {
            name: IfName::new(link.name.as_str()).ok()?,
            index: link.index,
            mtu: link.mtu,
            mac: link.mac,
            up: link.up,
            carrier: link.carrier,
            addresses: addresses
                .iter()
                .filter(|a| a.index == link.index)
                .map(|a| a.net)
                .collect(),
            kind: link.kind.clone(),
            loopback: link.loopback,
        })
    };
    Ok(session.links.iter().filter_map(interface).collect())
}

/// The interface of the default route of the main table; of several, the one with the lowest
/// metric.
///
/// # Errors
/// The kernel refuses to tell.
pub fn default_route(netns: &NetnsHandle, family: Family) -> Result<Option<IfName>, KernelError> {
    let mut session = open(netns)?;
    let routes = read_all(&mut session, family, 0)?;
    let best = routes
        .iter()
        .filter(|r| r.dst.prefix_len() == 0 && r.table == MAIN_TABLE && r.kind == libc::RTN_UNICAST)
        .filter_map(|r| Some((r.metric, session.links.name(r.link?)?)))
        .min_by_key(|(metric, _)| *metric);
    Ok(best.map(|(_, link)| link))
}

/// A way of the host's own: not one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where to.
    pub dst: IpNet,
    /// The lower of two to the same destination is taken.
    pub metric: u32,
    /// By this interface.
    pub link: IfName,
    /// Through this gateway; none where the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The gateway is on the link though no address says so.
    pub onlink: bool,
}

/// The routes of the main table that others made: how next hops of routes that are learned are
/// reached. Those by an interface that is down are left out: the kernel keeps some, but takes none.
///
/// # Errors
/// The kernel refuses to tell.
pub fn ways(netns: &NetnsHandle, own_protocol: u8) -> Result<Vec<Way>, KernelError> {
    let mut session = open(netns)?;
    let mut found = Vec::new();
    for family in Family::ALL {
        for route in read_all(&mut session, family, 0)? {
            let usable = route.table == MAIN_TABLE
                && route.kind == libc::RTN_UNICAST
                && route.protocol != own_protocol;
            if !usable {
                continue;
            }
            let Some(route_object) = object(&route, &session.links) else {
                continue;
            };
            for (link, gateway, onlink) in exits(&route_object.next) {
                let is_up = |link: &LinkInfo| link.up && link.carrier;
                if session.links.info(&link).is_some_and(is_up) {
                    found.push(Way {
                        dst: route.dst,
                        metric: route.metric,
                        link,
                        gateway,
                        onlink,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Where packets leave by a route: links, with the gateways on them. None by one that no plan could
/// want: those say nothing of who is on the link.
fn exits(next: &NextHop) -> Vec<(IfName, Option<IpAddr>, bool)> {
    let via = |link: &IfName, gateway: IpAddr, onlink| {
        (!gateway.is_unspecified()).then(|| (link.clone(), Some(gateway), onlink))
    };
    match next {
        NextHop::Link(link) => vec![(link.clone(), None, false)],
        NextHop::Via {
            gateway,
            link,
            onlink,
        } => via(link, *gateway, *onlink).into_iter().collect(),
        NextHop::Many(hops) => {
            let exits = hops
                .iter()
                .filter_map(|hop| via(&hop.link, hop.gateway, hop.onlink));
            exits.collect()
        }
        NextHop::Tunnel { .. } | NextHop::Blackhole => Vec::new(),
    }
}

/// A route that somebody left: its destination, and who packets are given to, on which link, and
/// whether no address says that they are there.
pub type Left = (IpNet, Vec<(IpAddr, IfName, bool)>);

/// The routes of the main table that a former run left, of one protocol and metric, by gateways.
///
/// # Errors
/// The kernel refuses to tell.
pub fn left(netns: &NetnsHandle, protocol: u8, metric: u32) -> Result<Vec<Left>, KernelError> {
    let mut session = open(netns)?;
    let mut found = Vec::new();
    for family in Family::ALL {
        for route in read_all(&mut session, family, protocol)? {
            if route.table != MAIN_TABLE || route.metric != metric {
                continue;
            }
            let Some(left) = object(&route, &session.links) else {
                continue;
            };
            let exits = exits(&left.next).into_iter();
            let hops = exits.filter_map(|(link, gateway, onlink)| Some((gateway?, link, onlink)));
            let hops: Vec<_> = hops.collect();
            if hops.is_empty() {
                continue;
            }
            found.push((route.dst, hops));
        }
    }
    Ok(found)
}

/// How a packet to an address would leave.
///
/// # Errors
/// There is no route, or the kernel refuses to tell.
pub fn route_to(netns: &NetnsHandle, address: IpAddr) -> Result<RouteAnswer, KernelError> {
    let mut session = open(netns)?;
    let family = Family::of(address);
    let mut header = [0; 12];
    header[0] = family_number(family);
    header[1] = family.bits();
    let mut message = Message::new(libc::RTM_GETROUTE, 0, &header);
    message.put_ip(DST, address);
    let operation = format!("look up the route to {address}");
    let (_, body) = session
        .socket
        .request(&message)
        .map_err(|cause| KernelError::refused(&operation, netns.name(), cause))?;
    let route = decode(&body);
    let link = route
        .as_ref()
        .and_then(|route| session.links.name(route.link?));
    match (route, link) {
        (Some(route), Some(link)) => Ok(RouteAnswer {
            link,
            source: route.source,
            gateway: route.gateway,
        }),
        _ => Err(KernelError::Impossible {
            operation,
            reason: "its route leads to no interface",
        }),
    }
}

fn open(netns: &NetnsHandle) -> Result<Session, KernelError> {
    let mut session = Session::open(netns.clone(), Netns::Host)?;
    session.load_links()?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, name};

    #[test]
    fn interfaces_routes_and_the_default_are_found() {
        let host = Host::new();
        host.run("ip link add up0 type bridge; ip link add up1 type bridge");
        host.run("ip link set up0 up mtu 1400; ip link set up1 up");
        host.run("ip addr add 192.0.2.1/24 dev up0; ip addr add 198.51.100.1/24 dev up1");
        host.run("ip addr add 2001:db8::1/64 dev up1 nodad");
        host.run("ip route add default via 198.51.100.9 metric 50");
        host.run("ip route add default via 192.0.2.9 metric 10");
        let up0 = interfaces(&host.netns)
            .unwrap()
            .into_iter()
            .find(|i| i.name == name("up0"));
        let up0 = up0.unwrap();
        assert_eq!(
            (up0.mtu, up0.up, up0.kind.as_deref()),
            (1400, true, Some("bridge"))
        );
        assert!(up0.addresses.contains(&"192.0.2.1/24".parse().unwrap()));
        assert_eq!(
            default_route(&host.netns, Family::V4).unwrap(),
            Some(name("up0"))
        );
        assert_eq!(default_route(&host.netns, Family::V6).unwrap(), None);
        host.run("ip route add 10.1.0.0/16 via 192.0.2.9 proto 84");
        host.run("ip route add 10.2.0.0/16 via 192.0.2.9 metric 7");
        host.run("ip route add 10.3.0.0/16 via 10.77.0.1 dev up0 onlink");
        host.run("ip route add 10.4.0.0/16 nexthop via 192.0.2.8 nexthop via 192.0.2.9");
        host.run("ip route add 10.5.0.0/16 nexthop via 192.0.2.8 weight 2 nexthop via 192.0.2.9");
        host.run("ip link set up1 down");
        let others: Vec<String> = ways(&host.netns, 84)
            .unwrap()
            .into_iter()
            .filter(|way| way.dst.addr().is_ipv4())
            .map(|way| format!("{} {:?} {} {}", way.dst, way.gateway, way.link, way.metric))
            .collect();
        assert_eq!(
            others,
            [
                "0.0.0.0/0 Some(192.0.2.9) up0 10",
                "10.2.0.0/16 Some(192.0.2.9) up0 7",
                "10.3.0.0/16 Some(10.77.0.1) up0 0",
                "10.4.0.0/16 Some(192.0.2.8) up0 0",
                "10.4.0.0/16 Some(192.0.2.9) up0 0",
                "192.0.2.0/24 None up0 0"
            ]
        );
        host.run("ip link set up1 up; ip route add default via 198.51.100.9 metric 50");
        let answer = route_to(&host.netns, "198.51.100.7".parse().unwrap()).unwrap();
        assert_eq!((answer.link, answer.gateway), (name("up1"), None));
        assert_eq!(answer.source, Some("198.51.100.1".parse().unwrap()));
        let answer = route_to(&host.netns, "203.0.113.5".parse().unwrap()).unwrap();
        assert_eq!(answer.gateway, Some("192.0.2.9".parse().unwrap()));
        let error = route_to(&host.netns, "2001:db8:9::1".parse().unwrap()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("look up the route to 2001:db8:9::1 in"),
            "{error}"
        );
    }
}

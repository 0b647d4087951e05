//! Routes. Ours carry our protocol number, in whichever table they are.
//!
//! Removing names the protocol too, so that a route of somebody else to the same destination is
//! never taken instead. IPv6 gives a route without a metric the metric 1024; a plan's 0 means that
//! one. In a sandbox a route that the plan names is ours whoever made it.

mod multipath;

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, IfName};
use tombolo_plan::objects::{Encap, Hop, NextHop, Route};
use tombolo_plan::{Key, Object};

use crate::encap;
use crate::error::KernelError;
use crate::netlink::{Attribute, Message, attributes};
use crate::read::Scope;
use crate::session::{Links, Session};

/// What marks addresses and neighbours as ours (`IFA_PROTO`, `NDA_PROTOCOL`): for readers only.
pub(crate) const OUR_PROTOCOL_MARK: u8 = 84;

/// `RTA_*` of linux/rtnetlink.h.
pub(crate) const DST: u16 = 1;
pub(crate) const OIF: u16 = 4;
pub(crate) const GATEWAY: u16 = 5;
const PRIORITY: u16 = 6;
pub(crate) const PREFSRC: u16 = 7;
const METRICS: u16 = 8;
const MULTIPATH: u16 = 9;
const TABLE: u16 = 15;
const VIA: u16 = 18;
pub(crate) const ENCAP_TYPE: u16 = 21;
pub(crate) const ENCAP: u16 = 22;
const METRIC_MTU: u16 = 2;
/// `RTNH_F_ONLINK`.
const ON_LINK: u32 = 4;
/// `IP6_RT_PRIO_USER`: what IPv6 makes of no metric.
const IPV6_DEFAULT_METRIC: u32 = 1024;

/// A route as the kernel tells of it.
#[derive(Debug, Clone)]
pub(crate) struct RouteInfo {
    pub table: u32,
    pub dst: IpNet,
    pub metric: u32,
    pub protocol: u8,
    pub kind: u8,
    onlink: bool,
    pub link: Option<u32>,
    pub gateway: Option<IpAddr>,
    encap: Option<Encap>,
    many: Vec<multipath::Gateway>,
    pub source: Option<IpAddr>,
    mtu: Option<u32>,
}

impl RouteInfo {
    /// The metric as somebody told it: 0 where IPv6 took its own.
    pub(crate) fn told_metric(&self) -> u32 {
        match self.dst {
            IpNet::V6(_) if self.metric == IPV6_DEFAULT_METRIC => 0,
            _ => self.metric,
        }
    }
}

/// `AF_INET` or `AF_INET6`, as headers have it.
pub(crate) fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

/// The routes of a family, only those of a protocol unless it is 0.
pub(crate) fn read_all(
    session: &mut Session,
    family: Family,
    protocol: u8,
) -> Result<Vec<RouteInfo>, KernelError> {
    let mut header = [0; 12];
    header[0] = family_number(family);
    header[5] = protocol;
    let message = Message::new(libc::RTM_GETROUTE, 0, &header);
    let routes = session.dump("routes", &message, |reply| decode(reply.body));
    let mut routes = match routes {
        // Not one route of that protocol, or no such family in this kernel.
        Err(error) if matches!(error.errno(), Some(nix::errno::Errno::ENOENT)) => Vec::new(),
        other => other?,
    };
    routes.retain(|route| protocol == 0 || route.protocol == protocol);
    Ok(routes)
}

/// The routes that are ours, and in a sandbox those that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let protocol = if scope.is_host() {
        scope.ownership.route_protocol
    } else {
        0
    };
    let mut found = Vec::new();
    for family in Family::ALL {
        for route in read_all(session, family, protocol)? {
            let Some(object) = object(&route, &session.links) else {
                continue;
            };
            let mut key = Key::Route {
                table: route.table,
                dst: route.dst,
                metric: route.metric,
            };
            if family == Family::V6 && route.metric == IPV6_DEFAULT_METRIC && !scope.planned(&key) {
                key = Key::Route {
                    table: route.table,
                    dst: route.dst,
                    metric: 0,
                };
            }
            if scope.is_host() || scope.planned(&key) {
                found.push((key, Object::Route(object)));
            }
        }
    }
    Ok(found)
}

/// A route from the body of an `RTM_NEWROUTE`.
pub(crate) fn decode(body: &[u8]) -> Option<RouteInfo> {
    let header: [u8; 12] = body.get(..12)?.try_into().ok()?;
    let family = if header[0] == libc::AF_INET6 as u8 {
        Family::V6
    } else {
        Family::V4
    };
    let flags = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
    let mut route = RouteInfo {
        table: u32::from(header[4]),
        dst: IpNet::new(family.unspecified(), header[1]).ok()?,
        metric: 0,
        protocol: header[5],
        kind: header[7],
        onlink: flags & ON_LINK != 0,
        link: None,
        gateway: None,
        encap: None,
        many: Vec::new(),
        source: None,
        mtu: None,
    };
    let (mut around, mut encap_type) = (None, None);
    for attribute in attributes(body.get(12..)?) {
        match attribute.kind {
            DST => route.dst = IpNet::new(attribute.ip()?, header[1]).ok()?,
            OIF => route.link = attribute.u32(),
            GATEWAY => route.gateway = attribute.ip(),
            PRIORITY => route.metric = attribute.u32()?,
            PREFSRC => route.source = attribute.ip(),
            TABLE => route.table = attribute.u32()?,
            METRICS => route.mtu = attribute.find(METRIC_MTU).and_then(|mtu| mtu.u32()),
            VIA => route.gateway = crate::netlink::ip(attribute.data.get(2..)?),
            MULTIPATH => decode_multipath(&attribute, &mut route),
            ENCAP_TYPE => encap_type = attribute.data.get(..2),
            ENCAP => around = Some(attribute),
            _ => {}
        }
    }
    if encap_type.is_some() || around.is_some() {
        route.encap = encap::decode(encap_type, around);
        if route.encap.is_none() || !route.onlink {
            give_up(&mut route);
        }
    }
    Some(route)
}

/// Makes of a route that no plan wants one that equals nothing: its gateway cannot be.
fn give_up(route: &mut RouteInfo) {
    route.gateway = Some(Family::of_net(route.dst).unspecified());
}

fn decode_multipath(attribute: &Attribute<'_>, route: &mut RouteInfo) {
    route.link = multipath::first_link(attribute);
    match multipath::decode(attribute) {
        Some(many) => route.many = many,
        None => give_up(route),
    }
}

/// A route in a plan's words; none for kinds that only the kernel makes.
pub(crate) fn object(route: &RouteInfo, links: &Links) -> Option<Route> {
    let link = || links.name(route.link?);
    let next = match (route.kind, route.gateway) {
        (libc::RTN_UNICAST, None) if !route.many.is_empty() => many(route, links)?,
        (libc::RTN_UNICAST, None) => NextHop::Link(link()?),
        (libc::RTN_UNICAST, Some(gateway)) => match route.encap {
            Some(encap) => NextHop::Tunnel {
                gateway,
                link: link()?,
                encap,
            },
            None => NextHop::Via {
                gateway,
                link: link()?,
                onlink: route.onlink,
            },
        },
        (libc::RTN_BLACKHOLE, _) => NextHop::Blackhole,
        (libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT | libc::RTN_THROW, _) => NextHop::Via {
            // No plan wants these: as above, something that equals nothing.
            gateway: Family::of_net(route.dst).unspecified(),
            link: IfName::new("lo").ok()?,
            onlink: false,
        },
        _ => return None,
    };
    Some(Route {
        next,
        source: route.source,
        mtu: route.mtu,
    })
}

/// Several gateways in a plan's order: the kernel keeps those of IPv6 in one of its own.
fn many(route: &RouteInfo, links: &Links) -> Option<NextHop> {
    let hop = |hop: &multipath::Gateway| {
        Some(Hop {
            gateway: hop.gateway,
            link: links.name(hop.link)?,
            onlink: hop.onlink,
        })
    };
    let mut hops: Vec<Hop> = route.many.iter().map(hop).collect::<Option<_>>()?;
    hops.sort_unstable();
    Some(NextHop::Many(hops))
}

/// Which route: its key, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which {
    pub table: u32,
    pub dst: IpNet,
    pub metric: u32,
    pub protocol: u8,
}

impl Which {
    /// A message about the route; the triple is scope, type and flags (`RTNH_F_*`).
    fn message(
        self,
        kind: u16,
        flags: libc::c_int,
        (scope, route_type, bits): (u8, u8, u32),
    ) -> Message {
        let family = family_number(Family::of_net(self.dst));
        let [a, b, c, d] = bits.to_ne_bytes();
        let table = u8::try_from(self.table).unwrap_or(libc::RT_TABLE_UNSPEC);
        let length = self.dst.prefix_len();
        let header = [
            family,
            length,
            0,
            0,
            table,
            self.protocol,
            scope,
            route_type,
            a,
            b,
            c,
            d,
        ];
        let mut message = Message::new(kind, flags, &header);
        message.put_u32(TABLE, self.table);
        if length > 0 {
            message.put_ip(DST, self.dst.network());
        }
        let metric = match self.dst {
            IpNet::V6(_) if self.metric == 0 => IPV6_DEFAULT_METRIC,
            _ => self.metric,
        };
        if metric != 0 {
            message.put_u32(PRIORITY, metric);
        }
        message
    }
}

/// The message that makes a route over links, or replaces the one of the same key.
pub(crate) fn create(which: Which, route: &Route, links: &[u32], replace: bool) -> Message {
    let exclusive = if replace {
        libc::NLM_F_REPLACE
    } else {
        libc::NLM_F_EXCL
    };
    let flags = libc::NLM_F_CREATE | exclusive;
    let (scope, kind, bits) = match &route.next {
        NextHop::Link(_) => (libc::RT_SCOPE_LINK, libc::RTN_UNICAST, 0),
        NextHop::Via { onlink, .. } => (
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
            if *onlink { ON_LINK } else { 0 },
        ),
        NextHop::Tunnel { .. } => (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, ON_LINK),
        NextHop::Many(_) => (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0),
        NextHop::Blackhole => (libc::RT_SCOPE_UNIVERSE, libc::RTN_BLACKHOLE, 0),
    };
    let mut message = which.message(libc::RTM_NEWROUTE, flags, (scope, kind, bits));
    if let NextHop::Many(hops) = &route.next {
        multipath::put(&mut message, Family::of_net(which.dst), hops, links);
    } else {
        if let Some(link) = links.first() {
            message.put_u32(OIF, *link);
        }
        match route.next.gateway() {
            Some(gateway) if gateway.is_ipv4() == which.dst.addr().is_ipv4() => {
                message.put_ip(GATEWAY, gateway);
            }
            Some(gateway) => {
                message.put(VIA, &via(gateway));
            }
            None => {}
        }
    }
    if let NextHop::Tunnel { encap, .. } = &route.next {
        encap::put(&mut message, encap);
    }
    if let Some(source) = route.source {
        message.put_ip(PREFSRC, source);
    }
    if let Some(mtu) = route.mtu {
        message.nest(METRICS, |metrics| {
            metrics.put_u32(METRIC_MTU, mtu);
        });
    }
    message
}

/// The message that removes a route.
pub(crate) fn remove(which: Which) -> Message {
    which.message(
        libc::RTM_DELROUTE,
        0,
        (libc::RT_SCOPE_NOWHERE, libc::RTN_UNSPEC, 0),
    )
}

/// `struct rtvia`: a gateway of the other family.
fn via(gateway: IpAddr) -> Vec<u8> {
    let mut bytes = u16::from(family_number(Family::of(gateway)))
        .to_ne_bytes()
        .to_vec();
    match gateway {
        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
    }
    bytes
}

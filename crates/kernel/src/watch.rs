//! Listens to what changes on a host and in its sandboxes, so that drift is noticed when it happens.
//!
//! It tells that something changed and where to look, not what to do: the caller reads and compares.
//! Events that cannot concern us (routes of other protocols, learned neighbours, other tables) are
//! left out. When the kernel could not keep up, one event says so, and the caller looks at
//! everything.
//!
//! Sandboxes are heard through the host's own socket: a namespace that holds the other end of a pair
//! has a number in the host's, and what is told in it can be heard here (`NETLINK_LISTEN_ALL_NSID`).
//! A socket inside would keep it alive after its container is gone.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use tombolo_plan::objects::MAIN_TABLE;

use crate::error::KernelError;
use crate::kernel::Ownership;
use crate::link;
use crate::look::Look;
use crate::neighbour::{self, NO_ARP, PERMANENT, SELF};
use crate::netlink::{Protocol, Reply, Socket, attributes};
use crate::netns::NetnsHandle;
use crate::route::OUR_PROTOCOL_MARK;
use crate::{address, route};

/// `RTNLGRP_*` of linux/rtnetlink.h: link, neighbour, addresses, routes, rules and settings of both
/// families.
const ROUTE_GROUPS: [libc::c_int; 10] = [1, 3, 5, 7, 8, 9, 11, 19, 24, 25];
/// `RTM_NEWNETCONF`.
const NEW_SETTING: u16 = 80;
/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).
const NFT_GROUP: libc::c_int = 7;
/// `NFNL_SUBSYS_NFTABLES`.
const NFT_SUBSYSTEM: u16 = 10;

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `link`, `address`, `route`, `way` (a route of others), `rule`, `neighbour`, `sysctl`, `nft`, or
    /// `overrun` when events were lost.
    pub kind: &'static str,
    /// Which one, as far as the event says: a name, an address, a destination.
    pub what: String,
    /// Whether the [`crate::Kernel`] that this was made from did it.
    pub own_process: bool,
    /// The number of the sandbox that it happened in; none for the host's own namespace.
    pub namespace: Option<i32>,
}

impl Event {
    /// Whether next hops may be reached otherwise than before.
    #[must_use]
    pub fn is_of_underlay(&self) -> bool {
        let kinds = ["link", "address", "route", "way", "overrun"];
        self.namespace.is_none() && !self.own_process && kinds.contains(&self.kind)
    }

    /// Where to look because of it.
    #[must_use]
    pub fn look(&self) -> Look {
        match (self.kind, self.namespace) {
            ("overrun", _) => Look::everywhere(),
            // Nothing of ours is other than it was.
            ("way", _) => Look::nowhere(),
            (_, Some(id)) => Look::namespace(id),
            ("sysctl", None) => Look::settings(),
            _ => Look::host(),
        }
    }
}

/// A stream of events. Its descriptor is readable when there are some.
#[derive(Debug)]
pub struct Watcher {
    epoll: Epoll,
    route: Socket,
    /// None where the kernel has no nftables.
    nft: Option<Socket>,
    ownership: Ownership,
    own_ports: Vec<u32>,
    /// The number that the host's namespace knows itself by.
    own_number: Option<i32>,
}

impl Watcher {
    pub(crate) fn open(
        netns: &NetnsHandle,
        ownership: &Ownership,
        own_ports: Vec<u32>,
        own_number: Option<i32>,
    ) -> Result<Watcher, KernelError> {
        let failed = |errno| KernelError::Namespace {
            operation: "listen to changes in",
            netns: netns.name().to_owned(),
            errno,
        };
        let route = Socket::open(netns, Protocol::Route)?;
        for group in ROUTE_GROUPS {
            route.join(group).map_err(failed)?;
        }
        // Without it (CAP_NET_BROADCAST) drift in sandboxes is found by time only.
        let _ = route.hear_all();
        let nft = Socket::open(netns, Protocol::Netfilter).ok();
        let nft = nft.filter(|socket| socket.join(NFT_GROUP).is_ok());
        if let Some(nft) = &nft {
            let _ = nft.hear_all();
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        for socket in std::iter::once(&route).chain(&nft) {
            epoll
                .add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))
                .map_err(failed)?;
        }
        Ok(Watcher {
            epoll,
            route,
            nft,
            ownership: ownership.clone(),
            own_ports,
            own_number,
        })
    }

    /// Waits until something that may concern us changes; nothing if the time is over before.
    ///
    /// # Errors
    /// The sockets cannot be read.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Vec<Event>, KernelError> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let limit = match left {
                None => EpollTimeout::NONE,
                // Rounded up, so as not to spin through the last millisecond.
                Some(left) => {
                    EpollTimeout::try_from(left.as_millis() as i64 + i64::from(!left.is_zero()))
                        .unwrap_or(EpollTimeout::MAX)
                }
            };
            let mut ready = [EpollEvent::empty(); 2];
            match self.epoll.wait(&mut ready, limit) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
            let events = self.take()?;
            if !events.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return Ok(events);
            }
        }
    }

    /// Everything that is waiting, without waiting for more.
    fn take(&mut self) -> Result<Vec<Event>, KernelError> {
        let mut events = Vec::new();
        let (ownership, ports, own) = (&self.ownership, &self.own_ports, self.own_number);
        for socket in std::iter::once(&mut self.route).chain(&mut self.nft) {
            let mut each = |reply: Reply<'_>| {
                let Some((kind, what)) = describe(&reply, ownership) else {
                    return;
                };
                let own_process = ports.contains(&reply.port);
                let event = Event {
                    kind,
                    what,
                    own_process,
                    namespace: reply.namespace.filter(|number| own != Some(*number)),
                };
                if events.last() != Some(&event) {
                    events.push(event);
                }
            };
            match socket.drain(&mut each) {
                Ok(_) => {}
                Err(Errno::ENOBUFS) => events.push(Event {
                    kind: "overrun",
                    what: "events were lost".to_owned(),
                    own_process: false,
                    namespace: None,
                }),
                Err(errno) => {
                    return Err(KernelError::Namespace {
                        operation: "read events of",
                        netns: "host".to_owned(),
                        errno,
                    });
                }
            }
        }
        Ok(events)
    }

    fn failed(&self, errno: Errno) -> KernelError {
        KernelError::Namespace {
            operation: "wait for events of",
            netns: "host".to_owned(),
            errno,
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

/// What an event is about; none if it cannot concern us.
fn describe(reply: &Reply<'_>, ownership: &Ownership) -> Option<(&'static str, String)> {
    if reply.kind >> 8 == NFT_SUBSYSTEM {
        // In every message about a table the first attribute is its name.
        let table = attributes(reply.body.get(4..)?).find(|a| a.kind == 1)?;
        return (table.text() == Some(ownership.nft_table.as_str()))
            .then(|| ("nft", ownership.nft_table.clone()));
    }
    match reply.kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => Some(("link", link::decode(reply.body)?.name)),
        libc::RTM_NEWADDR | libc::RTM_DELADDR => {
            Some(("address", address::decode(reply.body)?.net.to_string()))
        }
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
            let route = route::decode(reply.body)?;
            let ours = route.protocol == ownership.route_protocol;
            match ours || route.dst.prefix_len() == 0 {
                true => Some(("route", route.dst.to_string())),
                // Made by others, in the table where they say how next hops are reached.
                false if route.table == MAIN_TABLE => Some(("way", route.dst.to_string())),
                false => None,
            }
        }
        libc::RTM_NEWRULE | libc::RTM_DELRULE => Some(("rule", String::new())),
        NEW_SETTING => Some(("sysctl", String::new())),
        libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => {
            let entry = neighbour::decode(reply.body)?;
            // One that is flushed is told as a failed one first, and is permanent no more then.
            let ours = entry.protocol == Some(OUR_PROTOCOL_MARK);
            let told = reply.body[0] == libc::AF_BRIDGE as u8 && entry.state & NO_ARP != 0;
            let fixed = ours || told || entry.state & PERMANENT != 0 || entry.flags & SELF != 0;
            let mac = entry.mac.map(|mac| mac.to_string()).unwrap_or_default();
            fixed.then(|| ("neighbour", entry.dst.map_or(mac, |dst| dst.to_string())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tombolo_plan::objects::{NextHop, Route};
    use tombolo_plan::{Key, Object, Op, Place};

    use super::*;
    use crate::testing::Host;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(5));

    fn route() -> (Place, Object) {
        let key = Key::Route {
            table: 254,
            dst: "10.1.0.0/16".parse().unwrap(),
            metric: 0,
        };
        let route = Route {
            next: NextHop::Blackhole,
            source: None,
            mtu: None,
        };
        (Place::host(key), Object::Route(route))
    }

    #[test]
    fn our_own_changes_and_those_of_others_are_told_apart() {
        let mut host = Host::new();
        host.run("ip link set lo up");
        let mut watcher = host.kernel.watch().unwrap();
        watcher.wait(Some(Duration::from_millis(1))).unwrap();
        let (place, object) = route();
        assert!(
            host.kernel
                .apply(&[Op::Create { place, object }])
                .failed
                .is_empty()
        );
        let what = "10.1.0.0/16".to_owned();
        let own = Event {
            kind: "route",
            what: what.clone(),
            own_process: true,
            namespace: None,
        };
        assert_eq!(watcher.wait(LIMIT).unwrap(), [own]);
        host.run("ip route add blackhole 10.99.0.0/16; ip route del 10.1.0.0/16");
        let foreign = Event {
            kind: "route",
            what,
            own_process: false,
            namespace: None,
        };
        let way = Event {
            kind: "way",
            what: "10.99.0.0/16".to_owned(),
            own_process: false,
            namespace: None,
        };
        assert_eq!(way.look(), Look::nowhere());
        assert_eq!(watcher.wait(LIMIT).unwrap(), [way, foreign]);
        host.run("nft add table inet other; nft add table inet tombolo");
        let events = watcher.wait(LIMIT).unwrap();
        assert!(
            events
                .iter()
                .all(|e| e.kind == "nft" && e.what == "tombolo"),
            "{events:?}"
        );
        assert_eq!(watcher.wait(Some(Duration::from_millis(1))).unwrap(), []);
    }

    #[test]
    fn a_flood_is_an_overrun_and_not_an_error() {
        let mut host = Host::new();
        host.run("ip link set lo up");
        let mut watcher = host.kernel.watch().unwrap();
        let (place, object) = route();
        let create = Op::Create {
            place: place.clone(),
            object: object.clone(),
        };
        let remove = Op::Remove { place, object };
        let ops: Vec<Op> = std::iter::repeat_n([create, remove], 10_000)
            .flatten()
            .collect();
        assert!(host.kernel.apply(&ops).failed.is_empty());
        let events = watcher.wait(LIMIT).unwrap();
        assert!(
            events.iter().any(|event| event.kind == "overrun"),
            "{}",
            events.len()
        );
    }
}

//! A layout as objects of the kernel, and the cutting and healing of wires.
//!
//! The wires are a HostPlan like any other, applied by `tombolo_kernel` from the lab's own
//! namespace, in which all links are called `sw…`. A wire is cut by taking its port off the
//! switch: frames are lost in silence and the host keeps its carrier, the harder of the two
//! failures to notice. Two hosts of one segment are parted by neighbour entries that lead nowhere.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::{IfName, KindName, MacAddr, Mtu, Name, ResourceKey};
use tombolo_plan::objects::{
    BridgePort, Link, LinkKind, MAIN_TABLE, NextHop, Route, Stations, VethPeer,
};
use tombolo_plan::{HostPlan, Key, Netns, Object, Op, Origin, Place};

use crate::LabError;
use crate::layout::{HostLayout, Interface, Layout, Way};

/// A station that no lab has: frames to it reach nobody.
const NOBODY: MacAddr = MacAddr([0x02, 0xde, 0xad, 0, 0, 1]);

/// Lays all wires. `hosts` maps names to process ids, as the lab's own `/proc` shows them.
pub(crate) fn lay(layout: &Layout, hosts: &BTreeMap<String, i32>) -> Result<(), LabError> {
    let plan = plan(layout, hosts)?;
    let done = kernel()?.converge(&plan)?;
    failures(&done.failed)
}

/// Takes a host's ports off the switch, or puts them back.
pub(crate) fn cut(layout: &Layout, host: &str, whole: bool) -> Result<(), LabError> {
    let ops = find(layout, host)?
        .interfaces
        .iter()
        .map(|interface| {
            let on = port_link(layout, interface, LinkKind::VethEnd)?;
            let off = Link {
                port: None,
                ..on.clone()
            };
            let (from, to) = if whole { (off, on) } else { (on, off) };
            let place = Place::host(Key::Link(name(&interface.port)?));
            Ok(Op::Change {
                place,
                from: Object::Link(from),
                to: Object::Link(to),
            })
        })
        .collect::<Result<Vec<_>, LabError>>()?;
    failures(&kernel()?.apply(&ops).failed)
}

/// Removes a host's wires: the namespace of one that was killed answers until the kernel gets to it.
pub(crate) fn unplug(layout: &Layout, host: &str) -> Result<(), LabError> {
    let ops = find(layout, host)?
        .interfaces
        .iter()
        .map(|interface| {
            let place = Place::host(Key::Link(name(&interface.port)?));
            let object = Object::Link(port_link(layout, interface, LinkKind::VethEnd)?);
            Ok(Op::Remove { place, object })
        })
        .collect::<Result<Vec<_>, LabError>>()?;
    failures(&kernel()?.apply(&ops).failed)
}

/// Parts two hosts of one segment, or joins them again.
pub(crate) fn part(layout: &Layout, pair: [(&str, i32); 2], whole: bool) -> Result<(), LabError> {
    let mut ops = Vec::new();
    let [a, b] = pair;
    for ((near, pid), far) in [(a, b.0), (b, a.0)] {
        let (near, far) = (find(layout, near)?, find(layout, far)?);
        for interface in &near.interfaces {
            for other in far
                .interfaces
                .iter()
                .filter(|other| other.segment == interface.segment)
            {
                for address in &other.addresses {
                    let link = name(&interface.name)?;
                    let key = Key::Neighbour {
                        link,
                        address: address.addr(),
                    };
                    let place = Place {
                        netns: netns(pid),
                        key,
                    };
                    let object = Object::Neighbour(NOBODY);
                    ops.push(if whole {
                        Op::Remove { place, object }
                    } else {
                        Op::Create { place, object }
                    });
                }
            }
        }
    }
    if ops.is_empty() {
        let [(a, _), (b, _)] = pair;
        return Err(LabError::Wiring(format!(
            "{a} and {b} share no segment, so no wire joins them; cut one of the hosts instead"
        )));
    }
    failures(&kernel()?.apply(&ops).failed)
}

fn kernel() -> Result<Kernel, LabError> {
    let ownership = Ownership {
        link_prefix: "sw".to_owned(),
        route_protocol: 85,
        nft_table: "tombolo-lab".to_owned(),
        ..Ownership::default()
    };
    Ok(Kernel::open(&NetnsHandle::current()?, ownership)?)
}

fn failures(failed: &[(Op, tombolo_kernel::KernelError)]) -> Result<(), LabError> {
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = failed
        .iter()
        .map(|(op, error)| format!("{op}: {error}"))
        .collect();
    Err(LabError::Wiring(lines.join("; ")))
}

fn find<'a>(layout: &'a Layout, host: &str) -> Result<&'a HostLayout, LabError> {
    layout.host(host).ok_or_else(|| LabError::Missing {
        what: "host",
        name: host.to_owned(),
        hint: "see `tombolo lab list`".to_owned(),
    })
}

fn name(text: &str) -> Result<IfName, LabError> {
    IfName::new(text).map_err(|error| LabError::Wiring(error.to_string()))
}

fn netns(pid: i32) -> Netns {
    Netns::Sandbox(format!("/proc/{pid}/ns/net"))
}

/// Collects objects with one origin.
struct Draft {
    plan: HostPlan,
    origin: Origin,
}

impl Draft {
    fn want(&mut self, netns: &Netns, key: Key, object: Object) {
        let place = Place {
            netns: netns.clone(),
            key,
        };
        self.plan.want(place, object, self.origin.clone());
    }

    fn sysctl(&mut self, netns: &Netns, path: &str, value: &str) {
        self.want(
            netns,
            Key::Sysctl(path.to_owned()),
            Object::Sysctl(value.to_owned()),
        );
    }

    /// An address, and the route to its subnet: the kernel crate lets none come by itself.
    fn address(&mut self, netns: &Netns, link: &str, net: IpNet) -> Result<(), LabError> {
        let link = name(link)?;
        self.want(
            netns,
            Key::Address {
                link: link.clone(),
                net,
            },
            Object::Address,
        );
        if net.prefix_len() < net.max_prefix_len() {
            let key = Key::Route {
                table: MAIN_TABLE,
                dst: net.trunc(),
                metric: 0,
            };
            let route = Route {
                next: NextHop::Link(link),
                source: None,
                mtu: None,
            };
            self.want(netns, key, Object::Route(route));
        }
        Ok(())
    }

    fn way(&mut self, netns: &Netns, way: &Way) -> Result<(), LabError> {
        let key = Key::Route {
            table: MAIN_TABLE,
            dst: way.to,
            metric: 0,
        };
        let next = NextHop::Via {
            gateway: way.via,
            link: name(&way.link)?,
            onlink: true,
        };
        self.want(
            netns,
            key,
            Object::Route(Route {
                next,
                source: None,
                mtu: None,
            }),
        );
        Ok(())
    }

    fn up(&mut self, netns: &Netns, link: &str) -> Result<(), LabError> {
        let existing = Link {
            kind: LinkKind::Existing,
            mtu: None,
            mac: None,
            up: true,
            port: None,
        };
        self.want(netns, Key::Link(name(link)?), Object::Link(existing));
        Ok(())
    }
}

fn plan(layout: &Layout, hosts: &BTreeMap<String, i32>) -> Result<HostPlan, LabError> {
    let key = Name::new("lab").expect("it is a name");
    let resource = ResourceKey {
        kind: KindName::Node,
        namespace: None,
        name: key,
    };
    let origin = Origin {
        resource,
        rule: "lab: wires",
    };
    let mut draft = Draft {
        plan: HostPlan::default(),
        origin,
    };
    let root = Netns::Host;
    draft.up(&root, "lo")?;
    draft.sysctl(&root, "net/ipv4/ip_forward", "1");
    draft.sysctl(&root, "net/ipv6/conf/all/forwarding", "1");
    for (index, segment) in layout.segments.iter().enumerate() {
        let bridge = Link {
            kind: LinkKind::Bridge,
            mtu: mtu(layout)?,
            mac: Some(MacAddr([0x02, 0x1a, 0xb0, 0xff, index.to_le_bytes()[0], 1])),
            up: true,
            port: None,
        };
        draft.want(
            &root,
            Key::Link(name(&segment.bridge)?),
            Object::Link(bridge),
        );
        let internet = if index == 0 {
            layout.internet.as_slice()
        } else {
            &[]
        };
        for net in segment.gateway.iter().chain(internet) {
            draft.address(&root, &segment.bridge, *net)?;
        }
    }
    for way in &layout.ways {
        draft.way(&root, way)?;
    }
    for host in layout.everybody() {
        if let Some(&pid) = hosts.get(&host.name) {
            plan_host(&mut draft, layout, host, netns(pid))?;
        }
    }
    Ok(draft.plan)
}

fn plan_host(
    draft: &mut Draft,
    layout: &Layout,
    host: &HostLayout,
    inside: Netns,
) -> Result<(), LabError> {
    draft.up(&inside, "lo")?;
    for interface in &host.interfaces {
        let peer = VethPeer {
            netns: inside.clone(),
            name: name(&interface.name)?,
            mac: MacAddr(interface.mac),
            handed_over: false,
        };
        let port = port_link(layout, interface, LinkKind::Veth(peer))?;
        draft.want(
            &Netns::Host,
            Key::Link(name(&interface.port)?),
            Object::Link(port),
        );
        let end = Link {
            kind: LinkKind::VethEnd,
            mtu: mtu(layout)?,
            mac: None,
            up: true,
            port: None,
        };
        draft.want(
            &inside,
            Key::Link(name(&interface.name)?),
            Object::Link(end),
        );
        for net in &interface.addresses {
            draft.address(&inside, &interface.name, *net)?;
        }
    }
    if host.forwards {
        draft.sysctl(&inside, "net/ipv4/ip_forward", "1");
        draft.sysctl(&inside, "net/ipv6/conf/all/forwarding", "1");
    }
    host.ways.iter().try_for_each(|way| draft.way(&inside, way))
}

fn port_link(layout: &Layout, interface: &Interface, kind: LinkKind) -> Result<Link, LabError> {
    let bridge = name(&layout.segments[interface.segment].bridge)?;
    let port = BridgePort {
        bridge,
        hairpin: false,
        isolated: false,
        stations: Stations::Learned,
    };
    Ok(Link {
        kind,
        mtu: mtu(layout)?,
        mac: None,
        up: true,
        port: Some(port),
    })
}

fn mtu(layout: &Layout) -> Result<Option<Mtu>, LabError> {
    Mtu::new(layout.mtu.into())
        .map(Some)
        .map_err(|error| LabError::Wiring(error.to_string()))
}

//! Tries what the kernel can do: plans a small cluster that uses everything, by the same planner as
//! always, and makes it so in a namespace that is thrown away. A version number would tell less.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_model::kinds::{IpvlanFlag, IpvlanMode};
use tombolo_model::{IfName, KindName, Name, ResourceKey, Vni};
use tombolo_plan::objects::{Link, LinkKind, Tunnel};
use tombolo_plan::{HostPlan, Key, Object, Origin, Place};

/// A node `a` with a peer, networks of every attachment and transport, published ports.
const WORLD: &str = include_str!("trial.yaml");

/// The same with a network on a physical segment, which not every kernel can make.
const SEGMENT: &str = include_str!("trial-segment.yaml");

/// Why the kernel makes no macvlan interfaces, and why no VLANs; none where it does, and where
/// nothing can be tried.
pub(crate) fn segments() -> (Option<String>, Option<String>) {
    let lacks = |vlan: &str| {
        let told = tried(&SEGMENT.replace("VLAN}", &format!("{vlan}}}")));
        told.ok().and_then(|refused| refused.into_iter().next())
    };
    match lacks("") {
        None => (None, lacks(", vlan: 7")),
        // Of VLANs nothing is known then, and nothing could use them.
        Some(why) => (Some(why.clone()), Some(why)),
    }
}

/// For each sort of device that not every kernel has, why this one makes none, if it does not; why
/// that was not tried, if it was not.
pub(crate) fn features() -> Result<BTreeMap<String, Option<String>>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let name = |name: &str| IfName::new(name).map_err(|e| text(&e));
    let parent = name("tbunder")?;
    let here = Ipv4Addr::new(192, 0, 2, 1);
    let tunnels = [
        Tunnel::Ipip,
        Tunnel::Sit(here),
        Tunnel::Ip6tnl,
        Tunnel::Gre,
        Tunnel::Ip6gre,
    ];
    let mut kinds: BTreeMap<&str, LinkKind> = tunnels
        .into_iter()
        .map(|tunnel| (tunnel.name(), LinkKind::Tunnel(tunnel)))
        .collect();
    let ipvlan = LinkKind::Ipvlan {
        parent: parent.clone(),
        mode: IpvlanMode::L2,
        flag: IpvlanFlag::Bridge,
        mark: None,
        handed_over: false,
    };
    let vlan = LinkKind::Vlan {
        parent: parent.clone(),
        id: 7,
    };
    let vxlan = LinkKind::Vxlan {
        vni: Vni::new(1).map_err(|e| text(&e))?,
        port: 4789,
        local: here.into(),
        parent,
    };
    kinds.extend([("ipvlan", ipvlan), ("vlan", vlan), ("vxlan", vxlan)]);
    kinds.insert("tun", LinkKind::Tun);
    let node = Name::new("a").map_err(|e| text(&e))?;
    let mut plan = HostPlan::default();
    want_underlay(&mut plan, &node).map_err(|e| text(&e))?;
    for (kind, device) in &kinds {
        let place = Place::host(Key::Link(name(&format!("tb{kind}"))?));
        let object = Object::Link(link(device.clone()));
        plan.want(place, object, origin(&node));
    }
    let host = NetnsHandle::create().map_err(|e| text(&e))?;
    let mut kernel = Kernel::open(&host, Ownership::default()).map_err(|e| text(&e))?;
    let outcome = kernel.converge(&plan).map_err(|e| text(&e))?;
    let why = |kind: &&str| {
        let device = format!("link tb{kind}");
        let mut failed = outcome.failed.iter();
        let failed = failed.find(|(op, _)| op.place().key.to_string() == device);
        failed.map(|(_, error)| error.to_string())
    };
    Ok(kinds
        .keys()
        .map(|kind| ((*kind).to_owned(), why(kind)))
        .collect())
}

/// What the kernel refused, in words, each kind of object once; why it was not tried, if it was not.
pub(super) fn refused() -> Result<Vec<String>, String> {
    tried(WORLD)
}

/// Which device of a transport the kernel cannot make, if any, and if that could be tried. Routes are
/// not looked at: the underlay of the trial has no wire, and not every transport sends without.
pub(crate) fn lacks_transport(name: &str) -> Option<String> {
    let world = WORLD.replace("{type: vxlan}", &format!("{{type: {name}}}"));
    let mut refused = tried(&world).ok()?.into_iter();
    refused.find(|why| why.starts_with("refuses to create host link "))
}

fn tried(world: &str) -> Result<Vec<String>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let host = NetnsHandle::create().map_err(|e| text(&e))?;
    let sandbox = NetnsHandle::create().map_err(|e| text(&e))?;
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        sandbox.as_fd().as_raw_fd()
    );
    let world = tombolo_model::parse::world("trial.yaml", &world.replace("SANDBOX", &path));
    let world = world.map_err(|e| text(&e))?;
    let node = Name::new("a").map_err(|e| text(&e))?;
    let mut plan = tombolo_plan::plan(&world, &node).ok_or("the trial has no plan")?;
    want_underlay(&mut plan, &node).map_err(|e| text(&e))?;
    let mut kernel = Kernel::open(&host, Ownership::default()).map_err(|e| text(&e))?;
    let outcome = kernel.converge(&plan).map_err(|e| text(&e))?;
    let mut seen = BTreeSet::new();
    let first_of_kind = outcome.failed.iter().filter(|(op, _)| {
        let kind = tombolo_plan::order::kind(&op.place().key);
        let device = match &op.place().key {
            Key::Link(name) => name.to_string(),
            _ => String::new(),
        };
        seen.insert((kind, device))
    });
    Ok(first_of_kind
        .map(|(op, error)| format!("refuses to {op}: {error}"))
        .collect())
}

/// The underlay's interface, which on a real host is there already.
fn want_underlay(plan: &mut HostPlan, node: &Name) -> Result<(), tombolo_model::NameError> {
    let name = IfName::new("tbunder")?;
    let link = link(LinkKind::Bridge);
    let origin = origin(node);
    for net in ["192.0.2.1/24", "2001:db8::1/64"] {
        let key = Key::Address {
            link: name.clone(),
            net: net.parse().expect("an address stands here"),
        };
        plan.want(Place::host(key), Object::Address, origin.clone());
    }
    plan.want(Place::host(Key::Link(name)), Object::Link(link), origin);
    Ok(())
}

fn link(kind: LinkKind) -> Link {
    Link {
        kind,
        mtu: None,
        mac: None,
        up: true,
        port: None,
    }
}

fn origin(node: &Name) -> Origin {
    Origin {
        resource: ResourceKey {
            kind: KindName::Node,
            namespace: None,
            name: node.clone(),
        },
        rule: "check: an underlay to try on",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_uses_every_kind_of_object() {
        let world = tombolo_model::parse::world("trial.yaml", WORLD).unwrap();
        let plan = tombolo_plan::plan(&world, &Name::new("a").unwrap()).unwrap();
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        let kinds: BTreeSet<&str> = plan
            .objects
            .keys()
            .map(|place| tombolo_plan::order::kind(&place.key))
            .collect();
        for kind in ["link", "sysctl", "address", "neighbour", "fdb", "route"] {
            assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
        }
        let text = plan.to_string();
        for sign in [
            "vxlan id",
            " bridge ",
            "veth peer",
            "masquerade",
            "dnat ip6",
            "dnat ip ",
            "fib daddr",
        ] {
            assert!(text.contains(sign), "no {sign:?} in\n{text}");
        }
    }

    #[test]
    fn a_kernel_without_vlans_says_so() {
        let (macvlan, vlans) = segments();
        assert_eq!(macvlan, None, "this test needs root");
        if let Some(why) = vlans {
            assert!(why.contains("the kernel has no 802.1Q VLANs"), "{why}");
        }
    }

    #[test]
    fn a_kernel_says_of_each_feature_whether_it_has_it() {
        let found = features().expect("this test needs root");
        assert_eq!(found.len(), 9, "{found:?}");
        assert_eq!(found["vxlan"], None);
        for (kind, why) in found {
            if let Some(why) = why {
                assert!(why.contains("the kernel has no"), "{kind}: {why}");
            }
        }
    }

    #[test]
    fn a_transport_is_tried_by_its_name() {
        assert_eq!(lacks_transport("direct"), None);
        let lacks = features().expect("this test needs root");
        let why = lacks_transport("gre");
        assert_eq!(why.is_some(), lacks["gre"].is_some(), "{why:?}");
    }

    #[test]
    fn this_kernel_holds_it_all() {
        assert_eq!(refused(), Ok(Vec::new()), "this test needs root");
    }
}

//! Which ways between hosts, and which interfaces on physical networks, this kernel has beyond those
//! that every one must have. A lack matters only to who uses it.

use tombolo_plan::naming::tunnel;
use tombolo_plan::objects::Tunnel;

use crate::Verdict;
use crate::facts::{Facts, NodeFacts};

/// A feature: the kernel's name of its devices, what it is good for, its module, what asks for it.
struct Feature {
    kind: &'static str,
    purpose: &'static str,
    module: &'static str,
    is_used: fn(&NodeFacts) -> bool,
}

const FEATURES: &[Feature] = &[
    Feature {
        kind: "vxlan",
        purpose: "transport vxlan",
        module: "vxlan",
        is_used: |node| {
            node.links
                .iter()
                .any(|link| link.as_str().starts_with("tbx"))
        },
    },
    Feature {
        kind: "ipip",
        purpose: "transport ipip, IPv4 over IPv4",
        module: "ipip",
        is_used: |node| node.links.contains(&tunnel(&Tunnel::Ipip)),
    },
    Feature {
        kind: "sit",
        purpose: "transport ipip, IPv6 over IPv4",
        module: "sit",
        is_used: |node| node.links.iter().any(|link| link.as_str() == "tbi4-6"),
    },
    Feature {
        kind: "ip6tnl",
        purpose: "transport ipip over IPv6",
        module: "ip6_tunnel",
        is_used: |node| node.links.contains(&tunnel(&Tunnel::Ip6tnl)),
    },
    Feature {
        kind: "gre",
        purpose: "transport gre over IPv4",
        module: "ip_gre",
        is_used: |node| node.links.contains(&tunnel(&Tunnel::Gre)),
    },
    Feature {
        kind: "ip6gre",
        purpose: "transport gre over IPv6",
        module: "ip6_gre",
        is_used: |node| node.links.contains(&tunnel(&Tunnel::Ip6gre)),
    },
    Feature {
        kind: "tun",
        purpose: "transport udp",
        module: "tun",
        is_used: |node| {
            node.links
                .iter()
                .any(|link| link.as_str().starts_with("tbu"))
        },
    },
    Feature {
        kind: "ipvlan",
        purpose: "driver ipvlan",
        module: "ipvlan",
        is_used: |node| node.parents.iter().any(|parent| parent.sort == "ipvlan"),
    },
    Feature {
        kind: "vlan",
        purpose: "driver vlan, and VLANs of macvlan and ipvlan",
        module: "8021q",
        // Of networks that use it the check `segments` tells.
        is_used: |_| false,
    },
];

pub(crate) fn features(facts: &Facts) -> Vec<Verdict> {
    let features = match &facts.host.features {
        Ok(features) => features,
        Err(why) => {
            let finding = format!("was not tried: {why}");
            return vec![Verdict::warning(
                "kernel",
                finding,
                "run `tombolo check` as root",
            )];
        }
    };
    let judge = |feature: &Feature| {
        let Feature { kind, purpose, .. } = feature;
        let used = facts.node.as_ref().is_ok_and(feature.is_used);
        match features.get(*kind)? {
            None => Some(Verdict::ok(kind, format!("the kernel has it: {purpose}"))),
            Some(_) if !used => {
                let finding = format!("the kernel has none, and nothing here uses it: {purpose}");
                Some(Verdict::ok(kind, finding))
            }
            Some(why) => Some(Verdict::failed(
                kind,
                format!("the kernel has none, and a network uses it ({purpose}): {why}"),
                format!(
                    "load the module (`modprobe {}`), boot a kernel that has it, or let the network use another",
                    feature.module
                ),
            )),
        }
    };
    FEATURES.iter().filter_map(judge).collect()
}

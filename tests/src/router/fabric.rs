//! The routers of a leaf-spine with FRR on each: eBGP without addresses on the wires (RFC 8950), an
//! AS of its own for each leaf and one for the spines (RFC 7938), all equal ways used at once.
//!
//! A leaf announces its rack, and takes any host of its rack as a peer that dials it, by IPv4, with
//! any other AS. Hosts of several racks may have the same AS: the leaf puts its own in place of it.
//! Where hosts are below two leaves, these watch them by BFD.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tombolo_lab::{Lab, Topology};

use super::Router;

/// Starts FRR on all routers of a lab, by name, and waits until each leaf knows all racks.
///
/// # Panics
/// The lab is no leaf-spine, or the routers do not find each other.
#[must_use]
pub fn fabric(lab: &Lab) -> BTreeMap<String, Router<'_>> {
    let layout = lab.layout();
    let leaves = layout.routers.iter().filter(|router| is_leaf(&router.name));
    let racks: Vec<String> = leaves
        .flat_map(|leaf| &leaf.interfaces[0].addresses)
        .map(|address| address.trunc().to_string())
        .collect();
    assert!(!racks.is_empty(), "the lab is no {}", Topology::LeafSpine);
    let start = |name: String| {
        let router = Router::frr(lab, &name, &config(lab, &name));
        (name, router)
    };
    let routers: BTreeMap<String, Router<'_>> = lab.routers().into_iter().map(start).collect();
    for (_, leaf) in routers.iter().filter(|(name, _)| is_leaf(name)) {
        racks.iter().for_each(|rack| leaf.knows(rack));
    }
    routers
}

fn is_leaf(name: &str) -> bool {
    name.starts_with("leaf")
}

/// The configuration of one router.
///
/// # Panics
/// The lab has no such router.
#[must_use]
pub fn config(lab: &Lab, name: &str) -> String {
    let layout = lab.layout();
    let at = layout.routers.iter().position(|router| router.name == name);
    let at = at.expect("the lab has such a router");
    let (router, leaf) = (&layout.routers[at], is_leaf(name));
    let number = if leaf { 65001 + at } else { 65000 };
    let wires = router.interfaces.iter().skip(usize::from(leaf));
    let racks = if leaf {
        router.interfaces[0].addresses.as_slice()
    } else {
        &[]
    };
    let mut text = format!(
        "frr defaults datacenter
router bgp {number}
 bgp router-id 192.0.2.{id}
 no bgp ebgp-requires-policy
 bgp bestpath as-path multipath-relax
 timers bgp 1 3
 neighbor wires peer-group
 neighbor wires remote-as external
 neighbor wires timers connect 1
 neighbor wires capability extended-nexthop
 neighbor rack peer-group
 neighbor rack remote-as external
",
        id = at + 1
    );
    for wire in wires {
        let _ = writeln!(text, " neighbor {} interface peer-group wires", wire.name);
    }
    if lab.record().spec.topology == Topology::DualLeafSpine {
        // So slow that nobody but BFD can have noticed a loss.
        text.push_str(" neighbor rack bfd\n neighbor rack timers 30 90\n");
    }
    for rack in racks.iter().filter(|rack| rack.addr().is_ipv4()) {
        let _ = writeln!(text, " bgp listen range {} peer-group rack", rack.trunc());
    }
    for (family, is_v4) in [("ipv4", true), ("ipv6", false)] {
        let _ = writeln!(text, " address-family {family} unicast");
        for group in ["wires", "rack"] {
            let _ = writeln!(text, "  neighbor {group} activate");
        }
        let _ = writeln!(text, "  neighbor rack as-override");
        for rack in racks.iter().filter(|rack| rack.addr().is_ipv4() == is_v4) {
            let _ = writeln!(text, "  network {}", rack.trunc());
        }
        text.push_str(" exit-address-family\n");
    }
    text
}

//! Physical networks: what they need of the kernel and of the host's interfaces.

use crate::Verdict;
use crate::facts::{Facts, ParentFact};

pub(crate) fn segments(facts: &Facts) -> Vec<Verdict> {
    let none = Vec::new();
    let parents = facts.node.as_ref().map_or(&none, |node| &node.parents);
    let vlan = parents.iter().any(|parent| parent.vlan.is_some());
    let host = &facts.host;
    let mut found = vec![
        feature(
            ("macvlan", "macvlan"),
            host.without_macvlan.as_deref(),
            parents.iter().any(|parent| parent.sort == "macvlan"),
        ),
        feature(
            ("802.1Q VLANs", "8021q"),
            host.without_vlans.as_deref(),
            vlan,
        ),
    ];
    found.extend(parents.iter().map(|parent| judge(facts, parent)));
    found
}

/// What the kernel has, or has not, which matters only to who uses it.
fn feature((name, module): (&str, &str), lacks: Option<&str>, used: bool) -> Verdict {
    let subject = "kernel";
    match lacks {
        None => Verdict::ok(subject, format!("has {name}")),
        Some(_) if !used => {
            Verdict::ok(subject, format!("has no {name}, and no network uses them"))
        }
        Some(why) => Verdict::failed(
            subject,
            format!("has no {name}, which a network uses: {why}"),
            format!("load the module (`modprobe {module}`), or boot a kernel that has it"),
        ),
    }
}

fn judge(facts: &Facts, parent: &ParentFact) -> Verdict {
    let (name, network) = (&parent.interface, &parent.network);
    let link = facts.host.links.iter().find(|link| link.name == *name);
    let (finding, remedy) = match link {
        None => (
            format!("is the parent of network {network}, and is not there"),
            format!(
                "make or rename an interface so that it is called {name}, or name another in spec.macvlan.parent"
            ),
        ),
        Some(link) if !link.up => (
            format!("is the parent of network {network}, and is down"),
            format!("`ip link set {name} up`, and see that it comes up at boot"),
        ),
        Some(link) if !link.carrier => (
            format!(
                "is the parent of network {network}, and has no carrier: nothing is heard at its other end"
            ),
            format!("look at the cable and the switch's port: `ip link show {name}`"),
        ),
        Some(_) => {
            return Verdict::ok(
                name,
                format!("is the parent of network {network}, and is up"),
            );
        }
    };
    // Where no container is, none is cut off.
    if parent.used {
        Verdict::failed(name, finding, remedy)
    } else {
        Verdict::warning(name, finding, remedy)
    }
}

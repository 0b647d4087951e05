//! What others stand on: whether it can bear them, and which one it is.

use tombolo_model::IfName;

use super::read::decode;
use super::{attribute as a, header};
use crate::error::KernelError;
use crate::netlink::Message;
use crate::session::{Links, Session};

/// The index of an interface that another one shall stand on, if it can.
///
/// The kernel would take a parent that is down, and leave containers without a word on an interface
/// that carries nothing; and it would put what shall stand on a macvlan on that one's own parent.
pub(crate) fn check(operation: &str, parent: &IfName, links: &Links) -> Result<u32, KernelError> {
    let fault = |reason: String| KernelError::Parent {
        operation: operation.to_owned(),
        parent: parent.to_string(),
        reason,
    };
    let Some(info) = links.info(parent) else {
        let others = links.iter().map(|link| link.name.as_str());
        let others: Vec<&str> = others
            .filter(|name| !name.starts_with("tb") && *name != "lo")
            .collect();
        return Err(fault(format!(
            "is not there; this host has {}: name one that every node has as the network's parent (spec.macvlan.parent, spec.ipvlan.parent, spec.vlan.parent)",
            others.join(", ")
        )));
    };
    if info.loopback {
        return Err(fault(
            "is the loopback, which leads to no network".to_owned(),
        ));
    }
    if let Some(kind @ ("macvlan" | "ipvlan")) = info.kind.as_deref() {
        return Err(fault(format!(
            "is itself a {kind} interface; name the one below it (`ip -d link`)"
        )));
    }
    if let Some(master) = info.master {
        let master = links
            .name(master)
            .map_or_else(String::new, |name| name.to_string());
        return Err(fault(format!(
            "is a port of {master}, which takes all of its frames; name {master} instead"
        )));
    }
    if !info.up {
        return Err(fault(format!(
            "is down: set it up (`ip link set {parent} up`)"
        )));
    }
    Ok(info.index)
}

/// The index of an interface by its name, asked for by itself.
pub(crate) fn find_index(session: &mut Session, name: &IfName) -> Option<u32> {
    let mut look = Message::new(libc::RTM_GETLINK, 0, &header(0, 0));
    look.put_text(a::IFNAME, name.as_str());
    let (_, body) = session.socket.request(&look).ok()?;
    Some(decode(&body)?.index)
}

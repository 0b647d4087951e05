//! Forwarding entries of VXLAN devices: behind which node a link-layer address is.
//!
//! A unicast address has one remote. The address of all zeros, and multicast ones, may have many:
//! what is sent there is copied to each; then the remote is part of the key.

use std::net::IpAddr;

use tombolo_model::MacAddr;
use tombolo_plan::{Key, Object};

use crate::error::KernelError;
use crate::neighbour::{DST, LLADDR, NO_ARP, PERMANENT, SELF, decode, header};
use crate::netlink::Message;
use crate::read::Scope;
use crate::session::Session;

const BRIDGE: u8 = libc::AF_BRIDGE as u8;

/// The entries of VXLAN devices of ours, and those that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let devices: Vec<_> = session
        .links
        .iter()
        .filter(|link| link.vxlan.is_some())
        .filter_map(|link| Some((link.index, session.links.name(link.index)?)))
        .filter(|(_, name)| scope.owns_link(name) || scope.names_link(name))
        .collect();
    let mut found: Vec<(Key, Object)> = Vec::new();
    for (index, link) in devices {
        let message = Message::new(libc::RTM_GETNEIGH, 0, &header(BRIDGE, index, 0, 0));
        let entries = session.dump("forwarding entries", &message, |reply| decode(reply.body))?;
        let mut seen = std::collections::BTreeSet::new();
        for entry in entries.iter().filter(|entry| entry.index == index) {
            let (Some(mac), Some(remote)) = (entry.mac, entry.dst) else {
                continue;
            };
            let many = !mac.is_unicast() || !seen.insert(mac);
            let key = Key::Fdb {
                link: link.clone(),
                mac,
                remote: many.then_some(remote),
            };
            if scope.planned(&key) || scope.owns_link(&link) {
                found.push((key, Object::Fdb(remote)));
            }
        }
    }
    Ok(found)
}

/// The message that makes an entry, or changes the only remote of a unicast address.
pub(crate) fn create(mac: MacAddr, remote: IpAddr, link: u32, replace: bool) -> Message {
    let how = match (mac.is_unicast(), replace) {
        (false, _) => libc::NLM_F_APPEND,
        (true, true) => libc::NLM_F_REPLACE,
        (true, false) => libc::NLM_F_EXCL,
    };
    let header = header(BRIDGE, link, PERMANENT | NO_ARP, SELF);
    let mut message = Message::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | how, &header);
    message.put(LLADDR, &mac.0).put_ip(DST, remote);
    message
}

/// The message that removes an entry.
pub(crate) fn remove(mac: MacAddr, remote: IpAddr, link: u32) -> Message {
    let mut message = Message::new(libc::RTM_DELNEIGH, 0, &header(BRIDGE, link, 0, SELF));
    message.put(LLADDR, &mac.0).put_ip(DST, remote);
    message
}

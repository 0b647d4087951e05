//! Forwarding entries of bridges: which port a link-layer address is behind.
//!
//! Only what is said once and for all (`NUD_NOARP`; `bridge fdb … static`) is looked at: what a
//! bridge learns comes and goes, and the addresses of its own ports are the kernel's.

use tombolo_model::MacAddr;
use tombolo_plan::{Key, Object};

use crate::error::KernelError;
use crate::neighbour::{LLADDR, NO_ARP, decode, header};
use crate::netlink::Message;
use crate::read::Scope;
use crate::session::Session;

const BRIDGE: u8 = libc::AF_BRIDGE as u8;
/// `NTF_MASTER`: the entry is the bridge's that the port is of.
const MASTER: u8 = 0x04;

/// The entries of bridges of ours, and those that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let message = Message::new(libc::RTM_GETNEIGH, 0, &header(BRIDGE, 0, 0, 0));
    let entries = session.dump("stations of bridges", &message, |reply| {
        decode(reply.body).filter(|entry| entry.state & NO_ARP != 0)
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let (Some(mac), Some(master)) = (entry.mac, entry.master) else {
            continue;
        };
        let links = &session.links;
        let (Some(bridge), Some(port)) = (links.name(master), links.name(entry.index)) else {
            continue;
        };
        let owned = scope.owns_link(&bridge);
        let key = Key::Station { bridge, mac };
        if owned || scope.planned(&key) {
            found.push((key, Object::Station(port)));
        }
    }
    Ok(found)
}

/// The message that makes an entry, or moves it to another port.
pub(crate) fn create(mac: MacAddr, port: u32) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let mut message = Message::new(
        libc::RTM_NEWNEIGH,
        flags,
        &header(BRIDGE, port, NO_ARP, MASTER),
    );
    message.put(LLADDR, &mac.0);
    message
}

/// The message that removes an entry.
pub(crate) fn remove(mac: MacAddr, port: u32) -> Message {
    let mut message = Message::new(libc::RTM_DELNEIGH, 0, &header(BRIDGE, port, 0, MASTER));
    message.put(LLADDR, &mac.0);
    message
}

//! Tells the containers of a segment that an address has another link-layer address by now.
//!
//! Who talked to the address before remembers the old one for up to a minute, and an address may
//! have moved to another host since. So each host tells its own containers as soon as it knows: by
//! an ARP announcement (RFC 5227, section 3) or an unsolicited neighbour advertisement (RFC 4861,
//! section 7.2.6) in the name of the station. The frames leave by the segment's bridge, which keeps
//! them from other hosts: those know as well. On a physical segment nobody knows, so whoever gets an
//! address there announces it to all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tombolo_model::{IfName, MacAddr};
use tombolo_plan::{Key, Netns, Object, Op, Place};

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::netns::NetnsHandle;
use crate::sys;

const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const BROADCAST: [u8; 6] = [0xff; 6];
/// All nodes of the link (RFC 4291, section 2.7.1), and the link-layer address of that group
/// (RFC 2464, section 7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;

/// Announces what operations have changed, of those that succeeded. It is a courtesy: where it fails
/// the containers find out by themselves, later.
pub(crate) fn announce<'a>(kernel: &mut Kernel, done: impl Iterator<Item = &'a Op>) {
    let done: Vec<&Op> = done.collect();
    let mut told: Vec<(&Netns, &IfName, Announced)> = Vec::new();
    for op in &done {
        let netns = &op.place().netns;
        match (netns, &op.place().key, crate::encode::made(op)) {
            (Netns::Segment(_), Key::Neighbour { link, address }, Some(Object::Neighbour(mac))) => {
                told.push((netns, link, (*address, Some(*mac))))
            }
            (_, Key::Address { link, net }, Some(Object::Address))
                if is_on_segment(kernel, &done, netns, link) =>
            {
                told.push((netns, link, (net.addr(), None)));
            }
            _ => {}
        }
    }
    for some in told.chunk_by(|(a, x, _), (b, y, _)| a == b && x == y) {
        let (netns, link, _) = &some[0];
        let announced: Vec<Announced> = some.iter().map(|(_, _, told)| *told).collect();
        let _ = send(kernel, netns, link, &announced);
    }
}

/// An address and the link-layer address that it has; if none, that of the interface.
type Announced = (IpAddr, Option<MacAddr>);

/// Whether a link is an interface on a physical segment, which was made just now or is known.
fn is_on_segment(kernel: &Kernel, done: &[&Op], netns: &Netns, link: &IfName) -> bool {
    let place = Place {
        netns: netns.clone(),
        key: Key::Link(link.clone()),
    };
    let is_on_parent =
        |object: &Object| matches!(object, Object::Link(link) if link.kind.shares_parent());
    let made = done.iter().filter(|op| *op.place() == place);
    let made = made.filter_map(|op| crate::encode::made(op));
    made.chain(kernel.remembered(&place)).any(is_on_parent)
}

fn send(
    kernel: &mut Kernel,
    netns: &Netns,
    link: &IfName,
    announced: &[Announced],
) -> Result<(), KernelError> {
    let handle = kernel.open_namespace(netns)?;
    let mut session = kernel.session_in(handle.clone(), netns)?;
    session.load_links()?;
    let Some(info) = session.links.info(link) else {
        return Ok(());
    };
    let failed = |errno| KernelError::Namespace {
        operation: "announce addresses in",
        netns: netns.to_string(),
        errno,
    };
    let inside = |handle: &NetnsHandle| {
        // Of protocol 0: it sends, and receives nothing.
        handle.run(|| {
            socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                None,
            )
        })
    };
    let packets = inside(&handle)?.map_err(failed)?;
    for (address, mac) in announced {
        let fd = std::os::fd::AsFd::as_fd(&packets);
        let Some(mac) = mac.or(info.mac) else {
            continue;
        };
        sys::send_frame(fd, info.index, &frame(*address, mac)).map_err(failed)?;
    }
    Ok(())
}

fn frame(address: IpAddr, mac: MacAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(address, mac),
        IpAddr::V6(address) => advertisement(address, mac),
    }
}

/// Ethernet for IPv4, a request for the sender's own address (RFC 826).
fn arp(address: Ipv4Addr, mac: MacAddr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend(BROADCAST);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE_ARP);
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(mac.0);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// A neighbour advertisement that overrides (RFC 4861, section 4.4).
fn advertisement(address: Ipv6Addr, mac: MacAddr) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    // The target's link-layer address, in units of eight bytes.
    message.extend([2, 1]);
    message.extend(mac.0);
    let sum = checksum(address, ALL_NODES, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(86);
    frame.extend(ALL_NODES_MAC);
    frame.extend(mac.0);
    frame.extend(ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([ICMPV6, 255]);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

/// The checksum of ICMPv6, over the pseudo-header and the message (RFC 4443, section 2.3).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> u16 {
    let mut bytes = Vec::with_capacity(40 + message.len());
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0, 0, ICMPV6]);
    bytes.extend(message);
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| {
            u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]))
        })
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_wire() {
        // An advertisement as Linux sends it: over a message with its checksum the sum is nothing.
        let frame = advertisement("fd05::7".parse().unwrap(), MacAddr([2, 0, 0, 0, 0xb, 1]));
        assert_eq!(frame.len(), 86);
        let message = &frame[54..];
        assert_eq!(checksum("fd05::7".parse().unwrap(), ALL_NODES, message), 0);
        assert_ne!(message[2..4], [0, 0]);
    }

    #[test]
    fn an_announcement_asks_for_its_own_address() {
        let frame = arp("10.5.0.7".parse().unwrap(), MacAddr([2, 0, 0, 0, 0xb, 1]));
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[28..32], frame[38..42]);
    }
}

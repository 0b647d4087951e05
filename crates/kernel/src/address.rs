//! Addresses on interfaces.
//!
//! Every address on a link of ours is ours, but for those that the kernel gives links by itself. An address brings no route of its subnet with it (`IFA_F_NOPREFIXROUTE`): the
//! plan says every route itself, and two would contend for one place. IPv6 addresses skip
//! duplicate detection, since the plan hands each out once and a container cannot wait a second.

use std::net::Ipv6Addr;

use ipnet::IpNet;
use tombolo_model::Family;
use tombolo_plan::{Key, Object};

use crate::error::KernelError;
use crate::netlink::{Message, attributes};
use crate::read::Scope;
use crate::route::{OUR_PROTOCOL_MARK, family_number};
use crate::session::Session;

/// `IFA_*` of linux/if_addr.h.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;
const PROTO: u16 = 11;
const NO_DAD: u32 = 0x02;
const NO_PREFIX_ROUTE: u32 = 0x200;
/// `IFAPROT_KERNEL_LL`: the kernel's own link-local address. Told since Linux 5.18.
const KERNEL_LINK_LOCAL: u8 = 3;

/// `struct ifaddrmsg`.
fn header(net: Option<IpNet>, index: u32) -> [u8; 8] {
    let family = net.map_or(0, |net| family_number(Family::of_net(net)));
    let [a, b, c, d] = index.to_ne_bytes();
    // The kernel knows this of IPv6 addresses by itself.
    let is_link_local = matches!(net, Some(IpNet::V4(v4)) if v4.addr().is_link_local());
    [
        family,
        net.map_or(0, |net| net.prefix_len()),
        0,
        if is_link_local {
            libc::RT_SCOPE_LINK
        } else {
            libc::RT_SCOPE_UNIVERSE
        },
        a,
        b,
        c,
        d,
    ]
}

/// The addresses on links of ours, and those that the plan names.
pub(crate) fn read(
    session: &mut Session,
    scope: &Scope<'_>,
) -> Result<Vec<(Key, Object)>, KernelError> {
    let message = Message::new(libc::RTM_GETADDR, 0, &header(None, 0));
    let addresses = session.dump("addresses", &message, |reply| decode(reply.body))?;
    let mut found = Vec::new();
    for address in addresses {
        let Some(link) = session.links.name(address.index) else {
            continue;
        };
        let key = Key::Address {
            link: link.clone(),
            net: address.net,
        };
        if scope.planned(&key) || (scope.owns_link(&link) && !address.by_kernel) {
            found.push((key, Object::Address));
        }
    }
    Ok(found)
}

/// An address as the kernel tells of it.
pub(crate) struct AddressInfo {
    pub index: u32,
    pub net: IpNet,
    by_kernel: bool,
}

/// An address from the body of an `RTM_NEWADDR`.
pub(crate) fn decode(body: &[u8]) -> Option<AddressInfo> {
    let length = *body.get(1)?;
    let index = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let (mut address, mut local, mut protocol) = (None, None, None);
    for attribute in attributes(body.get(8..)?) {
        match attribute.kind {
            ADDRESS => address = attribute.ip(),
            LOCAL => local = attribute.ip(),
            PROTO => protocol = attribute.u8(),
            _ => {}
        }
    }
    // Where both are there, the first one is the other side of a point-to-point link.
    let net = IpNet::new(local.or(address)?, length).ok()?;
    let link_local = matches!(net, IpNet::V6(v6) if v6.addr().is_unicast_link_local());
    let by_kernel = (link_local && matches!(protocol, None | Some(KERNEL_LINK_LOCAL)))
        || matches!(net, IpNet::V6(v6) if is_v4_compatible(v6.addr()));
    Some(AddressInfo {
        index,
        net,
        by_kernel,
    })
}

/// Whether it is an IPv4 address with zeros before it: the kernel gives one to each device that
/// carries IPv6 in IPv4.
fn is_v4_compatible(address: Ipv6Addr) -> bool {
    address.octets()[..12] == [0; 12]
}

/// The message that puts an address on a link.
pub(crate) fn create(net: IpNet, link: u32) -> Message {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let mut message = with_address(libc::RTM_NEWADDR, flags, net, link);
    let no_dad = if net.addr().is_ipv6() { NO_DAD } else { 0 };
    message
        .put_u32(FLAGS, NO_PREFIX_ROUTE | no_dad)
        .put_u8(PROTO, OUR_PROTOCOL_MARK);
    message
}

/// The message that takes an address off a link.
pub(crate) fn remove(net: IpNet, link: u32) -> Message {
    with_address(libc::RTM_DELADDR, 0, net, link)
}

fn with_address(kind: u16, flags: libc::c_int, net: IpNet, link: u32) -> Message {
    let mut message = Message::new(kind, flags, &header(Some(net), link));
    message
        .put_ip(LOCAL, net.addr())
        .put_ip(ADDRESS, net.addr());
    message
}

/// Every address of a namespace, for the underlay.
pub(crate) fn read_all(session: &mut Session) -> Result<Vec<AddressInfo>, KernelError> {
    let message = Message::new(libc::RTM_GETADDR, 0, &header(None, 0));
    session.dump("addresses", &message, |reply| decode(reply.body))
}

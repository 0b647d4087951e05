//! Several gateways of one route: `struct rtnexthop` and what is in it (linux/rtnetlink.h).

use std::net::IpAddr;

use tombolo_model::Family;
use tombolo_plan::objects::Hop;

use super::{ENCAP, ENCAP_TYPE, GATEWAY, MULTIPATH, ON_LINK, VIA, via};
use crate::netlink::{Attribute, Message, attributes, ip};

/// Bytes of a `struct rtnexthop`: length, flags, weight less one, the link's index.
const HEADER: usize = 8;

/// A gateway as the kernel tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    pub link: u32,
    pub gateway: IpAddr,
    pub onlink: bool,
}

/// The gateways; none if one of them is as no plan wants it: without an address, of another weight than
/// the others, or leading into a tunnel.
pub(super) fn decode(attribute: &Attribute<'_>) -> Option<Vec<Gateway>> {
    let mut rest = attribute.data;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes([*rest.first()?, *rest.get(1)?]));
        let (flags, weight) = (*rest.get(2)?, *rest.get(3)?);
        let link = u32::from_ne_bytes(rest.get(4..HEADER)?.try_into().ok()?);
        let mut gateway = None;
        for inner in attributes(rest.get(HEADER..length)?) {
            match inner.kind {
                GATEWAY => gateway = inner.ip(),
                VIA => gateway = ip(inner.data.get(2..)?),
                ENCAP | ENCAP_TYPE => return None,
                _ => {}
            }
        }
        if weight != 0 {
            return None;
        }
        found.push(Gateway {
            link,
            gateway: gateway?,
            onlink: u32::from(flags) & ON_LINK != 0,
        });
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(found)
}

/// The link of the first one.
pub(super) fn first_link(attribute: &Attribute<'_>) -> Option<u32> {
    let bytes = attribute.data.get(4..HEADER)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// Puts gateways to a destination of a family, each with the index of its link.
pub(super) fn put(message: &mut Message, to: Family, hops: &[Hop], links: &[u32]) {
    let mut bytes = Vec::new();
    for (hop, link) in hops.iter().zip(links) {
        let (kind, payload) = match (hop.gateway, Family::of(hop.gateway) == to) {
            (IpAddr::V4(gateway), true) => (GATEWAY, gateway.octets().to_vec()),
            (IpAddr::V6(gateway), true) => (GATEWAY, gateway.octets().to_vec()),
            (gateway, false) => (VIA, via(gateway)),
        };
        let attribute = 4 + payload.len();
        let length = HEADER + attribute.next_multiple_of(4);
        bytes.extend_from_slice(&short(length));
        bytes.push(if hop.onlink { ON_LINK as u8 } else { 0 });
        bytes.push(0);
        bytes.extend_from_slice(&link.to_ne_bytes());
        bytes.extend_from_slice(&short(attribute));
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    message.put(MULTIPATH, &bytes);
}

/// A length that fits, since a gateway has at most 18 bytes.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes()
}

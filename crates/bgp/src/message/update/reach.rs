//! MP_REACH_NLRI and MP_UNREACH_NLRI: prefixes of other families than IPv4, and of IPv4 with a next hop
//! of IPv6 (RFC 4760, RFC 2545, RFC 8950).
//!
//! ```text
//!  MP_REACH_NLRI:    AFI | SAFI | n | next hop of n bytes | 0 | prefixes
//!  MP_UNREACH_NLRI:  AFI | SAFI | prefixes
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::Negotiated;
use super::super::bytes::Bytes;
use super::class::Wrong;
use super::prefixes;
use crate::attributes::NextHop;
use crate::types::{Family, Nlri};

/// What MP_REACH_NLRI tells.
pub(super) struct Reach {
    pub next_hop: NextHop,
    pub prefixes: Vec<Nlri>,
}

/// What MP_UNREACH_NLRI tells.
pub(super) struct Unreach {
    pub family: Family,
    pub prefixes: Vec<Nlri>,
}

/// What came of an attribute: it may be about a family that was not agreed on.
pub(super) enum Told<T> {
    This(T),
    Foreign(String),
}

/// Reads MP_REACH_NLRI. What is wrong with it ends the session, since its prefixes cannot be known.
pub(super) fn read(value: &[u8], context: &Negotiated) -> Result<Told<Reach>, Wrong> {
    let cut = || Wrong::new(9, format!("of {} bytes that is cut short", value.len()));
    let mut bytes = Bytes(value);
    let (afi, safi) = bytes.u16().zip(bytes.u8()).ok_or_else(cut)?;
    let length = bytes.u8().ok_or_else(cut)?;
    let hop = bytes.take(length.into()).ok_or_else(cut)?;
    // Once the number of link addresses; now reserved, and not looked at (RFC 4760 section 3).
    bytes.u8().ok_or_else(cut)?;
    let family = match agreed(afi, safi, context) {
        Ok(family) => family,
        Err(why) => return Ok(Told::Foreign(why)),
    };
    let next_hop = read_next_hop(hop, family, context)
        .ok_or_else(|| Wrong::new(9, format!("of {family} with a next hop of {length} bytes")))?;
    let prefixes = prefixes::read(bytes.0, family, context.add_path_receive.contains(family));
    let prefixes = prefixes.map_err(|fault| Wrong::new(9, format!("with {fault}")))?;
    Ok(Told::This(Reach { next_hop, prefixes }))
}

/// Reads MP_UNREACH_NLRI.
pub(super) fn read_unreach(value: &[u8], context: &Negotiated) -> Result<Told<Unreach>, Wrong> {
    let cut = || Wrong::new(9, format!("of {} bytes that is cut short", value.len()));
    let mut bytes = Bytes(value);
    let (afi, safi) = bytes.u16().zip(bytes.u8()).ok_or_else(cut)?;
    let family = match agreed(afi, safi, context) {
        Ok(family) => family,
        Err(why) => return Ok(Told::Foreign(why)),
    };
    let prefixes = prefixes::read(bytes.0, family, context.add_path_receive.contains(family));
    let prefixes = prefixes.map_err(|fault| Wrong::new(9, format!("with {fault}")))?;
    Ok(Told::This(Unreach { family, prefixes }))
}

fn agreed(afi: u16, safi: u8, context: &Negotiated) -> Result<Family, String> {
    let family = Family::of_afi(afi, safi).filter(|family| context.families.contains(*family));
    family.ok_or_else(|| format!("of AFI {afi}, SAFI {safi}, which was not agreed on"))
}

/// Reads a next hop; none if it has a length that was not agreed on.
fn read_next_hop(bytes: &[u8], family: Family, context: &Negotiated) -> Option<NextHop> {
    let is_long = family == Family::Ipv6 || context.extended_next_hop;
    match (bytes.len(), family) {
        (4, Family::Ipv4) => {
            let octets = bytes.first_chunk::<4>()?;
            Some(NextHop::V4(Ipv4Addr::from(*octets)))
        }
        (16 | 32, _) if is_long => {
            let first = bytes
                .first_chunk::<16>()
                .map(|octets| Ipv6Addr::from(*octets))?;
            let second = bytes.get(16..).and_then(<[u8]>::first_chunk::<16>);
            let second = second.map(|octets| Ipv6Addr::from(*octets));
            Some(of_pair(first, second))
        }
        _ => None,
    }
}

/// Of a global address and one of the link. Some peers that have no global one say `::` or the link's twice.
fn of_pair(first: Ipv6Addr, second: Option<Ipv6Addr>) -> NextHop {
    let link_local = second.filter(|address| address.is_unicast_link_local());
    match (
        first.is_unspecified() || first.is_unicast_link_local(),
        link_local,
    ) {
        (true, Some(global)) => NextHop::V6 {
            global,
            link_local: None,
        },
        (true, None) => NextHop::V6 {
            global: first,
            link_local: None,
        },
        (false, link_local) => NextHop::V6 {
            global: first,
            link_local,
        },
    }
}

/// Whether an address is one that packets can be sent to.
pub(super) fn is_host(next_hop: NextHop) -> bool {
    match next_hop.address() {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_loopback())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_loopback()),
    }
}

//! Prefixes: `length in bits | as many bytes as it takes`, with a path identifier of four bytes before
//! each where that was agreed on (RFC 4271 section 4.3, RFC 7911 section 3).

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::bytes::Bytes;
use crate::types::{Family, Nlri, PathId};

/// Reads prefixes up to the end; bits beyond their length are cleared.
///
/// # Errors
/// A prefix is longer than an address, or ends beyond the field (RFC 7606 section 5.3).
pub(super) fn read(field: &[u8], family: Family, add_path: bool) -> Result<Vec<Nlri>, String> {
    let mut bytes = Bytes(field);
    let mut prefixes = Vec::with_capacity(field.len() / if add_path { 8 } else { 4 });
    while !bytes.is_empty() {
        let cut = || format!("a prefix of {family} that is cut short");
        let path = match add_path {
            true => PathId(bytes.u32().ok_or_else(cut)?),
            false => PathId::default(),
        };
        let length = bytes.u8().ok_or_else(cut)?;
        let host = bytes
            .take(usize::from(length).div_ceil(8))
            .ok_or_else(cut)?;
        let prefix = match family {
            Family::Ipv4 => v4(host, length),
            Family::Ipv6 => v6(host, length),
        };
        let prefix = prefix.ok_or_else(|| format!("a prefix of {family} with {length} bits"))?;
        prefixes.push(Nlri { prefix, path });
    }
    Ok(prefixes)
}

fn v4(bytes: &[u8], length: u8) -> Option<IpNet> {
    let mut octets = [0; 4];
    octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let net = Ipv4Net::new(Ipv4Addr::from(octets), length).ok()?;
    Some(IpNet::V4(net.trunc()))
}

fn v6(bytes: &[u8], length: u8) -> Option<IpNet> {
    let mut octets = [0; 16];
    octets.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let net = Ipv6Net::new(Ipv6Addr::from(octets), length).ok()?;
    Some(IpNet::V6(net.trunc()))
}

/// Whether routes to a prefix mean something: not those to groups, to a host's own loopback, to one link.
pub(super) fn is_routable(prefix: IpNet) -> bool {
    match prefix {
        IpNet::V4(net) => {
            let address = net.addr();
            // 0.0.0.0/0 contains all of these and is none of them.
            !(address.is_multicast() || address.is_loopback())
        }
        IpNet::V6(net) => {
            let address = net.addr();
            !(address.is_multicast() || address.is_loopback() || address.is_unicast_link_local())
        }
    }
}

/// The most bytes that a prefix of a family takes.
pub(super) fn longest(family: Family, add_path: bool) -> usize {
    let address = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    address + 1 + if add_path { 4 } else { 0 }
}

/// Appends as many prefixes as fit before `end`; answers those that do not.
pub(super) fn write<'a>(
    prefixes: &'a [Nlri],
    add_path: bool,
    out: &mut Vec<u8>,
    end: usize,
) -> &'a [Nlri] {
    for (index, nlri) in prefixes.iter().enumerate() {
        let length = nlri.prefix.prefix_len();
        let bytes = usize::from(length).div_ceil(8);
        if out.len() + bytes + if add_path { 5 } else { 1 } > end {
            return prefixes.get(index..).unwrap_or_default();
        }
        if add_path {
            out.extend_from_slice(&nlri.path.0.to_be_bytes());
        }
        out.push(length);
        match nlri.prefix {
            IpNet::V4(net) => out.extend(net.network().octets().iter().take(bytes)),
            IpNet::V6(net) => out.extend(net.network().octets().iter().take(bytes)),
        }
    }
    &[]
}

//! UPDATEs to be sent: as many prefixes in each as fit, the attributes written once.
//!
//! IPv4 prefixes with an IPv4 next hop stand in the fields that were made for them, all others in
//! MP_REACH_NLRI, which comes first (RFC 7606 section 5.1). No message holds more than one of the fields.

use super::super::frame::{HEADER, LONGEST, fill, kind, write};
use super::super::{Negotiated, Update};
use super::class::{Kind, code, flag};
use super::{path, prefixes};
use crate::attributes::{AsPath, Attributes, NextHop, Origin, Unknown};
use crate::types::{Asn, Families, Family, Nlri};

/// Attributes that leave no room for a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "attributes of {length} bytes leave no room for a prefix in a message of 4096: a shorter AS path or fewer communities would"
)]
pub struct TooLong {
    /// How many bytes the attributes take.
    pub length: usize,
}

/// Appends the UPDATEs that announce prefixes of one family.
///
/// # Errors
/// The attributes leave no room for a prefix. Nothing is appended.
pub fn encode_announced(
    attributes: &Attributes,
    family: Family,
    prefixes: &[Nlri],
    context: &Negotiated,
    out: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let mut shared = Vec::with_capacity(128);
    let next_hop = match (family, attributes.next_hop) {
        (Family::Ipv4, NextHop::V4(_)) => None,
        (_, next_hop) => Some(next_hop),
    };
    write_attributes(attributes, next_hop.is_none(), context, &mut shared);
    let head = next_hop
        .map(|next_hop| reach_head(family, next_hop))
        .unwrap_or_default();
    let add_path = context.add_path_send.contains(family);
    let length = head.len() + shared.len();
    if HEADER + 4 + length + prefixes::longest(family, add_path) > LONGEST {
        return Err(TooLong { length });
    }
    let mut rest = prefixes;
    while !rest.is_empty() {
        let end = out.len() + LONGEST;
        write(kind::UPDATE, out, |out| {
            out.extend_from_slice(&[0; 4]);
            let start = out.len();
            out.extend_from_slice(&head);
            if head.is_empty() {
                out.extend_from_slice(&shared);
                fill(out, start - 2, shared.len());
                rest = prefixes::write(rest, add_path, out, end);
            } else {
                rest = prefixes::write(rest, add_path, out, end - shared.len());
                let length = out.len() - start - 4;
                fill(out, start + 2, length);
                out.extend_from_slice(&shared);
                let length = out.len() - start;
                fill(out, start - 2, length);
            }
        });
    }
    Ok(())
}

/// Appends the UPDATEs that withdraw prefixes of one family.
pub fn encode_withdrawn(
    family: Family,
    prefixes: &[Nlri],
    context: &Negotiated,
    out: &mut Vec<u8>,
) {
    let add_path = context.add_path_send.contains(family);
    let mut rest = prefixes;
    while !rest.is_empty() {
        let end = out.len() + LONGEST;
        write(kind::UPDATE, out, |out| match family {
            Family::Ipv4 => {
                let start = out.len();
                out.extend_from_slice(&[0; 2]);
                // The length of the attributes comes behind.
                rest = prefixes::write(rest, add_path, out, end - 2);
                let length = out.len() - start - 2;
                fill(out, start, length);
                out.extend_from_slice(&[0; 2]);
            }
            Family::Ipv6 => write_unreach(family, out, |out| {
                rest = prefixes::write(rest, add_path, out, end);
            }),
        });
    }
}

/// Appends the UPDATE that says that everything of a family has been said (RFC 4724 section 2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    write(kind::UPDATE, out, |out| match family {
        Family::Ipv4 => out.extend_from_slice(&[0; 4]),
        Family::Ipv6 => write_unreach(family, out, |_| ()),
    });
}

/// Appends a whole UPDATE, as several where it must be.
pub(in super::super) fn encode(update: &Update, context: &Negotiated, out: &mut Vec<u8>) {
    let of = |all: &[Nlri], family: Family| -> Vec<Nlri> {
        all.iter()
            .copied()
            .filter(|nlri| Family::of(nlri.prefix) == family)
            .collect()
    };
    for family in Families::ALL.iter() {
        encode_withdrawn(family, &of(&update.withdrawn, family), context, out);
    }
    for (attributes, prefixes) in &update.announced {
        for family in Families::ALL.iter() {
            // What does not fit is left out, as it is said where this is offered.
            let _ = encode_announced(attributes, family, &of(prefixes, family), context, out);
        }
    }
    if let Some(family) = update.end_of_rib {
        encode_end_of_rib(family, out);
    }
}

/// A body with nothing but MP_UNREACH_NLRI and what `prefixes` writes into it.
fn write_unreach(family: Family, out: &mut Vec<u8>, prefixes: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[0; 4]);
    let start = out.len();
    out.extend_from_slice(&[
        flag::OPTIONAL | flag::EXTENDED_LENGTH,
        code::MP_UNREACH,
        0,
        0,
    ]);
    out.extend_from_slice(&family.afi().to_be_bytes());
    out.push(1);
    prefixes(out);
    let length = out.len() - start;
    fill(out, start - 2, length);
    fill(out, start + 2, length - 4);
}

/// MP_REACH_NLRI up to its prefixes, with room for its length.
fn reach_head(family: Family, next_hop: NextHop) -> Vec<u8> {
    let mut head = vec![flag::OPTIONAL | flag::EXTENDED_LENGTH, code::MP_REACH, 0, 0];
    head.extend_from_slice(&family.afi().to_be_bytes());
    let (global, link_local) = match next_hop {
        NextHop::V6 { global, link_local } => (global, link_local),
        NextHop::V4(address) => (address.to_ipv6_mapped(), None),
    };
    head.extend_from_slice(&[1, if link_local.is_some() { 32 } else { 16 }]);
    for address in [Some(global), link_local].into_iter().flatten() {
        head.extend_from_slice(&address.octets());
    }
    head.push(0);
    head
}

/// Appends the attributes that all messages share, in the order of their codes.
fn write_attributes(
    attributes: &Attributes,
    with_next_hop: bool,
    context: &Negotiated,
    out: &mut Vec<u8>,
) {
    let origin = match attributes.origin {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    };
    put(code::ORIGIN, &[origin], out);
    put_with(code::AS_PATH, out, |out| {
        path::write(&attributes.as_path, context.four_octet, out)
    });
    if let (true, NextHop::V4(address)) = (with_next_hop, attributes.next_hop) {
        put(code::NEXT_HOP, &address.octets(), out);
    }
    if let Some(med) = attributes.med {
        put(code::MED, &med.to_be_bytes(), out);
    }
    if let Some(preference) = attributes.local_pref {
        put(code::LOCAL_PREF, &preference.to_be_bytes(), out);
    }
    if attributes.atomic_aggregate {
        put(code::ATOMIC_AGGREGATE, &[], out);
    }
    if let Some((asn, address)) = attributes.aggregator {
        put_with(code::AGGREGATOR, out, |out| {
            match context.four_octet {
                true => out.extend_from_slice(&asn.0.to_be_bytes()),
                false => out.extend_from_slice(&asn.short().to_be_bytes()),
            }
            out.extend_from_slice(&address.octets());
        });
    }
    put_each(
        code::COMMUNITIES,
        &attributes.communities,
        out,
        |community, out| {
            out.extend_from_slice(&community.0.to_be_bytes());
        },
    );
    if let Some(originator) = attributes.originator_id {
        put(code::ORIGINATOR_ID, &originator.0.octets(), out);
    }
    put_each(
        code::CLUSTER_LIST,
        &attributes.cluster_list,
        out,
        |cluster, out| {
            out.extend_from_slice(&cluster.0.octets());
        },
    );
    write_late_attributes(attributes, context, out);
}

/// Those whose codes are not fixed: the four-octet twins, the large communities, and what is passed on.
fn write_late_attributes(attributes: &Attributes, context: &Negotiated, out: &mut Vec<u8>) {
    let (early, late): (Vec<&Unknown>, Vec<&Unknown>) =
        (attributes.unknown.iter()).partition(|unknown| unknown.code < code::AS4_PATH);
    early
        .into_iter()
        .for_each(|unknown| put_unknown(unknown, context, out));
    if !context.four_octet {
        write_twins(&attributes.as_path, attributes, out);
    }
    let (early, late): (Vec<&Unknown>, Vec<&Unknown>) = late
        .into_iter()
        .partition(|unknown| unknown.code < code::LARGE_COMMUNITIES);
    early
        .into_iter()
        .for_each(|unknown| put_unknown(unknown, context, out));
    put_each(
        code::LARGE_COMMUNITIES,
        &attributes.large_communities,
        out,
        |community, out| {
            for part in [community.0, community.1, community.2] {
                out.extend_from_slice(&part.to_be_bytes());
            }
        },
    );
    late.into_iter()
        .for_each(|unknown| put_unknown(unknown, context, out));
}

/// AS4_PATH and AS4_AGGREGATOR, where two octets were too few (RFC 6793 section 4.2.2).
fn write_twins(as_path: &AsPath, attributes: &Attributes, out: &mut Vec<u8>) {
    let long = path::outside_confederations(as_path);
    if path::needs_four_octets(&long) {
        put_with(code::AS4_PATH, out, |out| path::write(&long, true, out));
    }
    if let Some((Asn(asn @ 0x1_0000..), address)) = attributes.aggregator {
        put_with(code::AS4_AGGREGATOR, out, |out| {
            out.extend_from_slice(&asn.to_be_bytes());
            out.extend_from_slice(&address.octets());
        });
    }
}

/// What is not known is passed on as partial. Extended communities are known as far as that those which
/// are not transitive stay within a system (RFC 4360 section 6, RFC 5701).
fn put_unknown(unknown: &Unknown, context: &Negotiated, out: &mut Vec<u8>) {
    let size = match unknown.code {
        code::EXTENDED_COMMUNITIES => 8,
        code::IPV6_EXTENDED_COMMUNITIES => 20,
        _ => {
            let flags = flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL;
            return put_flagged(flags, unknown.code, out, |out| {
                out.extend_from_slice(&unknown.value)
            });
        }
    };
    let passes = |community: &&[u8]| {
        context.internal || community.first().is_some_and(|kind| kind & 0x40 == 0)
    };
    let communities: Vec<&[u8]> = unknown.value.chunks(size).filter(passes).collect();
    put_each(unknown.code, &communities, out, |community, out| {
        out.extend_from_slice(community)
    });
}

fn put(code: u8, value: &[u8], out: &mut Vec<u8>) {
    put_with(code, out, |out| out.extend_from_slice(value));
}

/// Puts a list, unless it is empty.
fn put_each<T>(code: u8, all: &[T], out: &mut Vec<u8>, part: impl Fn(&T, &mut Vec<u8>)) {
    if !all.is_empty() {
        put_with(code, out, |out| all.iter().for_each(|one| part(one, out)));
    }
}

fn put_with(code: u8, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let flags = Kind::of(code).map_or(flag::OPTIONAL | flag::TRANSITIVE, |kind| kind.flags);
    put_flagged(flags, code, out, value);
}

/// Puts flags, code, length and value; the length has two bytes only where it needs them.
fn put_flagged(flags: u8, code: u8, out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[flags, code, 0]);
    value(out);
    let length = out.len() - start - 3;
    match (u8::try_from(length), out.get_mut(start..start + 3)) {
        (Ok(length), Some([_, _, field])) => *field = length,
        (Err(_), Some([flags, ..])) => {
            *flags |= flag::EXTENDED_LENGTH;
            out.insert(start + 3, 0);
            fill(out, start + 2, length);
        }
        _ => (),
    }
}

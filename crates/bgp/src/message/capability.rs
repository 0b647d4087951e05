//! Capabilities: what a speaker can (RFC 5492), each `code | length | value`.

use super::bytes::Bytes;
use super::{Capability, Fault, GracefulRestart};
use crate::types::{Asn, Family};

/// IANA's "Capability Codes".
mod code {
    pub const MULTIPROTOCOL: u8 = 1;
    pub const ROUTE_REFRESH: u8 = 2;
    pub const EXTENDED_NEXT_HOP: u8 = 5;
    pub const GRACEFUL_RESTART: u8 = 64;
    pub const FOUR_OCTET_AS: u8 = 65;
    pub const ADD_PATH: u8 = 69;
    pub const ENHANCED_REFRESH: u8 = 70;
    pub const LONG_LIVED: u8 = 71;
}

/// Reads what one parameter holds.
pub(super) fn decode_all(field: &[u8], capabilities: &mut Vec<Capability>) -> Result<(), Fault> {
    let mut bytes = Bytes(field);
    while !bytes.is_empty() {
        let code = bytes.u8();
        let value = bytes.u8().and_then(|length| bytes.take(length.into()));
        let (Some(code), Some(value)) = (code, value) else {
            let message = "an OPEN with capabilities that do not add up";
            return Err(Fault::open(0, &[], message));
        };
        let capability = decode(code, value).ok_or_else(|| {
            let message = format!(
                "an OPEN with {} bytes for the capability {code}, which has not so many",
                value.len()
            );
            Fault::open(0, &[], message)
        })?;
        capabilities.push(capability);
    }
    Ok(())
}

/// Reads a value; none if it has not the length that it must. Of families that are not ours nothing is
/// kept, so that a list may become empty.
fn decode(code: u8, value: &[u8]) -> Option<Capability> {
    let unknown = || Capability::Unknown {
        code,
        value: value.to_vec(),
    };
    let mut bytes = Bytes(value);
    let capability = match code {
        code::MULTIPROTOCOL => {
            let (afi, _, safi) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
            Family::of_afi(afi, safi).map_or_else(unknown, Capability::Multiprotocol)
        }
        code::ROUTE_REFRESH => Capability::RouteRefresh,
        code::ENHANCED_REFRESH => Capability::EnhancedRefresh,
        code::FOUR_OCTET_AS => Capability::FourOctetAs(Asn(bytes.u32()?)),
        code::EXTENDED_NEXT_HOP => {
            Capability::ExtendedNextHop(all(&mut bytes, decode_extended_next_hop)?)
        }
        code::GRACEFUL_RESTART => decode_graceful(&mut bytes)?,
        code::LONG_LIVED => Capability::LongLived(all(&mut bytes, decode_long_lived)?),
        code::ADD_PATH => Capability::AddPath(all(&mut bytes, decode_add_path)?),
        _ => return Some(unknown()),
    };
    bytes.is_empty().then_some(capability)
}

/// Reads entries up to the end; none if one is cut short. An entry may be passed over.
fn all<T>(
    bytes: &mut Bytes<'_>,
    entry: impl Fn(&mut Bytes<'_>) -> Option<Option<T>>,
) -> Option<Vec<T>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.extend(entry(bytes)?);
    }
    Some(entries)
}

fn decode_extended_next_hop(bytes: &mut Bytes<'_>) -> Option<Option<(Family, Family)>> {
    let (afi, safi, hop) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
    let routes = u8::try_from(safi)
        .ok()
        .and_then(|safi| Family::of_afi(afi, safi));
    Some(routes.zip(Family::of_afi(hop, 1)))
}

fn decode_graceful(bytes: &mut Bytes<'_>) -> Option<Capability> {
    let head = bytes.u16()?;
    let families = all(bytes, |bytes| {
        let (afi, safi, flags) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
        Some(Family::of_afi(afi, safi).map(|family| (family, flags & 0x80 != 0)))
    })?;
    Some(Capability::GracefulRestart(GracefulRestart {
        restarting: head & 0x8000 != 0,
        notification: head & 0x4000 != 0,
        time: head & 0x0FFF,
        families,
    }))
}

fn decode_long_lived(bytes: &mut Bytes<'_>) -> Option<Option<(Family, bool, u32)>> {
    let (afi, safi, flags) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
    let [high, middle, low] = bytes.array()?;
    let time = u32::from_be_bytes([0, high, middle, low]);
    Some(Family::of_afi(afi, safi).map(|family| (family, flags & 0x80 != 0, time)))
}

/// What is neither sending nor receiving nor both is not understood and passed over (RFC 7911 section 4).
fn decode_add_path(bytes: &mut Bytes<'_>) -> Option<Option<(Family, bool, bool)>> {
    let (afi, safi, mode) = (bytes.u16()?, bytes.u8()?, bytes.u8()?);
    let family = Family::of_afi(afi, safi).filter(|_| (1..=3).contains(&mode));
    Some(family.map(|family| (family, mode & 2 != 0, mode & 1 != 0)))
}

/// Appends a capability. One of more than 255 bytes cannot be told and is left out.
pub(super) fn encode(capability: &Capability, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[code_of(capability), 0]);
    encode_value(capability, out);
    match (u8::try_from(out.len() - start - 2), out.get_mut(start + 1)) {
        (Ok(length), Some(field)) => *field = length,
        _ => out.truncate(start),
    }
}

fn code_of(capability: &Capability) -> u8 {
    match capability {
        Capability::Multiprotocol(_) => code::MULTIPROTOCOL,
        Capability::RouteRefresh => code::ROUTE_REFRESH,
        Capability::EnhancedRefresh => code::ENHANCED_REFRESH,
        Capability::FourOctetAs(_) => code::FOUR_OCTET_AS,
        Capability::ExtendedNextHop(_) => code::EXTENDED_NEXT_HOP,
        Capability::GracefulRestart(_) => code::GRACEFUL_RESTART,
        Capability::LongLived(_) => code::LONG_LIVED,
        Capability::AddPath(_) => code::ADD_PATH,
        Capability::Unknown { code, .. } => *code,
    }
}

fn encode_value(capability: &Capability, out: &mut Vec<u8>) {
    match capability {
        Capability::Multiprotocol(family) => {
            out.extend_from_slice(&family.afi().to_be_bytes());
            out.extend_from_slice(&[0, 1]);
        }
        Capability::RouteRefresh | Capability::EnhancedRefresh => (),
        Capability::FourOctetAs(asn) => out.extend_from_slice(&asn.0.to_be_bytes()),
        Capability::ExtendedNextHop(pairs) => {
            for (routes, hop) in pairs {
                out.extend_from_slice(&routes.afi().to_be_bytes());
                out.extend_from_slice(&[0, 1]);
                out.extend_from_slice(&hop.afi().to_be_bytes());
            }
        }
        Capability::GracefulRestart(restart) => encode_graceful(restart, out),
        Capability::LongLived(families) => {
            for (family, forwarding, time) in families {
                encode_family(*family, u8::from(*forwarding) << 7, out);
                let [_, time @ ..] = (*time).min(0x00FF_FFFF).to_be_bytes();
                out.extend_from_slice(&time);
            }
        }
        Capability::AddPath(families) => {
            let useful = families
                .iter()
                .filter(|(_, send, receive)| *send || *receive);
            for (family, send, receive) in useful {
                encode_family(*family, u8::from(*send) << 1 | u8::from(*receive), out);
            }
        }
        Capability::Unknown { value, .. } => out.extend_from_slice(value),
    }
}

fn encode_graceful(restart: &GracefulRestart, out: &mut Vec<u8>) {
    let flags = u16::from(restart.restarting) << 15 | u16::from(restart.notification) << 14;
    out.extend_from_slice(&(flags | restart.time.min(0x0FFF)).to_be_bytes());
    for (family, forwarding) in &restart.families {
        encode_family(*family, u8::from(*forwarding) << 7, out);
    }
}

/// AFI, SAFI and an octet of flags.
fn encode_family(family: Family, flags: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&family.afi().to_be_bytes());
    out.extend_from_slice(&[1, flags]);
}

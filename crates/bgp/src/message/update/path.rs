//! AS_PATH and AS4_PATH: segments of `type | how many | systems of two or four bytes each`
//! (RFC 4271 section 4.3, RFC 5065, RFC 6793).

use super::super::bytes::Bytes;
use super::class::Wrong;
use crate::attributes::{AsPath, AsSegment};
use crate::types::{AS_TRANS, Asn};

const SET: u8 = 1;
const SEQUENCE: u8 = 2;
const CONFEDERATION_SEQUENCE: u8 = 3;
const CONFEDERATION_SET: u8 = 4;

/// The most systems in a segment.
const MOST: usize = 255;

/// Reads a path.
///
/// # Errors
/// A segment of an unknown type, without systems, or cut short (RFC 7606 section 7.2); a system 0 (RFC 7607).
pub(super) fn read(value: &[u8], four_octet: bool) -> Result<AsPath, Wrong> {
    let mut bytes = Bytes(value);
    let mut segments = Vec::new();
    while let Some(kind) = bytes.u8() {
        let count = usize::from(bytes.u8().unwrap_or(0));
        let systems = bytes.take(count * width(four_octet));
        let systems = systems.filter(|_| count > 0).ok_or_else(|| {
            Wrong::new(
                11,
                format!("with a segment of {count} systems that is empty or cut short"),
            )
        })?;
        let systems = read_systems(systems, four_octet);
        if systems.contains(&Asn(0)) {
            return Err(Wrong::new(11, "with system 0, which nobody's is"));
        }
        segments.push(match kind {
            SET => AsSegment::Set(systems),
            SEQUENCE => AsSegment::Sequence(systems),
            CONFEDERATION_SEQUENCE => AsSegment::ConfederationSequence(systems),
            CONFEDERATION_SET => AsSegment::ConfederationSet(systems),
            other => return Err(Wrong::new(11, format!("with a segment of type {other}"))),
        });
    }
    Ok(AsPath(segments))
}

fn width(four_octet: bool) -> usize {
    if four_octet { 4 } else { 2 }
}

fn read_systems(bytes: &[u8], four_octet: bool) -> Vec<Asn> {
    match four_octet {
        true => {
            let (systems, _) = bytes.as_chunks();
            systems
                .iter()
                .map(|system| Asn(u32::from_be_bytes(*system)))
                .collect()
        }
        false => {
            let (systems, _) = bytes.as_chunks();
            systems
                .iter()
                .map(|system| Asn(u16::from_be_bytes(*system).into()))
                .collect()
        }
    }
}

/// Appends a path. Segments of more than 255 systems become several, empty ones none.
pub(super) fn write(path: &AsPath, four_octet: bool, out: &mut Vec<u8>) {
    for segment in &path.0 {
        let kind = match segment {
            AsSegment::Set(_) => SET,
            AsSegment::Sequence(_) => SEQUENCE,
            AsSegment::ConfederationSequence(_) => CONFEDERATION_SEQUENCE,
            AsSegment::ConfederationSet(_) => CONFEDERATION_SET,
        };
        for systems in segment.systems().chunks(MOST) {
            out.extend_from_slice(&[kind, u8::try_from(systems.len()).unwrap_or(u8::MAX)]);
            for system in systems {
                match four_octet {
                    true => out.extend_from_slice(&system.0.to_be_bytes()),
                    false => out.extend_from_slice(&system.short().to_be_bytes()),
                }
            }
        }
    }
}

/// Whether two octets are too few for it.
pub(super) fn needs_four_octets(path: &AsPath) -> bool {
    (path.0.iter().flat_map(AsSegment::systems)).any(|system| u16::try_from(system.0).is_err())
}

/// The path without what is of confederations: what AS4_PATH may hold (RFC 6793 section 3).
pub(super) fn outside_confederations(path: &AsPath) -> AsPath {
    let mut path = path.clone();
    path.drop_confederations();
    path
}

/// What the path really was (RFC 6793 section 4.2.3): that which speakers of four octets kept, after
/// the systems that those of two have put in front of it since.
pub(super) fn merge(short: AsPath, long: &AsPath) -> AsPath {
    let Some(mut leading) = short.length().checked_sub(long.length()) else {
        return short;
    };
    let mut merged = AsPath::default();
    for segment in short.0 {
        let counted = match &segment {
            AsSegment::Sequence(systems) => systems.len().min(leading),
            AsSegment::Set(_) => 1.min(leading),
            // They are of the speaker that we heard it from, and count as none.
            AsSegment::ConfederationSequence(_) | AsSegment::ConfederationSet(_) => 0,
        };
        match segment {
            AsSegment::Sequence(mut systems) => {
                systems.truncate(counted);
                if !systems.is_empty() {
                    merged.0.push(AsSegment::Sequence(systems));
                }
            }
            AsSegment::Set(_) if counted == 0 => (),
            other => merged.0.push(other),
        }
        leading -= counted;
    }
    join(&mut merged, long);
    merged
}

/// Puts a path behind another; the two sequences that meet become one where there is room.
fn join(path: &mut AsPath, behind: &AsPath) {
    let Some((first, rest)) = behind.0.split_first() else {
        return;
    };
    match (path.0.last_mut(), first) {
        (Some(AsSegment::Sequence(front)), AsSegment::Sequence(back))
            if front.len() + back.len() <= MOST =>
        {
            front.extend_from_slice(back);
        }
        _ => path.0.push(first.clone()),
    }
    path.0.extend_from_slice(rest);
}

/// Whether a system stands for one that needs four octets.
pub(super) fn is_placeholder(asn: Asn) -> bool {
    asn.0 == u32::from(AS_TRANS)
}

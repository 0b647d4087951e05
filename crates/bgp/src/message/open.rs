//! OPEN: who a speaker is and what it can (RFC 4271 sections 4.2 and 6.2, RFC 5492, 6286, 9072).
//!
//! ```text
//!  version | my AS | hold time | identifier | n | n bytes of { type, length, value }
//!                                            255 255 | nn | nn bytes of { type, length of two, value }
//! ```

use std::net::Ipv4Addr;

use super::bytes::Bytes;
use super::frame::{HEADER, LONGEST, fill};
use super::{Capability, Fault, Open, capability};
use crate::types::{Asn, RouterId};

/// The optional parameter that holds capabilities (RFC 5492).
const CAPABILITIES: u8 = 2;

/// As a type of parameter: lengths have two bytes from here on (RFC 9072).
const EXTENDED: u8 = 255;

/// Reads a body.
pub(super) fn decode(body: &[u8]) -> Result<Open, Fault> {
    let short = || Fault::open(0, &[], "an OPEN that ends within its fields");
    let mut bytes = Bytes(body);
    let version = bytes.u8().ok_or_else(short)?;
    if version != 4 {
        let message = format!("the peer speaks BGP {version}, not 4");
        return Err(Fault::open(1, &4_u16.to_be_bytes(), message));
    }
    let asn = bytes.u16().ok_or_else(short)?;
    let hold_time = bytes.u16().ok_or_else(short)?;
    let router_id = bytes.array::<4>().map(Ipv4Addr::from).ok_or_else(short)?;
    let capabilities = decode_parameters(bytes.0)?;
    let four_octets = capabilities.iter().find_map(|capability| match capability {
        Capability::FourOctetAs(asn) => Some(*asn),
        _ => None,
    });
    let open = Open {
        asn: four_octets.unwrap_or(Asn(asn.into())),
        hold_time,
        router_id: RouterId(router_id),
        capabilities,
    };
    check(&open, asn).map(|()| open)
}

/// What a speaker may not say of itself, whoever it is.
fn check(open: &Open, short_asn: u16) -> Result<(), Fault> {
    if open.asn.0 == 0 || short_asn == 0 {
        let message = "the peer says that its system is 0, which nobody's is";
        return Err(Fault::open(2, &[], message));
    }
    if open.router_id.0.is_unspecified() {
        let message = "the peer's identifier is 0.0.0.0, which is none";
        return Err(Fault::open(3, &[], message));
    }
    if matches!(open.hold_time, 1 | 2) {
        let message = format!("a hold time of {} s: it is 0 or at least 3", open.hold_time);
        return Err(Fault::open(6, &[], message));
    }
    Ok(())
}

fn decode_parameters(field: &[u8]) -> Result<Vec<Capability>, Fault> {
    let malformed = || {
        Fault::open(
            0,
            &[],
            "an OPEN with optional parameters that do not add up",
        )
    };
    let mut bytes = Bytes(field);
    let length = bytes.u8().ok_or_else(malformed)?;
    let is_extended = length != 0 && bytes.0.first() == Some(&EXTENDED);
    let length = match is_extended {
        true => {
            bytes.u8();
            bytes.u16().ok_or_else(malformed)?
        }
        false => length.into(),
    };
    if bytes.0.len() != usize::from(length) {
        return Err(malformed());
    }
    let mut capabilities = Vec::new();
    while !bytes.is_empty() {
        let code = bytes.u8().ok_or_else(malformed)?;
        let length = match is_extended {
            true => bytes.u16(),
            false => bytes.u8().map(u16::from),
        };
        let value = length.and_then(|length| bytes.take(length.into()));
        let value = value.ok_or_else(malformed)?;
        if code != CAPABILITIES {
            let message = format!("an OPEN with the optional parameter {code}, which is not known");
            return Err(Fault::open(4, &[], message));
        }
        capability::decode_all(value, &mut capabilities)?;
    }
    Ok(capabilities)
}

/// Appends a body. All capabilities stand in one parameter; those that a message has no room for are
/// left out.
pub(super) fn encode(open: &Open, out: &mut Vec<u8>) {
    out.push(4);
    out.extend_from_slice(&open.asn.short().to_be_bytes());
    out.extend_from_slice(&open.hold_time.to_be_bytes());
    out.extend_from_slice(&open.router_id.0.octets());
    let mut capabilities = Vec::new();
    for capability in &open.capabilities {
        let before = capabilities.len();
        capability::encode(capability, &mut capabilities);
        if capabilities.len() > LONGEST - HEADER - 16 {
            capabilities.truncate(before);
        }
    }
    let length = capabilities.len();
    match u8::try_from(length + 2) {
        _ if length == 0 => out.push(0),
        Ok(parameters) if parameters < EXTENDED => {
            out.extend_from_slice(&[parameters, CAPABILITIES, parameters - 2]);
        }
        _ => {
            out.extend_from_slice(&[EXTENDED, EXTENDED, 0, 0, CAPABILITIES, 0, 0]);
            let end = out.len();
            fill(out, end - 5, length + 3);
            fill(out, end - 2, length);
        }
    }
    out.extend_from_slice(&capabilities);
}

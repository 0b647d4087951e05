//! UPDATE: routes that are withdrawn and announced (RFC 4271 section 4.3).
//!
//! ```text
//!  n | withdrawn IPv4 prefixes | n | attributes | announced IPv4 prefixes
//!                                      │
//!                                      ├─ MP_REACH_NLRI:   family, next hop, announced prefixes
//!                                      └─ MP_UNREACH_NLRI: family, withdrawn prefixes
//! ```
//!
//! A malformed attribute ends the session only where it cannot be known which prefixes it is about
//! (RFC 7606): else the prefixes count as withdrawn, or the attribute as not told.

mod attribute;
mod class;
mod encode;
mod finish;
mod path;
mod prefixes;
mod reach;

use super::bytes::Bytes;
use super::{Fault, Negotiated, Update};
use crate::types::{Family, Nlri};
use attribute::Collected;

pub(super) use encode::encode;
pub use encode::{TooLong, encode_announced, encode_end_of_rib, encode_withdrawn};

/// Reads a body.
pub(super) fn decode(body: &[u8], context: &Negotiated) -> Result<Update, Fault> {
    let fields = Fields::split(body)
        .ok_or_else(|| Fault::update(1, &[], "an UPDATE whose fields are longer than itself"))?;
    let mut collected = Collected::new();
    collected.read_all(fields.attributes, context)?;
    let told = finish::Told {
        withdrawn: classic(fields.withdrawn, context)?,
        announced: classic(fields.announced, context)?,
        is_empty: body == [0; 4],
    };
    collected.finish(told, context)
}

/// The three fields of a body.
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    announced: &'a [u8],
}

impl<'a> Fields<'a> {
    fn split(body: &'a [u8]) -> Option<Fields<'a>> {
        let mut bytes = Bytes(body);
        let length = bytes.u16()?;
        let withdrawn = bytes.take(length.into())?;
        let length = bytes.u16()?;
        let attributes = bytes.take(length.into())?;
        let announced = bytes.0;
        Some(Fields {
            withdrawn,
            attributes,
            announced,
        })
    }
}

/// Reads prefixes of one of the two fields outside the attributes.
fn classic(field: &[u8], context: &Negotiated) -> Result<Vec<Nlri>, Fault> {
    let add_path = context.add_path_receive.ipv4;
    prefixes::read(field, Family::Ipv4, add_path)
        .map_err(|fault| Fault::update(10, &[], format!("an UPDATE with {fault}")))
}

//! Attributes as they come: what is read of each, and what is wrong with which.

use std::net::Ipv4Addr;

use super::super::bytes::Bytes;
use super::super::{Fault, Negotiated};
use super::class::{Class, Kind, Wrong, code, flag};
use super::finish::none;
use super::path;
use super::reach::{self, Reach, Told, Unreach};
use crate::attributes::{AsPath, Attributes, NextHop, Origin, Unknown};
use crate::types::{Asn, Community, LargeCommunity, RouterId};

/// What the attributes of an UPDATE say, as far as it is read.
pub(super) struct Collected {
    /// The values; those that were not told stand as of a route that begins here.
    pub attributes: Attributes,
    /// The path in four octets, of a speaker that has but two.
    pub as4_path: Option<AsPath>,
    /// The aggregator in four octets.
    pub as4_aggregator: Option<(Asn, Ipv4Addr)>,
    pub reach: Option<Reach>,
    pub unreach: Option<Unreach>,
    /// Of a family that was not agreed on something was announced.
    pub foreign: bool,
    /// The first fault for which what is announced counts as withdrawn.
    pub worst: Option<Fault>,
    /// All faults, in words.
    pub faults: Vec<String>,
    seen: [u64; 4],
}

/// An attribute before its value is looked at.
struct Raw<'a> {
    flags: u8,
    code: u8,
    value: &'a [u8],
    whole: &'a [u8],
}

impl Collected {
    pub fn new() -> Collected {
        Collected {
            attributes: none(),
            as4_path: None,
            as4_aggregator: None,
            reach: None,
            unreach: None,
            foreign: false,
            worst: None,
            faults: Vec::new(),
            seen: [0; 4],
        }
    }

    /// Whether an attribute was told, in whatever form.
    pub fn has(&self, code: u8) -> bool {
        let word = self.seen.get(usize::from(code / 64)).copied();
        word.unwrap_or(0) & (1 << (code % 64)) != 0
    }

    /// Whether anything but MP_UNREACH_NLRI was told.
    pub fn has_others(&self) -> bool {
        let [first, others @ ..] = self.seen;
        first & !(1 << code::MP_UNREACH) != 0 || others != [0; 3]
    }

    /// Reads a field of attributes.
    pub fn read_all(&mut self, field: &[u8], context: &Negotiated) -> Result<(), Fault> {
        let mut bytes = Bytes(field);
        while !bytes.is_empty() {
            let whole = bytes.0;
            let Some(raw) = Raw::read(&mut bytes) else {
                return self.cut(whole);
            };
            self.take(&raw, context)?;
        }
        Ok(())
    }

    /// The last attribute ends beyond the field (RFC 7606 section 4).
    fn cut(&mut self, whole: &[u8]) -> Result<(), Fault> {
        let code = whole.get(1).copied();
        let fault = Fault::update(1, &[], "attributes that are longer than their field");
        if matches!(code, Some(code::MP_REACH | code::MP_UNREACH)) {
            return Err(fault);
        }
        self.mark(code.unwrap_or(0));
        self.withdraw(fault);
        Ok(())
    }

    /// What is announced counts as withdrawn.
    pub fn withdraw(&mut self, fault: Fault) {
        self.faults.push(fault.message.clone());
        self.worst.get_or_insert(fault);
    }

    fn mark(&mut self, code: u8) {
        if let Some(word) = self.seen.get_mut(usize::from(code / 64)) {
            *word |= 1 << (code % 64);
        }
    }

    fn take(&mut self, raw: &Raw<'_>, context: &Negotiated) -> Result<(), Fault> {
        let kind = Kind::of(raw.code);
        if self.has(raw.code) {
            let name = kind.map_or_else(
                || format!("attribute {}", raw.code),
                |kind| kind.name.into(),
            );
            let message = format!("{name} more than once");
            if kind.is_some_and(|kind| kind.class == Class::Reset) {
                return Err(Fault::update(1, &[], message));
            }
            self.faults.push(message);
            return Ok(());
        }
        self.mark(raw.code);
        let Some(kind) = kind else {
            return self.take_unknown(raw);
        };
        if let Some(why) = unwanted(kind, context) {
            self.faults.push(format!("{} {why}", kind.name));
            return Ok(());
        }
        let (wrong, class) = match check_flags(kind, raw.flags) {
            // Of whatever attribute, they count for more than a value (RFC 7606 section 3 c).
            Err(wrong) => (wrong, kind.class.max(Class::Withdraw)),
            Ok(()) => match self.read(kind, raw, context) {
                Err(wrong) => (wrong, kind.class),
                Ok(()) => return Ok(()),
            },
        };
        let fault = wrong.fault(kind.name, raw.whole);
        match class {
            Class::Reset => return Err(fault),
            Class::Withdraw => self.withdraw(fault),
            Class::Discard => self.faults.push(fault.message),
        }
        Ok(())
    }

    /// Those that are optional and transitive are passed on (RFC 4271 section 5).
    fn take_unknown(&mut self, raw: &Raw<'_>) -> Result<(), Fault> {
        if raw.flags & flag::OPTIONAL == 0 {
            let message = format!("the well-known attribute {}, which is not known", raw.code);
            return Err(Fault::update(2, raw.whole, message));
        }
        if raw.flags & flag::TRANSITIVE != 0 {
            self.keep(raw);
        }
        Ok(())
    }

    fn keep(&mut self, raw: &Raw<'_>) {
        self.attributes.unknown.push(Unknown {
            code: raw.code,
            value: raw.value.to_vec(),
        });
    }

    fn read(&mut self, kind: &Kind, raw: &Raw<'_>, context: &Negotiated) -> Result<(), Wrong> {
        let value = raw.value;
        let attributes = &mut self.attributes;
        match kind.code {
            code::ORIGIN => attributes.origin = read_origin(value)?,
            code::AS_PATH => attributes.as_path = read_path(value, context)?,
            code::NEXT_HOP => attributes.next_hop = NextHop::V4(Ipv4Addr::from(exactly(value)?)),
            code::MED => attributes.med = Some(u32::from_be_bytes(exactly(value)?)),
            code::LOCAL_PREF => attributes.local_pref = Some(u32::from_be_bytes(exactly(value)?)),
            code::ATOMIC_AGGREGATE => {
                let [] = exactly(value)?;
                attributes.atomic_aggregate = true;
            }
            code::AGGREGATOR => {
                attributes.aggregator = Some(read_aggregator(value, context.four_octet)?);
            }
            code::COMMUNITIES => {
                attributes.communities = each(value, |four| Community(u32::from_be_bytes(four)))?;
            }
            code::ORIGINATOR_ID => {
                attributes.originator_id = Some(RouterId(Ipv4Addr::from(exactly(value)?)));
            }
            code::CLUSTER_LIST => attributes.cluster_list = read_clusters(value)?,
            code::MP_REACH => self.read_reach(value, context)?,
            code::MP_UNREACH => self.read_unreach(value, context)?,
            code::EXTENDED_COMMUNITIES => {
                whole::<8>(value)?;
                self.keep(raw);
            }
            code::IPV6_EXTENDED_COMMUNITIES => {
                whole::<20>(value)?;
                self.keep(raw);
            }
            code::AS4_PATH => {
                let path = path::read(value, true)?;
                self.as4_path = Some(path::outside_confederations(&path));
            }
            code::AS4_AGGREGATOR => self.as4_aggregator = Some(read_aggregator(value, true)?),
            _ => attributes.large_communities = each(value, large_community)?,
        }
        Ok(())
    }

    fn read_reach(&mut self, value: &[u8], context: &Negotiated) -> Result<(), Wrong> {
        match reach::read(value, context)? {
            Told::This(reach) => self.reach = Some(reach),
            Told::Foreign(why) => {
                self.foreign = true;
                self.faults.push(format!("MP_REACH_NLRI {why}"));
            }
        }
        Ok(())
    }

    fn read_unreach(&mut self, value: &[u8], context: &Negotiated) -> Result<(), Wrong> {
        match reach::read_unreach(value, context)? {
            Told::This(unreach) => self.unreach = Some(unreach),
            Told::Foreign(why) => self.faults.push(format!("MP_UNREACH_NLRI {why}")),
        }
        Ok(())
    }
}

impl<'a> Raw<'a> {
    /// None if it ends beyond the field.
    fn read(bytes: &mut Bytes<'a>) -> Option<Raw<'a>> {
        let start = bytes.0;
        let (flags, code) = (bytes.u8()?, bytes.u8()?);
        let length = match flags & flag::EXTENDED_LENGTH {
            0 => bytes.u8()?.into(),
            _ => bytes.u16()?,
        };
        let value = bytes.take(length.into())?;
        let whole = start.get(..start.len() - bytes.0.len())?;
        Some(Raw {
            flags,
            code,
            value,
            whole,
        })
    }
}

/// Why an attribute is not looked at, if it is not: some are for peers of our own system, some for peers
/// that know but two octets.
fn unwanted(kind: &Kind, context: &Negotiated) -> Option<&'static str> {
    match kind.code {
        code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST if !context.internal => {
            Some("from a peer of another system")
        }
        code::AS4_PATH | code::AS4_AGGREGATOR if context.four_octet => {
            Some("from a peer that has four octets for every system")
        }
        _ => None,
    }
}

fn check_flags(kind: &Kind, flags: u8) -> Result<(), Wrong> {
    match (flags ^ kind.flags) & (flag::OPTIONAL | flag::TRANSITIVE) {
        0 => Ok(()),
        _ => Err(Wrong::new(4, format!("with the flags {flags:#04x}"))),
    }
}

/// A value that has so many bytes.
fn exactly<const N: usize>(value: &[u8]) -> Result<[u8; N], Wrong> {
    <[u8; N]>::try_from(value).map_err(|_| Wrong::length(value))
}

/// A value that is made of parts of so many bytes, one at least.
fn whole<const N: usize>(value: &[u8]) -> Result<&[[u8; N]], Wrong> {
    match value.as_chunks() {
        (parts @ [_, ..], []) => Ok(parts),
        _ => Err(Wrong::length(value)),
    }
}

/// The parts of a value in order, each once.
fn each<T: Ord, const N: usize>(value: &[u8], part: fn([u8; N]) -> T) -> Result<Vec<T>, Wrong> {
    let mut parts: Vec<T> = whole(value)?.iter().copied().map(part).collect();
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

fn large_community(bytes: [u8; 12]) -> LargeCommunity {
    let mut bytes = Bytes(&bytes);
    let mut part = || bytes.u32().unwrap_or(0);
    LargeCommunity(part(), part(), part())
}

fn read_origin(value: &[u8]) -> Result<Origin, Wrong> {
    match exactly(value)? {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        [other] => Err(Wrong::new(6, format!("with the value {other}"))),
    }
}

fn read_path(value: &[u8], context: &Negotiated) -> Result<AsPath, Wrong> {
    let path = path::read(value, context.four_octet)?;
    if !context.internal && path.0.iter().any(|segment| segment.is_confederation()) {
        return Err(Wrong::new(
            11,
            "with a confederation, from a peer outside of it",
        ));
    }
    Ok(path)
}

fn read_clusters(value: &[u8]) -> Result<Vec<RouterId>, Wrong> {
    let clusters = whole::<4>(value)?.iter();
    Ok(clusters
        .map(|cluster| RouterId(Ipv4Addr::from(*cluster)))
        .collect())
}

fn read_aggregator(value: &[u8], four_octet: bool) -> Result<(Asn, Ipv4Addr), Wrong> {
    let length = if four_octet { 8 } else { 6 };
    let mut bytes = Bytes(value);
    let asn = match four_octet {
        true => bytes.u32(),
        false => bytes.u16().map(u32::from),
    };
    let (Some(asn), Some(address), true) = (asn, bytes.array::<4>(), value.len() == length) else {
        return Err(Wrong::length(value));
    };
    match asn {
        0 => Err(Wrong::new(9, "of system 0, which nobody's is")),
        _ => Ok((Asn(asn), Ipv4Addr::from(address))),
    }
}

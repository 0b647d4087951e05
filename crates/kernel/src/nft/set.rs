//! Sets and maps: their types, and the bytes of keys and data.
//!
//! A key of several fields is a concatenation: each field padded to 4 bytes, as they lie in the
//! registers when a rule looks them up. A single field is not padded. The numbers of the types are
//! `nft`'s own; the kernel only keeps them, so that `nft list` prints what it should.

use std::net::IpAddr;

use tombolo_model::{IfName, MacAddr};
use tombolo_plan::objects::{Datum, Field, NftSet};

use super::expr::{GOTO, JUMP};
use super::message::{DATA_VALUE, DATA_VERDICT, OF, Ours, kind, message};
use crate::netlink::{Attribute, Message};

/// `NFTA_SET_*`.
const FLAGS: u16 = 3;
const KEY_TYPE: u16 = 4;
const KEY_LEN: u16 = 5;
const DATA_TYPE: u16 = 6;
const DATA_LEN: u16 = 7;
const ID: u16 = 10;
const USERDATA: u16 = 13;
/// `NFT_SET_*`.
const ANONYMOUS: u32 = 0x1;
const INTERVAL: u32 = 0x4;
const MAP: u32 = 0x8;
/// `NFTA_VERDICT_CODE`, `NFTA_VERDICT_CHAIN`.
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
/// Bits of a type in the number of a concatenation.
const TYPE_BITS: u32 = 6;

const ALL_FIELDS: [Field; 7] = [
    Field::Ipv4,
    Field::Ipv6,
    Field::Protocol,
    Field::Port,
    Field::Interface,
    Field::Mac,
    Field::EtherType,
];
/// `NFT_DATA_VERDICT`: the type of data that are verdicts.
const VERDICTS: u32 = 0xffff_ff00;
/// Bytes of a verdict in the kernel, which `nft` says and the kernel does not look at.
const VERDICT_BYTES: usize = 16;

/// `nft`'s number of a type.
fn type_number(field: Field) -> u32 {
    match field {
        Field::Ipv4 => 7,
        Field::Ipv6 => 8,
        Field::Protocol => 12,
        Field::Port => 13,
        Field::Interface => 41,
        Field::Mac => 9,
        Field::EtherType => 10,
        Field::Verdict => VERDICTS,
    }
}

/// Bytes of a field.
pub(super) fn length(field: Field) -> usize {
    match field {
        Field::Ipv4 => 4,
        Field::Ipv6 => 16,
        Field::Protocol => 1,
        Field::Port => 2,
        Field::Interface => 16,
        Field::Mac => 6,
        Field::EtherType => 2,
        Field::Verdict => VERDICT_BYTES,
    }
}

fn total_length(fields: &[Field]) -> usize {
    match fields {
        [field] => length(*field),
        fields => fields
            .iter()
            .map(|field| length(*field).next_multiple_of(4))
            .sum(),
    }
}

fn concatenated(fields: &[Field]) -> u32 {
    if let [field] = fields {
        return type_number(*field);
    }
    fields
        .iter()
        .fold(0, |number, field| number << TYPE_BITS | type_number(*field))
}

fn taken_apart(mut number: u32) -> Option<Vec<Field>> {
    if number == VERDICTS {
        return Some(vec![Field::Verdict]);
    }
    let mut fields = Vec::new();
    while number != 0 {
        let low = number & ((1 << TYPE_BITS) - 1);
        fields.push(
            ALL_FIELDS
                .into_iter()
                .find(|field| type_number(*field) == low)?,
        );
        number >>= TYPE_BITS;
    }
    fields.reverse();
    Some(fields)
}

/// The message that makes a set. `id` is any number that is unique in the transaction.
pub(super) fn create(table: Ours<'_>, name: &str, set: &NftSet, id: u32) -> Message {
    let mut flags = 0;
    if set.interval {
        flags |= INTERVAL;
    }
    if !set.data.is_empty() {
        flags |= MAP;
    }
    let mut made = message(kind::NEW_SET, libc::NLM_F_CREATE, table);
    made.put_text(OF, name)
        .put_be32(FLAGS, flags)
        .put_be32(ID, id);
    made.put_be32(KEY_TYPE, concatenated(&set.key));
    made.put_be32(KEY_LEN, total_length(&set.key) as u32);
    if !set.data.is_empty() {
        made.put_be32(DATA_TYPE, concatenated(&set.data));
        made.put_be32(DATA_LEN, total_length(&set.data) as u32);
    }
    // NFTNL_UDATA_SET_KEYBYTEORDER: 1 host, 2 network; only for printing.
    let order = if set.key == [Field::Interface] {
        1u32
    } else {
        2
    };
    let [a, b, c, d] = order.to_ne_bytes();
    made.put(USERDATA, &[0, 4, a, b, c, d]);
    made
}

/// The message that removes a set.
pub(super) fn remove(table: Ours<'_>, name: &str) -> Message {
    let mut message = message(kind::DEL_SET, 0, table);
    message.put_text(OF, name);
    message
}

/// A set as the kernel tells of it: its name and description; none for those without a name. What
/// could not have been made here has no fields, and so equals nothing that is wanted.
pub(super) fn decode<'a>(
    attributes: impl Iterator<Item = Attribute<'a>>,
) -> Option<(String, NftSet)> {
    let mut name = None;
    let (mut flags, mut key, mut data, mut key_length) = (0, None, Some(Vec::new()), 0);
    for attribute in attributes {
        match attribute.kind {
            OF => name = attribute.text(),
            FLAGS => flags = attribute.be32()?,
            KEY_TYPE => key = attribute.be32().and_then(taken_apart),
            KEY_LEN => key_length = attribute.be32()? as usize,
            DATA_TYPE => data = attribute.be32().and_then(taken_apart),
            _ => {}
        }
    }
    let known = flags & !(INTERVAL | MAP) == 0;
    let key = key.filter(|key| known && total_length(key) == key_length && data.is_some());
    let set = NftSet {
        key: key.unwrap_or_default(),
        data: data.unwrap_or_default(),
        interval: flags & INTERVAL != 0,
    };
    (flags & ANONYMOUS == 0).then_some((name?.to_owned(), set))
}

/// The bytes of values; a range stands for its first, and where a packet goes on has none.
pub(super) fn encode_values(values: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Datum::Ip(address) => push_ip(&mut bytes, *address),
            Datum::Net(net) => push_ip(&mut bytes, net.network()),
            Datum::Protocol(protocol) => bytes.push(protocol.number()),
            Datum::Number(number) => bytes.push(*number),
            Datum::Port(port) | Datum::PortRange(port, _) | Datum::EtherType(port) => {
                bytes.extend_from_slice(&port.to_be_bytes());
            }
            Datum::Interface(name) => bytes.extend_from_slice(&interface(name.as_str())),
            Datum::Mac(mac) => bytes.extend_from_slice(&mac.0),
            Datum::Jump(_) | Datum::Goto(_) => {}
        }
        if values.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// What an element maps to, as attributes: a value, or a verdict with its chain.
pub(super) fn put_data(values: &[Datum], data: &mut Message) {
    let (code, chain) = match values {
        [Datum::Jump(chain)] => (JUMP, chain),
        [Datum::Goto(chain)] => (GOTO, chain),
        _ => {
            data.put(DATA_VALUE, &encode_values(values));
            return;
        }
    };
    data.nest(DATA_VERDICT, |verdict| {
        verdict
            .put(VERDICT_CODE, &code.to_be_bytes())
            .put_text(VERDICT_CHAIN, chain);
    });
}

/// What an element maps to; none if it cannot be ours.
pub(super) fn decode_data(data: &Attribute<'_>, fields: &[Field]) -> Option<Vec<Datum>> {
    if let Some(verdict) = data.find(DATA_VERDICT) {
        let chain = verdict.find(VERDICT_CHAIN)?.text()?.to_owned();
        return match verdict.find(VERDICT_CODE)?.be32()?.cast_signed() {
            JUMP => Some(vec![Datum::Jump(chain)]),
            GOTO => Some(vec![Datum::Goto(chain)]),
            _ => None,
        };
    }
    decode_values(data.find(DATA_VALUE)?.data, fields)
}

fn push_ip(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
    }
}

/// A name as it lies in a register: 16 bytes (`IFNAMSIZ`), zeros behind it.
pub(super) fn interface(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// The values in bytes; none if they cannot be ours.
pub(super) fn decode_values(mut bytes: &[u8], fields: &[Field]) -> Option<Vec<Datum>> {
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let length = length(*field);
        values.push(decode_value(bytes.get(..length)?, *field)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(values)
}

fn decode_value(bytes: &[u8], field: Field) -> Option<Datum> {
    Some(match field {
        Field::Ipv4 | Field::Ipv6 => Datum::Ip(crate::netlink::ip(bytes)?),
        Field::Port => Datum::Port(u16::from_be_bytes(bytes.try_into().ok()?)),
        Field::EtherType => Datum::EtherType(u16::from_be_bytes(bytes.try_into().ok()?)),
        Field::Protocol => Datum::protocol(*bytes.first()?),
        Field::Mac => Datum::Mac(MacAddr(bytes.try_into().ok()?)),
        Field::Verdict => return None,
        Field::Interface => {
            let name = bytes.split(|byte| *byte == 0).next()?;
            Datum::Interface(IfName::new(std::str::from_utf8(name).ok()?).ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_model::Protocol;

    #[test]
    fn values_are_read_back_as_written() {
        let values = vec![
            Datum::Ip("10.1.2.3".parse().unwrap()),
            Datum::Protocol(Protocol::Udp),
            Datum::Port(8080),
        ];
        let fields = [Field::Ipv4, Field::Protocol, Field::Port];
        let bytes = encode_values(&values);
        assert_eq!(bytes.len(), total_length(&fields));
        assert_eq!(decode_values(&bytes, &fields), Some(values));
        assert_eq!(taken_apart(concatenated(&fields)).unwrap(), fields);
    }
}

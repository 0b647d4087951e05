//! Sets and maps: their types, and the bytes of keys and data.
//!
//! A key of several fields is a concatenation: each field padded to 4 bytes, as they lie in the
//! registers when a rule looks them up. A single field is not padded. The numbers of the types are
//! `nft`'s own; the kernel only keeps them, so that `nft list` prints what it should.

use std::net::IpAddr;

use tombolo_model::{IfName, Protocol};
use tombolo_plan::objects::{Datum, Field, NftSet};

use super::message::{OF, kind, message};
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
/// Bits of a type in the number of a concatenation.
const TYPE_BITS: u32 = 6;

const ALL_FIELDS: [Field; 5] = [
    Field::Ipv4,
    Field::Ipv6,
    Field::Protocol,
    Field::Port,
    Field::Interface,
];

/// `nft`'s number of a type.
fn type_number(field: Field) -> u32 {
    match field {
        Field::Ipv4 => 7,
        Field::Ipv6 => 8,
        Field::Protocol => 12,
        Field::Port => 13,
        Field::Interface => 41,
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
    fields
        .iter()
        .fold(0, |number, field| number << TYPE_BITS | type_number(*field))
}

fn taken_apart(mut number: u32) -> Option<Vec<Field>> {
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
pub(super) fn create(table: &str, name: &str, set: &NftSet, id: u32) -> Message {
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
pub(super) fn remove(table: &str, name: &str) -> Message {
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

/// The bytes of values; a prefix stands for its first address.
pub(super) fn encode_values(values: &[Datum]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        match value {
            Datum::Ip(address) => push_ip(&mut bytes, *address),
            Datum::Net(net) => push_ip(&mut bytes, net.network()),
            Datum::Protocol(protocol) => bytes.push(protocol.number()),
            Datum::Port(port) => bytes.extend_from_slice(&port.to_be_bytes()),
            Datum::Interface(name) => bytes.extend_from_slice(&interface(name.as_str())),
        }
        if values.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
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
        Field::Protocol => {
            let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            Datum::Protocol(
                all.into_iter()
                    .find(|protocol| protocol.number() == bytes[0])?,
            )
        }
        Field::Interface => {
            let name = bytes.split(|byte| *byte == 0).next()?;
            Datum::Interface(IfName::new(std::str::from_utf8(name).ok()?).ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

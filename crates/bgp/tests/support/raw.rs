//! Messages byte by byte: what no encoder would write.

use tombolo_bgp::message::{Fault, Message, Negotiated, Update, decode};

pub const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
pub const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xF2];
pub const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 7];
/// 10.1.0.0/16
pub const PREFIX: &[u8] = &[16, 10, 1];
/// fd00:1::/32 by 2001:db8::1
pub const MP_REACH: &[u8] = &[
    0x80, 14, 26, 0, 2, 1, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32,
    0xfd, 0, 0, 1,
];
/// fd00:2::/32
pub const MP_UNREACH: &[u8] = &[0x80, 15, 8, 0, 2, 1, 32, 0xfd, 0, 0, 2];

/// A message with a header that is right.
pub fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF; 16];
    bytes.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    bytes.push(code);
    bytes.extend_from_slice(body);
    bytes
}

/// An UPDATE of three fields, the attributes in parts.
pub fn update(withdrawn: &[u8], attributes: &[&[u8]], announced: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = Vec::new();
    for field in [withdrawn, &attributes] {
        body.extend_from_slice(&u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend_from_slice(field);
    }
    body.extend_from_slice(announced);
    message(2, &body)
}

/// An attribute with a length of one byte.
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags, code, u8::try_from(value.len()).unwrap()];
    bytes.extend_from_slice(value);
    bytes
}

/// Reads an UPDATE.
pub fn read(bytes: &[u8], context: &Negotiated) -> Result<Update, Fault> {
    match decode(bytes, Some(context))? {
        Message::Update(update) => Ok(update),
        other => panic!("no UPDATE: {other:?}"),
    }
}

/// An UPDATE of 10.1.0.0/16 with what a route must have and these attributes besides.
pub fn with(attributes: &[&[u8]], context: &Negotiated) -> Result<Update, Fault> {
    let path: &[u8] = if context.four_octet {
        AS_PATH
    } else {
        &[0x40, 2, 4, 2, 1, 0xFD, 0xF2]
    };
    let mut all = vec![ORIGIN, path, NEXT_HOP];
    all.extend_from_slice(attributes);
    read(&update(&[], &all, PREFIX), context)
}

/// That a fault has a code, a subcode and data, with its words.
pub fn assert_notifies(fault: &Fault, expected: (u8, u8, &[u8])) {
    let notification = &fault.notification;
    let told = (
        notification.code,
        notification.subcode,
        notification.data.as_slice(),
    );
    assert_eq!(told, expected, "{fault}");
    assert!(!fault.message.is_empty());
}

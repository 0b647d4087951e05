//! Where a message begins and ends, and of which kind it is (RFC 4271 sections 4.1 and 6.1).
//!
//! ```text
//!  0                16      18     19
//!  | 16 x 0xFF      | length | type | body …
//! ```
//!
//! The length counts the header: 19 to 4096. TCP delivers bytes, not messages: [`frame`] says how long
//! the first whole one in a buffer is, [`decode`] reads it.

use super::{Fault, Message, Negotiated, notification, open, refresh, update};

/// The length of a header.
pub(super) const HEADER: usize = 19;

/// The greatest length of a message.
pub(super) const LONGEST: usize = 4096;

/// The kinds of messages.
pub(super) mod kind {
    pub const OPEN: u8 = 1;
    pub const UPDATE: u8 = 2;
    pub const NOTIFICATION: u8 = 3;
    pub const KEEPALIVE: u8 = 4;
    pub const REFRESH: u8 = 5;
}

/// The length of the first message in a buffer; none while it is not whole.
///
/// # Errors
/// The header is malformed: the marker, the length, or the type (RFC 4271 section 6.1).
pub fn frame(buffer: &[u8]) -> Result<Option<usize>, Fault> {
    // Who speaks something else is found out by its first byte, not when 19 have come.
    if buffer.iter().take(16).any(|byte| *byte != 0xFF) {
        return Err(Fault::new(
            1,
            1,
            &[],
            "what came is not BGP: a message begins with 16 bytes of ones",
        ));
    }
    let Some(header) = buffer.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [.., high, low, type_code] = *header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_right = match type_code {
        kind::OPEN => (29..=LONGEST).contains(&length),
        kind::UPDATE => (23..=LONGEST).contains(&length),
        kind::NOTIFICATION => (21..=LONGEST).contains(&length),
        kind::KEEPALIVE => length == HEADER,
        _ => (HEADER..=LONGEST).contains(&length),
    };
    if !is_right {
        let message = format!("{} of {length} bytes, which none has", name(type_code));
        return Err(Fault::new(1, 2, &[high, low], message));
    }
    if name(type_code) == UNKNOWN {
        let message = format!("a message of type {type_code}, which is not known");
        return Err(Fault::new(1, 3, &[type_code], message));
    }
    Ok((buffer.len() >= length).then_some(length))
}

const UNKNOWN: &str = "a message";

fn name(type_code: u8) -> &'static str {
    match type_code {
        kind::OPEN => "an OPEN",
        kind::UPDATE => "an UPDATE",
        kind::NOTIFICATION => "a NOTIFICATION",
        kind::KEEPALIVE => "a KEEPALIVE",
        kind::REFRESH => "a ROUTE-REFRESH",
        _ => UNKNOWN,
    }
}

/// Reads one whole message, header included. Before the OPENs are exchanged there is no context.
///
/// # Errors
/// The message is malformed and cannot be borne, or is an UPDATE before anything was agreed on. Faults of
/// an UPDATE that can be borne are told in it.
pub fn decode(bytes: &[u8], context: Option<&Negotiated>) -> Result<Message, Fault> {
    let is_whole = frame(bytes)? == Some(bytes.len());
    let (Some((header, body)), true) = (bytes.split_first_chunk::<HEADER>(), is_whole) else {
        let field = bytes.get(16..18).unwrap_or_default();
        return Err(Fault::new(
            1,
            2,
            field,
            "a message that is not as long as it says",
        ));
    };
    let [.., type_code] = *header;
    match (type_code, context) {
        (kind::OPEN, _) => open::decode(body).map(Message::Open),
        (kind::UPDATE, Some(context)) => update::decode(body, context).map(Message::Update),
        // RFC 6608: what is unexpected in OpenSent.
        (kind::UPDATE, None) => Err(Fault::new(5, 1, &[], "an UPDATE before an OPEN")),
        (kind::NOTIFICATION, _) => Ok(Message::Notification(notification::decode(body))),
        (kind::REFRESH, _) => refresh::decode(bytes, body, context),
        _ => Ok(Message::Keepalive),
    }
}

/// Appends a message. An UPDATE needs a context; it becomes as many messages as it takes, and what
/// does not fit in any is left out: [`encode_announced`](super::encode_announced) tells of that.
pub fn encode(message: &Message, context: Option<&Negotiated>, out: &mut Vec<u8>) {
    match (message, context) {
        (Message::Open(open), _) => write(kind::OPEN, out, |out| open::encode(open, out)),
        (Message::Update(update), Some(context)) => update::encode(update, context, out),
        (Message::Notification(notification), _) => write(kind::NOTIFICATION, out, |out| {
            notification::encode(notification, out);
        }),
        (Message::Keepalive, _) => write(kind::KEEPALIVE, out, |_| ()),
        (Message::Refresh(refresh), _) => {
            write(kind::REFRESH, out, |out| refresh::encode(*refresh, out))
        }
        (Message::Update(_), None) | (Message::Ignored(_), _) => (),
    }
}

/// Appends a header and what `body` writes, at most 4077 bytes.
pub(super) fn write(type_code: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0xFF; 16]);
    out.extend_from_slice(&[0, 0, type_code]);
    body(out);
    let length = out.len() - start;
    fill(out, start + 16, length);
}

/// Writes a length where room was left for it.
pub(super) fn fill(out: &mut [u8], at: usize, length: usize) {
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

//! NOTIFICATION: why a connection is closed (RFC 4271 sections 4.5 and 6), in bytes and in words.
//!
//! Cease has subcodes of its own (RFC 4486, 8538, 9384) and may carry what an operator wrote
//! (RFC 9003); a hard reset carries another notification (RFC 8538).

use super::frame::{HEADER, LONGEST};
use super::{Cease, Notification};

/// The code of a cease.
const CEASE: u8 = 6;

/// Reads a body, of which `frame` has seen that it has two bytes at least.
pub(super) fn decode(body: &[u8]) -> Notification {
    let (code, subcode, data) = match body {
        [code, subcode, data @ ..] => (*code, *subcode, data),
        _ => (0, 0, body),
    };
    Notification {
        code,
        subcode,
        data: data.to_vec(),
    }
}

/// Appends a body; data that a message has no room for is cut.
pub(super) fn encode(notification: &Notification, out: &mut Vec<u8>) {
    out.extend_from_slice(&[notification.code, notification.subcode]);
    let room = LONGEST - HEADER - 2;
    out.extend(notification.data.iter().take(room));
}

impl Notification {
    /// Nothing was heard for the hold time (RFC 4271 section 6.5).
    pub const HOLD_TIMER_EXPIRED: Notification = Notification {
        code: 4,
        subcode: 0,
        data: Vec::new(),
    };

    /// Nothing could be sent for the send hold time (RFC 9687).
    pub const SEND_HOLD_TIMER_EXPIRED: Notification = Notification {
        code: 8,
        subcode: 0,
        data: Vec::new(),
    };

    /// The session is ended without an error, with what the operator has to say of it. Only a shutdown
    /// and a reset by the administrator carry words, of at most 255 bytes (RFC 9003): the rest is cut.
    #[must_use]
    pub fn cease(why: Cease, text: &str) -> Notification {
        let mut data = Vec::new();
        if why.has_text() && !text.is_empty() {
            let text = text.get(..text.floor_char_boundary(255)).unwrap_or(text);
            data.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            data.extend_from_slice(text.as_bytes());
        }
        Notification {
            code: CEASE,
            subcode: why as u8,
            data,
        }
    }

    /// The same as a hard reset: a peer that keeps routes through notifications lets go of them
    /// (RFC 8538 section 3.1).
    #[must_use]
    pub fn hard_reset(&self) -> Notification {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Notification {
            code: CEASE,
            subcode: Cease::HardReset as u8,
            data,
        }
    }

    /// Whether it is a hard reset.
    #[must_use]
    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (CEASE, Cease::HardReset as u8)
    }

    /// What it says, in words: `hold timer expired`, `cease: peer de-configured`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.headline();
        if let Some(more) = self.more() {
            text.push_str(": ");
            text.push_str(&more);
        }
        text
    }

    /// What code and subcode say.
    fn headline(&self) -> String {
        let Some(Error(_, error, details)) = ERRORS.iter().find(|error| error.0 == self.code)
        else {
            return format!("error {} of subcode {}", self.code, self.subcode);
        };
        let detail = details.iter().find(|detail| detail.0 == self.subcode);
        match (detail, self.subcode) {
            (Some((_, detail)), _) => format!("{error}: {detail}"),
            (None, 0) => (*error).to_owned(),
            (None, subcode) => format!("{error}: subcode {subcode}"),
        }
    }

    /// What the data says, where it has a meaning.
    fn more(&self) -> Option<String> {
        match (self.code, self.subcode, self.data.as_slice()) {
            (CEASE, 9, inner @ [_, _, ..]) => {
                let inner = decode(inner);
                // One within another within another would go on for ever.
                (!inner.is_hard_reset()).then(|| inner.describe())
            }
            (CEASE, 2 | 4, [length, text @ ..]) => {
                let text = std::str::from_utf8(text.get(..usize::from(*length))?).ok()?;
                // It ends in logs and on terminals.
                let text = text.replace(char::is_control, " ");
                (!text.is_empty()).then_some(text)
            }
            (CEASE, 1, &[_, _, _, a, b, c, d]) => {
                Some(format!("it takes {}", u32::from_be_bytes([a, b, c, d])))
            }
            (2, 1, &[high, low]) => Some(format!("it speaks {}", u16::from_be_bytes([high, low]))),
            _ => None,
        }
    }
}

impl Cease {
    /// Whether the operator's words go with it (RFC 9003).
    fn has_text(self) -> bool {
        matches!(self, Cease::Shutdown | Cease::Reset)
    }
}

/// A code, what it means, and its subcodes.
struct Error(u8, &'static str, &'static [(u8, &'static str)]);

/// Codes and subcodes in words, as IANA's registry "BGP Error (Notification) Codes" has them.
const ERRORS: &[Error] = &[
    Error(
        1,
        "message header error",
        &[
            (1, "connection not synchronized"),
            (2, "bad message length"),
            (3, "bad message type"),
        ],
    ),
    Error(
        2,
        "OPEN message error",
        &[
            (1, "unsupported version number"),
            (2, "bad peer AS"),
            (3, "bad BGP identifier"),
            (4, "unsupported optional parameter"),
            (5, "authentication failure"),
            (6, "unacceptable hold time"),
            (7, "unsupported capability"),
            (11, "role mismatch"),
        ],
    ),
    Error(
        3,
        "UPDATE message error",
        &[
            (1, "malformed attribute list"),
            (2, "unrecognized well-known attribute"),
            (3, "missing well-known attribute"),
            (4, "attribute flags error"),
            (5, "attribute length error"),
            (6, "invalid ORIGIN attribute"),
            (7, "AS routing loop"),
            (8, "invalid NEXT_HOP attribute"),
            (9, "optional attribute error"),
            (10, "invalid network field"),
            (11, "malformed AS_PATH"),
        ],
    ),
    Error(4, "hold timer expired", &[]),
    Error(
        5,
        "finite state machine error",
        &[
            (1, "unexpected message in OpenSent"),
            (2, "unexpected message in OpenConfirm"),
            (3, "unexpected message in Established"),
        ],
    ),
    Error(
        CEASE,
        "cease",
        &[
            (1, "maximum number of prefixes reached"),
            (2, "administrative shutdown"),
            (3, "peer de-configured"),
            (4, "administrative reset"),
            (5, "connection rejected"),
            (6, "other configuration change"),
            (7, "connection collision resolution"),
            (8, "out of resources"),
            (9, "hard reset"),
            (10, "BFD down"),
        ],
    ),
    Error(
        7,
        "ROUTE-REFRESH message error",
        &[(1, "invalid message length")],
    ),
    Error(8, "send hold timer expired", &[]),
];

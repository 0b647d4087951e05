//! What ends a session: the NOTIFICATION that the peer is sent, and the words for its operator.

use super::Notification;

/// A message that cannot be borne: the session ends (RFC 4271 section 6, RFC 7606 section 2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What the peer is told.
    pub notification: Notification,
    /// What was wrong, in words.
    pub message: String,
}

impl Fault {
    /// A fault of a code and a subcode, with the data that belongs to them.
    #[must_use]
    pub fn new(code: u8, subcode: u8, data: &[u8], message: impl Into<String>) -> Fault {
        Fault {
            notification: Notification {
                code,
                subcode,
                data: data.to_vec(),
            },
            message: message.into(),
        }
    }

    /// A fault of an OPEN.
    pub(super) fn open(subcode: u8, data: &[u8], message: impl Into<String>) -> Fault {
        Fault::new(2, subcode, data, message)
    }

    /// A fault of an UPDATE.
    pub(super) fn update(subcode: u8, data: &[u8], message: impl Into<String>) -> Fault {
        Fault::new(3, subcode, data, message)
    }
}

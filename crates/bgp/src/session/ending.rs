//! Why a connection ends, and what follows from it.
//!
//! | cause | the peer's routes are kept (RFC 4724, RFC 8538) |
//! | --- | --- |
//! | lost, collision | where graceful restart was agreed on |
//! | silent, at fault, told, wanted | where both said that this holds for NOTIFICATIONs, too |
//! | told or wanted hard, too many prefixes, unreachable | never |

use crate::message::{Cease, Fault, GracefulRestart, Notification};

/// The code of Cease (RFC 4271 section 6.7).
const CEASE: u8 = 6;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What follows from it.
    pub(crate) cause: Cause,
    /// What is said before the connection is closed.
    pub(crate) notification: Option<Notification>,
    /// In words.
    pub(crate) words: String,
}

/// Causes, by what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The connection is gone, or was never there.
    Lost,
    /// It was one too many, and another one is used.
    Collision,
    /// Nothing was heard for the hold time, or nothing could be written.
    Silent,
    /// The peer said something wrong.
    Fault,
    /// The peer said why it closes; whether it wants something else to be spoken of first.
    Told {
        /// It ceases, and found no fault.
        cease: bool,
        /// Nothing is to be kept.
        hard: bool,
    },
    /// An operator or another configuration wants it; and nothing is to be kept if it is hard.
    Wanted {
        /// Nothing is to be kept.
        hard: bool,
    },
    /// The peer told more prefixes than it may.
    TooMany,
    /// BFD says that the peer cannot be reached.
    Unreachable,
}

impl Ending {
    /// The connection is gone.
    pub(crate) fn lost(why: impl Into<String>) -> Ending {
        Ending {
            cause: Cause::Lost,
            notification: None,
            words: why.into(),
        }
    }

    /// The peer said something wrong, or too much.
    pub(crate) fn fault(fault: Fault) -> Ending {
        let notification = fault.notification;
        let too_many =
            (notification.code == CEASE) && notification.subcode == Cease::MaximumPrefixes as u8;
        Ending {
            cause: if too_many {
                Cause::TooMany
            } else {
                Cause::Fault
            },
            notification: Some(notification),
            words: fault.message,
        }
    }

    /// A message came that has no place in the state (RFC 4271 section 6.6).
    pub(crate) fn unexpected(state: u8, kind: u8) -> Ending {
        let name = match kind {
            1 => "an OPEN",
            2 => "an UPDATE",
            4 => "a KEEPALIVE",
            _ => "a ROUTE-REFRESH",
        };
        let state_name = match state {
            1 => "OpenSent",
            2 => "OpenConfirm",
            _ => "Established",
        };
        Ending {
            cause: Cause::Fault,
            notification: Some(Notification {
                code: 5,
                subcode: state,
                data: vec![kind],
            }),
            words: format!("the peer sent {name}, which has no place in state {state_name}"),
        }
    }

    /// The peer says that it closes.
    pub(crate) fn told(notification: &Notification) -> Ending {
        Ending {
            cause: Cause::Told {
                cease: notification.code == CEASE,
                hard: notification.is_hard_reset(),
            },
            notification: None,
            words: format!("the peer closed: {}", notification.describe()),
        }
    }

    /// Nothing was heard for the hold time (RFC 4271 section 6.5).
    pub(crate) fn hold_expired() -> Ending {
        Ending {
            cause: Cause::Silent,
            notification: Some(Notification::HOLD_TIMER_EXPIRED),
            words: "nothing was heard of the peer for the hold time".to_owned(),
        }
    }

    /// Nothing could be written for too long (RFC 9687).
    pub(crate) fn send_hold_expired() -> Ending {
        Ending {
            cause: Cause::Silent,
            notification: Some(Notification::SEND_HOLD_TIMER_EXPIRED),
            words: "the peer took nothing of what we had to say for minutes".to_owned(),
        }
    }

    /// We cease, and say why.
    pub(crate) fn ceased(cause: Cause, why: Cease, words: &str) -> Ending {
        Ending {
            cause,
            notification: Some(Notification::cease(why, words)),
            words: words.to_owned(),
        }
    }

    /// Whether the peer's routes are kept, by what it said of its restarts.
    pub(crate) fn keeps(&self, graceful: Option<&GracefulRestart>) -> bool {
        match self.cause {
            Cause::Lost | Cause::Collision => graceful.is_some(),
            Cause::Silent
            | Cause::Fault
            | Cause::Told { hard: false, .. }
            | Cause::Wanted { hard: false } => graceful.is_some_and(|peer| peer.notification),
            Cause::Told { hard: true, .. }
            | Cause::Wanted { hard: true }
            | Cause::TooMany
            | Cause::Unreachable => false,
        }
    }

    /// What is said before the connection is closed, to a peer that said this of its restarts: where it
    /// would keep our routes and should not, it is told so (RFC 8538 section 3.1).
    pub(crate) fn last_word(&self, graceful: Option<&GracefulRestart>) -> Option<Notification> {
        let notification = self.notification.clone()?;
        let hard = matches!(
            self.cause,
            Cause::Wanted { hard: true } | Cause::TooMany | Cause::Unreachable
        );
        if hard && graceful.is_some_and(|peer| peer.notification) {
            return Some(notification.hard_reset());
        }
        Some(notification)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(notification: bool) -> GracefulRestart {
        GracefulRestart {
            notification,
            ..GracefulRestart::default()
        }
    }

    #[test]
    fn rfc8538_what_keeps_routes() {
        for (cause, without, graceful, also_notifications) in [
            (Cause::Lost, false, true, true),
            (Cause::Collision, false, true, true),
            (Cause::Silent, false, false, true),
            (Cause::Fault, false, false, true),
            (
                Cause::Told {
                    cease: true,
                    hard: false,
                },
                false,
                false,
                true,
            ),
            (
                Cause::Told {
                    cease: true,
                    hard: true,
                },
                false,
                false,
                false,
            ),
            (Cause::Wanted { hard: false }, false, false, true),
            (Cause::Wanted { hard: true }, false, false, false),
            (Cause::TooMany, false, false, false),
            (Cause::Unreachable, false, false, false),
        ] {
            let ending = Ending {
                cause,
                ..Ending::lost("a test")
            };
            assert_eq!(ending.keeps(None), without, "{cause:?}");
            assert_eq!(ending.keeps(Some(&peer(false))), graceful, "{cause:?}");
            assert_eq!(
                ending.keeps(Some(&peer(true))),
                also_notifications,
                "{cause:?}"
            );
        }
    }

    #[test]
    fn rfc8538_a_hard_reset_is_said_only_to_who_knows_it() {
        let ending = Ending::ceased(Cause::Wanted { hard: true }, Cease::Shutdown, "");
        let cease = Notification::cease(Cease::Shutdown, "");
        assert_eq!(ending.last_word(None), Some(cease.clone()));
        assert_eq!(ending.last_word(Some(&peer(false))), Some(cease.clone()));
        assert_eq!(
            ending.last_word(Some(&peer(true))),
            Some(cease.hard_reset())
        );
    }
}

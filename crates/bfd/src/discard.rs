//! Why a packet was not listened to, and how often.
//!
//! RFC 5880 §6.8.6 is a list of reasons to discard a packet without a word. The other side never
//! learns of it, so this side counts each reason: a session that does not come up is explained by
//! its counters.

use crate::packet::State;

/// The reason why a packet was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Discard {
    /// Fewer bytes than a packet has, or than its own length field says.
    #[error("the packet has {bytes} bytes where at least {needed} are needed")]
    Short {
        /// How many came.
        bytes: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The length field says less than the shortest packet.
    #[error("its length field says {0}, less than the shortest packet")]
    Length(u8),
    /// Not version 1.
    #[error("it is of version {0}, and only version 1 is spoken here")]
    Version(u8),
    /// A detection multiplier of 0.
    #[error("its detection multiplier is 0")]
    Multiplier,
    /// The bit that is reserved for point-to-multipoint is set.
    #[error("its multipoint bit is set")]
    Multipoint,
    /// "My discriminator" is 0.
    #[error("it does not name the session of its sender")]
    MyDiscriminator,
    /// "Your discriminator" is 0 although the sender says that it heard us.
    #[error("it names no session of ours although its sender is {0:?}")]
    YourDiscriminator(State),
    /// "Your discriminator" is that of another session, or of none.
    #[error("it is for session {0}, which does not exist or is with somebody else")]
    Unknown(u32),
    /// It carries authentication, and none is configured.
    #[error("it is authenticated, and no authentication is configured here")]
    Authenticated,
    /// It did not come straight from a neighbour: somebody further away may have forged it.
    #[error("its time to live is {0}, so it came through a router; 255 is needed")]
    TimeToLive(u8),
    /// This session is switched off.
    #[error("the session is switched off here")]
    SwitchedOff,
}

impl Discard {
    /// A short name for counters.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Discard::Short { .. } => "short",
            Discard::Length(_) => "length",
            Discard::Version(_) => "version",
            Discard::Multiplier => "multiplier",
            Discard::Multipoint => "multipoint",
            Discard::MyDiscriminator => "my-discriminator",
            Discard::YourDiscriminator(_) => "your-discriminator",
            Discard::Unknown(_) => "unknown-session",
            Discard::Authenticated => "authenticated",
            Discard::TimeToLive(_) => "time-to-live",
            Discard::SwitchedOff => "switched-off",
        }
    }
}

/// How many packets were discarded, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discards {
    counts: std::collections::BTreeMap<&'static str, u64>,
}

impl Discards {
    pub(crate) fn count(&mut self, reason: Discard) {
        *self.counts.entry(reason.name()).or_default() += 1;
    }

    /// Of all reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Of the reason with this [`Discard::name`].
    #[must_use]
    pub fn of(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Each reason that occurred, with its count, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(name, count)| (*name, *count))
    }
}

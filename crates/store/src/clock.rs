//! The only place of this crate that asks what time it is.
//!
//! The state machine takes time as an argument ([`Now`]); only the engine's writer reads
//! the clock, once for each batch. The clock is monotonic: leases are not touched by
//! somebody setting the date.

use std::time::{Duration, Instant};

/// A moment, as the time since some fixed start. Comparable only within one clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub Duration);

impl Now {
    /// The moment `later` after this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Now {
        Now(self.0.saturating_add(later))
    }

    /// How long it is from this moment until `then`; zero when it has passed.
    pub fn until(self, then: Now) -> Duration {
        then.0.saturating_sub(self.0)
    }
}

/// A clock that starts when it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(&self) -> Now {
        Now(self.0.elapsed())
    }
}

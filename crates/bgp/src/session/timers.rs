//! The timers of a connection: when it is due to speak, and when the other side is taken for gone.
//!
//! Times are drawn from three quarters to the whole of what was agreed (RFC 4271 section 10), so that many
//! sessions that began together do not speak together for ever. The dice are a seed's: the same seed gives
//! the same times.

use std::time::Duration;

use fastrand::Rng;

use crate::types::Moment;

/// Two KEEPALIVEs are at least so far apart (RFC 4271 section 4.4).
const LEAST_BETWEEN_KEEPALIVES: Duration = Duration::from_secs(1);
/// How long the peer has for its OPEN: the "large value" of RFC 4271 section 8.2.2.
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// Nothing could be written for so long: the connection is dead (RFC 9687 section 3).
const SEND_HOLD: Duration = Duration::from_secs(480);

/// When something is due on a connection.
#[derive(Debug)]
pub(crate) struct Timers {
    random: Random,
    hold_time: Duration,
    hold_at: Option<Moment>,
    keepalive_at: Option<Moment>,
    waits_since: Option<Moment>,
}

impl Timers {
    /// Of a connection on which our OPEN has been sent.
    pub(crate) fn new(random: Random, now: Moment) -> Timers {
        Timers {
            random,
            hold_time: OPEN_HOLD,
            hold_at: Some(now + OPEN_HOLD),
            keepalive_at: None,
            waits_since: None,
        }
    }

    /// The hold time is agreed on, in seconds; 0 for no timers at all (RFC 4271 section 4.4).
    pub(crate) fn agree(&mut self, hold_time: u16, now: Moment) {
        self.hold_time = Duration::from_secs(hold_time.into());
        self.heard(now);
        // Nobody waits for a KEEPALIVE that confirms it for ever, whatever comes after.
        self.hold_at = self.hold_at.or(Some(now + OPEN_HOLD));
        self.restart_keepalive(now);
    }

    /// Something came.
    pub(crate) fn heard(&mut self, now: Moment) {
        self.hold_at = (!self.hold_time.is_zero()).then(|| now + self.hold_time);
    }

    /// Whether nothing came for as long as was agreed.
    pub(crate) fn silent(&self, now: Moment) -> bool {
        self.hold_at.is_some_and(|at| at <= now)
    }

    /// Something waits to be written.
    pub(crate) fn waits(&mut self, now: Moment) {
        self.waits_since.get_or_insert(now);
    }

    /// What waited is written.
    pub(crate) fn wrote(&mut self) {
        self.waits_since = None;
    }

    /// Whether nothing could be written for too long. Without a hold time nobody minds.
    pub(crate) fn blocked(&self, now: Moment) -> bool {
        self.blocked_at().is_some_and(|at| at <= now)
    }

    /// Whether it is time to say that we are there; if it is, the next time is set.
    pub(crate) fn keepalive_due(&mut self, now: Moment) -> bool {
        let due = self.keepalive_at.is_some_and(|at| at <= now);
        if due {
            self.restart_keepalive(now);
        }
        due
    }

    /// Something was said that shows that we are there.
    pub(crate) fn restart_keepalive(&mut self, now: Moment) {
        let wait = self.random.jitter(self.hold_time / 3);
        self.keepalive_at =
            (!self.hold_time.is_zero()).then(|| now + wait.max(LEAST_BETWEEN_KEEPALIVES));
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        let all = [self.hold_at, self.keepalive_at, self.blocked_at()];
        all.into_iter().flatten().min()
    }

    fn blocked_at(&self) -> Option<Moment> {
        let since = self.waits_since.filter(|_| !self.hold_time.is_zero())?;
        Some(since + SEND_HOLD.max(self.hold_time * 2))
    }
}

/// Dice from a seed: for jitter only, nothing here has to be hard to guess.
#[derive(Debug, Clone)]
pub(crate) struct Random(Rng);

impl Random {
    /// The same seed gives the same dice.
    pub(crate) fn new(seed: u64) -> Random {
        Random(Rng::with_seed(seed))
    }

    /// Other dice, that depend on these.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.0.fork())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below another one, which is not 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.u64(..limit.max(1))
    }

    /// From three quarters to the whole of a time (RFC 4271 section 10).
    pub(crate) fn jitter(&mut self, time: Duration) -> Duration {
        let thousandths = 750 + u32::try_from(self.below(251)).unwrap_or(250);
        time * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_between_three_quarters_and_the_whole() {
        let mut random = Random::new(7);
        let times: Vec<Duration> = (0..2000)
            .map(|_| random.jitter(Duration::from_secs(4)))
            .collect();
        assert!(times.iter().all(|t| (3000..=4000).contains(&t.as_millis())));
        assert!(times.iter().any(|t| t.as_millis() < 3050));
        assert!(times.iter().any(|t| t.as_millis() > 3950));
    }

    #[test]
    fn without_a_hold_time_only_the_confirmation_is_ever_due() {
        let mut timers = Timers::new(Random::new(1), Duration::ZERO);
        timers.agree(0, Duration::from_secs(1));
        assert_eq!(timers.deadline(), Some(Duration::from_secs(1) + OPEN_HOLD));
        timers.heard(Duration::from_secs(2));
        timers.waits(Duration::from_secs(1));
        assert_eq!(timers.deadline(), None);
        assert!(!timers.silent(Duration::from_secs(1_000_000)));
        assert!(!timers.blocked(Duration::from_secs(1_000_000)));
    }
}

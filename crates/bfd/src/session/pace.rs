//! The intervals of one side: which are proposed, which hold, and how they are jittered.
//!
//! A new interval is proposed by a poll sequence (RFC 5880 §6.5). Until the other side has answered,
//! it counts with the old ones: so sending less often waits for the answer, and so does expecting
//! packets more often (§6.8.3). What makes nobody wait holds at once.

use std::num::NonZeroU8;
use std::time::Duration;

use fastrand::Rng;

use super::Timers;
use crate::Moment;
use crate::packet::State;

/// While a session is not up, nobody sends more often (§6.8.3).
const SLOWEST_START: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_micros(1);

/// Intervals of sending and of accepting.
type Intervals = (Duration, Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Poll {
    #[default]
    None,
    /// Asked; the answer makes what is proposed hold.
    Asked,
    /// What is proposed changed after the question, so that an answer may be to the old one.
    AskedBefore,
}

#[derive(Debug, Clone)]
pub(super) struct Pace {
    proposed: Intervals,
    holds: Intervals,
    poll: Poll,
    /// The interval by which the next packet was scheduled.
    scheduled_by: Duration,
}

impl Pace {
    pub(super) fn new(timers: &Timers, state: State) -> Pace {
        let intervals = wanted(timers, state);
        Pace {
            proposed: intervals,
            holds: intervals,
            poll: Poll::None,
            scheduled_by: intervals.0,
        }
    }

    /// What packets say.
    pub(super) fn proposed(&self) -> Intervals {
        self.proposed
    }

    /// The interval of sending, as far as it is up to this side.
    pub(super) fn transmit(&self) -> Duration {
        self.holds.0
    }

    /// The interval of receiving, as far as it is up to this side.
    pub(super) fn accept(&self) -> Duration {
        self.holds.1
    }

    pub(super) fn polls(&self) -> bool {
        self.poll != Poll::None
    }

    /// Proposes what the configuration and the state ask for. `known`: there is somebody to ask.
    pub(super) fn propose(&mut self, timers: &Timers, state: State, known: bool) {
        let wanted = wanted(timers, state);
        if wanted != self.proposed {
            self.proposed = wanted;
            self.poll = match self.poll {
                Poll::None => Poll::Asked,
                Poll::Asked | Poll::AskedBefore => Poll::AskedBefore,
            };
        }
        if !known {
            self.poll = Poll::None;
        }
        if state != State::Up || !self.polls() {
            self.holds = self.proposed;
        } else {
            self.holds.0 = self.holds.0.min(self.proposed.0);
            self.holds.1 = self.holds.1.max(self.proposed.1);
        }
    }

    /// The other side has answered a poll.
    pub(super) fn answered(&mut self) {
        match self.poll {
            Poll::None => {}
            Poll::Asked => {
                self.poll = Poll::None;
                self.holds = self.proposed;
            }
            Poll::AskedBefore => self.poll = Poll::Asked,
        }
    }

    /// Notes by which interval the next packet is scheduled.
    pub(super) fn waits(&mut self, interval: Duration) {
        self.scheduled_by = interval;
    }

    /// When the next packet goes out, after one at `last`, if nothing new is to be told.
    pub(super) fn scheduled(
        &mut self,
        last: Moment,
        wait: Duration,
        interval: Duration,
        next: Moment,
    ) -> Moment {
        if interval == self.scheduled_by {
            return next;
        }
        self.scheduled_by = interval;
        last + wait
    }
}

fn wanted(timers: &Timers, state: State) -> Intervals {
    let transmit = match state {
        State::Up => timers.desired_min_tx.max(SHORTEST),
        State::AdminDown | State::Down | State::Init => timers.desired_min_tx.max(SLOWEST_START),
    };
    (transmit, timers.required_min_rx.max(SHORTEST))
}

/// Numbers that look random and follow from a seed.
#[derive(Debug, Clone)]
pub(super) struct Jitter(Rng);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(Rng::with_seed(seed))
    }

    /// The interval less up to a quarter; at least a tenth less if one missed packet is enough to
    /// be given up (§6.8.7).
    pub(super) fn of(&mut self, interval: Duration, multiplier: NonZeroU8) -> Duration {
        let most = if multiplier.get() == 1 { 900 } else { 1000 };
        interval * (750 + self.0.u32(..most - 750)) / 1000
    }

    /// When to begin: anywhere within the interval, so that a host's sessions do not march in step.
    pub(super) fn start(&mut self, interval: Duration) -> Duration {
        interval * self.0.u32(..1000) / 1000
    }
}

//! One peer: whether it is there, and where.
//!
//! ```text
//!            an ack                     a size not answered while small hellos are: Search
//!   down ──────────────► up ──┐
//!    ▲ one hello, then    │   │ hellos of the size in use: every 20 s, 5 s behind a translation,
//!    │ the next later and │ ◄─┘ 2 s while packets are sent
//!    │ later              │
//!    └────────────────────┘ three hellos, small ones too, are not answered
//! ```
//!
//! While it is down, hellos go in turn to its configured address and to the one that it was last at.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::jitter::Jitter;
use super::message::Message;
use super::search::Search;
use super::status::{PeerStatus, Reach};
use super::{Discard, Moment, Way};

/// How long a peer that is up goes without a hello: as mappings of translations must be kept, which
/// last at least two minutes by RFC 4787 and half a minute in the wild.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// From behind a translation, whose mapping may become another at any time.
const TRANSLATED: Duration = Duration::from_secs(5);
/// While packets are sent.
const ACTIVE: Duration = Duration::from_secs(2);
/// So often a hello is sent before it counts as not answered.
const TRIES: u8 = 3;
/// How long an answer may take, whatever earlier ones took.
const ANSWER: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(1));
/// The pauses between hellos to who does not answer.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));
/// At most so often an unknown address is asked whether the peer is there.
const CHALLENGE: Duration = Duration::from_millis(200);
/// Hellos whose answer may still come.
const REMEMBERED: usize = 16;

/// A hello that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hello {
    pub number: u64,
    pub to: SocketAddr,
    /// How long it is; 0 for as short as can be.
    pub size: u16,
}

#[derive(Debug)]
pub(crate) struct Peer {
    configured: SocketAddr,
    endpoint: SocketAddr,
    /// Where it last was, if that is not the configured address.
    elsewhere: Option<SocketAddr>,
    up: bool,
    since: Moment,
    search: Search,
    jitter: Jitter,
    sent: VecDeque<(Hello, Moment)>,
    round: Option<Round>,
    next: Moment,
    failures: u32,
    challenge: Option<SocketAddr>,
    challenged: Option<Moment>,
    asked: Option<Moment>,
    active: Option<Moment>,
    heard: Option<Moment>,
    round_trip: Option<Duration>,
    observed: Option<SocketAddr>,
    /// This node's own addresses.
    ours: Arc<[IpAddr]>,
}

/// A size that is asked for, several times if need be.
#[derive(Debug, Clone, Copy)]
struct Round {
    size: u16,
    began: Moment,
    tries: u8,
    deadline: Moment,
    small_passed: bool,
}

impl Peer {
    pub fn new(configured: SocketAddr, limit: u16, jitter: Jitter, now: Moment) -> Peer {
        Peer {
            configured,
            endpoint: configured,
            elsewhere: None,
            up: false,
            since: now,
            search: Search::new(limit),
            jitter,
            sent: VecDeque::new(),
            round: None,
            next: now,
            failures: 0,
            challenge: None,
            challenged: None,
            asked: None,
            active: None,
            heard: None,
            round_trip: None,
            observed: None,
            ours: Arc::from([]),
        }
    }

    pub fn configure(&mut self, limit: u16, ours: &Arc<[IpAddr]>, now: Moment) {
        self.ours = Arc::clone(ours);
        let before = self.search.in_use();
        self.search.set_limit(limit, now);
        if self.search.in_use() != before || limit > before {
            self.round = None;
            self.next = self.next.min(now);
        }
    }

    pub fn resume(&mut self, way: Way, now: Moment) {
        self.search.resume(way.mtu, now);
        self.up = way.up;
        self.move_to(way.endpoint);
    }

    pub fn way(&self) -> Way {
        Way {
            endpoint: self.endpoint,
            mtu: self.search.in_use(),
            up: self.up,
        }
    }

    /// When there is something to do.
    pub fn due(&self) -> Moment {
        if self.challenge.is_some() {
            return Moment::ZERO;
        }
        self.round.map_or(self.next, |round| round.deadline)
    }

    pub fn tick(&mut self, now: Moment, out: &mut Vec<Hello>) {
        if let Some(to) = self.challenge.take() {
            self.challenged = Some(now);
            self.say(to, 0, now, out);
        }
        match self.round {
            Some(round) if round.deadline <= now => self.unanswered(round, now, out),
            Some(_) => {}
            None if self.next <= now => self.begin(now, out),
            None => {}
        }
    }

    fn begin(&mut self, now: Moment, out: &mut Vec<Hello>) {
        let size = if self.up { self.search.next(now) } else { 0 };
        self.round = Some(Round {
            size,
            began: now,
            tries: 1,
            deadline: now + self.patience(),
            small_passed: false,
        });
        self.asked = Some(now);
        self.say(self.endpoint, size, now, out);
    }

    fn unanswered(&mut self, mut round: Round, now: Moment, out: &mut Vec<Hello>) {
        if self.up && round.tries < TRIES {
            round.tries += 1;
            round.deadline = now + self.patience();
            self.round = Some(round);
            self.say(self.endpoint, round.size, now, out);
            if round.size > 0 {
                self.say(self.endpoint, 0, now, out);
            }
            return;
        }
        self.round = None;
        if self.up && round.small_passed {
            self.search.failed(round.size, now);
            self.next = now;
            return self.begin(now, out);
        }
        if self.up {
            self.up = false;
            self.since = now;
            self.failures = 0;
        }
        self.next = now + self.pause();
        self.failures = self.failures.saturating_add(1);
        // In turn: it may have come back to where it should be.
        let other = self.elsewhere.unwrap_or(self.configured);
        self.endpoint = if self.endpoint == self.configured {
            other
        } else {
            self.configured
        };
    }

    fn say(&mut self, to: SocketAddr, size: u16, now: Moment, out: &mut Vec<Hello>) {
        let number = self.jitter.next();
        let hello = Hello { number, to, size };
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((hello, now));
        out.push(hello);
    }

    /// It has said hello. That says little: anybody may have recorded it.
    pub fn greeted(&mut self, from: SocketAddr, now: Moment) {
        if from == self.endpoint {
            if !self.up && self.asked.is_none_or(|asked| asked + PAUSE.0 <= now) {
                self.round = None;
                self.next = now;
            }
        } else if self.challenged.is_none_or(|at| at + CHALLENGE <= now) {
            self.challenge = Some(from);
        }
    }

    /// It has answered.
    pub fn answered(
        &mut self,
        from: SocketAddr,
        message: &Message,
        now: Moment,
    ) -> Result<(), Discard> {
        let mut sent = self.sent.iter();
        let place = sent.position(|(hello, _)| hello.number == message.number);
        let (hello, at) = place
            .and_then(|place| self.sent.remove(place))
            .ok_or(Discard::Stale)?;
        if from != hello.to {
            // It hears us there and speaks from here: is it here?
            self.greeted(from, now);
            return Ok(());
        }
        self.heard = Some(now);
        self.observed = message.observed;
        self.time(now.saturating_sub(at));
        if from != self.endpoint {
            self.move_to(from);
            self.search.doubt(now);
            self.round = None;
            self.next = now;
        }
        if !self.up {
            self.up = true;
            self.since = now;
            self.failures = 0;
            self.round = None;
            self.next = now;
        }
        self.passed(hello, at, now);
        Ok(())
    }

    fn passed(&mut self, hello: Hello, at: Moment, now: Moment) {
        if hello.size > 0 {
            self.search.passed(hello.size, now);
        }
        let Some(round) = &mut self.round else { return };
        if hello.size >= round.size {
            self.round = None;
            self.next = if self.search.is_on() {
                now
            } else {
                now + self.interval(now)
            };
        } else if at >= round.began {
            round.small_passed = true;
        }
    }

    /// The kernel does not send a hello, because it is larger than the link here.
    pub fn refused(&mut self, number: u64, now: Moment) {
        let Some(place) = (self.sent.iter()).position(|(hello, _)| hello.number == number) else {
            return;
        };
        let Some((hello, _)) = self.sent.remove(place) else {
            return;
        };
        if hello.size > 0 {
            self.search.failed(hello.size, now);
            self.round = None;
            self.next = now;
        }
    }

    /// Packets are sent to it.
    pub fn active(&mut self, now: Moment) {
        self.active = Some(now);
        if self.up && self.round.is_none() {
            let soon = self.asked.map_or(now, |asked| asked + ACTIVE);
            self.next = self.next.min(soon.max(now));
        }
    }

    pub fn status(&self, now: Moment) -> PeerStatus {
        PeerStatus {
            reach: if self.up { Reach::Up } else { Reach::Down },
            since: now.saturating_sub(self.since),
            configured: self.configured,
            endpoint: self.endpoint,
            seen_as: self.seen_as(),
            mtu: self.search.in_use(),
            limit: self.search.limit(),
            mtu_confirmed: self.search.is_confirmed(),
            round_trip: self.round_trip,
            heard: self.heard.map(|heard| now.saturating_sub(heard)),
        }
    }

    fn move_to(&mut self, endpoint: SocketAddr) {
        self.endpoint = endpoint;
        self.elsewhere = (endpoint != self.configured).then_some(endpoint);
    }

    /// RFC 6298 section 2 without the variance: patience has a wide margin.
    fn time(&mut self, sample: Duration) {
        let smoothed = |before: Duration| before - before / 8 + sample / 8;
        self.round_trip = Some(self.round_trip.map_or(sample, smoothed));
    }

    fn patience(&self) -> Duration {
        let expected = self.round_trip.map_or(ANSWER.1, |trip| trip * 4);
        expected.clamp(ANSWER.0, ANSWER.1)
    }

    fn interval(&mut self, now: Moment) -> Duration {
        let is_active = self.active.is_some_and(|active| now < active + ACTIVE * 2);
        let interval = if is_active {
            ACTIVE
        } else if self.seen_as().is_some() {
            TRANSLATED
        } else {
            KEEPALIVE
        };
        self.jitter.of(interval)
    }

    fn pause(&mut self) -> Duration {
        let pause = PAUSE.0 * 2_u32.pow(self.failures.min(5));
        self.jitter.of(pause.min(PAUSE.1))
    }

    /// Where the peer sees this node, if that is none of its addresses or not its port.
    fn seen_as(&self) -> Option<SocketAddr> {
        let port = self.configured.port();
        (self.observed).filter(|seen| !self.ours.contains(&seen.ip()) || seen.port() != port)
    }
}

//! One session: what is sent when, what is believed of the other side, and when it is given up
//! (RFC 5880 §6.8).
//!
//! ```text
//!             hears Down              hears Init, Up
//!   Down ───────────────────► Init ─────────────────► Up
//!    │ ▲                       │ no packet for the     │ no packet for the detection time,
//!    │ └───────────────────────┴ detection time ◄──────┘ or hears Down, AdminDown
//!    └──── hears Init ──────────────────────────────► Up
//! ```
//!
//! A packet goes out at once when it would say something else than the last one; otherwise after
//! the negotiated interval less its jitter. New intervals are proposed by a poll, and where they
//! would make the other side wait for packets that do not come, they hold only once it has answered.

mod pace;

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use crate::discard::{Discard, Discards};
use crate::packet::{Diagnostic, PACKET_BYTES, Packet, State};
use crate::{Moment, TTL};
use pace::{Jitter, Pace};

/// How far away the other side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hops {
    /// On a link of ours: packets that came through a router are forged (RFC 5881 §5).
    Single,
    /// Behind routers (RFC 5883).
    Several,
}

/// The intervals of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timers {
    /// How often to send at most. While the session is not up, once in a second.
    pub desired_min_tx: Duration,
    /// How often packets can be borne. At least a microsecond: without packets there is no detection.
    pub required_min_rx: Duration,
    /// After how many missed packets the other side shall give this one up.
    pub multiplier: NonZeroU8,
}

/// What a session is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// This side's name of the session, unique among the sessions of this system. It should not be
    /// guessable, and not the one that the session had before a restart.
    pub discriminator: NonZeroU32,
    /// The intervals.
    pub timers: Timers,
    /// How far away the other side is.
    pub hops: Hops,
    /// Where the jitter of the intervals comes from; any number.
    pub seed: u64,
}

/// What a client of the session is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Both sides hear each other.
    Up,
    /// The session was up, and the way is not alive any more.
    Failed(Diagnostic),
    /// The session was up, and one side switched it off: this says nothing about the way, and the
    /// client should go on as without a session (RFC 5882 §3.2).
    SwitchedOff,
}

/// What is known of the other side (RFC 5880 §6.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remote {
    discriminator: u32,
    state: State,
    desired_min_tx: Duration,
    required_min_rx: Duration,
    multiplier: u8,
    demand: bool,
}

/// Before anything was heard: it may be sent to as often as we like.
const UNKNOWN: Remote = Remote {
    discriminator: 0,
    state: State::Down,
    desired_min_tx: Duration::ZERO,
    required_min_rx: Duration::from_micros(1),
    multiplier: 0,
    demand: false,
};

/// A session as its administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state of this side.
    pub state: State,
    /// The state that the other side last told.
    pub remote_state: State,
    /// Why this side last left Up.
    pub diagnostic: Diagnostic,
    /// The discriminators of this and of the other side; 0 while it is unknown.
    pub discriminators: (u32, u32),
    /// The interval of sending, before jitter.
    pub transmit_interval: Duration,
    /// How long the other side may be silent; `None` while nothing of it is known.
    pub detection_time: Option<Duration>,
    /// Since when it is in its state.
    pub since: Moment,
    /// Packets sent, and received that were not discarded.
    pub packets: (u64, u64),
    /// What was discarded.
    pub discards: Discards,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    config: Config,
    state: State,
    since: Moment,
    diagnostic: Diagnostic,
    remote: Remote,
    pace: Pace,
    jitter: Jitter,
    owes_final: bool,
    heard: Option<Moment>,
    heard_up: Option<Moment>,
    sent: Option<(Moment, Packet)>,
    next: Moment,
    packets: (u64, u64),
    discards: Discards,
}

impl Session {
    /// A session that is down, and sends its first packet within the first second.
    #[must_use]
    pub fn new(config: Config, now: Moment) -> Session {
        let mut jitter = Jitter::new(config.seed);
        let pace = Pace::new(&config.timers, State::Down);
        let first = jitter.start(pace.transmit());
        Session {
            config,
            state: State::Down,
            since: now,
            diagnostic: Diagnostic::NONE,
            remote: UNKNOWN,
            pace,
            jitter,
            owes_final: false,
            heard: None,
            heard_up: None,
            sent: None,
            next: now + first,
            packets: (0, 0),
            discards: Discards::default(),
        }
    }

    /// This side's name of the session.
    #[must_use]
    pub fn discriminator(&self) -> NonZeroU32 {
        self.config.discriminator
    }

    /// The state of this side.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Everything that an administrator wants to see.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            state: self.state,
            remote_state: self.remote.state,
            diagnostic: self.diagnostic,
            discriminators: (self.config.discriminator.get(), self.remote.discriminator),
            transmit_interval: self.interval(),
            detection_time: self.heard.map(|_| self.detection_time()),
            since: self.since,
            packets: self.packets,
            discards: self.discards.clone(),
        }
    }

    /// Takes new intervals. While the session is up, the other side is asked first (§6.8.3).
    pub fn set_timers(&mut self, timers: Timers, now: Moment) {
        self.config.timers = timers;
        self.settle(now);
    }

    /// Switches the session off. It keeps telling so (§6.8.16).
    pub fn switch_off(&mut self, now: Moment) -> Option<Event> {
        if self.state == State::AdminDown {
            return None;
        }
        let event = (self.state == State::Up).then_some(Event::SwitchedOff);
        self.diagnostic = Diagnostic::SWITCHED_OFF;
        self.enter(State::AdminDown, now);
        self.settle(now);
        event
    }

    /// Switches the session on again.
    pub fn switch_on(&mut self, now: Moment) {
        if self.state == State::AdminDown {
            self.enter(State::Down, now);
            self.settle(now);
        }
    }

    /// Takes a datagram of the other side, which came with this time to live (§6.8.6). Afterwards
    /// [`Session::timeout`] has changed.
    ///
    /// # Errors
    /// Why the datagram was discarded, which is counted as well.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        ttl: u8,
        now: Moment,
    ) -> Result<Option<Event>, Discard> {
        let heard = self.hear(bytes, ttl, now);
        if let Err(reason) = heard {
            self.discards.count(reason);
        }
        heard
    }

    fn hear(&mut self, bytes: &[u8], ttl: u8, now: Moment) -> Result<Option<Event>, Discard> {
        if self.config.hops == Hops::Single && ttl != TTL {
            return Err(Discard::TimeToLive(ttl));
        }
        let packet = Packet::decode(bytes)?;
        let ours = self.config.discriminator.get();
        if packet.your_discriminator != 0 && packet.your_discriminator != ours {
            return Err(Discard::Unknown(packet.your_discriminator));
        }
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
            multiplier: packet.multiplier,
            demand: packet.demand,
        };
        if packet.is_final {
            self.pace.answered();
        }
        // An answer is due whatever the state is (§6.8.7).
        self.owes_final |= packet.poll;
        if self.state == State::AdminDown {
            self.settle(now);
            return Err(Discard::SwitchedOff);
        }
        self.packets.1 += 1;
        self.heard = Some(now);
        let event = self.follow(packet.state, now);
        if self.state == State::Up {
            self.heard_up = Some(now);
        }
        self.settle(now);
        Ok(event)
    }

    /// The state machine (§6.2, §6.8.6).
    fn follow(&mut self, remote: State, now: Moment) -> Option<Event> {
        let was_up = self.state == State::Up;
        match (self.state, remote) {
            (State::Down, State::Down) => self.enter(State::Init, now),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, now);
                return Some(Event::Up);
            }
            (State::Init, State::AdminDown) | (State::Up, State::AdminDown | State::Down) => {
                self.diagnostic = Diagnostic::NEIGHBOUR_DOWN;
                self.enter(State::Down, now);
            }
            _ => return None,
        }
        match remote {
            State::AdminDown if was_up => Some(Event::SwitchedOff),
            _ if was_up => Some(Event::Failed(self.diagnostic)),
            _ => None,
        }
    }

    /// When the other side was last heard while the session was up, if it ever was. What failed is as old
    /// as that: who came back since is another.
    #[must_use]
    pub fn heard_up(&self) -> Option<Moment> {
        self.heard_up
    }

    /// When [`Session::tick`] has something to do; a moment that has passed means at once.
    #[must_use]
    pub fn timeout(&self) -> Option<Moment> {
        if self.owes_final {
            return Some(Moment::ZERO);
        }
        let send = self.may_send().then_some(self.next);
        let give_up = self.heard.map(|heard| heard + self.detection_time());
        send.into_iter().chain(give_up).min()
    }

    /// Does what is due: gives the other side up, and appends the packets that are to be sent.
    pub fn tick(&mut self, now: Moment, out: &mut Vec<[u8; PACKET_BYTES]>) -> Option<Event> {
        let event = self.expire(now);
        if self.owes_final {
            self.owes_final = false;
            let mut answer = self.packet();
            answer.poll = false;
            answer.is_final = true;
            self.send(answer, now, out);
        }
        if self.may_send() && self.next <= now {
            self.send(self.packet(), now, out);
        }
        event
    }

    /// Gives the other side up after the detection time, and forgets what it said (§6.8.1, §6.8.4).
    fn expire(&mut self, now: Moment) -> Option<Event> {
        let heard = self.heard?;
        if now < heard + self.detection_time() {
            return None;
        }
        self.heard = None;
        self.remote = UNKNOWN;
        let was_up = self.state == State::Up;
        if matches!(self.state, State::Init | State::Up) {
            self.diagnostic = Diagnostic::EXPIRED;
            self.enter(State::Down, now);
        }
        self.settle(now);
        was_up.then_some(Event::Failed(Diagnostic::EXPIRED))
    }

    fn enter(&mut self, state: State, now: Moment) {
        self.state = state;
        self.since = now;
    }

    /// After any change: intervals follow the state, and news is told at once.
    fn settle(&mut self, now: Moment) {
        let known = self.remote.discriminator != 0;
        self.pace.propose(&self.config.timers, self.state, known);
        let Some((at, last)) = self.sent else {
            self.next = now;
            return;
        };
        let mut packet = self.packet();
        (packet.poll, packet.is_final) = (last.poll, last.is_final);
        self.next = if packet == last {
            let wait = self
                .jitter
                .of(self.interval(), self.config.timers.multiplier);
            // A wait that was drawn already holds, unless the interval is another one now.
            self.pace.scheduled(at, wait, self.interval(), self.next)
        } else {
            now
        };
    }

    /// Whether packets may go out by themselves (§6.8.7): not to who bears none, and not to who
    /// wants to ask for them, but for news and for questions of our own.
    fn may_send(&self) -> bool {
        let news = self.sent.is_none_or(|(_, last)| {
            let now = self.packet();
            now.state != last.state || now.your_discriminator != last.your_discriminator
        });
        let both_up = self.state == State::Up && self.remote.state == State::Up;
        let on_demand = self.remote.demand && both_up && !self.pace.polls();
        news || !(self.remote.required_min_rx.is_zero() || on_demand)
    }

    fn send(&mut self, packet: Packet, now: Moment, out: &mut Vec<[u8; PACKET_BYTES]>) {
        out.push(packet.encode());
        self.packets.0 += 1;
        self.sent = Some((now, packet));
        let interval = self.interval();
        let wait = self.jitter.of(interval, self.config.timers.multiplier);
        self.pace.waits(interval);
        self.next = now + wait;
    }

    fn packet(&self) -> Packet {
        let (desired_min_tx, required_min_rx) = self.pace.proposed();
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.pace.polls(),
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.timers.multiplier.get(),
            my_discriminator: self.config.discriminator.get(),
            your_discriminator: self.remote.discriminator,
            desired_min_tx,
            required_min_rx,
            required_min_echo_rx: Duration::ZERO,
        }
    }

    fn interval(&self) -> Duration {
        self.pace.transmit().max(self.remote.required_min_rx)
    }

    fn detection_time(&self) -> Duration {
        self.pace.accept().max(self.remote.desired_min_tx) * u32::from(self.remote.multiplier)
    }
}

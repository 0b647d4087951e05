//! One connection's state machine (RFC 4271 section 8.2.2), from the moment that TCP stands.
//!
//! ```text
//!             our OPEN          their OPEN            their KEEPALIVE
//!  connected ─────────► OpenSent ────────► OpenConfirm ──────────────► Established ─► UPDATEs …
//!                          └───────────────────┴── anything wrong ───────────┴─► an Ending
//! ```
//!
//! Idle, Connect and Active are about whether there is a connection at all: they belong to the peer and
//! stand in `speaker`. Bytes go in with the time; what they mean for the speaker comes out as a [`Step`],
//! one at a time. What is to be written is kept here until somebody takes it.

mod ending;
mod open;
mod timers;

use crate::message::{self, Message, Negotiated, Notification};
use crate::message::{Refresh, Update};
use crate::types::Moment;

pub(crate) use ending::{Cause, Ending};
pub(crate) use open::Terms;
pub(crate) use timers::{Random, Timers};

/// Octets of a header (RFC 4271 section 4.1); the last is the message's type.
const HEADER: usize = 19;
/// Room that is kept for what comes: the largest message (RFC 4271 section 4.1).
const KEPT_INBOX: usize = 4096;

/// A connection on which BGP is spoken.
#[derive(Debug)]
pub(crate) struct Session {
    terms: Terms,
    state: State,
    timers: Timers,
    inbox: Vec<u8>,
    read: usize,
    outbox: Vec<u8>,
    /// What came and went.
    pub(crate) traffic: Traffic,
}

/// The states that a connection can be in.
#[derive(Debug)]
enum State {
    /// We have said who we are.
    OpenSent,
    /// So has the peer, and we agree.
    OpenConfirm(Box<Negotiated>),
    /// The peer agrees, too.
    Established(Box<Negotiated>),
}

/// What something that came means for the speaker.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing.
    Stay,
    /// The peer's OPEN is good: it is known who it is, and a collision can be judged.
    Opened,
    /// The session stands.
    Established,
    /// Routes.
    Update(Update),
    /// To say something again, or that the peer does.
    Refresh(Refresh),
    /// Something that means nothing here, in words.
    Borne(String),
    /// The connection has to be closed.
    End(Ending),
}

/// Messages by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Messages {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub refresh: u64,
}

/// What came and went over a peer's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Messages that came.
    pub received: Messages,
    /// Messages that went.
    pub sent: Messages,
}

impl Session {
    /// Begins with our OPEN.
    pub(crate) fn new(terms: Terms, random: Random, now: Moment) -> Session {
        let mut session = Session {
            timers: Timers::new(random, now),
            state: State::OpenSent,
            inbox: Vec::new(),
            read: 0,
            outbox: Vec::new(),
            traffic: Traffic::default(),
            terms,
        };
        let open = Message::Open(session.terms.open());
        session.send(&open);
        session
    }

    /// What both agreed on, as soon as the peer's OPEN is good.
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        match &self.state {
            State::OpenSent => None,
            State::OpenConfirm(negotiated) | State::Established(negotiated) => Some(negotiated),
        }
    }

    /// What both agreed on, where the session stands.
    pub(crate) fn established(&self) -> Option<&Negotiated> {
        match &self.state {
            State::Established(negotiated) => Some(negotiated),
            _ => None,
        }
    }

    /// On what terms it was begun.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Takes bytes; [`next`](Self::next) says what they mean.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Keeps what is not read yet, and no room for more than a message: there may be many sessions.
    fn tidy(&mut self) {
        self.inbox.drain(..self.read);
        self.read = 0;
        self.inbox.shrink_to(KEPT_INBOX);
    }

    /// The next message's meaning; none if there is no whole one.
    pub(crate) fn next(&mut self, now: Moment) -> Option<Step> {
        let rest = self.inbox.get(self.read..).unwrap_or_default();
        let step = match message::frame(rest) {
            Ok(None) => {
                self.tidy();
                return None;
            }
            Err(fault) => Step::End(Ending::fault(fault)),
            Ok(Some(length)) => {
                let frame = rest.get(..length).unwrap_or_default();
                let read = self.read_message(frame);
                self.read += length;
                match read {
                    Ok(message) => self.take(message, now),
                    Err(ending) => Step::End(ending),
                }
            }
        };
        Some(step)
    }

    /// Keeps the peer believing in us, and notices when we should not believe in it any more.
    pub(crate) fn tick(&mut self, now: Moment) -> Step {
        if self.timers.silent(now) {
            return Step::End(Ending::hold_expired());
        }
        if self.timers.blocked(now) {
            return Step::End(Ending::send_hold_expired());
        }
        if self.timers.keepalive_due(now) {
            // What has not been written yet shows that we are there as soon as it is.
            match self.outbox.is_empty() {
                true => self.send(&Message::Keepalive),
                false => self.timers.waits(now),
            }
        }
        Step::Stay
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.timers.deadline()
    }

    /// Puts a message in line to be written.
    pub(crate) fn send(&mut self, message: &Message) {
        *self.traffic.sent.of(message) += 1;
        let mut outbox = std::mem::take(&mut self.outbox);
        message::encode(message, self.negotiated(), &mut outbox);
        self.outbox = outbox;
    }

    /// Whether something waits to be written, apart from routes.
    pub(crate) fn has_more(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Gives what waits to be written, apart from routes.
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        self.timers.wrote();
        out.append(&mut self.outbox);
    }

    /// Routes were written: `messages` UPDATEs. They say that we are there, too.
    pub(crate) fn updates_sent(&mut self, messages: u64, now: Moment) {
        self.traffic.sent.update += messages;
        self.timers.restart_keepalive(now);
    }

    /// The last words: what is still to be written before the connection is closed.
    pub(crate) fn finish(&mut self, notification: Option<Notification>) -> Vec<u8> {
        if let Some(notification) = notification {
            self.send(&Message::Notification(notification));
        }
        std::mem::take(&mut self.outbox)
    }

    fn read_message(&self, frame: &[u8]) -> Result<Message, Ending> {
        let kind = frame.get(HEADER - 1).copied().unwrap_or_default();
        if !self.state.expects(kind) {
            return Err(Ending::unexpected(self.state.code(), kind));
        }
        message::decode(frame, self.negotiated()).map_err(Ending::fault)
    }

    fn take(&mut self, message: Message, now: Moment) -> Step {
        *self.traffic.received.of(&message) += 1;
        self.timers.heard(now);
        match message {
            Message::Notification(notification) => Step::End(Ending::told(&notification)),
            Message::Open(open) => match self.terms.agree(&open) {
                Ok(negotiated) => self.confirm(negotiated, now),
                Err(fault) => Step::End(Ending::fault(fault)),
            },
            Message::Keepalive => self.believe(),
            Message::Update(update) => Step::Update(update),
            Message::Refresh(refresh) => Step::Refresh(refresh),
            Message::Ignored(what) => Step::Borne(what),
        }
    }

    fn confirm(&mut self, negotiated: Negotiated, now: Moment) -> Step {
        self.timers.agree(negotiated.hold_time, now);
        self.state = State::OpenConfirm(Box::new(negotiated));
        self.send(&Message::Keepalive);
        Step::Opened
    }

    fn believe(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::OpenSent) {
            State::OpenConfirm(negotiated) => {
                self.state = State::Established(negotiated);
                Step::Established
            }
            other => {
                self.state = other;
                Step::Stay
            }
        }
    }
}

impl State {
    /// Whether a message of a type (RFC 4271 section 4.1) may come in this state.
    fn expects(&self, kind: u8) -> bool {
        match self {
            State::OpenSent => matches!(kind, 1 | 3),
            State::OpenConfirm(_) => matches!(kind, 3 | 4),
            State::Established(_) => matches!(kind, 2..=5),
        }
    }

    /// The subcode of an error that happened in it (RFC 6608).
    fn code(&self) -> u8 {
        match self {
            State::OpenSent => 1,
            State::OpenConfirm(_) => 2,
            State::Established(_) => 3,
        }
    }
}

impl Messages {
    fn of(&mut self, message: &Message) -> &mut u64 {
        match message {
            Message::Open(_) => &mut self.open,
            Message::Update(_) => &mut self.update,
            Message::Notification(_) => &mut self.notification,
            Message::Keepalive => &mut self.keepalive,
            Message::Refresh(_) | Message::Ignored(_) => &mut self.refresh,
        }
    }
}

impl std::ops::AddAssign<Traffic> for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.received += other.received;
        self.sent += other.sent;
    }
}

impl std::ops::AddAssign<Messages> for Messages {
    fn add_assign(&mut self, other: Messages) {
        self.open += other.open;
        self.update += other.update;
        self.notification += other.notification;
        self.keepalive += other.keepalive;
        self.refresh += other.refresh;
    }
}

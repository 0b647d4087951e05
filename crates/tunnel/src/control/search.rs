//! How large a packet passes to a peer: the search for the path's MTU by packets, in the spirit of
//! RFC 8899. Sizes are those of inner packets.
//!
//! ```text
//!   limit ─ lost? ─► 1280, then halves between what passed and what did not ─► found, in use
//!     ▲                                                                                │
//!     └──────────── from time to time, whether more passes by now ◄────────────────────┘
//! ```
//!
//! It begins with what the interfaces at both ends allow, because that is mostly right, and a packet
//! that is answered "too big" makes its sender remember that for minutes. For the same reason nothing
//! smaller is in use while it searches: some seconds without large packets are the lesser evil. What is
//! in use is asked for again and again: a way that silently swallows large packets says nothing by
//! itself.

use std::time::Duration;

use super::Moment;

/// What every way should carry, and IPv6 must (RFC 8200 section 5).
const BASE: u16 = 1280;
/// What every way carries: IPv4's 576 bytes (RFC 791) less 40 for the tunnel.
const FLOOR: u16 = 536;
/// When it is first asked whether more passes by now, and how rarely in the end (RFC 8899 section
/// 5.1.1).
const RAISE_FIRST: Duration = Duration::from_secs(30);
const RAISE_LAST: Duration = Duration::from_secs(600);

#[derive(Debug, Clone)]
pub(crate) struct Search {
    limit: u16,
    in_use: u16,
    confirmed: bool,
    span: Option<Span>,
    raise: Moment,
    wait: Duration,
}

/// What is not known yet while a search goes on.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The largest that passed.
    passes: u16,
    /// The smallest that did not.
    fails: u16,
}

impl Search {
    pub fn new(limit: u16) -> Search {
        Search {
            limit,
            in_use: limit,
            confirmed: false,
            span: None,
            raise: Moment::ZERO,
            wait: RAISE_FIRST,
        }
    }

    /// Goes on with what another process has found.
    pub fn resume(&mut self, mtu: u16, now: Moment) {
        self.in_use = mtu.min(self.limit);
        self.raise = now + self.wait;
    }

    /// The largest packet to be sent.
    pub fn in_use(&self) -> u16 {
        self.in_use
    }

    /// The largest that the interfaces at both ends allow.
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// Whether a packet of that size has passed.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether a size is looked for, and the next probe should not wait.
    pub fn is_on(&self) -> bool {
        self.span.is_some()
    }

    /// Takes what the interfaces at both ends allow by now.
    pub fn set_limit(&mut self, limit: u16, now: Moment) {
        if limit == self.limit {
            return;
        }
        self.raise = now;
        self.limit = limit;
        self.span = None;
        if limit < self.in_use {
            self.in_use = limit;
            self.confirmed = false;
        }
    }

    /// Nothing that was found out holds for sure any more: the way is another one.
    pub fn doubt(&mut self, now: Moment) {
        self.confirmed = false;
        self.span = None;
        self.wait = RAISE_FIRST;
        self.raise = now;
    }

    /// The size that is to be asked for next.
    pub fn next(&mut self, now: Moment) -> u16 {
        if self.span.is_none() && self.confirmed && self.in_use < self.limit && self.raise <= now {
            let (passes, fails) = (self.in_use, self.limit.saturating_add(1));
            self.span = Some(Span { passes, fails });
        }
        let Some(span) = self.span else {
            return self.in_use;
        };
        if span.fails > self.limit {
            self.limit
        } else if span.passes < BASE && BASE < span.fails {
            BASE
        } else {
            span.passes + (span.fails - span.passes) / 2
        }
    }

    /// A packet of a size has passed.
    pub fn passed(&mut self, size: u16, now: Moment) {
        if size >= self.in_use && size <= self.limit {
            self.confirmed = true;
        }
        if let Some(span) = &mut self.span {
            span.passes = span.passes.max(size);
            self.conclude(now);
        }
    }

    /// Packets of a size do not pass, while small ones do.
    pub fn failed(&mut self, size: u16, now: Moment) {
        let span = self.span.get_or_insert(Span {
            passes: FLOOR,
            fails: size,
        });
        span.fails = span.fails.min(size);
        if span.passes >= size {
            span.passes = FLOOR;
        }
        if size <= self.in_use {
            self.confirmed = false;
            self.wait = RAISE_FIRST;
        }
        self.conclude(now);
    }

    /// Ends the search where nothing is between what passed and what did not.
    fn conclude(&mut self, now: Moment) {
        let Some(span) = self.span else { return };
        if span.passes < self.limit && span.fails.saturating_sub(span.passes) > 1 {
            return;
        }
        self.span = None;
        self.in_use = span.passes.min(self.limit);
        self.confirmed = true;
        self.raise = now + self.wait;
        self.wait = (self.wait * 2).min(RAISE_LAST);
    }
}

//! Two sessions and the wire between them, in virtual time.
//!
//! The wire delays, loses and can be cut. Nothing else moves time: the simulation jumps from one
//! thing that happens to the next.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use tombolo_bfd::{Config, Event, Hops, Moment, PACKET_BYTES, Packet, Session, TTL, Timers};

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub fn timers(transmit: u64, receive: u64, multiplier: u8) -> Timers {
    Timers {
        desired_min_tx: millis(transmit),
        required_min_rx: millis(receive),
        multiplier: NonZeroU8::new(multiplier).unwrap(),
    }
}

pub fn session(discriminator: u32, timers: Timers) -> Session {
    let config = Config {
        discriminator: NonZeroU32::new(discriminator).unwrap(),
        timers,
        hops: Hops::Single,
        seed: u64::from(discriminator),
    };
    Session::new(config, Moment::ZERO)
}

/// What one side did, with the time.
#[derive(Debug, Default, Clone)]
pub struct Log {
    pub sent: Vec<(Moment, Packet)>,
    pub events: Vec<(Moment, Event)>,
}

pub struct Wire {
    pub sides: [Session; 2],
    pub logs: [Log; 2],
    pub now: Moment,
    pub delay: Duration,
    /// Which packets of the future are lost: asked with the sender's side.
    pub loses: Box<dyn FnMut(usize) -> bool>,
    flying: Vec<(Moment, usize, [u8; PACKET_BYTES])>,
}

impl Wire {
    pub fn new(left: Timers, right: Timers) -> Wire {
        Wire {
            sides: [session(1, left), session(2, right)],
            logs: [Log::default(), Log::default()],
            now: Moment::ZERO,
            delay: millis(1),
            loses: Box::new(|_| false),
            flying: Vec::new(),
        }
    }

    pub fn cut(&mut self) {
        self.loses = Box::new(|_| true);
        self.flying.clear();
    }

    pub fn mend(&mut self) {
        self.loses = Box::new(|_| false);
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.tick();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Moment> {
        let sides = self.sides.iter().filter_map(Session::timeout);
        sides.chain(self.flying.iter().map(|(at, ..)| *at)).min()
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, flying) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.flying = flying;
        let due: Vec<(Moment, usize, [u8; PACKET_BYTES])> = due;
        for (_, to, packet) in due {
            // Who is switched off says so to each packet.
            if let Ok(Some(event)) = self.sides[to].receive(&packet, TTL, now) {
                self.logs[to].events.push((now, event));
            }
        }
    }

    fn tick(&mut self) {
        for side in 0..2 {
            let mut packets = Vec::new();
            let event = self.sides[side].tick(self.now, &mut packets);
            self.logs[side]
                .events
                .extend(event.map(|event| (self.now, event)));
            for packet in packets {
                let said = Packet::decode(&packet).unwrap();
                self.logs[side].sent.push((self.now, said));
                if !(self.loses)(side) {
                    self.flying.push((self.now + self.delay, 1 - side, packet));
                }
            }
        }
    }

    pub fn forget(&mut self) {
        self.logs = [Log::default(), Log::default()];
    }
}

//! A control packet and its 24 bytes (RFC 5880 §4.1).
//!
//! ```text
//!  0               1               2               3
//! |Vers |  Diag   |Sta|P|F|C|A|D|M| Detect Mult   |    Length     |
//! |                       My Discriminator                        |
//! |                      Your Discriminator                       |
//! |                 Desired Min TX Interval (µs)                  |
//! |                 Required Min RX Interval (µs)                 |
//! |              Required Min Echo RX Interval (µs)               |
//! ```
//!
//! Only what can be judged from the packet alone is judged here; the rest needs the session.

use std::time::Duration;

use crate::discard::Discard;

/// Length of a packet without authentication, which is all that is sent.
pub const PACKET_BYTES: usize = 24;
const VERSION: u8 = 1;
/// A packet that has authentication has at least the type and length of it as well.
const AUTHENTICATED_BYTES: u8 = 26;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of one side of a session (RFC 5880 §6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// Switched off by its administrator; says nothing about the way.
    AdminDown,
    /// Hears nothing, or did not until now.
    #[default]
    Down,
    /// Hears the other side, and does not know yet whether it is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }

    fn bits(self) -> u8 {
        match self {
            State::AdminDown => 0,
            State::Down => 1,
            State::Init => 2,
            State::Up => 3,
        }
    }
}

/// Why a side last left the state Up (RFC 5880 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// Nothing has gone wrong yet.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// No packet came for the detection time.
    pub const EXPIRED: Diagnostic = Diagnostic(1);
    /// The other side says that its session is down.
    pub const NEIGHBOUR_DOWN: Diagnostic = Diagnostic(3);
    /// Switched off.
    pub const SWITCHED_OFF: Diagnostic = Diagnostic(7);
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            0 => "nothing went wrong",
            1 => "no packet came for the detection time",
            2 => "echoed packets were lost",
            3 => "the neighbour says that its session is down",
            4 => "the forwarding plane was reset",
            5 => "the path is down",
            6 => "a concatenated path is down",
            7 => "switched off by its administrator",
            8 => "the reverse of a concatenated path is down",
            _ => "a reason that this version does not know",
        })
    }
}

/// A control packet without authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender last left Up.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender wants an answer with the next bit set.
    pub poll: bool,
    /// An answer to a poll.
    pub is_final: bool,
    /// The sender's forwarding outlives its control plane.
    pub control_plane_independent: bool,
    /// The sender wants no periodic packets while both are up.
    pub demand: bool,
    /// After how many missed packets the sender is to be given up.
    pub multiplier: u8,
    /// The sender's name of the session; never 0.
    pub my_discriminator: u32,
    /// The receiver's name of the session; 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// How often the sender would like to send.
    pub desired_min_tx: Duration,
    /// How often the sender can bear packets; zero: never, but in answers.
    pub required_min_rx: Duration,
    /// How often the sender can bear echoed packets; zero: it echoes none.
    pub required_min_echo_rx: Duration,
}

impl Packet {
    /// Takes a packet apart.
    ///
    /// # Errors
    /// The reasons of RFC 5880 §6.8.6 that need no session, in its order.
    pub fn decode(bytes: &[u8]) -> Result<Packet, Discard> {
        let Some(head) = bytes.first_chunk::<PACKET_BYTES>() else {
            return Err(Discard::Short {
                bytes: bytes.len(),
                needed: PACKET_BYTES,
            });
        };
        let (flags, multiplier, length) = (head[1], head[2], head[3]);
        if head[0] >> 5 != VERSION {
            return Err(Discard::Version(head[0] >> 5));
        }
        let authenticated = flags & AUTHENTICATED != 0;
        let shortest = if authenticated {
            AUTHENTICATED_BYTES
        } else {
            PACKET_BYTES as u8
        };
        if length < shortest {
            return Err(Discard::Length(length));
        }
        if usize::from(length) > bytes.len() {
            return Err(Discard::Short {
                bytes: bytes.len(),
                needed: usize::from(length),
            });
        }
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let time = |at| Duration::from_micros(u64::from(word(at)));
        let packet = Packet {
            diagnostic: Diagnostic(head[0] & 0x1f),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator: word(4),
            your_discriminator: word(8),
            desired_min_tx: time(12),
            required_min_rx: time(16),
            required_min_echo_rx: time(20),
        };
        packet.sense(flags)?;
        Ok(packet)
    }

    fn sense(&self, flags: u8) -> Result<(), Discard> {
        if self.multiplier == 0 {
            return Err(Discard::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        if self.my_discriminator == 0 {
            return Err(Discard::MyDiscriminator);
        }
        let unheard = matches!(self.state, State::AdminDown | State::Down);
        if self.your_discriminator == 0 && !unheard {
            return Err(Discard::YourDiscriminator(self.state));
        }
        if flags & AUTHENTICATED != 0 {
            return Err(Discard::Authenticated);
        }
        Ok(())
    }

    /// Its bytes. Times above 2³² − 1 µs are sent as that, about 72 minutes.
    #[must_use]
    pub fn encode(&self) -> [u8; PACKET_BYTES] {
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        let mut bytes = [0; PACKET_BYTES];
        let head = [
            VERSION << 5 | (self.diagnostic.0 & 0x1f),
            flags,
            self.multiplier,
            PACKET_BYTES as u8,
        ];
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let words = [
            u32::from_be_bytes(head),
            self.my_discriminator,
            self.your_discriminator,
            micros(self.desired_min_tx),
            micros(self.required_min_rx),
            micros(self.required_min_echo_rx),
        ];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

//! Messages (RFC 4271 section 4), as values and as bytes.
//!
//! [`frame`] finds where the first message in a buffer ends, [`decode`] reads it and [`encode`] writes one.
//! What the bytes of an UPDATE mean depends on what was agreed on in the OPENs: [`Negotiated`].
//!
//! Nothing that comes in makes this panic. What is malformed is borne where it can be (RFC 7606) and told
//! of in [`Update::faults`]; else it is a [`Fault`], which ends the session.

mod bytes;
mod capability;
mod fault;
mod frame;
mod notification;
mod open;
mod refresh;
mod update;

use std::net::IpAddr;

pub use fault::Fault;
pub use frame::{decode, encode, frame};
pub use update::{TooLong, encode_announced, encode_end_of_rib, encode_withdrawn};

use crate::attributes::Attributes;
use crate::types::{Asn, Families, Family, Nlri, RouterId};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Who we are and what we can.
    Open(Open),
    /// Routes.
    Update(Update),
    /// Why the connection is closed.
    Notification(Notification),
    /// We are still there.
    Keepalive,
    /// Say it again.
    Refresh(Refresh),
    /// Nothing that means anything here, and what it was, in words.
    Ignored(String),
}

/// Who we are and what we can (RFC 4271 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The system; of the capability where there is one (RFC 6793).
    pub asn: Asn,
    /// The hold time, in seconds: 0 or at least 3.
    pub hold_time: u16,
    /// The identifier.
    pub router_id: RouterId,
    /// The capabilities (RFC 5492), in the order in which they came.
    pub capabilities: Vec<Capability>,
}

/// Something that a speaker can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// Speaks of a family (RFC 4760).
    Multiprotocol(Family),
    /// Says everything again when asked (RFC 2918).
    RouteRefresh,
    /// Says where that begins and ends (RFC 7313).
    EnhancedRefresh,
    /// Numbers of systems in four octets (RFC 6793).
    FourOctetAs(Asn),
    /// Routes of one family with next hops of another (RFC 8950): of the routes, of the next hops.
    ExtendedNextHop(Vec<(Family, Family)>),
    /// Survives a restart (RFC 4724).
    GracefulRestart(GracefulRestart),
    /// Keeps stale routes for long (RFC 9494): family, whether forwarding went on, seconds.
    LongLived(Vec<(Family, bool, u32)>),
    /// Several paths to a prefix (RFC 7911): family, whether it sends them, whether it takes them.
    AddPath(Vec<(Family, bool, bool)>),
    /// One that is not known here.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Vec<u8>,
    },
}

/// How a speaker survives a restart (RFC 4724 section 3, RFC 8538).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// It has just restarted.
    pub restarting: bool,
    /// Routes are kept also after a NOTIFICATION (RFC 8538).
    pub notification: bool,
    /// How long to wait for its return, in seconds: at most 4095.
    pub time: u16,
    /// The families, with whether forwarding went on meanwhile.
    pub families: Vec<(Family, bool)>,
}

/// Routes that are withdrawn and announced.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// Those that are withdrawn, in whichever field, and those that count as withdrawn because what was
    /// told of them is malformed (RFC 7606).
    pub withdrawn: Vec<Nlri>,
    /// Those that are announced: one entry for each of the fields that may hold them.
    pub announced: Vec<(Attributes, Vec<Nlri>)>,
    /// Everything of a family has been said (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// What was malformed and borne (RFC 7606), in words.
    pub faults: Vec<String>,
}

/// Say it again (RFC 2918), or where that begins and ends (RFC 7313).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// Of which family.
    pub family: Family,
    /// What it means.
    pub kind: RefreshKind,
}

/// What a ROUTE-REFRESH means (RFC 7313 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshKind {
    /// Say it again.
    Request,
    /// It begins (BoRR).
    Begin,
    /// That was it (EoRR).
    End,
}

/// Why a connection is closed (RFC 4271 section 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The error code.
    pub code: u8,
    /// The subcode.
    pub subcode: u8,
    /// What belongs to it.
    pub data: Vec<u8>,
}

/// Why a session is ended though nothing is wrong (RFC 4486).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cease {
    /// The peer told more prefixes than we take.
    MaximumPrefixes = 1,
    /// The administrator stops the session.
    Shutdown = 2,
    /// The peer is one no more.
    Deconfigured = 3,
    /// The administrator begins the session anew.
    Reset = 4,
    /// The peer may not connect now.
    Rejected = 5,
    /// The session's configuration has changed.
    Reconfigured = 6,
    /// There are two connections, and this one goes (RFC 4271 section 6.8).
    Collision = 7,
    /// There is no memory, or the like.
    OutOfResources = 8,
    /// Routes are not to be kept (RFC 8538).
    HardReset = 9,
    /// BFD says that the peer is gone (RFC 9384).
    BfdDown = 10,
}

/// What two speakers have agreed on: what a message's bytes mean depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's system.
    pub peer_asn: Asn,
    /// The peer's identifier.
    pub peer_id: RouterId,
    /// Our end of the session.
    pub local_address: IpAddr,
    /// The peer's end.
    pub peer_address: IpAddr,
    /// Both are of the same system.
    pub internal: bool,
    /// The families that both speak.
    pub families: Families,
    /// Numbers of systems have four octets.
    pub four_octet: bool,
    /// IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// We send several paths to a prefix.
    pub add_path_send: Families,
    /// The peer sends several paths to a prefix.
    pub add_path_receive: Families,
    /// The peer says everything again when asked.
    pub refresh: bool,
    /// Both say where that begins and ends.
    pub enhanced_refresh: bool,
    /// The hold time in seconds; 0 for none.
    pub hold_time: u16,
    /// How the peer survives a restart, where it and we do.
    pub graceful: Option<GracefulRestart>,
    /// How long the peer's stale routes are kept: family, whether forwarding went on, seconds.
    pub long_lived: Vec<(Family, bool, u32)>,
}

//! Which attributes are known, and what is done where one is malformed (RFC 7606 sections 3 and 7).

use super::super::Fault;

/// The bits of an attribute's flags (RFC 4271 section 4.3).
pub(super) mod flag {
    pub const OPTIONAL: u8 = 0x80;
    pub const TRANSITIVE: u8 = 0x40;
    pub const PARTIAL: u8 = 0x20;
    pub const EXTENDED_LENGTH: u8 = 0x10;
}

/// IANA's "BGP Path Attributes".
pub(super) mod code {
    pub const ORIGIN: u8 = 1;
    pub const AS_PATH: u8 = 2;
    pub const NEXT_HOP: u8 = 3;
    pub const MED: u8 = 4;
    pub const LOCAL_PREF: u8 = 5;
    pub const ATOMIC_AGGREGATE: u8 = 6;
    pub const AGGREGATOR: u8 = 7;
    pub const COMMUNITIES: u8 = 8;
    pub const ORIGINATOR_ID: u8 = 9;
    pub const CLUSTER_LIST: u8 = 10;
    pub const MP_REACH: u8 = 14;
    pub const MP_UNREACH: u8 = 15;
    pub const EXTENDED_COMMUNITIES: u8 = 16;
    pub const AS4_PATH: u8 = 17;
    pub const AS4_AGGREGATOR: u8 = 18;
    pub const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    pub const LARGE_COMMUNITIES: u8 = 32;
}

/// What is done where the value of an attribute is malformed, the mildest first. Flags that are not the
/// attribute's are never milder than to withdraw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It counts as not told.
    Discard,
    /// What the message announces counts as withdrawn.
    Withdraw,
    /// The session ends.
    Reset,
}

/// An attribute that is known.
#[derive(Debug)]
pub(super) struct Kind {
    pub code: u8,
    pub name: &'static str,
    /// Whether it is optional and whether it is transitive.
    pub flags: u8,
    pub class: Class,
}

const WELL_KNOWN: u8 = flag::TRANSITIVE;
const LOCAL: u8 = flag::OPTIONAL;
const PASSED_ON: u8 = flag::OPTIONAL | flag::TRANSITIVE;

const KINDS: &[Kind] = &[
    kind(code::ORIGIN, "ORIGIN", WELL_KNOWN, Class::Withdraw),
    kind(code::AS_PATH, "AS_PATH", WELL_KNOWN, Class::Withdraw),
    kind(code::NEXT_HOP, "NEXT_HOP", WELL_KNOWN, Class::Withdraw),
    kind(code::MED, "MULTI_EXIT_DISC", LOCAL, Class::Withdraw),
    kind(code::LOCAL_PREF, "LOCAL_PREF", WELL_KNOWN, Class::Withdraw),
    kind(
        code::ATOMIC_AGGREGATE,
        "ATOMIC_AGGREGATE",
        WELL_KNOWN,
        Class::Discard,
    ),
    kind(code::AGGREGATOR, "AGGREGATOR", PASSED_ON, Class::Discard),
    kind(code::COMMUNITIES, "COMMUNITIES", PASSED_ON, Class::Withdraw),
    kind(code::ORIGINATOR_ID, "ORIGINATOR_ID", LOCAL, Class::Withdraw),
    kind(code::CLUSTER_LIST, "CLUSTER_LIST", LOCAL, Class::Withdraw),
    kind(code::MP_REACH, "MP_REACH_NLRI", LOCAL, Class::Reset),
    kind(code::MP_UNREACH, "MP_UNREACH_NLRI", LOCAL, Class::Reset),
    kind(
        code::EXTENDED_COMMUNITIES,
        "EXTENDED COMMUNITIES",
        PASSED_ON,
        Class::Withdraw,
    ),
    kind(code::AS4_PATH, "AS4_PATH", PASSED_ON, Class::Discard),
    kind(
        code::AS4_AGGREGATOR,
        "AS4_AGGREGATOR",
        PASSED_ON,
        Class::Discard,
    ),
    kind(
        code::IPV6_EXTENDED_COMMUNITIES,
        "IPv6 EXTENDED COMMUNITIES",
        PASSED_ON,
        Class::Withdraw,
    ),
    kind(
        code::LARGE_COMMUNITIES,
        "LARGE COMMUNITIES",
        PASSED_ON,
        Class::Withdraw,
    ),
];

const fn kind(code: u8, name: &'static str, flags: u8, class: Class) -> Kind {
    Kind {
        code,
        name,
        flags,
        class,
    }
}

impl Kind {
    /// The attribute of a code, if it is known.
    pub fn of(code: u8) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.code == code)
    }
}

/// What is wrong with an attribute's value: the subcode of a NOTIFICATION, and words that follow its name.
pub(super) struct Wrong {
    pub subcode: u8,
    pub what: String,
}

impl Wrong {
    pub fn new(subcode: u8, what: impl Into<String>) -> Wrong {
        Wrong {
            subcode,
            what: what.into(),
        }
    }

    /// It has a length that it cannot have.
    pub fn length(value: &[u8]) -> Wrong {
        Wrong::new(5, format!("with {} bytes", value.len()))
    }

    /// As the end of a session; `whole` is the attribute as it came.
    pub fn fault(self, name: &str, whole: &[u8]) -> Fault {
        Fault::update(self.subcode, whole, format!("{name} {}", self.what))
    }
}

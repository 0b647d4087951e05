//! Which parts of a host are read anew, and which are taken as they were last seen.
//!
//! Reading all of a host with thousands of routes and hundreds of sandboxes takes a while. An event
//! says in which namespace something changed, so only that one needs to be looked at; after a
//! change of the plan nothing does.

use std::collections::BTreeSet;

/// Which parts of a host are read anew. What was never read is read in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub(crate) everything: bool,
    pub(crate) host: bool,
    pub(crate) settings: bool,
    /// Sandboxes, by the number that the host's namespace knows them under.
    pub(crate) namespaces: BTreeSet<i32>,
}

impl Look {
    /// Only what was never read.
    #[must_use]
    pub fn nowhere() -> Look {
        Look::default()
    }

    /// The host and every sandbox.
    #[must_use]
    pub fn everywhere() -> Look {
        Look {
            everything: true,
            ..Look::default()
        }
    }

    /// All of the host's own namespace.
    #[must_use]
    pub fn host() -> Look {
        Look {
            host: true,
            ..Look::default()
        }
    }

    /// The host's settings: most of them are changed without an event.
    #[must_use]
    pub fn settings() -> Look {
        Look {
            settings: true,
            ..Look::default()
        }
    }

    /// One other namespace, by its number (`NETNSA_NSID`).
    #[must_use]
    pub fn namespace(id: i32) -> Look {
        Look {
            namespaces: BTreeSet::from([id]),
            ..Look::default()
        }
    }

    /// Looks there too.
    pub fn add(&mut self, other: Look) {
        self.everything |= other.everything;
        self.host |= other.host;
        self.settings |= other.settings;
        self.namespaces.extend(other.namespaces);
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.everything
    }

    pub(crate) fn at_host(&self) -> bool {
        self.everything || self.host
    }
}

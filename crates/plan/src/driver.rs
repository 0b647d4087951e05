//! Drivers: which attachment, and whether there is a transport between nodes.
//!
//! A driver is a row of the table below. Adding one that combines what is there is adding a row.

use tombolo_model::Name;

use crate::attachment::{self, Attachment};

/// How a network works.
pub struct Driver {
    /// Its name in `spec.driver`.
    pub name: &'static str,
    /// How an endpoint is plugged into its host.
    pub attachment: &'static dyn Attachment,
    /// How its endpoints reach those of other nodes.
    pub reach: Reach,
    /// Whether its endpoints have addresses from pools.
    pub has_addresses: bool,
}

/// How endpoints of a network reach those of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not at all: the network stays on its host.
    Host,
    /// By routes to their addresses, over a transport.
    Routes,
    /// As on one segment, whose frames a transport carries.
    Segment,
}

impl Driver {
    /// Whether its endpoints reach those of other nodes, by a transport.
    #[must_use]
    pub fn spans_nodes(&self) -> bool {
        self.reach != Reach::Host
    }
}

/// Every driver.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "none",
        attachment: &attachment::None,
        reach: Reach::Host,
        has_addresses: false,
    },
    Driver {
        name: "host",
        attachment: &attachment::Shared,
        reach: Reach::Host,
        has_addresses: false,
    },
    Driver {
        name: "container",
        attachment: &attachment::Shared,
        reach: Reach::Host,
        has_addresses: false,
    },
    Driver {
        name: "ptp",
        attachment: &attachment::Routed,
        reach: Reach::Host,
        has_addresses: true,
    },
    Driver {
        name: "bridge",
        attachment: &attachment::Bridge,
        reach: Reach::Host,
        has_addresses: true,
    },
    Driver {
        name: "routed",
        attachment: &attachment::Routed,
        reach: Reach::Routes,
        has_addresses: true,
    },
    Driver {
        name: "overlay",
        attachment: &attachment::Overlay,
        reach: Reach::Segment,
        has_addresses: true,
    },
    Driver {
        name: "macvlan",
        attachment: &attachment::Physical,
        reach: Reach::Host,
        has_addresses: true,
    },
    Driver {
        name: "ipvlan",
        attachment: &attachment::Physical,
        reach: Reach::Host,
        has_addresses: true,
    },
    Driver {
        name: "vlan",
        attachment: &attachment::Physical,
        reach: Reach::Host,
        has_addresses: true,
    },
    Driver {
        name: "fan",
        attachment: &attachment::Bridge,
        reach: Reach::Routes,
        has_addresses: true,
    },
];

impl Driver {
    /// Whether the host meets its containers' packets on a bridge of its own.
    #[must_use]
    pub fn has_bridge(&self) -> bool {
        matches!(self.name, "bridge" | "fan")
    }

    /// Whether the host forwards packets of its containers.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.has_addresses && self.attachment.passes_host()
    }
}

/// The driver of a name.
#[must_use]
pub fn find(name: &Name) -> Option<&'static Driver> {
    DRIVERS.iter().find(|driver| driver.name == name.as_str())
}

/// Every name, for errors and help.
#[must_use]
pub fn names() -> String {
    DRIVERS
        .iter()
        .map(|driver| driver.name)
        .collect::<Vec<_>>()
        .join(", ")
}

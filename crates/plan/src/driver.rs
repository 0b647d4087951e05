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
    /// Whether its endpoints reach those of other nodes, by a transport.
    pub spans_nodes: bool,
    /// Whether its endpoints have addresses from pools.
    pub has_addresses: bool,
}

/// Every driver.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "none",
        attachment: &attachment::None,
        spans_nodes: false,
        has_addresses: false,
    },
    Driver {
        name: "host",
        attachment: &attachment::Shared,
        spans_nodes: false,
        has_addresses: false,
    },
    Driver {
        name: "container",
        attachment: &attachment::Shared,
        spans_nodes: false,
        has_addresses: false,
    },
    Driver {
        name: "ptp",
        attachment: &attachment::Routed,
        spans_nodes: false,
        has_addresses: true,
    },
    Driver {
        name: "bridge",
        attachment: &attachment::Bridge,
        spans_nodes: false,
        has_addresses: true,
    },
    Driver {
        name: "routed",
        attachment: &attachment::Routed,
        spans_nodes: true,
        has_addresses: true,
    },
    Driver {
        name: "macvlan",
        attachment: &attachment::Macvlan,
        spans_nodes: false,
        has_addresses: true,
    },
];

impl Driver {
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

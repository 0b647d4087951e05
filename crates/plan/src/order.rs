//! Which kind of kernel object comes before which, written once.
//!
//! Objects are made in this order and removed in the opposite one. Everything is made before
//! anything is removed, so that a way is open before the one it replaces is closed.

use crate::objects::Key;

/// One row for each kind of key: its rank and why it stands there.
const ORDER: &[(&str, &str)] = &[
    ("namespace", "everything else is in one"),
    (
        "nft set",
        "rules refer to sets, and a rule that refers to a missing set is refused",
    ),
    (
        "nft element",
        "the first packet that meets a rule must already find its set filled",
    ),
    ("nft members", "as the element: all of a set's at once"),
    (
        "nft chain",
        "translation is in place before a link brings the first packet",
    ),
    (
        "link",
        "addresses, settings, neighbours and routes are on a link",
    ),
    (
        "sysctl",
        "a link's settings exist only while the link does, and come before its addresses",
    ),
    (
        "address",
        "a route may name it as its source, or need its subnet for a gateway",
    ),
    (
        "neighbour",
        "a route's gateway is resolved before the route sends packets to it",
    ),
    (
        "fdb",
        "as the neighbour: where a link-layer address is, before packets are sent to it",
    ),
    (
        "station",
        "as the forwarding entry: where a link-layer address is, on a bridge",
    ),
    (
        "route",
        "the way is opened last, when everything on it is there",
    ),
    ("rule", "it names a table, which is filled by then"),
];

/// The name of the key's kind, as used in the table above and in metrics.
#[must_use]
pub fn kind(key: &Key) -> &'static str {
    match key {
        Key::NftSet(_) => "nft set",
        Key::NftElement { .. } => "nft element",
        Key::NftMembers(_) => "nft members",
        Key::NftChain(_) => "nft chain",
        Key::Namespace(_) => "namespace",
        Key::Link(_) => "link",
        Key::Sysctl(_) => "sysctl",
        Key::Address { .. } => "address",
        Key::Neighbour { .. } => "neighbour",
        Key::Fdb { .. } => "fdb",
        Key::Station { .. } => "station",
        Key::Route { .. } => "route",
        Key::RoutingRule { .. } => "rule",
    }
}

/// Every kind, in the order of making.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    ORDER.iter().map(|(kind, _)| *kind)
}

/// The place of a key's kind in the order of making.
#[must_use]
pub fn rank(key: &Key) -> usize {
    let kind = kind(key);
    ORDER
        .iter()
        .position(|(name, _)| *name == kind)
        .unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::NftName;
    use std::net::Ipv4Addr;
    use tombolo_model::{Family, IfName, MacAddr, Name};

    #[test]
    fn every_kind_has_its_row() {
        let link = IfName::new("tb0").unwrap();
        let net = Family::V4.default_net();
        let keys = [
            Key::Link(link.clone()),
            Key::Sysctl(String::new()),
            Key::Address {
                link: link.clone(),
                net,
            },
            Key::Neighbour {
                link: link.clone(),
                address: Ipv4Addr::LOCALHOST.into(),
            },
            Key::Namespace(Name::new("n").unwrap()),
            Key::Station {
                bridge: link.clone(),
                mac: MacAddr([0; 6]),
            },
            Key::Fdb {
                link,
                mac: MacAddr([0; 6]),
                remote: None,
            },
            Key::Route {
                table: 254,
                dst: net,
                metric: 0,
            },
            Key::RoutingRule {
                family: Family::V4,
                priority: 0,
            },
            Key::NftSet(NftName::inet("s")),
            Key::NftChain(NftName::inet("c")),
            Key::NftMembers(NftName::inet("s")),
            Key::NftElement {
                set: NftName::inet("s"),
                key: Vec::new(),
            },
        ];
        let mut ranks: Vec<usize> = keys.iter().map(rank).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..ORDER.len()).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_needed_comes_first() {
        let position = |kind: &str| ORDER.iter().position(|(name, _)| *name == kind);
        for (needed, by) in [
            ("namespace", "nft set"),
            ("nft set", "nft element"),
            ("nft set", "nft members"),
            ("nft members", "nft chain"),
            ("nft set", "nft chain"),
            ("nft element", "nft chain"),
            ("namespace", "link"),
            ("link", "sysctl"),
            ("link", "station"),
            ("link", "address"),
            ("link", "neighbour"),
            ("link", "fdb"),
            ("link", "route"),
            ("address", "route"),
            ("neighbour", "route"),
            ("fdb", "route"),
            ("route", "rule"),
        ] {
            assert!(position(needed) < position(by), "{needed} before {by}");
        }
    }
}

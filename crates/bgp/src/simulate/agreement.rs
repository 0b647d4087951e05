//! What two speakers agree on, for who needs it without a session: tests, benchmarks.

use std::net::{IpAddr, Ipv4Addr};

use crate::message::Negotiated;
use crate::types::{Asn, Families, RouterId};

/// An external session of both families and of what most speakers can; not of several paths, nor of
/// restarts. Our end is `192.0.2.1`, the peer's address is its identifier.
#[must_use]
pub fn agreement(peer_asn: Asn, peer_id: RouterId) -> Negotiated {
    Negotiated {
        peer_asn,
        peer_id,
        local_address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        peer_address: IpAddr::V4(peer_id.0),
        internal: false,
        families: Families::ALL,
        four_octet: true,
        extended_next_hop: false,
        add_path_send: Families::default(),
        add_path_receive: Families::default(),
        refresh: true,
        enhanced_refresh: true,
        hold_time: 90,
        graceful: None,
        long_lived: Vec::new(),
    }
}

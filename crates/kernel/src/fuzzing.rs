//! Doors for the fuzz targets: what the kernel answers, taken apart without a kernel.
//!
//! They decide nothing, and nobody else calls them. They are always compiled, so that they do not
//! rot.

use crate::netlink::{error_of, replies};
use crate::{address, link, neighbour, route, rule};

/// The messages of a datagram, each by every reader of rtnetlink.
pub fn rtnetlink(datagram: &[u8]) {
    for reply in replies(datagram) {
        // Whatever it says to be, a reader may be given it.
        let _ = error_of(&reply);
        let _ = link::decode(reply.body);
        let _ = address::decode(reply.body);
        let _ = route::decode(reply.body);
        let _ = neighbour::decode(reply.body);
        let _ = rule::decode(reply.body);
    }
}

/// The messages of a datagram, each by every reader of nftables.
pub fn nftables(datagram: &[u8]) {
    for reply in replies(datagram) {
        crate::nft::decode_any(reply.body);
    }
}

/// The tables of iptables-legacy.
pub fn legacy_tables(bytes: &[u8]) {
    crate::nft::legacy::decode_any(bytes);
}

/// The messages of a datagram, each as a connection.
pub fn connections(datagram: &[u8]) {
    for reply in replies(datagram) {
        crate::conntrack::decode_any(reply.body);
    }
}

/// The messages of a datagram, each as a packet that a rule told of; and the datagram as a packet.
pub fn logged(datagram: &[u8]) {
    for reply in replies(datagram) {
        crate::nflog::decode_any(reply.body);
    }
    crate::nflog::decode_any(datagram);
}

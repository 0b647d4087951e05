//! Names and link-layer addresses of what Tombolo makes in a kernel.
//!
//! Every name begins with `tb`, which is how Tombolo knows its own links. Names and addresses are
//! functions of the resources alone, so that each node knows those of its peers without being
//! told, and a restart finds what it made before.

use sha2::{Digest, Sha256};
use tombolo_model::{Family, IfName, MacAddr, Name, Node, Resource, Vni};

use crate::objects::Tunnel;

/// What the name of every link of ours begins with.
pub const LINK_PREFIX: &str = "tb";

/// The host's end of every pair has this address: the sandbox knows its gateway's address from the
/// start and never asks for it.
pub const GATEWAY_MAC: MacAddr = MacAddr([0xee; 6]);

/// The host's end of an endpoint's pair: `tbv` and eleven hexadecimal digits.
#[must_use]
pub fn host_end(namespace: &Name, endpoint: &Name) -> IfName {
    hashed("tbv", 11, &[namespace.as_str(), endpoint.as_str()])
}

/// The container's end of an endpoint's pair while it is on the host, for a runtime that takes it
/// from there: `tbc` and eleven hexadecimal digits.
#[must_use]
pub fn handed_end(namespace: &Name, endpoint: &Name) -> IfName {
    hashed("tbc", 11, &[namespace.as_str(), endpoint.as_str()])
}

/// The bridge of a network: `tbb` and eight hexadecimal digits.
#[must_use]
pub fn bridge(network: &Name) -> IfName {
    hashed("tbb", 8, &[network.as_str()])
}

/// A network's interface of the host's own on a physical segment: `tbm` and eight hexadecimal digits.
#[must_use]
pub fn shim(network: &Name) -> IfName {
    hashed("tbm", 8, &[network.as_str()])
}

/// The link-layer address of a host's own interface on a physical segment. Other machines there
/// remember it, so it stays the same when the interface is made anew.
#[must_use]
pub fn shim_mac(node: &Name, network: &Name) -> MacAddr {
    let digest = digest(&["shim", node.as_str(), network.as_str()]);
    MacAddr::local([digest[0], digest[1], digest[2], digest[3], digest[4]])
}

/// A VLAN of an interface: `tbl` and eight hexadecimal digits.
#[must_use]
pub fn vlan(parent: &IfName, id: u16) -> IfName {
    hashed("tbl", 8, &[parent.as_str(), &id.to_string()])
}

/// What the name of every network namespace of ours begins with.
pub const SEGMENT_PREFIX: &str = "tbn";

/// What the names of a node's network namespaces begin with: several nodes may share one folder of
/// them.
#[must_use]
pub fn segment_prefix(node: &Name) -> String {
    let text = hex::encode(digest(&["segments", node.as_str()]));
    format!("{SEGMENT_PREFIX}{}", &text[..6])
}

/// The network namespace that holds a network's segment on a node.
#[must_use]
pub fn segment(node: &Name, network: &Name) -> Name {
    let text = hex::encode(digest(&["segment", network.as_str()]));
    Name::new(format!("{}{}", segment_prefix(node), &text[..8])).expect("letters and digits")
}

/// What the names of the gateways of segments begin with.
pub const GATEWAY_PREFIX: &str = "tbg";

/// The host's end of the pair that joins it to a network's segment.
#[must_use]
pub fn gateway(network: &Name) -> IfName {
    hashed(GATEWAY_PREFIX, 8, &[network.as_str()])
}

/// The other end of that pair.
#[must_use]
pub fn gateway_port(network: &Name) -> IfName {
    hashed("tbp", 8, &[network.as_str()])
}

/// The link-layer address of a segment's gateway: the same on every host, so that a container that
/// asked on one host need not ask again on another.
#[must_use]
pub fn gateway_mac(network: &Name) -> MacAddr {
    let digest = digest(&["gateway", network.as_str()]);
    MacAddr::local([digest[0], digest[1], digest[2], digest[3], digest[4]])
}

/// The lowest VNI that a segment is given where none is said: behind those that people choose.
pub const FIRST_SEGMENT_VNI: u32 = 1 << 16;

/// The VNI that a segment would have if it were free.
#[must_use]
pub fn preferred_vni(network: &Name) -> u32 {
    let digest = digest(&["vni", network.as_str()]);
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    FIRST_SEGMENT_VNI + number % ((1 << 24) - FIRST_SEGMENT_VNI)
}

/// The number of a BGP speaker that has no IPv4 address: not zero.
#[must_use]
pub(crate) fn router_number(node: &Name) -> u32 {
    let digest = digest(&["router", node.as_str()]);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1)
}

/// A short name for something that is told by many words: twelve hexadecimal digits.
#[must_use]
pub(crate) fn short(words: &[&str]) -> String {
    hex::encode(&digest(words)[..6])
}

/// The TUN device of a network whose packets travel through user space: `tbu` and eight hexadecimal
/// digits.
#[must_use]
pub fn tun(network: &Name) -> IfName {
    hashed("tbu", 8, &[network.as_str()])
}

/// The number that tells a network's packets in a tunnel through user space.
#[must_use]
pub fn tun_number(network: &Name) -> u32 {
    let digest = digest(&["tun", network.as_str()]);
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The VXLAN device of an identifier over one family of the underlay: `tbx4096`, `tbx4096-6`.
#[must_use]
pub fn vxlan(vni: Vni, underlay: Family) -> IfName {
    let suffix = match underlay {
        Family::V4 => "",
        Family::V6 => "-6",
    };
    IfName::new(format!("tbx{vni}{suffix}")).expect("at most 13 characters")
}

/// The device of a tunnel that is shared by all networks: `tbi4`, `tbi4-6`, `tbi6`, `tbr4`, `tbr6`.
#[must_use]
pub fn tunnel(tunnel: &Tunnel) -> IfName {
    let name = match tunnel {
        Tunnel::Ipip => "tbi4",
        Tunnel::Sit(_) => "tbi4-6",
        Tunnel::Ip6tnl => "tbi6",
        Tunnel::Gre => "tbr4",
        Tunnel::Ip6gre => "tbr6",
    };
    IfName::new(name).expect("at most six characters")
}

/// The link-layer address of a node's end of a tunnel. It stays as long as the node does; a node
/// made anew under the same name has another UID and so another address, which keeps stale entries
/// at its peers from leading to it.
#[must_use]
pub fn tunnel_mac(node: &Resource<Node>, device: &IfName) -> MacAddr {
    let digest = digest(&[node.name().as_str(), &node.metadata.uid, device.as_str()]);
    MacAddr::local([digest[0], digest[1], digest[2], digest[3], digest[4]])
}

/// The link-layer address of a network's bridge on a node. Without one of its own a bridge takes
/// its lowest port's, which changes as containers come and go.
#[must_use]
pub fn bridge_mac(node: &Name, network: &Name) -> MacAddr {
    let digest = digest(&["bridge", node.as_str(), network.as_str()]);
    MacAddr::local([digest[0], digest[1], digest[2], digest[3], digest[4]])
}

/// The link-layer address of the host's end of a pair that is a port of a bridge. It is said, so
/// that a pair that was plugged in otherwise before does not keep [`GATEWAY_MAC`].
#[must_use]
pub fn port_mac(host_end: &IfName) -> MacAddr {
    let digest = digest(&["port", host_end.as_str()]);
    MacAddr::local([digest[0], digest[1], digest[2], digest[3], digest[4]])
}

fn hashed(prefix: &str, digits: usize, parts: &[&str]) -> IfName {
    let text = hex::encode(digest(parts));
    IfName::new(format!("{prefix}{}", &text[..digits])).expect("at most 15 characters")
}

/// SHA-256 of the parts, each ended by a zero byte so that no two lists look the same.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests;

//! Network interfaces: pairs, bridges, VXLAN devices, tunnels, what stands on another one (macvlan, ipvlan, VLAN), and
//! what is already there.
//!
//! Reading says how a link is in a plan's words; applying makes, changes and removes it. A link of
//! the host is ours by its name alone. What cannot be changed in place (a VXLAN device's number or
//! source) is for `plan::diff` to know: here it is removed and made again as two operations.

mod apply;
mod parent;
mod read;
mod removal;
mod sharing;
mod tun;
mod tunnel;

pub(crate) use apply::{change, create, finish, remove, remove_numbered, up};
pub(crate) use parent::{check, find_index};
pub(crate) use read::{LinkInfo, decode, is_marked, object, read_links, read_numbered};
pub(crate) use removal::remove_all;
pub(crate) use tun::create as create_tun;

/// `IFLA_*` of linux/if_link.h, as far as they are used here.
mod attribute {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const NET_NS_FD: u16 = 28;
    pub(super) const EXT_MASK: u16 = 29;
    pub(super) const LINK_NETNSID: u16 = 37;
    pub(super) const TARGET_NETNSID: u16 = 46;

    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_KIND: u16 = 4;
    pub(super) const INFO_SLAVE_DATA: u16 = 5;

    pub(super) const VETH_PEER: u16 = 1;

    pub(super) const VLAN_ID: u16 = 1;
    pub(super) const VLAN_PROTOCOL: u16 = 5;

    pub(super) const BRIDGE_FORWARD_DELAY: u16 = 1;
    pub(super) const BRIDGE_STP_STATE: u16 = 5;

    pub(super) const PORT_HAIRPIN: u16 = 4;
    pub(super) const PORT_LEARNING: u16 = 8;
    pub(super) const PORT_FLOOD: u16 = 9;
    pub(super) const PORT_SUPPRESS: u16 = 32;
    pub(super) const PORT_ISOLATED: u16 = 33;

    pub(super) const VXLAN_ID: u16 = 1;
    pub(super) const VXLAN_LINK: u16 = 3;
    pub(super) const VXLAN_LOCAL: u16 = 4;
    pub(super) const VXLAN_LEARNING: u16 = 7;
    pub(super) const VXLAN_PORT: u16 = 15;
    pub(super) const VXLAN_LOCAL6: u16 = 17;
    pub(super) const VXLAN_UDP_CSUM: u16 = 18;
    pub(super) const VXLAN_ZERO_CSUM6_TX: u16 = 19;
    pub(super) const VXLAN_ZERO_CSUM6_RX: u16 = 20;
}

/// `ETH_P_8021Q` (linux/if_ether.h).
const TAGGED: u16 = 0x8100;

/// `struct ifinfomsg` (linux/rtnetlink.h), with the flags to set.
fn header(index: u32, flags: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

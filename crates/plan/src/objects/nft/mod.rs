//! nftables: sets, maps, and chains with their rules, in the tables that are ours.
//!
//! There are two tables of one name: one of family `inet`, and one of family `bridge` for what goes
//! from port to port of a bridge. Rules are typed and few in kind; they print as `nft` would write
//! them, which is for reading only: the kernel is spoken to in its own encoding.

mod members;
mod name;
mod print;
mod rule;
mod set;

use serde::{Deserialize, Serialize};

pub use members::{Changes, Members};
pub use name::{NftName, Table};
pub(super) use print::join;
pub use rule::{
    Action, AddressMatch, Addresses, ConnState, InterfaceMatch, Match, PacketField, PortSet, Rule,
    Side,
};
pub use set::{Datum, Field, NftSet};

/// A chain with its rules, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// Where packets enter it; none for a chain that is only jumped to.
    pub hook: Option<Hook>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// `filter`, `nat` or `route`.
    pub chain_type: ChainType,
    /// The point in a packet's way.
    pub point: HookPoint,
    /// Lower comes first (linux/netfilter_ipv4.h has the named ones).
    pub priority: i32,
    /// What happens to packets that no rule decided.
    pub policy: Policy,
}

/// A chain's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChainType {
    /// Decides about packets.
    Filter,
    /// Translates addresses, asked once per connection.
    Nat,
    /// Re-routes packets whose mark or addresses it changes.
    Route,
}

/// A point in a packet's way (`NF_INET_*`, linux/netfilter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookPoint {
    /// As it comes in, before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host, before routing.
    Output,
    /// As it leaves, after routing.
    Postrouting,
}

/// What happens to packets that no rule of a base chain decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// They go on.
    Accept,
    /// They are dropped.
    Drop,
}

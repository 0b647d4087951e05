//! Why no address was given. Every error is the caller's or the operator's to mend; a conflict with
//! another writer is not an error of this crate, since only the commit can see it.

use std::net::IpAddr;

use ipnet::IpNet;
use tombolo_model::{Family, Name};

/// Why no address was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// The network is not there.
    #[error("network {network} does not exist; apply it first, or see `tombolo get networks`")]
    UnknownNetwork {
        /// As asked for.
        network: Name,
    },
    /// The network names no pools.
    #[error("network {network} has no pools, so it has no addresses to give; set spec.pools")]
    NoPools {
        /// The network.
        network: Name,
    },
    /// All pools of a family are ruled out for this node.
    #[error("no {family} pool of network {network} can be used on node {node}: {reasons}")]
    NoUsablePool {
        /// The network.
        network: Name,
        /// The family that is missing.
        family: Family,
        /// The node that asked.
        node: Name,
        /// Each pool with why it is ruled out.
        reasons: String,
    },
    /// Every address that this node may take is in use.
    #[error(
        "no {family} address is free for node {node} in network {network}: {pools}; add a pool to \
         the network, or give addresses back (see `tombolo ipam show` and `tombolo ipam check`)"
    )]
    Exhausted {
        /// The network.
        network: Name,
        /// The family that ran out.
        family: Family,
        /// The node that asked.
        node: Name,
        /// Each pool with its size and use.
        pools: String,
    },
    /// Free places are left only in blocks that other nodes keep to themselves until they are asked.
    #[error(
        "node {node} finds free addresses only in block {block} of node {owner}, which has not \
         opened it yet; its agent opens it when asked, so try again. If that node is gone for good, \
         delete it: tombolo delete node {owner}"
    )]
    NotLent {
        /// The node that asked.
        node: Name,
        /// The block's name.
        name: Name,
        /// The block.
        block: IpNet,
        /// The block's node.
        owner: Name,
    },
    /// The store is not reached, and without it no address is surely free.
    #[error(
        "the store is not reached, and node {node} has no {family} address in network {network} \
         that it can give without it; try again once the store answers"
    )]
    Unreached {
        /// The network.
        network: Name,
        /// The family.
        family: Family,
        /// The node that asked.
        node: Name,
    },
    /// A wanted address lies in none of the network's pools.
    #[error("{address} is in no pool of network {network}; its pools are {pools}")]
    OutsidePools {
        /// As asked for.
        address: IpAddr,
        /// The network.
        network: Name,
        /// Each pool with its range.
        pools: String,
    },
    /// A wanted address lies in a pool that cannot be used.
    #[error("{address} cannot be given on node {node}: {reason}")]
    PoolUnusable {
        /// As asked for.
        address: IpAddr,
        /// The node that asked.
        node: Name,
        /// The pool, and why not.
        reason: String,
    },
    /// A wanted address is in use.
    #[error("{address} is in use by {holder}; ask for another, or give it back there first")]
    Held {
        /// As asked for.
        address: IpAddr,
        /// Who holds it: identity, node, endpoint.
        holder: String,
    },
    /// Several addresses of one family are wanted.
    #[error("{first} and {second} are both {family}; an endpoint has at most one per family")]
    TwoOfOneFamily {
        /// The family.
        family: Family,
        /// The one asked for first.
        first: IpAddr,
        /// The one asked for next.
        second: IpAddr,
    },
    /// A wanted address is kept for the network itself.
    #[error(
        "{address} is kept for network {network} itself: the first {head} and the last {tail} \
         addresses of {block} are not given to endpoints; ask for another"
    )]
    KeptPlace {
        /// As asked for.
        address: IpAddr,
        /// The network.
        network: Name,
        /// The block it lies in.
        block: IpNet,
        /// Places kept at the start.
        head: u32,
        /// Places kept at the end.
        tail: u32,
    },
    /// A wanted address is the network's own, as its gateway's.
    #[error(
        "{address} is the network {network}'s own: its gateway, or its first or last; ask for another"
    )]
    Own {
        /// As asked for.
        address: IpAddr,
        /// The network.
        network: Name,
    },
    /// A wanted address lies in a block of another node, of a pool with strict affinity.
    #[error(
        "{address} belongs to block {block} of node {owner}, and IPPool {pool} has \
         strictAffinity; ask for it there, or set strictAffinity: false"
    )]
    OtherNodes {
        /// As asked for.
        address: IpAddr,
        /// The block.
        block: IpNet,
        /// The block's node.
        owner: Name,
        /// The pool.
        pool: Name,
    },
    /// A wanted address lies where no block can be claimed.
    #[error(
        "{address} cannot be given: its block {block} would overlap block {other}, which was cut \
         with another blockSize; delete that block once it is empty"
    )]
    BlocksOverlap {
        /// As asked for.
        address: IpAddr,
        /// The block that would be claimed.
        block: IpNet,
        /// The block that is there.
        other: IpNet,
    },
}

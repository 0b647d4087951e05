//! What is asked of IPAM, and what it answers.

use std::net::IpAddr;

use tombolo_model::kinds::Purpose;
use tombolo_model::{AddressRange, Name, Write};

/// Who wants addresses, where, and which.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The node that will use them.
    pub node: &'a Name,
    /// The network; one address per family of its pools is given.
    pub network: &'a Name,
    /// What stays when the container is restarted or moved: `namespace/name/interface`, else the
    /// container ID and interface.
    pub identity: &'a str,
    /// The endpoint (namespace and name) that will use them.
    pub endpoint: Option<(Name, Name)>,
    /// What they are for.
    pub purpose: Purpose,
    /// Addresses that it must be, at most one per family; of other families any.
    pub wanted: &'a [IpAddr],
    /// Where other addresses must be from, in the families of which a range is given.
    pub ranges: &'a [AddressRange],
    /// Places of each block that are not given.
    pub reserve: Reserve,
    /// Addresses that are the network's own, and not given either.
    pub kept: &'a [IpAddr],
    /// Take the identity's addresses also if another node uses them at present. Without it, an
    /// identity in use elsewhere gets other addresses, under the identity `identity@node`.
    pub take_over: bool,
    /// The store cannot be reached: give only places that no other node can have taken meanwhile.
    pub offline: bool,
}

impl<'a> Request<'a> {
    /// A request for a workload, for any address.
    #[must_use]
    pub fn workload(node: &'a Name, network: &'a Name, identity: &'a str) -> Request<'a> {
        Request {
            node,
            network,
            identity,
            endpoint: None,
            purpose: Purpose::Workload,
            wanted: &[],
            ranges: &[],
            reserve: Reserve::default(),
            kept: &[],
            take_over: false,
            offline: false,
        }
    }
}

/// Places at the start and end of every block that are never given to a workload, as a bridge
/// needs for the network's address, the gateway's and the broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserve {
    /// How many at the start.
    pub head: u32,
    /// How many at the end.
    pub tail: u32,
}

impl Reserve {
    /// Whether a place of a block of a size may be given.
    #[must_use]
    pub fn allows(self, ordinal: u32, size: u32) -> bool {
        ordinal >= self.head && ordinal < size.saturating_sub(self.tail)
    }
}

/// Addresses that are the asker's once the writes are committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// One per family of the network's pools, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// The handle's generation; an endpoint writes it down, and names it when it gives back.
    pub generation: u64,
    /// The handle that holds them.
    pub handle: Name,
    /// What to commit, in one transaction.
    pub writes: Vec<Write>,
    /// Another endpoint that held them until now. Its deletion is among the writes, if it exists.
    pub superseded: Option<(Name, Name)>,
}

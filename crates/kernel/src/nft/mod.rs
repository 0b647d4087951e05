//! nftables: sets, maps and chains of the one table that is ours, in the kernel's own encoding
//! (linux/netfilter/nf_tables.h). Nothing of another table is written; it is read only where somebody
//! asks what others do ([`tables`], and [`legacy`] for what nftables does not know).
//!
//! The kernel does not give rules back as they were written, so each rule carries a hash of its
//! typed form in its user data ([`chain`]); reading compares lists of hashes. Sets of prefixes are
//! kept free of overlaps ([`interval`]). All changes of one list go in one transaction ([`apply`]):
//! packets see all of it or nothing.
//!
//! ```text
//!  objects ─► expr, set, chain, interval ─► message ─► apply ─► kernel
//!  objects ◄───────────── read ◄─────────────────────────────── kernel
//! ```

mod apply;
mod chain;
mod expr;
mod fuzzing;
mod interval;
pub(crate) mod legacy;
mod message;
mod read;
mod set;
pub(crate) mod tables;
mod transaction;
mod xtables;

pub(crate) use fuzzing::decode_any;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use tombolo_plan::objects::Chain;

use crate::error::KernelError;
use crate::kernel::Ownership;
use crate::netlink::{Protocol, Socket};
use crate::netns::NetnsHandle;

/// Our table in one namespace.
#[derive(Debug)]
pub(crate) struct Table {
    netns: NetnsHandle,
    name: String,
    /// None until it could be opened: a kernel without nftables can still do the rest.
    socket: Option<Socket>,
    /// The prefixes that each interval set stands for, as last read or applied.
    intervals: BTreeMap<String, BTreeSet<IpNet>>,
    /// The chains as last read or applied, to write them again when a set that they use is
    /// replaced.
    chains: BTreeMap<String, Chain>,
}

impl Table {
    pub(crate) fn new(netns: NetnsHandle, ownership: &Ownership) -> Table {
        let socket = Socket::open(&netns, Protocol::Netfilter).ok();
        let name = ownership.nft_table.clone();
        Table {
            netns,
            name,
            socket,
            intervals: BTreeMap::new(),
            chains: BTreeMap::new(),
        }
    }

    /// The port number under which the kernel knows our changes.
    pub(crate) fn port(&self) -> Option<u32> {
        self.socket.as_ref().map(Socket::port)
    }

    fn socket(&mut self) -> Result<&mut Socket, KernelError> {
        if self.socket.is_none() {
            self.socket = Some(Socket::open(&self.netns, Protocol::Netfilter)?);
        }
        Ok(self.socket.as_mut().expect("it was opened just now"))
    }
}

#[cfg(test)]
mod tests;

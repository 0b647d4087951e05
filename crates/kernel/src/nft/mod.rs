//! nftables: sets, maps and chains of the tables that are ours, in the kernel's own encoding
//! (linux/netfilter/nf_tables.h). There may be two in a namespace, of families `inet` and `bridge`, with
//! one name. Nothing of another table is written; it is read only where somebody
//! asks what others do ([`tables`], and [`legacy`] for what nftables does not know).
//!
//! The kernel does not give rules back as they were written, so each rule carries a hash of its
//! typed form in its user data ([`chain`]); reading compares lists of hashes. Sets of prefixes are
//! kept free of overlaps ([`interval`]). All changes of one list in a namespace go in one transaction
//! ([`apply`], [`fill`]): packets see all of it or nothing.
//!
//! ```text
//!  objects ─► expr, set, chain, interval ─► message ─► apply, fill ─► kernel
//!  objects ◄───────────── read ◄───────────────────────────────────── kernel
//! ```

mod apply;
mod chain;
mod counters;
mod expr;
mod fill;
mod fuzzing;
mod interval;
pub(crate) mod legacy;
mod message;
mod read;
mod set;
pub(crate) mod tables;
mod transaction;
mod xtables;

pub use counters::Counter;
pub(crate) use fuzzing::decode_any;

use std::collections::{BTreeMap, BTreeSet};

use tombolo_plan::Netns;
use tombolo_plan::objects::{Chain, Datum, NftName};

use crate::error::KernelError;
use crate::netlink::{Protocol, Socket};
use crate::netns::NetnsHandle;

/// Our tables in one namespace.
#[derive(Debug)]
pub(crate) struct Tables {
    handle: NetnsHandle,
    netns: Netns,
    name: String,
    /// The port number of the socket; 0 leaves the choice to the kernel.
    port: u32,
    /// None until it could be opened: a kernel without nftables can still do the rest.
    socket: Option<Socket>,
    remembered: Remembered,
}

/// What later changes of a namespace's tables build on.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// The ranges that each interval set stands for, as last read or applied, where they are elements one
    /// by one.
    intervals: BTreeMap<NftName, BTreeSet<Datum>>,
    /// The chains that use sets, as last read or applied, to write them again when one of the sets is
    /// replaced.
    chains: BTreeMap<NftName, Chain>,
}

impl Tables {
    /// Those of the host, which are spoken to as long as this lives.
    pub(crate) fn of_host(handle: NetnsHandle, name: &str) -> Tables {
        let mut tables = Tables::within(handle, Netns::Host, name, 0);
        tables.socket = Socket::open(&tables.handle, Protocol::Netfilter).ok();
        tables
    }

    /// Those of another namespace, which is held open only as long as this lives. What is done is told
    /// under a port number, if nobody has that there.
    pub(crate) fn within(handle: NetnsHandle, netns: Netns, name: &str, port: u32) -> Tables {
        Tables {
            handle,
            netns,
            name: name.to_owned(),
            port,
            socket: None,
            remembered: Remembered::default(),
        }
    }

    /// Goes on with what another one knew of the namespace.
    pub(crate) fn resume(self, remembered: Remembered) -> Tables {
        Tables { remembered, ..self }
    }

    /// Lets go of the namespace.
    pub(crate) fn rest(self) -> Remembered {
        self.remembered
    }

    /// The port number under which the kernel knows our changes.
    pub(crate) fn port(&self) -> Option<u32> {
        self.socket.as_ref().map(Socket::port)
    }

    fn socket(&mut self) -> Result<&mut Socket, KernelError> {
        if self.socket.is_none() {
            let opened = Socket::open_at(&self.handle, Protocol::Netfilter, self.port)?;
            self.socket = Some(opened);
        }
        Ok(self.socket.as_mut().expect("it was opened just now"))
    }
}

#[cfg(test)]
mod tests;

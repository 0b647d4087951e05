//! One namespace while it is read or changed: its socket and the names of its links.
//!
//! Objects name links; the kernel wants indices. The table of both is read when it is first
//! needed, and again when a name is missing from it.

use std::collections::BTreeMap;

use tombolo_model::IfName;
use tombolo_plan::Netns;

use crate::error::{KernelError, NetlinkError};
use crate::link::{LinkInfo, read_links};
use crate::netlink::{Message, Protocol, Reply, Socket};
use crate::netns::NetnsHandle;
use crate::nsid;

/// A namespace that is being read or changed.
#[derive(Debug)]
pub(crate) struct Session {
    pub handle: NetnsHandle,
    pub netns: Netns,
    pub socket: Socket,
    pub links: Links,
}

/// The links of a namespace, by index and by name.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_index: BTreeMap<u32, LinkInfo>,
    by_name: BTreeMap<String, u32>,
    /// Whether nothing was made or removed since it was read: then reading again finds no more.
    fresh: bool,
    /// The host, for devices here whose packets leave there.
    outside: Option<Outside>,
}

/// The host's namespace, as seen from a namespace of ours.
#[derive(Debug, Clone)]
struct Outside {
    /// Its number here.
    number: i32,
    names: BTreeMap<u32, String>,
}

impl Session {
    pub(crate) fn open(handle: NetnsHandle, netns: Netns) -> Result<Session, KernelError> {
        let socket = Socket::open(&handle, Protocol::Route)?;
        Ok(Session::with(handle, netns, socket))
    }

    /// The same in a sandbox, under a port number of the caller's if nobody has it there.
    pub(crate) fn in_sandbox(
        handle: NetnsHandle,
        netns: Netns,
        port: u32,
    ) -> Result<Session, KernelError> {
        let socket = Socket::open_at(&handle, Protocol::Route, port)?;
        Ok(Session::with(handle, netns, socket))
    }

    fn with(handle: NetnsHandle, netns: Netns, socket: Socket) -> Session {
        Session {
            handle,
            netns,
            socket,
            links: Links::default(),
        }
    }

    /// Goes through everything of a kind, and keeps what `decode` makes of it.
    pub(crate) fn dump<T>(
        &mut self,
        what: &'static str,
        message: &Message,
        mut decode: impl FnMut(Reply<'_>) -> Option<T>,
    ) -> Result<Vec<T>, KernelError> {
        // Both closures of the socket need it.
        let found = std::cell::RefCell::new(Vec::new());
        self.socket
            .dump(
                message,
                &mut |reply| found.borrow_mut().extend(decode(reply)),
                &mut || found.borrow_mut().clear(),
            )
            .map_err(|cause| self.refused(format!("read {what}"), cause))?;
        Ok(found.into_inner())
    }

    /// Reads the table of links.
    pub(crate) fn load_links(&mut self) -> Result<(), KernelError> {
        let links = read_links(self)?;
        self.links = Links {
            outside: self.links.outside.take(),
            ..Links::default()
        };
        for link in links {
            self.links.by_name.insert(link.name.clone(), link.index);
            self.links.by_index.insert(link.index, link);
        }
        self.links.fresh = true;
        Ok(())
    }

    /// Notes the host's links and its number here.
    pub(crate) fn look_outside(&mut self, host: &mut Session) -> Result<(), KernelError> {
        if !host.links.fresh {
            host.load_links()?;
        }
        let names = host
            .links
            .iter()
            .map(|link| (link.index, link.name.clone()));
        self.tell_outside(&host.handle, names.collect())
    }

    /// Notes links of the host by their indices, and its number here.
    pub(crate) fn tell_outside(
        &mut self,
        host: &NetnsHandle,
        names: BTreeMap<u32, String>,
    ) -> Result<(), KernelError> {
        let number = nsid::assign(self, host)?;
        self.links.outside = Some(Outside { number, names });
        Ok(())
    }

    pub(crate) fn refused(
        &self,
        operation: impl std::fmt::Display,
        cause: NetlinkError,
    ) -> KernelError {
        KernelError::refused(operation, &self.netns, cause)
    }
}

impl Links {
    pub(crate) fn index(&self, name: &IfName) -> Option<u32> {
        self.by_name.get(name.as_str()).copied()
    }

    /// The name of a link as a plan writes it.
    pub(crate) fn name(&self, index: u32) -> Option<IfName> {
        IfName::new(self.by_index.get(&index)?.name.as_str()).ok()
    }

    pub(crate) fn info(&self, name: &IfName) -> Option<&LinkInfo> {
        self.by_index.get(self.by_name.get(name.as_str())?)
    }

    /// The interface that one stands on, in the host's namespace.
    pub(crate) fn parent(&self, link: &LinkInfo) -> Option<IfName> {
        match link.parent? {
            (index, None) => self.name(index),
            (index, Some(number)) => {
                let outside = self.outside.as_ref().filter(|o| o.number == number)?;
                IfName::new(outside.names.get(&index)?.as_str()).ok()
            }
        }
    }

    /// The index of the interface of the host that packets leave by, with the number of the host's
    /// namespace where that is another one.
    pub(crate) fn underlay(&self, name: &IfName) -> Option<(u32, Option<i32>)> {
        match &self.outside {
            None => Some((self.index(name)?, None)),
            Some(outside) => {
                let mut names = outside.names.iter();
                let (index, _) = names.find(|(_, known)| *known == name.as_str())?;
                Some((*index, Some(outside.number)))
            }
        }
    }

    /// Whether the host is another namespace.
    pub(crate) fn looks_outside(&self) -> bool {
        self.outside.is_some()
    }

    /// The name of the interface of the host that packets leave by.
    pub(crate) fn underlay_name(&self, index: u32) -> Option<IfName> {
        match &self.outside {
            None => self.name(index),
            Some(outside) => IfName::new(outside.names.get(&index)?.as_str()).ok(),
        }
    }

    /// Forgets the table, but not the host's.
    pub(crate) fn clear(&mut self) {
        *self = Links {
            outside: self.outside.take(),
            ..Links::default()
        };
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &LinkInfo> {
        self.by_index.values()
    }

    /// Whether reading the table again finds no more than it holds.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Forgets a link that is made, removed or renamed: its index is another one from now on.
    pub(crate) fn forget(&mut self, name: &IfName) {
        self.fresh = false;
        if let Some(index) = self.by_name.remove(name.as_str()) {
            self.by_index.remove(&index);
        }
    }
}

//! Carries operations out: finds each its messages, sends those of one namespace together.
//!
//! The order is given, and is kept: what is pending is sent before an operation in another
//! namespace, before a setting is written, and before a name is looked up that may just be on its
//! way. An operation that fails does not stop those behind it; what depended on it fails by itself,
//! with the kernel's own reason.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use tombolo_model::IfName;
use tombolo_plan::objects::{Link, LinkKind, VethPeer};
use tombolo_plan::{Key, Netns, Object, Op};

use crate::encode::{encode, links_needed, made, on_a_link, verb};
use crate::error::{KernelError, NetlinkError};
use crate::hint::hint;
use crate::kernel::{Kernel, is_nft};
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::session::{Links, Session};
use crate::{link, namespaces, nsid, sysctl};

type Outcome = Result<(), KernelError>;

/// One list of operations on its way.
pub(crate) struct Applier<'a> {
    kernel: &'a mut Kernel,
    ops: &'a [Op],
    results: Vec<Outcome>,
    sandboxes: BTreeMap<&'a Netns, Session>,
    pending: Pending,
    /// Links of one namespace of ours that are to be removed together.
    unlinking: Vec<usize>,
}

/// Operations that are sent together: all of one namespace.
#[derive(Default)]
struct Pending {
    messages: Vec<Message>,
    /// Which operation each message is of.
    of: Vec<usize>,
    settings: Vec<usize>,
}

impl<'a> Applier<'a> {
    pub(crate) fn new(kernel: &'a mut Kernel, ops: &'a [Op]) -> Applier<'a> {
        let results = vec![Ok(()); ops.len()];
        kernel.host.links.clear();
        Applier {
            kernel,
            ops,
            results,
            sandboxes: BTreeMap::new(),
            pending: Pending::default(),
            unlinking: Vec::new(),
        }
    }

    /// Does it all; one outcome for each operation.
    pub(crate) fn run(mut self) -> Vec<Outcome> {
        let ops = self.ops;
        let mut translated: BTreeSet<&Netns> = BTreeSet::new();
        let mut at = &Netns::Host;
        for (index, op) in ops.iter().enumerate() {
            let place = op.place();
            if place.netns != *at {
                self.flush(at);
                self.unlink();
                at = &place.netns;
            }
            if is_own_link_removal(op) {
                self.flush(at);
                self.unlinking.push(index);
                continue;
            }
            self.unlink();
            let result = match &place.key {
                key if is_nft(key) => {
                    if translated.insert(at) {
                        self.flush(at);
                        self.translate(at);
                    }
                    continue;
                }
                Key::Sysctl(_) => self.queue_setting(index, op),
                Key::Namespace(name) => {
                    self.flush(at);
                    namespaces::apply(self.kernel, name, op)
                }
                _ => self.queue(index, op),
            };
            if let Err(error) = result {
                self.results[index] = match error {
                    KernelError::SandboxGone { .. } if matches!(op, Op::Remove { .. }) => Ok(()),
                    error => Err(error),
                };
            }
        }
        self.flush(at);
        self.unlink();
        self.results
    }

    /// Removes the links that are to be removed by now.
    fn unlink(&mut self) {
        let indices = std::mem::take(&mut self.unlinking);
        let Some(first) = indices.first() else {
            return;
        };
        let netns = &self.ops[*first].place().netns;
        let named = |index: &usize| match &self.ops[*index].place().key {
            Key::Link(name) => Some(name),
            _ => None,
        };
        let names: Vec<&IfName> = indices.iter().filter_map(named).collect();
        let port = self.kernel.sandbox_port;
        let outcomes = match self.session(netns) {
            Ok(session) => link::remove_all(session, &names, port),
            // With its namespace a link is gone.
            Err(_) => vec![Ok(()); names.len()],
        };
        for (index, outcome) in indices.into_iter().zip(outcomes) {
            let gone = |error: &KernelError| error.errno() == Some(Errno::ENODEV);
            self.results[index] = outcome.or_else(|e| if gone(&e) { Ok(()) } else { Err(e) });
        }
        // With a pair goes the end in its sandbox.
        self.kernel.host.links.clear();
        for session in self.sandboxes.values_mut() {
            session.links.clear();
        }
    }

    /// All of nftables in a namespace.
    fn translate(&mut self, netns: &'a Netns) {
        let here = |op: &Op| op.place().netns == *netns && is_nft(&op.place().key);
        let ops = self.ops.iter().enumerate();
        let (indices, ops): (Vec<usize>, Vec<&Op>) = ops.filter(|(_, op)| here(op)).unzip();
        let outcomes = self.kernel.apply_tables(netns, &ops);
        for (index, outcome) in indices.into_iter().zip(outcomes) {
            self.results[index] = outcome;
        }
    }

    fn session(&mut self, netns: &'a Netns) -> Result<&mut Session, KernelError> {
        match netns {
            // Only the number is known of a sandbox that nobody names any more; the host asks for it.
            Netns::Host | Netns::Numbered(_) => Ok(&mut self.kernel.host),
            _ => {
                if !self.sandboxes.contains_key(netns) {
                    let handle = self.kernel.open_namespace(netns)?;
                    let session = self.kernel.session_in(handle, netns)?;
                    self.sandboxes.insert(netns, session);
                }
                Ok(self
                    .sandboxes
                    .get_mut(netns)
                    .expect("it was inserted just now"))
            }
        }
    }

    fn queue_setting(&mut self, index: usize, op: &'a Op) -> Outcome {
        self.session(&op.place().netns)?;
        if !self.pending.messages.is_empty() {
            self.flush(&op.place().netns);
        }
        // A setting is never removed: it goes with its link, or keeps its last value.
        if !matches!(op, Op::Remove { .. }) {
            self.pending.settings.push(index);
        }
        Ok(())
    }

    fn queue(&mut self, index: usize, op: &'a Op) -> Outcome {
        let netns = &op.place().netns;
        self.session(netns)?;
        if let Some(parent) = parent_outside(op) {
            self.flush(netns);
            self.look_outside(op, parent)?;
            return self.put_inside(op);
        }
        if !self.pending.settings.is_empty() {
            self.flush(netns);
        }
        let needed = links_needed(op);
        let missing = |links: &Links| needed.iter().any(|name| links.index(name).is_none());
        let links = &self.session(netns)?.links;
        if missing(links) && !links.is_fresh() {
            self.flush(netns);
            self.session(netns)?.load_links()?;
        }
        let lost = missing(&self.session(netns)?.links);
        if lost && matches!(op, Op::Remove { .. }) && on_a_link(&op.place().key) {
            return Ok(());
        }
        if let Some(name) = tun(op) {
            self.flush(netns);
            link::create_tun(&self.session(netns)?.handle, name)?;
        }
        let peer = self.peer_namespace(op)?;
        let protocol = self.kernel.ownership.route_protocol;
        let messages = encode(op, &self.session(netns)?.links, peer.as_ref(), protocol)?;
        self.pending
            .of
            .extend(std::iter::repeat_n(index, messages.len()));
        self.pending.messages.extend(messages);
        if let (Key::Link(name), Op::Create { .. } | Op::Remove { .. }) = (&op.place().key, op) {
            let name = name.clone();
            self.session(netns)?.links.forget(&name);
        }
        if let Some(end) = pair_end(op) {
            // The message names the peer's descriptor, which closes at the end of this function.
            self.flush(netns);
            if self.results[index].is_ok() && !end.handed_over {
                self.open_end(index, end, op);
            }
        }
        Ok(())
    }

    /// Prepares for an interface in a sandbox that stands on one of the host's: it is made there, on a
    /// parent that the sandbox knows by its number and the host's.
    fn look_outside(&mut self, op: &'a Op, parent: &IfName) -> Outcome {
        let netns = &op.place().netns;
        let sandbox = self.session(netns)?.handle.clone();
        let host = &mut self.kernel.host;
        // So that what happens to it is heard.
        nsid::assign(host, &sandbox)?;
        host.load_links()?;
        let index = link::check(&verb(op), parent, &host.links)?;
        let host = host.handle.clone();
        let names = BTreeMap::from([(index, parent.to_string())]);
        self.session(netns)?.tell_outside(&host, names)
    }

    /// Makes it, under its mark at first: while it is made, no interface of the host's may have its name
    /// (before Linux 6.14).
    fn put_inside(&mut self, op: &'a Op) -> Outcome {
        let netns = &op.place().netns;
        let (Key::Link(name), Some(Object::Link(link))) = (&op.place().key, made(op)) else {
            return Ok(());
        };
        let session = self.session(netns)?;
        let first = link.kind.mark().unwrap_or(name);
        let messages = link::create(first, link, &session.links, None)?;
        let made: Result<(), NetlinkError> = session.socket.batch(&messages).into_iter().collect();
        made.map_err(|cause| refusal(op, netns, cause))?;
        session.links.forget(name);
        let index = link::find_index(session, first).unwrap_or(0);
        let finish = [link::finish(index, name, link)];
        let finished: Result<(), NetlinkError> =
            session.socket.batch(&finish).into_iter().collect();
        finished.map_err(|cause| refusal(op, netns, cause))
    }

    /// The namespace of the other end of a pair that is to be made.
    fn peer_namespace(&mut self, op: &'a Op) -> Result<Option<NetnsHandle>, KernelError> {
        match pair_end(op) {
            Some(peer) if peer.netns != op.place().netns => {
                let handle = self.session(&peer.netns)?.handle.clone();
                // The host has no end of such a pair by which it would know it.
                if op.place().netns != Netns::Host && peer.netns != Netns::Host {
                    nsid::assign(&mut self.kernel.host, &handle)?;
                }
                Ok(Some(handle))
            }
            _ => Ok(None),
        }
    }

    /// Sets up the other end of a pair that was just made.
    fn open_end(&mut self, index: usize, end: &'a VethPeer, op: &Op) {
        self.results[index] = self.session(&end.netns).and_then(|session| {
            session.links.forget(&end.name);
            let outcomes = session.socket.batch(&[link::up(&end.name)]);
            let outcome: Result<(), NetlinkError> = outcomes.into_iter().collect();
            outcome.map_err(|cause| KernelError::refused(verb(op), &end.netns, cause))
        });
    }

    /// Sends what is pending in a namespace, and notes how it went.
    fn flush(&mut self, netns: &'a Netns) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.messages.is_empty() {
            let ops = self.ops;
            let Ok(session) = self.session(netns) else {
                return;
            };
            let outcomes = session.socket.batch(&pending.messages);
            for (index, outcome) in pending.of.into_iter().zip(outcomes) {
                if let Err(cause) = outcome
                    && self.results[index].is_ok()
                    && !is_gone(&ops[index], &cause)
                {
                    self.results[index] = Err(refusal(&ops[index], netns, cause));
                }
            }
        }
        if !pending.settings.is_empty() {
            self.write_settings(netns, &pending.settings);
        }
    }

    fn write_settings(&mut self, netns: &'a Netns, indices: &[usize]) {
        let settings: Vec<(&str, &str)> = indices
            .iter()
            .filter_map(|index| setting(&self.ops[*index]))
            .collect();
        let Ok(session) = self.session(netns) else {
            return;
        };
        match sysctl::write(&session.handle, &settings) {
            Ok(outcomes) => {
                for (index, outcome) in indices.iter().zip(outcomes) {
                    self.results[*index] = outcome;
                }
            }
            Err(error) => {
                for index in indices {
                    self.results[*index] = Err(error.clone());
                }
            }
        }
    }
}

/// The host's interface that one stands on which is to be made in a sandbox.
fn parent_outside(op: &Op) -> Option<&IfName> {
    match (op, &op.place().netns) {
        (
            Op::Create {
                object: Object::Link(link),
                ..
            },
            Netns::Sandbox(_),
        ) => link.kind.stands_on(),
        _ => None,
    }
}

/// The TUN device that an operation makes.
fn tun(op: &Op) -> Option<&IfName> {
    match (op, &op.place().key) {
        (
            Op::Create {
                object: Object::Link(link),
                ..
            },
            Key::Link(name),
        ) => (link.kind == LinkKind::Tun).then_some(name),
        _ => None,
    }
}

/// A refusal, with what to do about it.
fn refusal(op: &Op, netns: &Netns, cause: NetlinkError) -> KernelError {
    let hint = hint(op, cause.errno);
    KernelError::refused_with(verb(op), netns, cause, hint)
}

/// Whether it removes a link of a namespace that is ours, or the host's.
fn is_own_link_removal(op: &Op) -> bool {
    let place = op.place();
    matches!((op, &place.key), (Op::Remove { .. }, Key::Link(_)))
        && !matches!(place.netns, Netns::Sandbox(_) | Netns::Numbered(_))
}

/// The other end of a pair that an operation makes.
fn pair_end(op: &Op) -> Option<&VethPeer> {
    match op {
        Op::Create {
            object:
                Object::Link(Link {
                    kind: LinkKind::Veth(peer),
                    ..
                }),
            ..
        } => Some(peer),
        _ => None,
    }
}

fn setting(op: &Op) -> Option<(&str, &str)> {
    match (&op.place().key, op) {
        (
            Key::Sysctl(key),
            Op::Create {
                object: Object::Sysctl(value),
                ..
            }
            | Op::Change {
                to: Object::Sysctl(value),
                ..
            },
        ) => Some((key, value)),
        _ => None,
    }
}

/// Whether a removal failed because there is nothing left to remove.
fn is_gone(op: &Op, cause: &NetlinkError) -> bool {
    let gone = [
        Errno::ENODEV,
        Errno::ESRCH,
        Errno::ENOENT,
        Errno::EADDRNOTAVAIL,
    ];
    matches!(op, Op::Remove { .. }) && gone.contains(&cause.errno)
}

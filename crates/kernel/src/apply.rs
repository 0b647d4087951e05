//! Carries operations out: finds each its messages, sends those of one namespace together.
//!
//! The order is given, and is kept: what is pending is sent before an operation in another
//! namespace, before a setting is written, and before a name is looked up that may just be on its
//! way. An operation that fails does not stop those behind it; what depended on it fails by itself,
//! with the kernel's own reason.

use std::collections::BTreeMap;

use nix::errno::Errno;
use tombolo_model::IfName;
use tombolo_plan::objects::{Link, LinkKind, VethPeer};
use tombolo_plan::{Key, Netns, Object, Op};

use crate::error::{KernelError, NetlinkError};
use crate::kernel::Kernel;
use crate::netlink::Message;
use crate::netns::NetnsHandle;
use crate::route::Which;
use crate::session::{Links, Session};
use crate::{address, fdb, link, neighbour, route, rule, sysctl};

type Outcome = Result<(), KernelError>;

/// One list of operations on its way.
pub(crate) struct Applier<'a> {
    kernel: &'a mut Kernel,
    ops: &'a [Op],
    results: Vec<Outcome>,
    sandboxes: BTreeMap<&'a str, Session>,
    pending: Pending,
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
        kernel.host.links = Links::default();
        Applier {
            kernel,
            ops,
            results,
            sandboxes: BTreeMap::new(),
            pending: Pending::default(),
        }
    }

    /// Does it all; one outcome for each operation.
    pub(crate) fn run(mut self) -> Vec<Outcome> {
        let ops = self.ops;
        let mut translated = false;
        let mut at = &Netns::Host;
        for (index, op) in ops.iter().enumerate() {
            let place = op.place();
            if place.netns != *at {
                self.flush(at);
                at = &place.netns;
            }
            let result = match &place.key {
                Key::NftSet(_) | Key::NftChain(_) | Key::NftElement { .. } => {
                    if !translated {
                        self.flush(at);
                        self.translate();
                        translated = true;
                    }
                    continue;
                }
                Key::Sysctl(_) => self.queue_setting(index, op),
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
        self.results
    }

    /// All of nftables.
    fn translate(&mut self) {
        let nft = |op: &Op| {
            matches!(
                op.place().key,
                Key::NftSet(_) | Key::NftChain(_) | Key::NftElement { .. }
            )
        };
        let (indices, ops): (Vec<usize>, Vec<&Op>) = self
            .ops
            .iter()
            .enumerate()
            .filter(|(_, op)| nft(op))
            .unzip();
        for (index, outcome) in indices.into_iter().zip(self.kernel.table.apply(&ops)) {
            self.results[index] = outcome;
        }
    }

    fn session(&mut self, netns: &'a Netns) -> Result<&mut Session, KernelError> {
        match netns {
            Netns::Host => Ok(&mut self.kernel.host),
            Netns::Sandbox(path) => {
                if !self.sandboxes.contains_key(path.as_str()) {
                    let session = Session::open(NetnsHandle::open(path)?, netns.clone())?;
                    self.sandboxes.insert(path, session);
                }
                Ok(self
                    .sandboxes
                    .get_mut(path.as_str())
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
        if !self.pending.settings.is_empty() {
            self.flush(netns);
        }
        let needed = links_needed(op);
        if needed.iter().any(|name| {
            self.session(netns)
                .is_ok_and(|s| s.links.index(name).is_none())
        }) {
            self.flush(netns);
            self.session(netns)?.load_links()?;
        }
        if let Op::Remove { place, .. } = op
            && on_a_link(&place.key)
            && needed.iter().any(|name| {
                self.session(netns)
                    .is_ok_and(|s| s.links.index(name).is_none())
            })
        {
            return Ok(());
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
            if self.results[index].is_ok() {
                self.open_end(index, end, op);
            }
        }
        Ok(())
    }

    /// The namespace of the other end of a pair that is to be made.
    fn peer_namespace(&mut self, op: &'a Op) -> Result<Option<NetnsHandle>, KernelError> {
        match pair_end(op) {
            Some(peer) if peer.netns != op.place().netns => {
                Ok(Some(self.session(&peer.netns)?.handle.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Sets up the other end of a pair that was just made.
    fn open_end(&mut self, index: usize, end: &'a VethPeer, op: &Op) {
        self.results[index] = self.session(&end.netns).and_then(|session| {
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
                    self.results[index] =
                        Err(KernelError::refused(verb(&ops[index]), netns, cause));
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

/// An operation in a few words, for messages.
pub(crate) fn verb(op: &Op) -> String {
    let verb = match op {
        Op::Create { .. } => "create",
        Op::Change { .. } => "change",
        Op::Remove { .. } => "remove",
    };
    format!("{verb} {}", op.place().key)
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

/// Whether an object goes with its link.
fn on_a_link(key: &Key) -> bool {
    matches!(
        key,
        Key::Address { .. } | Key::Neighbour { .. } | Key::Fdb { .. }
    )
}

/// The links whose indices the messages of an operation need.
fn links_needed(op: &Op) -> Vec<&IfName> {
    let object = match op {
        Op::Create { object, .. } | Op::Change { to: object, .. } => Some(object),
        Op::Remove { .. } => None,
    };
    match (&op.place().key, object) {
        (Key::Address { link, .. } | Key::Neighbour { link, .. } | Key::Fdb { link, .. }, _) => {
            vec![link]
        }
        (Key::Route { .. }, Some(Object::Route(route))) => {
            route::link_of(route).into_iter().collect()
        }
        (Key::Link(_), Some(Object::Link(link))) => {
            let parent = match &link.kind {
                LinkKind::Vxlan { parent, .. } => Some(parent),
                _ => None,
            };
            parent
                .into_iter()
                .chain(link.port.as_ref().map(|port| &port.bridge))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The messages of one operation of rtnetlink.
fn encode(
    op: &Op,
    links: &Links,
    peer: Option<&NetnsHandle>,
    protocol: u8,
) -> Result<Vec<Message>, KernelError> {
    let no_link = |link: &IfName| KernelError::NoLink {
        operation: verb(op),
        netns: op.place().netns.to_string(),
        link: link.to_string(),
    };
    let index = |link: &IfName| links.index(link).ok_or_else(|| no_link(link));
    use Object as O;
    use Op::{Change, Create, Remove};
    Ok(match (&op.place().key, op) {
        (
            Key::Link(name),
            Create {
                object: O::Link(l), ..
            },
        ) => link::create(name, l, links, peer)?,
        (
            Key::Link(name),
            Change {
                from: O::Link(from),
                to: O::Link(to),
                ..
            },
        ) => link::change(name, from, to, links)?,
        (Key::Link(name), Remove { .. }) => vec![link::remove(name)],
        (Key::Address { link, net }, Create { .. } | Change { .. }) => {
            vec![address::create(*net, index(link)?)]
        }
        (Key::Address { link, net }, Remove { .. }) => vec![address::remove(*net, index(link)?)],
        (
            Key::Neighbour { link, address },
            Create {
                object: O::Neighbour(mac),
                ..
            }
            | Change {
                to: O::Neighbour(mac),
                ..
            },
        ) => vec![neighbour::create(*address, *mac, index(link)?)],
        (Key::Neighbour { link, address }, Remove { .. }) => {
            vec![neighbour::remove(*address, index(link)?)]
        }
        (
            Key::Fdb { link, mac, .. },
            Create {
                object: O::Fdb(remote),
                ..
            },
        ) => {
            vec![fdb::create(*mac, *remote, index(link)?, false)]
        }
        (
            Key::Fdb { link, mac, .. },
            Change {
                to: O::Fdb(remote), ..
            },
        ) => {
            vec![fdb::create(*mac, *remote, index(link)?, true)]
        }
        (
            Key::Fdb { link, mac, .. },
            Remove {
                object: O::Fdb(remote),
                ..
            },
        ) => {
            vec![fdb::remove(*mac, *remote, index(link)?)]
        }
        (Key::Route { table, dst, metric }, _) => {
            let which = Which {
                table: *table,
                dst: *dst,
                metric: *metric,
                protocol,
            };
            encode_route(op, which, &index)?
        }
        (Key::RoutingRule { family, priority }, _) => {
            let (old, new) = match op {
                Create {
                    object: O::RoutingRule(new),
                    ..
                } => (None, Some(new)),
                Change {
                    from: O::RoutingRule(old),
                    to: O::RoutingRule(new),
                    ..
                } => (Some(old), Some(new)),
                Remove {
                    object: O::RoutingRule(old),
                    ..
                } => (Some(old), None),
                _ => return Err(mismatch(op)),
            };
            // The new one first: there is never a moment without.
            let made = new.map(|new| rule::create(*family, *priority, new, protocol));
            let gone = old.map(|old| rule::remove(*family, *priority, old, protocol));
            made.into_iter().chain(gone).collect()
        }
        _ => return Err(mismatch(op)),
    })
}

fn encode_route(
    op: &Op,
    which: Which,
    index: &dyn Fn(&IfName) -> Result<u32, KernelError>,
) -> Result<Vec<Message>, KernelError> {
    let (route, replace) = match op {
        Op::Create {
            object: Object::Route(route),
            ..
        } => (route, false),
        Op::Change {
            to: Object::Route(route),
            ..
        } => (route, true),
        Op::Remove { .. } => return Ok(vec![route::remove(which)]),
        _ => return Err(mismatch(op)),
    };
    let link = route::link_of(route).map(index).transpose()?;
    Ok(vec![route::create(which, route, link, replace)])
}

fn mismatch(op: &Op) -> KernelError {
    KernelError::Impossible {
        operation: verb(op),
        reason: "the object is not of the kind that its key says",
    }
}

//! The façade: one host's namespace, and the sandboxes that are reached from it.
//!
//! It reads, applies, and repeats the two until nothing differs. It decides nothing about networks.
//! What it has read and done it remembers, so that a change of the plan costs what changes, and not
//! what there is ([`crate::memory`]); what others change is told by events, and read again where
//! they say ([`Look`]).
//!
//! A sandbox's namespace is opened for one read or one apply and closed again: an open socket in it
//! would keep it, and the links in it, alive after its container is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tombolo_model::Name;
use tombolo_plan::diff::satisfies;
use tombolo_plan::objects::LinkKind;
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Op, Place, diff, naming};

use crate::announce::announce;
use crate::apply::Applier;
use crate::error::KernelError;
use crate::look::Look;
use crate::memory::Memory;
use crate::namespaces;
use crate::netns::NetnsHandle;
use crate::nft::{Remembered, Tables};
use crate::nsid;
use crate::read::{Scope, read, settings};
use crate::session::Session;
use crate::watch::Watcher;
use inside::tell_parents;
pub(crate) use tables::is_nft;

mod inside;
mod tables;

/// How often [`Kernel::converge`] reads and applies at most.
const MAX_ROUNDS: u32 = 4;

/// How what is ours is told from what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Links of the host whose names begin so are ours.
    pub link_prefix: String,
    /// Routes and rules of this protocol are ours (`RTA_PROTO`, `FRA_PROTOCOL`).
    pub route_protocol: u8,
    /// The nftables tables, of families `inet` and `bridge`, that are ours.
    pub nft_table: String,
    /// Where network namespaces of ours are mounted, and `ip netns` looks for all of them.
    pub namespaces: PathBuf,
    /// Those whose names begin so are ours; none if it is empty. Several hosts of one mount
    /// namespace need one each.
    pub namespace_prefix: String,
}

impl Default for Ownership {
    fn default() -> Ownership {
        Ownership {
            link_prefix: "tb".to_owned(),
            route_protocol: 84,
            nft_table: "tombolo".to_owned(),
            namespaces: PathBuf::from("/run/netns"),
            namespace_prefix: String::new(),
        }
    }
}

impl Ownership {
    /// What is a node's: its segments' namespaces are told from those of other nodes.
    #[must_use]
    pub fn of(node: &Name) -> Ownership {
        Ownership {
            namespace_prefix: naming::segment_prefix(node),
            ..Ownership::default()
        }
    }
}

/// One host's namespace, and the sandboxes that are reached from it.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) ownership: Ownership,
    pub(crate) host: Session,
    pub(crate) tables: Tables,
    /// What is remembered of our tables in other namespaces that have some.
    tables_inside: BTreeMap<Netns, Remembered>,
    /// The port number of our sockets in sandboxes: events by which the kernel tells of our own
    /// changes there carry it.
    pub(crate) sandbox_port: u32,
    /// The inodes of sandboxes, by path, as the plan has them.
    sandboxes: BTreeMap<String, u64>,
    /// The number that the host's namespace knows itself by: what stands on its interfaces is told so.
    number: Option<i32>,
    memory: Memory,
}

/// What [`Kernel::apply`] did.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was done, in order.
    pub done: Vec<Op>,
    /// What was not, and why.
    pub failed: Vec<(Op, KernelError)>,
}

/// What [`Kernel::converge`] did.
#[derive(Debug, Default)]
pub struct Convergence {
    /// What was done, in order, over all rounds.
    pub done: Vec<Op>,
    /// What the last round could not do, and why.
    pub failed: Vec<(Op, KernelError)>,
    /// How many rounds changed something or tried to.
    pub rounds: u32,
}

/// Objects by place, borrowed.
pub(crate) type Wanted<'a> = BTreeMap<&'a Netns, BTreeMap<&'a Key, &'a Object>>;

impl Kernel {
    /// Takes charge of what is ours in a host's namespace. Changes nothing yet.
    ///
    /// # Errors
    /// The namespace cannot be entered, or no netlink socket opened in it.
    pub fn open(host: &NetnsHandle, ownership: Ownership) -> Result<Kernel, KernelError> {
        let mut session = Session::open(host.clone(), Netns::Host)?;
        // Without CAP_NET_ADMIN there is none, and nothing can be made that needs it.
        let number = nsid::assign(&mut session, host).ok();
        let tables = Tables::of_host(host.clone(), &ownership.nft_table);
        Ok(Kernel {
            ownership,
            host: session,
            tables,
            tables_inside: BTreeMap::new(),
            sandbox_port: random_port(),
            sandboxes: BTreeMap::new(),
            number,
            memory: Memory::default(),
        })
    }

    /// Everything of ours in the host's namespace, and what the plan names besides; in each sandbox
    /// only what the plan names. A sandbox that is gone holds nothing.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn read(&mut self, plan: &HostPlan) -> Result<Observed, KernelError> {
        let mut wanted = wanted(plan);
        wanted.entry(&Netns::Host).or_default();
        self.sandboxes.clone_from(&plan.sandboxes);
        let mut observed = self.read_wanted(wanted)?;
        self.read_taken(plan, &mut observed)?;
        Ok(observed)
    }

    pub(crate) fn read_wanted(&mut self, wanted: Wanted<'_>) -> Result<Observed, KernelError> {
        let mut observed = Observed::new();
        for (netns, planned) in wanted {
            for (key, object) in self.read_namespace(netns, planned)? {
                let netns = netns.clone();
                observed.insert(Place { netns, key }, object);
            }
        }
        Ok(observed)
    }

    /// Opens a namespace, as a plan names it. Who keeps it open keeps it alive, with the links in it.
    ///
    /// # Errors
    /// There is none, or no longer the same.
    pub fn open_namespace(&self, netns: &Netns) -> Result<NetnsHandle, KernelError> {
        match netns {
            Netns::Host => Ok(self.host.handle.clone()),
            Netns::Segment(name) => {
                NetnsHandle::open(self.ownership.namespaces.join(name.as_str()))
            }
            Netns::Sandbox(path) => self.open_sandbox(path),
            // Its number leads nowhere but through the host's own socket.
            Netns::Numbered(_) => Err(KernelError::SandboxGone {
                path: netns.to_string(),
            }),
        }
    }

    /// A conversation with a namespace other than the host's.
    pub(crate) fn session_in(
        &mut self,
        handle: NetnsHandle,
        netns: &Netns,
    ) -> Result<Session, KernelError> {
        let mut session = Session::in_sandbox(handle, netns.clone(), self.sandbox_port)?;
        if matches!(netns, Netns::Segment(_)) {
            session.look_outside(&mut self.host)?;
        }
        Ok(session)
    }

    /// Opens a sandbox. A path that leads to the host's own namespace, or to another one than it
    /// did, leads to no sandbox: the process that it names has ended, and its number is another's.
    fn open_sandbox(&self, path: &str) -> Result<NetnsHandle, KernelError> {
        let handle = NetnsHandle::open(path)?;
        let (_, inode) = handle.identity();
        let is_other = self
            .sandboxes
            .get(path)
            .is_some_and(|known| *known != inode);
        if is_other || handle.identity() == self.host.handle.identity() {
            let path = path.to_owned();
            return Err(KernelError::SandboxGone { path });
        }
        Ok(handle)
    }

    fn read_namespace(
        &mut self,
        netns: &Netns,
        planned: BTreeMap<&Key, &Object>,
    ) -> Result<Vec<(Key, Object)>, KernelError> {
        if *netns == Netns::Host {
            let scope = Scope::new(&self.ownership, netns, planned);
            let mut found = read(&mut self.host, &scope)?;
            found.extend(self.tables.read(&scope)?);
            found.extend(namespaces::read(&scope)?);
            return Ok(found);
        }
        match self.open_namespace(netns) {
            Ok(handle) => {
                let mut session = self.session_in(handle.clone(), netns)?;
                let ownership = self.ownership.clone();
                let scope = Scope::new(&ownership, netns, planned);
                tell_parents(&mut self.host, &scope, &mut session)?;
                let mut found = read(&mut session, &scope)?;
                found.extend(self.read_tables(handle, netns, &scope)?);
                Ok(found)
            }
            Err(KernelError::SandboxGone { .. }) => {
                self.tables_inside.remove(netns);
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what is to be looked at and what is not known yet.
    fn observe(&mut self, plan: &HostPlan, look: &Look) -> Result<(), KernelError> {
        let mut wanted = wanted(plan);
        wanted.entry(&Netns::Host).or_default();
        self.sandboxes.clone_from(&plan.sandboxes);
        let lost_sight = self.memory.narrow(&wanted, &self.ownership);
        self.tables_inside
            .retain(|netns, _| wanted.contains_key(netns));
        let host = wanted.remove(&Netns::Host).unwrap_or_default();
        if look.at_host() || !self.memory.knows_host() {
            let found = self.read_namespace(&Netns::Host, host)?;
            self.memory.replace(&Netns::Host, found);
        } else if look.settings {
            let found = settings(
                &self.host.handle,
                &Scope::new(&self.ownership, &Netns::Host, host),
            )?;
            self.memory.replace_settings(found);
        }
        let cut_off = self.memory.cut_off(plan);
        for (netns, planned) in wanted {
            if look.everything
                || cut_off.contains(netns)
                || !self.memory.knows(netns, &planned)
                || self.is_among(netns, look)
            {
                let found = self.read_namespace(netns, planned)?;
                self.memory.replace(netns, found);
            }
        }
        if look.everything || lost_sight || self.memory.lost_handed_over(plan, look) {
            let strays = self.read_strays(plan)?;
            self.memory.replace_strays(strays);
        }
        Ok(())
    }

    /// Whether a sandbox is one of the namespaces to look at.
    fn is_among(&mut self, netns: &Netns, look: &Look) -> bool {
        if look.namespaces.is_empty() {
            return false;
        }
        // Of one that is gone, or without a number, nothing is known: it is looked at.
        self.open_namespace(netns)
            .ok()
            .and_then(|handle| nsid::of(&mut self.host, &handle))
            .is_none_or(|id| look.namespaces.contains(&id))
    }

    /// Carries operations out in the given order; all of nftables in one transaction at the place
    /// of the first. Goes on after one that fails. What turns out to be as wanted already counts as
    /// done, as does the removal of what is gone.
    pub fn apply(&mut self, ops: &[Op]) -> Applied {
        let mut results = Applier::new(self, ops).run();
        self.settle_contested(ops, &mut results);
        let done = ops
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok());
        announce(self, done.map(|(op, _)| op));
        let mut applied = Applied::default();
        for (op, result) in ops.iter().zip(results) {
            match result {
                Ok(()) => {
                    self.memory.done(op);
                    applied.done.push(op.clone());
                }
                Err(error) => {
                    self.memory.failed(op);
                    applied.failed.push((op.clone(), error));
                }
            }
        }
        applied
    }

    /// What is known of an object without reading.
    pub(crate) fn remembered(&self, place: &Place) -> Option<&Object> {
        self.memory.observed().get(place)
    }

    /// Something else may have made what was to be made in the meantime. Where it is as wanted, all
    /// is well.
    fn settle_contested(&mut self, ops: &[Op], results: &mut [Result<(), KernelError>]) {
        let exists = |result: &Result<(), KernelError>| {
            result
                .as_ref()
                .is_err_and(|error| error.errno() == Some(nix::errno::Errno::EEXIST))
        };
        let mut wanted = Wanted::new();
        for (op, result) in ops.iter().zip(&*results) {
            if let Some((place, object)) = contestable(op)
                && exists(result)
            {
                wanted
                    .entry(&place.netns)
                    .or_default()
                    .insert(&place.key, object);
            }
        }
        if wanted.is_empty() {
            return;
        }
        let Ok(observed) = self.read_wanted(wanted) else {
            return;
        };
        for (op, result) in ops.iter().zip(results) {
            if let Some((place, object)) = contestable(op)
                && exists(result)
                && observed
                    .get(place)
                    .is_some_and(|present| satisfies(present, object))
            {
                *result = Ok(());
            }
        }
    }

    /// Reads everything, compares and applies until nothing differs, or a round changes nothing.
    ///
    /// # Errors
    /// The kernel cannot be read. Operations that fail are not an error of the whole: they are told
    /// in the result.
    pub fn converge(&mut self, plan: &HostPlan) -> Result<Convergence, KernelError> {
        self.converge_at(plan, &Look::everywhere())
    }

    /// The same, but looks only there, and takes the rest as it was last seen.
    ///
    /// # Errors
    /// As [`Kernel::converge`].
    pub fn converge_at(
        &mut self,
        plan: &HostPlan,
        look: &Look,
    ) -> Result<Convergence, KernelError> {
        let mut look = look.clone();
        let mut convergence = Convergence::default();
        for _ in 0..MAX_ROUNDS {
            if let Err(error) = self.observe(plan, &look) {
                self.memory.forget();
                return Err(error);
            }
            let ops = diff(plan, self.memory.observed());
            if ops.is_empty() {
                convergence.failed.clear();
                break;
            }
            convergence.rounds += 1;
            let applied = self.apply(&ops);
            let progress = !applied.done.is_empty();
            look = if reach_further(&ops) {
                Look::everywhere()
            } else {
                Look::nowhere()
            };
            convergence.done.extend(applied.done);
            convergence.failed = applied.failed;
            // What nftables holds then, is known without another look.
            let is_certain = convergence.failed.is_empty()
                && look == Look::nowhere()
                && ops.iter().all(|op| is_nft(&op.place().key));
            if !progress || is_certain {
                break;
            }
        }
        Ok(convergence)
    }

    /// Listens to changes of the host's namespace, by whomever.
    ///
    /// # Errors
    /// A netlink socket cannot be opened or joined to its groups.
    pub fn watch(&self) -> Result<Watcher, KernelError> {
        Watcher::open(
            &self.host.handle,
            &self.ownership,
            self.ports(),
            self.number,
        )
    }

    /// The port numbers under which the kernel knows our changes.
    fn ports(&self) -> Vec<u32> {
        std::iter::once(self.host.socket.port())
            .chain(self.tables.port())
            .chain([self.sandbox_port])
            .collect()
    }
}

/// What a plan wants, by namespace.
fn wanted(plan: &HostPlan) -> Wanted<'_> {
    let mut wanted = Wanted::new();
    for (place, planned) in &plan.objects {
        wanted
            .entry(&place.netns)
            .or_default()
            .insert(&place.key, &planned.object);
    }
    wanted
}

/// Whether operations may have effects on other objects that are not worth foretelling: then those
/// are read. A link that changes may lose routes; with the first address of a subnet go the others;
/// what is made anew starts empty.
fn reach_further(ops: &[Op]) -> bool {
    let places = |which: fn(&&Op) -> bool| -> BTreeSet<&Place> {
        ops.iter().filter(which).map(Op::place).collect()
    };
    let made = places(|op| matches!(op, Op::Create { .. }));
    let removed = places(|op| matches!(op, Op::Remove { .. }));
    ops.iter().any(|op| match op {
        Op::Create { place, .. } | Op::Remove { place, .. }
            if matches!(place.key, Key::Namespace(_)) =>
        {
            true
        }
        // A loopback that is set up has no such effects.
        Op::Change {
            to: Object::Link(link),
            ..
        } => link.kind != LinkKind::Existing,
        Op::Remove { place, .. } => match &place.key {
            Key::Address { link, .. } => !removed.contains(&Place {
                netns: place.netns.clone(),
                key: Key::Link(link.clone()),
            }),
            Key::Link(_) | Key::NftSet(_) => made.contains(place),
            _ => false,
        },
        _ => false,
    })
}

/// A port number for sockets that no other program chooses: the kernel gives out process numbers,
/// which are smaller, and negative ones from the top (`netlink_autobind`, net/netlink/af_netlink.c).
fn random_port() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    let [a, b, c, ..] = RandomState::new()
        .hash_one(std::process::id())
        .to_ne_bytes();
    u32::from_ne_bytes([a, b, c, 0x40])
}

/// What an operation makes, where something else may have its place: several rules may have one
/// priority, so one that is changed may be there already as it is to be.
fn contestable(op: &Op) -> Option<(&Place, &Object)> {
    match op {
        Op::Create { place, object } => Some((place, object)),
        Op::Change {
            place,
            to: to @ Object::RoutingRule(_),
            ..
        } => Some((place, to)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod filtered;

#[cfg(test)]
mod ipvlan;

#[cfg(test)]
mod looking;

#[cfg(test)]
mod macvlan;

#[cfg(test)]
mod multipath;

#[cfg(test)]
mod random;

#[cfg(test)]
mod segments;

#[cfg(test)]
mod tun;

#[cfg(test)]
mod tunnels;

//! The façade: one host's namespace, and the sandboxes that are reached from it.
//!
//! It reads, applies, and repeats the two until nothing differs. It decides nothing about
//! networks, and remembers nothing about the kernel but, of nftables, what was last read: which
//! prefixes an interval set stands for, and which chains use a set.
//!
//! A sandbox's namespace is opened for one read or one apply and closed again: an open socket in it
//! would keep it, and the links in it, alive after its container is gone.

use std::collections::BTreeMap;

use tombolo_plan::diff::satisfies;
use tombolo_plan::{HostPlan, Key, Netns, Object, Observed, Op, Place, diff};

use crate::apply::Applier;
use crate::error::KernelError;
use crate::netns::NetnsHandle;
use crate::nft::Table;
use crate::read::{Scope, read};
use crate::session::Session;
use crate::watch::Watcher;

/// How often [`Kernel::converge`] reads and applies at most.
const MAX_ROUNDS: u32 = 4;

/// How what is ours is told from what is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Links of the host whose names begin so are ours.
    pub link_prefix: String,
    /// Routes and rules of this protocol are ours (`RTA_PROTO`, `FRA_PROTOCOL`).
    pub route_protocol: u8,
    /// The nftables table, of family `inet`, that is ours.
    pub nft_table: String,
}

impl Default for Ownership {
    fn default() -> Ownership {
        Ownership {
            link_prefix: "tb".to_owned(),
            route_protocol: 84,
            nft_table: "tombolo".to_owned(),
        }
    }
}

/// One host's namespace, and the sandboxes that are reached from it.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) ownership: Ownership,
    pub(crate) host: Session,
    pub(crate) table: Table,
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
        let session = Session::open(host.clone(), Netns::Host)?;
        let table = Table::new(host.clone(), &ownership);
        Ok(Kernel {
            ownership,
            host: session,
            table,
        })
    }

    /// Everything of ours in the host's namespace, and what the plan names besides; in each sandbox
    /// only what the plan names. A sandbox that is gone holds nothing.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn read(&mut self, plan: &HostPlan) -> Result<Observed, KernelError> {
        let mut wanted = Wanted::new();
        for (place, planned) in &plan.objects {
            wanted
                .entry(&place.netns)
                .or_default()
                .insert(&place.key, &planned.object);
        }
        wanted.entry(&Netns::Host).or_default();
        self.read_wanted(wanted)
    }

    pub(crate) fn read_wanted(&mut self, wanted: Wanted<'_>) -> Result<Observed, KernelError> {
        let mut observed = Observed::new();
        for (netns, planned) in wanted {
            let scope = Scope::new(&self.ownership, netns, planned);
            let found = match netns {
                Netns::Host => {
                    let mut found = read(&mut self.host, &scope)?;
                    found.extend(self.table.read(&scope)?);
                    found
                }
                Netns::Sandbox(path) => match NetnsHandle::open(path) {
                    Ok(handle) => read(&mut Session::open(handle, netns.clone())?, &scope)?,
                    Err(KernelError::SandboxGone { .. }) => Vec::new(),
                    Err(error) => return Err(error),
                },
            };
            for (key, object) in found {
                observed.insert(
                    Place {
                        netns: netns.clone(),
                        key,
                    },
                    object,
                );
            }
        }
        Ok(observed)
    }

    /// Carries operations out in the given order; all of nftables in one transaction at the place
    /// of the first. Goes on after one that fails. What turns out to be as wanted already counts as
    /// done, as does the removal of what is gone.
    pub fn apply(&mut self, ops: &[Op]) -> Applied {
        let mut results = Applier::new(self, ops).run();
        self.settle_contested(ops, &mut results);
        let mut applied = Applied::default();
        for (op, result) in ops.iter().zip(results) {
            match result {
                Ok(()) => applied.done.push(op.clone()),
                Err(error) => applied.failed.push((op.clone(), error)),
            }
        }
        applied
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

    /// Reads, compares and applies until nothing differs, or a round changes nothing.
    ///
    /// # Errors
    /// The kernel cannot be read. Operations that fail are not an error of the whole: they are told
    /// in the result.
    pub fn converge(&mut self, plan: &HostPlan) -> Result<Convergence, KernelError> {
        let mut convergence = Convergence::default();
        for _ in 0..MAX_ROUNDS {
            let ops = diff(plan, &self.read(plan)?);
            if ops.is_empty() {
                convergence.failed.clear();
                break;
            }
            convergence.rounds += 1;
            let applied = self.apply(&ops);
            let progress = !applied.done.is_empty();
            convergence.done.extend(applied.done);
            convergence.failed = applied.failed;
            if !progress {
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
        Watcher::open(&self.host.handle, &self.ownership, self.ports())
    }

    /// The port numbers under which the kernel knows our changes.
    fn ports(&self) -> Vec<u32> {
        std::iter::once(self.host.socket.port())
            .chain(self.table.port())
            .collect()
    }
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
mod random;

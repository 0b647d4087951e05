//! Our nftables in namespaces other than the host's.
//!
//! They are read where everything is ours, and in sandboxes in which the plan wants some or has wanted
//! some. As with rtnetlink, nothing stays open between one reading or change and the next; what later
//! changes build on is kept here.

use tombolo_plan::{Key, Netns, Object, Op};

use super::Kernel;
use crate::error::KernelError;
use crate::netns::NetnsHandle;
use crate::nft::{Counter, Tables};
use crate::read::Scope;

/// Whether an object is one of nftables.
pub(crate) fn is_nft(key: &Key) -> bool {
    matches!(
        key,
        Key::NftSet(_) | Key::NftChain(_) | Key::NftElement { .. } | Key::NftMembers(_)
    )
}

impl Kernel {
    /// What rules that are counted have counted, in every namespace in which we have some. It goes back
    /// to nothing when something in a rule's chain changes.
    ///
    /// # Errors
    /// The kernel refuses to tell. A sandbox that is gone has counted nothing.
    pub fn counters(&mut self) -> Result<Vec<Counter>, KernelError> {
        let mut found = self.tables.counters()?;
        let inside: Vec<Netns> = self.tables_inside.keys().cloned().collect();
        for netns in inside {
            match self.open_namespace(&netns) {
                Ok(handle) => found.extend(self.inside(handle, &netns, Tables::counters)?),
                Err(KernelError::SandboxGone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// What our tables in a namespace hold.
    pub(super) fn read_tables(
        &mut self,
        handle: NetnsHandle,
        netns: &Netns,
        scope: &Scope<'_>,
    ) -> Result<Vec<(Key, Object)>, KernelError> {
        let wanted = scope.objects().any(|(key, _)| is_nft(key));
        let is_ours = matches!(netns, Netns::Segment(_));
        if !wanted && !is_ours && !self.tables_inside.contains_key(netns) {
            return Ok(Vec::new());
        }
        let found = self.inside(handle, netns, |tables| tables.read(scope))?;
        if found.is_empty() && !wanted {
            self.tables_inside.remove(netns);
        }
        Ok(found)
    }

    /// Carries out all operations of nftables in one namespace, in one transaction.
    pub(crate) fn apply_tables(
        &mut self,
        netns: &Netns,
        ops: &[&Op],
    ) -> Vec<Result<(), KernelError>> {
        if *netns == Netns::Host {
            return self.tables.apply(ops);
        }
        let outcome = |op: &&Op, error: &KernelError| match error {
            // With its namespace all of it is gone.
            KernelError::SandboxGone { .. } if matches!(op, Op::Remove { .. }) => Ok(()),
            error => Err(error.clone()),
        };
        let applied = self
            .open_namespace(netns)
            .and_then(|handle| self.inside(handle, netns, |tables| Ok(tables.apply(ops))));
        match applied {
            Ok(outcomes) => outcomes,
            Err(error) => ops.iter().map(|op| outcome(op, &error)).collect(),
        }
    }

    /// Works with the tables of a namespace, and keeps what is to be remembered of them.
    fn inside<T>(
        &mut self,
        handle: NetnsHandle,
        netns: &Netns,
        work: impl FnOnce(&mut Tables) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        let name = &self.ownership.nft_table;
        let remembered = self.tables_inside.remove(netns).unwrap_or_default();
        let mut tables =
            Tables::within(handle, netns.clone(), name, self.sandbox_port).resume(remembered);
        let outcome = work(&mut tables);
        self.tables_inside.insert(netns.clone(), tables.rest());
        outcome
    }
}

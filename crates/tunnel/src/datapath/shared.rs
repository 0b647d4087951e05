//! What the threads have in common: the table, the counters, and word of devices that are gone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::counters::Drops;
use crate::{NetworkId, Table};

#[derive(Debug, Default)]
pub(super) struct Shared {
    table: Mutex<Arc<Table>>,
    generation: AtomicU64,
    lost: Mutex<Vec<NetworkId>>,
    pub(super) drops: Drops,
}

impl Shared {
    pub(super) fn set_table(&self, table: Arc<Table>) {
        *lock(&self.table) = table;
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&lock(&self.table))
    }

    pub(super) fn lost(&self) -> Vec<NetworkId> {
        lock(&self.lost).clone()
    }

    pub(super) fn lose(&self, network: NetworkId) {
        let mut lost = lock(&self.lost);
        if !lost.contains(&network) {
            lost.push(network);
        }
    }
}

/// What the locks guard is replaced whole, so that a thread that panicked left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread's own hold of the table: the lock is taken only after the table was changed.
#[derive(Debug)]
pub(super) struct Hold {
    shared: Arc<Shared>,
    seen: u64,
    table: Arc<Table>,
}

impl Hold {
    pub(super) fn new(shared: &Arc<Shared>) -> Hold {
        let seen = shared.generation.load(Ordering::Acquire);
        Hold {
            shared: Arc::clone(shared),
            seen,
            table: shared.table(),
        }
    }

    /// The newest table, and whether it is another than the last time.
    pub(super) fn renew(&mut self) -> (Arc<Table>, bool) {
        let now = self.shared.generation.load(Ordering::Acquire);
        let is_new = now != self.seen;
        if is_new {
            self.seen = now;
            self.table = self.shared.table();
        }
        (Arc::clone(&self.table), is_new)
    }
}

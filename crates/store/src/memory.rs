//! A store that lives as long as this value: for tests and for planning from files.
//!
//! It is the embedded store without the file: the same engine, the same history, a
//! journal that writes nothing down.

use crate::clock::{Clock, Now};
use crate::engine::{Engine, EngineConfig, Journal};
use crate::error::StoreError;
use crate::local::{Local, random_number};
use crate::mvcc::{Effects, Mvcc};

/// How many revisions a store keeps unless told otherwise.
pub const DEFAULT_KEEP_REVISIONS: u64 = 10_000;

/// A store in memory.
pub struct MemoryStore {
    engine: Engine,
}

/// Writes nothing down.
struct Nowhere;

impl Journal for Nowhere {
    fn commit(&mut self, _: &[Effects]) -> Result<(), StoreError> {
        Ok(())
    }

    fn reopen(&mut self, _: Now) -> Result<Mvcc, StoreError> {
        Err(StoreError::Unavailable {
            endpoint: "(memory)".to_owned(),
            cause: "what is only in memory cannot be read again".to_owned(),
        })
    }

    fn size(&self) -> u64 {
        0
    }
}

impl MemoryStore {
    /// An empty store that keeps [`DEFAULT_KEEP_REVISIONS`].
    ///
    /// # Panics
    /// Where the system lets this process start no thread; see [`MemoryStore::keeping`].
    pub fn new() -> MemoryStore {
        MemoryStore::keeping(DEFAULT_KEEP_REVISIONS)
            .expect("only a system without room for one more thread refuses a store in memory")
    }

    /// An empty store that keeps about `keep_revisions` revisions of history. Fails
    /// where no thread can be started.
    pub fn keeping(keep_revisions: u64) -> Result<MemoryStore, StoreError> {
        let config = EngineConfig {
            name: "(memory)".to_owned(),
            keep_revisions,
            cluster_id: random_number(),
            member_id: random_number(),
        };
        let engine = Engine::start(config, Mvcc::default(), Clock::start(), Nowhere)?;
        Ok(MemoryStore { engine })
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl Local for MemoryStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

//! The store of one node: the state machine, and one file that survives a kill.
//!
//! The file (redb) is the journal: every change of history, the leases, and the bounds of
//! history. At opening all of it is read into memory; reading never touches the file
//! again. A write is acknowledged after a durable commit, many waiting writes sharing
//! one. The file is locked while it is open: a second opener is told so. A write that failed, as
//! on a full disk, is answered with the error, and the next one opens the file again.
//!
//! History is bounded by count ([`EmbeddedConfig::keep_revisions`]), not by the clock, so
//! that a node that was away for a short night can still catch up by watching.

mod journal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::engine::{Engine, EngineConfig};
use crate::error::StoreError;
use crate::local::Local;
use crate::memory::DEFAULT_KEEP_REVISIONS;

/// Where the store is, and how much it keeps.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The file; made, readable by its owner only, if it is not there.
    pub file: PathBuf,
    /// How many revisions of history to keep, to a tenth more.
    pub keep_revisions: u64,
}

impl EmbeddedConfig {
    /// A store in `file` that keeps [`DEFAULT_KEEP_REVISIONS`].
    pub fn new(file: impl AsRef<Path>) -> EmbeddedConfig {
        let file = file.as_ref().to_owned();
        EmbeddedConfig {
            file,
            keep_revisions: DEFAULT_KEEP_REVISIONS,
        }
    }
}

/// A store in one file. Dropping it finishes what was asked of it and lets the file go.
pub struct EmbeddedStore {
    engine: Engine,
}

impl EmbeddedStore {
    /// Opens the file, or makes it. Blocks while it is read.
    pub fn open(config: EmbeddedConfig) -> Result<EmbeddedStore, StoreError> {
        let clock = Clock::start();
        let name = config.file.display().to_string();
        let (journal, loaded) = journal::RedbJournal::open(&config.file, clock.now())?;
        let engine_config = EngineConfig {
            name,
            keep_revisions: config.keep_revisions,
            cluster_id: loaded.cluster_id,
            member_id: loaded.member_id,
        };
        let engine = Engine::start(engine_config, loaded.state, clock, journal)?;
        Ok(EmbeddedStore { engine })
    }
}

impl Local for EmbeddedStore {
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

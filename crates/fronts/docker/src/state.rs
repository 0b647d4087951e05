//! What the plugin must not forget: which network of Docker's is which of Tombolo's.
//!
//! Docker names a network to its driver by an id, says once what it is to be, and never again, not
//! even when it starts anew. So this is a file. It is written whole beside the old one and put in
//! its place, so that after a crash it is the one or the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tombolo_model::Name;

use crate::options::Wish;

/// What the plugin must not forget.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memory {
    /// Docker's networks, by Docker's ids.
    pub networks: BTreeMap<String, Record>,
    /// How often each pool of our IPAM is asked for, by its id.
    pub pools: BTreeMap<String, u32>,
    /// Endpoints of Docker's that are to be unplugged as soon as the agent answers.
    pub abandoned: BTreeSet<String>,
}

/// One network of Docker's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// How far it is.
    pub stage: Stage,
    /// What Docker asked for.
    pub wish: Wish,
}

/// How far a network of Docker's is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stage {
    /// Docker has not said yet how its user calls it.
    Pending,
    /// It is this network.
    Is(Name),
    /// It cannot be made, and why.
    Failed(String),
}

/// The memory, with its file.
pub(crate) struct State {
    path: PathBuf,
    memory: Mutex<Memory>,
    changed: Condvar,
}

impl State {
    /// Reads what an earlier plugin has left. What cannot be read is put aside, and found again
    /// from Docker where that is possible: a plugin that does not start stops Docker.
    pub fn open(folder: &Path) -> Result<State> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("docker.json");
        let memory = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                let aside = path.with_extension("json.unreadable");
                tracing::error!(path = %path.display(), aside = %aside.display(), %error, "cannot be read; it is put aside");
                let _ = std::fs::rename(&path, aside);
                Memory::default()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Memory::default(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Ok(State {
            path,
            memory: Mutex::new(memory),
            changed: Condvar::new(),
        })
    }

    /// Looks at it.
    pub fn read<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.lock())
    }

    /// Changes it. When this returns the change is on disk, or was not made.
    pub fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> Result<T, String> {
        let mut memory = self.lock();
        let mut after = memory.clone();
        let answer = change(&mut after);
        if after != *memory {
            self.write(&after).map_err(|error| {
                let path = self.path.display();
                format!("cannot write {path}: {error}; is the disk full?")
            })?;
            *memory = after;
            self.changed.notify_all();
        }
        Ok(answer)
    }

    /// Waits until it shows something, no longer than until then.
    pub fn wait<T>(&self, until: Instant, mut look: impl FnMut(&Memory) -> Option<T>) -> Option<T> {
        let mut memory = self.lock();
        loop {
            if let Some(found) = look(&memory) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(memory, left);
            memory = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self, memory: &Memory) -> std::io::Result<()> {
        let beside = self.path.with_extension("json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(memory)?)?;
        file.sync_data()?;
        std::fs::rename(&beside, &self.path)?;
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_data(),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // It is replaced whole: after a panic it is the one or the other.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_after_a_restart_and_what_is_torn_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let add = |memory: &mut Memory| memory.abandoned.insert("e1".to_owned());
        assert!(state.change(add).unwrap());
        let again = State::open(folder.path()).unwrap();
        assert!(again.read(|memory| memory.abandoned.contains("e1")));
        let file = folder.path().join("docker.json");
        std::fs::write(&file, b"{\"networks\": {").unwrap();
        let fresh = State::open(folder.path()).unwrap();
        assert_eq!(fresh.read(Memory::clone), Memory::default());
        assert!(folder.path().join("docker.json.unreadable").exists());
    }

    #[test]
    fn who_waits_hears_of_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let until = Instant::now() + std::time::Duration::from_secs(10);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| state.wait(until, |memory| memory.pools.get("p").copied()));
            state
                .change(|memory| memory.pools.insert("p".to_owned(), 7))
                .unwrap();
            assert_eq!(waiter.join().unwrap(), Some(7));
        });
        assert_eq!(state.wait(Instant::now(), |_| None::<()>), None);
    }
}

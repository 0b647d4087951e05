//! What was done without the store, on disk until the store knows it.
//!
//! One line per event: something was done, or the store has it now. A line that a crash has torn is
//! the last one, and its container was never told to be attached. The file is empty most of the
//! time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tombolo_api::AttachRequest;
use tombolo_model::{MacAddr, Name};

/// Something that was done without the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Entry {
    /// A container was plugged in. The request names the addresses and the MAC that it got.
    Attach(Box<AttachRequest>),
    /// A container was unplugged.
    Detach {
        /// The endpoint's name, which says node, container and interface.
        endpoint: Name,
        /// Its link-layer address, so that a later attachment under the same name is not meant; none
        /// if the World was not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<MacAddr>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Begin { id: u64, entry: Box<Entry> },
    End { id: u64 },
}

/// What was done without the store, in order.
pub(crate) struct Journal {
    inner: Mutex<Inner>,
    /// How many entries wait.
    pub waiting: tokio::sync::watch::Sender<usize>,
}

struct Inner {
    file: File,
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

impl Journal {
    /// Opens the journal, with what an earlier agent has left in it.
    pub fn open(path: &Path) -> Result<Journal> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(|| format!("cannot open the journal {}", path.display()))?;
        let mut entries = BTreeMap::new();
        let mut next = 0;
        let mut whole = 0;
        for line in BufReader::new(&file).split(b'\n') {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            match serde_json::from_slice(&line) {
                Ok(Line::Begin { id, entry }) => {
                    entries.insert(id, *entry);
                    next = id + 1;
                }
                Ok(Line::End { id }) => {
                    entries.remove(&id);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a torn line ends the journal");
                    break;
                }
            }
            whole += line.len() as u64 + 1;
        }
        if whole < file.metadata().map_or(whole, |m| m.len()) {
            file.set_len(whole)?;
        }
        file.seek(std::io::SeekFrom::End(0))?;
        let waiting = tokio::sync::watch::Sender::new(entries.len());
        Ok(Journal {
            inner: Mutex::new(Inner {
                file,
                entries,
                next,
            }),
            waiting,
        })
    }

    /// Writes an entry down. It is on disk when this returns.
    pub fn begin(&self, entry: Entry) -> Result<u64> {
        let mut inner = self.lock();
        let id = inner.next;
        let line = Line::Begin {
            id,
            entry: Box::new(entry.clone()),
        };
        inner.write(&line).context("cannot write the journal")?;
        inner.file.sync_data().context("cannot write the journal")?;
        inner.next += 1;
        inner.entries.insert(id, entry);
        self.waiting.send_replace(inner.entries.len());
        Ok(id)
    }

    /// The store has what an entry says, or nobody wants it any more.
    pub fn end(&self, id: u64) -> Result<()> {
        let mut inner = self.lock();
        inner.entries.remove(&id);
        self.waiting.send_replace(inner.entries.len());
        let written = if inner.entries.is_empty() {
            inner.file.set_len(0)
        } else {
            // Done twice is as good as once, so this need not be on disk.
            inner.write(&Line::End { id })
        };
        written.context("cannot write the journal")
    }

    /// What waits for the store, in order.
    pub fn entries(&self) -> Vec<(u64, Entry)> {
        let inner = self.lock();
        inner
            .entries
            .iter()
            .map(|(id, entry)| (*id, entry.clone()))
            .collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Memory follows what was written, entry by entry: after a panic it is still true.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, line: &Line) -> std::io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry::Detach {
            endpoint: Name::new(name).unwrap(),
            mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        }
    }

    #[test]
    fn what_was_begun_and_not_ended_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        let first = journal.begin(entry("a")).unwrap();
        let second = journal.begin(entry("b")).unwrap();
        journal.end(first).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.entries(), [(second, entry("b"))]);
        assert!(journal.begin(entry("c")).unwrap() > second);
        for (id, _) in journal.entries() {
            journal.end(id).unwrap();
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        assert!(Journal::open(&path).unwrap().is_empty());
    }

    #[test]
    fn a_torn_line_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        let id = journal.begin(entry("a")).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"begin\":{\"id\":1,\"ent").unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.entries(), [(id, entry("a"))]);
        journal.begin(entry("b")).unwrap();
        assert_eq!(Journal::open(&path).unwrap().entries().len(), 2);
    }
}

//! The file: what is in its tables, and how it is read and written.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `history` | revision, place within it | the change, as an etcd `mvccpb.Event` |
//! | `leases` | id | seconds to live |
//! | `bounds` | `format`, `compacted`, `cluster`, `member` | a number |
//!
//! All effects of one batch go into one redb transaction with immediate durability: after
//! a kill, or a power cut, all of it is there or nothing. A compaction deletes the rows
//! that the state machine names; redb gives their pages to later writes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use prost::Message;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use crate::clock::Now;
use crate::engine::Journal;
use crate::error::StoreError;
use crate::etcd::pb::mvccpb;
use crate::etcd::wire::{event_from_wire, event_to_wire};
use crate::local::random_number;
use crate::mvcc::{Effects, Mvcc};
use crate::told::EventKind;
use crate::types::{KeyValue, LeaseId, Revision};

const HISTORY: TableDefinition<'_, (i64, u32), &[u8]> = TableDefinition::new("history");
const LEASES: TableDefinition<'_, i64, u64> = TableDefinition::new("leases");
const BOUNDS: TableDefinition<'_, &str, u64> = TableDefinition::new("bounds");

/// The only layout so far.
const FORMAT: u64 = 1;

/// The memory that redb may use for pages: history is in memory already.
const CACHE_BYTES: usize = 4 << 20;

/// The file, open or, after a commit that failed, waiting to be opened again.
pub(super) struct RedbJournal {
    path: PathBuf,
    open: Option<OpenFile>,
}

/// An open file.
struct OpenFile {
    database: Database,
    file: String,
}

/// What was in it.
pub(super) struct Loaded {
    pub(super) state: Mvcc,
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
}

/// Changes of one revision while they are read.
type Changes = Vec<(EventKind, KeyValue)>;

impl RedbJournal {
    /// Opens the file, or makes it, and answers what is in it.
    pub(super) fn open(path: &Path, now: Now) -> Result<(RedbJournal, Loaded), StoreError> {
        let (open, loaded) = unless_it_panics(path, || {
            let open = OpenFile::open(path)?;
            let loaded = open.load(now)?;
            Ok((open, loaded))
        })?;
        let journal = RedbJournal {
            path: path.to_owned(),
            open: Some(open),
        };
        Ok((journal, loaded))
    }
}

impl OpenFile {
    /// Opens the file and takes its lock; makes the tables where they are not.
    fn open(path: &Path) -> Result<OpenFile, StoreError> {
        let file = path.display().to_string();
        let failed = |error: std::io::Error| StoreError::Io {
            action: "open",
            file: path.display().to_string(),
            cause: error.to_string(),
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let opened = options.open(path).map_err(failed)?;
        let mut builder = Database::builder();
        let database = builder
            .set_cache_size(CACHE_BYTES)
            .create_file(opened)
            .map_err(|error| open_error(error, &file))?;
        let opened = OpenFile { database, file };
        opened.prepare()?;
        Ok(opened)
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let prepared = (|| -> Result<u64, redb::Error> {
            let write = self.database.begin_write()?;
            let format;
            {
                write.open_table(HISTORY)?;
                write.open_table(LEASES)?;
                let mut bounds = write.open_table(BOUNDS)?;
                for (name, value) in [
                    ("format", FORMAT),
                    ("cluster", random_number()),
                    ("member", random_number()),
                    ("compacted", 0),
                ] {
                    if bounds.get(name)?.is_none() {
                        bounds.insert(name, value)?;
                    }
                }
                format = bounds.get("format")?.map_or(0, |value| value.value());
            }
            write.commit()?;
            Ok(format)
        })();
        match prepared.map_err(|error| self.failed("prepare", error))? {
            FORMAT => Ok(()),
            other => Err(self.corrupt(format!(
                "it has format {other}, this program knows {FORMAT}: a newer program wrote it"
            ))),
        }
    }

    /// Reads all of it.
    fn load(&self, now: Now) -> Result<Loaded, StoreError> {
        let mut state = Mvcc::default();
        let failed = |error: redb::Error| self.failed("read", error);
        let (cluster_id, member_id, compacted) = self.bounds().map_err(failed)?;
        let compacted = i64::try_from(compacted)
            .map_err(|_| self.corrupt(format!("compacted at {compacted}, beyond any revision")))?;
        state.restore_bounds(Revision(compacted));
        self.load_history(&mut state)?;
        for (id, seconds) in self.leases().map_err(failed)? {
            state.restore_lease(LeaseId(id), std::time::Duration::from_secs(seconds), now);
        }
        Ok(Loaded {
            state,
            cluster_id,
            member_id,
        })
    }

    fn load_history(&self, state: &mut Mvcc) -> Result<(), StoreError> {
        let failed = |error: redb::Error| self.failed("read", error);
        let read = self
            .database
            .begin_read()
            .map_err(|error| failed(error.into()))?;
        let table = read
            .open_table(HISTORY)
            .map_err(|error| failed(error.into()))?;
        let mut revision = Revision::NONE;
        let mut changes: Changes = Vec::new();
        for row in table.iter().map_err(|error| failed(error.into()))? {
            let (place, bytes) = row.map_err(|error| failed(error.into()))?;
            let (main, _) = place.value();
            if Revision(main) != revision && !changes.is_empty() {
                state.restore(revision, std::mem::take(&mut changes));
            }
            revision = Revision(main);
            let event = mvccpb::Event::decode(bytes.value())
                .map_err(|error| self.corrupt(format!("the record of revision {main}: {error}")))?;
            let event = event_from_wire(event);
            changes.push((event.kind, event.kv));
        }
        if !changes.is_empty() {
            state.restore(revision, changes);
        }
        Ok(())
    }

    fn bounds(&self) -> Result<(u64, u64, u64), redb::Error> {
        let read = self.database.begin_read()?;
        let table = read.open_table(BOUNDS)?;
        let number = |name: &str| -> Result<u64, redb::Error> {
            Ok(table.get(name)?.map_or(0, |value| value.value()))
        };
        Ok((number("cluster")?, number("member")?, number("compacted")?))
    }

    fn leases(&self) -> Result<Vec<(i64, u64)>, redb::Error> {
        let read = self.database.begin_read()?;
        let table = read.open_table(LEASES)?;
        let mut leases = Vec::new();
        for row in table.iter()? {
            let (id, seconds) = row?;
            leases.push((id.value(), seconds.value()));
        }
        Ok(leases)
    }

    fn write(&self, effects: &[Effects]) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut history = write.open_table(HISTORY)?;
            let mut leases = write.open_table(LEASES)?;
            let mut bounds = write.open_table(BOUNDS)?;
            for effect in effects {
                for committed in &effect.committed {
                    for (place, change) in (0u32..).zip(&committed.changes) {
                        let record = event_to_wire(change.event(false)).encode_to_vec();
                        history.insert((committed.revision.0, place), &record[..])?;
                    }
                }
                for (id, ttl) in &effect.leases_made {
                    leases.insert(id.0, ttl.as_secs())?;
                }
                for id in &effect.leases_ended {
                    leases.remove(id.0)?;
                }
                if let Some((revision, dropped)) = &effect.compacted {
                    bounds.insert("compacted", revision.0.unsigned_abs())?;
                    for (revision, place) in dropped {
                        history.remove((revision.0, *place))?;
                    }
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    fn failed(&self, action: &'static str, error: redb::Error) -> StoreError {
        match error {
            redb::Error::Corrupted(cause) => self.corrupt(cause),
            error => StoreError::Io {
                action,
                file: self.file.clone(),
                cause: error.to_string(),
            },
        }
    }

    fn corrupt(&self, cause: String) -> StoreError {
        StoreError::Corrupt {
            file: self.file.clone(),
            cause,
        }
    }
}

impl Journal for RedbJournal {
    fn commit(&mut self, effects: &[Effects]) -> Result<(), StoreError> {
        let open = self.open.as_ref().ok_or_else(|| StoreError::Io {
            action: "write",
            file: self.path.display().to_string(),
            cause: "it is not open".to_owned(),
        })?;
        unless_it_panics(&self.path, || {
            open.write(effects)
                .map_err(|error| open.failed("write", error))
        })
    }

    fn reopen(&mut self, now: Now) -> Result<Mvcc, StoreError> {
        // redb works no more with a file that failed it, and holds its lock until it lets go.
        self.open = None;
        let (journal, loaded) = RedbJournal::open(&self.path, now)?;
        *self = journal;
        Ok(loaded.state)
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }
}

/// redb panics where a damaged file breaks what it takes for granted: that is a fault of the file,
/// to be told as one, and no reason to end the agent.
fn unless_it_panics<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // What was half done is not used again: the file is closed, or opened anew.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(StoreError::Corrupt {
            file: path.display().to_string(),
            cause: format!(
                "reading it failed at {}",
                said.unwrap_or("an unknown place")
            ),
        })
    })
}

fn open_error(error: DatabaseError, file: &str) -> StoreError {
    let file = file.to_owned();
    match redb::Error::from(error) {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { file },
        redb::Error::Corrupted(cause) => StoreError::Corrupt { file, cause },
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Corrupt {
                file,
                cause: format!("it is not a store ({error})"),
            }
        }
        error => StoreError::Io {
            action: "open",
            file,
            cause: error.to_string(),
        },
    }
}

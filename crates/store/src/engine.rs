//! The running store: one writer thread around the state machine, and readers beside it.
//!
//! ```text
//! txn, lease, compact ─► queue ─► writer: apply all that wait ─► journal.commit ─► visible ─► answers
//!                                                                                    │
//! range ─► state, as of the visible revision                    watchers ◄───────────┘ wake,
//!                                                               take what they missed from the state
//! ```
//!
//! Group commit: whatever waits when the writer is free goes into one durable commit.
//! Until it is durable nobody sees it: ranges read as of the visible revision, which the
//! history allows, and watchers are woken after. A watcher has no queue of its own; it
//! takes what it missed from the shared history at its own pace, so that a slow one
//! costs nothing, and only a compaction that passes it ends it.
//!
//! After a commit that failed, as on a full disk, the state in memory is ahead of the file. The
//! engine answers reads as of the last durable revision. A write that comes then has the file
//! opened and read again, at most once a second, and works if that does; until then it is refused
//! with the error. Nobody saw what was lost, so its revisions are given again.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::clock::{Clock, Now};
use crate::error::StoreError;
use crate::mvcc::{Command, Effects, Mvcc, Reply};
use crate::types::Revision;

/// The most commands that go into one commit.
const MAX_BATCH: usize = 1024;

/// How long the writer sleeps when no lease would end; it wakes for every command.
const IDLE: Duration = Duration::from_secs(3600);

/// The pause between two tries to open a journal that failed.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Where effects are made durable.
pub(crate) trait Journal: Send + 'static {
    /// Writes all of it down, or nothing.
    fn commit(&mut self, effects: &[Effects]) -> Result<(), StoreError>;
    /// After a commit that failed: opens it anew, and reads the state that is in it.
    fn reopen(&mut self, now: Now) -> Result<Mvcc, StoreError>;
    /// The bytes that it takes.
    fn size(&self) -> u64;
}

/// What the engine is told at its start.
pub(crate) struct EngineConfig {
    /// What to call this store in errors.
    pub(crate) name: String,
    /// How many revisions to keep.
    pub(crate) keep_revisions: u64,
    /// See `StoreStatus::cluster_id`.
    pub(crate) cluster_id: u64,
    /// See `StoreStatus::member_id`.
    pub(crate) member_id: u64,
}

/// What is durable, and whether there is still somebody to make more so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible {
    pub(crate) revision: Revision,
    pub(crate) closed: bool,
}

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) clock: Clock,
    state: Mutex<Mvcc>,
    visible: watch::Sender<Visible>,
    size: std::sync::atomic::AtomicU64,
    /// Why it takes no writes, if it does not.
    broken: Mutex<Option<StoreError>>,
}

struct Job {
    command: Command,
    answer: oneshot::Sender<Result<Reply, StoreError>>,
}

/// A running store. Dropping it ends the writer, waits for it, and closes the journal.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts the writer on a state that was restored (or is new).
    pub(crate) fn start(
        config: EngineConfig,
        state: Mvcc,
        clock: Clock,
        journal: impl Journal,
    ) -> Result<Engine, StoreError> {
        let (visible, _) = watch::channel(Visible {
            revision: state.revision(),
            closed: false,
        });
        let size = journal.size().into();
        let state = Mutex::new(state);
        let shared = Arc::new(Shared {
            config,
            clock,
            state,
            visible,
            size,
            broken: Mutex::new(None),
        });
        let (jobs, queue) = mpsc::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            journal,
            reopen_at: Now::default(),
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        let writer = thread
            .spawn(move || writer.run(&queue))
            .map_err(|error| StoreError::Io {
                action: "start the writer thread of",
                file: shared.config.name.clone(),
                cause: error.to_string(),
            })?;
        Ok(Engine {
            shared,
            jobs: Some(jobs),
            writer: Some(writer),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Has the writer do a command and answers once it is durable.
    pub(crate) async fn dispatch(&self, command: Command) -> Result<Reply, StoreError> {
        let (answer, wait) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(|| self.shared.closed())?;
        jobs.send(Job { command, answer })
            .map_err(|_| self.shared.closed())?;
        wait.await.map_err(|_| self.shared.closed())?
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(
                store = self.shared.config.name,
                "the writer of the store panicked"
            );
        }
    }
}

impl Shared {
    /// The state. It may hold revisions that are not durable yet: see [`Shared::revision`].
    pub(crate) fn state(&self) -> Result<MutexGuard<'_, Mvcc>, StoreError> {
        self.state.lock().map_err(|_| self.closed())
    }

    /// The newest durable revision. To read as of it, take the state first: compaction
    /// never passes this revision, and cannot happen while the state is held.
    pub(crate) fn revision(&self) -> Revision {
        self.visible.borrow().revision
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Visible> {
        self.visible.subscribe()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Why no write is taken, if none is.
    pub(crate) fn broken(&self) -> Option<StoreError> {
        self.lock_broken().clone()
    }

    fn lock_broken(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn closed(&self) -> StoreError {
        let endpoint = self.config.name.clone();
        StoreError::Unavailable {
            endpoint,
            cause: "the store was closed".to_owned(),
        }
    }
}

struct Writer<J> {
    shared: Arc<Shared>,
    journal: J,
    /// Before this, a journal that failed is not opened again.
    reopen_at: Now,
}

/// A command that was applied and waits for the commit.
type Applied = (
    oneshot::Sender<Result<Reply, StoreError>>,
    Result<Reply, StoreError>,
);

impl<J: Journal> Writer<J> {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let first = match queue.recv_timeout(self.idle()) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let jobs: Vec<Job> = first
                .into_iter()
                .chain(queue.try_iter().take(MAX_BATCH - 1))
                .collect();
            self.batch(jobs);
        }
        self.shared
            .visible
            .send_modify(|visible| visible.closed = true);
    }

    /// How long nothing has to be done unless a command comes.
    fn idle(&self) -> Duration {
        if self.shared.broken().is_some() {
            return IDLE;
        }
        let next_end = self
            .shared
            .state()
            .ok()
            .and_then(|state| state.leases().next_end());
        next_end.map_or(IDLE, |ends| self.shared.clock.now().until(ends).min(IDLE))
    }

    fn batch(&mut self, jobs: Vec<Job>) {
        let (applied, effects, revision) = match self.apply(jobs) {
            Some(done) => done,
            None => return,
        };
        if let Err(error) = self.commit(&effects) {
            tracing::error!(%error, "the store takes no writes until its file can be written again");
            for (answer, _) in applied {
                // Whoever asked may have gone away; that is no fault.
                let _ = answer.send(Err(error.clone()));
            }
            return;
        }
        self.shared.visible.send_if_modified(|visible| {
            let newer = visible.revision < revision;
            visible.revision = revision;
            newer
        });
        for (answer, result) in applied {
            let _ = answer.send(result);
        }
    }

    /// After a commit that failed, puts the state back to what the journal holds.
    fn mend(&mut self) -> Result<(), StoreError> {
        let Some(error) = self.shared.broken() else {
            return Ok(());
        };
        let now = self.shared.clock.now();
        if now < self.reopen_at {
            return Err(error);
        }
        self.reopen_at = now.after(REOPEN_PAUSE);
        let state = match self.journal.reopen(now) {
            Ok(state) => state,
            Err(error) => {
                *self.shared.lock_broken() = Some(error.clone());
                return Err(error);
            }
        };
        // A commit that was answered with an error may have become durable all the same.
        let revision = state.revision();
        *self.shared.state()? = state;
        *self.shared.lock_broken() = None;
        self.shared.visible.send_if_modified(|visible| {
            let newer = visible.revision < revision;
            visible.revision = visible.revision.max(revision);
            newer
        });
        tracing::info!(%revision, "the store was opened again");
        Ok(())
    }

    /// Applies all of it in memory, expiry first: a lease that is over counts no more.
    fn apply(&mut self, jobs: Vec<Job>) -> Option<(Vec<Applied>, Vec<Effects>, Revision)> {
        if let Err(error) = self.mend() {
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
            }
            return None;
        }
        let now = self.shared.clock.now();
        let visible = self.shared.revision();
        let mut state = self.shared.state().ok()?;
        let mut effects = Vec::new();
        let mut applied = Vec::new();
        let compaction = due_compaction(&state, visible, self.shared.config.keep_revisions);
        for command in std::iter::once(Command::Expire).chain(compaction) {
            match state.apply(command, now) {
                Ok((_, effect)) => effects.push(effect),
                Err(error) => tracing::error!(%error, "expiry or compaction failed"),
            }
        }
        for Job { command, answer } in jobs {
            let result = match command {
                // What is not durable must stay readable as of the visible revision.
                Command::Compact(requested) if requested > visible => {
                    Err(StoreError::FutureRevision { requested })
                }
                command => state.apply(command, now),
            };
            applied.push((
                answer,
                result.map(|(reply, effect)| {
                    effects.push(effect);
                    reply
                }),
            ));
        }
        effects.retain(|effect| !effect.is_empty());
        Some((applied, effects, state.revision()))
    }

    fn commit(&mut self, effects: &[Effects]) -> Result<(), StoreError> {
        if effects.is_empty() {
            return Ok(());
        }
        let result = self.journal.commit(effects);
        if let Err(error) = &result {
            *self.shared.lock_broken() = Some(error.clone());
            self.reopen_at = self.shared.clock.now().after(REOPEN_PAUSE);
        }
        self.shared
            .size
            .store(self.journal.size(), std::sync::atomic::Ordering::Relaxed);
        result
    }
}

/// The compaction that keeps history bounded, once it is a tenth over the bound.
fn due_compaction(state: &Mvcc, visible: Revision, keep: u64) -> Option<Command> {
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let oldest = state.compact_revision().0;
    let held = visible.0 - oldest;
    (held > keep.saturating_add(keep / 10)).then(|| Command::Compact(Revision(visible.0 - keep)))
}

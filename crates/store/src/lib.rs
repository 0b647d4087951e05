//! Where the model lives: one trait, and the stores that keep it.
//!
//! [`Store`] is the etcd v3 model: every write makes a revision, a transaction compares
//! and swaps, a watch tells every change from a revision on, a lease takes its keys with
//! it. It knows keys and bytes; what they mean is the typed layer's.
//!
//! | store | where | for |
//! | --- | --- | --- |
//! | [`MemoryStore`] | in this process | tests, planning from files |
//! | [`EmbeddedStore`](embedded::EmbeddedStore) | one crash-safe file | the agent of one node |
//! | [`EtcdStore`](etcd::client::EtcdStore) | over the network | the other nodes, or a real etcd |
//!
//! ```text
//! MemoryStore ─┐
//!              ├─ local ─ engine (writer thread, watchers) ─ mvcc (pure)
//! EmbeddedStore┘              └─ journal: nowhere, or a file
//! etcd::server ── any Store, over gRPC with mutual TLS ◄── EtcdStore
//! ```
//!
//! All pass one contract suite (`tests/contract.rs`), and so does Debian's etcd.

mod clock;
pub mod embedded;
mod engine;
pub mod error;
pub mod etcd;
#[doc(hidden)]
pub mod fuzzing;
mod key_range;
mod local;
mod memory;
pub mod mvcc;
mod store;
mod told;
pub mod typed;
mod types;

pub use clock::Now;
pub use embedded::{EmbeddedConfig, EmbeddedStore};
pub use error::{InvalidRequest, StoreError};
pub use key_range::KeyRange;
pub use memory::{DEFAULT_KEEP_REVISIONS, MemoryStore};
pub use store::{Store, WatchStream};
pub use told::*;
pub use typed::{Commit, Listed, Resources, Unreadable, WorldBatch, WorldChange};
pub use types::*;

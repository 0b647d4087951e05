//! The store over the network: the etcd v3 gRPC protocol, both sides of it.
//!
//! - [`client`]: the one remote client, for another node's embedded store and for a real
//!   etcd.
//! - [`server`]: any [`Store`](crate::Store) for other nodes, and for `etcdctl`; mutual
//!   TLS only.
//! - `wire`: between the messages and the words of this crate; nothing else sees a message.
//! - `proto/`: the messages, with etcd's names and numbers, compiled at build time.

pub mod client;
mod connect;
mod guard;
mod serve_cluster;
mod serve_kv;
mod serve_lease;
mod serve_watch;
pub mod server;
mod status;
mod tls;
mod watching;
pub(crate) mod wire;

pub use tls::{ClientTls, PeerHook, PeerIdentity, ServerTls};

/// The generated messages.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::unwrap_used,
    clippy::todo,
    clippy::unimplemented
)]
pub(crate) mod pb {
    pub(crate) mod mvccpb {
        include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
    }
    pub(crate) mod etcdserverpb {
        include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
    }
}

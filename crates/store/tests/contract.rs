//! The contract of a store, written once, held by every store there is.
//!
//! A case gets a store that others may have used before it, so that it uses keys of its
//! own and tells revisions relative to what it finds.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

#[path = "contract/kv.rs"]
mod kv;
#[path = "contract/lease.rs"]
mod lease;
mod support;
#[path = "contract/txn.rs"]
mod txn;
#[path = "contract/watch.rs"]
mod watch;

use std::sync::Arc;

use futures::future::BoxFuture;
use support::{Ca, RealEtcd, Served, client};
use tombolo_store::{EmbeddedConfig, EmbeddedStore, MemoryStore, Store};

type Case = (&'static str, fn(Arc<dyn Store>) -> BoxFuture<'static, ()>);

/// Names the functions as cases.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub const CASES: &[crate::Case] =
            &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}
use cases;

async fn hold(cases: &[Case], store: Arc<dyn Store>) {
    for (name, case) in cases {
        eprintln!("case {name}");
        case(Arc::clone(&store)).await;
    }
}

async fn on_memory(cases: &[Case]) {
    hold(cases, Arc::new(MemoryStore::new())).await;
}

async fn on_embedded(cases: &[Case]) {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(folder.path().join("store"));
    hold(cases, Arc::new(EmbeddedStore::open(config).unwrap())).await;
}

async fn on_the_wire(cases: &[Case]) {
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig::new(folder.path().join("store"));
    let ca = Ca::new();
    let store = Arc::new(EmbeddedStore::open(config).unwrap());
    let served = Served::start(store, ca.server(), None).await;
    hold(
        cases,
        Arc::new(client(&served.address, Some(ca.client("node-a")))),
    )
    .await;
    served.stop().await;
}

async fn on_etcd(cases: &[Case]) {
    let etcd = RealEtcd::start().await;
    hold(cases, Arc::new(client(&etcd.address, None))).await;
}

macro_rules! stores {
    ($($store:ident: $run:ident),*) => {$(
        mod $store {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn kv() {
                super::$run(super::kv::CASES).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn txn() {
                super::$run(super::txn::CASES).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn watch() {
                super::$run(super::watch::CASES).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn lease() {
                super::$run(super::lease::CASES).await;
            }
        }
    )*};
}
stores!(memory: on_memory, embedded: on_embedded, wire: on_the_wire, etcd: on_etcd);

//! A host whose agent has an etcd of its own beside it, which the benchmark writes to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tombolo_lab::{Lab, Running};
use tombolo_model::{AnyResource, Write};
use tombolo_store::etcd::client::{EtcdConfig, EtcdStore};
use tombolo_store::{Commit, Resources};

/// Where the etcd is, inside the host.
const ETCD: &str = "http://127.0.0.1:2379";
/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Resources in one transaction; etcd takes 128.
const BATCH: usize = 100;

/// Starts etcd on a host and an agent that uses it; etcd ends when what is answered is dropped.
///
/// # Errors
/// One of them does not start.
pub fn start(lab: &Lab, host: &str) -> Result<Running> {
    let etcd = lab.spawn(
        host,
        &[
            "etcd",
            "--data-dir",
            "/run/etcd",
            "--listen-client-urls",
            ETCD,
            "--advertise-client-urls",
            ETCD,
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
        ],
    )?;
    let health =
        format!("until ETCDCTL_API=3 etcdctl --endpoints {ETCD} endpoint health; do :; done");
    lab.output(host, &["sh", "-c", &health])?;
    lab.init(host, &["--etcd", ETCD])?;
    lab.start_agent(host, &[])?;
    lab.ready(host)?;
    Ok(etcd)
}

/// That etcd, seen from inside the host.
///
/// # Errors
/// The client cannot be made.
pub fn resources() -> Result<Resources> {
    let store = EtcdStore::new(EtcdConfig {
        endpoints: vec![ETCD.to_owned()],
        tls: None,
        timeout: LIMIT,
    })?;
    Ok(Resources::new(Arc::new(store)))
}

/// Writes resources that are not there yet.
///
/// # Errors
/// As [`commit`].
pub async fn fill(resources: &Resources, all: &[AnyResource]) -> Result<()> {
    for batch in all.chunks(BATCH) {
        let writes: Vec<Write> = batch
            .iter()
            .map(|resource| Write::put(resource.clone(), None))
            .collect();
        commit(resources, &writes).await?;
    }
    Ok(())
}

/// Commits writes that nobody may be in the way of.
///
/// # Errors
/// Somebody is, or etcd does not answer.
pub async fn commit(resources: &Resources, writes: &[Write]) -> Result<()> {
    match resources.commit(writes).await? {
        Commit::Done(_) => Ok(()),
        Commit::Conflict => bail!("somebody else writes to the benchmark's store"),
    }
}

//! The store that the configuration names: opened here, or reached on another node.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tombolo_store::Store;
use tombolo_store::embedded::{EmbeddedConfig, EmbeddedStore};
use tombolo_store::etcd::ClientTls;
use tombolo_store::etcd::client::{EtcdConfig, EtcdStore};

use crate::config::{Config, Files, StoreConfig};

/// No answer of the store takes longer.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the store, or the way to it.
pub(crate) fn open(config: &Config, files: &Files) -> Result<Arc<dyn Store>> {
    match &config.store {
        StoreConfig::Embedded { .. } => Ok(Arc::new(EmbeddedStore::open(EmbeddedConfig::new(
            files.store(),
        ))?)),
        _ => remote(config, files),
    }
}

/// A store on another node, or an etcd.
pub(crate) fn remote(config: &Config, files: &Files) -> Result<Arc<dyn Store>> {
    let (endpoints, tls) = match &config.store {
        StoreConfig::Remote { endpoints, .. } => {
            let tls = ClientTls {
                ca: Files::read(&files.ca_cert())?,
                cert: Files::read(&files.node_cert())?,
                key: Files::read(&files.node_key())?,
            };
            (endpoints, Some(tls))
        }
        StoreConfig::Etcd {
            endpoints,
            ca,
            cert,
            key,
            ..
        } => {
            let tls = match (ca, cert, key) {
                (Some(ca), Some(cert), Some(key)) => Some(ClientTls {
                    ca: Files::read(ca)?,
                    cert: Files::read(cert)?,
                    key: Files::read(key)?,
                }),
                (None, None, None) => None,
                _ => bail!("etcd over TLS needs all three of CA, certificate and key"),
            };
            (endpoints, tls)
        }
        StoreConfig::Embedded { .. } => bail!("the embedded store is not remote"),
    };
    let config = EtcdConfig {
        endpoints: endpoints.clone(),
        tls,
        timeout: STORE_TIMEOUT,
    };
    Ok(Arc::new(EtcdStore::new(config)?))
}

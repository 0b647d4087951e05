//! The node's certificate is renewed when two thirds of its time are over.
//!
//! A new one is written beside the configuration; connections that are made from then on by a
//! restarted agent use it. The old one is good for months more, so there is no hurry to restart.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tombolo_join::{Authority, KeyAndCert, San};

use crate::admit::{authority, identity};
use crate::clock::now;
use crate::config::{Config, Files, StoreConfig};
use crate::shared::Shared;

/// How often the certificate's time is looked at.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// Renews the certificate whenever it is due, for ever.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let (config, files) = (shared.config.clone(), shared.files.clone());
        let renewed = tokio::task::spawn_blocking(move || renew(&config, &files)).await;
        match renewed {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("the certificate was renewed; the next start uses it"),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the certificate cannot be renewed"
                );
            }
            Err(error) => tracing::error!(%error, "renewing the certificate failed"),
        }
    }
}

/// Renews the certificate if it is due, and answers whether it was.
fn renew(config: &Config, files: &Files) -> Result<bool> {
    let present = identity(files)?;
    if !tombolo_join::renew_due(&present.certificate, now())? {
        return Ok(false);
    }
    let next = match (authority(files)?, &config.store) {
        (Some(authority), _) => own(&authority, config)?,
        (None, StoreConfig::Remote { join, .. }) => {
            let ca = Files::read(&files.ca_cert())?;
            tombolo_join::enrol::renew(join, &present, &ca, addresses(config)?)?.identity
        }
        // An etcd of the operator's has certificates of the operator's.
        (None, _) => return Ok(false),
    };
    // The key goes last: a pair that does not match is noticed at the next start, a key that is
    // lost is not replaced.
    Files::write(&files.node_cert(), &next.certificate)
        .and_then(|()| Files::write(&files.node_key(), &next.key))
        .context("the renewed certificate")?;
    Ok(true)
}

fn own(authority: &Authority, config: &Config) -> Result<KeyAndCert> {
    let sans: Vec<San> = addresses(config)?.into_iter().map(San::Ip).collect();
    Ok(authority.issue_node(&config.node, &sans, now())?)
}

fn addresses(config: &Config) -> Result<Vec<std::net::IpAddr>> {
    let methods = crate::underlay::methods(&config.underlay)?;
    Ok(crate::underlay::detect(&methods)?
        .iter()
        .map(|a| a.address.addr())
        .collect())
}

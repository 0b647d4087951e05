//! `tombolo join`: this host becomes a node of a cluster, with a certificate of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tombolo_join::JoinClient;
use tombolo_model::Name;

use crate::admit::ETCD;
use crate::config::{Config, Files, METRICS_PORT, StoreConfig, host_name, random_uid};
use crate::init::remove_begun;
use crate::underlay::{self, describe};

/// How `join` is asked.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Where a node of the cluster lets others in: `ADDRESS[:PORT]`.
    pub address: String,
    /// The token.
    pub token: String,
    /// The node's name; the host's if none.
    pub node: Option<Name>,
    /// The state folder.
    pub state_dir: PathBuf,
    /// The local API's socket.
    pub socket: PathBuf,
    /// How the underlay's address is found, in order.
    pub underlay: Vec<String>,
    /// Where metrics and health are asked for.
    pub metrics_listen: Option<SocketAddr>,
    /// Files of CA, certificate and key, where the store is an etcd of the operator's with TLS.
    pub etcd_tls: Option<[PathBuf; 3]>,
}

/// What `join` did.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The node's name.
    pub node: Name,
    /// What was chosen and why, in words.
    pub notes: Vec<String>,
}

/// Makes this host a node of a cluster.
///
/// # Errors
/// The host is a node already; the token is not good; the cluster cannot be reached or is not the
/// token's. Nothing that was begun stays.
pub fn join(options: JoinOptions) -> Result<Joined> {
    let files = Files::new(&options.state_dir);
    let node = options.node.clone().map_or_else(host_name, Ok)?;
    let token = options.token.parse().context("the token")?;
    let addresses = underlay::detect(&underlay::methods(&options.underlay)?)?;
    files.prepare()?;
    let ips: Vec<IpAddr> = addresses.iter().map(|a| a.address.addr()).collect();
    let joined = JoinClient::new(&options.address, token, node.clone(), ips)?.join()?;
    let config = Config {
        node: node.clone(),
        uid: random_uid()?,
        store: store_config(&options, joined.store_endpoints)?,
        underlay: options.underlay,
        socket: options.socket,
        metrics_listen: options
            .metrics_listen
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT))),
    };
    let written = Files::write(&files.ca_cert(), &joined.ca)
        .and_then(|()| Files::write(&files.node_cert(), &joined.identity.certificate))
        .and_then(|()| Files::write(&files.node_key(), &joined.identity.key))
        .and_then(|()| config.save(&files));
    if written.is_err() {
        remove_begun(&files);
    }
    written?;
    Ok(Joined {
        node,
        notes: addresses.iter().map(describe).collect(),
    })
}

/// Where the store is: on the node that let this one in, or in an etcd of the operator's.
fn store_config(options: &JoinOptions, endpoints: Vec<String>) -> Result<StoreConfig> {
    let etcd: Vec<String> = endpoints
        .iter()
        .filter_map(|endpoint| endpoint.strip_prefix(ETCD))
        .map(str::to_owned)
        .collect();
    if etcd.is_empty() {
        let join = options.address.clone();
        return Ok(StoreConfig::Remote { endpoints, join });
    }
    let (ca, cert, key) = match options.etcd_tls.clone() {
        Some([ca, cert, key]) => (Some(ca), Some(cert), Some(key)),
        None if etcd.iter().any(|endpoint| endpoint.starts_with("https://")) => bail!(
            "the cluster's store is the etcd at {}, which wants a certificate of its own: join again, with a new token and --etcd-ca, --etcd-cert and --etcd-key",
            etcd.join(", ")
        ),
        None => (None, None, None),
    };
    Ok(StoreConfig::Etcd {
        endpoints: etcd,
        ca,
        cert,
        key,
        join_listen: None,
    })
}

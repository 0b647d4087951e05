//! What the cluster's first node does for the others: it serves them the store, and lets new ones in.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tombolo_join::enrol::Limits;
use tombolo_join::{
    Authority, AuthorityPem, Enrolment, EnrolmentConfig, Fingerprint, JoinServer, JoinToken,
    KeyAndCert,
};
use tombolo_model::{Name, Resource, Token};
use tombolo_store::etcd::server::{ServerConfig, serve};
use tombolo_store::etcd::{PeerIdentity, ServerTls};

use crate::clock::now;
use crate::config::{Files, JOIN_PORT, StoreConfig};
use crate::listen::bind;
use crate::shared::Shared;

/// What the address of an etcd of the operator's begins with, as a new node is told it.
pub(crate) const ETCD: &str = "etcd+";

/// A token with its text, which is not kept.
pub(crate) struct MadeToken {
    pub resource: Resource<Token>,
    pub text: String,
}

/// Makes a token of a cluster.
pub(crate) fn make_token(ca: Fingerprint, ttl: u64, uses: u32, now: u64) -> Result<MadeToken> {
    if ttl == 0 || uses == 0 {
        bail!("a token must be good for at least one second and one node");
    }
    let token = JoinToken::generate(ca);
    let resource = token.resource(now.saturating_add(ttl), uses);
    Ok(MadeToken {
        resource,
        text: token.reveal(),
    })
}

/// `ADDRESS:PORT`, without the port where it is the one that is taken to be meant.
pub(crate) fn host_port(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(_) if port == JOIN_PORT => ip.to_string(),
        _ => SocketAddr::new(ip, port).to_string(),
    }
}

/// The cluster's certificate authority, on the node that keeps it.
pub(crate) fn authority(files: &Files) -> Result<Option<Authority>> {
    if !files.ca_key().exists() {
        return Ok(None);
    }
    let pem = AuthorityPem {
        key: Files::read(&files.ca_key())?,
        certificate: Files::read(&files.ca_cert())?,
    };
    Ok(Some(Authority::from_pem(&pem)?))
}

/// Serves the store to the other nodes, and lets new ones in, where this node does that.
pub(crate) async fn serve_others(shared: &Arc<Shared>, authority: Option<Authority>) -> Result<()> {
    let (join_listen, endpoints) = match &shared.config.store {
        StoreConfig::Embedded {
            listen,
            join_listen,
            advertise,
        } => {
            serve_store(shared, *listen).await?;
            (*join_listen, advertise.clone())
        }
        // An etcd serves itself; new nodes are told where it is.
        StoreConfig::Etcd {
            endpoints,
            join_listen: Some(join_listen),
            ..
        } => {
            let marked = endpoints.iter().map(|endpoint| format!("{ETCD}{endpoint}"));
            (*join_listen, marked.collect())
        }
        _ => return Ok(()),
    };
    let authority = authority.context("the CA's key is missing from the state folder")?;
    let enrolment = Enrolment::new(EnrolmentConfig {
        store: Arc::clone(shared.resources.store()),
        authority: Arc::new(authority),
        store_endpoints: endpoints,
        clock: Arc::new(now),
    });
    let identity = identity(&shared.files)?;
    enrolment
        .register(shared.node(), &identity.certificate)
        .await?;
    let server = JoinServer::bind(join_listen, enrolment, &identity, Limits::default())
        .await
        .context("choose another port with --join-listen at init")?;
    tokio::spawn(server.serve(std::future::pending()));
    Ok(())
}

/// The node's certificate and key.
pub(crate) fn identity(files: &Files) -> Result<KeyAndCert> {
    Ok(KeyAndCert {
        key: Files::read(&files.node_key())?,
        certificate: Files::read(&files.node_cert())?,
    })
}

async fn serve_store(shared: &Arc<Shared>, listen: SocketAddr) -> Result<()> {
    let listener = bind(listen, "the store", "--store-listen").await?;
    let KeyAndCert { key, certificate } = identity(&shared.files)?;
    let tls = ServerTls {
        ca: Files::read(&shared.files.ca_cert())?,
        cert: certificate,
        key,
    };
    let store = Arc::clone(shared.resources.store());
    let nodes = Arc::clone(shared);
    let hook = move |peer: &PeerIdentity| is_node(&nodes, peer);
    let config = ServerConfig {
        tls,
        peer_hook: Some(Arc::new(hook)),
    };
    tokio::spawn(async move {
        if let Err(error) = serve(listener, store, config, std::future::pending()).await {
            tracing::error!(%error, "the store is not served any more");
        }
    });
    Ok(())
}

/// A certificate is good as long as its node is in the cluster.
fn is_node(shared: &Shared, peer: &PeerIdentity) -> Result<(), String> {
    let names = peer
        .uris
        .iter()
        .filter_map(|uri| uri.strip_prefix("tombolo://node/"));
    let names: Vec<Name> = names.filter_map(|name| Name::new(name).ok()).collect();
    let world = shared.world();
    if names.iter().any(|name| world.nodes.contains_key(name)) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(Name::as_str).collect();
    Err(format!(
        "{} is no node of this cluster (any more)",
        names.join(", ")
    ))
}

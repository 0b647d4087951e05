//! The composition root: opens the store, starts every task, waits for the signal to stop.
//!
//! The order matters: the store first, then the World, then this node's own resource, then the
//! passes over the kernel, and the local API last, so that whoever is answered is answered by an
//! agent that works. At the end nothing in the kernel is touched: traffic goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tombolo_join::enrol::Limits;
use tombolo_join::{Authority, AuthorityPem, Enrolment, EnrolmentConfig, JoinServer, KeyAndCert};
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_plan::HostPlan;
use tombolo_store::embedded::{EmbeddedConfig, EmbeddedStore};
use tombolo_store::etcd::client::{EtcdConfig, EtcdStore};
use tombolo_store::etcd::server::{ServerConfig, serve};
use tombolo_store::etcd::{ClientTls, PeerIdentity, ServerTls};
use tombolo_store::{Resources, Revision, Store};

use crate::config::{AgentOptions, Config, Files, LogFormat, StoreConfig};
use crate::shared::Shared;
use crate::{addresses, apply, follow, http, publish, underlay};

/// No answer of the store takes longer.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the tasks may take to end.
const END: Duration = Duration::from_secs(2);

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start: no configuration, a port that is taken, no privileges.
pub fn run(options: AgentOptions) -> Result<()> {
    log(options.log_format);
    let files = Files::new(&options.state_dir);
    let mut config = Config::load(&files)?;
    if let Some(socket) = options.socket {
        config.socket = socket;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let outcome = runtime.block_on(serve_all(config, files));
    runtime.shutdown_timeout(END);
    outcome
}

/// Removes everything of ours from this host's kernel. The store is not asked nor told.
///
/// # Errors
/// The kernel cannot be read, or something cannot be removed.
pub fn cleanup(_: AgentOptions) -> Result<Vec<String>> {
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let mut kernel = Kernel::open(&here, Ownership::default())?;
    let done = kernel.converge(&HostPlan::default())?;
    if let Some((op, error)) = done.failed.first() {
        bail!(
            "cannot {op}: {error}; {} more could not be done",
            done.failed.len() - 1
        );
    }
    Ok(done.done.iter().map(ToString::to_string).collect())
}

fn log(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TOMBOLO_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second agent in one process keeps the first one's log.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

async fn serve_all(config: Config, files: Files) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let methods = underlay::methods(&config.underlay)?;
    let detected = underlay::detect(&methods)?;
    for address in &detected {
        tracing::info!("{}", crate::init::describe(address));
    }
    let boot_id = tombolo_kernel::boot_id().context("cannot read the boot ID")?;
    let api = http::listen(&config.socket)?;
    let health = bind(config.metrics_listen, "metrics", "--metrics-listen").await?;
    let store = open_store(&config, &files)?;
    let mut shared = Shared::new(config, files, Resources::new(store), boot_id);
    let authority = authority(&shared.files)?;
    shared.authority = authority.as_ref().map(Authority::fingerprint);
    let shared = Arc::new(shared);
    tokio::spawn(follow::follow(Arc::clone(&shared)));
    first_world(&shared).await;
    publish::register(&shared, &detected).await?;
    serve_others(&shared, authority).await?;
    apply::start(&shared)?;
    tokio::spawn(addresses::keep_tunnels(Arc::clone(&shared)));
    tokio::spawn(addresses::sweep(Arc::clone(&shared)));
    tokio::spawn(publish::announce(Arc::clone(&shared)));
    tokio::spawn(publish::follow_underlay(Arc::clone(&shared)));
    tokio::spawn(publish::stay_alive(Arc::clone(&shared)));
    shared.wake.notify_one();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Arc::clone(&shared);
    let api = tokio::spawn(http::serve_api(api, serving, async {
        let _ = stopped.await;
    }));
    tokio::spawn(http::serve_health(health, Arc::clone(&shared)));
    tell_service_manager("READY=1");
    tracing::info!(node = %shared.node(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; the kernel stays as it is, and traffic goes on");
    tell_service_manager("STOPPING=1");
    let _ = stop.send(());
    let _ = tokio::time::timeout(END, api).await;
    let _ = std::fs::remove_file(&shared.config.socket);
    Ok(())
}

/// Waits for the first list of the store. The kernel keeps what it holds meanwhile.
async fn first_world(shared: &Shared) {
    let mut seen = shared.seen.subscribe();
    // The sender lives as long as `shared`.
    let _ = seen.wait_for(|seen| *seen != Revision::NONE).await;
}

fn open_store(config: &Config, files: &Files) -> Result<Arc<dyn Store>> {
    match &config.store {
        StoreConfig::Embedded { .. } => Ok(Arc::new(EmbeddedStore::open(EmbeddedConfig::new(
            files.store(),
        ))?)),
        _ => remote_store(config, files),
    }
}

/// A store on another node, or an etcd.
pub(crate) fn remote_store(config: &Config, files: &Files) -> Result<Arc<dyn Store>> {
    let (endpoints, tls) = match &config.store {
        StoreConfig::Remote { endpoints } => {
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

/// The cluster's certificate authority, on the node that keeps it.
fn authority(files: &Files) -> Result<Option<Authority>> {
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
async fn serve_others(shared: &Arc<Shared>, authority: Option<Authority>) -> Result<()> {
    let (join_listen, endpoints) = match &shared.config.store {
        StoreConfig::Embedded {
            listen,
            join_listen,
            advertise,
        } => {
            serve_store(shared, *listen).await?;
            (*join_listen, advertise.clone())
        }
        _ => return Ok(()),
    };
    let authority = authority.context("the CA's key is missing from the state folder")?;
    let enrolment = Enrolment::new(EnrolmentConfig {
        store: Arc::clone(shared.resources.store()),
        authority: Arc::new(authority),
        store_endpoints: endpoints,
        clock: Arc::new(http::now),
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
fn identity(files: &Files) -> Result<KeyAndCert> {
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
    let names: Vec<&str> = names.collect();
    let world = shared.world();
    if names
        .iter()
        .any(|name| world.nodes.keys().any(|node| node.as_str() == *name))
    {
        return Ok(());
    }
    Err(format!(
        "{} is no node of this cluster (any more)",
        names.join(", ")
    ))
}

/// Listens on an address; one that is taken is told with the option that changes it.
async fn bind(address: SocketAddr, what: &str, option: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    // Without IPv6 in the kernel every address is IPv4's.
    let listener = match listener {
        Err(error)
            if error.kind() != std::io::ErrorKind::AddrInUse
                && address.ip() == std::net::Ipv6Addr::UNSPECIFIED =>
        {
            TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    };
    listener.with_context(|| {
        format!(
            "cannot listen on {address} for {what}; if another program has the port, stop it (`ss -ltnp`) or choose another with {option} at init"
        )
    })
}

/// Tells systemd how we are, if it started us (sd_notify(3)).
fn tell_service_manager(state: &str) {
    if let Ok(path) = std::env::var("NOTIFY_SOCKET")
        && let Ok(socket) = std::os::unix::net::UnixDatagram::unbound()
    {
        // Nobody to tell is no error.
        let _ = socket.send_to(state.as_bytes(), path);
    }
}

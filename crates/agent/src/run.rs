//! The composition root: opens the store, starts every task, waits for the signal to stop.
//!
//! The order matters: the store first, then the local API, which answers that the store is not
//! reached while it is not, then the World, then this node's own resource, then the passes over the
//! kernel. At the end nothing in the kernel is touched: traffic goes on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tombolo_join::Authority;
use tombolo_kernel::{Kernel, NetnsHandle, Ownership};
use tombolo_plan::HostPlan;
use tombolo_store::{Resources, Revision};

use crate::config::{AgentOptions, Config, Files, LogFormat};
use crate::shared::Shared;
use crate::{
    addresses, admit, apply, attach, bgp, follow, http, listen, policy, publish, renew, store,
    tunnel, underlay,
};

/// How long the tasks may take to end.
const END: Duration = Duration::from_secs(2);

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start: no configuration, a port that is taken, no privileges.
pub fn run(options: AgentOptions) -> Result<()> {
    log(options.log_format);
    check_privileges()?;
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
pub fn cleanup(options: AgentOptions) -> Result<Vec<String>> {
    check_privileges()?;
    // Without a configuration there is no telling whose namespaces are whose.
    let config = Config::load(&Files::new(&options.state_dir));
    let ownership = config.map_or_else(|_| Ownership::default(), |c| Ownership::of(&c.node));
    let here = NetnsHandle::current().context("cannot open the host's network namespace")?;
    let mut kernel = Kernel::open(&here, ownership)?;
    let done = kernel.converge(&HostPlan::default())?;
    if let Some((op, error)) = done.failed.first() {
        bail!(
            "cannot {op}: {error}; {} more could not be done",
            done.failed.len() - 1
        );
    }
    Ok(done.done.iter().map(ToString::to_string).collect())
}

/// The kernel would refuse later, one operation at a time; here it is said at once.
fn check_privileges() -> Result<()> {
    // linux/capability.h
    const NEEDED: [(u32, &str, &str); 2] = [
        (12, "CAP_NET_ADMIN", "to change the network"),
        (21, "CAP_SYS_ADMIN", "to enter the sandboxes of containers"),
    ];
    let status = Files::read(std::path::Path::new("/proc/self/status"))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let has = |bit: u32| effective.is_none_or(|set| set >> bit & 1 == 1);
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(bit, _, _)| !has(*bit))
        .map(|(_, name, purpose)| format!("{name} {purpose}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "the agent lacks {}; run it as root, or by its systemd unit",
        missing.join(" and ")
    )
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
        tracing::info!("{}", underlay::describe(address));
    }
    let boot_id = tombolo_kernel::boot_id().context("cannot read the boot ID")?;
    let api = http::listen(&config.socket)?;
    let health = listen::bind(config.metrics_listen, "metrics", "--metrics-listen").await?;
    let store = store::open(&config, &files)?;
    let mut shared = Shared::new(config, files, Resources::new(store), boot_id)?;
    let authority = admit::authority(&shared.files)?;
    shared.authority = authority.as_ref().map(Authority::fingerprint);
    let shared = Arc::new(shared);
    tokio::spawn(follow::follow(Arc::clone(&shared)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let api = tokio::spawn(http::serve_api(api, Arc::clone(&shared), async {
        let _ = stopped.await;
    }));
    tokio::spawn(http::serve_health(health, Arc::clone(&shared)));
    first_world(&shared).await;
    publish::be_alone(&shared).await?;
    publish::register(&shared, &detected).await?;
    admit::serve_others(&shared, authority).await?;
    policy::start(&shared)?;
    bgp::recall(&shared)?;
    tunnel::recall(&shared);
    apply::start(&shared)?;
    tokio::spawn(bgp::follow(Arc::clone(&shared)));
    tokio::spawn(tunnel::follow(Arc::clone(&shared)));
    tokio::spawn(addresses::keep_tunnels(Arc::clone(&shared)));
    tokio::spawn(attach::alone::catch_up(Arc::clone(&shared)));
    tokio::spawn(addresses::sweep(Arc::clone(&shared)));
    tokio::spawn(publish::announce(Arc::clone(&shared)));
    tokio::spawn(publish::follow_underlay(Arc::clone(&shared)));
    tokio::spawn(publish::stay_alive(Arc::clone(&shared)));
    tokio::spawn(renew::keep(Arc::clone(&shared)));
    shared.passes.world_changed();
    tell_service_manager("READY=1");
    tracing::info!(node = %shared.node(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; the kernel stays as it is, and traffic goes on");
    tell_service_manager("STOPPING=1");
    bgp::stop(&shared).await;
    tunnel::stop(&shared);
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

/// Tells systemd how we are, if it started us (sd_notify(3)).
fn tell_service_manager(state: &str) {
    if let Ok(path) = std::env::var("NOTIFY_SOCKET")
        && let Ok(socket) = std::os::unix::net::UnixDatagram::unbound()
    {
        // Nobody to tell is no error.
        let _ = socket.send_to(state.as_bytes(), path);
    }
}

//! `tombolo-docker`: Docker's networks are Tombolo's (libnetwork's remote driver and IPAM driver).
//!
//! A small process beside each Docker engine. It turns the engine's calls into requests to the
//! agent, and the agent's answers into what Docker understands; it decides nothing about networks
//! and changes nothing in the kernel.
//!
//! ```text
//!  dockerd ──/run/docker/plugins/tombolo.sock──► serve ─► dispatch ─┬─ network, endpoint, ports
//!     ▲                                                             └─ ipam
//!     └──── names, mirrored networks ◄── namer, mirror ◄──agent────────┘
//! ```

mod about;
mod agent;
mod bell;
mod dispatch;
mod endpoint;
mod engine;
pub mod fuzzing;
mod ipam;
mod mirror;
mod namer;
mod network;
mod options;
mod ports;
mod serve;
mod state;
mod wire;

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::net::UnixListener;

pub use dispatch::{Plugin, Reply};
pub use serve::BOUND;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Docker looks for plugins (`/run/docker/plugins`).
    pub socket: PathBuf,
    /// The agent's local API.
    pub agent: PathBuf,
    /// The engine's own API.
    pub docker: PathBuf,
    /// Where the plugin keeps what it must not forget.
    pub state_dir: PathBuf,
}

/// The annotation of a network that holds the labels that it was made with.
pub(crate) const LABELS: &str = "docker.tombolo.dev/labels";
/// The annotation of a network that holds the options that it was made with.
pub(crate) const OPTIONS: &str = "docker.tombolo.dev/options";
/// The annotation of a network that holds the subnets that it was made with, as Docker writes them:
/// ranges within them, gateways, and addresses that are somebody else's.
pub(crate) const SUBNETS: &str = "docker.tombolo.dev/subnets";
/// The option by which the mirror says which network it means. It is Docker's own for what the
/// platform calls a network, elsewhere of use only on Windows: compose takes a network for another
/// one if its options differ, but for this and two more (`OPTS_EXCEPTIONS`, compose/network.py).
pub(crate) const MIRRORED: &str = "com.docker.network.windowsshim.networkname";

impl Settings {
    /// The name that Docker knows the plugin by: that of its socket.
    pub(crate) fn driver(&self) -> String {
        let stem = self.socket.file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The socket cannot be listened on, or the state not be read.
pub fn run(settings: Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let socket = settings.socket.clone();
    let plugin = Arc::new(Plugin::new(settings)?);
    let named = Arc::clone(&plugin);
    std::thread::Builder::new()
        .name("namer".to_owned())
        .spawn(move || namer::run(&named))
        .context("cannot start a thread")?;
    mirror::start(&plugin).context("cannot start a thread")?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let listener = listen(&socket)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        tracing::info!(socket = %socket.display(), "serving Docker");
        serve::serve(listener, plugin, stop).await;
        Ok(())
    })
}

/// The socket that systemd holds open (`StandardInput=socket`), so that Docker finds it also while
/// this program restarts; else one of our own.
fn listen(path: &Path) -> Result<UnixListener> {
    let input = std::io::stdin();
    let given = nix::sys::socket::getsockopt(&input, nix::sys::socket::sockopt::AcceptConn);
    let listener = if given.unwrap_or(false) {
        let held = input.as_fd().try_clone_to_owned();
        std::os::unix::net::UnixListener::from(held.context("cannot take the socket over")?)
    } else {
        own_socket(path)?
    };
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).context("cannot listen")
}

fn own_socket(path: &Path) -> Result<std::os::unix::net::UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!(
            "another plugin answers on {}; stop it, or give this one another --socket",
            path.display()
        );
    }
    // Nobody answers: it was left by one that was killed.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)
        .with_context(|| format!("cannot listen on {}", path.display()))?;
    // Who may ask the plugin may plug containers in: Docker, which is root.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    Ok(listener)
}

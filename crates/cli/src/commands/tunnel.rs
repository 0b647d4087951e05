//! `tombolo tunnel`: the tunnel through user space as a process of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use tombolo_tunnel::process::{DEFAULT_SOCKET, Options, ServeOptions, serve};

#[derive(Debug, Args)]
pub(crate) struct Tunnel {
    /// Where the agent tells it what to be; another one that serves there hands over and ends.
    #[arg(long, env = "TOMBOLO_TUNNEL_SOCKET", default_value = DEFAULT_SOCKET)]
    tunnel_socket: PathBuf,
    /// How many threads carry packets in each direction [default: one for each processor, up to 4].
    #[arg(long)]
    queues: Option<usize>,
}

impl Tunnel {
    pub fn run(self) -> Result<()> {
        let mut tunnel = Options::default();
        if let Some(queues) = self.queues {
            tunnel.queues = queues.clamp(1, 64);
        }
        let options = ServeOptions {
            socket: self.tunnel_socket,
            tunnel,
            ready,
            renew,
        };
        serve(&options).context("the tunnel cannot run")
    }
}

fn ready(took_over: bool) {
    let how = if took_over {
        ", taken over from another process"
    } else {
        ""
    };
    eprintln!("tunnel ready{how}");
    // Of several processes the service manager watches the last one.
    tell_service_manager(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// Starts the program anew, perhaps another version of it, which then takes over.
fn renew() {
    let mut words = std::env::args_os();
    let Some(program) = words.next() else { return };
    if let Err(error) = Command::new(&program).args(words).spawn() {
        eprintln!(
            "error: cannot start {}: {error}; going on",
            program.to_string_lossy()
        );
    }
}

/// sd_notify(3).
fn tell_service_manager(state: &str) {
    if let Ok(path) = std::env::var("NOTIFY_SOCKET")
        && let Ok(socket) = std::os::unix::net::UnixDatagram::unbound()
    {
        // Nobody to tell is no error.
        let _ = socket.send_to(state.as_bytes(), path);
    }
}

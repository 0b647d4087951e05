//! The program: its arguments, its log.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tombolo_docker::Settings;
use tracing_subscriber::EnvFilter;

/// Lets Docker use Tombolo's networks: `docker network create -d tombolo NAME`.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where Docker finds the plugin.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/docker/plugins/tombolo.sock"
    )]
    socket: PathBuf,
    /// Where the agent listens.
    #[arg(long, value_name = "PATH", env = "TOMBOLO_SOCKET", default_value = tombolo_api::DEFAULT_SOCKET)]
    agent: PathBuf,
    /// Where the Docker engine listens.
    #[arg(long, value_name = "PATH", default_value = "/run/docker.sock")]
    docker: PathBuf,
    /// Where the plugin keeps which network of Docker's is which of Tombolo's.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tombolo")]
    state_dir: PathBuf,
    /// What is logged, as `debug` or `tombolo_docker=debug`.
    #[arg(
        long,
        value_name = "FILTER",
        env = "TOMBOLO_LOG",
        default_value = "info"
    )]
    log: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&arguments.log))
        .with_writer(std::io::stderr)
        .init();
    let settings = Settings {
        socket: arguments.socket,
        agent: arguments.agent,
        docker: arguments.docker,
        state_dir: arguments.state_dir,
    };
    match tombolo_docker::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! `init`, `join`, `agent`: this host as a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use tombolo_agent::{
    AgentOptions, DEFAULT_STATE_DIR, EtcdOptions, InitOptions, JoinOptions, LogFormat,
};
use tombolo_model::Name;

/// What `init`, `join` and `agent` have in common.
#[derive(Debug, Args)]
struct Place {
    /// The folder of configuration, certificates and store.
    #[arg(long, env = "TOMBOLO_STATE_DIR", default_value = DEFAULT_STATE_DIR)]
    state_dir: PathBuf,
}

/// What `init` and `join` have in common.
#[derive(Debug, Args)]
struct Identity {
    /// The node's name [default: the host's].
    #[arg(long)]
    node: Option<Name>,
    /// How the address that other nodes reach this one by is found: `default-route`,
    /// `interface=NAME[,NAME…]`, `cidr=RANGE` or `can-reach=ADDRESS`; several are tried in order.
    #[arg(long)]
    underlay: Vec<String>,
    /// Where metrics and health are asked for [default: 127.0.0.1:7463].
    #[arg(long)]
    metrics_listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    identity: Identity,
    /// A range for containers; give one of each family for dual stack.
    #[arg(long = "pool")]
    pools: Vec<IpNet>,
    /// How packets travel between nodes at first: `vxlan` or `direct`.
    #[arg(long, default_value = "vxlan")]
    transport: String,
    /// Where the store serves other nodes [default: port 7460 of every address].
    #[arg(long)]
    store_listen: Option<SocketAddr>,
    /// Where nodes ask to join [default: port 7461 of every address].
    #[arg(long)]
    join_listen: Option<SocketAddr>,
    /// Use this etcd instead of a store of our own: its endpoints.
    #[arg(long, value_delimiter = ',')]
    etcd: Vec<String>,
    /// File of the etcd's certificate authority.
    #[arg(long, requires = "etcd")]
    etcd_ca: Option<PathBuf>,
    /// File of our certificate for the etcd.
    #[arg(long, requires = "etcd")]
    etcd_cert: Option<PathBuf>,
    /// File of our key for the etcd.
    #[arg(long, requires = "etcd")]
    etcd_key: Option<PathBuf>,
    /// How long the first token is good for.
    #[arg(long, default_value = "24h", value_parser = super::token::duration)]
    token_ttl: Duration,
    /// How many nodes may join with it.
    #[arg(long, default_value_t = 1)]
    token_uses: u32,
}

impl Init {
    pub fn run(self, socket: PathBuf) -> Result<()> {
        let etcd = (!self.etcd.is_empty()).then_some(EtcdOptions {
            endpoints: self.etcd,
            ca: self.etcd_ca,
            cert: self.etcd_cert,
            key: self.etcd_key,
        });
        let made = tombolo_agent::init(InitOptions {
            node: self.identity.node,
            state_dir: self.place.state_dir,
            socket,
            underlay: self.identity.underlay,
            store_listen: self.store_listen,
            join_listen: self.join_listen,
            pools: self.pools,
            transport: Some(self.transport),
            etcd,
            token_ttl: self.token_ttl,
            token_uses: self.token_uses,
            metrics_listen: self.identity.metrics_listen,
        })?;
        println!("This host is node {}, the first of its cluster.", made.node);
        tell(&made.notes);
        println!("\nOn the next host:\n\n  {}\n", made.join_command);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    identity: Identity,
    /// The node that lets this one in: ADDRESS or ADDRESS:PORT.
    address: String,
    /// The token that it gave.
    #[arg(long, env = "TOMBOLO_TOKEN", hide_env_values = true)]
    token: String,
    /// File of the CA of an etcd that is the cluster's store and uses TLS.
    #[arg(long, requires_all = ["etcd_cert", "etcd_key"])]
    etcd_ca: Option<PathBuf>,
    /// File of this node's certificate for that etcd.
    #[arg(long, requires = "etcd_ca")]
    etcd_cert: Option<PathBuf>,
    /// File of this node's key for that etcd.
    #[arg(long, requires = "etcd_ca")]
    etcd_key: Option<PathBuf>,
}

impl Join {
    pub fn run(self, socket: PathBuf) -> Result<()> {
        let etcd_tls = match (self.etcd_ca, self.etcd_cert, self.etcd_key) {
            (Some(ca), Some(cert), Some(key)) => Some([ca, cert, key]),
            _ => None,
        };
        let joined = tombolo_agent::join(JoinOptions {
            address: self.address,
            token: self.token,
            node: self.identity.node,
            state_dir: self.place.state_dir,
            socket,
            underlay: self.identity.underlay,
            metrics_listen: self.identity.metrics_listen,
            etcd_tls,
        })?;
        println!("This host is node {}.", joined.node);
        tell(&joined.notes);
        Ok(())
    }
}

fn tell(notes: &[String]) {
    for note in notes {
        println!("  {note}");
    }
    println!("\nStart the agent: `systemctl enable --now tombolo`, or `tombolo agent`.");
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    place: Place,
    /// Remove everything of ours from this host's kernel, and end.
    #[arg(long)]
    cleanup: bool,
    /// How the log is written, to the standard error.
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
}

impl Agent {
    pub fn run(self, socket: PathBuf) -> Result<()> {
        let given = socket.as_os_str() != tombolo_api::DEFAULT_SOCKET;
        if self.cleanup && std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            bail!(
                "an agent runs and would put everything back; stop it first: `systemctl stop tombolo`"
            );
        }
        let options = AgentOptions {
            state_dir: self.place.state_dir,
            socket: given.then_some(socket),
            log_format: match self.log {
                Log::Text => LogFormat::Text,
                Log::Json => LogFormat::Json,
            },
        };
        if !self.cleanup {
            return tombolo_agent::run(options);
        }
        let done = tombolo_agent::cleanup(options)?;
        for line in &done {
            println!("{line}");
        }
        println!("{} objects removed", done.len());
        Ok(())
    }
}

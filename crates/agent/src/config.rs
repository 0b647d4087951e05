//! What a node must know before it can ask the store: who it is, where the store is, by which
//! certificate it is known. Written once by `init` or `join`, as `agent.json` in the state folder.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tombolo_model::Name;

/// Where a node keeps its configuration, certificates and, if it has it, the store.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/tombolo";
/// Where the store listens unless told otherwise.
pub(crate) const STORE_PORT: u16 = 7460;
/// Where nodes ask to join unless told otherwise.
pub(crate) const JOIN_PORT: u16 = 7461;
/// Where metrics and health are asked for unless told otherwise.
pub(crate) const METRICS_PORT: u16 = 7463;

/// How the agent is started.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The state folder.
    pub state_dir: PathBuf,
    /// The API's socket; as configured if none.
    pub socket: Option<PathBuf>,
    /// How the log is written.
    pub log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// The node's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The node's name.
    pub node: Name,
    /// The node's UID: a node that is made anew under the same name has another.
    pub uid: String,
    /// Where the store is.
    pub store: StoreConfig,
    /// How the underlay's address is found, in order.
    #[serde(default)]
    pub underlay: Vec<String>,
    /// The local API's socket.
    pub socket: PathBuf,
    /// Where metrics and health are asked for.
    pub metrics_listen: SocketAddr,
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum StoreConfig {
    /// In this node's agent, which serves the others.
    Embedded {
        /// Where it serves the etcd protocol.
        listen: SocketAddr,
        /// Where nodes ask to join.
        join_listen: SocketAddr,
        /// What other nodes are told to connect to.
        advertise: Vec<String>,
    },
    /// On another node, with this node's certificate.
    Remote {
        /// `https://ADDRESS:PORT` of each server.
        endpoints: Vec<String>,
        /// Where this node joined, and asks for its next certificate.
        join: String,
    },
    /// An etcd of the operator's.
    Etcd {
        /// Its endpoints.
        endpoints: Vec<String>,
        /// Files of its certificate authority and of our certificate and key, if it uses TLS.
        ca: Option<PathBuf>,
        /// The certificate.
        cert: Option<PathBuf>,
        /// The key.
        key: Option<PathBuf>,
        /// Where nodes ask to join.
        join_listen: Option<SocketAddr>,
    },
}

/// Files of the state folder.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    /// The folder.
    pub dir: PathBuf,
}

impl Files {
    pub fn new(dir: &Path) -> Files {
        Files {
            dir: dir.to_owned(),
        }
    }
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.json")
    }
    pub fn store(&self) -> PathBuf {
        self.dir.join("store.redb")
    }
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }
    pub fn ca_key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }
    pub fn node_cert(&self) -> PathBuf {
        self.dir.join("node.crt")
    }
    pub fn node_key(&self) -> PathBuf {
        self.dir.join("node.key")
    }
    /// What this node signs its tunnel's messages with.
    pub fn tunnel_key(&self) -> PathBuf {
        self.dir.join("tunnel.key")
    }
    /// What was done without the store.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }
    /// Policies that cannot be read any more, as they could.
    pub fn kept(&self) -> PathBuf {
        self.dir.join("kept.json")
    }
    /// There once the node has been written to the store: a node that is gone from there after that
    /// was deleted, and does not come back by itself.
    pub fn registered(&self) -> PathBuf {
        self.dir.join("registered")
    }

    /// Makes the folder, for its owner alone, and refuses one that holds a configuration.
    pub fn prepare(&self) -> Result<()> {
        if self.config().exists() {
            bail!(
                "{} exists: this host is a node already; run `tombolo agent`, or remove {} to start anew",
                self.config().display(),
                self.dir.display()
            );
        }
        std::fs::create_dir_all(&self.dir).with_context(|| {
            format!(
                "cannot make {}; run as root, or name another with --state-dir",
                self.dir.display()
            )
        })
    }

    pub fn read(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Writes a file as a whole or not at all, readable by its owner alone.
    pub fn write(path: &Path, content: &str) -> Result<()> {
        let new = path.with_extension("new");
        let written = (|| {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        })();
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Config {
    pub(crate) fn load(files: &Files) -> Result<Config> {
        let path = files.config();
        if !path.exists() {
            bail!(
                "{} is missing: this host is no node yet; run `tombolo init`, or `tombolo join` with a token from another node",
                path.display()
            );
        }
        let text = Files::read(&path)?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    pub(crate) fn save(&self, files: &Files) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("configuration as JSON")?;
        text.push('\n');
        Files::write(&files.config(), &text)
    }
}

/// The name of this host, as a node's name.
pub(crate) fn host_name() -> Result<Name> {
    let host = nix::unistd::gethostname().context("cannot read the host's name")?;
    let host = host.to_string_lossy().into_owned();
    Name::new(host).context("the host's name cannot be a node's; give one with --node")
}

/// A random UID.
pub(crate) fn random_uid() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let mut source = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes).context("cannot read /dev/urandom")?;
    Ok(hex::encode(bytes))
}

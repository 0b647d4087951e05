//! Who carries the tunnel: this process, or one beside it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tombolo_plan::tunnel::{TunnelPeerId, TunnelPlan};
use tombolo_tunnel::process::{Client, Handle, Options, Status, start};
use tombolo_tunnel::{Config, Key, Network, NetworkId, NodeId, Peer, PeerId, TunnelError};

use crate::shared::Shared;

/// So long word of a change is waited for in this process, and after who carries beside it has failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who carries the tunnel.
#[derive(Debug)]
pub(super) enum Carrier {
    Inside(Handle),
    Beside(Client),
}

/// Where a tunnel beside this agent listens: where the agent does.
pub(super) fn socket(shared: &Shared) -> PathBuf {
    shared.config.socket.with_file_name("tunnel.sock")
}

impl Carrier {
    /// One beside the agent if there is one, else a new one in this process.
    pub fn find(shared: &Shared) -> Result<Carrier, TunnelError> {
        let client = Client::new(&socket(shared));
        if client.is_served() {
            tracing::info!(socket = %socket(shared).display(), "packets go through the tunnel there");
            return Ok(Carrier::Beside(client));
        }
        tracing::info!("packets go through a tunnel in this process");
        Ok(Carrier::Inside(start(&Options::default())?))
    }

    /// Whether it is there, and none that should rather carry.
    pub fn is_right(&self, shared: &Shared) -> bool {
        match self {
            Carrier::Inside(_) => !Client::new(&socket(shared)).is_served(),
            Carrier::Beside(client) => client.is_served(),
        }
    }

    pub fn configure(&self, config: Config) -> Result<(), TunnelError> {
        match self {
            Carrier::Inside(handle) => handle.configure(config),
            Carrier::Beside(client) => client.configure(config),
        }
    }

    pub fn status(&self) -> Result<Status, TunnelError> {
        match self {
            Carrier::Inside(handle) => handle.status(),
            Carrier::Beside(client) => client.status(),
        }
    }

    fn wait(&self, edition: u64) -> Result<Status, TunnelError> {
        match self {
            Carrier::Inside(handle) => handle.wait(edition, PATIENCE),
            Carrier::Beside(client) => client.wait(edition),
        }
    }

    /// Tells of each change, as long as this carrier is kept.
    pub fn follow(self: &Arc<Self>, statuses: &mpsc::Sender<Status>) -> Result<(), TunnelError> {
        let (weak, statuses) = (Arc::downgrade(self), statuses.clone());
        let thread = std::thread::Builder::new().name("tunnel-news".to_owned());
        let thread = thread.spawn(move || tell(&weak, &statuses));
        thread.map(drop).map_err(|error| TunnelError::Resources {
            operation: "start a thread",
            errno: nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or_default()),
        })
    }
}

fn tell(carrier: &Weak<Carrier>, statuses: &mpsc::Sender<Status>) {
    // Another process counts anew: whatever it has is news.
    let mut last = None;
    while let Some(carrier) = carrier.upgrade() {
        match carrier.wait(last.map_or(0, |(_, edition)| edition)) {
            Ok(status) => {
                let at = (status.process, status.edition);
                if last != Some(at) && statuses.blocking_send(status).is_err() {
                    return;
                }
                last = Some(at);
            }
            Err(_) => {
                drop(carrier);
                std::thread::sleep(PATIENCE);
            }
        }
    }
}

/// A plan in a tunnel's words, and what of it cannot be said in them.
pub(super) fn config(plan: &TunnelPlan, shared: &Shared) -> (Config, Vec<String>) {
    let mut problems = Vec::new();
    let mut config = Config {
        me: NodeId(shared.node().to_string()),
        key: key(&shared.tunnel_key).unwrap_or_default(),
        listen: plan.listen.clone(),
        ..Config::default()
    };
    for (told, peer) in &plan.peers {
        let Some(key) = key(&peer.key) else {
            problems.push(format!(
                "tunnel: node {} has published a key that is none; restart its agent",
                told.node
            ));
            continue;
        };
        let peer = Peer {
            key,
            underlay_mtu: u16::try_from(peer.underlay_mtu).unwrap_or(u16::MAX),
        };
        config.peers.insert(id(told), peer);
    }
    for (name, device) in &plan.devices {
        let routes = device.routes.iter();
        let network = Network {
            device: name.to_string(),
            routes: routes.map(|(net, peer)| (*net, id(peer))).collect(),
        };
        config.networks.insert(NetworkId(device.number), network);
    }
    (config, problems)
}

fn id(peer: &TunnelPeerId) -> PeerId {
    PeerId {
        node: NodeId(peer.node.to_string()),
        address: peer.address,
    }
}

fn key(text: &str) -> Option<Key> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Key(bytes))
}

//! Any store for other nodes: the accept loop, TLS, and the services behind it.
//!
//! Only mutual TLS: a connection without a certificate of our CA gets nowhere, and the
//! log says who it was and why. Handshakes run beside each other, at most five seconds
//! each, so that one silent peer holds up nobody. The services are in `serve_kv`,
//! `serve_watch`, `serve_lease` and `serve_cluster`; they translate, and decide nothing.
//!
//! At shutdown the streams that would never end (watches, keep-alives) are ended first,
//! then the connections drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

use super::guard::Guarded;
use crate::error::StoreError;
use crate::etcd::pb::etcdserverpb as pb;
use crate::etcd::{PeerHook, PeerIdentity, ServerTls};
use crate::store::Store;
use crate::types::Revision;

/// How long a peer may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long connections may take to drain at shutdown.
const DRAIN: Duration = Duration::from_secs(3);

/// The term of a store that has been its own leader from the beginning.
pub(super) const RAFT_TERM: u64 = 1;

/// The largest request; etcd refuses above 1.5 MiB, and tells it apart itself.
const MAX_REQUEST: usize = 4 << 20;

/// What a server needs besides a store and a socket.
#[derive(Clone)]
pub struct ServerConfig {
    /// Its certificate, its key, and the CA of those who are let in.
    pub tls: ServerTls,
    /// Whom of those to refuse nevertheless.
    pub peer_hook: Option<PeerHook>,
}

/// What all services share.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) store: Arc<dyn Store>,
    pub(super) cluster_id: u64,
    pub(super) member_id: u64,
    pub(super) address: SocketAddr,
    /// Becomes true when the server ends.
    pub(super) closing: watch::Receiver<bool>,
}

impl Served {
    pub(super) fn header(&self, revision: Revision) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader {
            cluster_id: self.cluster_id,
            member_id: self.member_id,
            revision: revision.0,
            raft_term: RAFT_TERM,
        })
    }

    /// A header with the newest revision.
    pub(super) async fn newest(&self) -> Result<Option<pb::ResponseHeader>, tonic::Status> {
        let status = self
            .store
            .status()
            .await
            .map_err(|e| super::status::to_status(&e))?;
        Ok(self.header(status.revision))
    }
}

/// Serves `store` on `listener` until `shutdown` ends.
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), StoreError> {
    let acceptor = TlsAcceptor::from(Arc::new(config.tls.config()?));
    let failed = |cause: String| StoreError::Unavailable {
        endpoint: "(server)".to_owned(),
        cause,
    };
    let address = listener
        .local_addr()
        .map_err(|error| failed(error.to_string()))?;
    let status = store.status().await?;
    let (close, closing) = watch::channel(false);
    let (cluster_id, member_id) = (status.cluster_id, status.member_id);
    let served = Served {
        store,
        cluster_id,
        member_id,
        address,
        closing: closing.clone(),
    };

    let (ready, incoming) = mpsc::channel(64);
    let door = Door {
        acceptor,
        hook: config.peer_hook,
        ready,
    };
    let mut accepting = JoinSet::new();
    accepting.spawn(door.accept(listener));

    let mut ended = closing;
    let signal = async move {
        // An error means that the sender is gone, which is an end as well.
        let _ = ended.wait_for(|closing| *closing).await;
    };
    let serving = services(served).serve_with_incoming_shutdown(
        futures::StreamExt::map(ReceiverStream::new(incoming), Ok::<_, std::io::Error>),
        signal,
    );
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return result.map_err(|error| failed(error.to_string())),
        () = shutdown => {}
    }
    accepting.shutdown().await;
    let _ = close.send(true);
    if tokio::time::timeout(DRAIN, serving).await.is_err() {
        tracing::warn!(%address, "some connections to the store did not drain and are cut");
    }
    Ok(())
}

fn services(served: Served) -> tonic::transport::server::Router {
    let kv = pb::kv_server::KvServer::new(served.clone()).max_decoding_message_size(MAX_REQUEST);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .tcp_nodelay(true)
        .add_service(kv)
        .add_service(pb::watch_server::WatchServer::new(served.clone()))
        .add_service(pb::lease_server::LeaseServer::new(served.clone()))
        .add_service(pb::maintenance_server::MaintenanceServer::new(
            served.clone(),
        ))
        .add_service(pb::cluster_server::ClusterServer::new(served))
}

/// Who stands at the door and looks at certificates.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    hook: Option<PeerHook>,
    ready: mpsc::Sender<Guarded>,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let mut handshakes = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        handshakes.spawn(self.clone().admit(stream, peer));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection to the store");
                        // Out of file descriptors, most likely: spinning would not help.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = handshakes.join_next() => {}
            }
        }
    }

    async fn admit(self, stream: TcpStream, peer: SocketAddr) {
        let refused = |reason: &str| {
            tracing::warn!(%peer, reason, "refused a connection to the store");
        };
        if let Err(error) = stream.set_nodelay(true) {
            return refused(&error.to_string());
        }
        let handshake = self.acceptor.accept(stream).into_fallible();
        let stream = match tokio::time::timeout(HANDSHAKE, handshake).await {
            Err(_) => return refused("no TLS handshake within 5 s"),
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                refused(&error.to_string());
                return linger(stream).await;
            }
        };
        match self.check(&stream) {
            Ok(identity) => {
                let guarded = Guarded::new(stream, peer, identity, self.hook);
                // The server may be ending; then nobody takes connections any more.
                let _ = self.ready.send(guarded).await;
            }
            Err(reason) => refused(&reason),
        }
    }

    fn check(&self, stream: &TlsStream<TcpStream>) -> Result<PeerIdentity, String> {
        let (_, session) = stream.get_ref();
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificate = certificates
            .first()
            .ok_or("no client certificate was shown")?;
        let identity = PeerIdentity::of(certificate)?;
        if let Some(hook) = &self.hook {
            hook(&identity)?;
        }
        Ok(identity)
    }
}

/// Lets the peer read the alert: closing at once, with its bytes unread, would reset the
/// connection and take the alert with it.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut scratch = [0; 1024];
        while stream.read(&mut scratch).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // Whatever happens here, the connection was refused already.
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}

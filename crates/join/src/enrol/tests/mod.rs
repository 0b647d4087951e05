//! A cluster of one server over a memory store, with a clock and a log that tests can see.

mod gate;
mod joins;
mod refusals;
mod strangers;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tombolo_model::{AnyResource, Name, Resource, Token, Write};
use tombolo_store::{Commit, MemoryStore, Resources};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::ca::{Authority, KeyAndCert};
use crate::token::{JoinToken, resource_key};

/// The time, in seconds since 1970: certificates are verified by the real clock.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;
    fn make_writer(&self) -> Log {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A cluster whose server runs on this thread.
struct Cluster {
    authority: Arc<Authority>,
    resources: Resources,
    /// Seconds that the server's clock is ahead of the real one.
    ahead: Arc<AtomicU64>,
    address: SocketAddr,
    identity: KeyAndCert,
    slot: IdentitySlot,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _logging: DefaultGuard,
}

impl Cluster {
    async fn start() -> Cluster {
        Cluster::start_with(Limits::default()).await
    }

    async fn start_with(limits: Limits) -> Cluster {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let authority = Arc::new(Authority::create("lab", now()).unwrap());
        let store = Arc::new(MemoryStore::new());
        let ahead = Arc::new(AtomicU64::new(0));
        let resources = Resources::new(store);
        let enrolment = enrolment(&resources, &authority, &ahead);
        let first = name("first");
        let identity = authority.issue_node(&first, &[], now()).unwrap();
        enrolment
            .register(&first, &identity.certificate)
            .await
            .unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = JoinServer::bind(loopback, enrolment, &identity, limits)
            .await
            .unwrap();
        let address = server.address();
        let slot = server.identity();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Cluster {
            authority,
            resources,
            ahead,
            address,
            identity,
            slot,
            log,
            stop: Some(stop),
            served,
            _logging: logging,
        }
    }

    /// Makes a token that holds for an hour.
    async fn token(&self, uses: u32) -> JoinToken {
        let token = JoinToken::generate(self.authority.fingerprint());
        self.write(token.resource(now() + 3_600, uses).into(), None)
            .await;
        token
    }

    async fn write(&self, resource: AnyResource, version: Option<i64>) {
        let written = self
            .resources
            .commit(&[Write::put(resource, version)])
            .await;
        assert!(matches!(written.unwrap(), Commit::Done(_)));
    }

    async fn stored(&self, token: &JoinToken) -> Resource<Token> {
        let read = self.resources.get(&resource_key(token.id())).await.unwrap();
        Resource::try_from(read.unwrap()).unwrap()
    }

    /// A client that asks this cluster's server.
    fn client(&self, token: &JoinToken, node: &str) -> JoinClient {
        let address = self.address.to_string();
        JoinClient::new(&address, token.clone(), name(node), vec![]).unwrap()
    }

    /// Joins as a node with a new key.
    async fn join(&self, token: &JoinToken, node: &str) -> Result<Joined, JoinError> {
        ask(self.client(token, node)).await
    }

    /// Asserts that both sides say the same about a refusal, and that it says these words.
    fn both_say(&self, error: &JoinError, words: &[&str]) {
        let JoinError::Refused { refusal, .. } = error else {
            panic!("not a verdict: {error:?}")
        };
        let (told, log) = (error.to_string(), self.log.text());
        for word in words {
            assert!(told.contains(word), "{word:?} in {told:?}");
        }
        assert!(
            log.contains(&format!("refused: {refusal}")),
            "{refusal} in {log}"
        );
        assert!(
            log.contains("WARN") && log.contains("peer=127.0.0.1:"),
            "{log}"
        );
    }

    async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.served.await.unwrap();
    }
}

fn enrolment(
    resources: &Resources,
    authority: &Arc<Authority>,
    ahead: &Arc<AtomicU64>,
) -> Enrolment {
    let ahead = ahead.clone();
    Enrolment::new(EnrolmentConfig {
        store: resources.store().clone(),
        authority: authority.clone(),
        store_endpoints: vec!["https://10.9.9.9:2379".to_owned()],
        clock: Arc::new(move || now() + ahead.load(Ordering::SeqCst)),
    })
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Runs a client beside the server, which needs this thread.
async fn ask(client: JoinClient) -> Result<Joined, JoinError> {
    beside(move || client.join()).await
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

//! Who gets in, who does not, and what both sides are told; and reconnecting.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use support::{Ca, Served, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tombolo_store::etcd::{ClientTls, PeerIdentity};
use tombolo_store::{KeyRange, MemoryStore, Store, StoreError, WatchRequest};

/// Everything that this process has logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(lines.finish()).unwrap();
        log
    })
}

async fn logged(what: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = String::from_utf8_lossy(&log().0.lock().unwrap()).into_owned();
        if text
            .lines()
            .any(|line| line.contains("refused a connection") && line.contains(what))
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what:?} was not logged:\n{text}"
        );
        tokio::task::yield_now().await;
    }
}

async fn served(ca: &Ca) -> Served {
    log();
    Served::start(Arc::new(MemoryStore::new()), ca.server(), None).await
}

async fn denied(served: &Served, tls: ClientTls) -> String {
    match client(&served.address, Some(tls))
        .put(b"k", Bytes::from("v"))
        .await
    {
        Err(StoreError::Denied { cause, .. }) => cause,
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_of_the_ca_gets_in() {
    let ca = Ca::new();
    let served = served(&ca).await;
    client(&served.address, Some(ca.client("a")))
        .put(b"k", Bytes::from("v"))
        .await
        .unwrap();
    served.stop().await;
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused_by_the_client() {
    let (ca, other) = (Ca::new(), Ca::new());
    let served = served(&ca).await;
    let cause = denied(&served, other.client("a")).await;
    assert!(cause.contains("UnknownIssuer"), "{cause}");
    served.stop().await;
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused_by_the_server() {
    let (ca, other) = (Ca::new(), Ca::new());
    let served = served(&ca).await;
    let tls = ClientTls {
        ca: ca.pem(),
        ..other.client("a")
    };
    let cause = denied(&served, tls).await;
    assert!(cause.contains("alert"), "{cause}");
    logged("UnknownIssuer").await;
    served.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_both_sides_say_so() {
    let ca = Ca::new();
    let served = served(&ca).await;
    let cause = denied(&served, ca.expired_client()).await;
    assert!(cause.to_lowercase().contains("expired"), "{cause}");
    logged("expired").await;
    served.stop().await;
}

#[tokio::test]
async fn a_plain_connection_gets_nowhere() {
    let ca = Ca::new();
    let served = served(&ca).await;
    let mut stream = TcpStream::connect(&served.address).await.unwrap();
    let peer = stream.local_addr().unwrap().to_string();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 16, "only an alert comes back: {answer:?}");
    logged(&peer).await;
    let plain = client(&served.address, None).get(b"k").await;
    assert!(
        matches!(plain, Err(StoreError::Unavailable { .. })),
        "{plain:?}"
    );
    served.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_certificate_gets_nowhere() {
    let ca = Ca::new();
    let served = served(&ca).await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = ca.pem();
    let parsed = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(parsed).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(&served.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let error = stream.read_u8().await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
    logged("peer sent no certificates").await;
    served.stop().await;
}

#[tokio::test]
async fn the_hook_sees_the_names_and_may_refuse() {
    let ca = Ca::new();
    log();
    let hook = |peer: &PeerIdentity| match peer.dns.contains(&"removed".to_owned()) {
        true => Err("node removed was deleted from the cluster".to_owned()),
        false => Ok(()),
    };
    let store = Arc::new(MemoryStore::new());
    let served = Served::start(store, ca.server(), Some(Arc::new(hook))).await;
    client(&served.address, Some(ca.client("kept")))
        .put(b"k", Bytes::from("v"))
        .await
        .unwrap();
    let refused = client(&served.address, Some(ca.client("removed")))
        .put(b"k", "w".into())
        .await;
    assert!(refused.is_err(), "{refused:?}");
    logged("was deleted from the cluster").await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_over_a_restart_of_the_server() {
    let ca = Ca::new();
    let store = Arc::new(MemoryStore::new());
    let first = served_on("127.0.0.1:0", &ca, &store).await;
    let address = first.address.clone();
    let remote = client(&address, Some(ca.client("a")));
    let request = WatchRequest::new(KeyRange::prefix("k/"));
    let mut stream = remote.watch(request).await.unwrap();
    store.put(b"k/0", Bytes::from("v")).await.unwrap();
    assert_eq!(
        stream.next().await.unwrap().unwrap().events[0].kv.key,
        "k/0"
    );
    first.stop().await;
    for number in 1..5 {
        store
            .put(format!("k/{number}").as_bytes(), Bytes::from("v"))
            .await
            .unwrap();
    }
    let second = served_on(&address, &ca, &store).await;
    for number in 1..5 {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        let batch = next.unwrap().unwrap().unwrap();
        assert_eq!(batch.events[0].kv.key, format!("k/{number}"));
    }
    remote.put(b"k/9", Bytes::from("v")).await.unwrap();
    second.stop().await;
}

async fn served_on(address: &str, ca: &Ca, store: &Arc<MemoryStore>) -> Served {
    let store: Arc<dyn Store> = Arc::clone(store) as Arc<dyn Store>;
    Served::start_on(address, store, ca.server(), None).await
}

#[tokio::test]
async fn a_store_that_is_away_is_unavailable_within_the_timeout() {
    let ca = Ca::new();
    let served = served(&ca).await;
    let address = served.address.clone();
    served.stop().await;
    let began = Instant::now();
    let error = client(&address, Some(ca.client("a")))
        .get(b"k")
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(12));
}

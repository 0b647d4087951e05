//! What the tests of this crate share: certificates, a served store, a real etcd.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::io;
use std::net::TcpListener as StdListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use tokio::sync::oneshot;
use tombolo_store::Store;
use tombolo_store::etcd::client::{EtcdConfig, EtcdStore};
use tombolo_store::etcd::server::{ServerConfig, serve};
use tombolo_store::etcd::{ClientTls, PeerHook, ServerTls};

/// A CA for one test.
pub struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub fn new() -> Ca {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name would be told apart by their signatures only.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test CA {}", MADE.fetch_add(1, Ordering::Relaxed));
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn sign(&self, name: &str, days: i64) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress([127, 0, 0, 1].into()));
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if days < 0 {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    pub fn server(&self) -> ServerTls {
        let (cert, key) = self.sign("localhost", 1);
        ServerTls {
            ca: self.pem(),
            cert,
            key,
        }
    }

    pub fn client(&self, name: &str) -> ClientTls {
        let (cert, key) = self.sign(name, 1);
        ClientTls {
            ca: self.pem(),
            cert,
            key,
        }
    }

    pub fn expired_client(&self) -> ClientTls {
        let (cert, key) = self.sign("late", -1);
        ClientTls {
            ca: self.pem(),
            cert,
            key,
        }
    }
}

/// A server of a store, until it is dropped or stopped.
pub struct Served {
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    pub async fn start(
        store: Arc<dyn Store>,
        tls: ServerTls,
        peer_hook: Option<PeerHook>,
    ) -> Served {
        Served::start_on("127.0.0.1:0", store, tls, peer_hook).await
    }

    pub async fn start_on(
        address: &str,
        store: Arc<dyn Store>,
        tls: ServerTls,
        peer_hook: Option<PeerHook>,
    ) -> Served {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let config = ServerConfig { tls, peer_hook };
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(listener, store, config, shutdown).await.unwrap();
        });
        Served {
            address,
            stop: Some(stop),
            task,
        }
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
    }
}

pub fn client(address: &str, tls: Option<ClientTls>) -> EtcdStore {
    let endpoints = vec![address.to_owned()];
    EtcdStore::new(EtcdConfig {
        endpoints,
        tls,
        timeout: Duration::from_secs(10),
    })
    .unwrap()
}

/// A real etcd on loopback, in a folder of its own; killed by pid when dropped.
pub struct RealEtcd {
    child: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl RealEtcd {
    pub async fn start() -> RealEtcd {
        let folder = tempfile::tempdir().unwrap();
        let (client, peer) = (free_port(), free_port());
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let spawned = Command::new("etcd")
            .args(["--name", "test", "--log-level", "error", "--data-dir"])
            .arg(folder.path().join("data"))
            .args([
                "--listen-client-urls",
                &url(client),
                "--advertise-client-urls",
                &url(client),
            ])
            .args([
                "--listen-peer-urls",
                &url(peer),
                "--initial-advertise-peer-urls",
                &url(peer),
            ])
            .args(["--initial-cluster", &format!("test={}", url(peer))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                panic!(
                    "this test needs a real etcd; run: apt-get install -y etcd-server etcd-client"
                )
            }
            Err(error) => panic!("cannot start etcd: {error}"),
        };
        let address = format!("127.0.0.1:{client}");
        let etcd = RealEtcd {
            child,
            address,
            _folder: folder,
        };
        let store = self::client(&etcd.address, None);
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = store.get(b"ready").await {
            assert!(Instant::now() < deadline, "etcd does not answer: {error}");
        }
        etcd
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

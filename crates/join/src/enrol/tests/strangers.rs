//! Those who are not what they seem: other clusters, men in the middle, plain HTTP, garbage, and
//! peers that are slow.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::*;
use crate::enrol::http;
use crate::tls;
use crate::token::Fingerprint;

/// Asks the server as a client without a certificate, and answers status and body.
pub(super) async fn post(cluster: &Cluster, path: &'static str, body: Vec<u8>) -> String {
    let (address, pin) = (cluster.address, cluster.authority.fingerprint());
    beside(move || {
        let mut stream = connect(address, pin, None);
        let answer = http::post(&mut stream, "localhost", path, &body).unwrap();
        format!(
            "{} {}",
            answer.status,
            String::from_utf8(answer.body).unwrap()
        )
    })
    .await
}

fn connect(
    address: SocketAddr,
    pin: Fingerprint,
    identity: Option<&KeyAndCert>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let config = Arc::new(tls::pinned_client(pin, identity).unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// A server that records whatever a client says after the handshake, if anything.
fn recording_server(
    identity: &KeyAndCert,
    ca: &str,
) -> (SocketAddr, std::thread::JoinHandle<Vec<u8>>) {
    let config = Arc::new(tls::server(identity, ca).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut heard = Vec::new();
        // Ends with the client's alert, or its end.
        let _ = io::Read::read_to_end(&mut stream, &mut heard);
        heard
    });
    (address, recorder)
}

#[tokio::test]
async fn a_token_of_another_cluster_is_kept_from_the_server() {
    let cluster = Cluster::start().await;
    let other = Authority::create("other", now()).unwrap();
    let token = JoinToken::generate(other.fingerprint());
    let error = cluster.join(&token, "b").await.unwrap_err();
    assert!(matches!(error, JoinError::OtherCluster { .. }), "{error:?}");
    assert!(
        error.to_string().contains("nothing secret was sent"),
        "{error}"
    );
    let log = cluster.log.clone();
    cluster.stop().await;
    assert!(
        log.text()
            .contains("does not accept this cluster's certificate"),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_man_in_the_middle_hears_nothing() {
    let real = Authority::create("lab", now()).unwrap();
    let mine = Authority::create("lab", now()).unwrap();
    let forged = mine.issue_node(&name("a"), &[], now()).unwrap();
    // With the CA certificate of its own, and with the real one copied from the wire.
    for ca in [mine.certificate_pem(), real.certificate_pem()] {
        let (address, recorder) = recording_server(&forged, ca);
        let token = JoinToken::generate(real.fingerprint());
        let client = JoinClient::new(&address.to_string(), token, name("b"), vec![]).unwrap();
        let error = ask(client).await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains("nothing secret was sent"), "{told}");
        assert_eq!(recorder.join().unwrap(), b"", "heard something");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_has_ended_hears_nothing() {
    let authority = Authority::create("lab", now()).unwrap();
    let old = now() - 2 * crate::ca::NODE_LIFETIME;
    let identity = authority.issue_node(&name("a"), &[], old).unwrap();
    let (address, recorder) = recording_server(&identity, authority.certificate_pem());
    let token = JoinToken::generate(authority.fingerprint());
    let client = JoinClient::new(&address.to_string(), token, name("b"), vec![]).unwrap();
    let told = ask(client).await.unwrap_err().to_string();
    assert!(told.contains("check the clocks"), "{told}");
    assert_eq!(recorder.join().unwrap(), b"");
}

#[tokio::test]
async fn a_certificate_of_another_ca_renews_nothing() {
    let cluster = Cluster::start().await;
    let mine = Authority::create("lab", now()).unwrap();
    let forged = mine.issue_node(&name("first"), &[], now()).unwrap();
    let address = cluster.address.to_string();
    let ca = cluster.authority.certificate_pem().to_owned();
    let error = beside(move || renew(&address, &forged, &ca, vec![]))
        .await
        .unwrap_err();
    let told = error.to_string();
    assert!(told.contains("lost before the answer"), "{told}");
    let log = cluster.log.clone();
    cluster.stop().await;
    assert!(
        log.text().contains("not one of this cluster"),
        "{}",
        log.text()
    );
}

/// Sends raw bytes and answers all that comes back.
async fn raw(address: SocketAddr, bytes: &'static [u8]) -> Vec<u8> {
    beside(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        io::Write::write_all(&mut stream, bytes).unwrap();
        let _ = stream.shutdown(Shutdown::Write);
        let mut heard = Vec::new();
        let _ = io::Read::read_to_end(&mut stream, &mut heard);
        heard
    })
    .await
}

#[tokio::test]
async fn plain_http_and_garbage_are_sent_away() {
    let cluster = Cluster::start().await;
    let heard = raw(cluster.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let heard = String::from_utf8(heard).unwrap();
    assert!(
        heard.starts_with("HTTP/1.1 400 ") && heard.contains("HTTPS only"),
        "{heard}"
    );
    for garbage in [
        &b"\x00\x01\x02\x03\x04\x05\x06\x07"[..],
        b"\x16\x03\x01\xff\xff",
        b"~",
        b"",
    ] {
        raw(cluster.address, garbage).await;
    }
    let token = cluster.token(1).await;
    cluster.join(&token, "b").await.unwrap();
    let log = cluster.log.clone();
    cluster.stop().await;
    let log = log.text();
    assert!(log.contains("plain HTTP instead of TLS"), "{log}");
    assert!(log.contains("does not speak TLS"), "{log}");
}

#[tokio::test]
async fn slow_peers_are_not_waited_for() {
    let quick = Duration::from_millis(200);
    let cluster = Cluster::start_with(Limits {
        handshake: quick,
        request: quick,
        connections: 1,
        ..Limits::default()
    })
    .await;
    let (address, pin) = (cluster.address, cluster.authority.fingerprint());
    // One place for all: each of these must be given up before the next is heard.
    let silent = TcpStream::connect(address).unwrap();
    let told = beside(move || {
        let mut stream = connect(address, pin, None);
        let head = b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
        io::Write::write_all(&mut stream, head).unwrap();
        let mut heard = Vec::new();
        let _ = io::Read::read_to_end(&mut stream, &mut heard);
        String::from_utf8(heard).unwrap()
    })
    .await;
    assert!(
        told.contains("408") && told.contains("did not arrive"),
        "{told}"
    );
    beside(move || {
        let mut stream = connect(address, pin, None);
        io::Write::write_all(&mut stream, b"POST /v1/jo").unwrap();
        let mut heard = Vec::new();
        let _ = io::Read::read_to_end(&mut stream, &mut heard);
    })
    .await;
    drop(silent);
    let log = cluster.log.clone();
    cluster.stop().await;
    let log = log.text();
    assert!(log.contains("no TLS handshake within 0.2 s"), "{log}");
    assert!(log.contains("did not arrive"), "{log}");
}

/// A server of the cluster that gives this answer to whatever it is asked.
fn lying_server(identity: &KeyAndCert, ca: &str, answer: &Admission) -> SocketAddr {
    let config = Arc::new(tls::server(identity, ca).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = serde_json::to_string(answer).unwrap();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut heard = [0; 4096];
        io::Read::read(&mut stream, &mut heard).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        io::Write::write_all(&mut stream, (head + &body).as_bytes()).unwrap();
        // Until the client has read it and closes: an early end would discard the answer.
        let _ = io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    address
}

#[tokio::test]
async fn answers_that_certify_something_else_are_not_believed() {
    let (real, other) = (
        Authority::create("lab", now()).unwrap(),
        Authority::create("lab", now()).unwrap(),
    );
    let server = real.issue_node(&name("a"), &[], now()).unwrap();
    let key = crate::ca::new_key().unwrap();
    let csr = crate::ca::new_csr(&key).unwrap();
    let signed = |by: &Authority, node: &str| by.sign_csr(&csr, &name(node), &[], now()).unwrap();
    let another_key = real.issue_node(&name("b"), &[], now()).unwrap().certificate;
    let cases = [
        (
            signed(&other, "b"),
            other.certificate_pem(),
            "CA certificate is another one",
        ),
        (
            signed(&other, "b"),
            real.certificate_pem(),
            "invalid peer certificate",
        ),
        (
            signed(&real, "c"),
            real.certificate_pem(),
            "another node or another key",
        ),
        (
            another_key,
            real.certificate_pem(),
            "another node or another key",
        ),
        (
            "no certificate".to_owned(),
            real.certificate_pem(),
            "cannot be read",
        ),
        (signed(&real, "b"), real.certificate_pem(), ""),
    ];
    for (certificate, ca, words) in cases {
        let answer = Admission {
            certificate,
            ca: ca.to_owned(),
            store: vec![],
            cluster: "lab".to_owned(),
        };
        let address = lying_server(&server, real.certificate_pem(), &answer).to_string();
        let token = JoinToken::generate(real.fingerprint());
        let client = JoinClient::new(&address, token, name("b"), vec![]).unwrap();
        let asked = ask(client.with_key(&key.serialize_pem()).unwrap()).await;
        match asked {
            Ok(_) => assert_eq!(words, ""),
            Err(error) => assert!(
                !words.is_empty() && error.to_string().contains(words),
                "{error}"
            ),
        }
    }
}

#[tokio::test]
async fn a_connection_carries_one_request() {
    let cluster = Cluster::start().await;
    let (address, pin) = (cluster.address, cluster.authority.fingerprint());
    let told = beside(move || {
        let mut stream = connect(address, pin, None);
        let two = "GET /v1/join HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
        io::Write::write_all(&mut stream, two.as_bytes()).unwrap();
        let mut heard = Vec::new();
        let _ = io::Read::read_to_end(&mut stream, &mut heard);
        String::from_utf8(heard).unwrap()
    })
    .await;
    assert_eq!(told.matches("HTTP/1.1 404").count(), 1, "{told}");
    assert!(told.contains("there is no GET /v1/join here"), "{told}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_port_where_something_else_or_nothing_answers_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        io::Write::write_all(&mut socket, b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
    });
    let token = JoinToken::generate(Fingerprint::of(b""));
    let client =
        || JoinClient::new(&address.to_string(), token.clone(), name("b"), vec![]).unwrap();
    let told = ask(client()).await.unwrap_err().to_string();
    assert!(told.contains("does not speak TLS"), "{told}");
    other.join().unwrap();
    let error = ask(client()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("check that the agent runs there"),
        "{error}"
    );
    assert!(error.is_retryable());
}

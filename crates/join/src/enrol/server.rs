//! The join port: connections, TLS, HTTP, and the limits of time, size and number.
//!
//! ```text
//! accept ─► first byte ─► TLS handshake ─► one HTTP/1.1 request ─► Enrolment ─► answer, close
//!             └ plain HTTP: told so, in plain HTTP
//! ```
//!
//! Whoever connects is a stranger: every step has a time limit, a body has a largest size, and the
//! number of connections at once is bounded. Each refusal and each failed handshake is logged with
//! the peer's address, so that both sides see why. Nothing here decides who may enter.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::enrolment::Enrolment;
use super::error::{Refusal, ServeError};
use super::wire::{JOIN, JoinRequest, RENEW, RefusalBody, RenewRequest};
use crate::ca::KeyAndCert;
use crate::tls::{self, TlsError};

/// What a stranger may take of this host.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The time for the first byte and for the TLS handshake, each.
    pub handshake: Duration,
    /// The time for the head of the request, and for its body, each.
    pub request: Duration,
    /// The largest body in bytes.
    pub body: usize,
    /// The most connections at once; more wait.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(10),
            body: 64 * 1024,
            connections: 256,
        }
    }
}

/// The certificate that the server shows, replaceable while it runs.
#[derive(Clone)]
pub struct IdentitySlot {
    current: Arc<RwLock<Arc<rustls::ServerConfig>>>,
    ca: Arc<str>,
}

impl IdentitySlot {
    /// Shows another certificate from the next connection on, as after a renewal.
    ///
    /// # Errors
    /// When it cannot be used; the old one stays.
    pub fn replace(&self, identity: &KeyAndCert) -> Result<(), TlsError> {
        let config = Arc::new(tls::server(identity, &self.ca)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(current.clone())
    }
}

/// The port where nodes join and renew.
pub struct JoinServer {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    enrolment: Enrolment,
    identity: IdentitySlot,
    limits: Limits,
}

/// One connection.
struct Peer {
    address: SocketAddr,
    /// The certificate that it showed (DER), verified.
    certificate: Option<Vec<u8>>,
}

impl JoinServer {
    /// Listens, showing a certificate that the cluster's CA has signed for this node.
    ///
    /// # Errors
    /// When the port cannot be had or the certificate cannot be used.
    pub async fn bind(
        address: SocketAddr,
        enrolment: Enrolment,
        identity: &KeyAndCert,
        limits: Limits,
    ) -> Result<JoinServer, ServeError> {
        let ca = enrolment.authority().certificate_pem();
        let identity = IdentitySlot {
            current: Arc::new(RwLock::new(Arc::new(tls::server(identity, ca)?))),
            ca: ca.into(),
        };
        let failed = |e: std::io::Error| ServeError::Listen {
            address: address.to_string(),
            cause: e.to_string(),
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            enrolment,
            identity,
            limits,
        });
        Ok(JoinServer {
            listener,
            address,
            shared,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that it shows, to be replaced when it is renewed.
    #[must_use]
    pub fn identity(&self) -> IdentitySlot {
        self.shared.identity.clone()
    }

    /// Serves until `shutdown`, then lets the connections that are open come to their end, which
    /// their limits bound.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(self.shared.limits.connections));
        let mut open = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            let next = async {
                let place = room.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = open.join_next() => {}
                (place, accepted) = next => match accepted {
                    Ok((stream, address)) => {
                        let shared = self.shared.clone();
                        open.spawn(async move {
                            connection(&shared, stream, address).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a joining node");
                        // Out of descriptors: nothing tells when there are some again.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(self.listener);
        while open.join_next().await.is_some() {}
    }
}

async fn connection(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    if let Err(cause) = converse(shared, stream, peer).await {
        tracing::warn!(%peer, "join connection failed: {cause}");
    }
}

async fn converse(
    shared: &Arc<Shared>,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), String> {
    let limits = &shared.limits;
    let late = |_| {
        format!(
            "no TLS handshake within {} s",
            limits.handshake.as_secs_f32()
        )
    };
    let mut first = [0];
    let seen = timeout(limits.handshake, stream.peek(&mut first)).await;
    match seen.map_err(late)?.map_err(|e| e.to_string())? {
        0 => return Ok(()), // A port scan, or a health check.
        _ if first[0].is_ascii_uppercase() => return refuse_plain(&mut stream, limits).await,
        _ => {}
    }
    let accepted = timeout(limits.handshake, shared.identity.acceptor().accept(stream)).await;
    let stream = accepted.map_err(late)?.map_err(|e| handshake_fault(&e))?;
    let shown = stream.get_ref().1.peer_certificates();
    let peer = Arc::new(Peer {
        address: peer,
        certificate: shown.and_then(|chain| Some(chain.first()?.to_vec())),
    });
    let service = service_fn(|request| {
        let (shared, peer) = (shared.clone(), peer.clone());
        async move { Ok::<_, hyper::Error>(answer(&shared, &peer, request).await) }
    });
    let conversation = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Head, body, decision and answer: none may take longer than a request may.
    timeout(limits.request * 4, conversation)
        .await
        .map_err(|_| "the request was not over in time".to_owned())?
        .map_err(|e| format!("not a request: {e}"))
}

/// A browser or curl without TLS is told what is wrong in the language it speaks.
async fn refuse_plain(stream: &mut TcpStream, limits: &Limits) -> Result<(), String> {
    let body = "This port speaks HTTPS only. Join with `tombolo join`.\n";
    let text = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let written = timeout(limits.request, stream.write_all(text.as_bytes())).await;
    match written {
        Ok(Ok(())) => Err("plain HTTP instead of TLS; it was told so".to_owned()),
        _ => Err("plain HTTP instead of TLS".to_owned()),
    }
}

fn handshake_fault(error: &std::io::Error) -> String {
    use rustls::{AlertDescription, Error};
    let fault = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match fault {
        Some(Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        )) => format!(
            "the peer does not accept this cluster's certificate ({error}); its token may be \
             another cluster's, or its clock wrong"
        ),
        Some(Error::InvalidCertificate(fault)) => format!(
            "the peer's certificate is not one of this cluster, or not valid now: {fault:?}"
        ),
        Some(Error::InvalidMessage(_)) => format!("the peer does not speak TLS ({error})"),
        _ => format!("TLS handshake: {error}"),
    }
}

async fn answer(shared: &Shared, peer: &Peer, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let verdict = match (request.method(), request.uri().path()) {
        (&Method::POST, JOIN) => join(shared, peer, request).await,
        (&Method::POST, RENEW) => renew(shared, peer, request).await,
        (method, path) => Err(Refusal::NoSuchCall {
            call: format!("{method} {path}").chars().take(100).collect(),
        }),
    };
    match verdict {
        Ok(body) => respond(200, body),
        Err(refusal) => {
            tracing::warn!(peer = %peer.address, "refused: {refusal}");
            let message = refusal.to_string();
            let status = refusal.status();
            respond(status, json(&RefusalBody { refusal, message }))
        }
    }
}

async fn join(
    shared: &Shared,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Vec<u8>, Refusal> {
    let ask: JoinRequest = read_body(&shared.limits, request).await?;
    let admission = shared.enrolment.join(peer.address, &ask).await?;
    tracing::info!(peer = %peer.address, node = %ask.node, token = %ask.token_id, "node joined");
    Ok(json(&admission))
}

async fn renew(
    shared: &Shared,
    peer: &Peer,
    request: Request<Incoming>,
) -> Result<Vec<u8>, Refusal> {
    let ask: RenewRequest = read_body(&shared.limits, request).await?;
    let shown = peer.certificate.as_deref();
    let admission = shared.enrolment.renew(shown, &ask).await?;
    tracing::info!(peer = %peer.address, "certificate renewed");
    Ok(json(&admission))
}

async fn read_body<T: DeserializeOwned>(
    limits: &Limits,
    request: Request<Incoming>,
) -> Result<T, Refusal> {
    let limit = limits.body;
    let body = Limited::new(request.into_body(), limit);
    let collected = timeout(limits.request, body.collect()).await;
    let seconds = limits.request.as_secs();
    let body = collected
        .map_err(|_| Refusal::TooSlow { seconds })?
        .map_err(|e| {
            if e.is::<http_body_util::LengthLimitError>() {
                return Refusal::TooLarge { limit };
            }
            let why = format!("the body ended early: {e}");
            Refusal::Malformed { why }
        })?
        .to_bytes();
    serde_json::from_slice(&body).map_err(|e| Refusal::Malformed {
        why: one_line(&e.to_string()),
    })
}

/// A stranger's words as they may stand in a log: one short line without control characters.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(300).collect()
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("structs of texts and numbers are always JSON")
}

fn respond(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("a status of three digits and one fixed header make a response")
}

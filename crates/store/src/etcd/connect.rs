//! Connections of the client: TCP, TLS, and the reason when the other side refuses.
//!
//! With TLS 1.3 a client learns that its certificate was refused only when it first reads
//! (the handshake is over for it before the server has looked), deep inside HTTP/2,
//! where the reason is lost. So the stream itself remembers it ([`Refusal`]), and whoever
//! sees a call fail asks there.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::error::{InvalidRequest, StoreError};

/// What the other side held against us, once it has said so.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<String>>>);

impl Refusal {
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().ok().and_then(|reason| reason.clone())
    }

    fn note(&self, error: &io::Error) {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(inner) = inner else { return };
        let refused = matches!(
            inner,
            rustls::Error::AlertReceived(_)
                | rustls::Error::InvalidCertificate(_)
                | rustls::Error::NoCertificatesPresented
                | rustls::Error::PeerIncompatible(_)
        );
        if refused && let Ok(mut reason) = self.0.lock() {
            reason.get_or_insert_with(|| inner.to_string());
        }
    }
}

/// Where a store is: host and port without a scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    authority: String,
}

impl Address {
    /// Reads `host:port`, `https://host:port`, or, without TLS, `http://host:port`.
    pub(super) fn parse(text: &str, tls: bool) -> Result<Address, StoreError> {
        let scheme = if tls { "https://" } else { "http://" };
        let rest = text
            .strip_prefix(scheme)
            .unwrap_or(text)
            .trim_end_matches('/');
        let wrong = |why: &str| {
            let why = format!("store endpoint {text:?}: {why}; write {scheme}HOST:PORT");
            StoreError::from(InvalidRequest::Malformed(why))
        };
        if rest.contains("://") {
            return Err(wrong("this scheme does not fit the TLS settings"));
        }
        let (host, port) = rest
            .rsplit_once(':')
            .ok_or_else(|| wrong("there is no port"))?;
        if port.parse::<u16>().is_err() {
            return Err(wrong("the port is not a number up to 65535"));
        }
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        Ok(Address {
            host,
            authority: rest.to_owned(),
        })
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

/// Connects, and says who refused whom when it does not work.
pub(super) async fn connect(
    address: &Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
) -> Result<(Channel, Refusal), StoreError> {
    let refusal = Refusal::default();
    let endpoint = address.authority.clone();
    let unavailable = |cause: String| StoreError::Unavailable {
        endpoint: endpoint.clone(),
        cause,
    };
    let target = Endpoint::from_shared(format!("http://{}", address.authority))
        .map_err(|error| unavailable(chain_of(&error)))?
        .connect_timeout(timeout)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(false);
    let dialer = Dialer {
        address: address.clone(),
        tls,
        refusal: refusal.clone(),
    };
    match target.connect_with_connector(dialer).await {
        Ok(channel) => Ok((channel, refusal)),
        Err(error) => Err(match refusal.reason() {
            Some(cause) => StoreError::Denied {
                endpoint: endpoint.clone(),
                cause,
            },
            None => unavailable(chain_of(&error)),
        }),
    }
}

/// An error with what caused it, in one line.
pub(super) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

struct Dialer {
    address: Address,
    tls: Option<Arc<rustls::ClientConfig>>,
    refusal: Refusal,
}

impl Dialer {
    async fn dial(
        address: Address,
        tls: Option<Arc<rustls::ClientConfig>>,
        refusal: Refusal,
    ) -> io::Result<TokioIo<Watched>> {
        let stream = TcpStream::connect(&address.authority).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            return Ok(TokioIo::new(Watched {
                io: Box::new(stream),
                refusal,
            }));
        };
        let name = ServerName::try_from(address.host)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        let stream = stream.inspect_err(|error| refusal.note(error))?;
        Ok(TokioIo::new(Watched {
            io: Box::new(stream),
            refusal,
        }))
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Watched>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(Dialer::dial(
            self.address.clone(),
            self.tls.clone(),
            self.refusal.clone(),
        ))
    }
}

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A stream that remembers why reading failed.
struct Watched {
    io: Box<dyn ByteStream>,
    refusal: Refusal,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &polled {
            self.refusal.note(error);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

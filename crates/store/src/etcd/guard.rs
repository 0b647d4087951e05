//! A connection of a peer that may lose its right to it.
//!
//! A certificate is looked at when a connection begins, but a watch may stand for months. So the
//! peer's right is asked for again whenever bytes come or go, and a peer that has lost it is cut
//! off before it reads or says anything more.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::tls::{PeerHook, PeerIdentity};

/// A connection with the right of its peer.
pub(super) struct Guarded {
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    identity: PeerIdentity,
    hook: Option<PeerHook>,
    /// It was told in the log that the peer is cut off.
    told: bool,
}

impl Guarded {
    /// A connection whose peer has shown who it is.
    pub fn new(
        stream: TlsStream<TcpStream>,
        peer: SocketAddr,
        identity: PeerIdentity,
        hook: Option<PeerHook>,
    ) -> Guarded {
        Guarded {
            stream,
            peer,
            identity,
            hook,
            told: false,
        }
    }

    /// Whether the peer still may.
    fn admitted(&mut self) -> Result<(), Error> {
        let Some(hook) = &self.hook else {
            return Ok(());
        };
        hook(&self.identity).map_err(|reason| {
            if !self.told {
                tracing::warn!(peer = %self.peer, reason, "cut a connection to the store");
                self.told = true;
            }
            Error::new(ErrorKind::PermissionDenied, reason)
        })
    }
}

impl Connected for Guarded {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.admitted()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.admitted()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

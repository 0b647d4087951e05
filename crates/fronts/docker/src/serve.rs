//! HTTP on the plugin's socket: every request is answered, in time, whatever becomes of it.
//!
//! Docker waits for a plugin with locks held, so an answer that does not come stops more than the
//! container that asked. A call that is not done in time is answered with an error, and goes on by
//! itself to a state that can be cleaned up. Go's client keeps connections open and uses them
//! again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::dispatch::{Plugin, Reply};

/// Nothing takes longer than this, from the request's last byte to the answer's first.
pub const BOUND: Duration = Duration::from_secs(10);
/// How long the body of a request may take to come.
const BODY: Duration = Duration::from_secs(5);
/// The largest body in bytes; Docker's are below ten thousand.
const LARGEST_BODY: usize = 1 << 20;
/// Connections at once. Docker opens one per call that is on its way.
const CONNECTIONS: usize = 1024;
/// The media type that Docker asks for (`plugins.VersionMimetype`).
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";

/// Serves until `stop`, then lets the calls that are being answered come to their end.
pub(crate) async fn serve(
    listener: UnixListener,
    plugin: Arc<Plugin>,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let (stopping, _) = tokio::sync::watch::channel(false);
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    let (plugin, mut stopping) = (Arc::clone(&plugin), stopping.subscribe());
                    open.spawn(async move {
                        let service = service_fn(move |request| answer(request, Arc::clone(&plugin)));
                        let conversation = http1::Builder::new()
                            .timer(TokioTimer::new())
                            .serve_connection(TokioIo::new(stream), service);
                        tokio::pin!(conversation);
                        // The guard that comes with the answer must not be held any longer.
                        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
                        tokio::select! {
                            // What went wrong with a connection concerns only who made it.
                            _ = conversation.as_mut() => {}
                            () = stopped => {
                                conversation.as_mut().graceful_shutdown();
                                let _ = conversation.await;
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    stopping.send_replace(true);
    while open.join_next().await.is_some() {}
}

async fn answer(
    request: Request<Incoming>,
    plugin: Arc<Plugin>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let reply = if parts.method == Method::POST {
        match tokio::time::timeout(BODY, Limited::new(body, LARGEST_BODY).collect()).await {
            Ok(Ok(body)) => carry_out(plugin, path, body.to_bytes()).await,
            Ok(Err(error)) => Reply::refused(400, format!("the request's body: {error}")),
            Err(_) => Reply::refused(408, "the request's body did not come".to_owned()),
        }
    } else {
        Reply::refused(
            405,
            format!("{} {path}: only POST is understood", parts.method),
        )
    };
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(MEDIA_TYPE),
    );
    Ok(response)
}

/// Carries a call out in a thread of its own, for as long as somebody waits for it.
async fn carry_out(plugin: Arc<Plugin>, path: String, body: Bytes) -> Reply {
    let call = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || plugin.call(&path, &body))
    };
    match tokio::time::timeout(BOUND, call).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => {
            tracing::error!(%error, path, "a call failed");
            Reply::failed(&path, "the plugin failed; this is a fault of the program")
        }
        Err(_) => {
            tracing::error!(path, "a call took too long");
            let message = format!(
                "not done within {} s; see `tombolo status` and the plugin's log",
                BOUND.as_secs()
            );
            Reply::failed(&path, &message)
        }
    }
}

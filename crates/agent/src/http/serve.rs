//! Connections: how many at once, and how long one may take to ask.
//!
//! Who connects may be slow, silent or mad; the others are served all the same. A connection that
//! has not sent the head of a request in time is closed, a head has a largest size, and what comes
//! while all places are taken waits. Nothing here knows what is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// How long the head of a request may take to come, also the next one of a connection.
const HEAD: Duration = Duration::from_secs(10);
/// The largest head in bytes.
const LARGEST_HEAD: usize = 32 * 1024;

/// Serves until `stop`, then lets the requests that are being answered come to their end.
pub(super) async fn serve<L: Listener>(
    mut listener: L,
    router: Router,
    connections: usize,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(connections));
    let (stopping, _) = watch::channel(false);
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
            (place, (io, _)) = next => {
                let (router, stopping) = (router.clone(), stopping.subscribe());
                open.spawn(async move {
                    connection(io, router, stopping).await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    stopping.send_replace(true);
    while open.join_next().await.is_some() {}
}

/// Answers the requests of one connection.
async fn connection<I>(io: I, router: Router, mut stopping: watch::Receiver<bool>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
    tokio::pin!(conversation);
    // The guard that comes with the answer must not be held while the last request is answered.
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    tokio::select! {
        ended = conversation.as_mut() => note(ended),
        () = stopped => {
            conversation.as_mut().graceful_shutdown();
            note(conversation.await);
        }
    }
}

/// What went wrong with a connection concerns only who made it.
fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the agent broke off");
    }
}

//! Accepting on the admin port, within narrow limits: it must answer when the data plane is drowning, and whoever
//! reaches it must not be able to drown anything through it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{AdminState, Peer, routes::router};

/// How much anybody may ask of the admin port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A few scrapers and probes, each with a connection or two; more wait to be accepted.
    pub(super) connections: usize,
    /// A request head has to be there within this time, also the next one on a kept connection.
    pub(super) head_timeout: Duration,
    /// The longest life of one connection: whoever does not take an answer loses the line.
    pub(super) connection_life: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    connections: 64,
    head_timeout: Duration::from_secs(10),
    connection_life: Duration::from_mins(5),
};

/// How long answers under way may take after `shutdown`.
const GRACE: Duration = Duration::from_secs(1);

/// Pause after a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers on the admin port until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, state: AdminState, shutdown: CancellationToken) {
    serve_within(LIMITS, listener, state, shutdown).await;
}

pub(super) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    state: AdminState,
    shutdown: CancellationToken,
) {
    let routes = router(state);
    let free = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    loop {
        // Dropped when another arm wins: an accept or a permit that was not taken is lost to nobody.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &free) => accepted,
        };
        if let Some((stream, peer, permit)) = accepted {
            let (routes, shutdown) = (routes.clone(), shutdown.clone());
            connections.spawn(async move {
                answer(limits, stream, peer, routes, shutdown).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    // What is left is cut when the set is dropped.
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip(), permit)),
        Err(error) => {
            tracing::warn!(error = &error as &(dyn std::error::Error + 'static), "admin: cannot accept");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn answer(
    limits: Limits,
    stream: TcpStream,
    peer: IpAddr,
    routes: Router,
    shutdown: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        routes.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let life = tokio::time::sleep(limits.connection_life);
    tokio::select! {
        // How a scraper's connection ends is its own affair.
        _ = connection.as_mut() => return,
        () = life => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

//! From HTTP to `WebSocket` (SEC-14): the one upgrade that passes.
//!
//! Raw bytes flow only after the application's own 101; until then what follows a head is the next request. A
//! browser sends cookies with a `WebSocket` from any page, so its `Origin` must be ours.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method, Version,
    header::{CONNECTION, ORIGIN, UPGRADE},
    request::Parts,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    farewell::{self, LAST_WORDS},
    tunnels::Bound,
    upstream::Lease,
};
use crate::{clock::Deadline, config::Public, pages::Problem};

/// A connection on which neither side says anything for this long is given up. Longer than what applications use
/// for their pings.
const SILENCE: Duration = Duration::from_mins(10);

/// How often silence is looked for.
const LOOK: Duration = Duration::from_secs(10);

/// Whether a request asks for a `WebSocket`.
pub(super) fn is_asked(parts: &Parts) -> bool {
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && parts.headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && names_upgrade(&parts.headers)
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the page that asks may (SEC-14). Clients that are not browsers send no `Origin`.
pub(super) fn check_origin(headers: &HeaderMap, public: &Public) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let is_ours = |origin: &HeaderValue| {
        let text = origin.to_str().unwrap_or("").to_ascii_lowercase();
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        host.is_some_and(|host| public.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
    };
    if origins.next().is_none() && is_ours(origin) { Ok(()) } else { Err(Problem::Forbidden) }
}

/// Puts the two fields of an upgrade back, after the filter took everything that belongs to a connection.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Both ends of a switched connection, before they are joined.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) application: OnUpgrade,
    /// Keeps the upstream connection from being cut.
    pub(super) lease: Lease,
    /// The session it was opened with: when that ends, so does this.
    pub(super) session: Option<Bound>,
}

/// Resolves when the session has ended; never without one.
async fn over(session: Option<&Bound>) {
    match session {
        Some(session) => session.over().await,
        None => std::future::pending().await,
    }
}

impl Tunnel {
    /// Carries bytes both ways until both sides or the session have ended, or nothing moves any more. When we leave, the
    /// client is told, and both sides have a moment to end.
    pub(super) async fn run(self, closing: &CancellationToken) {
        let Ok(application) = self.application.await else { return };
        let Ok(client) = self.client.await else { return };
        let heard = Arc::new(Mutex::new(Deadline::within(SILENCE)));
        let application = Noted { stream: TokioIo::new(application), heard: Arc::clone(&heard) };
        let client = Noted { stream: TokioIo::new(client), heard: Arc::clone(&heard) };
        let (from_application, mut to_application) = tokio::io::split(application);
        let (mut from_client, to_client) = tokio::io::split(client);
        let up = async {
            tokio::io::copy(&mut from_client, &mut to_application).await?;
            to_application.shutdown().await
        };
        let down = farewell::carry(from_application, to_client, closing);
        let mut copy = std::pin::pin!(async { tokio::try_join!(up, down) });
        let mut over = std::pin::pin!(over(self.session.as_ref()));
        let mut left = std::pin::pin!(async {
            closing.cancelled().await;
            sleep(LAST_WORDS).await;
        });
        loop {
            tokio::select! {
                // In the middle of a message or not: nothing more of it may pass.
                () = over.as_mut() => break,
                () = left.as_mut() => break,
                // How it ended is between the two sides.
                ended = timeout(LOOK, copy.as_mut()) => {
                    if ended.is_ok() {
                        break;
                    }
                }
            }
            if heard.lock().unwrap_or_else(PoisonError::into_inner).has_passed() {
                break;
            }
        }
        drop(self.lease);
    }
}

/// A stream that notes when something was read from it.
struct Noted<S> {
    stream: S,
    heard: Arc<Mutex<Deadline>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Deadline::within(SILENCE);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

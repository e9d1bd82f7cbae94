//! One client connection: its requests one by one, its time limits, its end.
//!
//! hyper parses; this file says how long each phase may take. One timer per connection, moved only when it fires or
//! a nearer limit appears, because moving a timer for every request costs more than the check.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    io::{self, IoSlice},
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONNECTION};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    AnswerBody, BodyError, Core, Handler,
    admit::admit,
    crowd::Place,
    request::{Asking, RequestIds},
};
use crate::{clock::Deadline, config::Limits, pages::Problem};

/// After the last answer, how much more is read and how long, so that the client gets to see it: closing a socket
/// with unread bytes throws the answer away with them (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// How long an idle connection stays when we leave: a request may already be on its way, and closing at once would
/// throw it away (REL-32).
const LAST_CALL: Duration = Duration::from_secs(1);

/// What all connections of one thread share.
pub(super) struct Desk {
    pub(super) core: Core,
    pub(super) gate: Arc<dyn Handler>,
    pub(super) ids: RequestIds,
    pub(super) http: http1::Builder,
    /// Tells every connection that the thread is leaving.
    pub(super) closing: CancellationToken,
    /// Answers now say `Connection: close`. (The token knows, too, but behind a lock.)
    pub(super) leaving: Cell<bool>,
}

/// hyper's settings.
pub(super) fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_header_size(limits.head_bytes);
    // Bounds an unfinished head, and what waits to be written.
    http.max_buf_size(limits.head_bytes.max(64 * 1024));
    // hyper keeps up to 100 fields without an allocation, and this is its own limit as well.
    if limits.head_fields != 100 {
        http.max_headers(limits.head_fields);
    }
    http
}

/// Serves one connection to its end.
pub(super) async fn serve<S>(desk: Rc<Desk>, stream: S, peer: IpAddr, secure: bool, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = &desk.core.public.limits;
    let watch = Rc::new(Watch::new(limits));
    let stream = Rc::new(RefCell::new(stream));
    let io = TokioIo::new(Watched { stream: Rc::clone(&stream), watch: Rc::clone(&watch) });
    let service = service_fn(|request| {
        let (desk, watch) = (Rc::clone(&desk), Rc::clone(&watch));
        async move { Ok::<_, Infallible>(respond(&desk, &watch, request, peer, secure).await) }
    });
    desk.core.counters.connections.fetch_add(1, Relaxed);
    let ended = {
        let mut connection = pin!(desk.http.serve_connection(io, service));
        let mut closing = pin!(desk.closing.cancelled());
        let mut told = false;
        let mut armed = watch.due();
        let mut timer = pin!(sleep(armed.remaining()));
        std::future::poll_fn(|cx| {
            if !told && closing.as_mut().poll(cx).is_ready() {
                told = true;
                watch.leave();
            }
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Some(ended));
            }
            let due = watch.due();
            if due < armed {
                armed = due;
                timer.set(sleep(armed.remaining()));
            }
            while timer.as_mut().poll(cx).is_ready() {
                armed = watch.due();
                if armed.has_passed() {
                    return Poll::Ready(None);
                }
                timer.set(sleep(armed.remaining()));
            }
            Poll::Pending
        })
        .await
    };
    if let Some(Err(error)) = &ended {
        note_refusal(&desk.core, error);
    }
    if ended.is_some() && !watch.at_end.get() {
        linger(&stream).await;
    }
    desk.core.counters.connections.fetch_sub(1, Relaxed);
    drop(place);
}

/// hyper answers what it cannot parse by itself; it is counted and logged like our own refusals.
fn note_refusal(core: &Core, error: &hyper::Error) {
    if !error.is_parse() {
        return;
    }
    let problem = if error.is_parse_too_large() { Problem::HeadTooLarge } else { Problem::BadRequest };
    core.counters.refused(problem);
    tracing::info!(
        target: "audit",
        event = "request_refused",
        request.refused = problem.as_str(),
        "a request that cannot be parsed was refused"
    );
}

#[expect(
    clippy::await_holding_refcell_ref,
    reason = "hyper has let go of the stream: nobody else borrows it"
)]
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &RefCell<S>) {
    let mut stream = stream.borrow_mut();
    let drain = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut *stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever happens here, the connection is over.
    drop(timeout(LINGER, drain).await);
}

/// One request to its answer. A panic harms no other request (REL-33).
async fn respond(
    desk: &Desk,
    watch: &Rc<Watch>,
    request: Request<Incoming>,
    peer: IpAddr,
    secure: bool,
) -> Response<ServedBody> {
    let core = &desk.core;
    let counters = &core.counters;
    let id = desk.ids.next();
    let asking = Asking::of(request.headers(), id);
    watch.busy();
    let many = counters.in_flight.fetch_add(1, Relaxed);
    let under_way = UnderWay { watch: Rc::clone(watch), counters: Arc::clone(counters) };
    let answer = caught(async {
        let public = &core.public;
        if many >= public.limits.in_flight as u64 {
            return core.refuse(Problem::Overloaded, &asking);
        }
        match admit(request, peer, secure, id, public, &core.rules) {
            Ok(accepted) => Arc::clone(&desk.gate).handle(core, accepted).await,
            Err(problem) => core.refuse(problem, &asking),
        }
    })
    .await;
    let mut answer = answer.unwrap_or_else(|| {
        counters.panics.fetch_add(1, Relaxed);
        tracing::error!(request.id = id.as_str(), "the handling of a request panicked");
        core.refuse(Problem::Internal, &asking)
    });
    counters.answered(answer.status());
    if desk.leaving.get() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer.map(|body| ServedBody { body, _under_way: under_way })
}

/// Runs to the end or to a panic (`None`). What the future owned is dropped; what it shares are counters and a pool
/// that only ever holds whole connections.
async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A request counts as under way until its answer was read or given up.
#[derive(Debug)]
struct UnderWay {
    watch: Rc<Watch>,
    counters: Arc<super::Counters>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
        self.watch.idle();
    }
}

/// An answer's body on its way to the client.
struct ServedBody {
    body: AnswerBody,
    _under_way: UnderWay,
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a connection is waiting for, and until when.
#[derive(Debug)]
struct Watch {
    head_timeout: Duration,
    idle_timeout: Duration,
    phase: Cell<Phase>,
    until: Cell<Deadline>,
    /// The client does not read what we write.
    stalled_until: Cell<Option<Deadline>>,
    /// The client has ended its side.
    at_end: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Between requests.
    Idle,
    /// A head has begun.
    Head,
    /// A request is handled; its own limits apply.
    Busy,
}

impl Watch {
    fn new(limits: &Limits) -> Self {
        Self {
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            // Whoever connects is about to ask.
            phase: Cell::new(Phase::Head),
            until: Cell::new(Deadline::within(limits.head_timeout)),
            stalled_until: Cell::new(None),
            at_end: Cell::new(false),
        }
    }

    fn busy(&self) {
        self.phase.set(Phase::Busy);
    }

    fn idle(&self) {
        self.phase.set(Phase::Idle);
        self.until.set(Deadline::within(self.idle_timeout));
    }

    /// The thread is leaving: who is silent has little time left.
    fn leave(&self) {
        if self.phase.get() == Phase::Idle {
            self.until.set(self.until.get().at_most(LAST_CALL));
        }
    }

    fn heard(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.until.set(Deadline::within(self.head_timeout));
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(_) => self.stalled_until.set(None),
            Poll::Pending if self.stalled_until.get().is_none() => {
                self.stalled_until.set(Some(Deadline::within(self.idle_timeout)));
            }
            Poll::Pending => {}
        }
    }

    /// When to look again; the connection is over when that moment has passed.
    fn due(&self) -> Deadline {
        let phase = match self.phase.get() {
            Phase::Idle | Phase::Head => self.until.get(),
            Phase::Busy => Deadline::within(self.idle_timeout),
        };
        self.stalled_until.get().map_or(phase, |stalled| stalled.min(phase))
    }
}

/// The stream as hyper sees it; kept outside, too, for the time after hyper.
struct Watched<S> {
    stream: Rc<RefCell<S>>,
    watch: Rc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.heard();
        } else if result.is_ready() {
            self.watch.at_end.set(true);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes);
        self.watch.wrote(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, pieces);
        self.watch.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}
